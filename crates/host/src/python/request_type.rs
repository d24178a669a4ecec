//! `_wsgi_host.Request`: one request as Python code holds it; dead as soon as the request is over, however
//! long the application keeps it, its `start_response` or its `write`.

use std::sync::Arc;

use gateway::{Level, WriteError};
use pyo3::ffi;

use super::active::{self, Active, Unavailable};
use super::attach::Attached;
use super::course::now_us;
use super::exception::Class;
use super::instance::{
    self, Arguments, NO_GETTER, NO_METHOD, NO_SLOT, Table, deallocate, getter, method, size_of_instance,
};
use super::object::{Raised, Ref};
use super::start_response::start_response;
use crate::reply::SendError;

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
    // SAFETY: the caller promises the module that is being initialised; SLOTS is a static and fits the size given.
    unsafe { instance::new_type(module, c"_wsgi_host.Request", size_of_instance::<Arc<Active>>(), SLOTS.as_ptr()) }
}

/// Takes keywords only to refuse them in its own name: PEP 3333 has positional arguments.
static START_RESPONSE: Table<ffi::PyMethodDef, 1> = Table([ffi::PyMethodDef {
    ml_name: c"start_response".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: call_start_response },
    ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
    ml_doc: c"start_response(status, headers, exc_info=None): PEP 3333, \"The start_response() Callable\".".as_ptr(),
}]);

static WRITE: Table<ffi::PyMethodDef, 1> = Table([method!(
    active::call,
    c"write",
    write,
    c"write(data): sends a block of the body at once; PEP 3333, \"The write() Callable\"."
)]);

static METHODS: Table<ffi::PyMethodDef, 5> = Table([
    method!(active::call, c"log", log, c"log(level, text): writes a record to the virtual host's error log."),
    method!(
        active::call,
        c"is_logged",
        is_logged,
        c"is_logged(level): whether the virtual host's log has such records."
    ),
    method!(active::call, c"defer", defer, c"defer(callable): has callable() called when the request ends."),
    method!(active::call, c"course", course, c"course(): how the request goes, a list of ints; see events.py."),
    NO_METHOD,
]);

static GETTERS: Table<ffi::PyGetSetDef, 6> = Table([
    getter!(active::call, c"active", is_active, c"Whether the request still runs."),
    getter!(active::call, c"id", id, c"httpd's id of the request; None if it has none, or the request is over."),
    getter!(active::call, c"data", data, c"The dict of request_data(); None once the request is over."),
    getter!(active::call, c"script", script, c"Path of the script."),
    getter!(active::call, c"errors", errors, c"The request's wsgi.errors; None once the request is over."),
    NO_GETTER,
]);

static SLOTS: Table<ffi::PyType_Slot, 4> = Table([
    ffi::PyType_Slot { slot: ffi::Py_tp_dealloc, pfunc: deallocate::<Arc<Active>> as *mut _ },
    ffi::PyType_Slot { slot: ffi::Py_tp_methods, pfunc: METHODS.as_ptr().cast() },
    ffi::PyType_Slot { slot: ffi::Py_tp_getset, pfunc: GETTERS.as_ptr().cast() },
    NO_SLOT,
]);

unsafe extern "C" fn call_start_response(
    object: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: bound to a Request by `bind`; object and arguments live during the call.
    unsafe {
        let request = Ref::borrowed(object);
        active::call(object, instance::arguments(arguments.cast_mut(), count), |py, active, arguments| {
            if !keywords.is_null() {
                return Err(py.raise(Class::Type, "start_response() takes no keyword arguments"));
            }
            start_response(py, active, &request, arguments)?;
            bind_write(&request)
        })
    }
}

