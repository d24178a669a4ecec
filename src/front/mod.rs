//! Decisions, in the order in which a request meets them. No `unsafe`, no C.

pub(crate) mod embedded;
mod environ;
pub(crate) mod handler;
mod names;
mod python;
mod respond;
pub(crate) mod startup;
mod target;
pub(crate) mod translate;
