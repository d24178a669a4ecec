//! Opens libpython and the host library in an httpd child, and calls the host's table.
//!
//! Python runs on a thread of its own, started by `Py_BytesMain` with a worker's argv (docs/request.md),
//! which parks without the GIL until the child ends. Child processes only; never in httpd's parent.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use gateway::embedded::{ABI, Asked, Bytes, HostTable, Served, TABLE_SYMBOL};
use gateway::{Asker, Exchange, Outcome, RequestLog};

use super::callbacks::{ASKER, Asking, EXCHANGE, PROCESS, REQUEST_LOG, SERVER};

/// What a Python to be embedded consists of.
#[derive(Clone, Debug)]
pub(crate) struct PythonFiles {
    /// The interpreter's executable: argv[0], from which Python finds its prefix and a venv's packages.
    pub(crate) executable: CString,
    /// The shared libpython of the same build.
    pub(crate) library: CString,
}

/// Why Python could not be started.
#[derive(Debug)]
pub(crate) enum StartError {
    /// A library could not be opened: the dynamic linker's words.
    Open { file: String, reason: String },
    /// The host library is not of this module's build.
    Mismatch { file: String },
    /// The interpreter ended, or did not get ready in time.
    NotReady,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { file, reason } => write!(f, "cannot open {file}: {reason}"),
            Self::Mismatch { file } => write!(f, "{file} is of another build than the module; install both together"),
            Self::NotReady => {
                f.write_str("the interpreter did not start (its own words are in this log or on httpd's stderr)")
            }
        }
    }
}

/// The running host of this child.
#[derive(Clone, Copy)]
pub(crate) struct Host {
    table: &'static HostTable,
}

type PyBytesMain = unsafe extern "C" fn(c_int, *mut *mut c_char) -> c_int;

const START_LIMIT_MS: u64 = 60_000;

impl Host {
    /// Starts Python in this child: once, from whichever thread needs it first. `server` gives applications what httpd's
    /// scoreboard says, if they may have it.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is undone: a child tries once.
    pub(crate) fn start(
        files: &PythonFiles,
        host: &Path,
        arguments: Vec<CString>,
        settings: &[u8],
        server: Option<fn() -> Option<Vec<u8>>>,
    ) -> Result<Host, StartError> {
        if let Some(read) = server {
            let _ = SERVER.set(read);
        }
        // RTLD_GLOBAL: extension modules find Python's symbols in the process, not by linking it.
        let python = open(&files.library, libc::RTLD_NOW | libc::RTLD_GLOBAL)?;
        let host = CString::new(host.as_os_str().as_bytes()).expect("a path that was opened has no NUL");
        let library = open(&host, libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE)?;
        let table = host_table(library, &host)?;
        let main = symbol(python, c"Py_BytesMain", &files.library)?;
        // SAFETY: Py_BytesMain's declaration in pylifecycle.h; stable ABI since 3.8.
        let main = unsafe { std::mem::transmute::<*mut c_void, PyBytesMain>(main) };
        // SAFETY: the table's functions take what embedded.rs says; the process's is copied by prepare.
        if unsafe { (table.prepare)(&PROCESS, bytes(settings)) } != 0 {
            return Err(StartError::Mismatch { file: host.to_string_lossy().into_owned() });
        }
        let dispositions = Dispositions::save();
        run_interpreter(main, arguments, table.ended);
        // SAFETY: no pointer crosses; the table is a static of a library that is never unloaded (host_table).
        let ready = unsafe { (table.wait_ready)(START_LIMIT_MS) } == 0;
        // Python's start sets handlers for SIGINT, SIGPIPE and SIGXFSZ; this process is httpd's.
        dispositions.restore();
        if ready { Ok(Host { table }) } else { Err(StartError::NotReady) }
    }

    /// Serves one exchange on the calling thread.
    pub(crate) fn serve(self, exchange: &mut dyn Exchange, log: &dyn RequestLog, head: &[u8]) -> Outcome {
        let request_rec = exchange.request_rec();
        let mut exchange: &mut dyn Exchange = exchange;
        let exchange_context: *mut &mut dyn Exchange = &mut exchange;
        let log_context: *const &dyn RequestLog = &log;
        let request = Served {
            exchange: &EXCHANGE,
            exchange_context: exchange_context.cast(),
            log: &REQUEST_LOG,
            log_context: log_context.cast(),
            request_rec,
        };
        // SAFETY: both contexts outlive the call and the host uses them only until it returns.
        Outcome::from_number(unsafe { (self.table.serve)(request, bytes(head)) })
    }

