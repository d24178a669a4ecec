//! What all blocks share: eight bytes of header, and numbers and strings after it.
//!
//! Numbers are little-endian and nothing is aligned.

use crate::Error;

/// The most bytes that a block may have: 16 MiB, well above what httpd lets a client send by default.
pub const LIMIT: usize = 16 << 20;

/// The version of the encoding, the same for all kinds of block.
pub const VERSION: u16 = 1;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Kind {
    Request = 0,
    Response = 1,
    Settings = 2,
    Hello = 3,
    Welcome = 4,
    Piece = 5,
    InputFailed = 6,
    Want = 7,
    Cut = 8,
    Log = 9,
    Done = 10,
    Refused = 11,
    Question = 12,
    Answer = 13,
    Lookup = 14,
    Found = 15,
}

/// Bytes of the header that every block begins with: total length, version, kind.
pub(crate) const HEADER: usize = 8;

/// A block being written into a caller's buffer.
///
/// The first error is kept until [`Writer::finish`], and nothing is added after it.
pub(crate) struct Writer<'a> {
    buf: &'a mut Vec<u8>,
    error: Option<Error>,
}

impl<'a> Writer<'a> {
    /// Room for the head of an ordinary request or response, so that most are written without moving.
    const USUAL: usize = 2048;

    pub(crate) fn begin(buf: &'a mut Vec<u8>, kind: Kind) -> Self {
        buf.clear();
        buf.reserve(Self::USUAL);
        buf.extend_from_slice(&[0; 4]);
        buf.extend_from_slice(&VERSION.to_le_bytes());
        buf.extend_from_slice(&(kind as u16).to_le_bytes());
        Writer { buf, error: None }
    }

    /// Goes on with a block that [`Writer::finish`] has ended.
    pub(crate) fn resume(buf: &'a mut Vec<u8>) -> Self {
        Writer { buf, error: None }
    }

    pub(crate) fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// Adds the parts one after another, all or none.
    pub(crate) fn put<const N: usize>(&mut self, parts: [&[u8]; N]) {
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        // The buffer never exceeds LIMIT, so the difference cannot be negative.
        if length > LIMIT - self.buf.len() {
            self.fail(Error::TooLong);
        }
        if self.error.is_some() {
            return;
        }
        self.buf.reserve(length);
        for part in parts {
            self.buf.extend_from_slice(part);
        }
    }

    /// Adds `lead`, the lengths of name and value, and name and value each with `end` behind it.
    pub(crate) fn put_pair(&mut self, lead: u16, name: &[u8], value: &[u8], end: &[u8]) {
        let Ok(name_length) = u16::try_from(name.len()) else {
            return self.fail(Error::NameTooLong(name.len()));
        };
        let Ok(value_length) = u32::try_from(value.len()) else {
            return self.fail(Error::TooLong);
        };
        let [lead_0, lead_1] = lead.to_le_bytes();
        let [name_0, name_1] = name_length.to_le_bytes();
        let [value_0, value_1, value_2, value_3] = value_length.to_le_bytes();
        let head = [lead_0, lead_1, name_0, name_1, value_0, value_1, value_2, value_3];
        self.put([&head, name, end, value, end]);
    }

    /// Overwrites the number at `offset`, which must have been written before.
    pub(crate) fn patch<const N: usize>(&mut self, offset: usize, number: [u8; N]) {
        if let Some(place) = self.buf.get_mut(offset..).and_then(|rest| rest.first_chunk_mut::<N>()) {
            *place = number;
        }
    }

    /// Writes the total length; after an error the buffer is left empty, so that no half block is sent.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        if let Some(error) = self.error {
            self.buf.clear();
            return Err(error);
        }
        let total = u32::try_from(self.buf.len()).map_err(|_| Error::TooLong)?;
        self.patch(0, total.to_le_bytes());
        Ok(())
    }
}

