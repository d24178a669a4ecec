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
    on_activity: &'c (dyn Fn() + Sync),
}

impl<'c> ConnectionExchange<'c> {
    pub(crate) fn new(
        stream: &'c Stream,
        outbox: &'c Outbox,
        intake: Intake<'c>,
        on_activity: &'c (dyn Fn() + Sync),
    ) -> Self {
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use wire::{Facts, Inbox, flags};

    use super::*;

    /// What the worker has said so far, as the child reads it.
    struct Child {
        socket: UnixStream,
        inbox: Inbox,
    }

    impl Child {
        fn say(&mut self, frames: &[Frame<'_>]) {
            let mut bytes = Vec::new();
            frames.iter().for_each(|frame| frame.put(&mut bytes));
            self.socket.write_all(&bytes).unwrap();
        }

        /// The frames of one read of the socket.
        fn read(&mut self) -> Vec<String> {
            let count = self.socket.read(self.inbox.room()).unwrap();
            self.inbox.received(count);
            let mut seen = Vec::new();
            while let Some(frame) = self.inbox.next_frame().unwrap() {
                seen.push(match frame {
                    Frame::Response(_) => "head".to_owned(),
                    Frame::Piece { flow, bytes } => format!("{flow:?} {}", bytes.len()),
                    other => format!("{other:?}"),
                });
            }
            seen
        }
    }

    /// Runs `work` on an exchange with these flags.
    fn with<R>(flags: u32, work: impl FnOnce(&mut ConnectionExchange<'_>, &mut Child) -> R) -> R {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let stream = Stream::new(ours.into(), Some(std::time::Duration::from_secs(20)));
        let (mut inbox, outbox) = (Inbox::default(), Outbox::default());
        let intake = Intake::new(&stream, &mut inbox, Facts { flags, ..Facts::default() });
        let mut exchange = ConnectionExchange::new(&stream, &outbox, intake, &|| {});
        work(&mut exchange, &mut Child { socket: theirs, inbox: Inbox::default() })
    }

    fn head() -> Vec<u8> {
        let mut head = Vec::new();
        wire::ResponseWriter::begin(&mut head, 200, b"OK").finish().unwrap();
        head
    }

    #[test]
    fn head_block_and_end_go_together_when_the_request_ends_with_them() {
        with(0, |exchange, child| {
            exchange.will_end();
            exchange.start(&head()).unwrap();
            exchange.write(b"hello", Flow::End).unwrap();
            assert!(exchange.finish(Outcome::Complete));
            assert_eq!(child.read(), ["head", "End 5", "Done(Complete)"]);
        });
    }

    #[test]
    fn an_end_does_not_wait_for_what_the_application_does_after_it() {
        with(0, |exchange, child| {
            exchange.start(&head()).unwrap();
            exchange.write(b"hello", Flow::End).unwrap();
            assert_eq!(child.read(), ["head", "End 5"]);
        });
    }

    #[test]
    fn a_head_that_nothing_followed_does_not_go_with_a_status() {
        with(0, |exchange, child| {
            exchange.start(&head()).unwrap();
            assert!(exchange.finish(Outcome::Status(500)));
            assert_eq!(child.read(), ["Done(Status(500))"]);
        });
    }

    #[test]
    fn the_body_is_asked_for_in_windows_and_only_when_it_is_read() {
        with(flags::BODY, |exchange, child| {
            let body = vec![b'x'; 150 << 10];
            std::thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    let mut buf = vec![0; 1 << 20];
                    let mut count = 0;
                    while count < body.len() {
                        count += exchange.read(&mut buf).unwrap();
                    }
                    assert_eq!(exchange.read(&mut buf), Ok(10));
                    assert_eq!(exchange.read(&mut buf), Ok(0));
                });
                assert_eq!(child.read(), ["Want(262144)"]);
                child.say(&[Frame::Piece { flow: Flow::More, bytes: &body }]);
                // As much as has come is asked for again.
                assert_eq!(child.read(), ["Want(153600)"]);
                child.say(&[Frame::Piece { flow: Flow::End, bytes: &body[..10] }]);
                reader.join().unwrap();
            });
        });
    }

    #[test]
    fn without_a_body_nothing_is_asked_for() {
        with(0, |exchange, _child| assert_eq!(exchange.read(&mut [0; 8]), Ok(0)));
    }

    #[test]
    fn what_the_child_says_of_the_body_stays_true() {
        with(flags::BODY | flags::BODY_FOLLOWS, |exchange, child| {
            child.say(&[
                Frame::Piece { flow: Flow::More, bytes: b"abc" },
                Frame::InputFailed(ReadError::Failed("no".to_owned())),
            ]);
            let mut buf = [0; 8];
            assert_eq!(exchange.read(&mut buf), Ok(3));
            for _ in 0..2 {
                assert_eq!(exchange.read(&mut buf), Err(ReadError::Failed("no".to_owned())));
            }
            assert!(!exchange.finish(Outcome::Status(500)), "the connection is of no more use");
        });
    }

    #[test]
    fn a_cut_is_seen_before_a_block_is_sent() {
        with(0, |exchange, child| {
            exchange.start(&head()).unwrap();
            exchange.write(b"one", Flow::Flush).unwrap();
            child.say(&[Frame::Cut(WriteError::ClientGone)]);
            assert_eq!(exchange.write(b"two", Flow::Flush), Err(WriteError::ClientGone));
            assert!(exchange.is_client_gone());
            assert!(!exchange.finish(Outcome::Complete));
            assert_eq!(child.read(), ["head", "Flush 3", "Done(Complete)"]);
        });
    }

    #[test]
    fn a_cut_behind_an_unread_body_is_seen() {
        with(flags::BODY | flags::BODY_FOLLOWS, |exchange, child| {
            child.say(&[Frame::Piece { flow: Flow::End, bytes: b"unread" }, Frame::Cut(WriteError::Answered)]);
            exchange.start(&head()).unwrap();
            assert_eq!(exchange.write(b"one", Flow::Flush), Err(WriteError::Answered));
        });
    }

    #[test]
    fn a_long_block_goes_in_pieces() {
        with(0, |exchange, child| {
            let block = vec![b'x'; PIECE_LIMIT * 2 + 1];
            std::thread::scope(|scope| {
                let writer = scope.spawn(|| {
                    exchange.start(&head()).unwrap();
                    exchange.write(&block, Flow::End).unwrap();
                });
                let mut seen = Vec::new();
                while seen.len() < 4 {
                    seen.extend(child.read());
                }
                assert_eq!(seen, ["head", "More 262144", "More 262144", "End 1"]);
                writer.join().unwrap();
            });
        });
    }

    #[test]
    fn a_frame_that_has_no_place_in_a_request_spoils_the_connection() {
        with(0, |exchange, child| {
            child.say(&[Frame::Want(1)]);
            assert!(exchange.is_client_gone());
            assert!(exchange.fault().is_some());
            assert!(!exchange.finish(Outcome::Complete));
        });
    }

    #[test]
    fn a_file_that_has_become_shorter_is_a_failure() {
        with(0, |exchange, _child| {
            let file = std::fs::File::open("/dev/null").unwrap();
            exchange.start(&head()).unwrap();
            assert!(matches!(exchange.send_file(file.as_fd(), 0, 5), Err(WriteError::Failed(_))));
            assert!(exchange.send_file(file.as_fd(), 0, 0).is_ok());
        });
    }
}
