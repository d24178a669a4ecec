//! One request and its response, as the Python half sees them.
//!
//! [`Exchange`] is the seam between the two halves: the host serves an exchange and cannot tell
//! whether it reaches httpd's filters directly (embedded), a connection to httpd (a worker), or a
//! test's memory.

use std::fmt;
use std::os::fd::BorrowedFd;

/// How a piece of the body is to be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// More follows at once: the piece may wait for it.
    More,
    /// The client must get the piece now (PEP 3333, "Buffering and Streaming").
    Flush,
    /// The piece is the last one and the response is complete.
    End,
}

/// Severity of a log line, by the names of RFC 5424 that httpd and Python's `logging` share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// `logging.CRITICAL`.
    Critical = 2,
    /// `logging.ERROR`; also whatever is written to `wsgi.errors`.
    Error = 3,
    /// `logging.WARNING`.
    Warning = 4,
    /// httpd's notice; Python has no counterpart.
    Notice = 5,
    /// `logging.INFO`.
    Info = 6,
    /// `logging.DEBUG`.
    Debug = 7,
}

impl Level {
    /// The level of httpd's number (`APLOG_CRIT` = 2 … `APLOG_DEBUG` = 7); anything else is clamped.
    pub fn from_number(number: i32) -> Level {
        match number {
            i32::MIN..=2 => Level::Critical,
            3 => Level::Error,
            4 => Level::Warning,
            5 => Level::Notice,
            6 => Level::Info,
            7..=i32::MAX => Level::Debug,
        }
    }
}

/// Why a piece of the request body could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The client closed or reset the connection before its body was complete.
    ClientGone,
    /// Nothing arrived for httpd's `Timeout` (or `RequestReadTimeout`).
    TimedOut,
    /// httpd refused the body (`LimitRequestBody`, malformed chunk) and has answered the client itself.
    Refused,
    /// Anything else, in httpd's words.
    Failed(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientGone => f.write_str("client closed the connection before the request body was complete"),
            Self::TimedOut => f.write_str("client sent nothing more of the request body within the time limit"),
            Self::Refused => f.write_str("request body was refused by the server (too large or malformed)"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

/// Why a piece of the response could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The client closed or reset the connection.
    ClientGone,
    /// httpd has already answered this request itself (see [`ReadError::Refused`]).
    Answered,
    /// Anything else, in httpd's words.
    Failed(String),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientGone => f.write_str("client connection closed"),
            Self::Answered => f.write_str("the server has already answered this request"),
            Self::Failed(reason) => write!(f, "failed to write response data: {reason}"),
        }
    }
}

/// How serving an exchange ended; the door turns it into what httpd and the client are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole response was handed on.
    Complete,
    /// Nothing was sent; httpd answers with this status and its own document.
    Status(u16),
    /// Part of a response was sent and the rest will not come: the door must break the transfer, so
    /// that no client takes it for a whole one.
    Incomplete,
}

impl Outcome {
    /// As one number, for the C ABI of the embedded door: 0, the status, or -1.
    pub fn to_number(self) -> i32 {
        match self {
            Self::Complete => 0,
            Self::Status(status) => i32::from(status),
            Self::Incomplete => -1,
        }
    }

    /// The inverse of [`Outcome::to_number`]; a number that is neither 0 nor a status is `Incomplete`.
    pub fn from_number(number: i32) -> Outcome {
        match number {
            0 => Self::Complete,
            400..=599 => Self::Status(number as u16),
            _ => Self::Incomplete,
        }
    }
}

/// The error log of a request's virtual host. May be used while another thread uses the [`Exchange`]: a
/// line must not wait for the client.
pub trait RequestLog {
    /// Whether lines of a level are written.
    fn is_logged(&self, level: Level) -> bool;

    /// Writes one record, if its level is on; more than one if it is too long ([`crate::record_pieces`]). Line feeds in it
    /// become `\\n`.
    fn log(&self, level: Level, line: &[u8]);
}

/// A request being answered: body in, head and body out.
///
/// Methods block; none may be called while the interpreter is attached.
pub trait Exchange {
    /// Reads at most `buf.len()` bytes of the request body; 0 means it has ended.
    ///
    /// Waits up to httpd's `Timeout` (seconds, per read). Chunked coding is already undone. The first
    /// call is what makes httpd send `100 Continue` to a client that waits for it.
    ///
    /// # Errors
    /// See [`ReadError`]. After an error every later call gives an error too.
    ///
    /// Source: httpd `ap_get_brigade` (util_filter.h); PEP 3333, "Input and Error Streams".
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ReadError>;

    /// Sets status and headers, from a head that `wire::ResponseHead` wrote. Nothing reaches the
    /// client before the first [`Exchange::write`] or [`Exchange::send_file`].
    ///
    /// # Errors
    /// [`WriteError::Failed`] if the head is malformed; [`WriteError::Answered`].
    fn start(&mut self, head: &[u8]) -> Result<(), WriteError>;

    /// Hands on a piece of the body (empty is allowed, to flush or to end).
    ///
    /// # Errors
    /// See [`WriteError`].
    fn write(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError>;

    /// Hands on `length` bytes of a regular file from `offset` (both in bytes) and ends the response.
    /// The descriptor need not outlive the call.
    ///
    /// # Errors
    /// See [`WriteError`].
    fn send_file(&mut self, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), WriteError>;

    /// Whether the client is known to have gone away.
    fn is_client_gone(&mut self) -> bool;

    /// httpd's own request, for an application that is to have it (`WSGIPassApacheRequest`); else null.
    fn request_rec(&self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }

    /// Says that the application has done: what is written from now on is the rest, and the request ends with it,
    /// so that it may go out together with the end. A hint.
    fn will_end(&mut self) {}

    /// Whether the client's connection is TLS, as far as scripts are told: of a question only.
    fn is_tls(&self) -> bool {
        false
    }

    /// [`crate::Asker::variable`], of a question; there is none of a request.
    fn variable(&mut self, _name: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
