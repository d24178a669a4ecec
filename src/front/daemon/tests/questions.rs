//! Questions, which have an answer and no response.

use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use gateway::{Answer, Flow, Level, Outcome};
use wire::{Frame, SeatState};

use super::fake_client::client;
use super::site::{GET, LONG, Site, completes, response};
use crate::front::daemon::dispatch::End;
use crate::front::daemon::failure::Failure;
use crate::front::daemon::relay::Message;

const QUESTION: Message<'static> = Message { is_question: true, ..GET };

fn within(limit: Duration) -> Message<'static> {
    Message { time_limit: Some((Instant::now() + limit, limit)), ..QUESTION }
}

fn answer(answer: &Answer) -> Vec<u8> {
    let mut block = Vec::new();
    wire::write_answer(answer, &mut block).expect("short");
    block
}

#[test]
fn a_question_has_an_answer_and_its_connection_is_kept() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            for verdict in [Answer::No, Answer::Text(b"me".to_vec())] {
                peer.takes_request();
                worker.begin();
                let line = Frame::Log { level: Level::Error, line: b"asked" };
                peer.send(&[line, Frame::Answer(&answer(&verdict)), Frame::Done(Outcome::Complete)]);
            }
        });
        for verdict in [Answer::No, Answer::Text(b"me".to_vec())] {
            let (mut client, _theirs) = client();
            completes(site.deliver(&mut client, QUESTION));
            assert_eq!(client.answer, Some(verdict));
            assert_eq!(*client.lines.lock().expect("one thread"), ["asked"]);
        }
    });
}

#[test]
fn a_question_may_look_variables_up() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            for (name, value) in [(&b"SSL_A"[..], Some(&b"A"[..])), (b"OTHER", None)] {
                peer.send(&[Frame::Lookup(name)]);
                peer.next(|frame| assert_eq!(frame, Frame::Found(value)));
            }
            peer.send(&[Frame::Answer(&answer(&Answer::Yes)), Frame::Done(Outcome::Complete)]);
        });
        let (mut client, _theirs) = client();
        completes(site.deliver(&mut client, QUESTION));
        assert_eq!(client.answer, Some(Answer::Yes));
    });
}

#[test]
fn what_is_no_answer_to_a_question_is_none() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    let no_answer = answer(&Answer::Yes)[..11].to_vec();
    let frames: [&[Frame<'_>]; 3] = [
        &[Frame::Response(&response())],
        &[Frame::Piece { flow: Flow::End, bytes: b"yes" }],
        &[Frame::Found(Some(b"x"))],
    ];
    for frames in frames {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut peer = worker.accept();
                peer.takes_request();
                worker.begin();
                peer.send(frames);
                peer
            });
            let (mut client, _theirs) = client();
            let failure = site.deliver(&mut client, QUESTION).expect_err("no answer");
            assert!(matches!(failure, Failure::Malformed(_)), "{failure}");
            assert_eq!(client.answer, None);
        });
    }
    assert!(wire::parse_answer(&no_answer).is_err());
}

#[test]
fn a_question_that_ends_without_an_answer_is_incomplete() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            peer.send(&[Frame::Done(Outcome::Complete)]);
        });
        let (mut client, _theirs) = client();
        let end = site.deliver(&mut client, QUESTION).expect("no failure");
        assert_eq!((end, client.answer), (End::Done(Outcome::Incomplete), None));
    });
}

#[test]
fn an_answer_to_a_request_is_no_response() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            peer.send(&[Frame::Answer(&answer(&Answer::Yes))]);
            peer
        });
        let failure = site.get(&mut client().0).expect_err("no response");
        assert!(matches!(failure, Failure::Malformed(_)), "{failure}");
    });
}

#[test]
fn a_question_is_given_up_after_its_time() {
    let site = Site::with_pool();
    let worker = site.seat(0, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = worker.accept();
            peer.takes_request();
            worker.begin();
            // Says something, and never what it was asked.
            peer.send(&[Frame::Log { level: Level::Error, line: b"thinking" }]);
            let mut rest = Vec::new();
            peer.socket.read_to_end(&mut rest).expect("closed");
        });
        let failure = site.deliver(&mut client().0, within(Duration::from_millis(50))).expect_err("no answer");
        assert!(matches!(failure, Failure::Late(_)), "{failure}");
    });
}

#[test]
fn the_time_of_a_question_is_for_looking_for_a_worker_too() {
    let site = Site::with_pool();
    let began = Instant::now();
    let failure = site.deliver(&mut client().0, within(Duration::from_millis(30))).expect_err("no worker");
    assert!(matches!(failure, Failure::Late(_)), "{failure}");
    assert!(began.elapsed() < LONG / 2);
}
