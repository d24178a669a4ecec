//! What the host library calls: an exchange as C functions (`gateway::embedded`), and the process's log.
//!
//! Each function catches panics, since none may cross into the host.

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gateway::embedded::{
    ABI, Bytes, ExchangeTable, FAULT_ANSWERED, FAULT_CLIENT_GONE, FAULT_FAILED, FAULT_REFUSED, FAULT_TIMED_OUT, Fault,
    LogTable, ProcessTable,
};
use gateway::{Exchange, Flow, Level, ReadError, RequestLog, WriteError};

use super::log::{Log, record_pieces};
use super::server::Server;

/// The process's functions, for [`gateway::embedded::HostTable::prepare`].
pub(super) const PROCESS: ProcessTable =
    ProcessTable { abi: ABI, log: log_of_process, is_logged: is_logged_in_process };

/// An exchange's functions; their context is a `*mut &mut dyn Exchange`.
pub(super) static EXCHANGE: ExchangeTable = ExchangeTable { read, start, write, send_file, is_client_gone };

/// A request log's functions; their context is a `*const &dyn RequestLog`.
pub(super) static REQUEST_LOG: LogTable = LogTable { is_logged, log };

/// # Safety
/// `context` is what [`Host::serve`] passed, during that call and on one thread at a time.
unsafe fn exchange<'a>(context: *mut c_void) -> &'a mut dyn Exchange {
    // SAFETY: as above: a live `*mut &mut dyn Exchange`.
    unsafe { &mut **context.cast::<&mut dyn Exchange>() }
}

/// # Safety
/// `piece` comes from the host, readable for the call.
unsafe fn slice<'a>(piece: Bytes) -> &'a [u8] {
    if piece.len == 0 {
        return &[];
    }
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(piece.data, piece.len) }
}

unsafe extern "C" fn read(context: *mut c_void, buf: *mut u8, len: usize, fault: *mut Fault) -> isize {
    // SAFETY: the host passes `len` writable bytes and a writable fault (embedded.rs).
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
    // SAFETY: as above.
    unsafe { report(fault, error) }
    -1
}

unsafe extern "C" fn start(context: *mut c_void, head: Bytes, fault: *mut Fault) -> c_int {
    // SAFETY: see exchange() and slice().
    let result = catch_unwind(AssertUnwindSafe(|| unsafe { exchange(context).start(slice(head)) }));
    // SAFETY: the host passes a writable fault.
    unsafe { finish(result, fault) }
}

unsafe extern "C" fn write(context: *mut c_void, piece: Bytes, flow: c_int, fault: *mut Fault) -> c_int {
    let flow = match flow {
        0 => Flow::More,
        1 => Flow::Flush,
        _ => Flow::End,
    };
    // SAFETY: see exchange() and slice().
    let result = catch_unwind(AssertUnwindSafe(|| unsafe { exchange(context).write(slice(piece), flow) }));
    // SAFETY: the host passes a writable fault.
    unsafe { finish(result, fault) }
}

unsafe extern "C" fn send_file(context: *mut c_void, fd: c_int, offset: u64, length: u64, fault: *mut Fault) -> c_int {
    // SAFETY: see exchange(); the host keeps the descriptor open during the call.
    let result = catch_unwind(AssertUnwindSafe(|| unsafe {
        exchange(context).send_file(BorrowedFd::borrow_raw(fd), offset, length)
    }));
    // SAFETY: the host passes a writable fault.
    unsafe { finish(result, fault) }
}

/// # Safety
/// `context` is what [`super::host::Host::serve`] passed, during that call.
unsafe fn request_log<'a>(context: *const c_void) -> &'a dyn RequestLog {
    // SAFETY: as above: a live `*const &dyn RequestLog`, which is only read.
    unsafe { *context.cast::<&dyn RequestLog>() }
}

unsafe extern "C" fn is_logged(context: *const c_void, level: c_int) -> c_int {
    // SAFETY: see request_log().
    let result =
        catch_unwind(AssertUnwindSafe(|| unsafe { request_log(context).is_logged(Level::from_number(level)) }));
    c_int::from(result.unwrap_or(false))
}

unsafe extern "C" fn log(context: *const c_void, level: c_int, line: Bytes) {
    // A line that cannot be logged has nowhere else to go.
    // SAFETY: see request_log() and slice().
    let _ =
        catch_unwind(AssertUnwindSafe(|| unsafe { request_log(context).log(Level::from_number(level), slice(line)) }));
}

unsafe extern "C" fn is_client_gone(context: *mut c_void) -> c_int {
    // SAFETY: see exchange().
    let result = catch_unwind(AssertUnwindSafe(|| unsafe { exchange(context).is_client_gone() }));
    c_int::from(result.unwrap_or(true))
}

/// # Safety
/// `fault` is writable.
unsafe fn finish(result: std::thread::Result<Result<(), WriteError>>, fault: *mut Fault) -> c_int {
    let error = match result {
        Ok(Ok(())) => return 0,
        Ok(Err(WriteError::ClientGone)) => (FAULT_CLIENT_GONE, String::new()),
        Ok(Err(WriteError::Answered)) => (FAULT_ANSWERED, String::new()),
        Ok(Err(WriteError::Failed(reason))) => (FAULT_FAILED, reason),
        Err(_) => (FAULT_FAILED, "internal error".to_owned()),
    };
    // SAFETY: as the caller promises.
    unsafe { report(fault, error) }
    -1
}

/// # Safety
/// `fault` is writable.
unsafe fn report(fault: *mut Fault, (kind, text): (c_int, String)) {
    // SAFETY: as the caller promises.
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
            // SAFETY: see slice().
            for piece in record_pieces(unsafe { slice(line) }) {
                server.write(Level::from_number(level), piece);
            }
        }
    });
}

unsafe extern "C" fn is_logged_in_process(level: c_int) -> c_int {
    let logged = catch_unwind(|| Server::main().is_some_and(|server| server.is_logged(Level::from_number(level))));
    c_int::from(logged.unwrap_or(false))
}
