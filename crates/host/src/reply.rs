//! The response on its way out: when the head goes, where the body ends, and whether it was whole.

use std::os::fd::BorrowedFd;

use gateway::response::forbids_body;
use gateway::{Exchange, Flow, Outcome, WriteError};
use wire::ResponseWriter;

use crate::measure::{self, Amount};

/// Why a piece could not be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// `start_response()` has not been called.
    NoHead,
    /// See [`WriteError`].
    Write(WriteError),
}

/// The state of one response.
#[derive(Default)]
pub(crate) struct Reply {
    head: Vec<u8>,
    has_head: bool,
    is_head_sent: bool,
    is_ended: bool,
    code: u16,
    /// The application's Content-Length, bytes.
    declared: Option<u64>,
    /// Body bytes handed on so far.
    sent: u64,
    /// The body does not go to the client: HEAD.
    is_head_request: bool,
    failure: Option<WriteError>,
    given: Amount,
}

impl Reply {
    pub(crate) fn new(is_head_request: bool) -> Self {
        Reply { is_head_request, ..Self::default() }
    }

    /// Takes the application's response head; replaces one that was not sent yet.
    pub(crate) fn set_head(&mut self, head: Vec<u8>, code: u16, content_length: Option<u64>) {
        // Another thread of the application may have sent the first one since the caller looked.
        if self.is_head_sent {
            return;
        }
        self.head = head;
        self.has_head = true;
        self.code = code;
        self.declared = content_length;
    }

    /// `start_response()` has been called.
    pub(crate) fn has_head(&self) -> bool {
        self.has_head
    }

    /// Status and headers can no longer be changed.
    pub(crate) fn is_head_sent(&self) -> bool {
        self.is_head_sent
    }

    /// Its status, once `start_response()` has been called.
    pub(crate) fn code(&self) -> Option<u16> {
        self.has_head.then_some(self.code)
    }

    /// What of the body has been handed on so far.
    pub(crate) fn given(&self) -> Amount {
        self.given
    }

    /// Some of the body has been handed on.
    pub(crate) fn has_body(&self) -> bool {
        self.sent > 0
    }

    pub(crate) fn declared_length(&self) -> Option<u64> {
        self.declared
    }

    pub(crate) fn is_client_gone(&self) -> bool {
        self.failure == Some(WriteError::ClientGone)
    }

    /// Sends a block that the application yielded or wrote: the client gets it now (PEP 3333,
    /// "Buffering and Streaming"), unless it is known to be the last one. Bytes over the declared length
    /// are dropped.
    ///
    /// # Errors
    /// See [`SendError`]; once the exchange has failed, every later block fails the same way.
    pub(crate) fn send(&mut self, exchange: &mut dyn Exchange, block: &[u8]) -> Result<(), SendError> {
        if block.is_empty() {
            return if self.has_head { Ok(()) } else { Err(SendError::NoHead) };
        }
        self.send_head(exchange)?;
        let rest = self.declared.map_or(u64::MAX, |declared| declared.saturating_sub(self.sent));
        let block = &block[..block.len().min(usize::try_from(rest).unwrap_or(usize::MAX))];
        if self.is_ended || block.is_empty() {
            return Ok(());
        }
        self.sent += block.len() as u64;
        let is_last = self.declared == Some(self.sent);
        self.is_ended = is_last;
        let flow = if is_last { Flow::End } else { Flow::Flush };
        let began = measure::moment();
        let result = exchange.write(block, flow);
        self.given.add(block.len() as u64, began);
        self.keep(result)
    }

    /// Sends the head and nothing else yet (`write(b"")`): from here on it cannot be changed.
    pub(crate) fn fix_head(&mut self, exchange: &mut dyn Exchange) -> Result<(), SendError> {
        self.send_head(exchange)
    }

    /// Sends a body that is one block: its length becomes the Content-Length unless one was declared
    /// (PEP 3333, "Handling the Content-Length Header").
    pub(crate) fn send_whole(&mut self, exchange: &mut dyn Exchange, block: &[u8]) -> Result<(), SendError> {
        if self.has_head && !self.is_head_sent && !(self.is_head_request && block.is_empty()) {
            self.declare_length(block.len() as u64);
        }
        self.send(exchange, block)?;
        Ok(())
    }

