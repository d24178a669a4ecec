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

    /// Facility and name of the server's lines in the system's log, `local7:apache2`; `None` if they do not go there.
    pub(crate) fn syslog(self, main: Server<'_>) -> Option<Vec<u8>> {
        if self.error_log().is_some() {
            return None;
        }
        // SAFETY: strings of the configuration's pool, or null; a virtual host without ErrorLog has the main server's
        // (log.c, ap_open_logs). ap_server_argv0 is set before any configuration is read (main.c).
        let (file_name, program) = unsafe {
            let own = optional_bytes(self.record().error_fname);
            (own.or(optional_bytes(main.record().error_fname))?, optional_bytes(c::ap_server_argv0))
        };
        syslog(file_name, program.unwrap_or(b"httpd"))
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

    /// A number that no other server of the configuration has: several may have one name and port.
    pub(crate) fn identity(self) -> usize {
        self.raw.addr()
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

/// What `ErrorLog syslog[:facility[:name]]` says; `None` for other logs. Source: httpd log.c, `open_error_log`.
fn syslog(file_name: &[u8], program: &[u8]) -> Option<Vec<u8>> {
    let (kind, rest) = file_name.split_at_checked(6)?;
    let mut parts = rest.splitn(3, |byte| *byte == b':');
    if !kind.eq_ignore_ascii_case(b"syslog") || parts.next() != Some(b"") {
        return None;
    }
    let [facility, name] = [parts.next(), parts.next()].map(|part| part.filter(|part| !part.is_empty()));
    Some([facility.unwrap_or(b"local7"), name.unwrap_or(program)].join(&b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_log_is_known_by_its_name() {
        let of = |text: &str| syslog(text.as_bytes(), b"apache2").map(|text| String::from_utf8(text).unwrap());
        assert_eq!(of("syslog").as_deref(), Some("local7:apache2"));
        assert_eq!(of("Syslog:local1").as_deref(), Some("local1:apache2"));
        assert_eq!(of("syslog:user:site").as_deref(), Some("user:site"));
        assert_eq!(of("syslog::site").as_deref(), Some("local7:site"));
        assert_eq!(of("syslog.log"), None);
        assert_eq!(of("logs/error_log"), None);
        assert_eq!(of("log"), None);
    }
}
