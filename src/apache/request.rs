//! A request_rec: what httpd knows of a request, read without copying.
//!
//! Every method that gives bytes gives httpd's own, which live in the request's pool.

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::bindings as c;
use super::config;
use super::hook::Answer;
use super::pool::{Pool, optional_bytes};
use super::server::Server;
use super::table::Table;
use crate::config::{Alias, DirectoryWritten};

/// What httpd found at the place that a URL was mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Missing,
    Directory,
    Other,
}

/// mod_ssl's variables about one request's connection, for whoever is asked about it.
pub(crate) struct TlsVariables<'a>(Request<'a>);

impl gateway::Asker for TlsVariables<'_> {
    fn variable(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let name = self.0.pool().copy(name);
        // SAFETY: the shim asks mod_ssl's optional function about a live request; the value is null or a C string of the
        // request's pool or longer.
        unsafe { optional_bytes(c::wsgi_shim_tls_variable(self.0.raw, name.as_ptr())) }.map(<[u8]>::to_vec)
    }
}

/// Which alias mapped which URL.
#[derive(Clone, Copy)]
struct Mapping {
    alias: *const Alias,
    uri: *const c_char,
}

/// A live request.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    raw: *mut c::request_rec,
    life: PhantomData<&'a c::request_rec>,
}

impl<'a> Request<'a> {
    /// # Safety
    /// `raw` is the request_rec that httpd passed to a hook, and `'a` ends with that hook.
    pub(super) unsafe fn from_raw(raw: *mut c::request_rec) -> Self {
        Request { raw, life: PhantomData }
    }

    /// Where httpd's record is; for who hands it on, unseen, to other C code.
    pub(crate) fn address(self) -> *mut std::ffi::c_void {
        self.raw.cast()
    }

    pub(super) fn as_raw(self) -> *mut c::request_rec {
        self.raw
    }

