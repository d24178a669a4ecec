//! What listens and is no worker.

use std::io::Write;
use std::thread;
use std::time::Duration;

use gateway::{Flow, Outcome};
use wire::{Frame, SeatState, Welcome};

use super::fake_client::client;
use super::site::{Site, response};
use crate::front::daemon::failure::Failure;

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
    if site.group.terms.supervisor_uid == 1 {
        // Root's sockets are trusted (connection.rs), and we are root.
        return;
    }
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
