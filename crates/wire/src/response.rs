//! The response head: status, reason phrase and headers, as NUL-terminated strings, so that httpd can
//! copy the block into its pool once and use the strings where they stand.

use std::ffi::CStr;

use crate::Error;
use crate::block::{Kind, Reader, Writer};

/// Writes a response head into a buffer.
///
/// What cannot be written is remembered and told by [`ResponseWriter::finish`]. Whether status and
/// headers are valid is for `gateway::response` to check beforehand; the reader checks what would
/// break the encoding or HTTP itself.
pub struct ResponseWriter<'a> {
    block: Writer<'a>,
    header_count: u16,
}

impl<'a> ResponseWriter<'a> {
    const HEADER_COUNT_OFFSET: usize = 10;

    /// Clears `buf` and begins a head in it. The reason may be empty, and has at most 65,535 bytes.
    pub fn begin(buf: &'a mut Vec<u8>, code: u16, reason: &[u8]) -> Self {
        let mut block = Writer::begin(buf, Kind::Response);
        match u16::try_from(reason.len()) {
            Ok(length) => block.put([
                &code.to_le_bytes(),
                &0_u16.to_le_bytes(),
                &length.to_le_bytes(),
                &0_u16.to_le_bytes(),
                reason,
                b"\0",
            ]),
            Err(_) => block.fail(Error::ReasonTooLong(reason.len())),
        }
        ResponseWriter { block, header_count: 0 }
    }

    /// Goes on with a head that [`ResponseWriter::finish`] has ended, to add headers that are only known
    /// later (`Content-Length` when the body turns out to be one piece).
    ///
    /// # Errors
    /// Those of [`ResponseHead::parse`].
    pub fn resume(buf: &'a mut Vec<u8>) -> Result<Self, Error> {
        ResponseHead::parse(buf)?;
        let count =
            buf.get(Self::HEADER_COUNT_OFFSET..).and_then(|rest| rest.first_chunk::<2>()).ok_or(Error::Truncated)?;
        let header_count = u16::from_le_bytes(*count);
        Ok(ResponseWriter { block: Writer::resume(buf), header_count })
    }

    /// Adds a header. Headers of the same name stay apart and in order.
    pub fn header(&mut self, name: &[u8], value: &[u8]) {
        match self.header_count.checked_add(1) {
            Some(count) => self.header_count = count,
            None => return self.block.fail(Error::TooManyHeaders),
        }
        self.block.put_pair(0, name, value, b"\0");
    }

    /// Ends the head; after an error the buffer is empty.
    ///
    /// # Errors
    /// `ReasonTooLong`, `NameTooLong`; `TooManyHeaders` if there are more than 65,535; `TooLong` if the
    /// head has more than [`crate::LIMIT`] bytes.
    pub fn finish(mut self) -> Result<(), Error> {
        self.block.patch(Self::HEADER_COUNT_OFFSET, self.header_count.to_le_bytes());
        self.block.finish()
    }
}

/// A response head being read; its strings point into the block.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    code: u16,
    reason: &'a CStr,
    headers: Headers<'a>,
}

impl<'a> ResponseHead<'a> {
    /// Reads the head in `block`, which must be all of it and nothing more. Headers are checked as
    /// they are read.
    ///
    /// # Errors
    /// `Length`, `TooLong`, `Version`, `Kind`, `Truncated`, `Reserved`; `Forbidden` or `Unterminated`
    /// for the reason phrase.
    pub fn parse(block: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::open(block, Kind::Response)?;
        let code = reader.u16()?;
        let header_count = reader.u16()?;
        let reason_length = reader.u16()?;
        read_zero(&mut reader)?;
        let reason = read_string(&mut reader, usize::from(reason_length))?;
        Ok(ResponseHead { code, reason, headers: Headers { reader, left: header_count } })
    }

    /// The status code; any number.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The reason phrase; may be empty.
    pub fn reason(&self) -> &'a CStr {
        self.reason
    }

    /// The headers in order, as name and value.
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }
}

