//! A process group as httpd's children know it, and how a request's group is found by name.
//!
//! The terms come from the configuration and are forked into the children with it. What a child learns and
//! keeps (pools, connections) is its own and begins empty.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wire::{Scoreboard, Secret};

use super::owner::ScriptOwner;
use super::presence::Presence;

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
    /// The group's scoreboard, mapped by the parent.
    pub(crate) scoreboard: Arc<Scoreboard>,
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
    /// `threads`.
    pub(crate) threads: u32,
    /// `script-user` or `script-group`.
    pub(crate) script_owner: Option<ScriptOwner>,
}

/// A group, with what this child knows of it.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) terms: Terms,
    /// Made by the first request of a child; the parent makes none.
    presence: OnceLock<Presence>,
}

impl Group {
    pub(crate) fn new(terms: Terms) -> Group {
        Group { terms, presence: OnceLock::new() }
    }

    /// This child's side of the group.
    pub(super) fn presence(&self) -> &Presence {
        self.presence.get_or_init(|| Presence::new(Arc::clone(&self.terms.scoreboard)))
    }
}
