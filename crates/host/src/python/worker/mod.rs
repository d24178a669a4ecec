//! A worker: a process of a daemon group. `wsgi_host.worker` (crates/host/python) calls it in the order of its life:
//! [`adopt`], [`preload`], [`serve`], and parks; docs/request.md, "The life of a daemon request".
//!
//! Requests are served by `threads` threads of its own ([`threads`]), each connection by whichever is idle
//! ([`connections`], [`request`]). One more thread, which never takes the GIL, watches limits, channel and signals
//! ([`control`]).

mod begin;
mod channel;
mod connections;
mod control;
mod descriptors;
mod dump;
mod interrupt;
mod limits;
mod name;
mod question;
mod request;
mod seat;
mod signals;
mod state;
mod subscribers;
mod threads;

pub(super) use begin::{adopt, preload, scripts, serve};
pub(super) use descriptors::leave_behind;
pub(super) use signals::block_all;
pub(super) use state::{end_process, gate, note_python, wait_for_log};
