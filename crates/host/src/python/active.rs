//! A request while it runs: what `Request`, `Input` and the walk share, and which one a thread is in.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use gateway::{Exchange, Level, RequestLog};
use pyo3::ffi;

use super::attach::Attached;
use super::course::Course;
use super::exception::Class;
use super::instance::{self, Arguments, guard};
use super::interpreter::Interpreter;
use super::object::{Raised, Ref};
use super::process;
use crate::input::Input;
use crate::reply::Reply;

/// A request that Python objects share: `Request`, `Input`, and the walk itself.
pub(super) struct Active {
    pub(super) interpreter: &'static Interpreter,
    script: Vec<u8>,
    walk: Mutex<Option<Walk>>,
    /// The thread that is using the walk without the GIL; 0 for none. Changed under the GIL only.
    user: Cell<usize>,
    /// `None` once the request is over. Used under the GIL only, and valid while the walk is.
    log: Cell<Option<&'static dyn RequestLog>>,
    /// Valid as long as the log.
    origin: Cell<Origin<'static>>,
    course: RefCell<Course>,
    /// `request_data()`, once somebody has asked for it.
    data: RefCell<Option<Ref>>,
    errors: RefCell<Option<Ref>>,
    deferred: RefCell<Vec<Ref>>,
}

/// What is only there while the request runs.
pub(super) struct Walk {
    /// Valid while the walk is in its [`Active`]: `serve` takes it out before the exchange ends.
    pub(super) exchange: &'static mut dyn Exchange,
    pub(super) reply: Reply,
    pub(super) input: Input,
}

/// What of a request's head is asked for later.
#[derive(Clone, Copy, Default)]
pub(super) struct Origin<'h> {
    /// httpd's id of the request; empty if it has none.
    pub(super) id: &'h [u8],
    /// The process of httpd that has it, in decimal.
    pub(super) server_pid: &'h [u8],
}

/// Why a request cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// It is over.
    Over,
    /// This very thread is inside one of its reads or writes, below which another request runs
    /// (mod_include): waiting would be for ever.
    Nested,
    /// This process is one that the application has forked; the client is its parent's.
    Forked,
}

impl Unavailable {
    /// The exception for the function of a name that was called.
    pub(super) fn raise(self, py: Attached, called: &str) -> Raised {
        let when = match self {
            Self::Over => "after request completed",
            Self::Nested => "from within the delivery of its own response",
            Self::Forked => "in a process that the application has forked",
        };
        py.raise(Class::Runtime, &format!("{called} {when}"))
    }
}

impl Active {
    pub(super) fn new(
        interpreter: &'static Interpreter,
        script: &[u8],
        log: &'static dyn RequestLog,
        origin: Origin<'static>,
        course: Course,
        walk: Walk,
    ) -> Arc<Active> {
        #[allow(clippy::arc_with_non_send_sync, reason = "shared by Python objects, under the GIL and the mutex")]
        Arc::new(Active {
            interpreter,
            script: script.to_vec(),
            walk: Mutex::new(Some(walk)),
            user: Cell::new(0),
            log: Cell::new(Some(log)),
            origin: Cell::new(origin),
            course: RefCell::new(course),
            data: RefCell::new(None),
            errors: RefCell::new(None),
            deferred: RefCell::new(Vec::new()),
        })
    }

