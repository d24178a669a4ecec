//! The record that `LoadModule` looks for, and the hooks. Nothing else.

#![allow(unsafe_code, reason = "the module record and its hooks are C's")]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use crate::apache::{bindings as c, record};
use crate::front;

/// The symbol named in `LoadModule wsgi_module …`. httpd writes its index and handle into it.
#[unsafe(no_mangle)]
pub static mut wsgi_module: c::module = c::module {
    version: c::MODULE_MAGIC_NUMBER_MAJOR as c_int,
    minor_version: c::MODULE_MAGIC_NUMBER_MINOR as c_int,
    module_index: -1,
    // httpd compares <IfModule> with this name, and configurations say mod_wsgi.c.
    name: c"mod_wsgi.c".as_ptr(),
    dynamic_load_handle: ptr::null_mut(),
    next: ptr::null_mut(),
    magic: c::MODULE_MAGIC_COOKIE as u64,
    rewrite_args: None,
    create_dir_config: Some(record::create_directory),
    merge_dir_config: Some(record::merge_directory),
    create_server_config: Some(record::create_server),
    merge_server_config: Some(record::merge_server),
    cmds: record::COMMANDS.as_ptr(),
    register_hooks: Some(register_hooks),
    flags: 0,
};

/// The module's place in httpd's configuration vectors.
pub(crate) fn index() -> usize {
    // SAFETY: httpd sets module_index in ap_add_module, before it calls anything of ours, and once.
    let index = unsafe { (&raw const wsgi_module.module_index).read() };
    usize::try_from(index).expect("httpd gave the module an index when it loaded it")
}

unsafe extern "C" fn register_hooks(pool: *mut c::apr_pool_t) {
    record::stay_loaded();
    // mod_alias's Alias and Redirect come first, as they do with mod_wsgi; both lists end with null.
    static AFTER: Names<2> = Names([c"mod_alias.c".as_ptr(), ptr::null()]);
    static BEFORE: Names<3> = Names([c"mod_userdir.c".as_ptr(), c"mod_vhost_alias.c".as_ptr(), ptr::null()]);
    static AFTER_TLS: Names<2> = Names([c"mod_ssl.c".as_ptr(), ptr::null()]);
    static BEFORE_HOSTS: Names<2> = Names([c"mod_authz_host.c".as_ptr(), ptr::null()]);
    let middle = c::APR_HOOK_MIDDLE as c_int;
    // Scripts decide by the URL, so internal redirects and subrequests are asked about in the same section, too.
    let per_url = c::AP_AUTH_INTERNAL_PER_URI as c_int;
    // SAFETY: httpd calls register_hooks once for each configuration pass, on its one thread; the
    // lists are statics (apr_hooks.h keeps the pointers).
    unsafe {
        c::ap_hook_check_config(Some(check_config), ptr::null(), ptr::null(), middle);
        c::ap_hook_post_config(Some(post_config), ptr::null(), ptr::null(), middle);
        c::ap_hook_test_config(Some(test_config), ptr::null(), ptr::null(), middle);
        c::ap_hook_monitor(Some(monitor), ptr::null(), ptr::null(), middle);
        c::ap_hook_child_init(Some(child_init), ptr::null(), ptr::null(), middle);
        c::ap_hook_translate_name(Some(translate_name), AFTER.0.as_ptr(), BEFORE.0.as_ptr(), middle);
        // Before the core's own, which is the last of all.
        c::ap_hook_map_to_storage(Some(map_to_storage), ptr::null(), ptr::null(), c::APR_HOOK_LAST as c_int);
        c::ap_hook_check_access(Some(check_access), AFTER_TLS.0.as_ptr(), BEFORE_HOSTS.0.as_ptr(), middle, per_url);
        c::ap_hook_handler(Some(handler), ptr::null(), ptr::null(), middle);
    }
    record::register(pool, &USERS, &GROUPS);
}

struct Names<const N: usize>([*const std::ffi::c_char; N]);

// SAFETY: nobody writes to a list after it is made, and string constants live as long as the library, which
// is never unloaded (process::stay_loaded).
unsafe impl<const N: usize> Sync for Names<N> {}

unsafe extern "C" fn post_config(
    pconf: *mut c::apr_pool_t,
    _plog: *mut c::apr_pool_t,
    _ptemp: *mut c::apr_pool_t,
    server: *mut c::server_rec,
) -> c_int {
    record::on_post_config(pconf, server, front::lifecycle::post_config)
}

unsafe extern "C" fn check_config(
    pconf: *mut c::apr_pool_t,
    _plog: *mut c::apr_pool_t,
    _ptemp: *mut c::apr_pool_t,
    server: *mut c::server_rec,
) -> c_int {
    record::on_check_config(pconf, server, front::check::check_config)
}

unsafe extern "C" fn test_config(_pconf: *mut c::apr_pool_t, server: *mut c::server_rec) {
    record::on_test_config(server, front::lifecycle::test_config);
}

unsafe extern "C" fn monitor(_pool: *mut c::apr_pool_t, server: *mut c::server_rec) -> c_int {
    record::on_monitor(server, front::lifecycle::monitor)
}

unsafe extern "C" fn child_init(pchild: *mut c::apr_pool_t, server: *mut c::server_rec) {
    record::on_child_init(pchild, server, front::lifecycle::child_init, front::lifecycle::child_exit);
}

unsafe extern "C" fn translate_name(request: *mut c::request_rec) -> c_int {
    record::on_request(request, front::translate::translate)
}

unsafe extern "C" fn map_to_storage(request: *mut c::request_rec) -> c_int {
    record::on_request(request, front::translate::map_to_storage)
}

unsafe extern "C" fn check_access(request: *mut c::request_rec) -> c_int {
    record::on_request(request, front::access::check_host)
}

/// `AuthBasicProvider wsgi` and its like.
static USERS: c::authn_provider =
    c::authn_provider { check_password: Some(check_password), get_realm_hash: Some(get_realm_hash) };

/// `Require wsgi-group`.
static GROUPS: c::authz_provider =
    c::authz_provider { check_authorization: Some(check_groups), parse_require_line: Some(read_require) };

unsafe extern "C" fn check_password(
    request: *mut c::request_rec,
    user: *const c_char,
    password: *const c_char,
) -> c::authn_status {
    // SAFETY: httpd's modules call this as authn_provider::check_password.
    unsafe { record::on_password(request, user, password, front::access::check_password) }
}

unsafe extern "C" fn get_realm_hash(
    request: *mut c::request_rec,
    user: *const c_char,
    realm: *const c_char,
    found: *mut *mut c_char,
) -> c::authn_status {
    // SAFETY: httpd's modules call this as authn_provider::get_realm_hash.
    unsafe { record::on_realm_hash(request, user, realm, found, front::access::realm_hash) }
}

unsafe extern "C" fn check_groups(
    request: *mut c::request_rec,
    wanted: *const c_char,
    parsed: *const c_void,
) -> c::authz_status {
    // SAFETY: httpd's modules call this as authz_provider::check_authorization.
    unsafe { record::on_groups(request, wanted, parsed, front::access::check_groups) }
}

unsafe extern "C" fn read_require(
    parms: *mut c::cmd_parms,
    _line: *const c_char,
    parsed: *mut *const c_void,
) -> *const c_char {
    // SAFETY: httpd's modules call this as authz_provider::parse_require_line.
    unsafe { record::on_require(parms, parsed) }
}

unsafe extern "C" fn handler(request: *mut c::request_rec) -> c_int {
    record::on_request(request, front::handler::handle)
}
