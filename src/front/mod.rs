//! Decisions, in the order in which a request meets them. No `unsafe`, no C.

pub(crate) mod check;
mod daemon;
pub(crate) mod embedded;
mod environ;
mod facts;
pub(crate) mod handler;
mod installation;
pub(crate) mod lifecycle;
mod names;
mod python;
mod remarks;
mod respond;
mod settings_block;
mod target;
pub(crate) mod translate;
