//! Threads and interpreters: one thread state for each pair, made once and kept.
//!
//! A state is never shared by two threads, and a thread never makes a second one for an interpreter, so
//! `threading.local` survives from request to request. The first state of a thread is always the main
//! interpreter's: up to Python 3.11 `PyGILState_Ensure`, which C extensions call, takes a thread's first
//! state for good, and the main interpreter is where such extensions are told to run.

use std::cell::RefCell;
use std::marker::PhantomData;

use pyo3::ffi;

use super::baton::Baton;
use super::interpreter::Interpreter;
use super::{process, registry, turn, worker};
use crate::daemon::Gate;

/// The calling thread holds the GIL, with a thread state of `interpreter`.
#[derive(Clone, Copy)]
pub(super) struct Attached {
    interpreter: Option<&'static Interpreter>,
    not_send: PhantomData<*mut ()>,
}

impl Attached {
    /// # Safety
    /// The calling thread is attached to `interpreter` for as long as the value is used.
    pub(super) unsafe fn assume(interpreter: &'static Interpreter) -> Self {
        Attached { interpreter: Some(interpreter), not_send: PhantomData }
    }

    /// # Safety
    /// As for [`Attached::assume`], of an interpreter that is still being set up.
    pub(super) unsafe fn assume_unregistered() -> Self {
        Attached { interpreter: None, not_send: PhantomData }
    }

    /// The interpreter.
    ///
    /// # Panics
    /// If it is still being set up, when nothing of a request runs yet.
    pub(super) fn interpreter(self) -> &'static Interpreter {
        self.interpreter.expect("requests run only in interpreters that are registered")
    }

    /// Runs `work` without the GIL.
    pub(super) fn detach<R>(self, work: impl FnOnce() -> R) -> R {
        struct Restore(Option<&'static Baton>, *mut ffi::PyThreadState);
        impl Drop for Restore {
            fn drop(&mut self) {
                // SAFETY: the state that PyEval_SaveThread gave to this very thread.
                unsafe { turn::take(self.0, self.1) }
            }
        }
        let baton = self.interpreter.map_or(turn::shared(), Interpreter::baton);
        // SAFETY: attached, and nothing of Python's is touched until the state is restored, also when
        // `work` unwinds.
        let (state, had_baton) = unsafe { turn::leave(baton) };
        // Threads of the application's, and what is being set up, are not in the line.
        let _restore = Restore(had_baton.then_some(baton), state);
        work()
    }
}

/// Runs `work` attached to an interpreter. The calling thread must not be attached to any.
pub(super) fn attach<R>(interpreter: &'static Interpreter, work: impl FnOnce(Attached) -> R) -> R {
    attach_through(None, interpreter, work)
}

/// As [`attach`], but in a worker after those who came before.
pub(super) fn attach_in_turn<R>(interpreter: &'static Interpreter, work: impl FnOnce(Attached) -> R) -> R {
    attach_through(worker::gate(), interpreter, work)
}

fn attach_through<R>(gate: Option<&Gate>, interpreter: &'static Interpreter, work: impl FnOnce(Attached) -> R) -> R {
    struct Release(&'static Baton);
    impl Drop for Release {
        fn drop(&mut self) {
            // SAFETY: this thread attached just before; the state stays for its next request.
            unsafe { turn::leave(self.0) };
        }
    }
    let baton = interpreter.baton();
    let state = state_of(interpreter);
    let passage = gate.map(Gate::enter);
    // SAFETY: the state belongs to this thread and no state is current on it (caller).
    unsafe { turn::take(Some(baton), state) };
    // The next may wait for the GIL, which this thread has.
    drop(passage);
    let _release = Release(baton);
    // SAFETY: attached by the line before, until `_release` is dropped.
    work(unsafe { Attached::assume(interpreter) })
}

/// Keeps a state that the interpreter's creation has made for this thread.
pub(super) fn adopt(interpreter: &'static Interpreter, state: *mut ffi::PyThreadState) {
    STATES.with(|states| states.0.borrow_mut().push((interpreter, state)));
}

thread_local! {
    static STATES: States = const { States(RefCell::new(Vec::new())) };
}

/// The states of one thread; few, so a list is searched.
struct States(RefCell<Vec<(&'static Interpreter, *mut ffi::PyThreadState)>>);

fn state_of(interpreter: &'static Interpreter) -> *mut ffi::PyThreadState {
    STATES.with(|states| {
        let mut states = states.0.borrow_mut();
        if let Some((_, state)) = states.iter().find(|(known, _)| std::ptr::eq(*known, interpreter)) {
            return *state;
        }
        if states.is_empty()
            && let Some(main) = registry::main().filter(|main| !std::ptr::eq(*main, interpreter))
        {
            states.push((main, new_state(main)));
        }
        let state = new_state(interpreter);
        states.push((interpreter, state));
        state
    })
}

fn new_state(interpreter: &'static Interpreter) -> *mut ffi::PyThreadState {
    // SAFETY: interpreters are never ended; PyThreadState_New needs no GIL (Python/C API, "Low-level API").
    let state = unsafe { ffi::PyThreadState_New(interpreter.raw()) };
    assert!(!state.is_null(), "Python cannot allocate a thread state");
    state
}

impl Drop for States {
    /// The thread ends: an MPM's at the end of its child, an HTTP/2 worker's at any time.
    fn drop(&mut self) {
        for (_, state) in self.0.borrow_mut().drain(..) {
            // Once the process is ending, the exit functions may hold the GIL for long; the states go
            // with the process.
            if process::is_closing() {
                return;
            }
            // SAFETY: the state is this thread's own and not current. Cleared while attached, deleted
            // after: the order that PyThreadState_Clear and _Delete ask for.
            unsafe {
                ffi::PyEval_RestoreThread(state);
                ffi::PyThreadState_Clear(state);
                ffi::PyEval_SaveThread();
                ffi::PyThreadState_Delete(state);
            }
        }
    }
}
