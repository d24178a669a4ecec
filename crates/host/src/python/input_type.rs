//! `wsgi.input`: a raw byte stream over the request body (PEP 3333, "Input and Error Streams"; the reading
//! half of `io.RawIOBase` and `io.BufferedIOBase`).

use std::sync::Arc;

use gateway::{Exchange, ReadError};
use pyo3::ffi;

use super::active::{self, Active};
use super::attach::Attached;
use super::exception::Class;
use super::instance::{
    self, Arguments, NO_GETTER, NO_METHOD, NO_SLOT, Table, deallocate, getter, method, size_of_instance,
};
use super::object::{Raised, Ref};
use crate::input::{Input, InputError};

/// Makes the `wsgi.input` of a request.
pub(super) fn new(py: Attached, active: &Arc<Active>) -> Result<Ref, Raised> {
    // SAFETY: the interpreter's input_type is this file's type.
    unsafe { instance::new(py, &py.interpreter().input_type, Arc::clone(active)) }
}

/// Makes the type in a module.
///
/// # Safety
/// `module` is the module being initialised.
pub(super) unsafe fn make_type(module: *mut ffi::PyObject) -> Result<Ref, Raised> {
    // SAFETY: the caller promises the module that is being initialised; SLOTS is a static and fits the size given.
    unsafe { instance::new_type(module, c"mod_wsgi.Input", size_of_instance::<Arc<Active>>(), SLOTS.as_ptr()) }
}

static METHODS: Table<ffi::PyMethodDef, 12> = Table([
    method!(
        active::call,
        c"read",
        read,
        c"read(size=-1): exactly size bytes, fewer only at the end of the body; all of it if negative or None.",
    ),
    method!(
        active::call,
        c"read1",
        read1,
        c"read1(size=-1): at most size bytes, with at most one wait for the client."
    ),
    method!(
        active::call,
        c"readinto",
        readinto,
        c"readinto(buffer): fills the buffer as far as one wait for the client allows; the count.",
    ),
    method!(
        active::call,
        c"readline",
        readline,
        c"readline(size=-1): up to and including the next line feed, at most size bytes."
    ),
    method!(
        active::call,
        c"readlines",
        readlines,
        c"readlines(hint=-1): a list of lines, of at least hint bytes in all if there are as many.",
    ),
    method!(active::call, c"readable", answer_true, c"True."),
    method!(active::call, c"seekable", answer_false, c"False: a request body comes once."),
    method!(active::call, c"writable", answer_false, c"False."),
    method!(active::call, c"isatty", answer_false, c"False."),
    method!(active::call, c"flush", flush, c"Does nothing."),
    method!(active::call, c"close", close, c"Does nothing: the body is the server's to close."),
    NO_METHOD,
]);

static GETTERS: Table<ffi::PyGetSetDef, 2> =
    Table([getter!(active::call, c"closed", closed, c"Whether the request is over."), NO_GETTER]);

static SLOTS: Table<ffi::PyType_Slot, 6> = Table([
    ffi::PyType_Slot { slot: ffi::Py_tp_dealloc, pfunc: deallocate::<Arc<Active>> as *mut _ },
    ffi::PyType_Slot { slot: ffi::Py_tp_methods, pfunc: METHODS.as_ptr().cast() },
    ffi::PyType_Slot { slot: ffi::Py_tp_getset, pfunc: GETTERS.as_ptr().cast() },
    ffi::PyType_Slot { slot: ffi::Py_tp_iter, pfunc: iterate as *mut _ },
    ffi::PyType_Slot { slot: ffi::Py_tp_iternext, pfunc: next_line as *mut _ },
    NO_SLOT,
]);

fn read(py: Attached, active: &Arc<Active>, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let data = match size(py, "read", arguments)? {
        Some(0) => check(py, active, "read").map(|()| Vec::new())?,
        Some(size) => run(py, active, "read", |input, exchange| input.read(exchange, size))?,
        None => run(py, active, "read", Input::read_all)?,
    };
    py.bytes(&data)
}

fn read1(py: Attached, active: &Arc<Active>, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    // As much as one read of a file usually gives, where the caller leaves it to us.
    let size = size(py, "read1", arguments)?.unwrap_or(64 << 10);
    py.bytes(&run(py, active, "read1", |input, exchange| input.read_some(exchange, size))?)
}

fn readinto(py: Attached, active: &Arc<Active>, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let [buffer] = arguments else {
        return Err(
            py.raise(Class::Type, &format!("readinto() takes exactly one argument ({} given)", arguments.len()))
        );
    };
    // The buffer protocol is in the stable ABI only since 3.11; a memoryview has been there always.
    // SAFETY: attached, live argument.
    let view = unsafe { Ref::owned(ffi::PyMemoryView_FromObject(*buffer))? };
    let view = py.call(&py.attribute(&view, &py.text("cast")?)?, [&py.text("B")?])?;
    let room = py.as_long(&py.attribute(&view, &py.text("nbytes")?)?)?;
    let room = usize::try_from(room).unwrap_or(0);
    let data = run(py, active, "readinto", |input, exchange| input.read_some(exchange, room))?;
    let (start, end) = (py.long(0)?, py.long(data.len() as i64)?);
    // SAFETY: attached, live objects.
    unsafe {
        let slice = Ref::owned(ffi::PySlice_New(start.as_ptr(), end.as_ptr(), std::ptr::null_mut()))?;
        if ffi::PyObject_SetItem(view.as_ptr(), slice.as_ptr(), py.bytes(&data)?.as_ptr()) != 0 {
            return Err(Raised);
        }
    }
    Ok(end)
}

