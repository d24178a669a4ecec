//! The log lines of a request.

use gateway::{Key, Level, RequestLog, record_pieces};
use wire::RequestHead;

use crate::daemon::{Outbox, Stream};
use crate::python::process;

/// The log of the request's virtual host, at the other end of the connection.
pub(in super::super) struct ConnectionLog<'c> {
    pub(in super::super) stream: &'c Stream,
    pub(in super::super) outbox: &'c Outbox,
    /// The request's head, for what is said of it elsewhere.
    pub(in super::super) head: &'c [u8],
    /// The script that is asked, if it is not the one that the head names.
    pub(in super::super) asked: Option<&'c [u8]>,
    pub(in super::super) limit: Level,
}

impl ConnectionLog<'_> {
    /// Logs for the group what httpd's child did not take, since it has gone or given the request up.
    pub(in super::super) fn log_undelivered(&self) {
        for (level, line) in self.outbox.undelivered() {
            self.log_elsewhere(level, &line);
        }
    }

    fn log_elsewhere(&self, level: Level, line: &[u8]) {
        let head = RequestHead::parse(self.head).ok();
        let named = head.as_ref().and_then(|head| head.get(Key::ScriptFilename));
        let script = self.asked.or(named).unwrap_or_default();
        process::log(level, &[b"[script ", script, b"] ", line].concat());
    }
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
        if process::is_forked() {
            return self.log_elsewhere(level, line);
        }
        for piece in record_pieces(line) {
            if !self.outbox.log(self.stream, level, piece) {
                self.log_undelivered();
                self.log_elsewhere(level, piece);
            }
        }
    }
}
