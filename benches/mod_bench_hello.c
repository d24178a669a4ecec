/* The floor that `make bench` measures against: the least an httpd content handler can do.
 * It answers what the applications in benches/apps/ answer, with the same header fields, without Python. */

#include <string.h>

#include "http_protocol.h"
#include "httpd.h"
#include "http_config.h"

static const char HELLO[] = "Hello, World!";
static char download[1 << 20];

static int answer(request_rec *r, const char *body, size_t length)
{
    int status;

    /* Reads an upload to its end, if there is one. */
    status = ap_discard_request_body(r);
    if (status != OK) {
        return status;
    }
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, length);
    ap_rwrite(body, (int)length, r);
    return OK;
}

static int handle(request_rec *r)
{
    if (r->handler == NULL) {
        return DECLINED;
    }
    if (strncmp(r->handler, "bench-", 6) != 0) {
        return DECLINED;
    }
    if (strcmp(r->handler, "bench-download") == 0) {
        return answer(r, download, sizeof(download));
    }
    return answer(r, HELLO, sizeof(HELLO) - 1);
}

static void register_hooks(apr_pool_t *pool)
{
    memset(download, 'x', sizeof(download));
    ap_hook_handler(handle, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(bench_hello) = {
    STANDARD20_MODULE_STUFF,
    NULL, NULL, NULL, NULL, NULL,
    register_hooks
};
