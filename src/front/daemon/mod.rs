//! Daemon mode, httpd's side. docs/daemon.md has the whole, docs/request.md the walk of a request.
//!
//! In the parent, `roster` makes the groups of a configuration ready (`prepared`, `identities`), and `overseer` hands
//! them to the supervisor. In the children, `door` takes a request and `inquiry` a question, `dispatch` finds it a worker (`pool`, `seats`), and
//! `relay` carries what worker and client say to each other, as `conversation` decides.

mod client;
mod connection;
mod conversation;
mod dispatch;
mod door;
mod failure;
mod flushing;
mod group;
mod httpd_client;
mod identities;
mod inquiry;
mod outbox;
mod overseer;
mod owner;
mod patience;
mod pool;
mod prepared;
mod presence;
mod reach;
mod relay;
mod roster;
#[cfg(test)]
mod scratch;
mod seats;
#[cfg(test)]
mod tests;
mod watch;

pub(super) use door::serve;
pub(crate) use group::Group;
pub(super) use inquiry::{Inquiry, ask};
pub(crate) use roster::{NoGroup, Roster, log_closed_way, log_what_is_missing};

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
    if let Some(roster) = server.fact::<Roster>() {
        roster.hand_over_again(server);
    }
}
