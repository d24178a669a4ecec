//! `contextvars`: each request runs in a Context of its own, in which [`Support::current_request`] is its `Request`.
//!
//! So what one request sets is not there for the next one on the same thread, and what copies its Context (a task of
//! asyncio, `copy_context().run` in another thread) still knows the request.
//!
//! [`Support::current_request`]: super::interpreter::Support

use pyo3::ffi;

use super::attach::Attached;
use super::object::{Raised, Ref};

// Not of the limited API, but functions that every CPython since 3.7 exports, and that take and give objects only
// (Python/C API, "Context Variables Objects"). Through Python the same would cost several times as much for each request.
#[allow(non_snake_case, reason = "the names are CPython's")]
unsafe extern "C" {
    fn PyContext_New() -> *mut ffi::PyObject;
    fn PyContext_Enter(context: *mut ffi::PyObject) -> std::ffi::c_int;
    fn PyContext_Exit(context: *mut ffi::PyObject) -> std::ffi::c_int;
    fn PyContextVar_Set(variable: *mut ffi::PyObject, value: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// A Context that the calling thread is in, until dropped. Attached, to the same interpreter, all the while but for
/// times without the GIL.
pub(super) struct Entered {
    py: Attached,
    context: Ref,
}

impl Entered {
    /// Enters a new Context for a request; `None` if there is no memory for one, and the request does without.
    pub(super) fn new(py: Attached, request: &Ref) -> Option<Entered> {
        let entered = Self::enter(py, request);
        if entered.is_err() {
            py.clear_exception();
        }
        entered.ok()
    }

    fn enter(py: Attached, request: &Ref) -> Result<Entered, Raised> {
        // SAFETY: attached, live objects; the functions give a new reference, or null with an exception.
        unsafe {
            let context = Ref::owned(PyContext_New())?;
            if PyContext_Enter(context.as_ptr()) != 0 {
                return Err(Raised);
            }
            let entered = Entered { py, context };
            let variable = &py.interpreter().support.current_request;
            // The token would put back the value before, which there is none of.
            drop(Ref::owned(PyContextVar_Set(variable.as_ptr(), request.as_ptr()))?);
            Ok(entered)
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // SAFETY: attached; entered by this thread, and whoever enters another one meanwhile leaves it before.
        if unsafe { PyContext_Exit(self.context.as_ptr()) } != 0 {
            // A C extension has left the thread in a Context of its own; the next request enters a new one in any case.
            self.py.clear_exception();
        }
    }
}
