//! The client of a relayed request, through httpd's filters.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use gateway::{Flow, Level, Outcome, ReadError, RequestLog, WriteError};
use wire::ResponseHead;

use super::client::{Client, HeadError};
use super::group::Terms;
use crate::apache::{Answer, Request, log_line};
use crate::codes;
use crate::front::delivery::Delivery;
use crate::front::journal::Journal;
use crate::front::respond;

/// How soon behind a request the end of the client's direction belongs to it: far longer than such a client takes,
/// shorter than one that gives up waiting. TCP does not tell the two apart before something is written.
pub(super) const HALF_CLOSE: Duration = Duration::from_secs(1);

/// What becomes of a response.
#[derive(Debug)]
enum Fate {
    /// It goes to the client.
    Sent,
    /// httpd's own document for this status takes its place.
    Replaced(u16),
    /// httpd answers with what it has at this path.
    Redirected(Vec<u8>),
}

/// httpd's request as a client of the relay.
pub(super) struct HttpdClient<'r> {
    pub(super) delivery: Delivery<'r>,
    fate: Fate,
    has_error_override: bool,
    header_limit: usize,
    /// `response-socket-timeout`; zero leaves httpd's own.
    socket_timeout: Duration,
    /// What to set again at the end.
    socket_timeout_before: Option<Duration>,
    /// Something went wrong that was not the client's leaving.
    has_failed: bool,
    /// Bytes that the response's `Content-Length` leaves to be sent.
    missing: Option<u64>,
}

impl<'r> HttpdClient<'r> {
    pub(super) fn new(request: Request<'r>, terms: &Terms, has_error_override: bool) -> Self {
        HttpdClient {
            delivery: Delivery::new(request),
            fate: Fate::Sent,
            has_error_override,
            header_limit: terms.header_buffer_size,
            socket_timeout: terms.response_socket_timeout,
            socket_timeout_before: None,
            has_failed: false,
            missing: None,
        }
    }

    /// What httpd is to make of the request after the worker has ended it.
    pub(super) fn finish(self, outcome: Outcome) -> Answer {
        let request = self.delivery.request;
        match (&self.fate, outcome) {
            _ if self.delivery.body.is_refused() => self.delivery.conclude(outcome),
            (Fate::Replaced(status), _) => Answer::Status(*status),
            (Fate::Redirected(path), Outcome::Complete) => {
                request.redirect_to(path);
                Answer::Ok
            }
            (Fate::Redirected(_), _) => self.delivery.fail(500),
            // The worker may not have heard of it before it was done.
            (Fate::Sent, _) if self.has_failed => self.delivery.conclude(Outcome::Incomplete),
            (Fate::Sent, outcome) => self.delivery.conclude(outcome),
        }
    }

    /// The same after the response could not be delivered.
    pub(super) fn give_up(self) -> Answer {
        if self.has_failed || self.delivery.body.is_refused() {
            self.delivery.conclude(Outcome::Incomplete)
        } else {
            self.delivery.abandon()
        }
    }

    /// Puts the limit of the client's socket back. Before the request is ended, which may write as well.
    pub(super) fn restore_timeout(&mut self) {
        if let Some(before) = self.socket_timeout_before.take() {
            self.delivery.request.exchange_socket_timeout(before);
        }
    }

    fn check_lengths(&self, block: &[u8], head: &ResponseHead<'_>) -> Result<(), HeadError> {
        // Then no single header can be longer.
        if self.header_limit == 0 || block.len() <= self.header_limit {
            return Ok(());
        }
        for header in head.headers() {
            let (name, value) = header.map_err(malformed)?;
            if name.count_bytes() + 2 + value.count_bytes() > self.header_limit {
                return Err(HeadError::TooLong(name.to_string_lossy().into_owned()));
            }
        }
        Ok(())
    }
}

impl HttpdClient<'_> {
    /// A worker's host keeps to the `Content-Length`; what an application has written into the connection behind its
    /// back need not. The client would take the rest for another response, or another response for the rest.
    fn check_rest(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError> {
        let Some(missing) = self.missing else { return Ok(()) };
        match missing.checked_sub(piece.len() as u64) {
            Some(rest) if flow != Flow::End || rest == 0 => {
                self.missing = Some(rest);
                Ok(())
            }
            _ => {
                let request = self.delivery.request;
                log_line!(request, Error, codes::MALFORMED; "daemon process: the response is not as long as its Content-Length says; breaking it off");
                self.has_failed = true;
                Err(WriteError::Failed("the response is not as long as its Content-Length says".to_owned()))
            }
        }
    }
}

