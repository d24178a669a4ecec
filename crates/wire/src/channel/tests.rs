//! Messages and descriptors between two ends in one process.

use std::fs::File;
use std::io::{ErrorKind, Read, Write, pipe};

use super::*;

fn pair() -> (Channel, Channel) {
    Channel::pair().expect("a socket pair")
}

fn receive(channel: &Channel) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut buf = b"left over".to_vec();
    Ok(channel.receive(&mut buf, false)?.map(|descriptors| (buf, descriptors)))
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// Sends more descriptors than a channel does, as a hostile peer may.
fn send_many(channel: &Channel, descriptor: &impl AsRawFd, count: usize) {
    let raw = vec![descriptor.as_raw_fd(); count];
    let parts = [IoSlice::new(b"many")];
    let rights = [ControlMessage::ScmRights(&raw)];
    let sent = sendmsg::<()>(channel.as_fd().as_raw_fd(), &parts, &rights, MsgFlags::empty(), None);
    assert_eq!(sent, Ok(4));
}

#[test]
fn messages_arrive_whole_and_in_order() {
    let (one, other) = pair();
    one.send(b"first", &[]).expect("sent");
    one.send(b"second", &[]).expect("sent");
    for expected in [&b"first"[..], b"second"] {
        let (message, descriptors) = receive(&other).expect("received").expect("a message");
        assert_eq!((&message[..], descriptors.len()), (expected, 0));
    }
}

#[test]
fn descriptors_arrive_in_order_and_are_closed_on_exec() {
    let (one, other) = pair();
    let mut pipes: Vec<_> = (0..DESCRIPTOR_LIMIT).map(|_| pipe().expect("a pipe")).collect();
    let ends: Vec<_> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
    one.send(b"ends", &ends).expect("sent");
    let (_, descriptors) = receive(&other).expect("received").expect("a message");
    assert_eq!(descriptors.len(), DESCRIPTOR_LIMIT);
    for (index, (descriptor, (mut reader, writer))) in descriptors.into_iter().zip(pipes.drain(..)).enumerate() {
        drop(writer);
        let flags = nix::fcntl::fcntl(&descriptor, nix::fcntl::FcntlArg::F_GETFD).expect("flags");
        assert_eq!(flags & nix::libc::FD_CLOEXEC, nix::libc::FD_CLOEXEC);
        File::from(descriptor).write_all(&[index as u8]).expect("written");
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("read");
        assert_eq!(read, [index as u8]);
    }
}

#[test]
fn more_descriptors_than_allowed_are_refused_and_none_stays_open() {
    let (one, other) = pair();
    for count in [DESCRIPTOR_LIMIT + 1, 100] {
        let (mut reader, writer) = pipe().expect("a pipe");
        send_many(&one, &writer, count);
        drop(writer);
        assert_eq!(kind(receive(&other)), Some(ErrorKind::InvalidData));
        // The pipe ends only when nobody has its other end any more; until then there is nothing to read.
        let is_nonblocking = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&reader, is_nonblocking).expect("set");
        assert_eq!(reader.read(&mut [0]).expect("the end"), 0);
    }
    one.send(b"next", &[]).expect("sent");
    assert_eq!(receive(&other).expect("received").expect("a message").0, b"next");
}

#[test]
fn message_of_exactly_the_limit_passes() {
    let (one, other) = pair();
    let message = vec![b'm'; MESSAGE_LIMIT];
    one.send(&message, &[]).expect("sent");
    assert_eq!(receive(&other).expect("received").expect("a message").0, message);
}

#[test]
fn message_over_the_limit_is_not_sent_and_is_refused_if_it_comes() {
    let (one, other) = pair();
    let message = vec![b'm'; MESSAGE_LIMIT + 1];
    assert_eq!(kind(one.send(&message, &[])), Some(ErrorKind::InvalidInput));
    assert_eq!(kind(receive(&other)), Some(ErrorKind::WouldBlock));
    let parts = [IoSlice::new(&message)];
    let sent = sendmsg::<()>(one.as_fd().as_raw_fd(), &parts, &[], MsgFlags::empty(), None);
    assert_eq!(sent, Ok(MESSAGE_LIMIT + 1));
    let mut buf = Vec::new();
    assert_eq!(kind(other.receive(&mut buf, false)), Some(ErrorKind::InvalidData));
    assert!(buf.is_empty());
}

#[test]
fn what_would_look_like_the_end_or_is_too_much_is_not_sent() {
    let (one, _other) = pair();
    assert_eq!(kind(one.send(b"", &[])), Some(ErrorKind::InvalidInput));
    let many = [one.as_fd(); DESCRIPTOR_LIMIT + 1];
    assert_eq!(kind(one.send(b"many", &many)), Some(ErrorKind::InvalidInput));
}

#[test]
fn end_is_told_after_what_was_sent_before_it() {
    let (one, other) = pair();
    one.send(b"last", &[]).expect("sent");
    drop(one);
    assert_eq!(receive(&other).expect("received").expect("a message").0, b"last");
    assert!(receive(&other).expect("the end").is_none());
    assert_eq!(kind(other.send(b"nobody", &[])), Some(ErrorKind::BrokenPipe));
}

#[test]
fn receiver_that_does_not_wait_is_told_that_nothing_is_there() {
    let (_one, other) = pair();
    assert_eq!(kind(receive(&other)), Some(ErrorKind::WouldBlock));
}

#[test]
fn receiver_that_waits_gets_what_is_sent_later() {
    let (one, other) = pair();
    let sender = std::thread::spawn(move || one.send(b"later", &[]));
    let mut buf = Vec::new();
    assert!(other.receive(&mut buf, true).expect("received").is_some());
    assert_eq!(buf, b"later");
    sender.join().expect("no panic").expect("sent");
}

#[test]
fn channel_is_made_over_a_socket_and_gives_it_back() {
    let (one, other) = pair();
    let again = Channel::over(OwnedFd::from(one));
    again.send(b"same", &[]).expect("sent");
    assert_eq!(receive(&other).expect("received").expect("a message").0, b"same");
}

#[test]
fn message_that_nobody_reads_keeps_nobody_who_does_not_want_to_wait() {
    let (one, other) = Channel::pair().expect("made");
    let message = vec![b'x'; MESSAGE_LIMIT];
    let error = (0..1000).find_map(|_| one.try_send(&message, &[]).err()).expect("a socket's buffer has an end");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let mut buf = Vec::new();
    assert!(other.receive(&mut buf, false).expect("there").is_some());
    assert_eq!(buf, message);
    one.try_send(b"again", &[]).expect("there is room");
}
