//! The process groups of a configuration: made ready and handed to the supervisor by httpd's parent, found by
//! requests in its children.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wire::ServerBoard;
use wire::control::{Begin, Text};

use super::group::{Group, Terms};
use super::identities::{self, Identity};
use super::overseer::{self, GroupHandover, Handover};
use super::owner::ScriptOwner;
use super::prepared::{Common, prepare, what_is_missing};
use super::reach::{Obstacle, Visitor};
use crate::apache::{
    Httpd, Server, SystemAccounts, children_ids, host_file, is_without_children, library_directory, log_line,
};
use crate::codes;
use crate::config::{Accounts, Daemon, Defined, NoDaemon, PythonSettings, daemons, find_daemon};
use crate::front::server_board;

/// The process groups of a configuration.
#[derive(Default)]
pub(crate) struct Roster {
    defined: Vec<Defined>,
    /// Those that can run, by name.
    groups: HashMap<Vec<u8>, Group>,
    /// What the supervisor was told, to be told again if it dies.
    told: Option<Told>,
}

struct Told {
    begin: Begin,
    groups: Vec<Ready>,
}

/// A group that is ready for the supervisor.
struct Ready {
    group: wire::control::Group,
    identity: Identity,
    /// Place of the server that it was defined in, in httpd's list of servers.
    server: usize,
}

/// Why a request cannot go to a process group.
pub(crate) enum NoGroup {
    /// There is none of this name, or not for this server.
    Undefined(NoDaemon),
    /// There is, but it could not be made ready; the log said why when httpd started.
    Unusable,
}

impl Roster {
    /// Makes all groups ready and puts them into force. Parent process only.
    ///
    /// What is wrong with one group is logged, and concerns that group alone. `prefix` is that of the sockets.
    pub(crate) fn establish(server: Server<'_>, prefix: &[u8]) -> Roster {
        let mut roster = Roster { defined: daemons(server.all().map(Server::site)), ..Roster::default() };
        let told = Told::prepare(server, prefix);
        for ready in &told.groups {
            let found = roster.defined.iter().find(|defined| *defined.daemon.name == *ready.group.name);
            if let Some(defined) = found {
                let group = child_side(server, &told.begin, &defined.daemon, ready);
                roster.groups.insert(ready.group.name.to_vec(), group);
            }
        }
        for name in told.hand_over(server) {
            roster.groups.remove(&name);
        }
        let names: Vec<&[u8]> = told.groups.iter().map(|ready| &ready.group.name[..]).collect();
        identities::keep_only(&names);
        roster.told = Some(told);
        roster
    }

    /// Tells a new supervisor what the one before was told. Parent process only.
    pub(super) fn hand_over_again(&self, server: Server<'_>) {
        if let Some(told) = &self.told {
            // Children that run go on asking: a group whose sockets cannot be made any more is none that they know of.
            told.hand_over(server);
        }
    }

    /// The process group of this name for a request to the server `from`.
    ///
    /// # Errors
    /// See [`NoGroup`].
    pub(crate) fn find(&self, name: &[u8], from: Server<'_>) -> Result<&Group, NoGroup> {
        find_daemon(&self.defined, name, from.site()).map_err(NoGroup::Undefined)?;
        self.groups.get(name).ok_or(NoGroup::Unusable)
    }
}

/// Logs which groups of a configuration cannot run, as far as that can be seen: for `httpd -t`, which starts none.
/// `prefix` is that of the sockets.
pub(crate) fn log_what_is_missing(server: Server<'_>, prefix: Option<&[u8]>) {
    log_obstacle(server, prefix, |_| true);
    let python = PythonSettings::of(server.settings());
    for defined in daemons(server.all().map(Server::site)) {
        if let Some(reason) = what_is_missing(&python, &defined.daemon) {
            log_unusable(server, &defined.daemon, &reason);
        }
    }
}

/// Logs if httpd's children cannot get to the sockets, which the supervisor does not see.
pub(crate) fn log_closed_way(server: Server<'_>, prefix: &[u8]) {
    log_obstacle(server, Some(prefix), |obstacle| !obstacle.is_said_at_start());
}

fn log_obstacle(server: Server<'_>, prefix: Option<&[u8]>, is_wanted: fn(&Obstacle) -> bool) {
    let Some(prefix) = prefix.filter(|_| server.all().any(|server| !daemons([server.site()]).is_empty())) else {
        return;
    };
    let (uid, gid) = children_ids();
    let user = SystemAccounts.user_numbered(uid);
    let groups = user.map_or_else(|| vec![gid], |user| SystemAccounts.groups_of(&user.name, gid));
    let visitor = Visitor { uid, groups };
    let prefix = Path::new(OsStr::from_bytes(prefix));
    if let Some(obstacle) = Obstacle::before(prefix, &visitor).filter(is_wanted) {
        let (text, prefix) = (obstacle.text(&visitor), prefix.display());
        log_line!(server, Error, codes::SOCKETS_OUT_OF_REACH; "the sockets of process groups cannot be below {prefix} (WSGISocketPrefix): {text}; as it is, requests for process groups are answered with 503");
    }
}

fn log_unusable(server: Server<'_>, daemon: &Daemon, reason: &str) {
    log_line!(server, Error, codes::GROUP_UNUSABLE; "process group '{}' cannot run: {reason}; its requests are answered with 503", daemon.name.escape_ascii());
}

