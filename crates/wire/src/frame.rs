//! What goes over a connection between an httpd child and a worker: blocks one after another, each a frame.
//!
//! The child sends a hello with the first request of a connection, and for each request its head and what
//! the worker has asked for of its body. The worker answers a request with log lines, a response head,
//! pieces, and always one frame that ends it: `Done` or `Refused`. After that, and only then, the connection
//! is free for another request. docs/wire.md has the bytes and the order.

use gateway::embedded::{FAULT_ANSWERED, FAULT_CLIENT_GONE, FAULT_FAILED, FAULT_REFUSED, FAULT_TIMED_OUT};
use gateway::{Flow, Level, Outcome, ReadError, WriteError};

use crate::Error;
use crate::block::{HEADER, Kind, LIMIT, Reader, VERSION};

/// Most bytes of a body in one frame; longer blocks are sent in several.
pub const PIECE_LIMIT: usize = 256 << 10;

/// Most bytes of a text in a frame: a log line, a reason. What is longer is cut by who writes it.
pub const TEXT_LIMIT: usize = 64 << 10;

/// A secret that only httpd, the supervisor and one group's workers know.
pub type Secret = [u8; 32];

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
    /// Worker to child: the request was not begun.
    Refused(Refusal),
}

impl<'a> Frame<'a> {
    /// Reads the frame in `block`, which must be all of it and nothing more.
    ///
    /// # Errors
    /// `Length`, `TooLong`, `Version`, `Kind`, `Truncated`, `Trailing`, `Reserved` (a number that means nothing).
    pub fn parse(block: &'a [u8]) -> Result<Frame<'a>, Error> {
        let kind = block.get(6..HEADER).and_then(|bytes| bytes.first_chunk()).ok_or(Error::Truncated)?;
        let kind = u16::from_le_bytes(*kind);
        let open = |kind| Reader::open(block, kind);
        match kind {
            _ if kind == Kind::Request as u16 => open(Kind::Request).map(|_| Frame::Request(block)),
            _ if kind == Kind::Response as u16 => open(Kind::Response).map(|_| Frame::Response(block)),
            _ if kind == Kind::Hello as u16 => whole(open(Kind::Hello)?, hello),
            _ if kind == Kind::Welcome as u16 => whole(open(Kind::Welcome)?, welcome),
            _ if kind == Kind::Piece as u16 => whole(open(Kind::Piece)?, piece),
            _ if kind == Kind::InputFailed as u16 => whole(open(Kind::InputFailed)?, input_failed),
            _ if kind == Kind::Want as u16 => whole(open(Kind::Want)?, |reader| reader.u32().map(Frame::Want)),
            _ if kind == Kind::Cut as u16 => whole(open(Kind::Cut)?, cut),
            _ if kind == Kind::Log as u16 => whole(open(Kind::Log)?, log),
            _ if kind == Kind::Done as u16 => whole(open(Kind::Done)?, done),
            _ if kind == Kind::Refused as u16 => whole(open(Kind::Refused)?, refused),
            other => Err(Error::Kind(other)),
        }
    }

    /// Appends the frame to a buffer. Texts and pieces over their limit are cut: who sends pieces splits them.
    pub fn put(&self, buf: &mut Vec<u8>) {
        match self {
            // A block that its writer has finished is a frame as it is.
            Frame::Request(block) | Frame::Response(block) => buf.extend_from_slice(block),
            Frame::Hello(hello) => put(buf, Kind::Hello, [&hello.secret]),
            Frame::Welcome(welcome) => put(
                buf,
                Kind::Welcome,
                [
                    &welcome.secret,
                    &welcome.pid.to_le_bytes(),
                    &welcome.incarnation.to_le_bytes(),
                    &welcome.cell.to_le_bytes(),
                ],
            ),
            Frame::Piece { flow, bytes } => {
                let bytes = &bytes[..bytes.len().min(PIECE_LIMIT)];
                put(buf, Kind::Piece, [&[flow_number(*flow)], bytes]);
            }
            Frame::InputFailed(error) => {
                let (number, text) = read_fault(error);
                put(buf, Kind::InputFailed, [&number.to_le_bytes(), text_part(text)]);
            }
            Frame::Want(count) => put(buf, Kind::Want, [&count.to_le_bytes()]),
            Frame::Cut(error) => {
                let (number, text) = write_fault(error);
                put(buf, Kind::Cut, [&number.to_le_bytes(), text_part(text)]);
            }
            Frame::Log { level, line } => put(buf, Kind::Log, [&[*level as u8], &line[..line.len().min(TEXT_LIMIT)]]),
            Frame::Done(outcome) => put(buf, Kind::Done, [&outcome.to_number().to_le_bytes()]),
            Frame::Refused(refusal) => put(buf, Kind::Refused, [&(*refusal as u16).to_le_bytes()]),
        }
    }
}

/// Header and flow of a `Piece` frame whose `length` bytes (at most [`PIECE_LIMIT`]) are sent from where they lie.
pub fn piece_header(flow: Flow, length: usize) -> [u8; HEADER + 1] {
    debug_assert!(length <= PIECE_LIMIT);
    let mut header = [0; HEADER + 1];
    header[..HEADER].copy_from_slice(&block_header(Kind::Piece, length + 1));
    header[HEADER] = flow_number(flow);
    header
}

fn block_header(kind: Kind, payload: usize) -> [u8; HEADER] {
    let total = u32::try_from(HEADER + payload).unwrap_or(u32::MAX).to_le_bytes();
    let [version, kind] = [VERSION.to_le_bytes(), (kind as u16).to_le_bytes()];
    [total[0], total[1], total[2], total[3], version[0], version[1], kind[0], kind[1]]
}

fn put<const N: usize>(buf: &mut Vec<u8>, kind: Kind, parts: [&[u8]; N]) {
    let payload = parts.iter().map(|part| part.len()).sum();
    buf.reserve(HEADER + payload);
    buf.extend_from_slice(&block_header(kind, payload));
    for part in parts {
        buf.extend_from_slice(part);
    }
}

fn whole<'a>(
    mut reader: Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<Frame<'a>, Error>,
) -> Result<Frame<'a>, Error> {
    let frame = read(&mut reader)?;
    match reader.len() {
        0 => Ok(frame),
        rest => Err(Error::Trailing(rest)),
    }
}

