//! The settings of a process that is about to run Python, as name–value pairs.

use crate::Error;
use crate::block::{Kind, Reader, Writer};

/// Writes a settings block into a buffer; errors are told by [`SettingsWriter::finish`].
pub struct SettingsWriter<'a>(Writer<'a>);

impl<'a> SettingsWriter<'a> {
    /// Clears `buf` and begins a block in it.
    pub fn begin(buf: &'a mut Vec<u8>) -> Self {
        SettingsWriter(Writer::begin(buf, Kind::Settings))
    }

    /// Adds a setting; the name has at most 65,535 bytes. A later value overrides an earlier one.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.0.put_pair(0, name, value, b"");
    }

    /// Ends the block; after an error the buffer is empty.
    ///
    /// # Errors
    /// `NameTooLong`; `TooLong` if the block has more than [`crate::LIMIT`] bytes.
    pub fn finish(self) -> Result<(), Error> {
        self.0.finish()
    }
}

/// A settings block being read.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a>(Reader<'a>);

impl<'a> Settings<'a> {
    /// Reads `block`, which must be all of it and nothing more. Pairs are checked as they are read.
    ///
    /// # Errors
    /// `Length`, `TooLong`, `Version`, `Kind`, `Truncated`.
    pub fn parse(block: &'a [u8]) -> Result<Self, Error> {
        Reader::open(block, Kind::Settings).map(Settings)
    }

    /// Names and values in the order in which they were written; the last of a name counts.
    pub fn pairs(&self) -> Pairs<'a> {
        Pairs(self.0)
    }

    /// The value of a setting; the last, if it has several. Pairs behind a malformed one are not seen.
    pub fn get(&self, wanted: &[u8]) -> Option<&'a [u8]> {
        self.pairs().flatten().filter(|(name, _)| *name == wanted).map(|(_, value)| value).last()
    }
}

/// Iterator over the names and values of a settings block. An error is its last item.
///
/// Errors: `Truncated`, `Reserved`.
#[derive(Clone, Debug)]
pub struct Pairs<'a>(Reader<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let pair = read_pair(&mut self.0);
        if pair.is_err() {
            self.0.give_up();
        }
        Some(pair)
    }
}

fn read_pair<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), Error> {
    match reader.u16()? {
        0 => {}
        other => return Err(Error::Reserved(other)),
    }
    let name_length = reader.u16()?;
    let value_length = reader.length()?;
    Ok((reader.bytes(usize::from(name_length))?, reader.bytes(value_length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(settings: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut buf = Vec::new();
        let mut writer = SettingsWriter::begin(&mut buf);
        for (name, value) in settings {
            writer.set(name, value);
        }
        assert_eq!(writer.finish(), Ok(()));
        buf
    }

    #[test]
    fn settings_are_read_as_they_were_written() {
        let block = block(&[(b"door", b"embedded"), (b"process_group", b"")]);
        let settings = Settings::parse(&block).expect("sound");
        let pairs: Vec<_> = settings.pairs().collect();
        assert_eq!(pairs, [Ok((b"door".as_slice(), b"embedded".as_slice())), Ok((b"process_group", b""))]);
    }

    #[test]
    fn settings_have_the_documented_bytes() {
        let mut expected = vec![19, 0, 0, 0, 1, 0, 2, 0];
        expected.extend([0, 0, 1, 0, 2, 0, 0, 0, b'a', b'b', b'c']);
        assert_eq!(block(&[(b"a", b"bc")]), expected);
    }

    #[test]
    fn last_value_of_a_setting_counts() {
        let block = block(&[(b"a", b"1"), (b"b", b""), (b"a", b"2")]);
        let settings = Settings::parse(&block).expect("sound");
        assert_eq!(settings.get(b"a"), Some(b"2".as_slice()));
        assert_eq!(settings.get(b"b"), Some(b"".as_slice()));
        assert_eq!(settings.get(b"c"), None);
    }

    #[test]
    fn malformed_pair_is_the_last_item() {
        let mut block = block(&[(b"a", b"1"), (b"b", b"2")]);
        block[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        let settings = Settings::parse(&block).expect("the block itself is sound");
        assert_eq!(settings.pairs().collect::<Vec<_>>(), [Err(Error::Truncated)]);
        assert_eq!(settings.get(b"b"), None);
        block[8] = 1;
        let settings = Settings::parse(&block).expect("the block itself is sound");
        assert_eq!(settings.pairs().collect::<Vec<_>>(), [Err(Error::Reserved(1))]);
    }

    #[test]
    fn request_head_is_not_taken_for_settings() {
        let mut buf = Vec::new();
        let writer = crate::RequestWriter::begin(&mut buf, crate::Facts::default());
        assert_eq!(writer.finish(), Ok(()));
        assert_eq!(Settings::parse(&buf).map(|_| ()), Err(Error::Kind(0)));
    }
}