fn write(py: Attached, active: &Arc<Active>, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let [data] = arguments else {
        return Err(py.raise(Class::Type, &format!("write() takes exactly one argument ({} given)", arguments.len())));
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
        Ok(Ok(())) => Ok(py.none()),
        Ok(Err(error)) => Err(raise_send_error(py, &error)),
        Err(reason) => Err(reason.raise(py, "write() called")),
    }
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

fn log(py: Attached, active: &Arc<Active>, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let (level, line) = level_and_line(py, arguments)?;
    let line = py.as_bytes(&line).unwrap_or_default();
    active.log(py, level, line).map(|()| py.none()).ok_or_else(|| Unavailable::Over.raise(py, "log() called"))
}

fn is_logged(py: Attached, active: &Arc<Active>, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let level = level(py, arguments)?;
    active
        .is_logged(py, level)
        .map(|is_logged| py.boolean(is_logged))
        .ok_or_else(|| Unavailable::Over.raise(py, "is_logged() called"))
}

/// The argument of an `is_logged()`: httpd's level number.
pub(super) fn level(py: Attached, arguments: Arguments<'_>) -> Result<Level, Raised> {
    let [level] = arguments else {
        return Err(py.raise(Class::Type, "is_logged() takes a level"));
    };
    // SAFETY: an argument is live during the call that passed it.
    let level = py.as_long(&unsafe { Ref::borrowed(*level) })?;
    Ok(Level::from_number(i32::try_from(level).unwrap_or(i32::MAX)))
}

/// The arguments of a `log()`: httpd's level number, and a line as bytes.
pub(super) fn level_and_line(py: Attached, arguments: Arguments<'_>) -> Result<(Level, Ref), Raised> {
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

fn defer(py: Attached, active: &Arc<Active>, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let [callable] = arguments else {
        return Err(py.raise(Class::Type, "defer() takes one callable"));
    };
    if !active.is_running() {
        return Err(Unavailable::Over.raise(py, "defer() called"));
    }
    // SAFETY: the interpreter keeps a call's arguments alive until it returns; the reference that is taken here keeps the
    // callable alive after that.
    active.defer(unsafe { Ref::borrowed(*callable) });
    Ok(py.none())
}

fn is_active(py: Attached, active: &Arc<Active>) -> Result<Ref, Raised> {
    Ok(py.boolean(active.is_running()))
}

fn script(py: Attached, active: &Arc<Active>) -> Result<Ref, Raised> {
    py.file_name(active.script())
}

fn errors(py: Attached, active: &Arc<Active>) -> Result<Ref, Raised> {
    Ok(active.errors(py).unwrap_or_else(|| py.none()))
}

fn id(py: Attached, active: &Arc<Active>) -> Result<Ref, Raised> {
    active.id(py).map_or_else(|| Ok(py.none()), |id| py.latin1(id))
}

fn data(py: Attached, active: &Arc<Active>) -> Result<Ref, Raised> {
    Ok(active.data(py)?.unwrap_or_else(|| py.none()))
}

/// Times in µs since 1970 (0: there was no such time), amounts in bytes and µs; -1 for what was not measured.
fn course(py: Attached, active: &Arc<Active>, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let course = active.course();
    let (taken, given, code) = active
        .with(py, |walk| (walk.input.taken(), walk.reply.given(), walk.reply.code()))
        .map_err(|reason| reason.raise(py, "course() called"))?;
    let status = Some(course.status).filter(|status| *status != 0).or(code).unwrap_or(500);
    let used = course.used();
    let measured = |value: Option<u64>| value.map_or(-1, number);
    let arrival = course.arrival.unwrap_or_default();
    let figures = [
        course.thread_id,
        std::str::from_utf8(active.server_pid(py)).ok().and_then(|pid| pid.parse().ok()).unwrap_or(0),
        number(course.request_start_us),
        number(arrival.queue_start_us),
        number(arrival.daemon_start_us),
        number(course.application_start_us),
        number(now_us()),
        status.into(),
        number(taken.calls),
        number(taken.bytes),
        micros(taken.time),
        number(given.calls),
        number(given.bytes),
        micros(given.time),
        measured(used.map(|used| used.gil.times)),
        measured(used.map(|used| used.gil.ns / 1000)),
        measured(used.map(|used| used.user_us)),
        measured(used.map(|used| used.system_us)),
    ];
    let list = py.new_list()?;
    for figure in figures {
        py.list_append(&list, &py.long(figure)?)?;
    }
    Ok(list)
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn micros(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
