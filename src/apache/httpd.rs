//! The running httpd: what it is, what it is called, which pass over its configuration it is in.

use std::ffi::{CStr, CString};

use super::bindings as c;
use super::pool::{Pool, optional_bytes};

/// What the running httpd is, as its own functions tell it.
pub(crate) struct Httpd {
    /// `2.4.71`.
    pub(crate) version: String,
    /// `Apache/2.4.71 (Debian)`.
    pub(crate) description: String,
    /// Build date.
    pub(crate) build_date: String,
    /// `event`, `worker`, `prefork`.
    pub(crate) mpm_name: String,
    /// Most processes the MPM may have.
    pub(crate) max_processes: i32,
    /// Threads of one process.
    pub(crate) threads_per_process: i32,
    /// Whether one process may serve several requests at once.
    pub(crate) is_multithread: bool,
    /// Whether several processes may serve at once.
    pub(crate) is_multiprocess: bool,
    /// httpd runs in one process (`-X`).
    pub(crate) is_single_process: bool,
}

impl Httpd {
    /// Asks httpd; valid from post_config on.
    pub(crate) fn ask() -> Httpd {
        let query = |code: u32| {
            let mut answer = 0;
            // SAFETY: ap_mpm_query writes one int (ap_mpm.h).
            match unsafe { c::ap_mpm_query(code as i32, &mut answer) } {
                0 => answer,
                _ => 0,
            }
        };
        // A threaded MPM may still be set to one thread a child, and the other way round.
        let threads = query(c::AP_MPMQ_MAX_THREADS).max(1);
        let processes = query(c::AP_MPMQ_MAX_DAEMONS).max(1);
        Httpd {
            version: text(c::wsgi_shim_httpd_version),
            description: text(c::ap_get_server_description),
            build_date: text(c::ap_get_server_built),
            mpm_name: text(c::ap_show_mpm),
            max_processes: processes,
            threads_per_process: threads,
            is_multithread: query(c::AP_MPMQ_IS_THREADED) != 0 && threads != 1,
            is_multiprocess: query(c::AP_MPMQ_IS_FORKED) != 0 && processes != 1,
            is_single_process: is_without_children(),
        }
    }
}

/// Whether httpd's parent serves requests itself, and becomes the user of its children for that: `-X`, which defines
/// `DEBUG`, and `-DONE_PROCESS` (the MPMs' pre_config hooks).
pub(crate) fn is_without_children() -> bool {
    is_defined(c"DEBUG") || is_defined(c"ONE_PROCESS")
}

fn is_defined(name: &CStr) -> bool {
    // SAFETY: ap_exists_config_define only compares names (http_core.h).
    unsafe { c::ap_exists_config_define(name.as_ptr()) != 0 }
}

fn text(function: unsafe extern "C" fn() -> *const std::ffi::c_char) -> String {
    // SAFETY: each function passed above takes nothing and gives a static string (httpd.h, ap_mpm.h, shim.h).
    unsafe { CStr::from_ptr(function()) }.to_string_lossy().into_owned()
}

/// `ServerTokens`-filtered banner: what the `Server:` header says.
pub(crate) fn banner() -> &'static [u8] {
    // SAFETY: a string that lives as long as the configuration in force, and a child has only one.
    unsafe { CStr::from_ptr(c::ap_get_server_banner()) }.to_bytes()
}

/// Adds a word to the banner.
pub(crate) fn announce(pool: Pool<'_>, component: &str) {
    let component = CString::new(component).expect("a component is made of names and digits");
    // SAFETY: ap_add_version_component copies into its own storage (httpd.h).
    unsafe { c::ap_add_version_component(pool.as_raw(), component.as_ptr()) }
}

/// A file of this name in httpd's runtime directory (`DefaultRuntimeDir`). Valid when the configuration has been read.
pub(crate) fn runtime_path(pool: Pool<'_>, name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: ap_runtime_dir_relative reads the name and gives a string of the pool, or null (http_config.h).
    unsafe { optional_bytes(c::ap_runtime_dir_relative(pool.as_raw(), name.as_ptr())) }.map(<[u8]>::to_vec)
}

/// httpd runs its configuration through twice at start; true in the pass that will not be used.
pub(crate) fn is_preliminary_pass() -> bool {
    // SAFETY: ap_state_query only reads (http_core.h).
    unsafe { c::ap_state_query(c::AP_SQ_MAIN_STATE as i32) == c::AP_SQ_MS_CREATE_PRE_CONFIG as i32 }
}

/// Whether httpd is about to end.
pub(crate) fn is_stopping() -> bool {
    let mut state = 0;
    // SAFETY: ap_mpm_query writes one int (ap_mpm.h).
    let status = unsafe { c::ap_mpm_query(c::AP_MPMQ_MPM_STATE as i32, &mut state) };
    status != 0 || state == c::AP_MPMQ_STOPPING as i32
}

/// Whether `CoreDumpDirectory` is set: httpd's children leave core files then.
pub(crate) fn is_dumping_core() -> bool {
    // SAFETY: an int that httpd sets while it reads its configuration, on its one thread (mpm_common.h).
    unsafe { c::ap_coredumpdir_configured != 0 }
}

/// Ids of the user and the group that httpd's children run as: `User` and `Group`, or those of httpd itself if it was not
/// started as root.
pub(crate) fn children_ids() -> (u32, u32) {
    // SAFETY: geteuid and getegid cannot fail; ap_unixd_config was filled in when `User` and `Group` were read.
    unsafe {
        match libc::geteuid() {
            0 => (c::ap_unixd_config.user_id, c::ap_unixd_config.group_id),
            own => (own, libc::getegid()),
        }
    }
}
