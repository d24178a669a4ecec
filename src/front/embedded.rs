//! The embedded door: httpd's own thread walks on into Python.

use std::os::fd::BorrowedFd;

use gateway::{Exchange, Flow, Level, Outcome, ReadError, RequestLog, WriteError};

use super::target::Target;
use super::{python, respond};
use crate::apache::{Answer, Body, Log, Output, Request, log_line, record_pieces};
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
    let outcome = host.serve(&mut exchange, &Journal(request), head);
    exchange.conclude(outcome)
}

/// An exchange over httpd's own request.
struct HttpdExchange<'r> {
    request: Request<'r>,
    body: Body<'r>,
    output: Output<'r>,
    with_sendfile: bool,
    has_error_override: bool,
}

impl<'r> HttpdExchange<'r> {
    fn new(request: Request<'r>, target: &Target<'_>) -> Self {
        HttpdExchange {
            request,
            body: Body::new(request),
            output: Output::new(request),
            with_sendfile: target.settings.enable_sendfile(),
            has_error_override: target.settings.error_override(),
        }
    }

    fn conclude(mut self, outcome: Outcome) -> Answer {
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

    fn break_off(&mut self) {
        if !self.request.is_aborted() {
            let request = self.request;
            log_line!(request, Error, codes::INCOMPLETE; "response of {} is incomplete; closing the connection so that the client can tell", request.filename().escape_ascii());
        }
        self.output.break_off();
    }

    /// httpd answers a body that it refuses by itself; nothing may follow that answer.
    fn check_open(&self) -> Result<(), WriteError> {
        if self.body.is_refused() { Err(WriteError::Answered) } else { Ok(()) }
    }
}

impl Exchange for HttpdExchange<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
        self.body.read(buf, self.output.is_ended())
    }

    fn start(&mut self, head: &[u8]) -> Result<(), WriteError> {
        self.check_open()?;
        respond::set_head(self.request, head)?;
        if self.has_error_override && self.request.status() >= 400 {
            log_line!(
                self.request,
                Info,
                "WSGIErrorOverride acts in daemon mode only; the application's own response is sent"
            );
        }
        Ok(())
    }

    fn write(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError> {
        self.check_open()?;
        self.output.write(piece, flow)
    }

    fn send_file(&mut self, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), WriteError> {
        self.check_open()?;
        self.output.send_file(file, offset, length, self.with_sendfile)
    }

    fn is_client_gone(&mut self) -> bool {
        self.request.is_aborted()
    }
}

/// The lines of one request, with the script that they are about.
struct Journal<'r>(Request<'r>);

impl RequestLog for Journal<'_> {
    fn is_logged(&self, level: Level) -> bool {
        self.0.is_logged(level)
    }

    fn log(&self, level: Level, line: &[u8]) {
        if !self.is_logged(level) {
            return;
        }
        let script = self.0.filename();
        for piece in record_pieces(line) {
            let mut text = Vec::with_capacity(script.len() + piece.len() + 10);
            text.extend_from_slice(b"[script ");
            text.extend_from_slice(script);
            text.extend_from_slice(b"] ");
            text.extend_from_slice(piece);
            self.0.write(level, &text);
        }
    }
}
