//! What goes out on a connection: whole frames in order, with log lines of any thread between them.
//!
//! A log line never waits for the peer. It is kept until the next write if it cannot go at once, and whatever of
//! it has gone already, its rest is the next thing to go; so no frame is ever torn.

use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use gateway::Level;
use wire::Frame;

use super::stream::Stream;

/// Most bytes of log lines that wait on one connection.
const LINES_LIMIT: usize = 1 << 20;

/// The sending side of a connection, apart from its socket.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Held by whoever is sending.
    turn: Mutex<()>,
    /// What goes before everything else. Held for moments only, never while waiting.
    ahead: Mutex<Vec<u8>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Bytes and their order are right at every moment, whoever panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox {
    /// Sends a log line at once if that needs no wait, else before the next frame; false if too many wait already.
    pub(crate) fn log(&self, stream: &Stream, level: Level, line: &[u8]) -> bool {
        {
            let mut ahead = lock(&self.ahead);
            if ahead.len() + line.len() > LINES_LIMIT {
                return false;
            }
            Frame::Log { level, line }.put(&mut ahead);
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
        let ahead = std::mem::take(&mut *lock(&self.ahead));
        let mut parts: Vec<IoSlice<'_>> = Vec::with_capacity(frames.len() + 1);
        parts.extend([&ahead[..]].iter().chain(frames).filter(|part| !part.is_empty()).map(|part| IoSlice::new(part)));
        let mut rest = &mut parts[..];
        let mut wants_input = true;
        while !rest.is_empty() {
            match stream.send(rest)? {
                Some(count) => IoSlice::advance_slices(&mut rest, count),
                None => {
                    if stream.wait(wants_input, true)? {
                        wants_input = on_input();
                    }
                }
            }
        }
        self.push(stream);
        Ok(())
    }

    /// Sends what waits, as far as it goes. The turn is the caller's.
    fn push(&self, stream: &Stream) {
        let mut ahead = lock(&self.ahead);
        if ahead.is_empty() {
            return;
        }
        // A broken connection is for the next write to find out.
        if let Ok(Some(count)) = stream.send(&[IoSlice::new(&ahead)]) {
            ahead.drain(..count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use wire::Inbox;

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
        assert!(lock(&outbox.ahead).len() <= LINES_LIMIT + 16);
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
            assert_eq!(read_pieces(&peer, 4), ["piece 250000"; 4]);
            writer.join().unwrap();
            outbox.write(&stream, &[&piece(1)], &mut never()).unwrap();
            assert_eq!(read_pieces(&peer, 1), ["meanwhile", "piece 1"]);
        });
    }
}