impl Told {
    fn prepare(main: Server<'_>, prefix: &[u8]) -> Told {
        let accounts = SystemAccounts;
        let httpd_ids = children_ids();
        let mut told = Told { begin: begin(prefix, httpd_ids, &accounts), groups: Vec::new() };
        let Some(host) = library_directory().map(|directory| host_file(&directory)) else { return told };
        let (httpd, python) = (Httpd::ask(), PythonSettings::of(main.settings()));
        let host_directory = host.parent().unwrap_or(Path::new("/"));
        let common = Common { main, httpd: &httpd, python: &python, host_directory, httpd_ids, accounts: &accounts };
        for (place, server) in main.all().enumerate() {
            // A virtual host without a line of this module's has the main server's settings themselves, not a copy
            // (httpd config.c, merge_server_configs): a group of theirs is not the host's, nor is its log.
            if server.is_virtual() && std::ptr::eq(server.settings(), main.settings()) {
                continue;
            }
            for defined in daemons([server.site()]) {
                match Ready::of(&common, server, place, &defined.daemon) {
                    Ok(ready) => told.groups.push(ready),
                    Err(reason) => log_unusable(server, &defined.daemon, &reason),
                }
            }
        }
        let is_root_needless = told.groups.iter().all(|ready| is_root_needless(&told.begin, &ready.group));
        // With -X httpd's parent is the child as well and gives root's rights up: only the supervisor could remove then
        // what was made with them.
        told.begin.syslog = main.syslog(main).map(Text);
        told.begin.is_root_needless = is_root_needless && !is_without_children();
        told
    }

    /// Gives the names of the groups that cannot run.
    fn hand_over(&self, server: Server<'_>) -> Vec<Vec<u8>> {
        let servers: Vec<Server<'_>> = server.all().collect();
        let groups = self.groups.iter().map(|ready| GroupHandover {
            group: ready.group.clone(),
            scoreboard: ready.identity.memory.as_fd(),
            server: if ready.group.has_server_board {
                server_board::board(server).map(ServerBoard::reading)
            } else {
                None
            },
            log: servers.get(ready.server).and_then(|server| server.error_log()),
        });
        let handover = Handover { begin: self.begin.clone(), main_log: server.error_log(), groups: groups.collect() };
        match overseer::hand_over(server, &handover) {
            // The supervisor has logged what is wrong with single groups, in their own logs.
            Ok(problems) => {
                let names = self.groups.iter().map(|ready| ready.group.name.to_vec());
                let is_wrong = |name: &Vec<u8>| problems.iter().any(|problem| is_about(problem, name));
                names.filter(is_wrong).collect()
            }
            Err(reason) => {
                log_line!(server, Critical, codes::NO_SUPERVISOR; "no daemon processes: {reason}; requests for process groups are answered with 503");
                self.groups.iter().map(|ready| ready.group.name.to_vec()).collect()
            }
        }
    }
}

impl Ready {
    fn of(common: &Common<'_>, server: Server<'_>, place: usize, daemon: &Daemon) -> Result<Ready, String> {
        let identity = identities::identity(&daemon.name, daemon.processes())
            .map_err(|error| format!("its scoreboard cannot be made: {error}"))?;
        let group = prepare(common, server, daemon, &identity)?;
        Ok(Ready { group, identity, server: place })
    }
}

/// Whether a problem is this group's: its name, a colon and a blank stand before it (`wire::control::Settled`).
fn is_about(problem: &str, name: &[u8]) -> bool {
    problem.strip_prefix(&*String::from_utf8_lossy(name)).is_some_and(|rest| rest.starts_with(": "))
}

fn begin(prefix: &[u8], (uid, gid): (u32, u32), accounts: &dyn Accounts) -> Begin {
    let user = accounts.user_numbered(uid).filter(|_| accounts.is_root());
    Begin {
        socket_directory: Text([prefix, format!(".{}", std::process::id()).as_bytes()].concat()),
        httpd_uid: uid,
        httpd_gid: gid,
        httpd_groups: user.map_or_else(Vec::new, |user| accounts.groups_of(&user.name, gid)),
        is_root_needless: true,
        syslog: None,
    }
}

/// Whether a supervisor with no more rights than httpd's children can do all that the group asks for. It makes the
/// same test, before it gives root's up.
fn is_root_needless(begin: &Begin, group: &wire::control::Group) -> bool {
    (group.uid, group.gid, group.socket_uid) == (begin.httpd_uid, begin.httpd_gid, begin.httpd_uid)
        && group.groups == begin.httpd_groups
        && group.chroot.is_none()
        && group.cpu_priority >= 0
}

/// What httpd's children know of a group.
fn child_side(server: Server<'_>, begin: &Begin, daemon: &Daemon, ready: &Ready) -> Group {
    let is_root_kept = !begin.is_root_needless && SystemAccounts.is_root();
    let or_timeout = |timeout: Duration| if timeout.is_zero() { server.timeout() } else { timeout };
    let bytes = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Group::new(Terms {
        name: daemon.name.to_vec(),
        id: ready.identity.id,
        secret: ready.identity.secret,
        reply: ready.identity.reply,
        socket_directory: PathBuf::from(OsStr::from_bytes(&begin.socket_directory)),
        scoreboard: Arc::clone(&ready.identity.scoreboard),
        supervisor_uid: if is_root_kept { 0 } else { begin.httpd_uid },
        connect_timeout: daemon.connect_timeout,
        socket_timeout: or_timeout(daemon.socket_timeout),
        response_socket_timeout: daemon.response_timeout(),
        header_buffer_size: bytes(daemon.header_buffer),
        response_buffer_size: bytes(daemon.response_buffer),
        response_flush_delay: daemon.response_flush_delay,
        is_service: daemon.is_service(),
        processes: daemon.processes(),
        threads: daemon.threads,
        script_owner: script_owner(daemon),
    })
}

fn script_owner(daemon: &Daemon) -> Option<ScriptOwner> {
    let user = daemon.script_uid.map(ScriptOwner::User);
    user.or_else(|| daemon.script_gid.map(ScriptOwner::Group))
}
