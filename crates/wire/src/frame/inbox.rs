//! Bytes as a connection gives them, and the frames that they make up.

use super::{Frame, PIECE_LIMIT};
use crate::Error;
use crate::block::{HEADER, Kind, LIMIT, VERSION};
use crate::secret::wipe;

/// What has been received of a connection and not been read as frames yet.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Always of the length of its memory; what counts is `start..end`.
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

/// Room that a receiver asks for, bytes; enough for most requests and responses at once.
const ROOM: usize = 16 << 10;

/// The longest frame that is no head, bytes. What is missing of one gets its room at once.
const FRAME_LIMIT: usize = HEADER + 1 + PIECE_LIMIT;

/// An empty inbox keeps at most this much memory, bytes.
const KEPT: usize = 512 << 10;

impl Inbox {
    /// Where the next bytes go. Never empty.
    pub fn room(&mut self) -> &mut [u8] {
        self.give_back();
        let wanted = self.wanted().max(ROOM);
        if self.buf.len() - self.end < wanted {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            self.grow(self.end + wanted);
        }
        &mut self.buf[self.end..]
    }

    fn grow(&mut self, length: usize) {
        if length > self.buf.len() {
            // By hand, so that what is outgrown can be wiped: it may hold part of a password.
            let mut buf = vec![0; length];
            buf[..self.end].copy_from_slice(&self.buf[..self.end]);
            wipe(&mut self.buf);
            self.buf = buf;
        }
    }

    /// Overwrites what has been read, and what is left of it behind what has not: after a frame with a secret in it.
    pub fn wipe_read(&mut self) {
        wipe(&mut self.buf[..self.start]);
        wipe(&mut self.buf[self.end..]);
    }

    /// Begins anew where everything has been read, without the memory that one long head has needed.
    fn give_back(&mut self) {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
            if self.buf.len() > KEPT {
                self.buf = Vec::new();
            }
        }
    }

    /// So many bytes were put into [`Inbox::room`].
    pub fn received(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buf.len());
    }

    /// Whether everything that was received has been read.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether [`Inbox::next_frame`] would give a frame, or an error.
    pub fn has_frame(&self) -> bool {
        match self.length() {
            Ok(length) => length.is_some_and(|length| length <= self.end - self.start),
            Err(_) => true,
        }
    }

    /// Whether nothing is there beyond the next frame, as far as it has come.
    pub fn is_single(&self) -> bool {
        self.length().ok().flatten().is_none_or(|length| length >= self.end - self.start)
    }

    /// The next frame, if it is there whole.
    ///
    /// # Errors
    /// As for [`Frame::parse`], and as soon as a header is there that announces what is too long or of another
    /// version. The connection is of no use after one.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Error> {
        // Here as well as in `room`: a kept connection may be silent for long.
        self.give_back();
        let Some(length) = self.length()? else { return Ok(None) };
        if self.end - self.start < length {
            return Ok(None);
        }
        let block = &self.buf[self.start..self.start + length];
        self.start += length;
        Frame::parse(block).map(Some)
    }

    /// The length of the frame that begins here, checked, once its header is there.
    fn length(&self) -> Result<Option<usize>, Error> {
        let Some(header) = self.buf[self.start..self.end].first_chunk::<HEADER>() else { return Ok(None) };
        let [l0, l1, l2, l3, v0, v1, k0, k1] = *header;
        match u16::from_le_bytes([v0, v1]) {
            VERSION => {}
            other => return Err(Error::Version(other)),
        }
        let kind = u16::from_le_bytes([k0, k1]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let is_head = [Kind::Request, Kind::Response, Kind::Question].iter().any(|head| kind == *head as u16);
        let limit = if is_head { LIMIT } else { FRAME_LIMIT };
        match length {
            0..HEADER => Err(Error::Truncated),
            _ if length > limit => Err(Error::TooLong),
            _ => Ok(Some(length)),
        }
    }

    /// How much of what is missing of a frame, whose header is there, gets its room now: a peer gets memory
    /// for as much again as it has sent, not for whatever it announces.
    fn wanted(&self) -> usize {
        let held = self.end - self.start;
        let length = self.length().ok().flatten().unwrap_or(0);
        length.saturating_sub(held).min(held.max(FRAME_LIMIT))
    }
}

