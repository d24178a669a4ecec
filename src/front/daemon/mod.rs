//! Daemon mode, httpd's side (docs/daemon.md).
//!
//! Parent: `roster` makes groups ready (`prepared`, `identities`) and has `overseer` hand them to the supervisor.

mod group;
mod identities;
mod overseer;
mod prepared;
mod roster;

pub(crate) use roster::{NoGroup, Roster};

use super::facts::Facts;
use crate::apache::Server;

/// A child of httpd's has started.
pub(super) fn child_init() {
    overseer::forget_in_child();
}

/// httpd's parent looks after its processes.
pub(super) fn monitor(server: Server<'_>) {
    overseer::retry(server);
}

/// Tells a new supervisor the configuration in force. Parent process only.
fn hand_over_again(server: Server<'_>) {
    if let Some(facts) = Facts::of(server) {
        facts.roster.hand_over_again(server);
    }
}
