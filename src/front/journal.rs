//! The error log of one request, as the Python half uses it; the same through both doors.

use gateway::{Level, RequestLog, record_pieces};

use crate::apache::{Log, Request};

/// The lines of one request, with the script that they are about.
pub(super) struct Journal<'r> {
    pub(super) request: Request<'r>,
    pub(super) script: &'r [u8],
}

impl<'r> Journal<'r> {
    /// Of the script that answers the request.
    pub(super) fn of(request: Request<'r>) -> Self {
        Journal { request, script: request.filename() }
    }
}

impl RequestLog for Journal<'_> {
    fn is_logged(&self, level: Level) -> bool {
        self.request.is_logged(level)
    }

    fn log(&self, level: Level, line: &[u8]) {
        if !self.is_logged(level) {
            return;
        }
        let script = self.script;
        for piece in record_pieces(line) {
            let mut text = Vec::with_capacity(script.len() + piece.len() + 10);
            text.extend_from_slice(b"[script ");
            text.extend_from_slice(script);
            text.extend_from_slice(b"] ");
            text.extend_from_slice(piece);
            self.request.write(level, &text);
        }
    }
}