fn hello<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    Ok(Frame::Hello(Hello { secret: reader.array()? }))
}

fn welcome<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    Ok(Frame::Welcome(Welcome {
        secret: reader.array()?,
        pid: reader.u32()?,
        incarnation: reader.u32()?,
        cell: reader.u32()?,
    }))
}

fn piece<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    let [flow] = reader.array()?;
    let flow = match flow {
        0 => Flow::More,
        1 => Flow::Flush,
        2 => Flow::End,
        other => return Err(Error::Reserved(u16::from(other))),
    };
    if reader.len() > PIECE_LIMIT {
        return Err(Error::TooLong);
    }
    Ok(Frame::Piece { flow, bytes: reader.rest() })
}

fn flow_number(flow: Flow) -> u8 {
    match flow {
        Flow::More => 0,
        Flow::Flush => 1,
        Flow::End => 2,
    }
}

fn input_failed<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    let number = reader.u16()?;
    let mut text = || String::from_utf8_lossy(reader.rest()).into_owned();
    Ok(Frame::InputFailed(match i32::from(number) {
        FAULT_CLIENT_GONE => ReadError::ClientGone,
        FAULT_TIMED_OUT => ReadError::TimedOut,
        FAULT_REFUSED => ReadError::Refused,
        FAULT_FAILED => ReadError::Failed(text()),
        _ => return Err(Error::Reserved(number)),
    }))
}

fn cut<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    let number = reader.u16()?;
    let mut text = || String::from_utf8_lossy(reader.rest()).into_owned();
    Ok(Frame::Cut(match i32::from(number) {
        FAULT_CLIENT_GONE => WriteError::ClientGone,
        FAULT_ANSWERED => WriteError::Answered,
        FAULT_FAILED => WriteError::Failed(text()),
        _ => return Err(Error::Reserved(number)),
    }))
}

