//! The client's side of a relayed request, as far as the relay needs it.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use gateway::{Answer, Flow, Level, ReadError, WriteError};

/// Why a response head was not taken over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    /// This header is longer than `header-buffer-size`.
    TooLong(String),
    /// The block cannot be read.
    Malformed(String),
    /// Nothing can be delivered.
    Closed(WriteError),
}

/// Whoever asked: httpd's request, or a test.
pub(super) trait Client {
    /// The socket to watch; none where several requests share one (HTTP/2).
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// Whether it is known to have gone.
    fn is_gone(&self) -> bool;

    /// How long its body may pause.
    fn patience(&self) -> Duration;

    /// How soon after its last byte the end of its direction means that it only has no more to send.
    fn grace(&self) -> Duration;

    /// What has come of its body, without waiting; `None` if nothing has, 0 bytes at the end.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, ReadError>;

    /// All of the body was read.
    fn is_read(&self) -> bool;

    /// Sets status and headers of its response.
    ///
    /// # Errors
    /// See [`HeadError`].
    fn start(&mut self, head: &[u8]) -> Result<(), HeadError>;

    /// Hands on a piece of its response; waits while the client is slow.
    ///
    /// # Errors
    /// See [`WriteError`].
    fn write(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError>;

    /// Writes a line to the request's log.
    fn log(&self, level: Level, line: &[u8]);

    /// A variable of its TLS connection; of whoever asks a question only.
    fn variable(&mut self, _name: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Takes the answer to its question, if it has one.
    fn answer(&mut self, _answer: Answer) {}
}