    /// A copy of the pointer's target would be wrong (httpd writes to it), so each method reads
    /// through the pointer and holds no reference across a call into httpd.
    fn record(self) -> &'a c::request_rec {
        // SAFETY: live for 'a (from_raw), and only this thread works on the request in a hook.
        unsafe { &*self.raw }
    }

    pub(super) fn connection(self) -> &'a c::conn_rec {
        // SAFETY: a request's connection outlives it (httpd.h).
        unsafe { &*self.record().connection }
    }

    fn bytes(self, raw: *const c_char) -> Option<&'a [u8]> {
        // SAFETY: strings of a request_rec are NUL-terminated and live in its pool or longer.
        unsafe { optional_bytes(raw) }
    }

    pub(crate) fn pool(self) -> Pool<'a> {
        // SAFETY: the request's own pool, which lives as long as the request.
        unsafe { Pool::from_raw(self.record().pool) }
    }

    pub(crate) fn server(self) -> Server<'a> {
        // SAFETY: a request's server belongs to the configuration of the child, which outlives it.
        unsafe { Server::from_raw(self.record().server) }
    }

    /// What the module's directives said for this request's sections, merged.
    pub(crate) fn directory_settings(self) -> &'a DirectoryWritten {
        // SAFETY: per_dir_config of a live request; httpd made our slot by create or merge_dir_config.
        unsafe { config::directory_settings(self.record().per_dir_config) }
    }

    // ---- request line and URL ----

    pub(crate) fn method(self) -> &'a [u8] {
        self.bytes(self.record().method).unwrap_or(b"GET")
    }

    pub(crate) fn is_head(self) -> bool {
        self.record().header_only != 0
    }

    pub(crate) fn protocol(self) -> &'a [u8] {
        self.bytes(self.record().protocol).unwrap_or(b"")
    }

    /// `http` or `https`.
    pub(crate) fn scheme(self) -> &'a [u8] {
        // SAFETY: ap_run_http_scheme reads the request and gives a static string (http_core.h).
        unsafe { optional_bytes(c::ap_run_http_scheme(self.raw)) }.unwrap_or(b"http")
    }

    /// The whole request line.
    pub(crate) fn request_line(self) -> &'a [u8] {
        self.bytes(self.record().the_request).unwrap_or(b"")
    }

    /// The decoded path.
    pub(crate) fn uri(self) -> &'a [u8] {
        self.bytes(self.record().uri).unwrap_or(b"")
    }

    /// What follows the script in the path.
    pub(crate) fn path_info(self) -> &'a [u8] {
        self.bytes(self.record().path_info).unwrap_or(b"")
    }

    pub(crate) fn query(self) -> &'a [u8] {
        self.bytes(self.record().args).unwrap_or(b"")
    }

    /// The host that the client asked for, lower case, without port.
    pub(crate) fn host(self) -> Option<&'a [u8]> {
        self.bytes(self.record().hostname)
    }

    // ---- file ----

    pub(crate) fn filename(self) -> &'a [u8] {
        self.bytes(self.record().filename).unwrap_or(b"")
    }

    pub(crate) fn set_filename(self, filename: &'a CStr) {
        // SAFETY: httpd lets a translate_name hook set filename to a string of the request's pool.
        unsafe { (*self.raw).filename = filename.as_ptr().cast_mut() }
    }

    /// Looks the file name up without its last `rest` bytes, which become PATH_INFO; `None`, and nothing changed, if no
    /// regular file is there.
    pub(crate) fn look_up_file(self, rest: usize) -> Option<Answer> {
        let name = self.filename();
        let (file, path_info) = (self.pool().copy(&name[..name.len() - rest]), &name[name.len() - rest..]);
        // SAFETY: a map_to_storage hook may set filename, finfo and path_info, as the core's own does, and call its walks,
        // which read and write the live request (http_request.h). `file` is a C string of the request's pool; `path_info`
        // is the end of one, with its NUL.
        unsafe {
            let mut found: c::apr_finfo_t = std::mem::zeroed();
            let status = c::apr_stat(&mut found, file.as_ptr(), c::APR_FINFO_MIN as i32, (*self.raw).pool);
            if status != 0 || found.filetype != c::apr_filetype_e_APR_REG {
                return None;
            }
            (*self.raw).finfo = found;
            (*self.raw).filename = file.as_ptr().cast_mut();
            let status = match c::ap_directory_walk(self.raw) {
                0 => c::ap_file_walk(self.raw),
                status => status,
            };
            (*self.raw).path_info = path_info.as_ptr().cast_mut().cast();
            Some(if status == 0 { Answer::Ok } else { Answer::Status(u16::try_from(status).unwrap_or(500)) })
        }
    }

    pub(crate) fn file_kind(self) -> FileKind {
        match self.record().finfo.filetype {
            c::apr_filetype_e_APR_NOFILE => FileKind::Missing,
            c::apr_filetype_e_APR_DIR => FileKind::Directory,
            _ => FileKind::Other,
        }
    }

    /// Modification time of the file, µs since the epoch.
    pub(crate) fn file_mtime_us(self) -> i64 {
        self.record().finfo.mtime
    }

    pub(crate) fn rejects_path_info(self) -> bool {
        self.record().used_path_info == c::AP_REQ_REJECT_PATH_INFO as i32
    }

    /// `Options ExecCGI` holds here.
    pub(crate) fn may_execute(self) -> bool {
        // SAFETY: ap_allow_options reads the request's configuration (http_core.h).
        unsafe { c::ap_allow_options(self.raw) & c::OPT_EXECCGI as i32 != 0 }
    }

    pub(crate) fn document_root(self) -> Option<&'a [u8]> {
        // SAFETY: a string of the configuration or of the request's pool (http_core.h).
        unsafe { optional_bytes(c::ap_document_root(self.raw)) }
    }

    pub(crate) fn context_prefix(self) -> Option<&'a [u8]> {
        // SAFETY: a string of the configuration or of the request's pool, set by mod_alias or httpd's core (http_core.h,
        // ap_set_context_info).
        unsafe { optional_bytes(c::ap_context_prefix(self.raw)) }
    }

    pub(crate) fn context_document_root(self) -> Option<&'a [u8]> {
        // SAFETY: a string of the configuration or of the request's pool (http_core.h, ap_set_context_info), or the
        // document root.
        unsafe { optional_bytes(c::ap_context_document_root(self.raw)) }
    }

    // ---- handler ----

    pub(crate) fn handler(self) -> Option<&'a [u8]> {
        self.bytes(self.record().handler)
    }

    pub(crate) fn set_handler(self, handler: &'static CStr) {
        // SAFETY: httpd lets hooks set handler to a string that outlives the request.
        unsafe { (*self.raw).handler = handler.as_ptr() }
    }

    /// Remembers which alias mapped the request, for the handler.
    pub(crate) fn set_alias(self, alias: &'a Alias) {
        let kept = self.pool().place(Mapping { alias, uri: self.record().uri });
        // SAFETY: request_config has a slot for each module, made with the request (httpd's
        // ap_create_request); `alias` belongs to the configuration, which outlives the request.
        unsafe { config::set_slot(self.record().request_config, std::ptr::from_ref(kept).cast_mut().cast()) }
    }

    /// The alias that mapped the request's URL, if one is known to have.
    pub(crate) fn alias(self) -> Option<&'a Alias> {
        // SAFETY: only set_alias fills our slot of request_config, with a record of the request's pool.
        let mapping = unsafe { config::slot(self.record().request_config).cast::<Mapping>().as_ref() }?;
        // A fast internal redirect (DirectoryIndex) puts another URL into the request and keeps the slot.
        // SAFETY: the alias belongs to the configuration, which outlives the request.
        (mapping.uri == self.record().uri).then(|| unsafe { &*mapping.alias })
    }

    // ---- tables ----

    fn table(self, raw: *mut c::apr_table_t) -> Table<'a> {
        // SAFETY: a request's tables are made with it and live in its pool.
        unsafe { Table::from_raw(raw) }
    }

    pub(crate) fn headers(self) -> Table<'a> {
        self.table(self.record().headers_in)
    }

    pub(crate) fn environment(self) -> Table<'a> {
        self.table(self.record().subprocess_env)
    }

    pub(crate) fn notes(self) -> Table<'a> {
        self.table(self.record().notes)
    }

    pub(crate) fn response_headers(self) -> Table<'a> {
        self.table(self.record().headers_out)
    }

    /// Headers that stay when httpd answers with its own error document.
    pub(crate) fn error_headers(self) -> Table<'a> {
        self.table(self.record().err_headers_out)
    }

    // ---- who and where ----

    pub(crate) fn server_name(self) -> &'a [u8] {
        // SAFETY: UseCanonicalName's answer and its escaped copy are strings of the request's pool
        // (http_core.h, ap_get_server_name; httpd.h, ap_escape_html2).
        unsafe {
            let name = c::ap_get_server_name(self.raw);
            optional_bytes(c::ap_escape_html2(self.record().pool, name, 0)).unwrap_or(b"")
        }
    }

    /// The port by UseCanonicalName and UseCanonicalPhysicalPort, which may be the client's word.
    pub(crate) fn server_port(self) -> u16 {
        // SAFETY: ap_get_server_port reads the request (http_core.h).
        unsafe { c::ap_get_server_port(self.raw) }
    }

    /// The port that the connection came in on.
    pub(crate) fn listener_port(self) -> u16 {
        // SAFETY: local_addr is set with the connection and lives as long.
        unsafe { self.connection().local_addr.as_ref() }.map_or(0, |address| address.port)
    }

    /// The host that the listener was configured with, if any.
    pub(crate) fn listener_host(self) -> Option<&'a [u8]> {
        // SAFETY: local_addr is set with the connection and lives as long, and so does the hostname in it, which is null or a
        // string of the listener's pool (apr_network_io.h, apr_sockaddr_t).
        let address = unsafe { self.connection().local_addr.as_ref() }?;
        self.bytes(address.hostname)
    }

    pub(crate) fn server_address(self) -> Option<&'a [u8]> {
        self.bytes(self.connection().local_ip)
    }

    /// The client's address, as mod_remoteip may have replaced it.
    pub(crate) fn client_address(self) -> Option<&'a [u8]> {
        self.bytes(self.record().useragent_ip)
    }

    pub(crate) fn client_port(self) -> u16 {
        // SAFETY: client_addr is set with the connection and lives as long.
        unsafe { self.connection().client_addr.as_ref() }.map_or(0, |address| address.port)
    }

    pub(crate) fn user(self) -> Option<&'a [u8]> {
        self.bytes(self.record().user)
    }

    pub(crate) fn auth_type(self) -> Option<&'a [u8]> {
        self.bytes(self.record().ap_auth_type)
    }

    /// Says who the request's user is, whatever he called himself.
    pub(crate) fn set_user(self, user: &'a CStr) {
        // SAFETY: httpd lets a provider set user to a string of the request's pool, as its own modules do.
        unsafe { (*self.raw).user = user.as_ptr().cast_mut() }
    }

    /// The client's name, if `HostnameLookups` has it looked up and it has one; never its address.
    pub(crate) fn remote_host(self) -> Option<&'a [u8]> {
        // SAFETY: a string of the request's or the connection's pool, or null (http_core.h).
        unsafe { optional_bytes(c::ap_get_useragent_host(self.raw, c::REMOTE_HOST as i32, std::ptr::null_mut())) }
    }

    /// The client's name, if `HostnameLookups` has it looked up and it has one; else its address.
    pub(crate) fn client_name(self) -> &'a [u8] {
        // SAFETY: as for `remote_host`.
        unsafe { optional_bytes(c::ap_get_useragent_host(self.raw, c::REMOTE_NAME as i32, std::ptr::null_mut())) }
            .unwrap_or(b"")
    }

    /// `ServerSignature`'s line; may be empty.
    pub(crate) fn signature(self) -> &'a [u8] {
        // SAFETY: a string of the request's pool (httpd.h).
        unsafe { optional_bytes(c::ap_psignature(c"".as_ptr(), self.raw)) }.unwrap_or(b"")
    }

    /// A client that is not let in may log in instead (`Satisfy Any`).
    pub(crate) fn may_log_in_instead(self) -> bool {
        // The newer ap_some_authn_required runs this very hook again.
        // SAFETY: both read the request's configuration (http_core.h, http_request.h).
        unsafe { c::ap_satisfies(self.raw) == c::SATISFY_ANY as i32 && c::ap_some_auth_required(self.raw) != 0 }
    }

    /// The words of a configuration line, by httpd's rules for quotes.
    pub(crate) fn words(self, line: &[u8]) -> Vec<&'a [u8]> {
        let mut words = Vec::new();
        let mut rest = self.pool().copy(line).as_ptr();
        // SAFETY: `rest` is a C string of the request's pool, which ap_getword_conf moves on in; each word is a copy in the
        // same pool, empty at the end (httpd.h).
        while let Some(word) = unsafe { optional_bytes(c::ap_getword_conf(self.record().pool, &mut rest)) } {
            if word.is_empty() {
                break;
            }
            words.push(word);
        }
        words
    }

    /// mod_ssl's variables about the request's connection.
    pub(crate) fn tls_variables(self) -> TlsVariables<'a> {
        TlsVariables(self)
    }

    /// The connection is TLS.
    pub(crate) fn is_tls(self) -> bool {
        // SAFETY: the shim asks mod_ssl's optional function about a live connection.
        unsafe { c::wsgi_shim_is_tls(self.record().connection) != 0 }
    }

    /// `CGIPassAuth On`.
    pub(crate) fn passes_authorization(self) -> bool {
        // SAFETY: the shim reads the core's per-directory configuration of a live request.
        unsafe { c::wsgi_shim_passes_authorization(self.raw) != 0 }
    }

    /// `CGIVar REQUEST_URI current-uri`.
    pub(crate) fn wants_current_uri(self) -> bool {
        // SAFETY: the shim reads the core's per-directory configuration of a live request.
        unsafe { c::wsgi_shim_wants_current_uri(self.raw) != 0 }
    }

    /// The first output filter changes content, as mod_deflate's does.
    pub(crate) fn has_content_filter(self) -> bool {
        // SAFETY: the shim reads the filter chain of a live request.
        unsafe { c::wsgi_shim_has_content_filter(self.raw) != 0 }
    }

    /// The request that an internal redirect came from.
    pub(crate) fn previous(self) -> Option<Request<'a>> {
        let previous = self.record().prev;
        // SAFETY: prev is null or the request_rec that this one was made from, of the same life.
        (!previous.is_null()).then(|| unsafe { Request::from_raw(previous) })
    }

    /// When httpd read the request line, µs since the epoch.
    pub(crate) fn time_us(self) -> u64 {
        self.record().request_time.max(0) as u64
    }

    /// The id that `%L` writes in the error log; made now if nothing was logged yet.
    pub(crate) fn log_id(self) -> Option<&'a [u8]> {
        if self.record().log_id.is_null() {
            let mut id = std::ptr::null();
            // SAFETY: the hook writes a string of the request's pool (http_core.h, generate_log_id);
            // storing it is what httpd's own logging does on the first line of a request.
            unsafe {
                if c::ap_run_generate_log_id(self.record().connection, self.raw, &mut id) == c::OK as i32 {
                    (*self.raw).log_id = id;
                }
            }
        }
        self.bytes(self.record().log_id)
    }

    /// The connection's log id, if httpd has made one.
    pub(crate) fn connection_id(self) -> Option<&'a [u8]> {
        self.bytes(self.connection().log_id)
    }

    // ---- request body ----

    /// `LimitRequestBody`, bytes; 0 means no limit.
    pub(crate) fn body_limit(self) -> u64 {
        // SAFETY: reads the core's configuration for the request (http_core.h).
        unsafe { c::ap_get_limit_req_body(self.raw) }.max(0) as u64
    }

    /// The request has a body, or may have one: only HTTP/2 leaves open whether one comes.
    pub(crate) fn may_have_body(self) -> bool {
        match self.headers().get(c"Content-Length") {
            Some(length) => length != b"0",
            None => self.headers().get(c"Transfer-Encoding").is_some() || !self.connection().master.is_null(),
        }
    }

    /// `Timeout`, as the request's server has it.
    pub(crate) fn timeout(self) -> Duration {
        // SAFETY: a request's server outlives it.
        let timeout = unsafe { (*self.record().server).timeout };
        Duration::from_micros(timeout.max(0) as u64)
    }

    // ---- the client's connection ----

    /// The socket of the client's connection, to be watched; a stream of HTTP/2 has none of its own.
    pub(crate) fn client_socket(self) -> Option<BorrowedFd<'a>> {
        // SAFETY: the shim reads the live connection. httpd closes its socket only after the handler has
        // returned, which ends 'a.
        unsafe {
            let socket = c::wsgi_shim_socket(self.record().connection);
            (socket >= 0).then(|| BorrowedFd::borrow_raw(socket))
        }
    }

    /// Exchanges the limit of each read and write on the client's socket; the one before, if there is a socket.
    pub(crate) fn exchange_socket_timeout(self, timeout: Duration) -> Option<Duration> {
        let timeout = i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX);
        // SAFETY: the shim sets a field of the live connection's socket, as mod_reqtimeout does.
        let before = unsafe { c::wsgi_shim_exchange_timeout(self.record().connection, timeout) };
        u64::try_from(before).ok().map(Duration::from_micros)
    }

    /// Gives the connection up: nothing more is sent on it, and it is closed after the request.
    pub(crate) fn abandon(self) {
        // SAFETY: the connection is live; both fields are the handler's to set (as in `Output::break_off`).
        unsafe {
            let connection = self.record().connection;
            (*connection).keepalive = c::ap_conn_keepalive_e_AP_CONN_CLOSE;
            c::wsgi_shim_set_aborted(connection);
        }
    }

    // ---- response ----

    /// Has httpd answer with what it has at `path`, as if a GET had asked for it.
    ///
    /// Source: RFC 3875, 6.2.2 (local redirect); mod_cgi does the same.
    pub(crate) fn redirect_to(self, path: &[u8]) {
        let path = self.pool().copy(path);
        // SAFETY: the request is live and its handler gives it up by this call (http_request.h,
        // ap_internal_redirect_handler). What is left of its body must be gone before its headers are changed:
        // httpd would take it for the next request.
        unsafe {
            c::ap_discard_request_body(self.raw);
            c::wsgi_shim_become_get(self.raw);
            c::ap_internal_redirect_handler(path.as_ptr(), self.raw);
        }
    }

    /// Status of the response.
    pub(crate) fn status(self) -> i32 {
        self.record().status
    }

    /// Status and reason phrase of the response; an empty `line` takes httpd's own phrase.
    pub(crate) fn set_status(self, code: u16, line: Option<&'a CStr>) {
        // SAFETY: the handler owns the response fields; `line` lives in the request's pool.
        unsafe {
            (*self.raw).status = i32::from(code);
            (*self.raw).status_line = line.map_or(std::ptr::null(), CStr::as_ptr);
        }
    }

    /// `Content-Type`, which output filters act on.
    pub(crate) fn set_content_type(self, value: &'a CStr) {
        // SAFETY: ap_set_content_type keeps the pointer, which lives in the request's pool.
        unsafe { c::ap_set_content_type(self.raw, value.as_ptr()) }
    }

    /// `Content-Length`, in bytes.
    pub(crate) fn set_content_length(self, length: u64) {
        // SAFETY: plain setter (http_protocol.h).
        unsafe { c::ap_set_content_length(self.raw, i64::try_from(length).unwrap_or(i64::MAX)) }
    }

    /// The end of the response has gone into the output filters, whoever sent it.
    pub(crate) fn is_response_ended(self) -> bool {
        self.record().eos_sent != 0
    }

    /// The client has closed or reset the connection, or httpd gave it up.
    pub(crate) fn is_aborted(self) -> bool {
        // SAFETY: the shim reads one field of the live connection.
        unsafe { c::wsgi_shim_is_aborted(self.record().connection) != 0 }
    }
}
