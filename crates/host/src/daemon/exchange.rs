//! [`gateway::Exchange`] over a connection.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use gateway::{Exchange, Flow, Outcome, ReadError, WriteError};
use wire::Frame;
use wire::frame::{PIECE_LIMIT, piece_header};

use super::intake::Intake;
use super::outbox::Outbox;
use super::stream::Stream;

/// What waits for company on its way out is copied up to this many bytes.
const COPY_LIMIT: usize = 64 << 10;

/// One request on a connection.
pub(crate) struct ConnectionExchange<'c> {
    stream: &'c Stream,
    outbox: &'c Outbox,
    intake: Intake<'c>,
    /// Frames that wait for the next write.
    pending: Vec<u8>,
    has_sent: bool,
    ends_soon: bool,
    has_failed: bool,
    on_activity: &'c dyn Fn(),
}

impl<'c> ConnectionExchange<'c> {
    pub(crate) fn new(stream: &'c Stream, outbox: &'c Outbox, intake: Intake<'c>, on_activity: &'c dyn Fn()) -> Self {
        ConnectionExchange {
            stream,
            outbox,
            intake,
            pending: Vec::new(),
            has_sent: false,
            ends_soon: false,
            has_failed: false,
            on_activity,
        }
    }

    /// Ends the request; whether the connection may have another.
    pub(crate) fn finish(&mut self, outcome: Outcome) -> bool {
        if matches!(outcome, Outcome::Status(_)) && !self.has_sent {
            // httpd answers by itself: a head that nothing followed is not to reach it.
            self.pending.clear();
        }
        Frame::Done(outcome).put(&mut self.pending);
        let is_sent = self.send(&[]).is_ok();
        is_sent && self.intake.is_sound() && outcome != Outcome::Incomplete
    }

    /// What the peer said during the request that cannot be.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.intake.fault()
    }

    /// Sends what is pending, and then the parts.
    fn send(&mut self, parts: &[&[u8]]) -> Result<(), WriteError> {
        if self.has_failed {
            return Err(WriteError::ClientGone);
        }
        let pending = std::mem::take(&mut self.pending);
        self.has_sent = true;
        let intake = &mut self.intake;
        let mut frames: Vec<&[u8]> = Vec::with_capacity(parts.len() + 1);
        frames.push(&pending);
        frames.extend(parts);
        self.outbox.write(self.stream, &frames, &mut || intake.look()).map_err(|error| {
            self.has_failed = true;
            match error.kind() {
                io::ErrorKind::TimedOut => WriteError::Failed("httpd takes nothing within the time limit".to_owned()),
                _ => WriteError::ClientGone,
            }
        })
    }

    /// Sends a piece from where it lies.
    fn send_piece(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError> {
        let (last, before) = piece
            .chunks(PIECE_LIMIT)
            .collect::<Vec<_>>()
            .split_last()
            .map_or((&[][..], Vec::new()), |(last, before)| (*last, before.to_vec()));
        for part in before {
            self.send(&[&piece_header(Flow::More, part.len()), part])?;
        }
        self.send(&[&piece_header(flow, last.len()), last])
    }
}

impl Exchange for ConnectionExchange<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
        (self.on_activity)();
        loop {
            if let Some(count) = self.intake.take(buf)? {
                return Ok(count);
            }
            if let Some(more) = self.intake.wanted() {
                let mut frame = Vec::new();
                Frame::Want(more).put(&mut frame);
                let intake = &mut self.intake;
                if self.outbox.write(self.stream, &[&frame], &mut || intake.look()).is_err() {
                    self.intake.give_up();
                    continue;
                }
            }
            self.intake.wait();
        }
    }

    fn start(&mut self, head: &[u8]) -> Result<(), WriteError> {
        self.pending.extend_from_slice(head);
        Ok(())
    }

    fn write(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError> {
        (self.on_activity)();
        let may_wait = flow == Flow::More || (flow == Flow::End && self.ends_soon);
        if may_wait && self.pending.len() + piece.len() <= COPY_LIMIT + COPY_LIMIT / 4 {
            Frame::Piece { flow, bytes: piece }.put(&mut self.pending);
            return Ok(());
        }
        // Whoever sends much wants to know early that nobody takes it.
        self.intake.look();
        if let Some(cut) = self.intake.cut() {
            return Err(cut);
        }
        self.send_piece(piece, flow)
    }

    fn send_file(&mut self, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), WriteError> {
        let failed = |error: io::Error| WriteError::Failed(format!("the file cannot be read: {error}"));
        let file = std::fs::File::from(file.try_clone_to_owned().map_err(failed)?);
        let mut buf = vec![0; usize::try_from(length).unwrap_or(PIECE_LIMIT).min(PIECE_LIMIT)];
        let mut sent = 0;
        loop {
            let count = usize::try_from(length - sent).unwrap_or(PIECE_LIMIT).min(buf.len());
            file.read_exact_at(&mut buf[..count], offset + sent).map_err(failed)?;
            sent += count as u64;
            let is_last = sent == length;
            self.write(&buf[..count], if is_last { Flow::End } else { Flow::Flush })?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn is_client_gone(&mut self) -> bool {
        self.intake.look();
        self.intake.cut() == Some(WriteError::ClientGone)
    }

    fn will_end(&mut self) {
        self.ends_soon = true;
    }
}
