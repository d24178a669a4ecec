//! Bytes as a connection gives them, and the frames that they make up.

use super::{Frame, PIECE_LIMIT};
use crate::Error;
use crate::block::{HEADER, Kind, LIMIT, VERSION};

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

/// An empty inbox keeps at most this much memory, bytes.
const KEPT: usize = 512 << 10;

impl Inbox {
    /// Where the next bytes go. Never empty.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buf.len() > KEPT {
                self.buf = Vec::new();
            }
        }
        let wanted = self.wanted().max(ROOM);
        if self.buf.len() - self.end < wanted {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.buf.len() - self.end < wanted {
                self.buf.resize(self.end + wanted, 0);
            }
        }
        &mut self.buf[self.end..]
    }

    /// So many bytes were put into [`Inbox::room`].
    pub fn received(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buf.len());
    }

    /// Whether everything that was received has been read.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The next frame, if it is there whole.
    ///
    /// # Errors
    /// As for [`Frame::parse`], and as soon as a header is there that announces what is too long or of another
    /// version. The connection is of no use after one.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Error> {
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
        let is_head = kind == Kind::Request as u16 || kind == Kind::Response as u16;
        let limit = if is_head { LIMIT } else { HEADER + 1 + PIECE_LIMIT };
        match length {
            0..HEADER => Err(Error::Truncated),
            _ if length > limit => Err(Error::TooLong),
            _ => Ok(Some(length)),
        }
    }

    /// What is missing of a frame whose header is there.
    fn wanted(&self) -> usize {
        let length = self.length().ok().flatten().unwrap_or(0);
        length.saturating_sub(self.end - self.start)
    }
}