fn readline(py: Attached, active: &Arc<Active>, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let size = size(py, "readline", arguments)?.unwrap_or(usize::MAX);
    py.bytes(&run(py, active, "readline", |input, exchange| input.read_line(exchange, size))?)
}

fn readlines(py: Attached, active: &Arc<Active>, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let hint = size(py, "readlines", arguments)?.filter(|hint| *hint > 0).unwrap_or(usize::MAX);
    // SAFETY: attached.
    let lines = unsafe { Ref::owned(ffi::PyList_New(0))? };
    let mut total = 0;
    while total < hint {
        let line = run(py, active, "readlines", |input, exchange| input.read_line(exchange, usize::MAX))?;
        if line.is_empty() {
            break;
        }
        total += line.len();
        // SAFETY: attached, live objects.
        if unsafe { ffi::PyList_Append(lines.as_ptr(), py.bytes(&line)?.as_ptr()) } != 0 {
            return Err(Raised);
        }
    }
    Ok(lines)
}

unsafe extern "C" fn iterate(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: Python calls tp_iter with a live object; a new reference is given back.
    unsafe { Ref::borrowed(object) }.into_ptr()
}

unsafe extern "C" fn next_line(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    let mut is_at_end = false;
    // SAFETY: Python calls tp_iternext with a live object of the type.
    let line = unsafe {
        active::call(object, &[], |py, active, _arguments| {
            let line = run_named(py, active, "iteration of wsgi.input attempted", |input, exchange| {
                input.read_line(exchange, usize::MAX)
            })?;
            is_at_end = line.is_empty();
            py.bytes(&line)
        })
    };
    if is_at_end && !line.is_null() {
        // Null without an exception ends an iteration.
        // SAFETY: our own new reference to the empty bytes object.
        drop(unsafe { Ref::owned(line) });
        return std::ptr::null_mut();
    }
    line
}

fn close(py: Attached, active: &Arc<Active>, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    check(py, active, "close").map(|()| py.none())
}

fn flush(py: Attached, active: &Arc<Active>, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    check(py, active, "flush").map(|()| py.none())
}

fn answer_true(py: Attached, _active: &Arc<Active>, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    Ok(py.boolean(true))
}

fn answer_false(py: Attached, _active: &Arc<Active>, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    Ok(py.boolean(false))
}

fn closed(py: Attached, active: &Arc<Active>) -> Result<Ref, Raised> {
    Ok(py.boolean(!active.is_running()))
}

/// The one optional argument of a reading method: `None` if it is absent, None or negative.
fn size(py: Attached, method: &str, arguments: Arguments<'_>) -> Result<Option<usize>, Raised> {
    match *arguments {
        [] => Ok(None),
        [argument] => {
            // SAFETY: attached, live argument; PyNumber_Index refuses what is no integer in Python's words.
            unsafe {
                if argument == ffi::Py_None() {
                    return Ok(None);
                }
                let number = Ref::owned(ffi::PyNumber_Index(argument))?;
                Ok(usize::try_from(py.as_long(&number)?).ok())
            }
        }
        _ => Err(py.raise(Class::Type, &format!("{method}() takes at most 1 argument ({} given)", arguments.len()))),
    }
}

fn check(py: Attached, active: &Active, method: &str) -> Result<(), Raised> {
    active.with(py, |_| ()).map_err(|reason| reason.raise(py, &format!("{method}() called on wsgi.input")))
}

fn run(
    py: Attached,
    active: &Active,
    method: &str,
    read: impl FnOnce(&mut Input, &mut dyn Exchange) -> Result<Vec<u8>, InputError>,
) -> Result<Vec<u8>, Raised> {
    run_named(py, active, &format!("{method}() called on wsgi.input"), read)
}

fn run_named(
    py: Attached,
    active: &Active,
    attempt: &str,
    read: impl FnOnce(&mut Input, &mut dyn Exchange) -> Result<Vec<u8>, InputError>,
) -> Result<Vec<u8>, Raised> {
    match active.detached(py, |walk| read(&mut walk.input, walk.exchange)) {
        Ok(Ok(data)) => Ok(data),
        Ok(Err(error)) => Err(py.raise(Class::Os, &error_text(&error))),
        Err(reason) => Err(reason.raise(py, attempt)),
    }
}

fn error_text(error: &InputError) -> String {
    let reason = match error {
        InputError::Again => "input is already in error state".to_owned(),
        InputError::Read(ReadError::ClientGone) => {
            format!("{}; partial results are valid but processing is incomplete", ReadError::ClientGone)
        }
        InputError::Read(error) => error.to_string(),
    };
    format!("mod_wsgi request data read error: {reason}")
}