/// The unread rest of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks the eight bytes that every block begins with.
    pub(crate) fn open(block: &'a [u8], kind: Kind) -> Result<Self, Error> {
        let mut reader = Reader { rest: block };
        let stated = reader.u32()?;
        if usize::try_from(stated) != Ok(block.len()) {
            return Err(Error::Length { stated, actual: block.len() });
        }
        if block.len() > LIMIT {
            return Err(Error::TooLong);
        }
        match reader.u16()? {
            VERSION => {}
            other => return Err(Error::Version(other)),
        }
        match reader.u16()? {
            found if found == kind as u16 => Ok(reader),
            other => Err(Error::Kind(other)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Forgets the rest, as after an error there is no telling where the next entry begins.
    pub(crate) fn give_up(&mut self) {
        self.rest = &[];
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    /// A length as [`Writer::put_pair`] writes that of a value.
    pub(crate) fn length(&mut self) -> Result<usize, Error> {
        usize::try_from(self.u32()?).map_err(|_| Error::Truncated)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Vec<u8> {
        let mut buf = Vec::new();
        let mut writer = Writer::begin(&mut buf, Kind::Settings);
        writer.put([b"abc"]);
        assert_eq!(writer.finish(), Ok(()));
        buf
    }

    fn open_error(block: &[u8]) -> Error {
        Reader::open(block, Kind::Settings).expect_err("the block is bad")
    }

    #[test]
    fn block_begins_with_length_version_and_kind() {
        assert_eq!(block(), [11, 0, 0, 0, 1, 0, 2, 0, b'a', b'b', b'c']);
    }

    #[test]
    fn block_of_another_length_is_refused() {
        let mut longer = block();
        longer.push(0);
        assert_eq!(open_error(&longer), Error::Length { stated: 11, actual: 12 });
        assert_eq!(open_error(&block()[..10]), Error::Length { stated: 11, actual: 10 });
        assert_eq!(open_error(b"abc"), Error::Truncated);
    }

    #[test]
    fn block_that_ends_within_its_header_is_refused() {
        assert_eq!(open_error(&[4, 0, 0, 0]), Error::Truncated);
        assert_eq!(open_error(&[6, 0, 0, 0, 1, 0]), Error::Truncated);
    }

    #[test]
    fn block_of_another_version_or_kind_is_refused() {
        let mut other = block();
        other[4] = 2;
        assert_eq!(open_error(&other), Error::Version(2));
        let error = Reader::open(&block(), Kind::Request).expect_err("another kind");
        assert_eq!(error, Error::Kind(2));
    }

    #[test]
    fn block_over_the_limit_is_refused() {
        let mut long = block();
        long.resize(LIMIT + 1, 0);
        long[..4].copy_from_slice(&(LIMIT as u32 + 1).to_le_bytes());
        assert_eq!(open_error(&long), Error::TooLong);
    }

    #[test]
    fn first_error_of_a_writer_is_the_one_told_and_empties_the_buffer() {
        let mut buf = Vec::new();
        let mut writer = Writer::begin(&mut buf, Kind::Request);
        writer.put_pair(0, &[b'n'; 65_536], b"", b"");
        writer.put([&vec![0; LIMIT]]);
        assert_eq!(writer.finish(), Err(Error::NameTooLong(65_536)));
        assert!(buf.is_empty());
    }

    #[test]
    fn block_may_have_exactly_the_limit() {
        let mut buf = Vec::new();
        let value = vec![0; LIMIT - 8];
        let mut writer = Writer::begin(&mut buf, Kind::Settings);
        writer.put([&value]);
        assert_eq!(writer.finish(), Ok(()));
        assert_eq!(Reader::open(&buf, Kind::Settings).map(|reader| reader.len()), Ok(LIMIT - 8));
        let mut writer = Writer::begin(&mut buf, Kind::Settings);
        writer.put([&value, b"x"]);
        assert_eq!(writer.finish(), Err(Error::TooLong));
    }
}
