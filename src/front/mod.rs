//! Decisions, in the order in which a request meets them. No `unsafe`, no C.

pub(crate) mod daemon;
mod delivery;
pub(crate) mod embedded;
mod environ;
pub(crate) mod handler;
mod journal;
pub(crate) mod lifecycle;
mod names;
mod python;
mod respond;
mod target;
pub(crate) mod translate;
