//! What the host library calls: an exchange as C functions (`gateway::embedded`), and the process's log.
//!
//! Each function catches panics, since none may cross into the host.

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use gateway::embedded::{
    ABI, AskerTable, Bytes, ExchangeTable, FAULT_ANSWERED, FAULT_CLIENT_GONE, FAULT_FAILED, FAULT_REFUSED,
    FAULT_TIMED_OUT, Fault, LogTable, ProcessTable, TakeBytes,
};
use gateway::{Asker, Exchange, Flow, Level, ReadError, RequestLog, WriteError, record_pieces};

use super::log::Log;
use super::server::Server;

/// The process's functions, for [`gateway::embedded::HostTable::prepare`].
pub(super) const PROCESS: ProcessTable =
    ProcessTable { abi: ABI, log: log_of_process, is_logged: is_logged_in_process, server };

/// What gives the scoreboard to applications, if they may have it; fixed when Python starts.
pub(super) static SERVER: OnceLock<fn() -> Option<Vec<u8>>> = OnceLock::new();

/// An exchange's functions; their context is a `*mut &mut dyn Exchange`.
pub(super) static EXCHANGE: ExchangeTable = ExchangeTable { read, start, write, send_file, is_client_gone };

/// A request log's functions; their context is a `*const &dyn RequestLog`.
pub(super) static REQUEST_LOG: LogTable = LogTable { is_logged, log };

/// # Safety
/// `context` is what [`super::host::Host::serve`] passed, during that call and on one thread at a time.
unsafe fn exchange<'a>(context: *mut c_void) -> &'a mut dyn Exchange {
    // SAFETY: Host::serve passes the address of its own `&mut dyn Exchange`, which lives until serve returns; the host
    // makes one call at a time (ModuleExchange's methods take `&mut self`).
    unsafe { &mut **context.cast::<&mut dyn Exchange>() }
}

/// # Safety
/// `piece` comes from the host, readable for the call.
unsafe fn slice<'a>(piece: Bytes) -> &'a [u8] {
    if piece.len == 0 {
        return &[];
    }
    // SAFETY: the host makes each Bytes of a slice that it holds during the call (python/embedded.rs, bytes()), so
    // `data` is not null and `len` bytes can be read.
    unsafe { std::slice::from_raw_parts(piece.data, piece.len) }
}

/// Who asks, and what is kept for the host meanwhile.
pub(super) struct Asking<'a> {
    pub(super) asker: &'a mut dyn Asker,
    /// The variable that was asked for last.
    pub(super) value: Vec<u8>,
    pub(super) answer: Vec<u8>,
}

/// An asker's functions; their context is a `*mut Asking`.
pub(super) static ASKER: AskerTable = AskerTable { variable, answer };

/// # Safety
/// `context` is what [`super::host::Host::ask`] passed, during that call and on one thread at a time.
unsafe fn asking<'a>(context: *mut c_void) -> &'a mut Asking<'a> {
    // SAFETY: Host::ask passes the address of its own Asking, which lives until it returns; the host makes one call at a
    // time (ModuleAsker's method takes `&mut self`).
    unsafe { &mut *context.cast::<Asking<'a>>() }
}

unsafe extern "C" fn variable(context: *mut c_void, name: Bytes, value: *mut Bytes) -> c_int {
    let found = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the context came with the table; the name is a slice of the host's for the length of this call, and
        // `value` a local of its own (python/embedded.rs, ModuleAsker).
        unsafe {
            let asking = asking(context);
            let Some(text) = asking.asker.variable(slice(name)) else { return 0 };
            asking.value = text;
            *value = Bytes { data: asking.value.as_ptr(), len: asking.value.len() };
        }
        1
    }));
    found.unwrap_or(0)
}

unsafe extern "C" fn answer(context: *mut c_void, block: Bytes) {
    // An answer that is not kept is none, which the caller sees.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the context came with the table; the block is a slice of the host's for the length of this call.
        unsafe { asking(context).answer = slice(block).to_vec() }
    }));
}

unsafe extern "C" fn read(context: *mut c_void, buf: *mut u8, len: usize, fault: *mut Fault) -> isize {
    // SAFETY: the host passes the pointer and the length of a `&mut [u8]` that it holds during the call, and the
    // context that came with the table (python/embedded.rs, ModuleExchange::read).
    let result =
        catch_unwind(AssertUnwindSafe(|| unsafe { exchange(context).read(std::slice::from_raw_parts_mut(buf, len)) }));
    let error = match result {
        Ok(Ok(count)) => return count as isize,
        Ok(Err(ReadError::ClientGone)) => (FAULT_CLIENT_GONE, String::new()),
        Ok(Err(ReadError::TimedOut)) => (FAULT_TIMED_OUT, String::new()),
        Ok(Err(ReadError::Refused)) => (FAULT_REFUSED, String::new()),
        Ok(Err(ReadError::Failed(reason))) => (FAULT_FAILED, reason),
        Err(_) => (FAULT_FAILED, "internal error".to_owned()),
    };
    // SAFETY: `fault` is a local of the host's that outlives the call (python/embedded.rs, ModuleExchange::read).
    unsafe { report(fault, error) }
    -1
}

unsafe extern "C" fn start(context: *mut c_void, head: Bytes, fault: *mut Fault) -> c_int {
    // SAFETY: the context came with the table and the head is a slice of the host's, both for the length of this call
    // (python/embedded.rs, ModuleExchange::start).
    let result = catch_unwind(AssertUnwindSafe(|| unsafe { exchange(context).start(slice(head)) }));
    // SAFETY: `fault` is a local of the host's that outlives the call (python/embedded.rs, ModuleExchange).
    unsafe { finish(result, fault) }
}

