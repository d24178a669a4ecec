//! The request head: a few facts about the request, and its environ as key–value entries.

use gateway::{Key, Level};

use crate::Error;
use crate::block::{Kind, Reader, Writer};

/// The bits of [`Facts::flags`].
pub mod flags {
    /// The script is loaded anew when its file has changed (`WSGIScriptReloading`).
    pub const RELOADING: u32 = 1;
    /// The response's body will not reach the client, as the method is HEAD.
    pub const HEAD: u32 = 2;
    /// The application group's name holds something that a client chose (`%{HOST}`, a matched part of the
    /// URL), so that there is no end to such names.
    pub const OPEN_GROUP: u32 = 4;
    /// The request does not count as activity of its process (`WSGIIgnoreActivity`); of interest to workers.
    pub const IGNORE_ACTIVITY: u32 = 8;
    /// The request has a body, or may have one: the worker may ask for it.
    pub const BODY: u32 = 16;
    /// The body, all of it, follows the head at once.
    pub const BODY_FOLLOWS: u32 = 32;
    /// Where the number of the least severe level that the request's log takes stands (4 bits).
    pub const LOG_LEVEL_SHIFT: u32 = 8;
}

/// What the Python half needs to know about a request and the application does not see as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// When the script's file was last modified, in microseconds since 1970.
    pub script_mtime_us: i64,
    /// When httpd had read the request line, in microseconds since 1970.
    pub request_start_us: u64,
    /// Bits of [`flags`]; unknown ones are kept.
    pub flags: u32,
}

impl Facts {
    /// Whether all of these bits of [`flags`] are set.
    pub fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    /// The least severe level that the log of the request's virtual host takes.
    pub fn log_level(&self) -> Level {
        Level::from_number((self.flags >> flags::LOG_LEVEL_SHIFT & 0xf) as i32)
    }

    /// Sets it.
    pub fn set_log_level(&mut self, level: Level) {
        self.flags &= !(0xf << flags::LOG_LEVEL_SHIFT);
        self.flags |= (level as u32) << flags::LOG_LEVEL_SHIFT;
    }
}

/// Writes a request head into a buffer.
///
/// What cannot be written is remembered and told by [`RequestWriter::finish`], so that the entries can
/// be put down one after another without a check at each.
pub struct RequestWriter<'a>(Writer<'a>);

impl<'a> RequestWriter<'a> {
    /// Clears `buf` and begins a head in it.
    pub fn begin(buf: &'a mut Vec<u8>, facts: Facts) -> Self {
        let mut writer = Writer::begin(buf, Kind::Request);
        writer.put([
            &facts.script_mtime_us.to_le_bytes(),
            &facts.request_start_us.to_le_bytes(),
            &facts.flags.to_le_bytes(),
        ]);
        RequestWriter(writer)
    }

    /// Adds an entry under a known key. A later entry of the same key overrides an earlier one.
    pub fn known(&mut self, key: Key, value: &[u8]) {
        self.0.put_pair(key.number(), b"", value, b"");
    }

    /// Adds an entry under any name, of at most 65,535 bytes.
    pub fn named(&mut self, name: &[u8], value: &[u8]) {
        self.0.put_pair(0, name, value, b"");
    }

    /// Ends the head; after an error the buffer is empty.
    ///
    /// # Errors
    /// `NameTooLong`; `TooLong` if the head has more than [`crate::LIMIT`] bytes.
    pub fn finish(self) -> Result<(), Error> {
        self.0.finish()
    }
}

/// One variable of the environ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// Under a key known by number.
    Known {
        /// The key.
        key: Key,
        /// Its value.
        value: &'a [u8],
    },
    /// Under any other name.
    Named {
        /// The name, as in the environ.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
}

/// A request head being read; its strings point into the block.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    facts: Facts,
    entries: Reader<'a>,
}

