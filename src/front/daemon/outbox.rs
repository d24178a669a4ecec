//! What is to be sent to a worker and has not gone yet.

use gateway::Flow;
use wire::Frame;
use wire::frame::piece_header;

use super::connection::Connection;

/// Bytes for one connection, in their order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    buf: Vec<u8>,
    start: usize,
    is_closed: bool,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.buf.len()
    }

    /// The connection takes nothing any more.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// See [`Outbox::is_closed`].
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.buf.clear();
        self.start = 0;
    }

    /// Keeps of these parts what follows the first `sent` bytes.
    pub(super) fn keep_rest(&mut self, parts: &[&[u8]], mut sent: usize) {
        for part in parts {
            let gone = sent.min(part.len());
            sent -= gone;
            self.buf.extend_from_slice(&part[gone..]);
        }
    }

    pub(super) fn put(&mut self, frame: &Frame<'_>) {
        if !self.is_closed {
            frame.put(&mut self.buf);
        }
    }

    /// Adds a piece that `read` writes in place, of at most `room` bytes: it gives the length, and whether the
    /// piece is the last; or nothing, and then nothing is added.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn put_piece<E>(
        &mut self,
        room: usize,
        read: impl FnOnce(&mut [u8]) -> Result<Option<(usize, bool)>, E>,
    ) -> Result<Option<(usize, bool)>, E> {
        let begin = self.buf.len();
        let start = begin + piece_header(Flow::More, 0).len();
        self.buf.resize(start + room, 0);
        let result = read(&mut self.buf[start..]);
        match &result {
            Ok(Some((count, is_last))) => {
                let flow = if *is_last { Flow::End } else { Flow::More };
                self.buf[begin..start].copy_from_slice(&piece_header(flow, *count));
                self.buf.truncate(start + count);
            }
            _ => self.buf.truncate(begin),
        }
        result
    }

    /// Overwrites what is and was in it.
    pub(super) fn wipe(&mut self) {
        self.buf.fill(0);
        // Memory that is never looked at again might not be written otherwise.
        std::hint::black_box(&mut self.buf);
    }

    /// Sends what goes without waiting; the number of bytes.
    pub(super) fn push(&mut self, connection: &Connection) -> usize {
        let mut pushed = 0;
        while !self.is_empty() {
            match connection.send(&self.buf[self.start..]) {
                Ok(None) => return pushed,
                Ok(Some(count)) => {
                    self.start += count;
                    pushed += count;
                }
                // The end of the connection shows when it is read.
                Err(_) => {
                    self.close();
                    return pushed;
                }
            }
        }
        self.buf.clear();
        self.start = 0;
        pushed
    }
}
