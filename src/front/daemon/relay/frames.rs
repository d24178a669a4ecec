//! What the worker says, taken to the client.

use std::time::Instant;

use gateway::{Flow, Outcome, WriteError};
use wire::{Frame, Welcome, parse_answer, secret};

use super::{Closing, Relay};
use crate::front::daemon::client::HeadError;
use crate::front::daemon::conversation::{Breach, Step};
use crate::front::daemon::failure::Failure;

impl Relay<'_> {
    pub(super) fn take_frames(&mut self) -> Result<Option<Closing>, Failure> {
        loop {
            let is_last = self.connection.inbox.is_single();
            let frame = match self.connection.inbox.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(err) => return Err(Failure::Malformed(err.to_string())),
            };
            let step = self.conversation.receive(frame).map_err(|Breach(what)| Failure::Malformed(what.to_owned()))?;
            let delivered = match step {
                Step::Nothing => Ok(()),
                Step::Log(level, line) => {
                    self.client.log(level, line);
                    Ok(())
                }
                Step::Head(block) => match self.client.start(block) {
                    Ok(()) => Ok(()),
                    Err(HeadError::Closed(err)) => Err(err),
                    Err(HeadError::TooLong(name)) => {
                        return Err(Failure::HeaderTooLong(name, self.terms.header_buffer_size));
                    }
                    Err(HeadError::Malformed(reason)) => return Err(Failure::Malformed(reason)),
                },
                Step::Piece(flow, bytes) => {
                    let flow = self.flushing.flow(flow, bytes.len(), is_last);
                    self.client.write(bytes, flow)
                }
                Step::Welcome(welcome) => {
                    self.check(welcome)?;
                    Ok(())
                }
                Step::Done(outcome) => {
                    if outcome == Outcome::Incomplete {
                        self.flush_rest();
                    }
                    return Ok(Some(self.done(outcome)));
                }
                Step::Refused(refusal) => return Ok(Some(Closing::Refused(refusal))),
                Step::Lookup(name) => {
                    let value = self.client.variable(name);
                    self.outbox.put(&Frame::Found(value.as_deref()));
                    Ok(())
                }
                Step::Answer(block) => {
                    let answer =
                        parse_answer(block).map_err(|err| Failure::Malformed(format!("malformed answer: {err}")))?;
                    self.client.answer(answer);
                    Ok(())
                }
            };
            if let Err(err) = delivered {
                self.cut(&err);
            }
        }
        if self.flushing.take_owed() {
            self.flush();
        }
        Ok(None)
    }

    /// Before a response is broken off, what has come of it goes out.
    pub(super) fn flush_rest(&mut self) {
        if self.flushing.take_unflushed() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.conversation.is_cut()
            && let Err(err) = self.client.write(b"", Flow::Flush)
        {
            self.cut(&err);
        }
    }

    fn check(&mut self, welcome: Welcome) -> Result<(), Failure> {
        if !secret::is_equal(&welcome.secret, &self.terms.reply) {
            return Err(Failure::Impostor(format!(
                "whoever answers as process {} does not know the group's secret",
                welcome.pid
            )));
        }
        self.connection.welcome = Some(welcome);
        Ok(())
    }

    fn done(&self, outcome: Outcome) -> Closing {
        match outcome {
            // The worker left off because it was told that the client has gone.
            Outcome::Complete | Outcome::Incomplete if self.is_told && !self.conversation.is_whole() => {
                Closing::Abandoned { is_ended: outcome == Outcome::Complete }
            }
            outcome => Closing::Done(outcome),
        }
    }

    /// Nothing more can be delivered: the worker is told, once.
    pub(super) fn cut(&mut self, error: &WriteError) {
        self.conversation.cut();
        self.cut_at.get_or_insert_with(Instant::now);
        self.tell(error);
    }

    pub(super) fn tell(&mut self, error: &WriteError) {
        if !std::mem::replace(&mut self.is_told, true) {
            self.outbox.put(&Frame::Cut(error.clone()));
        }
    }
}
