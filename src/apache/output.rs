//! The response body, into httpd's output filters.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use gateway::{Flow, WriteError};

use super::bindings as c;
use super::request::Request;
use super::status::status_text;

/// Longest last piece that is written before the handler returns, bytes. What fits the socket's buffer
/// is written without waiting; more could hold the thread for a slow client.
const WRITTEN_AT_ONCE: usize = 8 << 10;

/// Hands the body of one response to httpd.
pub(crate) struct Output<'r> {
    request: Request<'r>,
    brigade: *mut c::apr_bucket_brigade,
    started: bool,
    ended: bool,
}

impl<'r> Output<'r> {
    pub(crate) fn new(request: Request<'r>) -> Self {
        Output { request, brigade: std::ptr::null_mut(), started: false, ended: false }
    }

    /// Something was handed to the filters, so status and headers are on their way.
    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    /// The whole response was handed to the filters.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Passes one piece on, with what its flow asks for, in one brigade.
    pub(crate) fn write(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError> {
        let brigade = self.brigade();
        let allocator = self.request.connection().bucket_alloc;
        // SAFETY: brigade and allocator belong to the request's connection. A transient bucket points
        // at `piece`, which the caller keeps until pass() returns; a filter that keeps the bucket
        // longer copies it first (apr_buckets.h, setaside).
        unsafe {
            if !piece.is_empty() {
                c::wsgi_shim_append(
                    brigade,
                    c::apr_bucket_transient_create(piece.as_ptr().cast(), piece.len(), allocator),
                );
            }
            match flow {
                Flow::More => {}
                Flow::Flush => c::wsgi_shim_append(brigade, c::apr_bucket_flush_create(allocator)),
                Flow::End => c::wsgi_shim_append(brigade, c::apr_bucket_eos_create(allocator)),
            }
        }
        self.ended = flow == Flow::End;
        self.pass()?;
        if flow == Flow::End && piece.len() <= WRITTEN_AT_ONCE {
            self.flush_connection();
        }
        Ok(())
    }

    /// Has the connection write the ended response now rather than after the handler has returned.
    ///
    /// httpd looks once for a further request before it gives a connection back to the listener; with the
    /// response out already, the next request of a client that was waiting for it is often there, which
    /// saves two thread switches (docs/benchmarks.md). Below the request's filters, so that none of them
    /// sees a flush. HTTP/2 streams have a writer of their own.
    fn flush_connection(&mut self) {
        let connection = self.request.connection();
        if !connection.master.is_null() {
            return;
        }
        // SAFETY: brigade, allocator and filters belong to the request's live connection.
        unsafe {
            c::wsgi_shim_append(self.brigade, c::apr_bucket_flush_create(connection.bucket_alloc));
            // A client that has left is noticed by whoever uses the connection next.
            c::ap_pass_brigade(connection.output_filters, self.brigade);
            c::apr_brigade_cleanup(self.brigade.cast());
        }
    }

    /// Passes part of a regular file on, and the end, in one brigade.
    pub(crate) fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        with_sendfile: bool,
    ) -> Result<(), WriteError> {
        let owned = own_copy(file).map_err(|err| WriteError::Failed(err.to_string()))?;
        let kept = self.request.pool().keep(owned);
        let brigade = self.brigade();
        // SAFETY: the descriptor is ours and stays open until the request's pool goes (keep), later
        // than any filter's use of the bucket; apr_os_file_put closes nothing (apr_portable.h).
        // A file bucket splits itself where one cannot be as long (apr_brigade_insert_file's rule: the
        // length of a bucket is apr_size_t, 64 bits wide wherever this module is built).
        unsafe {
            let pool = (*self.request.as_raw()).pool;
            let allocator = self.request.connection().bucket_alloc;
            let mut descriptor = kept.as_raw_fd();
            let mut apr_file = std::ptr::null_mut();
            let flags = c::APR_READ as i32 | if with_sendfile { c::APR_FOPEN_SENDFILE_ENABLED as i32 } else { 0 };
            let status = c::apr_os_file_put(&mut apr_file, &mut descriptor, flags, pool);
            if status != 0 {
                return Err(WriteError::Failed(status_text(status)));
            }
            if length > 0 {
                let bucket = c::apr_bucket_file_create(apr_file, offset as i64, length as usize, pool, allocator);
                if c::wsgi_shim_is_mmap_off(self.request.as_raw()) != 0 {
                    c::apr_bucket_file_enable_mmap(bucket, 0);
                }
                c::wsgi_shim_append(brigade, bucket);
            }
            c::wsgi_shim_append(brigade, c::apr_bucket_eos_create(allocator));
        }
        self.ended = true;
        self.pass()
    }

