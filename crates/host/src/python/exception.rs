//! Raising exceptions, and catching those of applications.

use std::ffi::CString;

use pyo3::ffi;

use super::attach::Attached;
use super::object::{Raised, Ref};

/// The built-in exceptions that we raise.
#[derive(Clone, Copy, Debug)]
pub(super) enum Class {
    Os,
    Runtime,
    System,
    Type,
    Value,
}

impl Attached {
    /// Sets an exception.
    pub(super) fn raise(self, class: Class, text: &str) -> Raised {
        // A NUL cannot be in a C string; PyErr_SetString decodes UTF-8.
        let text = CString::new(text.replace('\0', "\\x00")).expect("every NUL was replaced");
        // SAFETY: attached; the exception classes are static objects of every interpreter.
        unsafe {
            let class = match class {
                Class::Os => ffi::PyExc_OSError,
                Class::Runtime => ffi::PyExc_RuntimeError,
                Class::System => ffi::PyExc_SystemError,
                Class::Type => ffi::PyExc_TypeError,
                Class::Value => ffi::PyExc_ValueError,
            };
            ffi::PyErr_SetString(class, text.as_ptr());
        }
        Raised
    }

    /// Drops the exception that is set, if any.
    pub(super) fn clear_exception(self) {
        // SAFETY: attached.
        unsafe { ffi::PyErr_Clear() }
    }

    /// Takes the exception that is set, with its traceback attached to it, which versions before 3.12 do
    /// not do by themselves.
    pub(super) fn take_exception(self, _raised: Raised) -> Ref {
        let (mut class, mut value, mut traceback) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: attached. PyErr_Fetch gives three owned references or nulls and clears the exception;
        // normalising makes `value` an instance, never null. Deprecated since 3.12, but the only way
        // that the stable ABI of 3.10 has.
        #[allow(deprecated, reason = "PyErr_GetRaisedException is not in 3.10's stable ABI")]
        unsafe {
            ffi::PyErr_Fetch(&mut class, &mut value, &mut traceback);
            if class.is_null() {
                return self.none();
            }
            ffi::PyErr_NormalizeException(&mut class, &mut value, &mut traceback);
            if !traceback.is_null() {
                ffi::PyException_SetTraceback(value, traceback);
                ffi::Py_DECREF(traceback);
            }
            ffi::Py_DECREF(class);
            Ref::owned(value).unwrap_or_else(|Raised| self.none())
        }
    }

    /// Sets the exception of a `sys.exc_info()` triple again, as `raise` does; TypeError if it is none.
    pub(super) fn raise_again(self, class: &Ref, value: &Ref, traceback: &Ref) -> Raised {
        let (class, value, traceback) = (class.as_ptr(), value.as_ptr(), traceback.as_ptr());
        // SAFETY: attached, live objects, each used only as the type that was checked; PyErr_SetObject and
        // PyException_SetTraceback take references of their own.
        unsafe {
            if ffi::PyExceptionInstance_Check(value) != 0 {
                if ffi::PyTraceBack_Check(traceback) != 0 {
                    ffi::PyException_SetTraceback(value, traceback);
                }
                ffi::PyErr_SetObject(ffi::Py_TYPE(value).cast(), value);
                return Raised;
            }
            if ffi::PyExceptionClass_Check(class) != 0 {
                ffi::PyErr_SetObject(class, value);
                return Raised;
            }
        }
        self.raise(
            Class::Type,
            "start_response() argument 'exc_info' must hold an exception, as sys.exc_info() gives it",
        )
    }

    /// Whether an exception is an OSError.
    pub(super) fn is_os_error(self, exception: &Ref) -> bool {
        // SAFETY: attached, live objects.
        unsafe { ffi::PyErr_GivenExceptionMatches(exception.as_ptr(), ffi::PyExc_OSError) != 0 }
    }

    /// Whether the exception that is set is an AttributeError.
    pub(super) fn is_attribute_error_set(self) -> bool {
        // SAFETY: attached, and an exception is set when this is asked.
        unsafe { ffi::PyErr_ExceptionMatches(ffi::PyExc_AttributeError) != 0 }
    }
}
