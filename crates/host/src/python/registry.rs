//! The interpreters of the process by application group: found, or made when a group is first asked for.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gateway::Level;
use pyo3::ffi;

use super::attach::{Attached, adopt, attach};
use super::interpreter::Interpreter;
use super::object::{Raised, Ref};
use super::{own_gil, process};

/// Most sub-interpreters of a process whose names clients have chosen (`%{HOST}`, say): each costs
/// megabytes. Those that the configuration names are as many as it names.
pub(super) const MOST: usize = 64;

static MAIN: OnceLock<&'static Interpreter> = OnceLock::new();
static REGISTERED_SO_FAR: Mutex<Vec<&'static Interpreter>> = Mutex::new(Vec::new());
static SUBS: Mutex<Option<HashMap<Vec<u8>, Arc<Slot>>>> = Mutex::new(None);

thread_local! {
    /// What `register()` made on this thread while a sub-interpreter was being set up.
    static REGISTERED: Cell<Option<&'static Interpreter>> = const { Cell::new(None) };
}

/// A group's place: locked while its interpreter is made, so that others of the group wait and nobody
/// else does.
struct Slot {
    interpreter: Mutex<Option<&'static Interpreter>>,
    is_open: bool,
}

/// Why a group has no interpreter.
#[derive(Clone, Copy, Debug)]
pub(super) enum NoInterpreter {
    /// The main interpreter does not run (any more).
    NotRunning,
    /// [`MOST`] are there.
    TooMany,
    /// It could not be made; the reason is logged. The next request tries again.
    Failed,
}

/// Enters an interpreter that has just been set up.
pub(super) fn register(interpreter: &'static Interpreter) {
    REGISTERED_SO_FAR.lock().unwrap_or_else(PoisonError::into_inner).push(interpreter);
    if interpreter.is_main() {
        // A second registration of the main interpreter would be a defect of wsgi_host; the first stays.
        let _ = MAIN.set(interpreter);
    } else {
        REGISTERED.set(Some(interpreter));
    }
}

/// The main interpreter, once it has registered.
pub(super) fn main() -> Option<&'static Interpreter> {
    MAIN.get().copied()
}

/// The interpreter of an application group; "" is the main one. `is_open`: a client has chosen the name.
/// Not attached.
pub(super) fn obtain(group: &[u8], is_open: bool) -> Result<&'static Interpreter, NoInterpreter> {
    let main = *MAIN.get().ok_or(NoInterpreter::NotRunning)?;
    // A worker has one application group, whatever its name.
    if group.is_empty() || process::is_daemon() {
        return Ok(main);
    }
    let slot = slot(group, is_open)?;
    let mut interpreter = slot.interpreter.lock().unwrap_or_else(PoisonError::into_inner);
    if interpreter.is_none() {
        let name = group.to_vec();
        *interpreter = process::on_main_thread(move |py| create(py, &name)).flatten();
    }
    interpreter.ok_or_else(|| {
        // What could not be made takes no place.
        lock().get_or_insert_default().remove(group);
        NoInterpreter::Failed
    })
}

/// The interpreter that the calling thread is attached to, once it has registered.
pub(super) fn current(_py: Attached) -> Option<&'static Interpreter> {
    // SAFETY: attached.
    let raw = unsafe { ffi::PyInterpreterState_Get() };
    let all = REGISTERED_SO_FAR.lock().unwrap_or_else(PoisonError::into_inner);
    // The newest first: one whose making failed has ended, and another may have its address.
    all.iter().rev().find(|interpreter| std::ptr::eq(interpreter.raw(), raw)).copied()
}

/// All sub-interpreters.
pub(super) fn subs() -> Vec<&'static Interpreter> {
    let slots: Vec<Arc<Slot>> = lock().get_or_insert_default().values().cloned().collect();
    // One whose creation is still under way has nothing to end yet.
    slots.iter().filter_map(|slot| slot.interpreter.try_lock().ok().and_then(|interpreter| *interpreter)).collect()
}

fn lock() -> std::sync::MutexGuard<'static, Option<HashMap<Vec<u8>, Arc<Slot>>>> {
    SUBS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn slot(group: &[u8], is_open: bool) -> Result<Arc<Slot>, NoInterpreter> {
    let mut subs = lock();
    let subs = subs.get_or_insert_default();
    if let Some(slot) = subs.get(group) {
        return Ok(Arc::clone(slot));
    }
    if is_open && subs.values().filter(|slot| slot.is_open).count() >= MOST {
        return Err(NoInterpreter::TooMany);
    }
    let slot = Arc::new(Slot { interpreter: Mutex::new(None), is_open });
    subs.insert(group.to_vec(), Arc::clone(&slot));
    Ok(slot)
}