    /// Sends part of a file as the rest of the body, and ends the response.
    pub(crate) fn send_file(
        &mut self,
        exchange: &mut dyn Exchange,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
    ) -> Result<(), SendError> {
        if !self.is_head_sent {
            self.declare_length(length);
        }
        self.send_head(exchange)?;
        self.sent += length;
        self.is_ended = true;
        let began = measure::moment();
        let result = exchange.send_file(file, offset, length);
        self.given.add(length, began);
        self.keep(result)
    }

    /// Ends the response after the application has delivered all of it.
    pub(crate) fn end(&mut self, exchange: &mut dyn Exchange) -> Result<Outcome, SendError> {
        self.send_head(exchange)?;
        if self.missing() > 0 {
            return Ok(Outcome::Incomplete);
        }
        if !self.is_ended {
            self.is_ended = true;
            let result = exchange.write(b"", Flow::End);
            self.keep(result)?;
        }
        Ok(Outcome::Complete)
    }

    /// Declared bytes that never came, where the client was to get them.
    pub(crate) fn missing(&self) -> u64 {
        if self.is_head_request || forbids_body(self.code) {
            return 0;
        }
        self.declared.map_or(0, |declared| declared.saturating_sub(self.sent))
    }

    /// How the request ends when the application failed.
    pub(crate) fn outcome_of_failure(&self) -> Outcome {
        match (self.is_head_sent, self.is_ended) {
            (false, _) => Outcome::Status(500),
            // All of the declared body was out before the application failed.
            (true, true) => Outcome::Complete,
            (true, false) => Outcome::Incomplete,
        }
    }

    fn declare_length(&mut self, length: u64) {
        if self.declared.is_some() || forbids_body(self.code) {
            return;
        }
        // The head was written by us just before, so it can be gone on with; were it not so, the
        // response would go out without a length, which is right too.
        if let Ok(mut writer) = ResponseWriter::resume(&mut self.head) {
            writer.header(b"Content-Length", length.to_string().as_bytes());
            if writer.finish().is_ok() {
                self.declared = Some(length);
            }
        }
    }

    fn send_head(&mut self, exchange: &mut dyn Exchange) -> Result<(), SendError> {
        if let Some(failure) = &self.failure {
            return Err(SendError::Write(failure.clone()));
        }
        if self.is_head_sent {
            return Ok(());
        }
        if !self.has_head {
            return Err(SendError::NoHead);
        }
        self.is_head_sent = true;
        let result = exchange.start(&self.head);
        self.keep(result)
    }

