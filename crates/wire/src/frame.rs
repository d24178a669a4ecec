//! What goes over a connection between an httpd child and a worker: blocks one after another, each a frame.
//!
//! The child sends a hello with the first request of a connection, and for each request its head and what
//! the worker has asked for of its body. The worker answers a request with log lines, a response head,
//! pieces, and always one frame that ends it: `Done` or `Refused`. After that, and only then, the connection
//! is free for another request. docs/wire.md has the bytes and the order.

mod inbox;
mod reading;
mod writing;

use gateway::{Flow, Level, Outcome, ReadError, WriteError};

use crate::secret::Secret;
pub use inbox::Inbox;
pub use writing::piece_header;

/// Most bytes of a body in one frame; longer blocks are sent in several.
pub const PIECE_LIMIT: usize = 256 << 10;

/// Most bytes of a text in a frame: a log line, a reason. What is longer is cut by who writes it.
pub const TEXT_LIMIT: usize = 64 << 10;

/// The first frame of a connection, from the httpd child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Proves that the peer is this httpd.
    pub secret: Secret,
}

/// The worker's answer to a hello, ahead of its first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Proves that the peer is a worker of the group.
    pub secret: Secret,
    /// The worker's process.
    pub pid: u32,
    /// Which of the processes that had this seat it is.
    pub incarnation: u32,
    /// Where the seat counts the requests that were begun on this connection; [`NO_CELL`] for nowhere.
    pub cell: u32,
}

/// A connection without a cell: no request that was sent on it is ever sent again.
pub const NO_CELL: u32 = u32::MAX;

/// Why a worker did not begin a request, which may therefore be sent to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Refusal {
    /// The process is ending.
    Leaving = 1,
    /// The script has changed: a newer generation of workers is to answer.
    Outdated = 2,
    /// The process belongs to another application group.
    Misdirected = 3,
}

/// One frame, its strings still in the receiver's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Child to worker, once.
    Hello(Hello),
    /// Worker to child, once.
    Welcome(Welcome),
    /// Child to worker: a whole block for [`crate::RequestHead::parse`]. Begins a request.
    Request(&'a [u8]),
    /// Worker to child: a whole block for [`crate::ResponseHead::parse`].
    Response(&'a [u8]),
    /// Either way: part of a body. From the child `End` means that the body ends with this piece.
    Piece {
        /// How it is to be handed on.
        flow: Flow,
        /// At most [`PIECE_LIMIT`] bytes; may be none.
        bytes: &'a [u8],
    },
    /// Child to worker: the body cannot be read to its end.
    InputFailed(ReadError),
    /// Worker to child: so many more bytes of the body may be sent.
    Want(u32),
    /// Child to worker: nothing more of the response can be delivered.
    Cut(WriteError),
    /// Worker to child: a line for the log of the request's virtual host.
    Log {
        /// Its severity.
        level: Level,
        /// One line, at most [`TEXT_LIMIT`] bytes.
        line: &'a [u8],
    },
    /// Worker to child: the request has ended like this.
    Done(Outcome),
    /// Worker to child: the request, or the question, was not begun.
    Refused(Refusal),
    /// Child to worker: a whole block for [`crate::Question::parse`], in the place of a request.
    Question(&'a [u8]),
    /// Worker to child: a whole block for [`crate::parse_answer`].
    Answer(&'a [u8]),
    /// Worker to child: the script wants a variable of the client's TLS connection, of this name (at most [`TEXT_LIMIT`] bytes).
    Lookup(&'a [u8]),
    /// Child to worker: what was wanted, at most [`TEXT_LIMIT`] bytes, or that there is none.
    Found(Option<&'a [u8]>),
}

#[cfg(test)]
mod tests;
