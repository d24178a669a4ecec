//! A server_rec: the main server or a virtual host.

use std::any::Any;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::bindings as c;
use super::config;
use super::pool::{Pool, optional_bytes};
use crate::config::{ServerWritten, Site};

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
        // SAFETY: module_config of a live server_rec; our slot was filled by create_server_config.
        let slot = unsafe { config::server_slot(self.record().module_config) };
        // httpd runs post_config once for each configuration, so no type is there twice.
        let mut fact: Box<dyn Any + Send + Sync> = Box::new(fact);
        for place in &slot.facts {
            match place.set(fact) {
                Ok(()) => return,
                Err(back) => fact = back,
            }
        }
        debug_assert!(false, "more facts than places");
    }

    /// The pool of httpd's process, which outlives configurations. Parent process only.
    pub(crate) fn process_pool(self) -> Pool<'static> {
        // SAFETY: every server_rec has the process_rec of main(), whose pool goes last of all (main.c).
        unsafe { Pool::from_raw((*self.record().process).pool) }
    }

    /// The file or pipe of the server's error log; `None` for syslog, and before logs are open.
    pub(crate) fn error_log(self) -> Option<BorrowedFd<'a>> {
        let file = self.record().error_log;
        if file.is_null() {
            return None;
        }
        // SAFETY: the log's apr_file_t is open as long as its configuration (log.c); apr_os_file_get only reads it.
        unsafe {
            let mut descriptor = -1;
            let status = c::apr_os_file_get(&mut descriptor, file);
            (status == 0 && descriptor >= 0).then(|| BorrowedFd::borrow_raw(descriptor))
        }
    }

    /// What [`Server::set_fact`] kept of this type.
    pub(crate) fn fact<T: Any + Send + Sync>(self) -> Option<&'a T> {
        // SAFETY: as for `settings`.
        let facts = unsafe { &config::server_slot(self.record().module_config).facts };
        facts.iter().find_map(|fact| fact.get()?.downcast_ref())
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

    /// What the configuration says of the server as one of several. From check_config on.
    pub(crate) fn site(self) -> Site<'a> {
        Site { written: self.settings(), name: self.name(), is_virtual: self.is_virtual() }
    }

    /// `ServerAdmin`.
    pub(crate) fn admin(self) -> Option<&'a [u8]> {
        // SAFETY: a string of the configuration's pool, or null.
        unsafe { optional_bytes(self.record().server_admin) }
    }

    /// The port of `ServerName` or the listener; 0 if the configuration names none.
    pub(crate) fn port(self) -> u16 {
        self.record().port
    }

    /// `Timeout`.
    pub(crate) fn timeout(self) -> Duration {
        Duration::from_micros(u64::try_from(self.record().timeout).unwrap_or(0))
    }

    /// Whether this is a virtual host and not the main server.
    pub(crate) fn is_virtual(self) -> bool {
        self.record().is_virtual != 0
    }
}
