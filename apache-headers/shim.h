/* What only C can say: httpd and APR macros as functions. Decides nothing. */
#ifndef WSGI_SHIM_H
#define WSGI_SHIM_H

#include "httpd.h"
#include "http_log.h"
#include "util_filter.h"
#include "apr_buckets.h"

/* APLOG_IS_LEVEL and ap_log_*error for the module `wsgi`; `text` is one finished line. */
int wsgi_shim_is_logged_server(const server_rec *s, int level);
int wsgi_shim_is_logged_request(const request_rec *r, int level);
void wsgi_shim_log_server(const server_rec *s, int level, const char *text);
void wsgi_shim_log_request(const request_rec *r, int level, const char *text);

/* Ring macros. */
void wsgi_shim_append(apr_bucket_brigade *bb, apr_bucket *b);
apr_bucket *wsgi_shim_first(apr_bucket_brigade *bb);
int wsgi_shim_is_empty(const apr_bucket_brigade *bb);

/* Bucket kinds and calls through the type. */
int wsgi_shim_is_eos(const apr_bucket *b);
int wsgi_shim_is_metadata(const apr_bucket *b);
apr_status_t wsgi_shim_read(apr_bucket *b, const char **data, apr_size_t *len);
void wsgi_shim_delete(apr_bucket *b);

/* APR_STATUS_IS_* take in several numbers. */
int wsgi_shim_is_timeup(apr_status_t status);
int wsgi_shim_is_gone(apr_status_t status);
int wsgi_shim_is_again(apr_status_t status);

/* Before the body of a request is waited for: lets a client that waits for 100 Continue go on. False if it will never
 * send a body, because a response with an error status has begun. */
int wsgi_shim_expect_body(request_rec *r);

/* The connection is TLS (mod_ssl or another module that answers for it). */
int wsgi_shim_is_tls(conn_rec *c);

/* A variable of mod_ssl's about the request's connection, a string of its pool; null without mod_ssl. */
const char *wsgi_shim_tls_variable(request_rec *r, const char *name);

/* The socket of an HTTP/1 connection, or -1. */
int wsgi_shim_socket(conn_rec *c);

/* Exchanges the time limit of each read and write of an HTTP/1 connection's socket (microseconds); the
 * one before, or -1 if there is no socket. */
apr_interval_time_t wsgi_shim_exchange_timeout(conn_rec *c, apr_interval_time_t timeout);

/* Makes the request a GET without a body, whatever it was: what an internal redirect is to see. */
void wsgi_shim_become_get(request_rec *r);

/* Per-directory settings of the core that have no accessor: `CGIPassAuth On`,
 * `CGIVar REQUEST_URI current-uri`, `EnableMMAP Off`. */
int wsgi_shim_passes_authorization(const request_rec *r);
int wsgi_shim_wants_current_uri(const request_rec *r);
int wsgi_shim_is_mmap_off(const request_rec *r);

/* The first output filter changes content (mod_deflate, say): a HEAD must then be run as a GET. */
int wsgi_shim_has_content_filter(const request_rec *r);

/* conn_rec::aborted is a bit-field in some 2.4 releases and a field in others. */
int wsgi_shim_is_aborted(const conn_rec *c);
void wsgi_shim_set_aborted(conn_rec *c);

/* AP_SERVER_* as text. */
const char *wsgi_shim_httpd_version(void);

#endif
