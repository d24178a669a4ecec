//! The C ABI between the Apache module and the host library that it opens in an httpd child.
//!
//! Two shared objects, built apart and meeting in one process: the module looks up [`TABLE_SYMBOL`]
//! in the host and gets a [`HostTable`]; for each request it hands over an [`ExchangeTable`] with a
//! context pointer. Only plain C types cross. Both sides compare [`ABI`] and refuse to go on when it
//! differs, as it does when the two files come from different builds.

use std::ffi::{c_char, c_int, c_void};

/// Changes whenever anything in this file does.
pub const ABI: u32 = 4;

/// Name of the host's exported function `extern "C" fn() -> *const HostTable`.
pub const TABLE_SYMBOL: &std::ffi::CStr = c"wsgi_host_table";

/// Bytes that the callee may read until it returns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    /// First byte; not null, unless `len` is 0.
    pub data: *const u8,
    /// Length in bytes.
    pub len: usize,
}

/// What went wrong in a call of [`ExchangeTable`], with room for httpd's words.
#[repr(C)]
pub struct Fault {
    /// One of the `FAULT_` numbers; meaningful only when the call said that it failed.
    pub kind: c_int,
    /// Text for [`FAULT_FAILED`]: NUL-terminated, cut if longer.
    pub text: [c_char; 200],
}

/// `ClientGone`.
pub const FAULT_CLIENT_GONE: c_int = 1;
/// `TimedOut`.
pub const FAULT_TIMED_OUT: c_int = 2;
/// `Refused`.
pub const FAULT_REFUSED: c_int = 3;
/// `Answered`.
pub const FAULT_ANSWERED: c_int = 4;
/// `Failed`, with text.
pub const FAULT_FAILED: c_int = 5;

/// [`crate::Exchange`] as C functions; `context` is what [`HostTable::serve`] was given.
#[repr(C)]
pub struct ExchangeTable {
    /// Reads up to `len` bytes; the count, 0 at the end, -1 with `fault` filled in.
    pub read: unsafe extern "C" fn(context: *mut c_void, buf: *mut u8, len: usize, fault: *mut Fault) -> isize,
    /// Sets the response head; 0 or -1.
    pub start: unsafe extern "C" fn(context: *mut c_void, head: Bytes, fault: *mut Fault) -> c_int,
    /// Writes a piece, `flow` 0 = more, 1 = flush, 2 = end; 0 or -1.
    pub write: unsafe extern "C" fn(context: *mut c_void, piece: Bytes, flow: c_int, fault: *mut Fault) -> c_int,
    /// Sends part of a file and ends; 0 or -1.
    pub send_file:
        unsafe extern "C" fn(context: *mut c_void, fd: c_int, offset: u64, length: u64, fault: *mut Fault) -> c_int,
    /// 1 if the client has gone.
    pub is_client_gone: unsafe extern "C" fn(context: *mut c_void) -> c_int,
}

/// [`crate::RequestLog`] as C functions; `context` is the log context of [`HostTable::serve`].
#[repr(C)]
pub struct LogTable {
    /// Whether a line of that level would be written for the request's virtual host.
    pub is_logged: unsafe extern "C" fn(context: *const c_void, level: c_int) -> c_int,
    /// Logs one line at httpd's level number.
    pub log: unsafe extern "C" fn(context: *const c_void, level: c_int, line: Bytes),
}

/// Both sides of a request, each with its own context: the log may be used while the exchange is in use.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Served {
    /// The exchange's functions.
    pub exchange: *const ExchangeTable,
    /// Their context.
    pub exchange_context: *mut c_void,
    /// The log's functions.
    pub log: *const LogTable,
    /// Their context.
    pub log_context: *const c_void,
    /// [`crate::Exchange::request_rec`].
    pub request_rec: *mut c_void,
}

/// What a script may ask back, and where the answer goes, as C functions; `context` is that of [`HostTable::ask`].
#[repr(C)]
pub struct AskerTable {
    /// [`crate::Asker::variable`]: 1 with `value` filled in, which the host may read until it calls again or `ask`
    /// returns; 0 if there is none.
    pub variable: unsafe extern "C" fn(context: *mut c_void, name: Bytes, value: *mut Bytes) -> c_int,
    /// Takes the answer, a block of `wire::write_answer`; once, before `ask` returns.
    pub answer: unsafe extern "C" fn(context: *mut c_void, block: Bytes),
}

/// Who asks a question, and the log of its request.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Asked {
    /// The asker's functions.
    pub asker: *const AskerTable,
    /// Their context.
    pub asker_context: *mut c_void,
    /// The log's functions.
    pub log: *const LogTable,
    /// Their context.
    pub log_context: *const c_void,
    /// [`crate::Asker::request_rec`].
    pub request_rec: *mut c_void,
}

/// What the host needs of the process that it lives in; valid until the process ends.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProcessTable {
    /// [`ABI`] of the module.
    pub abi: u32,
    /// Logs one line, of no request, to the main error log.
    pub log: unsafe extern "C" fn(level: c_int, line: Bytes),
    /// Whether a line of that level would be written for the main server.
    pub is_logged: unsafe extern "C" fn(level: c_int) -> c_int,
    /// Hands what httpd's scoreboard says (a `wire::ServerBlock`) to `take`, which copies it; does not call it where
    /// applications may not know.
    pub server: unsafe extern "C" fn(take: TakeBytes, context: *mut c_void),
}

/// What is called with bytes that are there for the length of the call.
pub type TakeBytes = unsafe extern "C" fn(context: *mut c_void, block: Bytes);

/// The host's functions. All are safe to call from any thread, none while holding the GIL.
#[repr(C)]
pub struct HostTable {
    /// [`ABI`] of the host.
    pub abi: u32,
    /// Keeps `process` and the settings (a `wire::Settings` block, copied) for the interpreter that
    /// is about to start. Once per process, before Python starts. 0, or -1 if the ABI differs or the
    /// settings cannot be read.
    pub prepare: unsafe extern "C" fn(process: *const ProcessTable, settings: Bytes) -> c_int,
    /// Waits until the main interpreter takes requests; 0, or -1 if it ended or `limit_ms` passed.
    pub wait_ready: unsafe extern "C" fn(limit_ms: u64) -> c_int,
    /// Tells the host that Python's main function has returned, so that nobody waits for it.
    pub ended: unsafe extern "C" fn(),
    /// Serves one request (a `wire::RequestHead` in `head`) on the calling thread; the number of an
    /// [`crate::Outcome`].
    pub serve: unsafe extern "C" fn(request: Served, head: Bytes) -> c_int,
    /// Puts a question (a `wire::Question` block) to a script on the calling thread. Its answer has been handed over
    /// when this returns; none after a defect.
    pub ask: unsafe extern "C" fn(asked: Asked, question: Bytes),
    /// Loads a script into an application group ahead of its first request; 0, or -1 after logging why not.
    pub import_script: unsafe extern "C" fn(path: Bytes, application_group: Bytes) -> c_int,
    /// Stops taking requests, runs the interpreters' exit functions, and waits at most `limit_ms`
    /// for all of it; 0, or -1 if something did not end in time, or 1 if the calling thread is itself
    /// inside a request, so that there is nothing to wait for.
    pub stop: unsafe extern "C" fn(limit_ms: u64) -> c_int,
}
