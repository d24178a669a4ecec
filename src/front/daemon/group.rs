//! A process group as httpd's children know it, and how a request's group is found by name.
//!
//! The terms come from the configuration and are forked into the children with it. What a child learns and
//! keeps (pools, connections) is its own and begins empty.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use wire::Secret;

use super::failure::Failure;
use super::owner::ScriptOwner;
use super::presence::Presence;
use crate::apache::Server;

/// What the configuration and httpd's parent say of a group.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Name, for the log and the environ.
    pub(crate) name: Vec<u8>,
    /// Its number in the names of its sockets.
    pub(crate) id: u32,
    /// Shown to workers and to the desk.
    pub(crate) secret: Secret,
    /// Shown by workers.
    pub(crate) reply: Secret,
    /// Where the sockets are.
    pub(crate) socket_directory: PathBuf,
    /// The group's scoreboard, which each child maps for itself.
    pub(crate) scoreboard: OwnedFd,
    /// User id of the supervisor when it makes sockets: nobody else's are trusted.
    pub(crate) supervisor_uid: u32,
    /// `connect-timeout`.
    pub(crate) connect_timeout: Duration,
    /// `socket-timeout`, or the server's `Timeout`.
    pub(crate) socket_timeout: Duration,
    /// `response-socket-timeout`, or `socket-timeout`; zero leaves httpd's.
    pub(crate) response_socket_timeout: Duration,
    /// `header-buffer-size`, bytes.
    pub(crate) header_buffer_size: usize,
    /// `response-buffer-size`, bytes.
    pub(crate) response_buffer_size: usize,
    /// `response-flush-delay`.
    pub(crate) response_flush_delay: Duration,
    /// `threads=0`: takes no requests.
    pub(crate) is_service: bool,
    /// `processes`.
    pub(crate) processes: u32,
    /// `script-user` or `script-group`.
    pub(crate) script_owner: Option<ScriptOwner>,
}

/// A group, with what this child knows of it.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) terms: Terms,
    /// Made by the first request of a child; the parent makes none.
    presence: OnceLock<Result<Presence, String>>,
}

impl Group {
    #[cfg_attr(not(test), allow(dead_code, reason = "made by whoever reads the configuration in httpd's parent"))]
    pub(crate) fn new(terms: Terms) -> Group {
        Group { terms, presence: OnceLock::new() }
    }

    /// This child's side of the group.
    ///
    /// # Errors
    /// `Internal` if the scoreboard cannot be mapped.
    pub(super) fn presence(&self) -> Result<&Presence, Failure> {
        let presence =
            self.presence.get_or_init(|| Presence::new(&self.terms.scoreboard).map_err(|err| err.to_string()));
        presence.as_ref().map_err(|err| Failure::Internal(format!("cannot map the group's scoreboard: {err}")))
    }
}

/// Why a name gives no group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoGroup {
    /// No such group is configured.
    Unknown,
    /// It belongs to another virtual host.
    Elsewhere,
}

/// A group, and who may use it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) group: Group,
    /// `None`: defined in the main server, for everybody. Else the virtual hosts of this name.
    pub(crate) server_name: Option<Vec<u8>>,
    /// The virtual host that defined it: where it stands in httpd's list of servers, from 0.
    pub(crate) server_number: usize,
}

/// The groups of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    members: HashMap<Vec<u8>, Member>,
}

impl Roster {
    #[allow(dead_code, reason = "made by whoever reads the configuration in httpd's parent")]
    pub(crate) fn new(members: impl IntoIterator<Item = Member>) -> Roster {
        Roster { members: members.into_iter().map(|member| (member.group.terms.name.clone(), member)).collect() }
    }

    /// The group of this name, if the server may use it: one of the main server's, its own, or one of a virtual
    /// host with the same `ServerName`.
    ///
    /// # Errors
    /// [`NoGroup`].
    pub(crate) fn find(&self, server: Server<'_>, name: &[u8]) -> Result<&Group, NoGroup> {
        let member = self.members.get(name).ok_or(NoGroup::Unknown)?;
        let is_open = match &member.server_name {
            None => true,
            Some(of) if !of.is_empty() && server.name() == Some(of) => true,
            Some(_) => {
                let defining = Server::main().and_then(|main| main.all().nth(member.server_number));
                defining.is_some_and(|defining| defining.is_same(server))
            }
        };
        if is_open { Ok(&member.group) } else { Err(NoGroup::Elsewhere) }
    }
}
