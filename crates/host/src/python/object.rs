//! Owned references, and the operations on objects that the walk needs.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::NonNull;

use pyo3::ffi;

use super::attach::Attached;

/// A Python exception is set in the calling thread's state.
#[derive(Debug)]
pub(super) struct Raised;

/// An owned reference to an object of the interpreter it was made in.
///
/// It is made with an [`Attached`] and may only be dropped by a thread attached to the same interpreter;
/// it is not `Send`, and lives in stack frames, in objects of Python's, or in an
/// [`super::interpreter::Interpreter`], which is never dropped.
#[derive(Debug)]
pub(super) struct Ref(NonNull<ffi::PyObject>, PhantomData<*mut ()>);

impl Drop for Ref {
    fn drop(&mut self) {
        // SAFETY: we own one reference, and the thread is attached (see the type).
        unsafe { ffi::Py_DECREF(self.0.as_ptr()) }
    }
}

impl Ref {
    /// Takes over a new reference, or learns that an exception is set.
    ///
    /// # Safety
    /// `raw` is a new reference, or null with an exception set; the thread is attached.
    pub(super) unsafe fn owned(raw: *mut ffi::PyObject) -> Result<Ref, Raised> {
        NonNull::new(raw).map(|object| Ref(object, PhantomData)).ok_or(Raised)
    }

    /// Takes a reference of its own to a borrowed object.
    ///
    /// # Safety
    /// `raw` is a live object; the thread is attached.
    pub(super) unsafe fn borrowed(raw: *mut ffi::PyObject) -> Ref {
        // SAFETY: the caller promises a live object, so it is not null, and that the thread is attached.
        unsafe {
            ffi::Py_INCREF(raw);
            Ref(NonNull::new_unchecked(raw), PhantomData)
        }
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    /// Gives the reference away.
    pub(super) fn into_ptr(self) -> *mut ffi::PyObject {
        let raw = self.as_ptr();
        std::mem::forget(self);
        raw
    }

    pub(super) fn clone_ref(&self, _py: Attached) -> Ref {
        // SAFETY: the object is live, since we hold a reference, and the thread is attached.
        unsafe { Ref::borrowed(self.as_ptr()) }
    }
}

/// Turns a result into what a C function gives back to Python.
pub(super) fn into_result(result: Result<Ref, Raised>) -> *mut ffi::PyObject {
    result.map_or(std::ptr::null_mut(), Ref::into_ptr)
}

// What follows takes an `Attached`, so the GIL is held, and `Ref`s, so the objects are live: that is the
// fact behind every block here that names no other.
macro_rules! call {
    ($function:ident ( $($argument:expr),* $(,)? )) => {
        // SAFETY: attached, live objects; the function gives a new reference, or null with an exception.
        unsafe { Ref::owned(ffi::$function($($argument),*)) }
    };
}

impl Attached {
    pub(super) fn none(self) -> Ref {
        // SAFETY: None is live as long as the interpreter.
        unsafe { Ref::borrowed(ffi::Py_None()) }
    }

    pub(super) fn boolean(self, value: bool) -> Ref {
        // SAFETY: True and False are live as long as the interpreter.
        unsafe { Ref::borrowed(if value { ffi::Py_True() } else { ffi::Py_False() }) }
    }

    pub(super) fn long(self, value: i64) -> Result<Ref, Raised> {
        call!(PyLong_FromLongLong(value))
    }

    pub(super) fn float(self, value: f64) -> Result<Ref, Raised> {
        call!(PyFloat_FromDouble(value))
    }

    pub(super) fn bytes(self, value: &[u8]) -> Result<Ref, Raised> {
        call!(PyBytes_FromStringAndSize(value.as_ptr().cast(), value.len() as ffi::Py_ssize_t))
    }

    /// Each byte becomes the code point of its number, as PEP 3333 has it ("Unicode Issues").
    pub(super) fn latin1(self, value: &[u8]) -> Result<Ref, Raised> {
        call!(PyUnicode_DecodeLatin1(value.as_ptr().cast(), value.len() as ffi::Py_ssize_t, std::ptr::null()))
    }

    pub(super) fn text(self, value: &str) -> Result<Ref, Raised> {
        call!(PyUnicode_FromStringAndSize(value.as_ptr().cast(), value.len() as ffi::Py_ssize_t))
    }

    /// An interned string. Only for names of our own: interned strings may live for ever.
    pub(super) fn interned(self, name: &CStr) -> Result<Ref, Raised> {
        call!(PyUnicode_InternFromString(name.as_ptr()))
    }

