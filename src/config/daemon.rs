//! Process groups: what a `WSGIDaemonProcess` says of one, with all defaults settled. Who may use which is
//! for [`super::roster`], with which rights for [`super::identity`]; [`super::daemon_options`] reads the options.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::accounts::User;
use super::daemon_options;
use super::directive::Place;
use super::order;
use super::remark::Line;
use super::value::{Refusal, shown};
use super::word::Words;
use super::written::Text;
use crate::codes;

/// The names of the process groups that have been defined so far in a configuration, each with the line that did it.
#[derive(Debug, Default)]
pub struct GroupNames(HashMap<Text, Line>);

/// Bytes of a response head's longest line, unless `header-buffer-size` says otherwise: as many as a whole head may
/// have, so that what embedded mode delivers passes here as well.
pub(super) const HEADER_BUFFER: u64 = 16 << 20;

/// Bytes of a response that are kept before they are sent, unless `response-buffer-size` says otherwise.
pub(super) const RESPONSE_BUFFER: u64 = 8 << 20;

/// A process group. Of a duration, zero means that there is none (no limit, no timer), unless its field says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Daemon {
    /// Unique in the server; case counts.
    pub name: Text,
    /// The line that defines it.
    pub line: Line,
    pub(super) order: u64,
    /// `processes`, if it was given: that alone makes `wsgi.multiprocess` true. See [`Daemon::processes`].
    pub given_processes: Option<u32>,
    /// Worker threads of each process; 0 is a service, which takes no requests.
    pub threads: u32,
    /// `user`; see [`Daemon::identity`].
    pub user: Option<User>,
    /// `group`.
    pub gid: Option<u32>,
    /// `supplementary-groups`.
    pub supplementary_groups: Option<Vec<u32>>,
    /// Permission bits that new files lack.
    pub umask: Option<u32>,
    /// Working directory, and first on `sys.path`.
    pub home: Option<Text>,
    /// Root directory.
    pub chroot: Option<Text>,
    /// `LANG`.
    pub lang: Option<Text>,
    /// `LC_ALL`.
    pub locale: Option<Text>,
    /// As written; see [`Daemon::title`].
    pub display_name: Option<Text>,
    /// The interpreter's executable.
    pub python: Option<Text>,
    /// Prefix of the Python installation or environment; never given together with `python`.
    pub python_home: Option<Text>,
    /// Directories, separated by colons, to put before `sys.path`.
    pub python_path: Option<Text>,
    /// `PYTHON_EGG_CACHE`.
    pub python_eggs: Option<Text>,
    /// How long a Python thread may hold the GIL; `None` is Python's own.
    pub switch_interval: Option<Duration>,
    /// Stack of each thread, bytes; 0 is the system's.
    pub stack_size: u64,
    /// Whether httpd's scoreboard may be read.
    pub server_metrics: bool,
    /// Requests after which a process is replaced; 0 is none.
    pub maximum_requests: u64,
    /// Age at which a process is replaced.
    pub restart_interval: Duration,
    /// Time without activity after which a process is replaced.
    pub inactivity_timeout: Duration,
    /// Time for a request.
    pub request_timeout: Duration,
    /// Time for a request that is being interrupted; zero: its process is replaced at once.
    pub interrupt_timeout: Duration,
    /// Time for requests of a process that is to end gently; zero: they get `shutdown_timeout`.
    pub graceful_timeout: Duration,
    /// The same after a SIGUSR1; zero: `graceful_timeout`.
    pub eviction_timeout: Duration,
    /// Time for loading a script.
    pub startup_timeout: Duration,
    /// Time for which the GIL may be out of reach.
    pub deadlock_timeout: Duration,
    /// Time for requests of a process that ends; zero is no limit of its own.
    pub shutdown_timeout: Duration,
    /// CPU time after which a process is replaced.
    pub cpu_time_limit: Duration,
    /// Time for finding a process that takes a request; zero: one try.
    pub connect_timeout: Duration,
    /// Time for each read and write between httpd and a process; zero: httpd's `Timeout`.
    pub socket_timeout: Duration,
    /// Time that a request may wait for a thread.
    pub queue_timeout: Duration,
    /// Connections that may wait on a socket.
    pub listen_backlog: u32,
    /// User id of the sockets' owner, if not that of httpd's children.
    pub socket_uid: Option<u32>,
    /// `SO_SNDBUF`, bytes; 0 is the system's.
    pub send_buffer: u64,
    /// `SO_RCVBUF`, bytes; 0 is the system's.
    pub receive_buffer: u64,
    /// Longest line of a response head, bytes.
    pub header_buffer: u64,
    /// Bytes of a response after which it is flushed.
    pub response_buffer: u64,
    /// `response-socket-timeout`; see [`Daemon::response_timeout`].
    pub response_socket_timeout: Duration,
    /// How long to wait for more of a response before it is flushed; zero: flush at once.
    pub response_flush_delay: Duration,
    /// Priority (nice value), -20 to 19.
    pub cpu_priority: i32,
    /// `RLIMIT_DATA`, bytes; 0 is none.
    pub memory_limit: u64,
    /// `RLIMIT_AS`, bytes; 0 is none.
    pub virtual_memory_limit: u64,
    /// User id that scripts have to belong to.
    pub script_uid: Option<u32>,
    /// Group id that scripts have to belong to; never given together with `script_uid`.
    pub script_gid: Option<u32>,
}

