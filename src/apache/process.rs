//! The process that the module lives in: the module's own file, and the environment.

use std::ffi::{CStr, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Makes httpd's unloading of the module (at each restart) a no-op.
///
/// Whether a Rust library really is unloaded depends on whether any thread-local with a destructor was
/// touched, so without this the statics would sometimes survive a graceful restart and sometimes not.
/// With it they always do, and none holds anything of a configuration. A replaced file takes effect
/// when httpd is stopped and started.
pub(crate) fn stay_loaded() {
    let Some(file) = own_file() else { return };
    // SAFETY: the library is loaded already; this only raises its count and marks it RTLD_NODELETE
    // (dlopen(3)). The handle is deliberately never closed.
    unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_NODELETE | libc::RTLD_NOLOAD) };
}

/// The directory that the module's file lies in, symbolic links resolved.
pub(crate) fn library_directory() -> Option<PathBuf> {
    let file = PathBuf::from(OsStr::from_bytes(own_file()?.to_bytes())).canonicalize().ok()?;
    Some(file.parent()?.to_path_buf())
}

fn own_file() -> Option<&'static CStr> {
    // SAFETY: dladdr fills in the record for an address of a loaded library; the name in it belongs to
    // the library's link map, which stays since the library does (dladdr(3)).
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        let here: *const c_void = (stay_loaded as fn() as *const ()).cast();
        let found = libc::dladdr(here, &mut info) != 0 && !info.dli_fname.is_null();
        found.then(|| CStr::from_ptr(info.dli_fname))
    }
}

/// Sets a variable of the process's environment. Only while the process has one thread: in child_init.
pub(crate) fn set_variable(name: &str, value: &str) {
    // SAFETY: httpd runs child_init before it makes the child's threads (MPMs' child_main), so nobody reads
    // the environment meanwhile.
    unsafe { std::env::set_var(name, value) };
}
