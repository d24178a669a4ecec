//! `_wsgi_host.Request`: one request as Python code holds it; dead as soon as the request is over, however
//! long the application keeps it, its `start_response` or its `write`.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use gateway::{Exchange, Level, WriteError};
use pyo3::ffi;

use super::attach::Attached;
use super::exception::Class;
use super::instance::{self, NO_METHOD, Table, deallocate, guard, method, size_of_instance};
use super::interpreter::Interpreter;
use super::object::{Raised, Ref};
use super::start_response::start_response;
use crate::input::Input;
use crate::reply::{Reply, SendError};

/// A request that Python objects share: `Request`, `Input`, and the walk itself.
pub(super) struct Active {
    pub(super) interpreter: &'static Interpreter,
    script: Vec<u8>,
    walk: Mutex<Option<Walk>>,
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

impl Active {
    pub(super) fn new(interpreter: &'static Interpreter, script: &[u8], walk: Walk) -> Arc<Active> {
        #[allow(clippy::arc_with_non_send_sync, reason = "shared by Python objects, under the GIL and the mutex")]
        Arc::new(Active {
            interpreter,
            script: script.to_vec(),
            walk: Mutex::new(Some(walk)),
            errors: RefCell::new(None),
            deferred: RefCell::new(Vec::new()),
        })
    }