impl Daemon {
    /// A group of which nothing but the name is given.
    pub(super) fn new(name: Text, line: Line) -> Daemon {
        Daemon {
            name,
            line,
            order: order::next(),
            given_processes: None,
            threads: 15,
            user: None,
            gid: None,
            supplementary_groups: None,
            umask: None,
            home: None,
            chroot: None,
            lang: None,
            locale: None,
            display_name: None,
            python: None,
            python_home: None,
            python_path: None,
            python_eggs: None,
            switch_interval: None,
            stack_size: 0,
            server_metrics: false,
            maximum_requests: 0,
            restart_interval: Duration::ZERO,
            inactivity_timeout: Duration::ZERO,
            request_timeout: Duration::ZERO,
            interrupt_timeout: Duration::ZERO,
            graceful_timeout: Duration::from_secs(15),
            eviction_timeout: Duration::ZERO,
            startup_timeout: Duration::ZERO,
            deadlock_timeout: Duration::from_secs(300),
            shutdown_timeout: Duration::from_secs(5),
            cpu_time_limit: Duration::ZERO,
            connect_timeout: Duration::from_secs(15),
            socket_timeout: Duration::ZERO,
            queue_timeout: Duration::ZERO,
            listen_backlog: 100,
            socket_uid: None,
            send_buffer: 0,
            receive_buffer: 0,
            header_buffer: HEADER_BUFFER,
            response_buffer: RESPONSE_BUFFER,
            response_socket_timeout: Duration::ZERO,
            response_flush_delay: Duration::from_millis(5),
            cpu_priority: 0,
            memory_limit: 0,
            virtual_memory_limit: 0,
            script_uid: None,
            script_gid: None,
        }
    }

    /// How many processes serve.
    pub fn processes(&self) -> u32 {
        self.given_processes.unwrap_or(1)
    }

    /// `wsgi.multiprocess`: whether `processes` was given, even as 1.
    pub fn is_multiprocess(&self) -> bool {
        self.given_processes.is_some()
    }

    /// `wsgi.multithread`.
    pub fn is_multithread(&self) -> bool {
        self.threads != 1
    }

    /// Whether the processes run scripts and take no requests.
    pub fn is_service(&self) -> bool {
        self.threads == 0
    }

    /// What the processes are called in `ps`; `None`: by their command line.
    pub fn title(&self) -> Option<Text> {
        match self.display_name.as_deref()? {
            b"%{GROUP}" => Some([b"(wsgi:", &self.name[..], b")"].concat().into()),
            _ => self.display_name.clone(),
        }
    }