/// Runs `work` on the main thread in an interpreter, with the state that this thread was given when the
/// interpreter was made.
pub(super) fn enter<R>(py: Attached, interpreter: &'static Interpreter, work: impl FnOnce(Attached) -> R) -> R {
    if interpreter.is_main() {
        // SAFETY: `py` is an attachment to the main interpreter: the main thread's, while it is parked.
        return work(unsafe { Attached::assume(interpreter) });
    }
    py.detach(|| attach(interpreter, work))
}

/// Makes a sub-interpreter on the main thread and sets it up; logs why if it fails.
fn create(_py: Attached, group: &[u8]) -> Option<&'static Interpreter> {
    let name = String::from_utf8_lossy(group).into_owned();
    let wants_own_gil =
        wire::Settings::parse(process::settings()).is_ok_and(|settings| own_gil::is_wanted(&settings, group));
    let mut created = None;
    // SAFETY: attached to main; Py_NewInterpreter, with or without a configuration, switches this thread to a new state of
    // the new interpreter, or leaves main's current (null); main's state is made current again at the end, for which
    // PyThreadState_Swap takes main's GIL where it was let go (3.12).
    unsafe {
        let of_main = ffi::PyThreadState_Get();
        let with_own_gil = if wants_own_gil { own_gil::new_interpreter() } else { None };
        let has_own_gil = with_own_gil.is_some();
        let state = with_own_gil.unwrap_or_else(|| ffi::Py_NewInterpreter());
        if !state.is_null() {
            let py = Attached::assume_unregistered();
            let gil = if has_own_gil { " with a GIL of its own" } else { "" };
            process::log(Level::Info, format!("creating sub-interpreter '{name}'{gil}").as_bytes());
            match set_up(py, group, has_own_gil) {
                Ok(()) => created = REGISTERED.take(),
                Err(raised) => {
                    REGISTERED.take();
                    report(py, raised, &name);
                }
            }
            match created {
                // The main thread keeps it for good: Python 3.11 cannot make a state for an interpreter
                // whose last one is gone, and other threads' go with the threads.
                Some(interpreter) => {
                    adopt(interpreter, state);
                    if has_own_gil {
                        interpreter.separate_gil();
                        own_gil::remember(interpreter);
                    }
                }
                // Nothing of ours is in it yet, and this is its only thread.
                None => ffi::Py_EndInterpreter(state),
            }
        }
        ffi::PyThreadState_Swap(of_main);
    }
    if created.is_none() {
        let line =
            format!("WSGI0103: cannot create sub-interpreter '{name}'; answering 500, the next request tries again");
        process::log(Level::Critical, line.as_bytes());
    }
    created
}

/// Runs the bootstrap of `wsgi_host.interpreter` in the current interpreter.
fn set_up(py: Attached, group: &[u8], has_own_gil: bool) -> Result<(), Raised> {
    let settings = wire::Settings::parse(process::settings()).ok();
    let directory = settings.and_then(|settings| settings.get(b"host_directory")).unwrap_or_default();
    let hex: String = group.iter().map(|byte| format!("{byte:02x}")).collect();
    let own_gil = if has_own_gil { "True" } else { "False" };
    let call = format!("setup(bytes.fromhex('{hex}').decode('latin-1'), {own_gil})");
    let text = gateway::bootstrap::text(directory, "interpreter", &call);
    py.run(&text)
}

fn report(py: Attached, raised: Raised, name: &str) {
    let exception = py.take_exception(raised);
    // SAFETY: attached, live object.
    let text = unsafe { Ref::owned(ffi::PyObject_Repr(exception.as_ptr())) }
        .and_then(|repr| py.as_utf8(&repr).map(|text| String::from_utf8_lossy(text).into_owned()))
        .unwrap_or_else(|Raised| {
            py.clear_exception();
            "an exception that cannot be shown".to_owned()
        });
    process::log(Level::Error, format!("WSGI0103: setting sub-interpreter '{name}' up failed: {text}").as_bytes());
}

impl Attached {
    /// Runs statements in a namespace of their own.
    fn run(self, text: &str) -> Result<(), Raised> {
        let text = std::ffi::CString::new(text).expect("the bootstrap has no NUL");
        let globals = self.new_dict()?;
        // SAFETY: attached; the builtins are borrowed from the interpreter and outlive the call.
        unsafe {
            let builtins = Ref::borrowed(ffi::PyEval_GetBuiltins());
            self.dict_set(&globals, &self.text("__builtins__")?, &builtins)?;
            let code = Ref::owned(ffi::Py_CompileString(text.as_ptr(), c"<mod_wsgi_rs>".as_ptr(), ffi::Py_file_input))?;
            Ref::owned(ffi::PyEval_EvalCode(code.as_ptr(), globals.as_ptr(), globals.as_ptr()))?;
        }
        Ok(())
    }
}