    /// The walk, for a moment. Another thread of the application may be using it, without the GIL then:
    /// so nobody who waits here holds the GIL, and nobody who holds both waits for anything else.
    fn lock(&self, py: Attached) -> MutexGuard<'_, Option<Walk>> {
        match self.walk.try_lock() {
            Ok(walk) => walk,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => py.detach(|| self.walk.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Uses the walk, still attached; `None` once the request is over. `work` must not call Python.
    pub(super) fn with<R>(&self, py: Attached, work: impl FnOnce(&mut Walk) -> R) -> Option<R> {
        self.lock(py).as_mut().map(work)
    }

    /// Uses the walk without the GIL, for what may wait for the client.
    pub(super) fn detached<R>(&self, py: Attached, work: impl FnOnce(&mut Walk) -> R) -> Option<R> {
        let mut walk = self.lock(py);
        let walk = walk.as_mut()?;
        Some(py.detach(|| work(walk)))
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
        let walk = self.lock(py).take();
        // `errors` refers to the request, which refers back.
        let errors = self.errors.borrow_mut().take();
        drop(errors);
        walk
    }

    /// The request's `wsgi.errors`.
    pub(super) fn set_errors(&self, errors: Ref) {
        *self.errors.borrow_mut() = Some(errors);
    }

    pub(super) fn log(&self, py: Attached, level: Level, line: &[u8]) -> Option<()> {
        // httpd's log is a file or a pipe to a local program; it is not worth two switches of the GIL.
        self.with(py, |walk| walk.exchange.log(level, line))
    }
}

/// The error of an operation whose request is over.
pub(super) fn completed(py: Attached, what: &str) -> Raised {
    py.raise(Class::Runtime, &format!("{what} called after request completed"))
}

thread_local! {
    /// The `Request` that this thread is serving, borrowed from the serving frame.
    static CURRENT: Cell<*mut ffi::PyObject> = const { Cell::new(std::ptr::null_mut()) };
}

/// Marks a request as this thread's current one until dropped.
pub(super) struct Current(*mut ffi::PyObject);

impl Current {
    pub(super) fn set(request: &Ref) -> Current {
        // A request may run inside another's output (mod_include), so the one before comes back.
        Current(CURRENT.replace(request.as_ptr()))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Whether the calling thread is inside a request.
pub(super) fn is_inside() -> bool {
    !CURRENT.get().is_null()
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

/// Makes a `Request`.
pub(super) fn new(py: Attached, active: &Arc<Active>) -> Result<Ref, Raised> {
    // SAFETY: the interpreter's request_type is this file's type.
    unsafe { instance::new(py, &py.interpreter().request_type, Arc::clone(active)) }
}

/// `start_response`, bound to a request.
pub(super) fn bind_start_response(_py: Attached, request: &Ref) -> Result<Ref, Raised> {
    bind(&START_RESPONSE, request)
}

/// `write`, bound to a request.
pub(super) fn bind_write(request: &Ref) -> Result<Ref, Raised> {
    bind(&WRITE, request)
}

fn bind(definition: &'static Table<ffi::PyMethodDef, 1>, request: &Ref) -> Result<Ref, Raised> {
    // SAFETY: attached; the definition is a static; the function takes a reference to the request.
    unsafe { Ref::owned(ffi::PyCFunction_NewEx(definition.as_ptr(), request.as_ptr(), std::ptr::null_mut())) }
}

/// Makes the type in a module.
///
/// # Safety
/// `module` is the module being initialised.
pub(super) unsafe fn make_type(module: *mut ffi::PyObject) -> Result<Ref, Raised> {
    // SAFETY: as the caller promises.
    unsafe { instance::new_type(module, c"_wsgi_host.Request", size_of_instance::<Arc<Active>>(), SLOTS.as_ptr()) }
}

/// Takes keywords only to refuse them in its own name: PEP 3333 has positional arguments.
static START_RESPONSE: Table<ffi::PyMethodDef, 1> = Table([ffi::PyMethodDef {
    ml_name: c"start_response".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: call_start_response },
    ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
    ml_doc: c"start_response(status, headers, exc_info=None): PEP 3333, \"The start_response() Callable\".".as_ptr(),
}]);

static WRITE: Table<ffi::PyMethodDef, 1> = Table([method(
    c"write",
    call_write,
    c"write(data): sends a block of the body at once; PEP 3333, \"The write() Callable\".",
)]);

static METHODS: Table<ffi::PyMethodDef, 3> = Table([
    method(c"log", call_log, c"log(level, line): writes one line to the virtual host's error log."),
    method(c"defer", call_defer, c"defer(callable): has callable() called when the request ends."),
    NO_METHOD,
]);

static GETTERS: Table<ffi::PyGetSetDef, 4> = Table([
    getter(c"active", get_active, c"Whether the request still runs."),
    getter(c"script", get_script, c"Path of the script."),
    getter(c"errors", get_errors, c"The request's wsgi.errors; None once the request is over."),
    ffi::PyGetSetDef {
        name: std::ptr::null(),
        get: None,
        set: None,
        doc: std::ptr::null(),
        closure: std::ptr::null_mut(),
    },
]);

static SLOTS: Table<ffi::PyType_Slot, 4> = Table([
    ffi::PyType_Slot { slot: ffi::Py_tp_dealloc, pfunc: deallocate::<Arc<Active>> as *mut _ },
    ffi::PyType_Slot { slot: ffi::Py_tp_methods, pfunc: METHODS.as_ptr().cast() },
    ffi::PyType_Slot { slot: ffi::Py_tp_getset, pfunc: GETTERS.as_ptr().cast() },
    ffi::PyType_Slot { slot: 0, pfunc: std::ptr::null_mut() },
]);

const fn getter(name: &'static std::ffi::CStr, get: ffi::getter, doc: &'static std::ffi::CStr) -> ffi::PyGetSetDef {
    ffi::PyGetSetDef {
        name: name.as_ptr(),
        get: Some(get),
        set: None,
        doc: doc.as_ptr(),
        closure: std::ptr::null_mut(),
    }
}

/// The request and the attachment of a call on it.
///
/// # Safety
/// `object` is a live `Request`, and Python is calling one of its functions on this thread.
unsafe fn receive<'a>(object: *mut ffi::PyObject) -> (&'a Arc<Active>, Attached) {
    // SAFETY: as the caller promises; Python calls with the GIL of the interpreter that owns the object.
    unsafe {
        let active: &Arc<Active> = instance::value(object);
        (active, Attached::assume(active.interpreter))
    }
}

unsafe extern "C" fn call_start_response(
    object: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: bound to a Request by `bind`; the arguments are Python's, for the call.
    let ((active, py), arguments, request) =
        unsafe { (receive(object), instance::arguments(arguments.cast_mut(), count), Ref::borrowed(object)) };
    guard(py, || {
        if !keywords.is_null() {
            return Err(py.raise(Class::Type, "start_response() takes no keyword arguments"));
        }
        start_response(py, active, arguments)?;
        bind_write(&request)
    })
}

unsafe extern "C" fn call_write(
    object: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: as above.
    let ((active, py), arguments) = unsafe { (receive(object), instance::arguments(arguments, count)) };
    guard(py, || {
        let [data] = arguments else {
            return Err(
                py.raise(Class::Type, &format!("write() takes exactly one argument ({} given)", arguments.len()))
            );
        };
        // SAFETY: an argument is live during the call.
        let data = unsafe { Ref::borrowed(*data) };
        let Some(block) = py.as_bytes(&data) else {
            return Err(py.raise(Class::Type, &format!("write() argument must be bytes, not {}", py.type_name(&data))));
        };
        let sent = active.detached(py, |walk| match block {
            [] => walk.reply.fix_head(walk.exchange),
            block => walk.reply.send(walk.exchange, block),
        });
        match sent {
            Some(Ok(())) => Ok(py.none()),
            Some(Err(error)) => Err(raise_send_error(py, &error)),
            None => Err(completed(py, "write()")),
        }
    })
}

/// The exception for a block that could not be sent.
pub(super) fn raise_send_error(py: Attached, error: &SendError) -> Raised {
    match error {
        SendError::NoHead => {
            py.raise(Class::Runtime, "start_response() must be called before response content is produced")
        }
        SendError::Write(WriteError::ClientGone) => py.raise(Class::Os, "mod_wsgi client connection closed"),
        SendError::Write(error) => py.raise(Class::Os, &format!("mod_wsgi {error}")),
    }
}

unsafe extern "C" fn call_log(
    object: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: as for call_start_response.
    let ((active, py), arguments) = unsafe { (receive(object), instance::arguments(arguments, count)) };
    guard(py, || {
        let (level, line) = level_and_line(py, arguments)?;
        let line = py.as_bytes(&line).unwrap_or_default();
        active.log(py, level, line).map(|()| py.none()).ok_or_else(|| completed(py, "log()"))
    })
}

/// The arguments of a `log()`: httpd's level number, and a line as bytes.
pub(super) fn level_and_line(py: Attached, arguments: &[*mut ffi::PyObject]) -> Result<(Level, Ref), Raised> {
    let [level, line] = arguments else {
        return Err(py.raise(Class::Type, "log() takes a level and a line"));
    };
    // SAFETY: arguments are live during the call that passed them.
    let (level, line) = unsafe { (Ref::borrowed(*level), Ref::borrowed(*line)) };
    let level = py.as_long(&level)?;
    if py.as_bytes(&line).is_none() {
        return Err(py.raise(Class::Type, &format!("log() takes its line as bytes, not {}", py.type_name(&line))));
    }
    Ok((Level::from_number(i32::try_from(level).unwrap_or(i32::MAX)), line))
}

unsafe extern "C" fn call_defer(
    object: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: as for call_start_response.
    let ((active, py), arguments) = unsafe { (receive(object), instance::arguments(arguments, count)) };
    guard(py, || {
        let [callable] = arguments else {
            return Err(py.raise(Class::Type, "defer() takes one callable"));
        };
        if active.with(py, |_| ()).is_none() {
            return Err(completed(py, "defer()"));
        }
        // SAFETY: as above.
        active.deferred.borrow_mut().push(unsafe { Ref::borrowed(*callable) });
        Ok(py.none())
    })
}

unsafe extern "C" fn get_active(object: *mut ffi::PyObject, _closure: *mut std::ffi::c_void) -> *mut ffi::PyObject {
    // SAFETY: as for call_start_response.
    let (active, py) = unsafe { receive(object) };
    // A walk that another thread is using is there.
    guard(py, || {
        Ok(py.boolean(
            active
                .walk
                .try_lock()
                .map_or_else(|error| matches!(error, TryLockError::WouldBlock), |walk| walk.is_some()),
        ))
    })
}

unsafe extern "C" fn get_script(object: *mut ffi::PyObject, _closure: *mut std::ffi::c_void) -> *mut ffi::PyObject {
    // SAFETY: as for call_start_response.
    let (active, py) = unsafe { receive(object) };
    guard(py, || py.file_name(&active.script))
}

unsafe extern "C" fn get_errors(object: *mut ffi::PyObject, _closure: *mut std::ffi::c_void) -> *mut ffi::PyObject {
    // SAFETY: as for call_start_response.
    let (active, py) = unsafe { receive(object) };
    guard(py, || Ok(active.errors.borrow().as_ref().map_or_else(|| py.none(), |errors| errors.clone_ref(py))))
}

/// Logs to the calling thread's request; `None` if there is none, or it is over.
pub(super) fn log_to_current(py: Attached, level: Level, line: &[u8]) -> Option<()> {
    with_current(py, |active| active.log(py, level, line))
}

/// Whether the virtual host of the calling thread's request writes lines of a level.
pub(super) fn is_logged_by_current(py: Attached, level: Level) -> Option<bool> {
    with_current(py, |active| active.with(py, |walk| walk.exchange.is_logged(level)))
}

fn with_current<R>(py: Attached, work: impl FnOnce(&Active) -> Option<R>) -> Option<R> {
    let request = current(py)?;
    // SAFETY: a live `Request`: `current` gives nothing else.
    let active: &Arc<Active> = unsafe { instance::value(request.as_ptr()) };
    work(active)
}