    /// Breaks the transfer: the client must not take what it got for a whole response.
    ///
    /// httpd's chunk filter leaves the last chunk out after an error bucket of 502, HTTP/2 resets the
    /// stream, and the connection is not kept (http_filters.c; mod_proxy ends a broken backend's
    /// response the same way). Where only the end of the connection marks the end of the body, the
    /// socket is set to end with a reset.
    pub(crate) fn break_off(&mut self) {
        let brigade = self.brigade();
        // SAFETY: request, connection and brigade are live; keepalive is the handler's to set.
        unsafe {
            let connection = (*self.request.as_raw()).connection;
            let allocator = (*connection).bucket_alloc;
            (*self.request.as_raw()).no_cache = 1;
            (*connection).keepalive = c::ap_conn_keepalive_e_AP_CONN_CLOSE;
            reset_on_close(c::wsgi_shim_socket(connection));
            let pool = (*self.request.as_raw()).pool;
            if self.request.is_response_ended() {
                // httpd has ended it: what is not written yet, the last chunk with it, goes no further.
                c::wsgi_shim_set_aborted(connection);
                return;
            }
            let error = c::ap_bucket_error_create(c::HTTP_BAD_GATEWAY as i32, std::ptr::null(), pool, allocator);
            c::wsgi_shim_append(brigade, error);
            c::wsgi_shim_append(brigade, c::apr_bucket_eos_create(allocator));
            c::ap_pass_brigade((*self.request.as_raw()).output_filters, brigade);
            c::apr_brigade_cleanup(brigade.cast());
            c::wsgi_shim_set_aborted(connection);
        }
    }

    fn brigade(&mut self) -> *mut c::apr_bucket_brigade {
        if self.brigade.is_null() {
            // SAFETY: pool and allocator of a live request; the brigade goes with the pool.
            self.brigade =
                unsafe { c::apr_brigade_create((*self.request.as_raw()).pool, self.request.connection().bucket_alloc) };
        }
        self.brigade
    }

    fn pass(&mut self) -> Result<(), WriteError> {
        self.started = true;
        // SAFETY: the brigade is ours and live; ap_pass_brigade may leave buckets in it on an error,
        // hence the cleanup (util_filter.h).
        let status = unsafe {
            let status = c::ap_pass_brigade((*self.request.as_raw()).output_filters, self.brigade);
            c::apr_brigade_cleanup(self.brigade.cast());
            status
        };
        if self.request.is_aborted() {
            return Err(WriteError::ClientGone);
        }
        // SAFETY: the shim's test is arithmetic on the number.
        let is_gone = unsafe { c::wsgi_shim_is_gone(status) } != 0;
        match status {
            0 => Ok(()),
            _ if is_gone => Err(WriteError::ClientGone),
            status => Err(WriteError::Failed(status_text(status))),
        }
    }
}

/// The same file with a descriptor and an offset of its own: httpd may still read from it when the
/// application goes on to use, or closes, its own.
fn own_copy(file: BorrowedFd<'_>) -> std::io::Result<OwnedFd> {
    match std::fs::File::open(format!("/proc/self/fd/{}", file.as_raw_fd())) {
        Ok(opened) => Ok(opened.into()),
        // A file that was opened by somebody with more rights, or no /proc: the offset is shared then.
        Err(_) => file.try_clone_to_owned(),
    }
}

/// SO_LINGER of zero seconds: close(2) sends a reset instead of a clean end (socket(7)).
fn reset_on_close(socket: i32) {
    if socket < 0 {
        return;
    }
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: setsockopt reads one struct linger of the size given; the descriptor is the live
    // connection's own (shim). A failure leaves a clean close, which Content-Length and chunked
    // framing still show to be short.
    unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            std::ptr::from_ref(&linger).cast(),
            size_of::<libc::linger>() as u32,
        );
    }
}
