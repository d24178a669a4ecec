//! [`gateway::Asker`] over a connection.

use gateway::Asker;
use wire::Frame;

use super::intake::Intake;
use super::outbox::Outbox;
use super::stream::Stream;

/// Whoever asks a question, at the other end of a connection.
pub(crate) struct ConnectionAsker<'c> {
    stream: &'c Stream,
    outbox: &'c Outbox,
    intake: Intake<'c>,
}

impl<'c> ConnectionAsker<'c> {
    pub(crate) fn new(stream: &'c Stream, outbox: &'c Outbox, intake: Intake<'c>) -> Self {
        ConnectionAsker { stream, outbox, intake }
    }

    /// Sends the last frames of the question; whether the connection may have another.
    pub(crate) fn finish(&mut self, frames: &[u8]) -> bool {
        self.send(frames) && self.intake.is_sound()
    }

    /// What the peer said meanwhile that cannot be.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.intake.fault()
    }

    fn send(&mut self, frames: &[u8]) -> bool {
        let intake = &mut self.intake;
        self.outbox.write(self.stream, &[frames], &mut || intake.look()).is_ok()
    }
}

impl Asker for ConnectionAsker<'_> {
    fn variable(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let mut frame = Vec::new();
        Frame::Lookup(name).put(&mut frame);
        self.intake.expect_found();
        if !self.send(&frame) {
            self.intake.give_up();
        }
        loop {
            self.intake.sort();
            if let Some(found) = self.intake.take_found() {
                return found;
            }
            if !self.intake.is_open() {
                return None;
            }
            self.intake.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use wire::{Facts, Inbox};

    use super::*;

    fn put(frame: &Frame<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.put(&mut bytes);
        bytes
    }

    /// What `variable` gives if the peer answers with these bytes, and whether the connection is sound after it.
    fn look_up(answer: &[u8]) -> (Option<Vec<u8>>, bool) {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let (stream, outbox, mut inbox) = (Stream::new(ours.into(), None), Outbox::default(), Inbox::default());
        let mut asker = ConnectionAsker::new(&stream, &outbox, Intake::new(&stream, &mut inbox, Facts::default()));
        thread::scope(|scope| {
            let peer = scope.spawn(move || {
                let mut asked = vec![0; put(&Frame::Lookup(b"SSL_PROTOCOL")).len()];
                theirs.read_exact(&mut asked).expect("a frame");
                assert_eq!(asked, put(&Frame::Lookup(b"SSL_PROTOCOL")));
                theirs.write_all(answer).expect("connected");
                theirs
            });
            let value = asker.variable(b"SSL_PROTOCOL");
            let is_sound = asker.intake.is_sound();
            // Until here its end was open.
            drop(peer.join().expect("no panic"));
            (value, is_sound)
        })
    }

    #[test]
    fn variable_is_asked_for_and_waited_for() {
        assert_eq!(look_up(&put(&Frame::Found(Some(b"TLSv1.3")))), (Some(b"TLSv1.3".to_vec()), true));
        assert_eq!(look_up(&put(&Frame::Found(None))), (None, true));
    }

    #[test]
    fn what_is_no_answer_ends_the_connection() {
        assert_eq!(look_up(&put(&Frame::Want(1))), (None, false));
        assert_eq!(look_up(b"HTTP/1.1 200 OK\r\n"), (None, false));
    }

    #[test]
    fn variable_that_nobody_asked_for_is_refused() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        theirs.write_all(&put(&Frame::Found(Some(b"x")))).expect("connected");
        let (stream, mut inbox) = (Stream::new(ours.into(), None), Inbox::default());
        let mut intake = Intake::new(&stream, &mut inbox, Facts::default());
        intake.look();
        assert!(intake.fault().is_some());
    }
}
