//! Heap types made per interpreter, whose instances hold a Rust value.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::ffi;

use super::attach::Attached;
use super::exception::Class;
use super::object::{Raised, Ref, into_result};

/// The memory of an instance: Python's header, then the value.
#[repr(C)]
struct Instance<T> {
    header: ffi::PyObject,
    value: T,
}

/// Size of an instance, bytes, for the type's spec.
pub(super) const fn size_of_instance<T>() -> c_int {
    size_of::<Instance<T>>() as c_int
}

/// Makes an instance of a type whose spec has [`size_of_instance`] and [`deallocate`] for `T`.
///
/// # Safety
/// `class` is such a type.
pub(super) unsafe fn new<T>(_py: Attached, class: &Ref, value: T) -> Result<Ref, Raised> {
    // SAFETY: attached; PyType_GenericAlloc gives basicsize zeroed bytes with a header, or null with
    // MemoryError; the value is written before anybody else sees the object.
    unsafe {
        let object = Ref::owned(ffi::PyType_GenericAlloc(class.as_ptr().cast(), 0))?;
        std::ptr::write(&raw mut (*object.as_ptr().cast::<Instance<T>>()).value, value);
        Ok(object)
    }
}

/// The value of an instance.
///
/// # Safety
/// `object` is a live instance that [`new`] made with `T`, and stays alive for `'a`.
pub(super) unsafe fn value<'a, T>(object: *mut ffi::PyObject) -> &'a T {
    // SAFETY: the caller promises an instance that new() laid out as Instance<T>, alive for 'a; the value is never moved.
    unsafe { &(*object.cast::<Instance<T>>()).value }
}

/// `tp_dealloc` of types whose instances hold a `T`.
///
/// # Safety
/// Called by Python when the last reference goes.
pub(super) unsafe extern "C" fn deallocate<T>(object: *mut ffi::PyObject) {
    // A destructor that panics leaks its value; there is nobody to tell.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the value was written by `new` and nobody refers to the object any more.
        unsafe { std::ptr::drop_in_place(&raw mut (*object.cast::<Instance<T>>()).value) }
    }));
    // SAFETY: an instance of a heap type owns a reference to its type; tp_free is PyObject_Free's kin
    // (Python/C API, "Type Object Structures", tp_dealloc).
    unsafe {
        let class = ffi::Py_TYPE(object);
        let free: ffi::freefunc = std::mem::transmute(ffi::PyType_GetSlot(class, ffi::Py_tp_free));
        free(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}

/// Runs the body of a function that Python calls: no panic gets out.
pub(super) fn guard(py: Attached, body: impl FnOnce() -> Result<Ref, Raised>) -> *mut ffi::PyObject {
    let result = catch_unwind(AssertUnwindSafe(body));
    into_result(result.unwrap_or_else(|_| Err(py.raise(Class::System, "internal error in mod_wsgi_rs"))))
}

/// The arguments of a METH_FASTCALL function.
///
/// # Safety
/// `arguments` and `count` are those that Python passed, for the length of the call.
pub(super) unsafe fn arguments<'a>(arguments: *mut *mut ffi::PyObject, count: ffi::Py_ssize_t) -> Arguments<'a> {
    if count == 0 {
        return &[];
    }
    // SAFETY: Python passes `count` live objects at `arguments` and keeps them for the call (METH_FASTCALL), and the caller
    // promises that these are those.
    unsafe { std::slice::from_raw_parts(arguments, count as usize) }
}

/// A method of a type or a function of a module: its name, a safe function, its text for `help()`.
///
/// The safe function takes what `$call` hands it: see [`super::active::call`] and [`super::module`].
macro_rules! method {
    ($call:path, $name:literal, $function:path, $doc:literal $(,)?) => {{
        unsafe extern "C" fn trampoline(
            object: *mut pyo3::ffi::PyObject,
            arguments: *mut *mut pyo3::ffi::PyObject,
            count: pyo3::ffi::Py_ssize_t,
        ) -> *mut pyo3::ffi::PyObject {
            // SAFETY: Python calls a METH_FASTCALL function with a live object of the type (or module) in
            // whose table it stands, and with `count` arguments that live during the call.
            unsafe { $call(object, $crate::python::instance::arguments(arguments, count), $function) }
        }
        pyo3::ffi::PyMethodDef {
            ml_name: $name.as_ptr(),
            ml_meth: pyo3::ffi::PyMethodDefPointer { PyCFunctionFast: trampoline },
            ml_flags: pyo3::ffi::METH_FASTCALL,
            ml_doc: $doc.as_ptr(),
        }
    }};
}
pub(super) use method;

/// An attribute that is read by a safe function.
macro_rules! getter {
    ($call:path, $name:literal, $function:path, $doc:literal $(,)?) => {{
        unsafe extern "C" fn trampoline(
            object: *mut pyo3::ffi::PyObject,
            _closure: *mut std::ffi::c_void,
        ) -> *mut pyo3::ffi::PyObject {
            // SAFETY: Python reads an attribute of a live object of the type in whose table it stands.
            unsafe { $call(object, &[], |py, active, _arguments| $function(py, active)) }
        }
        pyo3::ffi::PyGetSetDef {
            name: $name.as_ptr(),
            get: Some(trampoline),
            set: None,
            doc: $doc.as_ptr(),
            closure: std::ptr::null_mut(),
        }
    }};
}
pub(super) use getter;

/// The entry that ends a list of attributes.
pub(super) const NO_GETTER: ffi::PyGetSetDef = ffi::PyGetSetDef {
    name: std::ptr::null(),
    get: None,
    set: None,
    doc: std::ptr::null(),
    closure: std::ptr::null_mut(),
};

/// The entry that ends a list of slots.
pub(super) const NO_SLOT: ffi::PyType_Slot = ffi::PyType_Slot { slot: 0, pfunc: std::ptr::null_mut() };

/// The arguments of a call.
pub(super) type Arguments<'a> = &'a [*mut ffi::PyObject];

/// The entry that ends a list of methods.
pub(super) const NO_METHOD: ffi::PyMethodDef = ffi::PyMethodDef::zeroed();

/// A table that C code reads and nobody changes.
pub(super) struct Table<T, const N: usize>(pub(super) [T; N]);

// SAFETY: constant data with pointers to other constants and functions.
unsafe impl<T, const N: usize> Sync for Table<T, N> {}

impl<T, const N: usize> Table<T, N> {
    pub(super) const fn as_ptr(&self) -> *mut T {
        self.0.as_ptr().cast_mut()
    }
}

/// Makes a heap type of a module.
///
/// # Safety
/// `module` is the module being initialised; the slots end with a zero entry.
pub(super) unsafe fn new_type(
    module: *mut ffi::PyObject,
    name: &'static std::ffi::CStr,
    size: c_int,
    slots: *mut ffi::PyType_Slot,
) -> Result<Ref, Raised> {
    // Py_TPFLAGS_DISALLOW_INSTANTIATION and Py_TPFLAGS_IMMUTABLETYPE (object.h, 3.10): an instance that
    // Python made would hold no value, and a changed type would serve every later request.
    let flags = ffi::Py_TPFLAGS_DEFAULT | 1 << 7 | 1 << 8;
    let mut spec = ffi::PyType_Spec { name: name.as_ptr(), basicsize: size, itemsize: 0, flags: flags as _, slots };
    // SAFETY: attached (module initialisation); the spec is copied.
    unsafe { Ref::owned(ffi::PyType_FromModuleAndSpec(module, &mut spec, std::ptr::null_mut())) }
}
