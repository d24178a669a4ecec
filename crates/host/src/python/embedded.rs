//! The table that the Apache module calls (`gateway::embedded`), and the exchange that it passes.

use std::ffi::{CStr, c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use gateway::embedded::{
    ABI, Asked, AskerTable, Bytes, ExchangeTable, FAULT_ANSWERED, FAULT_CLIENT_GONE, FAULT_REFUSED, FAULT_TIMED_OUT,
    Fault, HostTable, LogTable, ProcessTable, Served,
};
use gateway::{Asker, Exchange, Flow, Level, Outcome, ReadError, RequestLog, WriteError};
use wire::Question;

use super::process::{self, Home, Stage};
use super::{ask, registry, reporter, script, serve as walk};

static TABLE: HostTable =
    HostTable { abi: ABI, prepare, wait_ready, ended, serve, ask: ask_script, import_script, stop };

/// The host's table, for the module that has opened this library.
#[unsafe(no_mangle)]
pub extern "C" fn wsgi_host_table() -> *const HostTable {
    &TABLE
}

/// # Safety
/// `bytes` comes from the module and is readable for the call.
unsafe fn slice<'a>(bytes: Bytes) -> &'a [u8] {
    if bytes.len == 0 {
        return &[];
    }
    // SAFETY: the caller promises that `len` bytes can be read at `data` for the length of the call.
    unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) }
}

unsafe extern "C" fn prepare(table: *const ProcessTable, settings: Bytes) -> c_int {
    // SAFETY: the module passes a live table, whose first field is the ABI in every version.
    let (table, settings) = unsafe {
        if (*table).abi != ABI {
            return -1;
        }
        (*table, slice(settings))
    };
    let _ = PROCESS.set(table);
    let home = Home { log: Box::new(ChildLog(table)), is_daemon: false, server };
    if wire::Settings::parse(settings).is_err() || !process::prepare(home, settings.to_vec()) {
        return -1;
    }
    0
}

unsafe extern "C" fn wait_ready(limit_ms: u64) -> c_int {
    let deadline = Instant::now() + Duration::from_millis(limit_ms);
    match process::wait_for(Stage::Ready, deadline) {
        Stage::Ready => 0,
        _ => -1,
    }
}

unsafe extern "C" fn ended() {
    process::advance(Stage::Ended);
}

unsafe extern "C" fn serve(request: Served, head: Bytes) -> c_int {
    // SAFETY: the module passes static tables, and contexts and head for the length of the call.
    let outcome = catch_unwind(AssertUnwindSafe(|| unsafe {
        let mut exchange = ModuleExchange {
            table: &*request.exchange,
            context: request.exchange_context,
            request_rec: request.request_rec,
        };
        let log = ModuleLog { table: &*request.log, context: request.log_context };
        walk::serve(&mut exchange, &log, slice(head), None)
    }));
    // After a panic nobody knows how much was sent; the module finds out whether anything was.
    outcome.unwrap_or(Outcome::Incomplete).to_number()
}

unsafe extern "C" fn ask_script(asked: Asked, question: Bytes) {
    // SAFETY: the module passes static tables, and contexts and question for the length of the call.
    let answered = catch_unwind(AssertUnwindSafe(|| unsafe {
        let mut asker =
            ModuleAsker { table: &*asked.asker, context: asked.asker_context, request_rec: asked.request_rec };
        let log = ModuleLog { table: &*asked.log, context: asked.log_context };
        let answer = match Question::parse(slice(question)) {
            Ok(question) => ask::ask(&mut asker, &log, &question),
            Err(error) => ask::malformed(&log, &error),
        };
        ask::written(&answer, &log)
    }));
    // Without an answer the module knows that there was a defect.
    let Ok(block) = answered else { return };
    // SAFETY: the table is static, the context is valid until this function returns, and so is the block.
    unsafe { ((*asked.asker).answer)(asked.asker_context, bytes(&block)) }
}

