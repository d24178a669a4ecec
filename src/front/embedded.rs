//! The embedded door: httpd's own thread walks on into Python.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;

use gateway::{Exchange, Flow, ReadError, WriteError};

use super::delivery::Delivery;
use super::journal::Journal;
use super::target::Target;
use super::{python, respond};
use crate::apache::{Answer, Request, log_line};
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
    let mut exchange = HttpdExchange {
        delivery: Delivery::new(request),
        with_sendfile: target.settings.enable_sendfile(),
        has_error_override: target.settings.error_override(),
        passes_request: target.settings.pass_apache_request(),
    };
    let outcome = host.serve(&mut exchange, &Journal::of(request), head);
    exchange.delivery.conclude(outcome)
}

/// An exchange over httpd's own request.
struct HttpdExchange<'r> {
    delivery: Delivery<'r>,
    with_sendfile: bool,
    has_error_override: bool,
    passes_request: bool,
}

impl Exchange for HttpdExchange<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
        let Delivery { body, output, .. } = &mut self.delivery;
        body.read(buf, output.is_ended())
    }

    fn start(&mut self, head: &[u8]) -> Result<(), WriteError> {
        self.delivery.check_open()?;
        let request = self.delivery.request;
        respond::set_head(request, head)?;
        if self.has_error_override && request.status() >= 400 {
            log_line!(
                request,
                Info,
                "WSGIErrorOverride acts in daemon mode only; the application's own response is sent"
            );
        }
        Ok(())
    }

    fn write(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError> {
        self.delivery.check_open()?;
        self.delivery.output.write(piece, flow)
    }

    fn send_file(&mut self, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), WriteError> {
        self.delivery.check_open()?;
        self.delivery.output.send_file(file, offset, length, self.with_sendfile)
    }

    fn is_client_gone(&mut self) -> bool {
        self.delivery.request.is_aborted()
    }

    fn request_rec(&self) -> *mut c_void {
        if self.passes_request { self.delivery.request.address() } else { std::ptr::null_mut() }
    }
}