impl<'a> RequestHead<'a> {
    /// Reads the head in `block`, which must be all of it and nothing more. Entries are checked as
    /// they are read.
    ///
    /// # Errors
    /// `Length`, `TooLong`, `Version`, `Kind`, `Truncated`.
    pub fn parse(block: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::open(block, Kind::Request)?;
        let facts = Facts {
            script_mtime_us: reader.array().map(i64::from_le_bytes)?,
            request_start_us: reader.array().map(u64::from_le_bytes)?,
            flags: reader.u32()?,
        };
        Ok(RequestHead { facts, entries: reader })
    }

    /// The facts.
    pub fn facts(&self) -> Facts {
        self.facts
    }

    /// The entries in the order in which they were written; the last of a key or name counts.
    pub fn entries(&self) -> Entries<'a> {
        Entries(self.entries)
    }

    /// The value of a known key; of the last, if it has several. Entries behind a malformed one are
    /// not seen.
    pub fn get(&self, wanted: Key) -> Option<&'a [u8]> {
        let [value] = self.get_each([wanted]);
        value
    }

    /// [`RequestHead::get`] for several keys, with one walk through the entries.
    pub fn get_each<const N: usize>(&self, wanted: [Key; N]) -> [Option<&'a [u8]>; N] {
        let mut values = [None; N];
        for entry in self.entries() {
            if let Ok(Entry::Known { key, value }) = entry
                && let Some(index) = wanted.iter().position(|wanted| *wanted == key)
            {
                values[index] = Some(value);
            }
        }
        values
    }
}

/// Iterator over a request head's entries. An error is its last item.
///
/// Errors: `Truncated`, `UnknownKey`, `KeyWithName`.
#[derive(Clone, Debug)]
pub struct Entries<'a>(Reader<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry = read_entry(&mut self.0);
        if entry.is_err() {
            self.0.give_up();
        }
        Some(entry)
    }
}

