//! APR status numbers in words.

use std::ffi::CStr;

use super::bindings as c;

/// APR's words for a status.
pub(super) fn status_text(status: c::apr_status_t) -> String {
    let mut text = [0; 160];
    // SAFETY: apr_strerror writes at most the given count, NUL included, and gives back the buffer.
    unsafe { CStr::from_ptr(c::apr_strerror(status, text.as_mut_ptr(), text.len())) }.to_string_lossy().into_owned()
}