fn malformed(err: wire::Error) -> HeadError {
    HeadError::Malformed(format!("malformed response head: {err}"))
}

/// The path of a `Location` that is one, in a response of status 200.
///
/// Source: RFC 3875, 6.2.2 (local redirect response).
fn local_redirect<'a>(head: &ResponseHead<'a>) -> Option<&'a CStr> {
    if head.code() != 200 {
        return None;
    }
    let locations = head.headers().flatten().filter(|(name, _)| name.to_bytes().eq_ignore_ascii_case(b"Location"));
    locations.last().map(|(_, value)| value).filter(|value| value.to_bytes().starts_with(b"/"))
}

impl Client for HttpdClient<'_> {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.delivery.request.client_socket()
    }

    fn is_gone(&self) -> bool {
        self.delivery.request.is_aborted()
    }

    fn patience(&self) -> Duration {
        self.delivery.request.timeout()
    }

    fn grace(&self) -> Duration {
        HALF_CLOSE
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, ReadError> {
        let Delivery { body, output, .. } = &mut self.delivery;
        body.read_now(buf, output.is_ended())
    }

    fn is_read(&self) -> bool {
        self.delivery.body.is_ended()
    }

    fn start(&mut self, block: &[u8]) -> Result<(), HeadError> {
        self.delivery.check_open().map_err(HeadError::Closed)?;
        let head = ResponseHead::parse(block).map_err(malformed)?;
        self.check_lengths(block, &head)?;
        if !(200..=999).contains(&head.code()) {
            return Err(HeadError::Malformed(format!("{} is no status of a response", head.code())));
        }
        let request = self.delivery.request;
        let result = if self.has_error_override && (400..=599).contains(&head.code()) {
            self.fate = Fate::Replaced(head.code());
            respond::set_error_headers(request, &head)
        } else if let Some(path) = local_redirect(&head) {
            self.fate = Fate::Redirected(path.to_bytes().to_vec());
            Ok(())
        } else {
            // These have no body whatever they state.
            let is_bodiless = request.is_head() || matches!(head.code(), 204 | 304);
            respond::set_head(request, block).map(|length| self.missing = length.filter(|_| !is_bodiless))
        };
        result.map_err(|err| HeadError::Malformed(err.to_string()))
    }

    fn write(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError> {
        self.delivery.check_open()?;
        if !matches!(self.fate, Fate::Sent) {
            return Ok(());
        }
        self.check_rest(piece, flow)?;
        if !self.socket_timeout.is_zero() && !self.delivery.output.is_started() {
            self.socket_timeout_before = self.delivery.request.exchange_socket_timeout(self.socket_timeout);
        }
        let result = self.delivery.output.write(piece, flow);
        self.has_failed |= matches!(result, Err(WriteError::Failed(_)));
        result
    }

    fn log(&self, level: Level, line: &[u8]) {
        Journal::of(self.delivery.request).log(level, line);
    }
}

#[cfg(test)]
mod tests {
    use wire::ResponseWriter;

    use super::*;

    fn redirect(code: u16, headers: &[(&str, &str)]) -> Option<String> {
        let mut block = Vec::new();
        let mut writer = ResponseWriter::begin(&mut block, code, b"");
        for (name, value) in headers {
            writer.header(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(writer.finish(), Ok(()));
        let head = ResponseHead::parse(&block).expect("just written");
        local_redirect(&head).map(|path| path.to_string_lossy().into_owned())
    }

    #[test]
    fn only_a_path_in_a_response_of_200_is_a_local_redirect() {
        assert_eq!(redirect(200, &[("X", "/a"), ("location", "/b?c")]), Some("/b?c".to_owned()));
        assert_eq!(redirect(200, &[("Location", "http://a/b")]), None);
        assert_eq!(redirect(201, &[("Location", "/b")]), None);
        assert_eq!(redirect(302, &[("Location", "/b")]), None);
        assert_eq!(redirect(200, &[]), None);
    }
}
