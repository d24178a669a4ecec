//! The body of a request, and that of its response.

use std::io::Write;
use std::thread;

use gateway::{Flow, Outcome};
use wire::{Frame, SeatState};

use super::fake_client::client;
use super::site::{POST, Site, completes, response};
use crate::front::daemon::dispatch::End;
use crate::front::daemon::relay::Message;

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