fn read_entry<'a>(reader: &mut Reader<'a>) -> Result<Entry<'a>, Error> {
    let number = reader.u16()?;
    let name_length = reader.u16()?;
    let value_length = reader.length()?;
    let name = reader.bytes(usize::from(name_length))?;
    let value = reader.bytes(value_length)?;
    if number == 0 {
        return Ok(Entry::Named { name, value });
    }
    let key = Key::from_number(number).ok_or(Error::UnknownKey(number))?;
    if !name.is_empty() {
        return Err(Error::KeyWithName(number));
    }
    Ok(Entry::Known { key, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts =
        Facts { script_mtime_us: -1, request_start_us: 2, flags: flags::HEAD | flags::IGNORE_ACTIVITY };

    fn head(write: impl FnOnce(&mut RequestWriter<'_>)) -> Vec<u8> {
        let mut buf = b"left over".to_vec();
        let mut writer = RequestWriter::begin(&mut buf, FACTS);
        write(&mut writer);
        assert_eq!(writer.finish(), Ok(()));
        buf
    }

    fn entries(block: &[u8]) -> Vec<Result<Entry<'_>, Error>> {
        RequestHead::parse(block).expect("the block itself is sound").entries().collect()
    }

    /// The block with its length mended after a change.
    fn mended(mut block: Vec<u8>) -> Vec<u8> {
        let total = block.len() as u32;
        block[..4].copy_from_slice(&total.to_le_bytes());
        block
    }

    #[test]
    fn several_values_are_found_in_one_walk_and_the_last_of_each_counts() {
        let head = head(|writer| {
            writer.known(Key::PathInfo, b"/first");
            writer.known(Key::QueryString, b"q");
            writer.known(Key::PathInfo, b"/last");
        });
        let head = RequestHead::parse(&head).expect("sound");
        let found = head.get_each([Key::QueryString, Key::ScriptName, Key::PathInfo]);
        assert_eq!(found, [Some(b"q".as_slice()), None, Some(b"/last".as_slice())]);
    }

    #[test]
    fn request_head_is_read_as_it_was_written() {
        let block = head(|writer| {
            writer.known(Key::RequestMethod, b"GET");
            writer.named(b"HTTP_X_A", b"1\0\xff");
            writer.known(Key::QueryString, b"");
        });
        assert_eq!(RequestHead::parse(&block).map(|head| head.facts()), Ok(FACTS));
        assert_eq!(
            entries(&block),
            [
                Ok(Entry::Known { key: Key::RequestMethod, value: b"GET" }),
                Ok(Entry::Named { name: b"HTTP_X_A", value: b"1\0\xff" }),
                Ok(Entry::Known { key: Key::QueryString, value: b"" }),
            ]
        );
    }

    #[test]
    fn request_head_has_the_documented_bytes() {
        let block = head(|writer| {
            writer.known(Key::RequestMethod, b"GET");
            writer.named(b"A", b"bc");
        });
        let mut expected = vec![50, 0, 0, 0, 1, 0, 0, 0];
        expected.extend([0xff; 8]);
        expected.extend([2, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([10, 0, 0, 0]);
        expected.extend([1, 0, 0, 0, 3, 0, 0, 0, b'G', b'E', b'T']);
        expected.extend([0, 0, 1, 0, 2, 0, 0, 0, b'A', b'b', b'c']);
        assert_eq!(block, expected);
    }

    #[test]
    fn flags_are_told_one_by_one_and_together() {
        assert!(FACTS.has(flags::HEAD) && FACTS.has(flags::HEAD | flags::IGNORE_ACTIVITY));
        assert!(!FACTS.has(flags::RELOADING) && !FACTS.has(flags::HEAD | flags::OPEN_GROUP));
    }

    #[test]
    fn last_value_of_a_key_counts() {
        let block = head(|writer| {
            writer.known(Key::PathInfo, b"/first");
            writer.known(Key::ScriptName, b"/x");
            writer.known(Key::PathInfo, b"/last");
        });
        let head = RequestHead::parse(&block).expect("sound");
        assert_eq!(head.get(Key::PathInfo), Some(b"/last".as_slice()));
        assert_eq!(head.get(Key::QueryString), None);
    }

    #[test]
    fn request_head_without_entries_is_empty() {
        assert_eq!(entries(&head(|_| {})), []);
    }

    #[test]
    fn request_head_cut_within_its_facts_is_refused() {
        let block = head(|_| {});
        let error = RequestHead::parse(&mended(block[..27].to_vec())).map(|_| ());
        assert_eq!(error, Err(Error::Truncated));
    }

    #[test]
    fn request_head_cut_anywhere_within_an_entry_ends_in_one_error() {
        let block = head(|writer| writer.named(b"A", b"bc"));
        for length in 29..block.len() {
            assert_eq!(entries(&mended(block[..length].to_vec())), [Err(Error::Truncated)], "{length}");
        }
    }

    #[test]
    fn key_that_nobody_allotted_is_refused() {
        let mut block = head(|writer| writer.known(Key::RequestMethod, b"GET"));
        let unknown = Key::COUNT as u16 + 1;
        block[28..30].copy_from_slice(&unknown.to_le_bytes());
        assert_eq!(entries(&block), [Err(Error::UnknownKey(unknown))]);
    }

    #[test]
    fn known_key_with_a_name_is_refused() {
        let mut block = head(|writer| writer.named(b"A", b""));
        block[28] = 1;
        assert_eq!(entries(&block), [Err(Error::KeyWithName(1))]);
    }

    #[test]
    fn over_long_name_is_told_at_the_end_and_leaves_nothing() {
        let mut buf = Vec::new();
        let mut writer = RequestWriter::begin(&mut buf, FACTS);
        writer.named(&[b'N'; 65_536], b"");
        writer.known(Key::RequestMethod, b"GET");
        assert_eq!(writer.finish(), Err(Error::NameTooLong(65_536)));
        assert!(buf.is_empty());
    }

    #[test]
    fn name_of_65535_bytes_passes() {
        let name = [b'N'; 65_535];
        let block = head(|writer| writer.named(&name, b"v"));
        assert_eq!(entries(&block), [Ok(Entry::Named { name: &name, value: b"v" })]);
    }
}