unsafe extern "C" fn import_script(path: Bytes, application_group: Bytes) -> c_int {
    let imported = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the module passes slices that it holds during the call (src/apache/host.rs, Host::import_script).
        let (path, group) = unsafe { (slice(path), slice(application_group)) };
        let Ok(interpreter) = registry::obtain(group, false) else { return false };
        // A file that cannot be looked at cannot be loaded either, and load() says why.
        let mtime_us = script::time_of(path).unwrap_or(0);
        let path = path.to_vec();
        // As a program's own main script would be.
        process::on_main_thread(move |py| {
            registry::enter(py, interpreter, |py| script::import(py, &path, mtime_us, true))
        })
        .unwrap_or(false)
    }));
    if imported.unwrap_or(false) { 0 } else { -1 }
}

unsafe extern "C" fn stop(limit_ms: u64) -> c_int {
    // prefork ends a busy child from a signal handler, on the very thread that is inside a request:
    // there is nothing to wait for then, and no lock that may be taken.
    if process::is_inside() {
        // exit() goes on to run this thread's destructors, which must not wait for a GIL that it holds.
        process::refuse_requests();
        return 1;
    }
    let stopped = catch_unwind(|| {
        let limit = Duration::from_millis(limit_ms);
        let deadline = Instant::now() + limit;
        reporter::tell_stopping("");
        let is_idle = process::close(limit / 2);
        process::begin_end(deadline);
        process::wait_for(Stage::Done, deadline) >= Stage::Done && is_idle
    });
    if stopped.unwrap_or(false) { 0 } else { -1 }
}

/// An exchange that the module carries out.
struct ModuleExchange<'a> {
    table: &'a ExchangeTable,
    context: *mut c_void,
    request_rec: *mut c_void,
}

impl ModuleExchange<'_> {
    fn fault() -> Fault {
        Fault { kind: 0, text: [0; 200] }
    }
}

fn text(fault: &Fault) -> String {
    // SAFETY: the module ends the text with a NUL, and it was zeroed before the call.
    unsafe { CStr::from_ptr(fault.text.as_ptr()) }.to_string_lossy().into_owned()
}

fn written(result: c_int, fault: &Fault) -> Result<(), WriteError> {
    match (result, fault.kind) {
        (0, _) => Ok(()),
        (_, FAULT_CLIENT_GONE) => Err(WriteError::ClientGone),
        (_, FAULT_ANSWERED) => Err(WriteError::Answered),
        _ => Err(WriteError::Failed(text(fault))),
    }
}

fn bytes(slice: &[u8]) -> Bytes {
    Bytes { data: slice.as_ptr(), len: slice.len() }
}

impl Exchange for ModuleExchange<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
        let mut fault = Self::fault();
        // SAFETY: the context came with the table and is valid during `serve` (gateway::embedded, Served), and `&mut self`
        // makes it one call at a time; `buf` is a slice of ours and `fault` a local, both for the length of the call.
        let count = unsafe { (self.table.read)(self.context, buf.as_mut_ptr(), buf.len(), &mut fault) };
        match (usize::try_from(count), fault.kind) {
            (Ok(count), _) => Ok(count.min(buf.len())),
            (Err(_), FAULT_CLIENT_GONE) => Err(ReadError::ClientGone),
            (Err(_), FAULT_TIMED_OUT) => Err(ReadError::TimedOut),
            (Err(_), FAULT_REFUSED) => Err(ReadError::Refused),
            (Err(_), _) => Err(ReadError::Failed(text(&fault))),
        }
    }

    fn start(&mut self, head: &[u8]) -> Result<(), WriteError> {
        let mut fault = Self::fault();
        // SAFETY: the context came with the table and is valid during `serve` (gateway::embedded, Served), and `&mut self`
        // makes it one call at a time; `head` is a slice of ours and `fault` a local, both for the length of the call.
        let result = unsafe { (self.table.start)(self.context, bytes(head), &mut fault) };
        written(result, &fault)
    }

    fn write(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError> {
        let mut fault = Self::fault();
        let flow = match flow {
            Flow::More => 0,
            Flow::Flush => 1,
            Flow::End => 2,
        };
        // SAFETY: the context came with the table and is valid during `serve` (gateway::embedded, Served), and `&mut self`
        // makes it one call at a time; `piece` is a slice of ours and `fault` a local, both for the length of the call.
        let result = unsafe { (self.table.write)(self.context, bytes(piece), flow, &mut fault) };
        written(result, &fault)
    }

    fn send_file(&mut self, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), WriteError> {
        let mut fault = Self::fault();
        // SAFETY: the context came with the table and is valid during `serve` (gateway::embedded, Served), and `&mut self`
        // makes it one call at a time; `file` stays open and `fault` is a local, both for the length of the call.
        let result = unsafe { (self.table.send_file)(self.context, file.as_raw_fd(), offset, length, &mut fault) };
        written(result, &fault)
    }

    fn is_client_gone(&mut self) -> bool {
        // SAFETY: the context came with the table and is valid during `serve` (gateway::embedded, Served), and `&mut self`
        // makes it one call at a time; nothing else crosses.
        unsafe { (self.table.is_client_gone)(self.context) != 0 }
    }

    fn request_rec(&self) -> *mut c_void {
        self.request_rec
    }
}