unsafe extern "C" fn write(context: *mut c_void, piece: Bytes, flow: c_int, fault: *mut Fault) -> c_int {
    let flow = match flow {
        0 => Flow::More,
        1 => Flow::Flush,
        _ => Flow::End,
    };
    // SAFETY: the context came with the table and the piece is a slice of the host's, both for the length of this call
    // (python/embedded.rs, ModuleExchange::write).
    let result = catch_unwind(AssertUnwindSafe(|| unsafe { exchange(context).write(slice(piece), flow) }));
    // SAFETY: `fault` is a local of the host's that outlives the call (python/embedded.rs, ModuleExchange).
    unsafe { finish(result, fault) }
}

unsafe extern "C" fn send_file(context: *mut c_void, fd: c_int, offset: u64, length: u64, fault: *mut Fault) -> c_int {
    // SAFETY: the context came with the table; the descriptor is a BorrowedFd of the host's, so it stays open during the
    // call (python/embedded.rs, ModuleExchange::send_file).
    let result = catch_unwind(AssertUnwindSafe(|| unsafe {
        exchange(context).send_file(BorrowedFd::borrow_raw(fd), offset, length)
    }));
    // SAFETY: `fault` is a local of the host's that outlives the call (python/embedded.rs, ModuleExchange).
    unsafe { finish(result, fault) }
}

/// # Safety
/// `context` is what [`super::host::Host::serve`] passed, during that call.
unsafe fn request_log<'a>(context: *const c_void) -> &'a dyn RequestLog {
    // SAFETY: Host::serve passes the address of its own `&dyn RequestLog`, which lives until serve returns and is only
    // read through.
    unsafe { *context.cast::<&dyn RequestLog>() }
}

unsafe extern "C" fn is_logged(context: *const c_void, level: c_int) -> c_int {
    // SAFETY: the context came with the table and lives while the request is served (python/embedded.rs, ModuleLog).
    let result =
        catch_unwind(AssertUnwindSafe(|| unsafe { request_log(context).is_logged(Level::from_number(level)) }));
    c_int::from(result.unwrap_or(false))
}

unsafe extern "C" fn log(context: *const c_void, level: c_int, line: Bytes) {
    // A line that cannot be logged has nowhere else to go.
    // SAFETY: the context came with the table and lives while the request is served; the line is a slice of the host's
    // (python/embedded.rs, ModuleLog).
    let _ =
        catch_unwind(AssertUnwindSafe(|| unsafe { request_log(context).log(Level::from_number(level), slice(line)) }));
}

unsafe extern "C" fn is_client_gone(context: *mut c_void) -> c_int {
    // SAFETY: the context came with the table (python/embedded.rs, ModuleExchange::is_client_gone).
    let result = catch_unwind(AssertUnwindSafe(|| unsafe { exchange(context).is_client_gone() }));
    c_int::from(result.unwrap_or(true))
}

/// # Safety
/// `fault` is writable, and nobody else uses it during the call.
unsafe fn finish(result: std::thread::Result<Result<(), WriteError>>, fault: *mut Fault) -> c_int {
    let error = match result {
        Ok(Ok(())) => return 0,
        Ok(Err(WriteError::ClientGone)) => (FAULT_CLIENT_GONE, String::new()),
        Ok(Err(WriteError::Answered)) => (FAULT_ANSWERED, String::new()),
        Ok(Err(WriteError::Failed(reason))) => (FAULT_FAILED, reason),
        Err(_) => (FAULT_FAILED, "internal error".to_owned()),
    };
    // SAFETY: our caller's promise about `fault` is the one that report() asks for.
    unsafe { report(fault, error) }
    -1
}

/// # Safety
/// `fault` is writable, and nobody else uses it during the call.
unsafe fn report(fault: *mut Fault, (kind, text): (c_int, String)) {
    // SAFETY: the caller promises that `fault` is writable and its alone.
    let fault = unsafe { &mut *fault };
    fault.kind = kind;
    let room = fault.text.len() - 1;
    fault.text.fill(0);
    for (slot, byte) in fault.text[..room].iter_mut().zip(text.bytes()) {
        *slot = byte as c_char;
    }
}

unsafe extern "C" fn log_of_process(level: c_int, line: Bytes) {
    // A line that cannot be logged has nowhere else to go.
    let _ = catch_unwind(|| {
        if let Some(server) = Server::main() {
            // SAFETY: the host passes a slice that it holds during the call (python/process.rs, log()).
            for piece in record_pieces(unsafe { slice(line) }) {
                server.write(Level::from_number(level), piece);
            }
        }
    });
}

unsafe extern "C" fn server(take: TakeBytes, context: *mut c_void) {
    let block = catch_unwind(|| SERVER.get().and_then(|read| read())).unwrap_or(None);
    if let Some(block) = block {
        // SAFETY: the host passes its function with the context that belongs to it (python/embedded.rs, server()); the block
        // outlives the call.
        unsafe { take(context, Bytes { data: block.as_ptr(), len: block.len() }) }
    }
}

unsafe extern "C" fn is_logged_in_process(level: c_int) -> c_int {
    let logged = catch_unwind(|| Server::main().is_some_and(|server| server.is_logged(Level::from_number(level))));
    c_int::from(logged.unwrap_or(false))
}
