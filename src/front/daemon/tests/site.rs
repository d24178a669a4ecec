//! A group whose workers are threads of the test: real sockets and a real scoreboard.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use gateway::{Flow, Outcome};
use wire::control::{Pool, seat_socket};
use wire::{Frame, Inbox, Scoreboard, SeatState, Welcome};

use super::fake_client::FakeClient;
use crate::front::daemon::dispatch::{End, Order, deliver};
use crate::front::daemon::failure::Failure;
use crate::front::daemon::group::{Group, Terms};
use crate::front::daemon::relay::Message;
use crate::front::daemon::scratch::Scratch;

pub(super) const SECRET: [u8; 32] = [7; 32];
pub(super) const REPLY: [u8; 32] = [8; 32];
pub(super) const LONG: Duration = Duration::from_secs(60);

/// A group whose sockets are in a scratch directory.
pub(super) struct Site {
    pub(super) scratch: Scratch,
    pub(super) board: Scoreboard,
    pub(super) group: Group,
}

impl Site {
    pub(super) fn new(change: impl FnOnce(&mut Terms)) -> Site {
        let scratch = Scratch::new();
        let file = Scoreboard::create(4).expect("memory");
        let board = Scoreboard::map(&file).expect("just made");
        let mut terms = Terms {
            name: b"site".to_vec(),
            id: 1,
            secret: SECRET,
            reply: REPLY,
            socket_directory: scratch.path().to_path_buf(),
            scoreboard: Arc::new(Scoreboard::map(&file).expect("mapped")),
            supervisor_uid: std::fs::metadata(scratch.path()).expect("just made").uid(),
            connect_timeout: LONG,
            socket_timeout: LONG,
            response_socket_timeout: Duration::ZERO,
            header_buffer_size: 32768,
            response_buffer_size: 0,
            response_flush_delay: Duration::ZERO,
            is_service: false,
            processes: 2,
            threads: 15,
            script_owner: None,
        };
        change(&mut terms);
        Site { scratch, board, group: Group::new(terms) }
    }

    /// A site with the pool of application group "" known: all seats.
    pub(super) fn with_pool() -> Site {
        let site = Site::new(|_| {});
        site.learn();
        site
    }

    pub(super) fn learn(&self) {
        let presence = self.group.presence();
        assert!(presence.learn(b"", &Pool { first: 0, count: 4 }));
    }

    pub(super) fn seat(&self, number: u32, state: SeatState, generation: u32) -> Worker<'_> {
        let seat = self.board.seat(number).expect("one of four");
        seat.generation.store(generation, std::sync::atomic::Ordering::Release);
        seat.incarnation.store(1, std::sync::atomic::Ordering::Release);
        let listener = UnixListener::bind(self.scratch.path().join(seat_socket(1, number))).expect("a free name");
        seat.set_state(state);
        Worker { site: self, number, listener }
    }

    pub(super) fn deliver(&self, client: &mut FakeClient, message: Message<'_>) -> Result<End, Failure> {
        deliver(&self.group, client, Order { application_group: b"", is_open: false, message })
    }

    pub(super) fn get(&self, client: &mut FakeClient) -> Result<End, Failure> {
        self.deliver(client, GET)
    }
}

pub(super) const HEAD: &[u8] = &[8, 0, 0, 0, 1, 0, 0, 0];
pub(super) const GET: Message<'static> =
    Message { head: HEAD, has_body: false, early: b"", is_early_whole: false, is_question: false, time_limit: None };
pub(super) const POST: Message<'static> = Message { has_body: true, ..GET };

/// A response head without headers.
pub(super) fn response() -> Vec<u8> {
    let mut block = Vec::new();
    wire::ResponseWriter::begin(&mut block, 200, b"").finish().expect("short");
    block
}

/// The socket of a seat, and what a worker would do with it.
pub(super) struct Worker<'a> {
    pub(super) site: &'a Site,
    pub(super) number: u32,
    pub(super) listener: UnixListener,
}

impl Worker<'_> {
    /// Takes a connection and says welcome.
    pub(super) fn accept(&self) -> Conversant {
        let mut peer = self.accept_silently();
        let frame = Frame::Welcome(Welcome { secret: REPLY, pid: 1, incarnation: 1, cell: self.number });
        self.site.board.seat(self.number).expect("one of four").open_cell(self.number, 1);
        peer.send(&[frame]);
        peer
    }

    pub(super) fn accept_silently(&self) -> Conversant {
        let mut peer = Conversant { socket: self.listener.accept().expect("a child").0, inbox: Inbox::default() };
        peer.next(|frame| assert_eq!(frame, Frame::Hello(wire::Hello { secret: SECRET })));
        peer
    }

    pub(super) fn begin(&self) {
        self.site.board.seat(self.number).expect("one of four").count_begun(self.number);
    }
}

/// A worker's end of a connection.
pub(super) struct Conversant {
    pub(super) socket: UnixStream,
    pub(super) inbox: Inbox,
}

impl Conversant {
    pub(super) fn next<R>(&mut self, look: impl FnOnce(Frame<'_>) -> R) -> R {
        while !self.inbox.has_frame() {
            let count = self.socket.read(self.inbox.room()).expect("connected");
            assert!(count > 0, "the child closed the connection");
            self.inbox.received(count);
        }
        look(self.inbox.next_frame().expect("sound").expect("whole"))
    }

    pub(super) fn is_closed(&mut self) -> bool {
        self.socket.set_nonblocking(true).expect("a socket");
        matches!(self.socket.read(&mut [0]), Ok(0))
    }

    pub(super) fn send(&mut self, frames: &[Frame<'_>]) {
        let mut buf = Vec::new();
        frames.iter().for_each(|frame| frame.put(&mut buf));
        self.socket.write_all(&buf).expect("connected");
    }

    pub(super) fn answer(&mut self, body: &[u8]) {
        let piece = Frame::Piece { flow: Flow::End, bytes: body };
        self.send(&[Frame::Response(&response()), piece, Frame::Done(Outcome::Complete)]);
    }

    pub(super) fn takes_request(&mut self) {
        self.next(|frame| assert_eq!(frame, Frame::Request(HEAD)));
    }

    pub(super) fn takes_request_and_dies(mut self, worker: &Worker<'_>) {
        self.takes_request();
        worker.begin();
    }
}

pub(super) const COMPLETE: End = End::Done(Outcome::Complete);

#[track_caller]
pub(super) fn completes(result: Result<End, Failure>) {
    assert_eq!(result.expect("no failure"), COMPLETE);
}
