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
mod relay;
#[cfg(test)]
mod scratch;
mod seats;
#[cfg(test)]
mod tests;
mod watch;

pub(super) use door::serve;
pub(crate) use group::{Group, Member, NoGroup, Roster, Terms};
pub(crate) use owner::ScriptOwner;
