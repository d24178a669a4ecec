//! The module's slots in httpd's configuration vectors, and the callbacks that fill them.
//!
//! Every value lives in the pool of its configuration (or of the request that read a `.htaccess`) and
//! goes with it, so nothing of a configuration ever outlasts a restart.

use std::any::Any;
use std::ffi::{c_char, c_void};
use std::sync::OnceLock;

use super::bindings as c;
use super::pool::{Pool, optional_bytes};
use crate::config::{DirectoryWritten, GroupNames, ServerWritten};
use crate::module;

/// What a server's slot holds.
#[derive(Default)]
pub(super) struct ServerSlot {
    /// What the directives said.
    pub(super) written: ServerWritten,
    /// What post_config found out by it, for the children; one of each type.
    pub(super) facts: [OnceLock<Box<dyn Any + Send + Sync>>; 4],
}

/// The module's slot of a configuration vector.
///
/// # Safety
/// `vector` is a live vector that httpd made after the module was loaded.
pub(super) unsafe fn slot(vector: *mut c::ap_conf_vector_t) -> *mut c_void {
    // SAFETY: a vector is an array of pointers, one for each module (http_config.h,
    // ap_get_module_config is this very expression).
    unsafe { *vector.cast::<*mut c_void>().add(module::index()) }
}

/// Sets the module's slot of a configuration vector.
///
/// # Safety
/// As for [`slot`].
pub(super) unsafe fn set_slot(vector: *mut c::ap_conf_vector_t, value: *mut c_void) {
    // SAFETY: the vector has a place for each module, ours by our index (http_config.h; ap_set_module_config is this very
    // expression).
    unsafe { *vector.cast::<*mut c_void>().add(module::index()) = value }
}

/// The names of process groups that the configuration in this pool has defined so far.
///
/// While a virtual host is read, httpd shows no way from it to the main server, so the names go with the pool.
///
/// # Safety
/// `pool` is the pool of a configuration that is being read, by the calling thread only; the result is not used after
/// the directive for which it was asked.
pub(super) unsafe fn group_names<'a>(pool: *mut c::apr_pool_t) -> &'a mut GroupNames {
    const KEY: &std::ffi::CStr = c"mod_wsgi_rs group names";
    let mut found: *mut c_void = std::ptr::null_mut();
    // SAFETY: a pool's data is found by its key until the pool is cleared (apr_pools.h); under this key only a
    // GroupNames of the same pool is set, which goes in the same moment.
    unsafe {
        c::apr_pool_userdata_get(&mut found, KEY.as_ptr(), pool);
        if found.is_null() {
            found = keep(pool, GroupNames::default());
            c::apr_pool_userdata_setn(found, KEY.as_ptr(), None, pool);
        }
        &mut *found.cast::<GroupNames>()
    }
}

/// A path that is relative to `ServerRoot`, made absolute; `None` if it cannot be one.
pub(super) fn under_server_root(pool: Pool<'_>, path: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: ap_server_root_relative reads the path and gives a string of the pool, or null (http_config.h).
    unsafe { optional_bytes(c::ap_server_root_relative(pool.as_raw(), pool.copy(path).as_ptr())) }.map(<[u8]>::to_vec)
}

/// # Safety
/// `vector` is the module_config of a server_rec that lives for `'a`.
pub(super) unsafe fn server_slot<'a>(vector: *mut c::ap_conf_vector_t) -> &'a ServerSlot {
    // SAFETY: create_server put a ServerSlot there, in the same pool as the vector.
    unsafe { &*slot(vector).cast::<ServerSlot>() }
}

/// # Safety
/// `vector` is the per_dir_config of a request that lives for `'a`.
pub(super) unsafe fn directory_settings<'a>(vector: *mut c::ap_conf_vector_t) -> &'a DirectoryWritten {
    // SAFETY: create_directory or merge_directory put a DirectoryWritten there.
    unsafe { &*slot(vector).cast::<DirectoryWritten>() }
}

pub(crate) unsafe extern "C" fn create_server(pool: *mut c::apr_pool_t, _server: *mut c::server_rec) -> *mut c_void {
    // SAFETY: httpd passes the configuration's pool, which holds the vector too (http_config.h).
    unsafe { keep(pool, ServerSlot::default()) }
}

pub(crate) unsafe extern "C" fn merge_server(
    pool: *mut c::apr_pool_t,
    base: *mut c_void,
    inner: *mut c_void,
) -> *mut c_void {
    // SAFETY: httpd passes two values that create_server or merge_server made.
    let written =
        unsafe { ServerWritten::merge(&(*base.cast::<ServerSlot>()).written, &(*inner.cast::<ServerSlot>()).written) };
    // SAFETY: httpd passes the configuration's pool, which holds the merged vector too (http_config.h).
    unsafe { keep(pool, ServerSlot { written, ..ServerSlot::default() }) }
}

pub(crate) unsafe extern "C" fn create_directory(pool: *mut c::apr_pool_t, _path: *mut c_char) -> *mut c_void {
    // SAFETY: httpd passes the pool of the configuration, or of the request that reads a .htaccess, which holds the vector
    // too (http_config.h).
    unsafe { keep(pool, DirectoryWritten::default()) }
}

/// Runs for each request whose URL or file lies in a section, in the request's pool.
pub(crate) unsafe extern "C" fn merge_directory(
    pool: *mut c::apr_pool_t,
    base: *mut c_void,
    inner: *mut c_void,
) -> *mut c_void {
    // SAFETY: httpd passes two values that create_directory or merge_directory made.
    unsafe { keep(pool, DirectoryWritten::merge(&*base.cast(), &*inner.cast())) }
}

/// # Safety
/// `pool` is live; the result lives as long as it.
unsafe fn keep<T: 'static>(pool: *mut c::apr_pool_t, value: T) -> *mut c_void {
    // SAFETY: the caller promises a live pool.
    let kept: *mut T = unsafe { Pool::from_raw(pool) }.keep(value);
    kept.cast()
}
