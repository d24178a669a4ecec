//! The desk, which says where the workers are.

use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use nix::sys::socket::{Backlog, listen};
use wire::control::{FromDesk, NoPool, Pool, Text, ToDesk, desk_socket};
use wire::{Channel, SeatState};

use super::fake_client::client;
use super::site::{SECRET, Site, completes};
use crate::front::daemon::failure::Failure;

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
fn connections_to_seats_that_a_pool_has_left_are_closed() {
    let site = Site::new(|_| {});
    assert!(site.group.presence().learn(b"", &Pool { first: 0, count: 2 }));
    let old = site.seat(0, SeatState::Serving, 1);
    let mut peer = thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut peer = old.accept();
            peer.takes_request();
            peer.answer(b"ok");
            peer
        });
        completes(site.get(&mut client().0));
        serving.join().expect("served")
    });
    assert!(!peer.is_closed(), "kept for the next request");
    site.board.seat(0).expect("there").set_state(SeatState::Empty);
    let desk = answer_question(&site, FromDesk::Pool(Pool { first: 2, count: 2 }));
    let new = site.seat(3, SeatState::Serving, 1);
    thread::scope(|scope| {
        scope.spawn(desk);
        scope.spawn(|| {
            let mut peer = new.accept();
            peer.takes_request();
            peer.answer(b"ok");
        });
        completes(site.get(&mut client().0));
    });
    assert!(peer.is_closed());
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

#[test]
fn a_supervisor_that_is_not_there_is_waited_for_no_longer_than_connect_timeout() {
    let site = Site::new(|terms| terms.connect_timeout = Duration::from_millis(20));
    let failure = site.get(&mut client().0).expect_err("no desk");
    assert!(matches!(failure, Failure::Unreachable(..)), "{failure}");
}