#[cfg(test)]
mod tests {
    use gateway::{Flow, Outcome};

    use super::*;

    fn put(inbox: &mut Inbox, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = inbox.room();
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            inbox.received(count);
            bytes = &bytes[count..];
        }
    }

    fn header(length: usize, kind: Kind) -> Vec<u8> {
        let length = u32::try_from(length).expect("short");
        [&length.to_le_bytes()[..], &VERSION.to_le_bytes(), &(kind as u16).to_le_bytes()].concat()
    }

    /// A head of so many bytes: for an inbox only the header counts.
    fn head(length: usize) -> Vec<u8> {
        let mut block = header(length, Kind::Request);
        block.resize(length, b'h');
        block
    }

    fn stream(frames: &[Frame<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.put(&mut bytes));
        bytes
    }

    const FRAMES: [Frame<'static>; 4] = [
        Frame::Want(65_536),
        Frame::Piece { flow: Flow::Flush, bytes: b"some bytes" },
        Frame::Piece { flow: Flow::End, bytes: b"" },
        Frame::Done(Outcome::Complete),
    ];

    #[test]
    fn frames_split_at_any_byte_arrive_whole_and_in_order() {
        let bytes = stream(&FRAMES);
        for split in 0..=bytes.len() {
            let mut inbox = Inbox::default();
            let mut left = FRAMES.iter();
            for part in [&bytes[..split], &bytes[split..]] {
                put(&mut inbox, part);
                while let Some(frame) = inbox.next_frame().expect("sound") {
                    assert_eq!(Some(&frame), left.next(), "split at {split}");
                }
            }
            assert_eq!((left.next(), inbox.is_empty()), (None, true), "split at {split}");
        }
    }

    #[test]
    fn frames_that_come_byte_by_byte_are_told_with_their_last_byte() {
        let bytes = stream(&FRAMES);
        let mut ends = FRAMES.iter().scan(0, |end, frame| {
            *end += stream(std::slice::from_ref(frame)).len();
            Some(*end)
        });
        let mut end = ends.next();
        let mut inbox = Inbox::default();
        for (at, byte) in bytes.iter().enumerate() {
            put(&mut inbox, &[*byte]);
            let is_told = inbox.next_frame().expect("sound").is_some();
            assert_eq!(is_told, end == Some(at + 1), "byte {at}");
            if is_told {
                end = ends.next();
            }
        }
        assert_eq!(end, None);
    }

    #[test]
    fn inbox_is_empty_only_when_every_frame_has_been_read() {
        let mut inbox = Inbox::default();
        assert!(inbox.is_empty());
        assert_eq!(inbox.next_frame(), Ok(None));
        put(&mut inbox, &stream(&FRAMES[..2]));
        assert_eq!(inbox.next_frame(), Ok(Some(FRAMES[0].clone())));
        assert!(!inbox.is_empty());
        assert_eq!(inbox.next_frame(), Ok(Some(FRAMES[1].clone())));
        assert!(inbox.is_empty());
    }

    #[test]
    fn header_that_announces_too_much_or_too_little_is_refused_before_the_rest_comes() {
        for (length, kind, error) in [
            (LIMIT + 1, Kind::Request, Error::TooLong),
            (LIMIT + 1, Kind::Response, Error::TooLong),
            (FRAME_LIMIT + 1, Kind::Piece, Error::TooLong),
            (FRAME_LIMIT + 1, Kind::Settings, Error::TooLong),
            (HEADER - 1, Kind::Want, Error::Truncated),
            (0, Kind::Request, Error::Truncated),
        ] {
            let mut inbox = Inbox::default();
            let header = header(length, kind);
            put(&mut inbox, &header[..HEADER - 1]);
            assert_eq!(inbox.next_frame(), Ok(None), "{kind:?} of {length}");
            put(&mut inbox, &header[HEADER - 1..]);
            assert_eq!(inbox.next_frame(), Err(error), "{kind:?} of {length}");
            assert!(!inbox.room().is_empty());
        }
    }

    #[test]
    fn longest_frames_of_each_sort_are_waited_for() {
        for (length, kind) in [(LIMIT, Kind::Request), (LIMIT, Kind::Response), (FRAME_LIMIT, Kind::Piece)] {
            let mut inbox = Inbox::default();
            put(&mut inbox, &header(length, kind));
            assert_eq!(inbox.next_frame(), Ok(None), "{kind:?}");
        }
    }

    #[test]
    fn frame_of_another_version_is_refused_with_its_header() {
        let mut inbox = Inbox::default();
        let mut hello = header(40, Kind::Hello);
        hello[4] = 2;
        put(&mut inbox, &hello);
        assert_eq!(inbox.next_frame(), Err(Error::Version(2)));
    }

    #[test]
    fn announced_head_gets_memory_as_its_bytes_come() {
        let block = head(LIMIT);
        let mut inbox = Inbox::default();
        for (index, part) in block.chunks(100_000).enumerate() {
            put(&mut inbox, part);
            inbox.room();
            let come = index * 100_000 + part.len();
            let most = (2 * come).max(come + FRAME_LIMIT).max(come + ROOM);
            assert!(inbox.buf.capacity() <= most, "{} for {come}", inbox.buf.capacity());
        }
        assert_eq!(inbox.next_frame(), Ok(Some(Frame::Request(&block))));
    }

    #[test]
    fn longest_piece_gets_its_room_at_once() {
        let mut inbox = Inbox::default();
        put(&mut inbox, &header(FRAME_LIMIT, Kind::Piece));
        assert!(inbox.room().len() >= FRAME_LIMIT - HEADER);
    }

    #[test]
    fn memory_of_a_long_head_is_given_back_once_it_has_been_read() {
        let mut inbox = Inbox::default();
        put(&mut inbox, &head(KEPT + 1));
        assert!(inbox.next_frame().is_ok_and(|frame| frame.is_some()));
        assert!(inbox.buf.len() > KEPT);
        assert_eq!(inbox.next_frame(), Ok(None));
        assert_eq!(inbox.buf.capacity(), 0);
    }

    #[test]
    fn inbox_keeps_the_memory_of_ordinary_frames() {
        let mut inbox = Inbox::default();
        let piece = Frame::Piece { flow: Flow::More, bytes: &vec![b'p'; PIECE_LIMIT] };
        let bytes = stream(std::slice::from_ref(&piece));
        for _ in 0..3 {
            put(&mut inbox, &bytes);
            assert_eq!(inbox.next_frame(), Ok(Some(piece.clone())));
            assert_eq!(inbox.next_frame(), Ok(None));
        }
        assert!(inbox.buf.capacity() >= FRAME_LIMIT && inbox.buf.capacity() <= KEPT);
    }

    #[test]
    fn long_run_of_short_frames_needs_no_more_memory_than_one_read() {
        let bytes = stream(&FRAMES).repeat(20_000);
        let mut inbox = Inbox::default();
        let mut count = 0;
        for part in bytes.chunks(10_007) {
            put(&mut inbox, part);
            while inbox.next_frame().expect("sound").is_some() {
                count += 1;
            }
        }
        assert_eq!(count, 80_000);
        assert!(inbox.buf.capacity() <= 4 * ROOM, "{}", inbox.buf.capacity());
    }

    #[test]
    fn what_has_been_read_can_be_wiped_and_the_rest_stays() {
        let mut inbox = Inbox::default();
        let secret = Frame::Log { level: gateway::Level::Error, line: b"password" };
        put(&mut inbox, &stream(&[secret, Frame::Want(7)]));
        assert!(matches!(inbox.next_frame(), Ok(Some(Frame::Log { .. }))));
        inbox.wipe_read();
        assert!(!inbox.buf.windows(8).any(|part| part == b"password"));
        assert_eq!(inbox.next_frame(), Ok(Some(Frame::Want(7))));
    }

    #[test]
    fn frame_that_moves_within_the_inbox_leaves_nothing_behind_that_a_wipe_does_not_find() {
        let mut inbox = Inbox::default();
        let line = vec![b'p'; ROOM];
        let bytes = stream(&[Frame::Want(1), Frame::Log { level: gateway::Level::Error, line: &line }]);
        put(&mut inbox, &bytes[..ROOM / 2]);
        assert_eq!(inbox.next_frame(), Ok(Some(Frame::Want(1))));
        put(&mut inbox, &bytes[ROOM / 2..]);
        assert!(matches!(inbox.next_frame(), Ok(Some(Frame::Log { .. }))));
        inbox.wipe_read();
        assert!(!inbox.buf.contains(&b'p'));
    }
}
