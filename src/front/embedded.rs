//! The embedded door: httpd's own thread walks on into Python.

use std::os::fd::BorrowedFd;

use gateway::{Exchange, Flow, Level, Outcome, ReadError, WriteError};

use super::target::Target;
use super::{python, respond};
use crate::apache::{Answer, Body, Log, Output, Request, log_line};
use crate::codes;

/// Serves a request in this child and says what httpd is to make of it.
pub(super) fn serve(request: Request<'_>, target: &Target<'_>, head: &[u8]) -> Answer {
    let host = match python::host() {
        Ok(host) => host,
        Err(reason) => {
            log_line!(request, Error, codes::NO_PYTHON; "Python was not initialised in this process, so the request cannot be run: {reason}; answering 500");
            return Answer::Status(500);
        }
    };
    let mut exchange = HttpdExchange::new(request, target);
    let outcome = host.serve(&mut exchange, head);
    exchange.conclude(outcome)
}

/// An exchange over httpd's own request.
struct HttpdExchange<'r> {
    request: Request<'r>,
    body: Body<'r>,
    output: Output<'r>,
    with_sendfile: bool,
    overrides_errors: bool,
    /// The status whose error document httpd is to send in place of the application's response.
    overridden: Option<u16>,
}

impl<'r> HttpdExchange<'r> {
    fn new(request: Request<'r>, target: &Target<'_>) -> Self {
        HttpdExchange {
            request,
            body: Body::new(request),
            output: Output::new(request),
            with_sendfile: target.settings.enable_sendfile(),
            overrides_errors: target.settings.error_override(),
            overridden: None,
        }
    }

    fn conclude(mut self, outcome: Outcome) -> Answer {
        if self.body.is_refused() {
            return Answer::Answered;
        }
        match (outcome, self.overridden) {
            (Outcome::Complete, Some(status)) => Answer::Status(status),
            (Outcome::Complete, None) => Answer::Ok,
            (Outcome::Status(status), _) => Answer::Status(status),
            (Outcome::Incomplete, _) if !self.output.is_started() => Answer::Status(500),
            (Outcome::Incomplete, _) => {
                self.break_off();
                Answer::Ok
            }
        }
    }

    fn break_off(&mut self) {
        if !self.request.is_aborted() {
            let request = self.request;
            log_line!(request, Error, codes::INCOMPLETE; "response of {} is incomplete; closing the connection so that the client can tell", request.filename().escape_ascii());
        }
        self.output.break_off();
    }

    /// Whether what follows still goes to the client.
    fn check_open(&self) -> Result<bool, WriteError> {
        if self.body.is_refused() {
            return Err(WriteError::Answered);
        }
        Ok(self.overridden.is_none())
    }
}

impl Exchange for HttpdExchange<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
        self.body.read(buf)
    }

    fn start(&mut self, head: &[u8]) -> Result<(), WriteError> {
        self.check_open()?;
        respond::set_head(self.request, head)?;
        if self.overrides_errors {
            let code = wire::ResponseHead::parse(head).map_or(0, |head| head.code());
            if (400..600).contains(&code) {
                respond::keep_for_error_document(self.request);
                self.overridden = Some(code);
            }
        }
        Ok(())
    }

    fn write(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError> {
        if self.check_open()? { self.output.write(piece, flow) } else { Ok(()) }
    }

    fn send_file(&mut self, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), WriteError> {
        if self.check_open()? { self.output.send_file(file, offset, length, self.with_sendfile) } else { Ok(()) }
    }

    fn is_logged(&self, level: Level) -> bool {
        self.request.is_logged(level)
    }

    fn log(&mut self, level: Level, line: &[u8]) {
        if !self.is_logged(level) {
            return;
        }
        let script = self.request.filename();
        let mut text = Vec::with_capacity(script.len() + line.len() + 10);
        text.extend_from_slice(b"[script ");
        text.extend_from_slice(script);
        text.extend_from_slice(b"] ");
        text.extend_from_slice(line);
        self.request.write(level, &text);
    }

    fn is_client_gone(&mut self) -> bool {
        self.request.is_aborted()
    }
}