    /// The walk, for a moment. Another thread of the application may be using it, without the GIL then:
    /// so nobody who waits here holds the GIL, and nobody who holds both waits for anything else.
    fn lock(&self, py: Attached) -> Result<MutexGuard<'_, Option<Walk>>, Unavailable> {
        match self.walk.try_lock() {
            Ok(walk) => Ok(walk),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if self.user.get() == this_thread() => Err(Unavailable::Nested),
            Err(TryLockError::WouldBlock) => Ok(py.detach(|| self.walk.lock().unwrap_or_else(PoisonError::into_inner))),
        }
    }

    /// Uses the walk, still attached. `work` must not call Python.
    pub(super) fn with<R>(&self, py: Attached, work: impl FnOnce(&mut Walk) -> R) -> Result<R, Unavailable> {
        self.lock(py)?.as_mut().map(work).ok_or(Unavailable::Over)
    }

    /// Uses the walk without the GIL, for what may wait for the client.
    pub(super) fn detached<R>(&self, py: Attached, work: impl FnOnce(&mut Walk) -> R) -> Result<R, Unavailable> {
        if process::is_forked() {
            return Err(Unavailable::Forked);
        }
        let mut walk = self.lock(py)?;
        let walk = walk.as_mut().ok_or(Unavailable::Over)?;
        self.user.set(this_thread());
        let result = py.detach(|| work(walk));
        self.user.set(0);
        Ok(result)
    }

    /// Whether the request still runs.
    pub(super) fn is_running(&self) -> bool {
        match self.walk.try_lock() {
            Ok(walk) => walk.is_some(),
            // A walk that another thread is using is there.
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().is_some(),
        }
    }

    /// Path of the script.
    pub(super) fn script(&self) -> &[u8] {
        &self.script
    }

    /// httpd's id of the request; `None` if it has none, or the request is over.
    pub(super) fn id(&self, _py: Attached) -> Option<&[u8]> {
        Some(self.origin.get().id).filter(|id| !id.is_empty())
    }

    /// The process of httpd that has it, in decimal; empty once the request is over.
    pub(super) fn server_pid(&self, _py: Attached) -> &[u8] {
        self.origin.get().server_pid
    }

    /// How it goes.
    pub(super) fn course(&self) -> Course {
        *self.course.borrow()
    }

    /// Notes something of it.
    pub(super) fn note(&self, change: impl FnOnce(&mut Course)) {
        change(&mut self.course.borrow_mut());
    }

    /// The dict of `request_data()`; `None` once the request is over.
    pub(super) fn data(&self, py: Attached) -> Result<Option<Ref>, Raised> {
        if !self.is_running() {
            return Ok(None);
        }
        if let Some(data) = self.data.borrow().as_ref() {
            return Ok(Some(data.clone_ref(py)));
        }
        // Made with the borrow over: it may start the collector, which may run anything, this too.
        let made = py.new_dict()?;
        Ok(Some(self.data.borrow_mut().get_or_insert(made).clone_ref(py)))
    }

    /// The request's `wsgi.errors`; `None` once it is over.
    pub(super) fn errors(&self, py: Attached) -> Option<Ref> {
        self.errors.borrow().as_ref().map(|errors| errors.clone_ref(py))
    }

    /// Has a callable called when the request ends.
    pub(super) fn defer(&self, callable: Ref) {
        self.deferred.borrow_mut().push(callable);
    }

    /// Runs what was deferred to the end of the request; the request is still active.
    pub(super) fn run_deferred(&self, py: Attached) {
        loop {
            // Taken out first: the callable may defer another.
            let Some(callable) = self.deferred.borrow_mut().pop() else { break };
            if py.call(&callable, []).is_err() {
                // They flush log lines; a log that fails must not break the request.
                py.clear_exception();
            }
        }
    }

    /// Ends the request: nothing of it can be reached from Python any more. Gives what was.
    pub(super) fn end(&self, py: Attached) -> Option<Walk> {
        self.untrack(py);
        self.log.set(None);
        self.origin.set(Origin::default());
        let walk = self.lock(py).ok().and_then(|mut walk| walk.take());
        // `errors` refers to the request, which refers back; so may what is deferred too late, or was put into the data.
        let (errors, deferred) = (self.errors.borrow_mut().take(), self.deferred.take());
        let data = self.data.borrow_mut().take();
        drop((errors, deferred, data));
        walk
    }

    /// Takes the request out of `mod_wsgi.active_requests`, if it is what stands there under its id.
    fn untrack(&self, py: Attached) {
        let Some(requests) = self.interpreter.tracked(py) else { return };
        let Some(Ok(id)) = self.id(py).map(|id| py.latin1(id)) else { return };
        let found = py.dict_get(&requests, &id).ok().flatten();
        if let (Some(found), Some(own)) = (found, self.data.borrow().as_ref())
            && found.as_ptr() == own.as_ptr()
        {
            py.dict_remove(&requests, &id);
        }
    }

    /// The request's `wsgi.errors`.
    pub(super) fn set_errors(&self, errors: Ref) {
        *self.errors.borrow_mut() = Some(errors);
    }

    /// Logs a line, whoever is using the walk; `None` if the request is over.
    pub(super) fn log(&self, _py: Attached, level: Level, line: &[u8]) -> Option<()> {
        // httpd's log is a file or a pipe to a local program; it is not worth two switches of the GIL.
        self.log.get().map(|log| log.log(level, line))
    }

    /// Whether lines of a level are written; `None` if the request is over.
    pub(super) fn is_logged(&self, _py: Attached, level: Level) -> Option<bool> {
        self.log.get().map(|log| log.is_logged(level))
    }
}