    /// Time for each write to the client while a response is sent; zero: httpd's `Timeout`.
    pub fn response_timeout(&self) -> Duration {
        if self.response_socket_timeout.is_zero() { self.socket_timeout } else { self.response_socket_timeout }
    }
}

/// `WSGIDaemonProcess name [options]`
pub(super) fn daemon_process(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    let mut words = Words::of(line);
    let name: Text = words.word().filter(|name| !name.is_empty()).map(Text::from).ok_or_else(|| {
        Refusal::new("Name of WSGI daemon process not supplied; WSGIDaemonProcess takes a name, then options")
    })?;
    let defined_at = place.line.clone().unwrap_or_default();
    let mut daemon = Daemon::new(name, defined_at.clone());
    for removed in daemon_options::read(&mut words, &mut daemon, place.accounts)? {
        place.remark(codes::REMOVED, &removed, None);
    }
    if words.has_open_quote() {
        place.remark_open_quote();
    }
    if let Some(first) = place.groups.0.get(&daemon.name) {
        return Err(Refusal::new(format!(
            "Name duplicates previous WSGI daemon definition: '{}' is defined by {first}; names have to differ in all of httpd",
            shown(&daemon.name)
        )));
    }
    place.groups.0.insert(daemon.name.clone(), defined_at);
    place.server.daemons.push(Arc::new(daemon));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::ServerWritten;
    use super::super::sample::{System, apply_as, refusal, server};
    use super::*;

    fn daemon(options: &str) -> Daemon {
        (*server(&[&format!("WSGIDaemonProcess d {options}")]).daemons[0]).clone()
    }

    #[test]
    fn a_group_needs_a_name() {
        for line in ["WSGIDaemonProcess", "WSGIDaemonProcess \"\" threads=2"] {
            assert!(refusal(line).contains("Name of WSGI daemon process not supplied"), "{line}");
        }
        assert_eq!(*server(&["WSGIDaemonProcess \"a b\" threads=2"]).daemons[0].name, *b"a b");
    }

    #[test]
    fn a_name_is_taken_once_in_all_servers_and_case_counts() {
        let mut groups = GroupNames::default();
        let mut define = |line| apply_as(line, &mut ServerWritten::default(), None, &mut groups, &System::ROOT);
        assert!(define("WSGIDaemonProcess d").is_ok());
        assert!(define("WSGIDaemonProcess D").is_ok());
        let refused = define("WSGIDaemonProcess d threads=2").expect_err("twice").to_string();
        assert!(
            refused.starts_with("Name duplicates previous WSGI daemon definition: 'd' is defined by "),
            "{refused}"
        );
        assert!(refused.contains("(httpd.conf, line 7)"), "{refused}");
    }

    #[test]
    fn the_flags_of_the_environ_follow_from_processes_and_threads() {
        let flags = |options| {
            let daemon = daemon(options);
            (daemon.processes(), daemon.is_multiprocess(), daemon.is_multithread())
        };
        assert_eq!(flags(""), (1, false, true));
        assert_eq!(flags("processes=1"), (1, true, true));
        assert_eq!(flags("processes=3 threads=1"), (3, true, false));
        assert!(daemon("threads=0").is_service() && !daemon("threads=1").is_service());
    }

    #[test]
    fn the_display_name_may_be_made_of_the_groups() {
        assert_eq!(daemon("display-name=%{GROUP}").title().as_deref(), Some(&b"(wsgi:d)"[..]));
        assert_eq!(daemon("display-name=x").title().as_deref(), Some(&b"x"[..]));
        assert_eq!(daemon("display-name=").title(), None);
    }

    #[test]
    fn the_time_for_sending_a_response_is_that_of_the_socket_unless_it_has_its_own() {
        assert_eq!(daemon("socket-timeout=3").response_timeout(), Duration::from_secs(3));
        let both = daemon("socket-timeout=3 response-socket-timeout=4");
        assert_eq!(both.response_timeout(), Duration::from_secs(4));
        assert_eq!(daemon("").response_timeout(), Duration::ZERO);
    }
}
