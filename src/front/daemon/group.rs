//! A process group as requests see it in an httpd child.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wire::{Scoreboard, Secret};

/// What a child needs to know to send requests to a group.
pub(crate) struct Group {
    pub(super) name: Vec<u8>,
    pub(super) id: u32,
    pub(super) secret: Secret,
    pub(super) reply: Secret,
    pub(super) socket_directory: PathBuf,
    pub(super) scoreboard: Arc<Scoreboard>,
    /// Whose sockets they are.
    pub(super) supervisor_uid: u32,
    pub(super) is_service: bool,
    pub(super) processes: u32,
    pub(super) connect_timeout: Duration,
    pub(super) socket_timeout: Duration,
}
