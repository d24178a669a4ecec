//! System calls that need `unsafe`, or that belong together with those that do. Decides nothing.

pub(crate) mod clock;
pub(crate) mod identity;
pub(crate) mod signals;
pub(crate) mod sockets;
pub(crate) mod spawn;
pub(crate) mod syslog;