    /// A file name: the file system encoding, or latin-1 where that fails.
    pub(super) fn file_name(self, value: &[u8]) -> Result<Ref, Raised> {
        call!(PyUnicode_DecodeFSDefaultAndSize(value.as_ptr().cast(), value.len() as ffi::Py_ssize_t)).or_else(
            |Raised| {
                self.clear_exception();
                self.latin1(value)
            },
        )
    }

    /// The bytes of a file name: the file system encoding.
    pub(super) fn encoded_file_name(self, name: &Ref) -> Result<Ref, Raised> {
        call!(PyUnicode_EncodeFSDefault(name.as_ptr()))
    }

    pub(super) fn new_list(self) -> Result<Ref, Raised> {
        call!(PyList_New(0))
    }

    pub(super) fn list_append(self, list: &Ref, item: &Ref) -> Result<(), Raised> {
        // SAFETY: attached, live objects; the list takes a reference of its own.
        match unsafe { ffi::PyList_Append(list.as_ptr(), item.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Raised),
        }
    }

    /// A list of ints.
    pub(super) fn numbers(self, values: impl IntoIterator<Item = u64>) -> Result<Ref, Raised> {
        let list = self.new_list()?;
        for value in values {
            self.list_append(&list, &self.long(i64::try_from(value).unwrap_or(i64::MAX))?)?;
        }
        Ok(list)
    }

    /// How many items a list has.
    pub(super) fn list_length(self, list: &Ref) -> isize {
        // SAFETY: attached, live object; what is no list is refused, with -1 and an exception, and never comes here.
        unsafe { ffi::PyList_Size(list.as_ptr()) }
    }

    pub(super) fn dict_copy(self, dict: &Ref) -> Result<Ref, Raised> {
        call!(PyDict_Copy(dict.as_ptr()))
    }

    pub(super) fn new_dict(self) -> Result<Ref, Raised> {
        call!(PyDict_New())
    }

    pub(super) fn dict_set(self, dict: &Ref, key: &Ref, value: &Ref) -> Result<(), Raised> {
        // SAFETY: attached, live objects.
        match unsafe { ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Raised),
        }
    }

    /// Removes an entry; it may be gone already.
    pub(super) fn dict_remove(self, dict: &Ref, key: &Ref) {
        // SAFETY: attached, live objects.
        if unsafe { ffi::PyDict_DelItem(dict.as_ptr(), key.as_ptr()) } != 0 {
            self.clear_exception();
        }
    }

    pub(super) fn dict_get(self, dict: &Ref, key: &Ref) -> Result<Option<Ref>, Raised> {
        // SAFETY: attached, live objects; the result is borrowed from the dict and taken over at once.
        unsafe {
            let found = ffi::PyDict_GetItemWithError(dict.as_ptr(), key.as_ptr());
            match (found.is_null(), ffi::PyErr_Occurred().is_null()) {
                (false, _) => Ok(Some(Ref::borrowed(found))),
                (true, true) => Ok(None),
                (true, false) => Err(Raised),
            }
        }
    }

    pub(super) fn attribute(self, object: &Ref, name: &Ref) -> Result<Ref, Raised> {
        call!(PyObject_GetAttr(object.as_ptr(), name.as_ptr()))
    }

    /// Calls with positional arguments.
    pub(super) fn call<const N: usize>(self, callable: &Ref, arguments: [&Ref; N]) -> Result<Ref, Raised> {
        let mut pointers =
            arguments.iter().map(|argument| argument.as_ptr()).chain(std::iter::repeat(std::ptr::null_mut()));
        let mut next = || pointers.next().unwrap_or(std::ptr::null_mut());
        // The list of arguments ends with the first null.
        let (first, second, third, fourth, fifth) = (next(), next(), next(), next(), next());
        const { assert!(N <= 5) };
        call!(PyObject_CallFunctionObjArgs(
            callable.as_ptr(),
            first,
            second,
            third,
            fourth,
            fifth,
            std::ptr::null_mut::<ffi::PyObject>()
        ))
    }

    pub(super) fn iterator(self, object: &Ref) -> Result<Ref, Raised> {
        call!(PyObject_GetIter(object.as_ptr()))
    }

