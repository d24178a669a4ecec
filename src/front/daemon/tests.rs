//! Requests through fake workers: real sockets and a real scoreboard, no httpd and no Python.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use gateway::{Flow, Level, Outcome, ReadError, WriteError};
use nix::sys::socket::{Backlog, listen};
use wire::control::{FromDesk, NoPool, Pool, Text, ToDesk, desk_socket, seat_socket};
use wire::{Channel, Frame, Inbox, Refusal, Scoreboard, SeatState, Welcome};

use super::client::{Client, HeadError};
use super::dispatch::{End, Order, deliver};
use super::failure::Failure;
use super::group::{Group, Terms};
use super::relay::Message;
use super::scratch::Scratch;

const SECRET: [u8; 32] = [7; 32];
const REPLY: [u8; 32] = [8; 32];
const LONG: Duration = Duration::from_secs(60);

/// A group whose sockets are in a scratch directory.
struct Site {
    scratch: Scratch,
    board: Scoreboard,
    group: Group,
}

impl Site {
    fn new(change: impl FnOnce(&mut Terms)) -> Site {
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
    fn with_pool() -> Site {
        let site = Site::new(|_| {});
        site.learn();
        site
    }

    fn learn(&self) {
        let presence = self.group.presence();
        assert!(presence.learn(b"", &Pool { first: 0, count: 4 }));
    }

    fn seat(&self, number: u32, state: SeatState, generation: u32) -> Worker<'_> {
        let seat = self.board.seat(number).expect("one of four");
        seat.generation.store(generation, std::sync::atomic::Ordering::Release);
        seat.incarnation.store(1, std::sync::atomic::Ordering::Release);
        let listener = UnixListener::bind(self.scratch.path().join(seat_socket(1, number))).expect("a free name");
        seat.set_state(state);
        Worker { site: self, number, listener }
    }

    fn deliver(&self, client: &mut FakeClient, message: Message<'_>) -> Result<End, Failure> {
        deliver(&self.group, client, Order { application_group: b"", is_open: false, message })
    }

    fn get(&self, client: &mut FakeClient) -> Result<End, Failure> {
        self.deliver(client, GET)
    }
}

const HEAD: &[u8] = &[8, 0, 0, 0, 1, 0, 0, 0];
const GET: Message<'static> = Message { head: HEAD, has_body: false, early: b"", is_early_whole: false };
const POST: Message<'static> = Message { has_body: true, ..GET };

/// A response head without headers.
fn response() -> Vec<u8> {
    let mut block = Vec::new();
    wire::ResponseWriter::begin(&mut block, 200, b"").finish().expect("short");
    block
}

/// The socket of a seat, and what a worker would do with it.
struct Worker<'a> {
    site: &'a Site,
    number: u32,
    listener: UnixListener,
}

impl Worker<'_> {
    /// Takes a connection and says welcome.
    fn accept(&self) -> Conversant {
        let mut peer = self.accept_silently();
        let frame = Frame::Welcome(Welcome { secret: REPLY, pid: 1, incarnation: 1, cell: self.number });
        self.site.board.seat(self.number).expect("one of four").open_cell(self.number, 1);
        peer.send(&[frame]);
        peer
    }

    fn accept_silently(&self) -> Conversant {
        let mut peer = Conversant { socket: self.listener.accept().expect("a child").0, inbox: Inbox::default() };
        peer.next(|frame| assert_eq!(frame, Frame::Hello(wire::Hello { secret: SECRET })));
        peer
    }

    fn begin(&self) {
        self.site.board.seat(self.number).expect("one of four").count_begun(self.number);
    }
}

/// A worker's end of a connection.
struct Conversant {
    socket: UnixStream,
    inbox: Inbox,
}

