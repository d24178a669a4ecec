//! `apache.request_rec`: httpd's own request, for extension modules that know its layout (`WSGIPassApacheRequest`).

use std::ffi::c_void;

use pyo3::ffi;

use super::attach::Attached;
use super::object::{Raised, Ref};

/// A capsule without a name around httpd's request; its name changes when the request has ended, so that nobody gets a
/// pointer out of it any more.
pub(super) struct RequestCapsule(Ref);

impl RequestCapsule {
    /// `None` if there is nothing to be passed.
    pub(super) fn new(_py: Attached, request_rec: *mut c_void) -> Result<Option<RequestCapsule>, Raised> {
        if request_rec.is_null() {
            return Ok(None);
        }
        // SAFETY: attached; a capsule only keeps the pointer, which is not null.
        let capsule = unsafe { Ref::owned(ffi::PyCapsule_New(request_rec, std::ptr::null(), None)) };
        capsule.map(|capsule| Some(RequestCapsule(capsule)))
    }

    pub(super) fn put_into(&self, py: Attached, environ: &Ref) -> Result<(), Raised> {
        py.dict_set(environ, &py.text("apache.request_rec")?, &self.0)
    }

    /// The request has ended: PyCapsule_GetPointer raises from now on, since it is asked for a capsule without a name.
    pub(super) fn expire(self, py: Attached) {
        // SAFETY: attached, a live capsule; the name is a static.
        if unsafe { ffi::PyCapsule_SetName(self.0.as_ptr(), c"a request_rec that has ended".as_ptr()) } != 0 {
            py.clear_exception();
        }
    }
}