    /// Puts a question to a script on the calling thread; the block of its answer, empty after a defect of the host.
    pub(crate) fn ask(self, asker: &mut dyn Asker, log: &dyn RequestLog, question: &[u8]) -> Vec<u8> {
        let request_rec = asker.request_rec();
        let mut asking = Asking { asker, value: Vec::new(), answer: Vec::new() };
        let log_context: *const &dyn RequestLog = &log;
        let asked = Asked {
            asker: &ASKER,
            asker_context: (&raw mut asking).cast(),
            log: &REQUEST_LOG,
            log_context: log_context.cast(),
            request_rec,
        };
        // SAFETY: both contexts outlive the call and the host uses them only until it returns.
        unsafe { (self.table.ask)(asked, bytes(question)) };
        asking.answer
    }

    /// Loads a script before its first request; false if that failed (the host has logged why).
    pub(crate) fn import_script(self, path: &[u8], application_group: &[u8]) -> bool {
        // SAFETY: both slices outlive the call.
        unsafe { (self.table.import_script)(bytes(path), bytes(application_group)) == 0 }
    }

    /// Ends Python's part of the process; false if something did not end within the limit.
    pub(crate) fn stop(self, limit: Duration) -> bool {
        // A child of prefork may be ended by a signal in the middle of its request (1): nobody waited then.
        // SAFETY: no pointer crosses.
        unsafe { (self.table.stop)(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)) >= 0 }
    }
}

fn bytes(slice: &[u8]) -> Bytes {
    Bytes { data: slice.as_ptr(), len: slice.len() }
}

fn open(file: &CStr, flags: c_int) -> Result<*mut c_void, StartError> {
    // SAFETY: `file` is a C string; a library's constructors are the installation's own code.
    let handle = unsafe { libc::dlopen(file.as_ptr(), flags) };
    if handle.is_null() { Err(open_error(file)) } else { Ok(handle) }
}

fn open_error(file: &CStr) -> StartError {
    // SAFETY: dlerror gives null or a string that stays until this thread's next dl call.
    let reason = unsafe {
        let text = libc::dlerror();
        if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    };
    StartError::Open { file: file.to_string_lossy().into_owned(), reason }
}

fn symbol(library: *mut c_void, name: &CStr, file: &CStr) -> Result<*mut c_void, StartError> {
    // SAFETY: `library` is a handle that dlopen gave and nobody closes.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    if address.is_null() { Err(open_error(file)) } else { Ok(address) }
}

fn host_table(library: *mut c_void, file: &CStr) -> Result<&'static HostTable, StartError> {
    let function = symbol(library, TABLE_SYMBOL, file)?;
    // SAFETY: the symbol is this function in every build of the host (embedded.rs), and its table is a
    // static of a library that is never unloaded. `abi` is the first field in every version.
    let table = unsafe {
        let function = std::mem::transmute::<*mut c_void, extern "C" fn() -> *const HostTable>(function);
        &*function()
    };
    if table.abi == ABI { Ok(table) } else { Err(StartError::Mismatch { file: file.to_string_lossy().into_owned() }) }
}

/// Runs `Py_BytesMain` on a new thread that takes no signals: those of the process are httpd's.
fn run_interpreter(main: PyBytesMain, arguments: Vec<CString>, ended: unsafe extern "C" fn()) {
    let run = move || {
        // Python may keep pointers into argv for good (sys.orig_argv), so it is never freed.
        let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
        let count = c_int::try_from(pointers.len()).expect("a handful of arguments");
        pointers.push(std::ptr::null_mut());
        // SAFETY: argc and a null-terminated argv of writable strings, as main() would get them
        // (pylifecycle.h). This is the one call of the process.
        unsafe { main(count, pointers.leak().as_mut_ptr()) };
        // SAFETY: the host's function takes nothing and is never unloaded.
        unsafe { ended() };
    };
    // SAFETY: sigfillset and pthread_sigmask write to the sets given; the mask is inherited by the new
    // thread (pthread_create(3)) and restored at once.
    unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        // An application's main thread expects the usual 8 MiB, of which only used pages cost.
        let spawned = std::thread::Builder::new().name("python".to_owned()).stack_size(8 << 20).spawn(run);
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        drop(spawned);
    }
}

/// The handlers of the signals that Python's start sets, to be put back as they were. No others: the
/// child's main thread may be installing httpd's own at the same time.
struct Dispositions(Vec<(c_int, libc::sigaction)>);

impl Dispositions {
    fn save() -> Self {
        let read = |signal| {
            // SAFETY: with a null `act`, sigaction only reports.
            unsafe {
                let mut action = std::mem::zeroed();
                (libc::sigaction(signal, std::ptr::null(), &mut action) == 0).then_some((signal, action))
            }
        };
        Dispositions([libc::SIGINT, libc::SIGPIPE, libc::SIGXFSZ].into_iter().filter_map(read).collect())
    }

    fn restore(self) {
        for (signal, action) in self.0 {
            // SAFETY: the action is one that sigaction reported for this signal.
            unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
        }
    }
}

/// The host library's file beside the module.
pub(crate) fn host_file(directory: &Path) -> std::path::PathBuf {
    directory.join(OsStr::new("host")).join("_wsgi_host.abi3.so")
}