impl Conversant {
    fn next<R>(&mut self, look: impl FnOnce(Frame<'_>) -> R) -> R {
        while !self.inbox.has_frame() {
            let count = self.socket.read(self.inbox.room()).expect("connected");
            assert!(count > 0, "the child closed the connection");
            self.inbox.received(count);
        }
        look(self.inbox.next_frame().expect("sound").expect("whole"))
    }

    fn send(&mut self, frames: &[Frame<'_>]) {
        let mut buf = Vec::new();
        frames.iter().for_each(|frame| frame.put(&mut buf));
        self.socket.write_all(&buf).expect("connected");
    }

    fn answer(&mut self, body: &[u8]) {
        let piece = Frame::Piece { flow: Flow::End, bytes: body };
        self.send(&[Frame::Response(&response()), piece, Frame::Done(Outcome::Complete)]);
    }

    fn takes_request(&mut self) {
        self.next(|frame| assert_eq!(frame, Frame::Request(HEAD)));
    }
}

/// A client over TCP, whose other end is the test's.
struct FakeClient {
    socket: TcpStream,
    grace: Duration,
    body: Vec<Vec<u8>>,
    /// Where `body` comes from once it is empty.
    is_streaming: bool,
    received: Vec<u8>,
    pieces: Vec<(usize, Flow)>,
    fails_to_write: bool,
    lines: Mutex<Vec<String>>,
    has_ended: bool,
}

fn client() -> (FakeClient, TcpStream) {
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

    fn log(&self, level: Level, line: &[u8]) {
        if level != Level::Debug {
            self.lines.lock().expect("one thread").push(String::from_utf8_lossy(line).into_owned());
        }
    }
}

const COMPLETE: End = End::Done(Outcome::Complete);

#[track_caller]
fn completes(result: Result<End, Failure>) {
    assert_eq!(result.expect("no failure"), COMPLETE);
}

#[test]
fn one_connection_carries_one_request_after_another() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            for body in [b"one", b"two"] {
                peer.takes_request();
                worker.begin();
                peer.send(&[Frame::Log { level: Level::Error, line: b"said" }]);
                peer.answer(body);
            }
        });
        for body in ["one", "two"] {
            let (mut client, _theirs) = client();
            completes(site.get(&mut client));
            assert_eq!(client.received, body.as_bytes());
            assert_eq!(client.pieces, [(3, Flow::End)]);
            assert_eq!(*client.lines.lock().expect("one thread"), ["said"]);
        }
    });
}

#[test]
fn a_request_that_no_worker_began_goes_to_another() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            worker.accept().takes_request();
            let mut peer = worker.accept();
            peer.takes_request();
            peer.answer(b"second");
        });
        let (mut client, _theirs) = client();
        completes(site.get(&mut client));
        assert_eq!(client.received, b"second");
    });
}

#[test]
fn a_connection_that_the_worker_closed_while_it_was_idle_costs_no_request() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    let (closed, wait) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            peer.answer(b"first");
            drop(peer);
            closed.send(()).expect("the test waits");
            let mut peer = worker.accept();
            peer.takes_request();
            peer.answer(b"second");
        });
        let (mut client_one, _theirs) = client();
        completes(site.get(&mut client_one));
        wait.recv().expect("the worker goes on");
        let (mut client_two, _theirs) = client();
        completes(site.get(&mut client_two));
        assert_eq!(client_two.received, b"second");
    });
}

#[test]
fn a_request_that_a_worker_began_is_never_sent_again() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            worker.accept().takes_request_and_dies(&worker);
        });
        let (mut client, _theirs) = client();
        let failure = site.get(&mut client).expect_err("the worker died");
        assert!(matches!(failure, Failure::Closed(_) | Failure::Broken(..)), "{failure}");
        assert_eq!(failure.status(), 502);
    });
}

impl Conversant {
    fn takes_request_and_dies(mut self, worker: &Worker<'_>) {
        self.takes_request();
        worker.begin();
    }
}

#[test]
fn a_body_is_sent_when_it_is_asked_for_and_not_beyond() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            peer.send(&[Frame::Want(3)]);
            peer.next(|frame| assert_eq!(frame, Frame::Piece { flow: Flow::More, bytes: b"abc" }));
            peer.send(&[Frame::Want(10)]);
            peer.next(|frame| assert_eq!(frame, Frame::Piece { flow: Flow::End, bytes: b"de" }));
            peer.answer(b"ok");
        });
        let (mut client, _theirs) = client();
        client.body = vec![b"abc".to_vec(), b"de".to_vec()];
        completes(site.deliver(&mut client, POST));
        assert_eq!(client.received, b"ok");
    });
}

