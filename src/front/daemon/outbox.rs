//! What is to be sent to a worker and has not gone yet.

use gateway::Flow;
use wire::Frame;
use wire::frame::piece_header;
use wire::secret::wipe;

use super::connection::Connection;

/// Bytes for one connection, in their order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Gone is what stands before `start`.
    buf: Vec<u8>,
    start: usize,
    is_closed: bool,
    /// There may be a password in it: what is gone is overwritten, and what is outgrown.
    is_secret: bool,
}

impl Outbox {
    /// For what nobody is to find in memory afterwards.
    pub(super) fn secret() -> Outbox {
        Outbox { buf: Vec::new(), start: 0, is_closed: false, is_secret: true }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.buf.len()
    }

    /// The connection takes nothing any more.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// See [`Outbox::is_closed`].
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.drop_first(self.buf.len() - self.start);
    }

    /// Keeps of these parts what follows the first `sent` bytes.
    pub(super) fn keep_rest(&mut self, parts: &[&[u8]], mut sent: usize) {
        for part in parts {
            let gone = sent.min(part.len());
            sent -= gone;
            self.add(&part[gone..]);
        }
    }

    pub(super) fn put(&mut self, frame: &Frame<'_>) {
        if self.is_closed {
            return;
        }
        if self.is_secret {
            let mut bytes = Vec::new();
            frame.put(&mut bytes);
            self.add(&bytes);
        } else {
            self.begin();
            frame.put(&mut self.buf);
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.begin();
        if self.is_secret && self.buf.capacity() - self.buf.len() < bytes.len() {
            // By hand, so that what is outgrown can be wiped.
            let mut buf = Vec::with_capacity(2 * self.buf.len() + bytes.len());
            buf.extend_from_slice(&self.buf);
            wipe(&mut self.buf);
            self.buf = buf;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// Uses the memory again from its beginning, once all that was in it is gone. Not before something comes: what is
    /// not among its bytes can be wiped no more.
    fn begin(&mut self) {
        if self.is_empty() {
            self.buf.clear();
            self.start = 0;
        }
    }

    /// So many bytes are gone.
    fn drop_first(&mut self, count: usize) {
        let gone = self.start..self.start + count;
        self.start = gone.end;
        if self.is_secret {
            wipe(&mut self.buf[gone]);
        }
    }

    /// Adds a piece that `read` writes in place, of at most `room` bytes: it gives the length, and whether the
    /// piece is the last; or nothing, and then nothing is added.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn put_piece<E>(
        &mut self,
        room: usize,
        read: impl FnOnce(&mut [u8]) -> Result<Option<(usize, bool)>, E>,
    ) -> Result<Option<(usize, bool)>, E> {
        self.begin();
        let begin = self.buf.len();
        let start = begin + piece_header(Flow::More, 0).len();
        self.buf.resize(start + room, 0);
        let result = read(&mut self.buf[start..]);
        match &result {
            Ok(Some((count, is_last))) => {
                let flow = if *is_last { Flow::End } else { Flow::More };
                self.buf[begin..start].copy_from_slice(&piece_header(flow, *count));
                self.buf.truncate(start + count);
            }
            _ => self.buf.truncate(begin),
        }
        result
    }

    /// Sends what goes without waiting; the number of bytes.
    pub(super) fn push(&mut self, connection: &Connection) -> usize {
        let mut pushed = 0;
        while !self.is_empty() {
            match connection.send(&self.buf[self.start..]) {
                Ok(None) => return pushed,
                Ok(Some(count)) => {
                    self.drop_first(count);
                    pushed += count;
                }
                // The end of the connection shows when it is read.
                Err(_) => {
                    self.close();
                    return pushed;
                }
            }
        }
        pushed
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.drop_first(self.buf.len() - self.start);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    const PASSWORD: &[u8] = b"never-to-be-seen";

    fn connection() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        (Connection::over(ours.into()), theirs)
    }

    fn secret() -> Outbox {
        let mut outbox = Outbox::secret();
        outbox.keep_rest(&[b"head ", PASSWORD], 2);
        outbox
    }

    fn has_password(outbox: &Outbox) -> bool {
        outbox.buf.windows(4).any(|part| PASSWORD.windows(4).any(|password| part == password))
    }

    #[test]
    fn what_has_gone_is_overwritten_where_it_may_be_a_password() {
        let (mut outbox, (connection, mut theirs)) = (secret(), connection());
        assert!(has_password(&outbox));
        assert_eq!(outbox.push(&connection), 3 + PASSWORD.len());
        assert!(outbox.is_empty() && !outbox.buf.is_empty() && !has_password(&outbox));
        let mut seen = [0; 3 + PASSWORD.len()];
        theirs.read_exact(&mut seen).expect("it was sent");
        assert_eq!(seen, *[b"ad ", PASSWORD].concat());
    }

    #[test]
    fn what_will_not_go_is_overwritten_where_it_may_be_a_password() {
        let (mut outbox, (connection, theirs)) = (secret(), connection());
        drop(theirs);
        assert_eq!(outbox.push(&connection), 0);
        assert!(outbox.is_empty() && outbox.is_closed() && !outbox.buf.is_empty() && !has_password(&outbox));
    }

    #[test]
    fn what_goes_in_parts_comes_whole_and_in_order() {
        for mut outbox in [Outbox::secret(), Outbox::default()] {
            let (connection, mut theirs) = connection();
            let long = vec![b'l'; 4 << 20];
            outbox.keep_rest(&[&long], 0);
            let pushed = outbox.push(&connection);
            assert!(pushed > 0 && !outbox.is_empty());
            outbox.put(&Frame::Want(7));
            let mut rest = vec![0; pushed];
            theirs.read_exact(&mut rest).expect("it was sent");
            let mut expected = long[pushed..].to_vec();
            Frame::Want(7).put(&mut expected);
            let mut seen = Vec::new();
            while !outbox.is_empty() {
                let mut part = vec![0; outbox.push(&connection)];
                theirs.read_exact(&mut part).expect("it was sent");
                seen.extend(part);
            }
            assert!(seen == expected);
            // The memory is used again.
            outbox.put(&Frame::Want(8));
            assert!(outbox.buf.len() < 100);
        }
    }
}