    /// The next item, or `None` at the end.
    pub(super) fn next(self, iterator: &Ref) -> Result<Option<Ref>, Raised> {
        // SAFETY: attached; the object came from PyObject_GetIter.
        unsafe {
            match Ref::owned(ffi::PyIter_Next(iterator.as_ptr())) {
                Ok(item) => Ok(Some(item)),
                Err(Raised) if ffi::PyErr_Occurred().is_null() => Ok(None),
                Err(Raised) => Err(Raised),
            }
        }
    }

    /// The one item of a list or tuple (no subclass) that has just one.
    pub(super) fn only_item(self, object: &Ref) -> Option<Ref> {
        let raw = object.as_ptr();
        // SAFETY: attached, live object; the getters are called on the type they are for, and give
        // borrowed references, which are taken over at once.
        unsafe {
            if ffi::PyList_CheckExact(raw) != 0 {
                return (ffi::PyList_Size(raw) == 1).then(|| Ref::borrowed(ffi::PyList_GetItem(raw, 0)));
            }
            (ffi::PyTuple_CheckExact(raw) != 0 && ffi::PyTuple_Size(raw) == 1)
                .then(|| Ref::borrowed(ffi::PyTuple_GetItem(raw, 0)))
        }
    }

    /// Whether the object is a list or tuple and not of a subclass, which cannot have a `close()`.
    pub(super) fn is_plain_sequence(self, object: &Ref) -> bool {
        // SAFETY: attached, live object.
        unsafe { ffi::PyList_CheckExact(object.as_ptr()) != 0 || ffi::PyTuple_CheckExact(object.as_ptr()) != 0 }
    }

    pub(super) fn is_instance(self, object: &Ref, class: &Ref) -> Result<bool, Raised> {
        // SAFETY: attached, live objects.
        match unsafe { ffi::PyObject_IsInstance(object.as_ptr(), class.as_ptr()) } {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Raised),
        }
    }

    /// The contents of a bytes object; `None` if it is none. They stay as long as the object.
    pub(super) fn as_bytes(self, object: &Ref) -> Option<&[u8]> {
        // SAFETY: attached; a bytes object never changes its contents or their place.
        unsafe {
            if ffi::PyBytes_Check(object.as_ptr()) == 0 {
                return None;
            }
            let data = ffi::PyBytes_AsString(object.as_ptr()).cast::<u8>();
            Some(std::slice::from_raw_parts(data, ffi::PyBytes_Size(object.as_ptr()) as usize))
        }
    }

    /// The UTF-8 text of a str, or an exception: TypeError, or UnicodeEncodeError for surrogates.
    pub(super) fn as_utf8(self, object: &Ref) -> Result<&[u8], Raised> {
        let mut size = 0;
        // SAFETY: attached, live object; the text is kept in the str and lives as long.
        unsafe {
            let data = ffi::PyUnicode_AsUTF8AndSize(object.as_ptr(), &mut size);
            if data.is_null() { Err(Raised) } else { Ok(std::slice::from_raw_parts(data.cast(), size as usize)) }
        }
    }

    /// Whether it is a str.
    pub(super) fn is_text(self, object: &Ref) -> bool {
        // SAFETY: attached, live object.
        unsafe { ffi::PyUnicode_Check(object.as_ptr()) != 0 }
    }

    /// The bytes whose numbers are a str's code points; UnicodeEncodeError where one is above 255.
    pub(super) fn encoded_latin1(self, object: &Ref) -> Result<Vec<u8>, Raised> {
        let bytes = call!(PyUnicode_AsLatin1String(object.as_ptr()))?;
        Ok(self.as_bytes(&bytes).unwrap_or_default().to_vec())
    }

    /// An int's value.
    pub(super) fn as_long(self, object: &Ref) -> Result<i64, Raised> {
        // SAFETY: attached, live object.
        unsafe {
            let value = ffi::PyLong_AsLongLong(object.as_ptr());
            if value == -1 && !ffi::PyErr_Occurred().is_null() { Err(Raised) } else { Ok(value) }
        }
    }

    /// The type's name, for error texts.
    pub(super) fn type_name(self, object: &Ref) -> String {
        let name = self
            .interned(c"__name__")
            // SAFETY: attached, live object; the type is borrowed from the object.
            .and_then(|name| self.attribute(&unsafe { Ref::borrowed(ffi::Py_TYPE(object.as_ptr()).cast()) }, &name))
            .and_then(|name| self.as_utf8(&name).map(|text| String::from_utf8_lossy(text).into_owned()));
        name.unwrap_or_else(|Raised| {
            self.clear_exception();
            "object".to_owned()
        })
    }
}