/// A number of the calling thread that no other living thread has.
fn this_thread() -> usize {
    thread_local! {
        static PLACE: u8 = const { 0 };
    }
    PLACE.with(|place| std::ptr::from_ref(place).addr())
}

/// Carries out a call of Python's on a `Request` or an `Input`.
///
/// # Safety
/// `object` is a live instance of one of the two types, and Python is calling one of its functions on
/// this thread.
pub(super) unsafe fn call(
    object: *mut ffi::PyObject,
    arguments: Arguments<'_>,
    function: impl FnOnce(Attached, &Arc<Active>, Arguments<'_>) -> Result<Ref, Raised>,
) -> *mut ffi::PyObject {
    // SAFETY: both types hold an `Arc<Active>`, and Python calls with the GIL of the interpreter that owns
    // the object (as the caller promises).
    let (active, py) = unsafe {
        let active: &Arc<Active> = instance::value(object);
        (active, Attached::assume(active.interpreter))
    };
    guard(py, || function(py, active, arguments))
}

thread_local! {
    /// The `Request` that this thread is serving, borrowed from the serving frame.
    static CURRENT: Cell<*mut ffi::PyObject> = const { Cell::new(std::ptr::null_mut()) };
}

/// Marks a request as one that runs, and as this thread's current one, until dropped. Attached, as when it is dropped.
pub(super) struct Current<'r> {
    py: Attached,
    request: &'r Ref,
    /// The one before.
    outer: *mut ffi::PyObject,
}

impl<'r> Current<'r> {
    pub(super) fn set(py: Attached, request: &'r Ref) -> Current<'r> {
        py.interpreter().running.borrow_mut().push(request.clone_ref(py));
        if track(py, request).is_err() {
            // Out of memory: the request does without.
            py.clear_exception();
        }
        // A request may run inside another's output (mod_include), so the one before comes back.
        Current { py, request, outer: CURRENT.replace(request.as_ptr()) }
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.outer);
        let mut running = self.py.interpreter().running.borrow_mut();
        let place = running.iter().rposition(|request| request.as_ptr() == self.request.as_ptr());
        // Never the last reference: the caller has one.
        drop(place.map(|place| running.swap_remove(place)));
    }
}

/// The calling thread's request, if it runs in the interpreter with this state.
pub(super) fn current(_py: Attached) -> Option<Ref> {
    let request = CURRENT.get();
    if request.is_null() {
        return None;
    }
    // SAFETY: attached; set by `Current`, whose frame holds a reference.
    unsafe {
        let active: &Arc<Active> = instance::value(request);
        (active.interpreter.raw() == ffi::PyInterpreterState_Get()).then(|| Ref::borrowed(request))
    }
}

/// Enters a request into `mod_wsgi.active_requests`, if that is kept and the request has an id.
pub(super) fn track(py: Attached, request: &Ref) -> Result<(), Raised> {
    // SAFETY: a live `Request`, as every caller passes.
    let active: &Arc<Active> = unsafe { instance::value(request.as_ptr()) };
    let Some(requests) = active.interpreter.tracked(py) else { return Ok(()) };
    let (Some(id), Some(data)) = (active.id(py), active.data(py)?) else { return Ok(()) };
    let id = py.latin1(id)?;
    // A request within another's output has the id of that one, which stays.
    match py.dict_get(&requests, &id)? {
        Some(_) => Ok(()),
        None => py.dict_set(&requests, &id, &data),
    }
}

/// Logs to the calling thread's request; `None` if there is none, or it is over.
pub(super) fn log_to_current(py: Attached, level: Level, line: &[u8]) -> Option<()> {
    with_current(py, |active| active.log(py, level, line))
}

/// Whether the virtual host of the calling thread's request writes lines of a level.
pub(super) fn is_logged_by_current(py: Attached, level: Level) -> Option<bool> {
    with_current(py, |active| active.is_logged(py, level))
}

fn with_current<R>(py: Attached, work: impl FnOnce(&Active) -> Option<R>) -> Option<R> {
    let request = current(py)?;
    // SAFETY: a live `Request`: `current` gives nothing else.
    let active: &Arc<Active> = unsafe { instance::value(request.as_ptr()) };
    work(active)
}
