//! What goes out on a connection: whole frames in order, with log lines of any thread between them.
//!
//! A log line never waits for the peer. It is kept until the next write if it cannot go at once, and whatever of
//! it has gone already, its rest is the next thing to go; so no frame is ever torn. What a broken connection did not
//! take can be had back, to be logged elsewhere.

use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use gateway::Level;
use wire::{Frame, Inbox};

use super::stream::Stream;

/// Most bytes of log lines that wait on one connection.
const LINES_LIMIT: usize = 1 << 20;

/// The sending side of a connection, apart from its socket.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Held by whoever is sending.
    turn: Mutex<()>,
    /// What goes before everything else. Held for moments only, never while waiting.
    ahead: Mutex<Ahead>,
}

/// Frames of log lines.
#[derive(Debug, Default)]
struct Ahead {
    frames: Vec<u8>,
    /// So much of the first frame has gone.
    begun: usize,
    /// Nothing will ever go any more.
    is_broken: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Bytes and their order are right at every moment, whoever panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox {
    /// Sends a log line at once if that needs no wait, else before the next frame; false if too many wait already, or
    /// the connection is broken.
    pub(crate) fn log(&self, stream: &Stream, level: Level, line: &[u8]) -> bool {
        {
            let mut ahead = lock(&self.ahead);
            if ahead.is_broken || ahead.frames.len() + line.len() > LINES_LIMIT {
                return false;
            }
            Frame::Log { level, line }.put(&mut ahead.frames);
        }
        match self.turn.try_lock() {
            Ok(_turn) => self.push(stream),
            Err(TryLockError::Poisoned(_)) => self.push(stream),
            // Whoever is sending looks again when it has done.
            Err(TryLockError::WouldBlock) => {}
        }
        true
    }

    /// Sends whole frames, waiting as long as the stream allows; `on_input` is called when something has come in
    /// meanwhile, and says whether it wants to hear of more.
    ///
    /// # Errors
    /// Those of [`Stream::send`] and [`Stream::wait`]; the connection is of no use after one.
    pub(crate) fn write(
        &self,
        stream: &Stream,
        frames: &[&[u8]],
        on_input: &mut dyn FnMut() -> bool,
    ) -> io::Result<()> {
        let _turn = lock(&self.turn);
        let (ahead, begun) = lock(&self.ahead).take();
        let mut gone = begun;
        let sent = send_all(stream, &ahead[begun..], frames, on_input, &mut gone);
        if sent.is_err() {
            lock(&self.ahead).give_back(ahead, gone);
            return sent;
        }
        self.push(stream);
        Ok(())
    }

    /// Sends what waits, as far as it goes. The turn is the caller's.
    fn push(&self, stream: &Stream) {
        let mut ahead = lock(&self.ahead);
        if ahead.frames.is_empty() {
            return;
        }
        match stream.send(&[IoSlice::new(&ahead.frames[ahead.begun..])]) {
            Ok(Some(count)) => ahead.advance(count),
            Ok(None) => {}
            Err(_) => ahead.is_broken = true,
        }
    }

    /// The lines that a broken connection did not take, whole and in their order; none of one that is sound.
    pub(crate) fn undelivered(&self) -> Vec<(Level, Vec<u8>)> {
        let mut ahead = lock(&self.ahead);
        if !ahead.is_broken {
            return Vec::new();
        }
        let (frames, _) = ahead.take();
        lines(&frames)
    }
}

/// Sends what is ahead and then the frames; `gone` counts what has gone.
fn send_all(
    stream: &Stream,
    ahead: &[u8],
    frames: &[&[u8]],
    on_input: &mut dyn FnMut() -> bool,
    gone: &mut usize,
) -> io::Result<()> {
    let mut parts: Vec<IoSlice<'_>> = Vec::with_capacity(frames.len() + 1);
    parts.extend([ahead].iter().chain(frames).filter(|part| !part.is_empty()).map(|part| IoSlice::new(part)));
    let mut rest = &mut parts[..];
    let mut wants_input = true;
    while !rest.is_empty() {
        match stream.send(rest)? {
            Some(count) => {
                *gone += count;
                IoSlice::advance_slices(&mut rest, count);
            }
            None => {
                if stream.wait(wants_input, true)? {
                    wants_input = on_input();
                }
            }
        }
    }
    Ok(())
}

impl Ahead {
    fn take(&mut self) -> (Vec<u8>, usize) {
        (std::mem::take(&mut self.frames), std::mem::take(&mut self.begun))
    }

    /// So much of them has gone; what came since comes after what is left.
    fn give_back(&mut self, mut frames: Vec<u8>, gone: usize) {
        let since = std::mem::take(&mut self.frames);
        (self.begun, self.is_broken) = (0, true);
        if gone < frames.len() {
            frames.drain(..whole_frames(&frames, gone));
            self.frames = frames;
        }
        self.frames.extend_from_slice(&since);
    }