#[test]
fn a_body_that_is_here_follows_the_head_and_goes_along_to_another_worker() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            for is_last in [false, true] {
                let mut peer = worker.accept();
                peer.takes_request();
                peer.next(|frame| assert_eq!(frame, Frame::Piece { flow: Flow::End, bytes: b"early" }));
                if is_last {
                    peer.answer(b"ok");
                }
            }
        });
        let (mut client, _theirs) = client();
        completes(site.deliver(&mut client, Message { early: b"early", is_early_whole: true, ..POST }));
    });
}

#[test]
fn part_of_a_body_that_is_here_comes_first_when_it_is_asked_for() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            peer.send(&[Frame::Want(100)]);
            peer.next(|frame| assert_eq!(frame, Frame::Piece { flow: Flow::More, bytes: b"early" }));
            peer.next(|frame| assert_eq!(frame, Frame::Piece { flow: Flow::End, bytes: b" late" }));
            peer.answer(b"ok");
        });
        let (mut client, _theirs) = client();
        client.body = vec![b" late".to_vec()];
        completes(site.deliver(&mut client, Message { early: b"early", ..POST }));
    });
}

#[test]
fn body_and_response_flow_at_the_same_time() {
    const SIZE: usize = 8 << 20;
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        // The worker sends all of its response before it reads anything of what it has asked for.
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            peer.send(&[Frame::Want(SIZE as u32), Frame::Response(&response())]);
            let block = vec![b'r'; 64 << 10];
            for _ in 0..SIZE / block.len() {
                peer.send(&[Frame::Piece { flow: Flow::Flush, bytes: &block }]);
            }
            let mut read = 0;
            while read < SIZE {
                peer.next(|frame| match frame {
                    Frame::Piece { bytes, .. } => read += bytes.len(),
                    other => panic!("{other:?}"),
                });
            }
            peer.send(&[Frame::Piece { flow: Flow::End, bytes: b"" }, Frame::Done(Outcome::Complete)]);
        });
        let (mut client, mut theirs) = client();
        client.is_streaming = true;
        scope.spawn(move || {
            theirs.write_all(&vec![b'b'; SIZE]).expect("read by the relay");
            theirs
        });
        completes(site.deliver(&mut client, POST));
        assert_eq!(client.received.len(), SIZE);
    });
}

#[test]
fn whoever_does_not_know_the_groups_secret_is_no_worker() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept_silently();
            let welcome = Frame::Welcome(Welcome { secret: [9; 32], pid: 1, incarnation: 1, cell: 0 });
            let piece = Frame::Piece { flow: Flow::End, bytes: b"forged" };
            peer.send(&[welcome, Frame::Response(&response()), piece, Frame::Done(Outcome::Complete)]);
        });
        let (mut client, _theirs) = client();
        let failure = site.get(&mut client).expect_err("an impostor");
        assert!(matches!(failure, Failure::Impostor(_)), "{failure}");
        assert!(client.received.is_empty());
    });
}

#[test]
fn a_socket_that_another_user_made_is_told_nothing() {
    let site = Site::new(|terms| terms.supervisor_uid += 1);
    site.learn();
    let _worker = site.seat(0, SeatState::Serving, 1);
    let failure = site.get(&mut client().0).expect_err("a foreign socket");
    assert!(matches!(failure, Failure::Impostor(_)), "{failure}");
}

#[test]
fn a_worker_that_says_nothing_is_given_up_after_the_socket_timeout() {
    let site = Site::new(|terms| terms.socket_timeout = Duration::from_millis(50));
    site.learn();
    let worker = site.seat(0, SeatState::Serving, 1);
    let (mut client, _theirs) = client();
    let failure = site.get(&mut client).expect_err("nobody accepts");
    assert!(matches!(failure, Failure::TimedOut(_)), "{failure}");
    assert_eq!(failure.status(), 504);
    drop(worker);
}

#[test]
fn a_client_that_leaves_takes_its_request_out_of_the_queue() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    let (mut client, theirs) = client();
    theirs.shutdown(Shutdown::Write).expect("connected");
    let failure = site.get(&mut client).expect_err("the client has left");
    assert!(matches!(failure, Failure::ClientLeft), "{failure}");
    drop(worker);
}

