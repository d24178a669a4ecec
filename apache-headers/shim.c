#include "shim.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "apr_optional.h"
#include "apr_portable.h"
#include "apr_strings.h"

APLOG_USE_MODULE(wsgi);

int wsgi_shim_is_logged_server(const server_rec *s, int level)
{
    return APLOG_MODULE_IS_LEVEL(s, APLOG_MODULE_INDEX, level);
}

int wsgi_shim_is_logged_request(const request_rec *r, int level)
{
    return APLOG_R_MODULE_IS_LEVEL(r, APLOG_MODULE_INDEX, level);
}

/* No source position: a line of this file would tell the reader nothing. */
void wsgi_shim_log_server(const server_rec *s, int level, const char *text)
{
    ap_log_error_(NULL, 0, APLOG_MODULE_INDEX, level, 0, s, "%s", text);
}

void wsgi_shim_log_request(const request_rec *r, int level, const char *text)
{
    ap_log_rerror_(NULL, 0, APLOG_MODULE_INDEX, level, 0, r, "%s", text);
}

void wsgi_shim_append(apr_bucket_brigade *bb, apr_bucket *b)
{
    APR_BRIGADE_INSERT_TAIL(bb, b);
}

apr_bucket *wsgi_shim_first(apr_bucket_brigade *bb)
{
    return APR_BRIGADE_EMPTY(bb) ? NULL : APR_BRIGADE_FIRST(bb);
}

int wsgi_shim_is_empty(const apr_bucket_brigade *bb)
{
    return APR_BRIGADE_EMPTY(bb);
}

int wsgi_shim_is_eos(const apr_bucket *b)
{
    return APR_BUCKET_IS_EOS(b);
}

int wsgi_shim_is_metadata(const apr_bucket *b)
{
    return APR_BUCKET_IS_METADATA(b);
}

apr_status_t wsgi_shim_read(apr_bucket *b, const char **data, apr_size_t *len)
{
    return apr_bucket_read(b, data, len, APR_BLOCK_READ);
}

void wsgi_shim_delete(apr_bucket *b)
{
    apr_bucket_delete(b);
}

int wsgi_shim_is_timeup(apr_status_t status)
{
    return APR_STATUS_IS_TIMEUP(status);
}

int wsgi_shim_is_gone(apr_status_t status)
{
    return APR_STATUS_IS_ECONNRESET(status) || APR_STATUS_IS_ECONNABORTED(status)
        || APR_STATUS_IS_EPIPE(status) || APR_STATUS_IS_EOF(status)
        || APR_STATUS_IS_INCOMPLETE(status) || status == ENOTCONN;
}

int wsgi_shim_is_again(apr_status_t status)
{
    return APR_STATUS_IS_EAGAIN(status);
}

/* mod_ssl's optional function is there in every 2.4; ap_ssl_conn_is_ssl only since 2.4.48. */
APR_DECLARE_OPTIONAL_FN(int, ssl_is_https, (conn_rec *));

int wsgi_shim_is_tls(conn_rec *c)
{
    APR_OPTIONAL_FN_TYPE(ssl_is_https) *is_https = APR_RETRIEVE_OPTIONAL_FN(ssl_is_https);
    return is_https && is_https(c->master ? c->master : c);
}

APR_DECLARE_OPTIONAL_FN(char *, ssl_var_lookup, (apr_pool_t *, server_rec *, conn_rec *, request_rec *, char *));

const char *wsgi_shim_tls_variable(request_rec *r, const char *name)
{
    APR_OPTIONAL_FN_TYPE(ssl_var_lookup) *lookup = APR_RETRIEVE_OPTIONAL_FN(ssl_var_lookup);
    return lookup ? lookup(r->pool, r->server, r->connection, r, (char *)name) : NULL;
}

int wsgi_shim_socket(conn_rec *c)
{
    apr_os_sock_t descriptor = -1;
    apr_socket_t *socket = c->master ? NULL : ap_get_conn_socket(c);
    if (!socket || apr_os_sock_get(&descriptor, socket) != APR_SUCCESS) {
        return -1;
    }
    return descriptor;
}

apr_interval_time_t wsgi_shim_exchange_timeout(conn_rec *c, apr_interval_time_t timeout)
{
    apr_interval_time_t before = -1;
    apr_socket_t *socket = c->master ? NULL : ap_get_conn_socket(c);
    if (!socket || apr_socket_timeout_get(socket, &before) != APR_SUCCESS) {
        return -1;
    }
    apr_socket_timeout_set(socket, timeout);
    return before;
}

void wsgi_shim_become_get(request_rec *r)
{
    r->method = "GET";
    r->method_number = M_GET;
    apr_table_unset(r->headers_in, "Content-Length");
    apr_table_unset(r->headers_in, "Transfer-Encoding");
}

int wsgi_shim_passes_authorization(const request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    return core->cgi_pass_auth == AP_CGI_PASS_AUTH_ON;
}

int wsgi_shim_wants_current_uri(const request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *rule = core->cgi_var_rules
        ? apr_hash_get(core->cgi_var_rules, "REQUEST_URI", APR_HASH_KEY_STRING) : NULL;
    return rule && !strcmp(rule, "current-uri");
}

int wsgi_shim_is_mmap_off(const request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    return core->enable_mmap == ENABLE_MMAP_OFF;
}

int wsgi_shim_has_content_filter(const request_rec *r)
{
    return r->output_filters && r->output_filters->frec
        && r->output_filters->frec->ftype < AP_FTYPE_PROTOCOL;
}

int wsgi_shim_is_aborted(const conn_rec *c)
{
    return c->aborted != 0;
}

void wsgi_shim_set_aborted(conn_rec *c)
{
    c->aborted = 1;
}

/* That of the httpd that runs, which need not be the one whose headers this was compiled with. It never changes, so that
 * nobody can see the text half written. */
const char *wsgi_shim_httpd_version(void)
{
    static char text[64];
    ap_version_t version;

    ap_get_server_revision(&version);
    apr_snprintf(text, sizeof(text), "%d.%d.%d", version.major, version.minor, version.patch);
    return text;
}

/* HTTP_IN says 100 Continue, or that no body will come, before a blocking read only (http_filters.c): the same for a
 * read that does not block and found nothing. */
int wsgi_shim_expect_body(request_rec *r)
{
    int status = r->status;
    const char *line = r->status_line;
    if (!r->expecting_100 || r->proto_num < HTTP_VERSION(1, 1) || r->eos_sent || r->bytes_sent)
        return 1;
    if (!ap_is_HTTP_SUCCESS(status))
        return 0;
    r->status = HTTP_CONTINUE;
    r->status_line = NULL;
    ap_send_interim_response(r, 0);
    r->status = status;
    r->status_line = line;
    return 1;
}
