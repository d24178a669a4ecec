//! The log lines of a request.

use gateway::{Level, RequestLog};

use crate::daemon::{Outbox, Stream};
use crate::python::process;

/// The log of the request's virtual host, at the other end of the connection.
pub(super) struct ConnectionLog<'c> {
    pub(super) stream: &'c Stream,
    pub(super) outbox: &'c Outbox,
    pub(super) limit: Level,
}

impl RequestLog for ConnectionLog<'_> {
    fn is_logged(&self, level: Level) -> bool {
        level <= self.limit
    }

    fn log(&self, level: Level, line: &[u8]) {
        if level > self.limit {
            return;
        }
        // The connection is the parent's alone: a forked process must not put anything between its frames.
        if process::is_forked() || !self.outbox.log(self.stream, level, line) {
            process::log(level, line);
        }
    }
}
