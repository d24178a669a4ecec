/* The floor that `make bench` measures against: the least an httpd content handler can do.
 * It answers what benches/apps/hello.wsgi answers, with the same header fields, without Python. */

#include <string.h>

#include "http_protocol.h"
#include "httpd.h"
#include "http_config.h"

static const char HELLO[] = "Hello, World!";

static int handle(request_rec *r)
{
    int status;

    if (r->handler == NULL || strcmp(r->handler, "bench-hello") != 0) {
        return DECLINED;
    }
    status = ap_discard_request_body(r);
    if (status != OK) {
        return status;
    }
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, sizeof(HELLO) - 1);
    ap_rwrite(HELLO, sizeof(HELLO) - 1, r);
    return OK;
}

static void register_hooks(apr_pool_t *pool)
{
    ap_hook_handler(handle, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(bench_hello) = {
    STANDARD20_MODULE_STUFF,
    NULL, NULL, NULL, NULL, NULL,
    register_hooks
};
