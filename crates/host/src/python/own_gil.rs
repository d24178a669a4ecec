//! Sub-interpreters with a GIL of their own (`WSGIPerInterpreterGIL`, Python 3.12 and later).
//!
//! What such an interpreter needs is in its [`Interpreter`](super::interpreter::Interpreter), which only threads attached
//! to it touch, and nothing of Python's is in a static; so for us it is a sub-interpreter like any other. What Python
//! itself asks of it is in [`CONFIG`]: extension modules have to say that they support it, and it cannot fork.

use std::ffi::{CStr, c_char, c_int};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gateway::bootstrap::{OWN_GIL_LAST, OWN_GIL_SINCE};
use pyo3::ffi;

use super::attach::{Attached, attach};
use super::interpreter::Interpreter;

/// Those that exist, to be stopped when the process ends.
static OWN: Mutex<Vec<&'static Interpreter>> = Mutex::new(Vec::new());

/// Source: cpython/initconfig.h (3.12 to 3.14), `PyInterpreterConfig`.
#[repr(C)]
struct InterpreterConfig {
    use_main_obmalloc: c_int,
    allow_fork: c_int,
    allow_exec: c_int,
    allow_threads: c_int,
    allow_daemon_threads: c_int,
    check_multi_interp_extensions: c_int,
    gil: c_int,
}

/// The isolated configuration of the Python/C API ("Sub-interpreter support"), which is also mod_wsgi's.
static CONFIG: InterpreterConfig = InterpreterConfig {
    use_main_obmalloc: 0,
    allow_fork: 0,
    allow_exec: 0,
    allow_threads: 1,
    allow_daemon_threads: 0,
    check_multi_interp_extensions: 1,
    gil: OWN_GIL,
};

/// Source: cpython/initconfig.h, `PyInterpreterConfig_OWN_GIL`.
const OWN_GIL: c_int = 2;

/// Source: cpython/initconfig.h, `PyStatus`; its kind is 0 for success.
#[repr(C)]
struct Status {
    kind: c_int,
    function: *const c_char,
    message: *const c_char,
    exit_code: c_int,
}

type NewInterpreter = unsafe extern "C" fn(*mut *mut ffi::PyThreadState, *const InterpreterConfig) -> Status;

/// Whether the settings ask for a GIL of its own for this application group's interpreter.
pub(super) fn is_wanted(settings: &wire::Settings<'_>, group: &[u8]) -> bool {
    let is_on = |value: &[u8]| value == b"1";
    let mut wanted = settings.get(b"own_gil").is_some_and(is_on);
    let layers =
        settings.get(b"layers").and_then(|count| std::str::from_utf8(count).ok()?.parse().ok()).unwrap_or(0usize);
    for number in 0..layers {
        let said = |name: &str| settings.get(format!("layer.{number}.{name}").as_bytes());
        if said("application_group").is_none_or(|name| name == group)
            && let Some(value) = said("own_gil")
        {
            wanted = is_on(value);
        }
    }
    wanted
}

/// The version of the Python that runs, as (3, 12).
pub(super) fn version() -> (u32, u32) {
    // SAFETY: Py_GetVersion gives a static string and may be called at any time.
    let text = unsafe { CStr::from_ptr(ffi::Py_GetVersion()) }.to_string_lossy();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Makes a sub-interpreter with a GIL of its own, as `Py_NewInterpreter` makes others: the new state is current, and
/// the GIL of the interpreter before is let go; `None` if this Python has no such interpreters, and null if it failed.
///
/// # Safety
/// The thread is attached.
pub(super) unsafe fn new_interpreter() -> Option<*mut ffi::PyThreadState> {
    if !(OWN_GIL_SINCE..=OWN_GIL_LAST).contains(&version()) {
        return None;
    }
    let mut state = std::ptr::null_mut();
    // SAFETY: the symbol is libpython's, which is in the process, or null. Of the versions asked for above, this is its
    // declaration (cpython/pylifecycle.h); the configuration is a constant that is only read.
    let status = unsafe {
        let address = libc::dlsym(libc::RTLD_DEFAULT, c"Py_NewInterpreterFromConfig".as_ptr());
        if address.is_null() {
            return None;
        }
        let new_interpreter = std::mem::transmute::<*mut std::ffi::c_void, NewInterpreter>(address);
        new_interpreter(&mut state, &CONFIG)
    };
    Some(if status.kind == 0 { state } else { std::ptr::null_mut() })
}

/// Remembers an interpreter that has a GIL of its own.
pub(super) fn remember(interpreter: &'static Interpreter) {
    OWN.lock().unwrap_or_else(PoisonError::into_inner).push(interpreter);
}

/// How long the end of a process waits for these interpreters to come to a halt.
const HALT_LIMIT: Duration = Duration::from_millis(500);

/// Halts all of these interpreters for good, by taking their GILs: whoever runs in them must not call into a process
/// that takes itself apart. One that does not let its GIL go in time is left.
pub(super) fn halt(py: Attached) {
    let interpreters = std::mem::take(&mut *OWN.lock().unwrap_or_else(PoisonError::into_inner));
    if interpreters.is_empty() {
        return;
    }
    let (sender, receiver) = mpsc::channel();
    let mut halting = 0;
    for interpreter in interpreters {
        let sender = sender.clone();
        let hold = move || {
            attach(interpreter, |_| {
                // Nobody may be waiting any more.
                let _ = sender.send(());
                loop {
                    std::thread::sleep(Duration::from_secs(3600));
                }
            })
        };
        // Without a thread the interpreter is left.
        halting += usize::from(std::thread::Builder::new().name("python-exit".to_owned()).spawn(hold).is_ok());
    }
    py.detach(|| {
        let deadline = Instant::now() + HALT_LIMIT;
        for _ in 0..halting {
            if receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_err() {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_wanted_by(pairs: &[(&str, &str)], group: &str) -> bool {
        let mut block = Vec::new();
        let mut writer = wire::SettingsWriter::begin(&mut block);
        for (name, value) in pairs {
            writer.set(name.as_bytes(), value.as_bytes());
        }
        writer.finish().expect("it fits");
        is_wanted(&wire::Settings::parse(&block).expect("sound"), group.as_bytes())
    }

    #[test]
    fn the_last_layer_that_says_something_counts() {
        assert!(!is_wanted_by(&[], "a"));
        assert!(is_wanted_by(&[("own_gil", "1")], "a"));
        let layers = [
            ("own_gil", "0"),
            ("layers", "3"),
            ("layer.0.own_gil", "1"),
            ("layer.1.application_group", "a"),
            ("layer.1.own_gil", "0"),
            ("layer.2.application_group", "b"),
            ("layer.2.restrict_stdin", "1"),
        ];
        assert!(!is_wanted_by(&layers, "a"));
        assert!(is_wanted_by(&layers, "b") && is_wanted_by(&layers, "c"));
    }
}