    fn keep(&mut self, result: Result<(), WriteError>) -> Result<(), SendError> {
        result.map_err(|failure| {
            self.failure = Some(failure.clone());
            SendError::Write(failure)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryExchange;

    fn with_head(headers: &[(&str, &str)], content_length: Option<u64>) -> Reply {
        with_code(200, false, headers, content_length)
    }

    fn with_code(code: u16, is_head_request: bool, headers: &[(&str, &str)], content_length: Option<u64>) -> Reply {
        let mut head = Vec::new();
        let mut writer = ResponseWriter::begin(&mut head, code, b"");
        for (name, value) in headers {
            writer.header(name.as_bytes(), value.as_bytes());
        }
        writer.finish().expect("a small head");
        let mut reply = Reply::new(is_head_request);
        reply.set_head(head, code, content_length);
        reply
    }

    #[test]
    fn head_waits_for_the_first_nonempty_block() {
        let (mut exchange, mut reply) = (MemoryExchange::default(), with_head(&[("A", "b")], None));
        reply.send(&mut exchange, b"").unwrap();
        assert!(exchange.events.is_empty());
        reply.send(&mut exchange, b"x").unwrap();
        assert_eq!(reply.end(&mut exchange), Ok(Outcome::Complete));
        assert_eq!(exchange.events, ["head 200 A=b", "Flush x", "End"]);
    }

    #[test]
    fn a_block_without_a_head_is_refused() {
        let (mut exchange, mut reply) = (MemoryExchange::default(), Reply::new(false));
        assert_eq!(reply.send(&mut exchange, b"x"), Err(SendError::NoHead));
        assert_eq!(reply.end(&mut exchange), Err(SendError::NoHead));
        assert_eq!(reply.outcome_of_failure(), Outcome::Status(500));
    }

    #[test]
    fn one_block_declares_its_length_and_ends_with_it() {
        let (mut exchange, mut reply) = (MemoryExchange::default(), with_head(&[], None));
        reply.send_whole(&mut exchange, b"hello").unwrap();
        assert_eq!(reply.end(&mut exchange), Ok(Outcome::Complete));
        assert_eq!(exchange.events, ["head 200 Content-Length=5", "End hello"]);
    }

    #[test]
    fn an_empty_block_to_head_says_nothing_of_the_length() {
        let (mut exchange, mut reply) = (MemoryExchange::default(), with_code(200, true, &[], None));
        reply.send_whole(&mut exchange, b"").unwrap();
        reply.end(&mut exchange).unwrap();
        assert_eq!(exchange.events, ["head 200", "End"]);
    }

    #[test]
    fn a_status_without_body_gets_no_length() {
        let (mut exchange, mut reply) = (MemoryExchange::default(), with_code(304, false, &[], None));
        reply.send_whole(&mut exchange, b"").unwrap();
        reply.end(&mut exchange).unwrap();
        assert_eq!(exchange.events, ["head 304", "End"]);
    }

    #[test]
    fn bytes_over_the_declared_length_are_dropped() {
        let (mut exchange, mut reply) = (MemoryExchange::default(), with_head(&[], Some(4)));
        reply.send(&mut exchange, b"abc").unwrap();
        reply.send(&mut exchange, b"def").unwrap();
        reply.send(&mut exchange, b"ghi").unwrap();
        assert_eq!(reply.end(&mut exchange), Ok(Outcome::Complete));
        assert_eq!(exchange.events, ["head 200", "Flush abc", "End d"]);
    }

    #[test]
    fn a_body_short_of_its_declared_length_is_incomplete() {
        let (mut exchange, mut reply) = (MemoryExchange::default(), with_head(&[], Some(4)));
        reply.send(&mut exchange, b"abc").unwrap();
        assert_eq!(reply.end(&mut exchange), Ok(Outcome::Incomplete));
        assert_eq!(reply.missing(), 1);
        assert_eq!(exchange.events, ["head 200", "Flush abc"]);
    }

    #[test]
    fn head_and_304_may_declare_a_length_without_a_body() {
        let (mut exchange, mut reply) = (MemoryExchange::default(), with_code(200, true, &[], Some(10)));
        assert_eq!(reply.end(&mut exchange), Ok(Outcome::Complete));
        let mut reply = with_code(304, false, &[], Some(10));
        assert_eq!(reply.end(&mut exchange), Ok(Outcome::Complete));
    }

    #[test]
    fn failure_before_the_head_is_a_500_and_after_it_incomplete() {
        let (mut exchange, mut reply) = (MemoryExchange::default(), with_head(&[], None));
        assert_eq!(reply.outcome_of_failure(), Outcome::Status(500));
        reply.send(&mut exchange, b"x").unwrap();
        assert_eq!(reply.outcome_of_failure(), Outcome::Incomplete);
    }

    #[test]
    fn failure_after_the_whole_declared_body_leaves_the_response_complete() {
        let (mut exchange, mut reply) = (MemoryExchange::default(), with_head(&[], Some(1)));
        reply.send(&mut exchange, b"x").unwrap();
        assert_eq!(reply.outcome_of_failure(), Outcome::Complete);
    }

    #[test]
    fn after_the_client_has_gone_every_block_fails_the_same_way() {
        let mut exchange = MemoryExchange { client_leaves_after: Some(1), ..Default::default() };
        let mut reply = with_head(&[], None);
        for _ in 0..2 {
            assert_eq!(reply.send(&mut exchange, b"x"), Err(SendError::Write(WriteError::ClientGone)));
        }
        assert!(reply.is_client_gone());
    }

    #[test]
    fn a_file_declares_its_length_and_ends_the_response() {
        let (mut exchange, mut reply) = (MemoryExchange::default(), with_head(&[], None));
        let file = std::fs::File::open("/dev/null").unwrap();
        reply.send_file(&mut exchange, std::os::fd::AsFd::as_fd(&file), 3, 7).unwrap();
        assert_eq!(reply.end(&mut exchange), Ok(Outcome::Complete));
        assert_eq!(exchange.events, ["head 200 Content-Length=7", "file 3+7"]);
    }
}
