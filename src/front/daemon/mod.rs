//! The daemon door, on the side of httpd's children: which worker gets a request, and the relay between it and
//! the client. docs/daemon.md has the whole, docs/request.md the walk.

mod client;
mod connection;
mod conversation;
mod dispatch;
mod door;
mod failure;
mod flushing;
mod group;
mod httpd_client;
mod outbox;
mod owner;
mod patience;
mod pool;
mod presence;
mod relay;
#[cfg(test)]
mod scratch;
mod seats;
#[cfg(test)]
mod tests;
mod watch;

pub(super) use door::serve;
pub(crate) use group::{Group, NoGroup, Roster};
#[allow(unused_imports, reason = "for whoever reads the configuration in httpd's parent")]
pub(crate) use {
    group::{Member, Terms},
    owner::ScriptOwner,
};