/// Whoever asks, by the module's functions.
struct ModuleAsker<'a> {
    table: &'a AskerTable,
    context: *mut c_void,
    request_rec: *mut c_void,
}

impl Asker for ModuleAsker<'_> {
    fn variable(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let mut value = Bytes { data: std::ptr::null(), len: 0 };
        // SAFETY: the context came with the table and is valid during `ask` (gateway::embedded, Asked), and `&mut self`
        // makes it one call at a time; the value can be read until the next call, and is copied before.
        unsafe {
            match (self.table.variable)(self.context, bytes(name), &mut value) {
                0 => None,
                _ => Some(slice(value).to_vec()),
            }
        }
    }

    fn request_rec(&self) -> *mut c_void {
        self.request_rec
    }
}

/// The functions that the module has for this process.
static PROCESS: OnceLock<ProcessTable> = OnceLock::new();

fn server() -> Option<Vec<u8>> {
    let mut block: Option<Vec<u8>> = None;
    // SAFETY: the function is the module's, which is never unloaded; it calls `take_block`, if at all, before it returns, with
    // the context that belongs to it.
    unsafe { (PROCESS.get()?.server)(take_block, (&raw mut block).cast()) };
    block
}

unsafe extern "C" fn take_block(context: *mut c_void, block: Bytes) {
    // SAFETY: the context is the local of `server()` just above, which waits for this call; the module's bytes can be read
    // during it.
    unsafe { *context.cast::<Option<Vec<u8>>>() = Some(slice(block).to_vec()) };
}

/// The main error log, which the module writes.
struct ChildLog(ProcessTable);

impl RequestLog for ChildLog {
    fn is_logged(&self, level: Level) -> bool {
        // SAFETY: the function is the module's, which is never unloaded.
        unsafe { (self.0.is_logged)(level as c_int) != 0 }
    }

    fn log(&self, level: Level, line: &[u8]) {
        // SAFETY: as above; the line outlives the call.
        unsafe { (self.0.log)(level as c_int, bytes(line)) }
    }
}

/// A request's log that the module writes.
struct ModuleLog<'a> {
    table: &'a LogTable,
    context: *const c_void,
}

impl RequestLog for ModuleLog<'_> {
    fn is_logged(&self, level: Level) -> bool {
        // SAFETY: the context came with the table and is only read; used during `serve`.
        unsafe { (self.table.is_logged)(self.context, level as c_int) != 0 }
    }

    fn log(&self, level: Level, line: &[u8]) {
        // SAFETY: the context came with the table and is only read; used during `serve`. The line outlives the call.
        unsafe { (self.table.log)(self.context, level as c_int, bytes(line)) }
    }
}