#[test]
fn a_client_that_leaves_while_no_worker_is_there_is_not_waited_for() {
    let site = Site::with_pool();
    let (mut client, theirs) = client();
    drop(theirs);
    assert!(matches!(site.get(&mut client), Err(Failure::ClientLeft)));
}

#[test]
fn a_worker_is_told_that_the_client_sends_no_more_and_its_answer_is_delivered_all_the_same() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    let (mut client, theirs) = client();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            theirs.shutdown(Shutdown::Write).expect("connected");
            peer.next(|frame| assert_eq!(frame, Frame::Cut(WriteError::ClientGone)));
            peer.answer(b"still read");
            theirs
        });
        completes(site.get(&mut client));
        assert_eq!(client.received, b"still read");
    });
}

#[test]
fn a_client_that_ends_its_direction_right_behind_its_request_keeps_its_place_and_gets_the_answer() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    let (mut client, theirs) = client();
    client.grace = LONG;
    theirs.shutdown(Shutdown::Write).expect("connected");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            peer.answer(b"read on");
        });
        completes(site.get(&mut client));
        assert_eq!(client.received, b"read on");
    });
}

#[test]
fn a_worker_is_told_once_that_its_response_cannot_be_delivered() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    let (mut client, _theirs) = client();
    client.fails_to_write = true;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            let piece = Frame::Piece { flow: Flow::Flush, bytes: b"x" };
            peer.send(&[Frame::Response(&response()), piece.clone()]);
            peer.next(|frame| assert_eq!(frame, Frame::Cut(WriteError::ClientGone)));
            peer.send(&[piece, Frame::Log { level: Level::Error, line: b"last words" }]);
            peer.send(&[Frame::Done(Outcome::Complete)]);
            peer.takes_request();
            worker.begin();
            peer.answer(b"next");
        });
        assert_eq!(site.get(&mut client).expect("no failure of the worker"), End::Abandoned);
        assert_eq!(*client.lines.lock().expect("one thread"), ["last words"]);
        let (mut next, _theirs) = self::client();
        completes(site.get(&mut next));
        assert_eq!(next.received, b"next");
    });
}

#[test]
fn after_a_reload_a_newer_worker_is_waited_for() {
    let site = Site::with_pool();
    let old = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = old.accept();
            peer.takes_request();
            peer.send(&[Frame::Refused(Refusal::Outdated)]);
            let new = site.seat(1, SeatState::Starting, 2);
            let mut peer = new.accept();
            peer.takes_request();
            peer.answer(b"new");
        });
        let (mut client, _theirs) = client();
        completes(site.get(&mut client));
        assert_eq!(client.received, b"new");
    });
}

#[test]
fn where_processes_could_not_be_started_the_answer_comes_at_once() {
    let site = Site::with_pool();
    let _worker = site.seat(0, SeatState::Failed, 1);
    let began = Instant::now();
    assert!(matches!(site.get(&mut client().0), Err(Failure::NotStarted)));
    assert!(began.elapsed() < LONG / 2);
}

#[test]
fn a_full_backlog_is_waited_for_no_longer_than_connect_timeout() {
    let site = Site::new(|terms| terms.connect_timeout = Duration::from_millis(20));
    site.learn();
    let worker = site.seat(0, SeatState::Serving, 1);
    listen(&worker.listener, Backlog::new(0).expect("a number that may be")).expect("a socket of ours");
    let path = site.scratch.path().join(seat_socket(1, 0));
    let _waiting = UnixStream::connect(&path).expect("room for one");
    let failure = site.get(&mut client().0).expect_err("no room");
    assert!(matches!(failure, Failure::Backlog(_)), "{failure}");
}

#[test]
fn a_supervisor_that_is_not_there_is_waited_for_no_longer_than_connect_timeout() {
    let site = Site::new(|terms| terms.connect_timeout = Duration::from_millis(20));
    let failure = site.get(&mut client().0).expect_err("no desk");
    assert!(matches!(failure, Failure::Unreachable(..)), "{failure}");
}

