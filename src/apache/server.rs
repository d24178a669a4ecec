//! A server_rec: the main server or a virtual host.

use std::any::Any;
use std::ffi::{CStr, CString};
use std::marker::PhantomData;

use super::bindings as c;
use super::config;
use super::pool::{Pool, optional_bytes};
use crate::config::ServerWritten;

/// A server or virtual host of a live configuration.
#[derive(Clone, Copy)]
pub(crate) struct Server<'a> {
    raw: *mut c::server_rec,
    life: PhantomData<&'a c::server_rec>,
}

impl<'a> Server<'a> {
    /// # Safety
    /// `raw` is a server_rec of a configuration that lives for `'a`.
    pub(super) unsafe fn from_raw(raw: *mut c::server_rec) -> Self {
        Server { raw, life: PhantomData }
    }

    pub(super) fn as_raw(self) -> *mut c::server_rec {
        self.raw
    }

    fn record(self) -> &'a c::server_rec {
        // SAFETY: live for 'a (from_raw).
        unsafe { &*self.raw }
    }

    /// The main server of the configuration in force.
    pub(crate) fn main() -> Option<Server<'static>> {
        // SAFETY: ap_server_conf is set before post_config and replaced only by the thread that
        // restarts (main.c); a child never changes it.
        unsafe { (!c::ap_server_conf.is_null()).then(|| Server::from_raw(c::ap_server_conf)) }
    }

    /// What the module's directives said at server level, merged.
    pub(crate) fn settings(self) -> &'a ServerWritten {
        // SAFETY: module_config of a live server_rec; our slot was filled by create_server_config.
        unsafe { &config::server_slot(self.record().module_config).written }
    }

    /// Keeps what was found out when the configuration was complete; goes when the configuration goes.
    pub(crate) fn set_fact<T: Any + Send + Sync>(self, fact: T) {
        // SAFETY: as for `settings`.
        let slot = unsafe { config::server_slot(self.record().module_config) };
        // httpd runs post_config once for each configuration, so the slot is empty.
        let _ = slot.fact.set(Box::new(fact));
    }

    /// What [`Server::set_fact`] kept.
    pub(crate) fn fact<T: Any + Send + Sync>(self) -> Option<&'a T> {
        // SAFETY: as for `settings`.
        unsafe { config::server_slot(self.record().module_config) }.fact.get()?.downcast_ref()
    }

    /// This server and all that follow it in httpd's list: from the main server on, every virtual host.
    pub(crate) fn all(self) -> impl Iterator<Item = Server<'a>> {
        std::iter::successors(Some(self), |server| {
            let next = server.record().next;
            // SAFETY: the list of servers belongs to one configuration (httpd.h, server_rec::next).
            (!next.is_null()).then(|| unsafe { Server::from_raw(next) })
        })
    }

    /// `ServerName`, if one was given.
    pub(crate) fn name(self) -> Option<&'a [u8]> {
        // SAFETY: a string of the configuration's pool, or null.
        unsafe { optional_bytes(self.record().server_hostname) }
    }

    /// `ServerAdmin`.
    pub(crate) fn admin(self) -> Option<&'a [u8]> {
        // SAFETY: as for `name`.
        unsafe { optional_bytes(self.record().server_admin) }
    }

    /// The port of `ServerName` or the listener; 0 if the configuration names none.
    pub(crate) fn port(self) -> u16 {
        self.record().port
    }

    /// Whether this is a virtual host and not the main server.
    pub(crate) fn is_virtual(self) -> bool {
        self.record().is_virtual != 0
    }
}

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
            // SAFETY: ap_exists_config_define only compares names (http_core.h).
            is_single_process: unsafe { c::ap_exists_config_define(c"ONE_PROCESS".as_ptr()) != 0 },
        }
    }
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

/// httpd runs its configuration through twice at start; true in the pass that will not be used.
pub(crate) fn is_preliminary_pass() -> bool {
    // SAFETY: ap_state_query only reads (http_core.h).
    unsafe { c::ap_state_query(c::AP_SQ_MAIN_STATE as i32) == c::AP_SQ_MS_CREATE_PRE_CONFIG as i32 }
}
