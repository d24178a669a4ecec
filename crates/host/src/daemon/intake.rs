//! What comes in on a connection while a request runs: its body, and word that the client has gone.

use std::io;

use gateway::{ReadError, WriteError};
use wire::{Facts, Frame, Inbox, flags};

use super::stream::Stream;

/// Most bytes that are taken in ahead of the application.
const HELD_LIMIT: usize = 512 << 10;

/// So much of the body may be on its way at a time, bytes.
const WINDOW: u32 = 256 << 10;

/// How the body gets here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// There is none.
    None,
    /// Unasked.
    Follows,
    /// As far as it was asked for.
    OnRequest,
}

/// The receiving side of a connection during one request.
pub(crate) struct Intake<'c> {
    stream: &'c Stream,
    inbox: &'c mut Inbox,
    source: Source,
    /// Bytes that were asked for and have not come.
    credit: u32,
    held: Vec<u8>,
    start: usize,
    is_whole: bool,
    failure: Option<ReadError>,
    cut: Option<WriteError>,
    /// A variable was asked for.
    awaits_found: bool,
    /// It, or that there is none.
    found: Option<Option<Vec<u8>>>,
    /// The peer has closed, or says what cannot be.
    is_broken: bool,
    fault: Option<String>,
}

impl<'c> Intake<'c> {
    pub(crate) fn new(stream: &'c Stream, inbox: &'c mut Inbox, facts: Facts) -> Self {
        let source = match (facts.has(flags::BODY_FOLLOWS), facts.has(flags::BODY)) {
            (true, _) => Source::Follows,
            (false, true) => Source::OnRequest,
            (false, false) => Source::None,
        };
        Intake {
            stream,
            inbox,
            source,
            credit: 0,
            held: Vec::new(),
            start: 0,
            is_whole: source == Source::None,
            failure: None,
            cut: None,
            awaits_found: false,
            found: None,
            is_broken: false,
            fault: None,
        }
    }

    /// Takes in what is there, without waiting; whether more may be taken.
    pub(crate) fn look(&mut self) -> bool {
        self.sort();
        while self.has_room() && !self.is_broken {
            match self.stream.receive(self.inbox.room()) {
                Ok(None) => return true,
                Ok(Some(0)) | Err(_) => self.is_broken = true,
                Ok(Some(count)) => {
                    self.inbox.received(count);
                    self.sort();
                }
            }
        }
        self.has_room() && !self.is_broken
    }

    /// Why nothing more of the response can be delivered, as far as is known.
    pub(crate) fn cut(&self) -> Option<WriteError> {
        self.cut.clone().or_else(|| self.is_broken.then_some(WriteError::ClientGone))
    }

    /// Nothing has gone wrong that would spoil the next request.
    pub(crate) fn is_sound(&self) -> bool {
        !self.is_broken && self.cut.is_none() && self.failure.is_none()
    }

    /// What the peer said that cannot be.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Some of the body, if any is here.
    ///
    /// # Errors
    /// The first one is every later call's as well.
    pub(crate) fn take(&mut self, buf: &mut [u8]) -> Result<Option<usize>, ReadError> {
        self.sort();
        let ahead = &self.held[self.start..];
        if !ahead.is_empty() {
            let count = ahead.len().min(buf.len());
            buf[..count].copy_from_slice(&ahead[..count]);
            self.start += count;
            return Ok(Some(count));
        }
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None if self.is_whole => Ok(Some(0)),
            None if self.is_broken || self.cut == Some(WriteError::ClientGone) => Err(ReadError::ClientGone),
            None => Ok(None),
        }
    }

    /// How many bytes of the body are to be asked for now; they count as asked for.
    pub(crate) fn wanted(&mut self) -> Option<u32> {
        if self.source != Source::OnRequest || self.credit > WINDOW / 2 {
            return None;
        }
        let more = WINDOW - self.credit;
        self.credit = WINDOW;
        Some(more)
    }

    /// Waits until something comes in.
    pub(crate) fn wait(&mut self) {
        match self.stream.wait(true, false) {
            Ok(_) => {
                self.look();
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.failure = Some(ReadError::TimedOut),
            Err(_) => self.is_broken = true,
        }
    }

    /// A variable is being asked for.
    pub(crate) fn expect_found(&mut self) {
        self.awaits_found = true;
        self.found = None;
    }

    /// What has come of it, once.
    pub(crate) fn take_found(&mut self) -> Option<Option<Vec<u8>>> {
        self.found.take()
    }

    /// Whether anything may still come.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_broken && self.failure.is_none()
    }

    /// The body cannot be asked for.
    pub(crate) fn give_up(&mut self) {
        self.is_broken = true;
    }

    fn has_room(&self) -> bool {
        self.held.len() - self.start < HELD_LIMIT
    }

    /// Reads the frames that are here.
    pub(crate) fn sort(&mut self) {
        while self.has_room() && !self.is_broken {
            match self.inbox.next_frame() {
                Ok(None) => return,
                Ok(Some(Frame::Piece { flow, bytes })) => {
                    // What was handed out is let go as soon as that costs no move.
                    if self.start == self.held.len() {
                        self.held.clear();
                        self.start = 0;
                    }
                    self.credit = self.credit.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                    if !self.is_whole {
                        self.held.extend_from_slice(bytes);
                    }
                    self.is_whole |= flow == gateway::Flow::End;
                }
                Ok(Some(Frame::InputFailed(error))) => self.failure = Some(error),
                Ok(Some(Frame::Cut(error))) => self.cut = Some(error),
                Ok(Some(Frame::Found(value))) if self.awaits_found => {
                    self.found = Some(value.map(<[u8]>::to_vec));
                    self.awaits_found = false;
                }
                Ok(Some(_)) => self.refuse("a frame that is not expected during a request".to_owned()),
                Err(error) => self.refuse(error.to_string()),
            }
        }
    }

    fn refuse(&mut self, what: String) {
        self.is_broken = true;
        self.fault = Some(what);
    }
}
