//! The request's body, to a worker that has asked for it.

use std::time::Instant;

use gateway::{Flow, ReadError, WriteError};
use wire::Frame;

use super::{FIRST_NAP, Relay};

/// Most bytes of a request's body that are sent in one piece.
const PIECE: usize = 64 << 10;

impl Relay<'_> {
    /// Sends what the worker has asked for of the body and the client has sent, as far as the connection takes it.
    pub(super) fn feed(&mut self) {
        self.push();
        while self.outbox.is_empty() && !self.outbox.is_closed() && self.conversation.room() > 0 {
            let room = usize::try_from(self.conversation.room()).unwrap_or(usize::MAX).min(PIECE);
            match self.read(room) {
                Ok(None) => return,
                Ok(Some((count, is_last))) => {
                    self.watch.hear();
                    self.conversation.sent(count);
                    if is_last {
                        self.conversation.end_upload();
                    }
                    self.moved = Instant::now();
                    self.nap = FIRST_NAP;
                }
                Err(err) => self.fail_input(err),
            }
            self.push();
        }
    }

    /// Puts the next piece of the body into the outbox: its length, and whether it is the last.
    fn read(&mut self, room: usize) -> Result<Option<(usize, bool)>, ReadError> {
        let early = &self.message.early[self.early_sent..];
        if !early.is_empty() {
            let part = &early[..early.len().min(room)];
            self.early_sent += part.len();
            self.outbox.put(&Frame::Piece { flow: Flow::More, bytes: part });
            return Ok(Some((part.len(), false)));
        }
        let client = &mut *self.client;
        self.outbox.put_piece(room, |buf| {
            let Some(count) = client.read(buf)? else { return Ok(None) };
            Ok(Some((count, count == 0 || client.is_read())))
        })
    }

    pub(super) fn fail_input(&mut self, error: ReadError) {
        self.conversation.end_upload();
        let is_refused = error == ReadError::Refused;
        self.outbox.put(&Frame::InputFailed(error));
        if is_refused {
            // httpd has answered the client by itself.
            self.cut(&WriteError::Answered);
        }
    }

    fn push(&mut self) {
        match self.outbox.push(self.connection) {
            0 => {}
            _ => self.moved = Instant::now(),
        }
    }
}
