//! What an interpreter needs to serve requests: its own objects, made once, found through the thread's
//! attachment and never through a static, so that no object ever meets another interpreter.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::OnceLock;

use gateway::Key;
use pyo3::ffi;

use super::attach::Attached;
use super::baton::Baton;
use super::environ::Form;
use super::object::{Raised, Ref};
use super::script::Script;
use super::turn;

/// One interpreter of the process; lives until the process ends.
pub(super) struct Interpreter {
    raw: *mut ffi::PyInterpreterState,
    pub(super) request_type: Ref,
    pub(super) input_type: Ref,
    /// Interned environ keys, by [`Key::index`].
    pub(super) keys: Vec<Ref>,
    pub(super) names: Names,
    /// The last value of each key whose values repeat, with its bytes.
    pub(super) values: RefCell<Vec<Option<Value>>>,
    /// Environs to copy, the oldest first.
    pub(super) forms: RefCell<Vec<Form>>,
    /// Loaded scripts by path.
    pub(super) scripts: RefCell<HashMap<Vec<u8>, Script>>,
    /// The requests that run, as `Request` objects.
    pub(super) running: RefCell<Vec<Ref>>,
    /// The dict `mod_wsgi.active_requests`, once somebody has looked at it.
    pub(super) tracked: RefCell<Option<Ref>>,
    /// This interpreter's place in the recording of requests, once it has asked.
    pub(super) cursor: Cell<Option<usize>>,
    pub(super) support: Support,
    /// Of its own GIL, if it has one.
    own_baton: OnceLock<Baton>,
}

// SAFETY: everything but `raw`, which never changes, is only touched by threads attached to this very
// interpreter, that is, one at a time under its GIL: through `Attached::interpreter`.
unsafe impl Send for Interpreter {}
// SAFETY: no two threads reach its cells at once: `Attached::interpreter` gives it only to the thread that holds this
// interpreter's GIL, and `raw` never changes.
unsafe impl Sync for Interpreter {}

/// An environ value: as it came, and as a str.
type Value = (Vec<u8>, Ref);

/// Keys and attribute names of our own.
pub(super) struct Names {
    pub(super) wsgi_input: Ref,
    pub(super) wsgi_errors: Ref,
    pub(super) request_start: Ref,
    pub(super) queue_start: Ref,
    pub(super) daemon_start: Ref,
    pub(super) application_start: Ref,
    pub(super) thread_id: Ref,
    pub(super) close: Ref,
    pub(super) zero: Ref,
}

impl Names {
    fn new(py: Attached) -> Result<Self, Raised> {
        Ok(Names {
            wsgi_input: py.interned(c"wsgi.input")?,
            wsgi_errors: py.interned(c"wsgi.errors")?,
            request_start: py.interned(c"mod_wsgi.request_start")?,
            queue_start: py.interned(c"mod_wsgi.queue_start")?,
            daemon_start: py.interned(c"mod_wsgi.daemon_start")?,
            application_start: py.interned(c"mod_wsgi.application_start")?,
            thread_id: py.interned(c"mod_wsgi.thread_id")?,
            close: py.interned(c"close")?,
            zero: py.float(0.0)?,
        })
    }
}

/// The callables of `wsgi_host` (crates/host/python), as `register()` was given them.
pub(super) struct Support {
    pub(super) template: Ref,
    pub(super) errors: Ref,
    pub(super) load: Ref,
    pub(super) load_asked: Ref,
    pub(super) report: Ref,
    pub(super) file_range: Ref,
    pub(super) file_wrapper: Ref,
    pub(super) exit_functions: Ref,
    pub(super) adopt: Ref,
    pub(super) reload_required: Ref,
    pub(super) request_timeout: Ref,
    /// The ContextVar whose value is the Context's `Request`.
    pub(super) current_request: Ref,
    /// The list of subscribers.
    pub(super) event_callbacks: Ref,
    pub(super) request_started: Ref,
    pub(super) response_started: Ref,
    pub(super) request_exception: Ref,
    pub(super) request_finished: Ref,
    pub(super) process_signal: Ref,
    pub(super) process_stopping: Ref,
    pub(super) initialise: Ref,
}

impl Interpreter {
    /// Makes the current interpreter's record.
    pub(super) fn new(py: Attached, request_type: Ref, input_type: Ref, support: Support) -> Result<Self, Raised> {
        let keys = gateway::key::KEYS
            .iter()
            .map(|key| py.interned(&CString::new(key.name()).expect("keys are plain ASCII")))
            .collect::<Result<_, _>>()?;
        Ok(Interpreter {
            // SAFETY: attached; the state is that of the calling thread's interpreter.
            raw: unsafe { ffi::PyInterpreterState_Get() },
            request_type,
            input_type,
            keys,
            names: Names::new(py)?,
            values: RefCell::new((0..Key::COUNT).map(|_| None).collect()),
            forms: RefCell::new(Vec::new()),
            scripts: RefCell::new(HashMap::new()),
            running: RefCell::new(Vec::new()),
            tracked: RefCell::new(None),
            cursor: Cell::new(None),
            support,
            own_baton: OnceLock::new(),
        })
    }

    /// The requests that run.
    pub(super) fn running(&self, py: Attached) -> Vec<Ref> {
        self.running.borrow().iter().map(|request| request.clone_ref(py)).collect()
    }

    /// `mod_wsgi.active_requests`, if it is kept.
    pub(super) fn tracked(&self, py: Attached) -> Option<Ref> {
        self.tracked.borrow().as_ref().map(|requests| requests.clone_ref(py))
    }

    /// What goes before its GIL.
    pub(super) fn baton(&'static self) -> &'static Baton {
        self.own_baton.get().unwrap_or_else(turn::shared)
    }

    /// Notes that it has a GIL of its own; before anybody could wait for that.
    pub(super) fn separate_gil(&self) {
        self.own_baton.get_or_init(Baton::new);
    }

    pub(super) fn raw(&self) -> *mut ffi::PyInterpreterState {
        self.raw
    }

    /// The interpreter that Python itself was started with.
    pub(super) fn is_main(&self) -> bool {
        // SAFETY: the interpreter is never ended; its id never changes.
        unsafe { ffi::PyInterpreterState_GetID(self.raw) == 0 }
    }
}
