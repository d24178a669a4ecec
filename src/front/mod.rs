//! Decisions, in the order in which a request meets them. No `unsafe`, no C.

pub(crate) mod access;
pub(crate) mod check;
mod daemon;
mod delivery;
pub(crate) mod embedded;
mod environ;
pub(crate) mod handler;
mod installation;
mod journal;
pub(crate) mod lifecycle;
mod names;
mod python;
mod remarks;
mod respond;
mod route;
mod server_board;
mod settings_block;
mod target;
pub(crate) mod translate;