fn read_fault(error: &ReadError) -> (u16, &str) {
    match error {
        ReadError::ClientGone => (FAULT_CLIENT_GONE as u16, ""),
        ReadError::TimedOut => (FAULT_TIMED_OUT as u16, ""),
        ReadError::Refused => (FAULT_REFUSED as u16, ""),
        ReadError::Failed(text) => (FAULT_FAILED as u16, text),
    }
}

fn write_fault(error: &WriteError) -> (u16, &str) {
    match error {
        WriteError::ClientGone => (FAULT_CLIENT_GONE as u16, ""),
        WriteError::Answered => (FAULT_ANSWERED as u16, ""),
        WriteError::Failed(text) => (FAULT_FAILED as u16, text),
    }
}

fn text_part(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(TEXT_LIMIT)]
}

fn log<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    let [level] = reader.array()?;
    if reader.len() > TEXT_LIMIT {
        return Err(Error::TooLong);
    }
    Ok(Frame::Log { level: Level::from_number(i32::from(level)), line: reader.rest() })
}

fn done<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    reader.array().map(|number| Frame::Done(Outcome::from_number(i32::from_le_bytes(number))))
}

fn refused<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    Ok(Frame::Refused(match reader.u16()? {
        1 => Refusal::Leaving,
        2 => Refusal::Outdated,
        3 => Refusal::Misdirected,
        other => return Err(Error::Reserved(other)),
    }))
}

/// What has been received of a connection and not been read as frames yet.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Always of the length of its memory; what counts is `start..end`.
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

/// Room that a receiver asks for, bytes; enough for most requests and responses at once.
const ROOM: usize = 16 << 10;

/// An empty inbox keeps at most this much memory, bytes.
const KEPT: usize = 512 << 10;

impl Inbox {
    /// Where the next bytes go. Never empty.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buf.len() > KEPT {
                self.buf = Vec::new();
            }
        }
        let wanted = self.wanted().max(ROOM);
        if self.buf.len() - self.end < wanted {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.buf.len() - self.end < wanted {
                self.buf.resize(self.end + wanted, 0);
            }
        }
        &mut self.buf[self.end..]
    }

    /// So many bytes were put into [`Inbox::room`].
    pub fn received(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buf.len());
    }

    /// Whether everything that was received has been read.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether [`Inbox::next_frame`] would give a frame, or an error.
    pub fn has_frame(&self) -> bool {
        match self.length() {
            Ok(length) => length.is_some_and(|length| length <= self.end - self.start),
            Err(_) => true,
        }
    }

    /// Whether nothing is there beyond the next frame, as far as it has come.
    pub fn is_single(&self) -> bool {
        self.length().ok().flatten().is_none_or(|length| length >= self.end - self.start)
    }

    /// The next frame, if it is there whole.
    ///
    /// # Errors
    /// As for [`Frame::parse`], and as soon as a header is there that announces what is too long or of another
    /// version. The connection is of no use after one.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Error> {
        let Some(length) = self.length()? else { return Ok(None) };
        if self.end - self.start < length {
            return Ok(None);
        }
        let block = &self.buf[self.start..self.start + length];
        self.start += length;
        Frame::parse(block).map(Some)
    }

    /// The length of the frame that begins here, checked, once its header is there.
    fn length(&self) -> Result<Option<usize>, Error> {
        let Some(header) = self.buf[self.start..self.end].first_chunk::<HEADER>() else { return Ok(None) };
        let [l0, l1, l2, l3, v0, v1, k0, k1] = *header;
        match u16::from_le_bytes([v0, v1]) {
            VERSION => {}
            other => return Err(Error::Version(other)),
        }
        let kind = u16::from_le_bytes([k0, k1]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let is_head = kind == Kind::Request as u16 || kind == Kind::Response as u16;
        let limit = if is_head { LIMIT } else { HEADER + 1 + PIECE_LIMIT };
        match length {
            0..HEADER => Err(Error::Truncated),
            _ if length > limit => Err(Error::TooLong),
            _ => Ok(Some(length)),
        }
    }

    /// What is missing of a frame whose header is there.
    fn wanted(&self) -> usize {
        let length = self.length().ok().flatten().unwrap_or(0);
        length.saturating_sub(self.end - self.start)
    }
}