    fn advance(&mut self, count: usize) {
        let gone = self.begun + count;
        let whole = whole_frames(&self.frames, gone);
        self.frames.drain(..whole);
        self.begun = gone - whole;
    }
}

/// How many of the first `gone` bytes are whole frames.
fn whole_frames(frames: &[u8], gone: usize) -> usize {
    let mut whole = 0;
    while let Some(length) = frames[whole..].first_chunk().map(|length| u32::from_le_bytes(*length) as usize) {
        if whole + length > gone {
            break;
        }
        whole += length;
    }
    whole
}

fn lines(frames: &[u8]) -> Vec<(Level, Vec<u8>)> {
    let mut inbox = Inbox::default();
    let mut lines = Vec::new();
    for part in frames.chunks(16 << 10) {
        inbox.room()[..part.len()].copy_from_slice(part);
        inbox.received(part.len());
        while let Ok(Some(frame)) = inbox.next_frame() {
            if let Frame::Log { level, line } = frame {
                lines.push((level, line.to_vec()));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Stream, UnixStream) {
        let (one, other) = UnixStream::pair().unwrap();
        (Stream::new(one.into(), None), other)
    }

    fn never() -> impl FnMut() -> bool {
        || false
    }

    /// Reads frames until so many pieces have come; all that came, in short.
    fn read_pieces(peer: &UnixStream, count: usize) -> Vec<String> {
        let (mut inbox, mut seen, mut pieces) = (Inbox::default(), Vec::new(), 0);
        while pieces < count {
            let got = nix::sys::socket::recv(peer.as_raw_fd(), inbox.room(), nix::sys::socket::MsgFlags::empty());
            inbox.received(got.unwrap());
            while let Some(frame) = inbox.next_frame().unwrap() {
                match frame {
                    Frame::Log { line, .. } => seen.push(String::from_utf8_lossy(line).into_owned()),
                    Frame::Piece { bytes, .. } => {
                        pieces += 1;
                        seen.push(format!("piece {}", bytes.len()));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        seen
    }

    fn piece(length: usize) -> Vec<u8> {
        let mut frame = Vec::new();
        Frame::Piece { flow: gateway::Flow::More, bytes: &vec![b'x'; length] }.put(&mut frame);
        frame
    }

    #[test]
    fn a_line_goes_at_once() {
        let (stream, peer) = pair();
        let outbox = Outbox::default();
        assert!(outbox.log(&stream, Level::Error, b"hello"));
        outbox.write(&stream, &[&piece(1)], &mut never()).unwrap();
        assert_eq!(read_pieces(&peer, 1), ["hello", "piece 1"]);
    }

    #[test]
    fn lines_that_the_peer_does_not_take_wait_and_tear_no_frame() {
        let (stream, peer) = pair();
        let outbox = Outbox::default();
        let line = vec![b'l'; 60_000];
        for _ in 0..16 {
            assert!(outbox.log(&stream, Level::Error, &line), "within the limit");
        }
        let reader = std::thread::spawn(move || read_pieces(&peer, 1));
        outbox.write(&stream, &[&piece(100_000)], &mut never()).unwrap();
        let seen = reader.join().unwrap();
        assert_eq!(seen.len(), 17);
        assert_eq!(seen[16], "piece 100000");
        assert!(seen[..16].iter().all(|seen| seen.len() == 60_000));
    }

    #[test]
    fn lines_over_the_limit_are_refused() {
        let (stream, _peer) = pair();
        let outbox = Outbox::default();
        let line = vec![b'l'; 60_000];
        assert!((0..100).any(|_| !outbox.log(&stream, Level::Error, &line)));
        assert!(lock(&outbox.ahead).frames.len() <= LINES_LIMIT + 16);
    }

    #[test]
    fn a_line_that_comes_during_a_write_follows_it() {
        let (stream, peer) = pair();
        let outbox = Outbox::default();
        let big = piece(250_000);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| outbox.write(&stream, &[&big, &big, &big, &big], &mut never()).unwrap());
            while outbox.turn.try_lock().is_ok() {
                std::thread::yield_now();
            }
            assert!(outbox.log(&stream, Level::Error, b"meanwhile"));
            let reader = scope.spawn(|| read_pieces(&peer, 5));
            writer.join().unwrap();
            outbox.write(&stream, &[&piece(1)], &mut never()).unwrap();
            let seen = reader.join().unwrap();
            assert_eq!(seen[..4], ["piece 250000"; 4]);
            assert_eq!(seen[4..], ["meanwhile", "piece 1"]);
        });
    }

    #[test]
    fn lines_that_a_broken_connection_did_not_take_are_given_back_whole() {
        let (stream, peer) = pair();
        let outbox = Outbox::default();
        let line = |number: u8| vec![number; 60_000];
        for number in 0..10 {
            assert!(outbox.log(&stream, Level::Error, &line(number)));
        }
        assert!(outbox.undelivered().is_empty(), "it is not broken yet");
        drop(peer);
        assert!(outbox.write(&stream, &[&piece(1)], &mut never()).is_err());
        let undelivered = outbox.undelivered();
        assert!(undelivered.len() >= 5, "a socket takes a few of them");
        let first = 10 - undelivered.len() as u8;
        for (number, (level, text)) in (first..).zip(&undelivered) {
            assert_eq!((*level, text), (Level::Error, &line(number)));
        }
        assert!(!outbox.log(&stream, Level::Error, b"late"));
        assert!(outbox.undelivered().is_empty());
    }

    #[test]
    fn a_line_finds_out_by_itself_that_the_connection_is_broken() {
        let (stream, peer) = pair();
        let outbox = Outbox::default();
        drop(peer);
        assert!(outbox.log(&stream, Level::Error, b"first"));
        assert_eq!(outbox.undelivered(), [(Level::Error, b"first".to_vec())]);
    }
}
