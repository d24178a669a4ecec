//! Body and response of one request on httpd's side, and how its end is told to httpd; the same through
//! both doors.

use gateway::{Outcome, WriteError};

use crate::apache::{Answer, Body, Output, Request, log_line};
use crate::codes;

/// One request being answered.
pub(super) struct Delivery<'r> {
    pub(super) request: Request<'r>,
    pub(super) body: Body<'r>,
    pub(super) output: Output<'r>,
}

impl<'r> Delivery<'r> {
    pub(super) fn new(request: Request<'r>) -> Self {
        Delivery { request, body: Body::new(request), output: Output::new(request) }
    }

    /// httpd answers a body that it refuses by itself; nothing may follow that answer.
    pub(super) fn check_open(&self) -> Result<(), WriteError> {
        if self.body.is_refused() { Err(WriteError::Answered) } else { Ok(()) }
    }

    /// What httpd is to make of a request that ended like this.
    pub(super) fn conclude(mut self, outcome: Outcome) -> Answer {
        if self.body.is_refused() && !self.output.is_started() {
            return Answer::Answered;
        }
        if self.body.is_refused() {
            // httpd's own answer came too late to be one; the response that had begun is not whole.
            self.break_off();
            return Answer::Ok;
        }
        match outcome {
            Outcome::Complete => Answer::Ok,
            Outcome::Status(status) => Answer::Status(status),
            Outcome::Incomplete if !self.output.is_started() => Answer::Status(500),
            Outcome::Incomplete => {
                self.break_off();
                Answer::Ok
            }
        }
    }

    /// Ends a request whose other half has failed: with this status, or by breaking off what has begun.
    pub(super) fn fail(self, status: u16) -> Answer {
        let is_started = self.output.is_started();
        self.conclude(if is_started { Outcome::Incomplete } else { Outcome::Status(status) })
    }

    /// Ends a request whose client has left.
    pub(super) fn abandon(self) -> Answer {
        self.request.abandon();
        Answer::Ok
    }

    fn break_off(&mut self) {
        if !self.request.is_aborted() {
            let request = self.request;
            log_line!(request, Error, codes::INCOMPLETE; "response of {} is incomplete; closing the connection so that the client can tell", request.filename().escape_ascii());
        }
        self.output.break_off();
    }
}
