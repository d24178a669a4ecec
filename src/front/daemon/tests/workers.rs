//! Which worker gets a request, and which the next.

use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use gateway::{Flow, Level};
use nix::sys::socket::{Backlog, listen};
use wire::control::seat_socket;
use wire::{Frame, Refusal, SeatState};

use super::fake_client::client;
use super::site::{LONG, Site, completes};
use crate::front::daemon::failure::Failure;

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
fn how_a_process_ended_is_waited_for_and_told() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            worker.accept().takes_request_and_dies(&worker);
            // The supervisor is never as fast as the kernel, which closes the connection.
            thread::sleep(Duration::from_millis(50));
            let seat = site.board.seat(0).expect("there is one");
            seat.write_end(&wire::End {
                incarnation: seat.incarnation.load(std::sync::atomic::Ordering::Relaxed),
                pid: 77,
                ending: wire::ending::Ending::Exit(3),
                age: Duration::from_secs(9),
                begun: 4,
                ended_us: 1,
                was_killed: false,
                limits: wire::ending::Limits::default(),
                reason: "request_timeout".to_owned(),
            });
        });
        let (mut client, _theirs) = client();
        let text = site.get(&mut client).expect_err("the worker died").to_string();
        let told = "process 77 has ended: request_timeout (exit status 3); it was 9 s old and had begun 4 requests";
        assert!(text.ends_with(told), "{text}");
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
    assert!(matches!(site.get(&mut client().0), Err(Failure::NotStarted(_))));
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
