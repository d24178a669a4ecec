//! A client whose other end is the test's.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;
use std::time::Duration;

use gateway::{Answer, Flow, Level, ReadError, WriteError};

use super::site::LONG;
use crate::front::daemon::client::{Client, HeadError};

/// A client over TCP, whose other end is the test's.
pub(super) struct FakeClient {
    pub(super) socket: TcpStream,
    pub(super) grace: Duration,
    pub(super) body: Vec<Vec<u8>>,
    /// Where `body` comes from once it is empty.
    pub(super) is_streaming: bool,
    pub(super) received: Vec<u8>,
    pub(super) pieces: Vec<(usize, Flow)>,
    pub(super) fails_to_write: bool,
    pub(super) lines: Mutex<Vec<String>>,
    pub(super) has_ended: bool,
    pub(super) answer: Option<Answer>,
}

pub(super) fn client() -> (FakeClient, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("the kernel gives a port");
    let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("listening");
    let socket = listener.accept().expect("connected").0;
    socket.set_nonblocking(true).expect("a socket");
    let client = FakeClient {
        socket,
        grace: Duration::ZERO,
        body: Vec::new(),
        is_streaming: false,
        received: Vec::new(),
        pieces: Vec::new(),
        fails_to_write: false,
        lines: Mutex::default(),
        has_ended: false,
        answer: None,
    };
    (client, theirs)
}

impl Client for FakeClient {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn is_gone(&self) -> bool {
        false
    }

    fn patience(&self) -> Duration {
        LONG
    }

    fn grace(&self) -> Duration {
        self.grace
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, ReadError> {
        if self.is_streaming {
            return match self.socket.read(buf) {
                Ok(count) => {
                    self.has_ended = count == 0;
                    Ok(Some(count))
                }
                Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
                Err(_) => Err(ReadError::ClientGone),
            };
        }
        let part = if self.body.is_empty() { Vec::new() } else { self.body.remove(0) };
        assert!(part.len() <= buf.len(), "the test sends short parts");
        buf[..part.len()].copy_from_slice(&part);
        self.has_ended = self.body.is_empty();
        Ok(Some(part.len()))
    }

    fn is_read(&self) -> bool {
        self.has_ended
    }

    fn start(&mut self, _head: &[u8]) -> Result<(), HeadError> {
        Ok(())
    }

    fn write(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError> {
        if self.fails_to_write {
            return Err(WriteError::ClientGone);
        }
        self.received.extend_from_slice(piece);
        self.pieces.push((piece.len(), flow));
        Ok(())
    }

    fn variable(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        name.strip_prefix(b"SSL_").map(<[u8]>::to_vec)
    }

    fn answer(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    fn log(&self, level: Level, line: &[u8]) {
        if level != Level::Debug {
            self.lines.lock().expect("one thread").push(String::from_utf8_lossy(line).into_owned());
        }
    }
}