/// Iterator over a response head's headers. An error is its last item.
///
/// Errors: `Truncated`, `Reserved`, `Forbidden`, `Unterminated`, `EmptyName`, `Trailing`.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    reader: Reader<'a>,
    left: u16,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<(&'a CStr, &'a CStr), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                read_header(&mut self.reader)
            }
            None if self.reader.is_empty() => return None,
            None => Err(Error::Trailing(self.reader.len())),
        };
        if header.is_err() {
            self.left = 0;
            self.reader.give_up();
        }
        Some(header)
    }
}

fn read_header<'a>(reader: &mut Reader<'a>) -> Result<(&'a CStr, &'a CStr), Error> {
    read_zero(reader)?;
    let name_length = reader.u16()?;
    let value_length = reader.length()?;
    let name = read_string(reader, usize::from(name_length))?;
    let value = read_string(reader, value_length)?;
    if name.is_empty() {
        return Err(Error::EmptyName);
    }
    Ok((name, value))
}

fn read_zero(reader: &mut Reader<'_>) -> Result<(), Error> {
    match reader.u16()? {
        0 => Ok(()),
        other => Err(Error::Reserved(other)),
    }
}

/// A string of `length` bytes and its NUL. Line breaks are refused whatever was checked before: behind
/// them, everything would be a header of the client's choosing.
fn read_string<'a>(reader: &mut Reader<'a>, length: usize) -> Result<&'a CStr, Error> {
    let with_nul = reader.bytes(length.checked_add(1).ok_or(Error::Truncated)?)?;
    let (last, string) = with_nul.split_last().ok_or(Error::Truncated)?;
    if *last != 0 {
        return Err(Error::Unterminated);
    }
    if let Some(byte) = string.iter().find(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        return Err(Error::Forbidden(*byte));
    }
    CStr::from_bytes_with_nul(with_nul).map_err(|_| Error::Unterminated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(reason: &[u8], headers: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut buf = b"left over".to_vec();
        let mut writer = ResponseWriter::begin(&mut buf, 404, reason);
        for (name, value) in headers {
            writer.header(name, value);
        }
        assert_eq!(writer.finish(), Ok(()));
        buf
    }

    fn headers(block: &[u8]) -> Vec<Result<(&CStr, &CStr), Error>> {
        ResponseHead::parse(block).expect("the block itself is sound").headers().collect()
    }

    /// The block with its length mended after a change.
    fn mended(mut block: Vec<u8>) -> Vec<u8> {
        let total = block.len() as u32;
        block[..4].copy_from_slice(&total.to_le_bytes());
        block
    }

    #[test]
    fn response_head_is_read_as_it_was_written() {
        let block = head(b"Not Found", &[(b"Set-Cookie", b"a"), (b"Set-Cookie", b""), (b"X", b"\xe9\t")]);
        let head = ResponseHead::parse(&block).expect("sound");
        assert_eq!((head.code(), head.reason()), (404, c"Not Found"));
        assert_eq!(headers(&block), [Ok((c"Set-Cookie", c"a")), Ok((c"Set-Cookie", c"")), Ok((c"X", c"\xe9\t"))]);
    }

    #[test]
    fn response_head_has_the_documented_bytes() {
        let mut expected = vec![32, 0, 0, 0, 1, 0, 1, 0];
        expected.extend([0x94, 1, 1, 0, 2, 0, 0, 0, b'N', b'o', 0]);
        expected.extend([0, 0, 1, 0, 2, 0, 0, 0, b'A', 0, b'b', b'c', 0]);
        assert_eq!(head(b"No", &[(b"A", b"bc")]), expected);
    }

    #[test]
    fn reason_and_headers_may_be_missing() {
        let block = head(b"", &[]);
        assert_eq!(ResponseHead::parse(&block).map(|head| head.reason()), Ok(c""));
        assert_eq!(headers(&block), []);
    }

    #[test]
    fn nul_or_line_break_in_the_reason_is_refused() {
        for byte in [0, b'\r', b'\n'] {
            let error = ResponseHead::parse(&head(&[b'a', byte, b'b'], &[])).map(|_| ());
            assert_eq!(error, Err(Error::Forbidden(byte)));
        }
    }

    #[test]
    fn nul_or_line_break_in_a_header_is_refused() {
        for byte in [0, b'\r', b'\n'] {
            let bad: &[u8] = &[b'a', byte, b'b'];
            assert_eq!(headers(&head(b"", &[(bad, b"x"), (b"Y", b"")])), [Err(Error::Forbidden(byte))]);
            assert_eq!(headers(&head(b"", &[(b"X", bad), (b"Y", b"")])), [Err(Error::Forbidden(byte))]);
        }
    }

    #[test]
    fn header_without_a_name_is_refused() {
        assert_eq!(headers(&head(b"", &[(b"", b"x")])), [Err(Error::EmptyName)]);
    }

    #[test]
    fn response_head_cut_anywhere_is_refused() {
        let block = head(b"No", &[(b"A", b"bc")]);
        for length in 8..block.len() {
            let cut = mended(block[..length].to_vec());
            match ResponseHead::parse(&cut) {
                Ok(head) => assert_eq!(head.headers().collect::<Vec<_>>(), [Err(Error::Truncated)], "{length}"),
                Err(error) => assert_eq!(error, Error::Truncated, "{length}"),
            }
        }
    }

    #[test]
    fn string_without_its_nul_is_refused() {
        let mut block = head(b"No", &[(b"A", b"bc")]);
        *block.last_mut().expect("not empty") = b'd';
        assert_eq!(headers(&block), [Err(Error::Unterminated)]);
        block[18] = b'x';
        assert_eq!(ResponseHead::parse(&block).map(|_| ()), Err(Error::Unterminated));
    }

    #[test]
    fn headers_beyond_the_announced_number_are_refused() {
        let mut block = head(b"", &[(b"A", b""), (b"B", b"")]);
        block[10] = 1;
        assert_eq!(headers(&block), [Ok((c"A", c"")), Err(Error::Trailing(11))]);
        block[10] = 3;
        assert_eq!(headers(&block), [Ok((c"A", c"")), Ok((c"B", c"")), Err(Error::Truncated)]);
    }

    #[test]
    fn value_length_that_would_overflow_is_refused() {
        let mut block = head(b"", &[(b"A", b"")]);
        block[21..25].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(headers(&block), [Err(Error::Truncated)]);
    }

    #[test]
    fn reserved_field_that_is_not_zero_is_refused() {
        let mut block = head(b"", &[(b"A", b"")]);
        block[17] = 7;
        assert_eq!(headers(&block), [Err(Error::Reserved(7))]);
        block[14] = 9;
        assert_eq!(ResponseHead::parse(&block).map(|_| ()), Err(Error::Reserved(9)));
    }

    #[test]
    fn as_many_headers_as_can_be_counted_pass_and_one_more_does_not() {
        let mut buf = Vec::new();
        let mut writer = ResponseWriter::begin(&mut buf, 200, b"OK");
        for _ in 0..65_535 {
            writer.header(b"A", b"");
        }
        assert_eq!(writer.finish(), Ok(()));
        assert_eq!(headers(&buf).len(), 65_535);
        let mut writer = ResponseWriter::begin(&mut buf, 200, b"OK");
        for _ in 0..65_536 {
            writer.header(b"A", b"");
        }
        assert_eq!(writer.finish(), Err(Error::TooManyHeaders));
    }

    #[test]
    fn over_long_reason_or_header_is_told_at_the_end() {
        let long = vec![b'x'; 65_536];
        let mut buf = Vec::new();
        let mut writer = ResponseWriter::begin(&mut buf, 200, &long);
        writer.header(b"A", b"");
        assert_eq!(writer.finish(), Err(Error::ReasonTooLong(65_536)));
        let mut writer = ResponseWriter::begin(&mut buf, 200, b"");
        writer.header(&long, b"");
        assert_eq!(writer.finish(), Err(Error::NameTooLong(65_536)));
        let mut writer = ResponseWriter::begin(&mut buf, 200, b"");
        writer.header(b"A", &vec![b'x'; crate::LIMIT]);
        assert_eq!(writer.finish(), Err(Error::TooLong));
        assert!(buf.is_empty());
    }
}
