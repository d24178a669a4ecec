//! Clients that leave, or end their direction.

use std::net::Shutdown;
use std::thread;

use gateway::{Flow, Level, Outcome, WriteError};
use wire::{Frame, SeatState};

use super::fake_client::client;
use super::site::{LONG, Site, completes, response};
use crate::front::daemon::dispatch::End;
use crate::front::daemon::failure::Failure;

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
        let (mut next, _theirs) = super::fake_client::client();
        completes(site.get(&mut next));
        assert_eq!(next.received, b"next");
    });
}