#[test]
fn a_response_without_its_end_is_not_taken_for_whole() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            peer.send(&[Frame::Response(&response()), Frame::Piece { flow: Flow::Flush, bytes: b"x" }]);
            peer.send(&[Frame::Done(Outcome::Complete)]);
        });
        let (mut client, _theirs) = client();
        assert_eq!(site.get(&mut client).expect("no failure"), End::Done(Outcome::Incomplete));
    });
}

#[test]
fn what_came_of_a_response_that_is_not_whole_is_flushed_before_it_is_broken_off() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            let piece = Frame::Piece { flow: Flow::More, bytes: b"x" };
            peer.send(&[Frame::Response(&response()), piece, Frame::Done(Outcome::Incomplete)]);
        });
        let (mut client, _theirs) = client();
        assert_eq!(site.get(&mut client).expect("no failure"), End::Done(Outcome::Incomplete));
        assert_eq!(client.pieces, [(1, Flow::More), (0, Flow::Flush)]);
    });
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            peer.socket.write_all(b"HTTP/1.1 200 OK\r\n").expect("connected");
        });
        let failure = site.get(&mut client().0).expect_err("no frame");
        assert!(matches!(failure, Failure::Malformed(_)), "{failure}");
    });
}

/// A desk that answers one question.
fn answer_question(site: &Site, answer: FromDesk) -> impl FnOnce() + use<> {
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
    let desk = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    let path = site.scratch.path().join(desk_socket(1));
    bind(desk.as_raw_fd(), &UnixAddr::new(&path).expect("short")).expect("a free name");
    listen(&desk, Backlog::new(5).expect("a number that may be")).expect("bound");
    // accept(2) is the same for both types, and this one gives a descriptor that owns itself.
    let desk = UnixListener::from(desk);
    move || {
        let peer = Channel::over(desk.accept().expect("a child").0.into());
        let mut buf = Vec::new();
        assert!(peer.receive(&mut buf, true).expect("connected").is_some());
        let ToDesk::Ask(ask) = ToDesk::parse(&buf).expect("a question");
        assert_eq!((ask.secret, ask.application_group), (SECRET, Text::default()));
        answer.write(&mut buf).expect("short");
        peer.send(&buf, &[]).expect("connected");
    }
}

#[test]
fn the_desk_is_asked_once_for_each_application_group() {
    let site = Site::new(|_| {});
    let desk = answer_question(&site, FromDesk::Pool(Pool { first: 1, count: 2 }));
    // Not of the pool.
    let _other = site.seat(0, SeatState::Serving, 1);
    let worker = site.seat(2, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(desk);
        scope.spawn(|| {
            let mut peer = worker.accept();
            for _ in 0..2 {
                peer.takes_request();
                worker.begin();
                peer.answer(b"ok");
            }
        });
        for _ in 0..2 {
            completes(site.get(&mut client().0));
        }
    });
}

#[test]
fn the_desk_is_asked_again_where_a_pool_has_no_processes_any_more() {
    let site = Site::new(|_| {});
    assert!(site.group.presence().learn(b"", &Pool { first: 0, count: 2 }));
    let desk = answer_question(&site, FromDesk::Pool(Pool { first: 2, count: 2 }));
    let worker = site.seat(3, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(desk);
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            peer.answer(b"ok");
        });
        completes(site.get(&mut client().0));
    });
}

#[test]
fn a_group_without_a_pool_says_why() {
    let site = Site::new(|_| {});
    let desk = answer_question(&site, FromDesk::NoPool(NoPool { reason: Text::from("too many") }));
    thread::scope(|scope| {
        scope.spawn(desk);
        let failure = site.get(&mut client().0).expect_err("no pool");
        assert!(matches!(&failure, Failure::NoPool(reason) if reason == "too many"), "{failure}");
    });
}

#[test]
fn seats_beyond_the_scoreboard_are_not_believed() {
    let site = Site::new(|_| {});
    let desk = answer_question(&site, FromDesk::Pool(Pool { first: 3, count: 2 }));
    thread::scope(|scope| {
        scope.spawn(desk);
        assert!(matches!(site.get(&mut client().0), Err(Failure::Internal(_))));
    });
}
