//! The datagrams that a process sends to a collector: a header, then fields, each with its number and type.
//!
//! Numbers and kinds are those that mod_wsgi's collector knows; docs/telemetry.md lists them. Everything is
//! little-endian. Nothing here sends anything.

/// What a datagram is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The figures of an interval.
    Requests = 2,
    /// One request that takes or took long.
    SlowRequest = 4,
    Started = 5,
    Stopping = 6,
    Stopped = 7,
}

/// Which process sends, and with which number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) pid: u32,
    /// Grows with each datagram of the process, so that lost ones show.
    pub(crate) sequence: u32,
    /// µs since 1970.
    pub(crate) now_us: u64,
}

const MAGIC: &[u8; 4] = b"WSGI";
const VERSION: u8 = 1;

const COUNT: u8 = 1;
const NUMBER: u8 = 2;
const BYTES: u8 = 4;
const COUNTS: u8 = 5;
const NUMBERS: u8 = 6;

/// A datagram being written.
#[derive(Debug)]
pub(crate) struct Datagram(Vec<u8>);

impl Datagram {
    /// Begins one. `kind`: a [`Kind`], or a number that Python has for one of its own.
    pub(crate) fn begin(kind: u8, sender: &Sender) -> Datagram {
        let mut bytes = Vec::with_capacity(4096);
        bytes.extend(MAGIC);
        bytes.extend([VERSION, kind, 0, 0]);
        bytes.extend(sender.pid.to_le_bytes());
        bytes.extend(sender.sequence.to_le_bytes());
        bytes.extend(seconds(sender.now_us).to_le_bytes());
        Datagram(bytes)
    }

    pub(crate) fn count(&mut self, id: u16, value: u64) -> &mut Self {
        self.head(id, COUNT);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn number(&mut self, id: u16, value: f64) -> &mut Self {
        self.head(id, NUMBER);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A duration or a moment, told in seconds.
    pub(crate) fn us(&mut self, id: u16, us: u64) -> &mut Self {
        self.number(id, seconds(us))
    }

    /// A text; one that is empty is left out, and a long one is cut.
    pub(crate) fn text(&mut self, id: u16, text: &[u8]) -> &mut Self {
        let text = &text[..text.len().min(1024)];
        if !text.is_empty() {
            self.head(id, BYTES);
            self.0.extend((text.len() as u16).to_le_bytes());
            self.0.extend(text);
        }
        self
    }

    pub(crate) fn counts(&mut self, id: u16, values: impl ExactSizeIterator<Item = u64>) -> &mut Self {
        let length = self.list(id, COUNTS, values.len());
        for value in values.take(length) {
            self.0.extend(i32::try_from(value).unwrap_or(i32::MAX).to_le_bytes());
        }
        self
    }

    /// Durations, told in seconds.
    pub(crate) fn list_us(&mut self, id: u16, values: impl ExactSizeIterator<Item = u64>) -> &mut Self {
        let length = self.list(id, NUMBERS, values.len());
        for us in values.take(length) {
            self.0.extend(seconds(us).to_le_bytes());
        }
        self
    }

    /// Fields that are written already.
    pub(crate) fn fields(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn head(&mut self, id: u16, kind: u8) {
        self.0.extend(id.to_le_bytes());
        self.0.push(kind);
    }

    fn list(&mut self, id: u16, kind: u8, length: usize) -> usize {
        self.head(id, kind);
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.0.extend(length.to_le_bytes());
        length.into()
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_has_the_documented_bytes() {
        let sender = Sender { pid: 7, sequence: 9, now_us: 1_500_000 };
        let mut datagram = Datagram::begin(Kind::Started as u8, &sender);
        datagram.count(20, 3).us(63, 250_000).text(6, b"shop").text(5, b"").counts(90, [1, u64::MAX].into_iter());
        datagram.list_us(111, [2_000_000].into_iter());
        let mut expected = b"WSGI\x01\x05\0\0\x07\0\0\0\x09\0\0\0".to_vec();
        expected.extend(1.5_f64.to_le_bytes());
        expected.extend(b"\x14\0\x01\x03\0\0\0\0\0\0\0");
        expected.extend(b"\x3f\0\x02");
        expected.extend(0.25_f64.to_le_bytes());
        expected.extend(b"\x06\0\x04\x04\0shop");
        expected.extend(b"\x5a\0\x05\x02\0\x01\0\0\0\xff\xff\xff\x7f");
        expected.extend(b"\x6f\0\x06\x01\0");
        expected.extend(2.0_f64.to_le_bytes());
        assert_eq!(datagram.bytes(), expected);
    }

    #[test]
    fn a_text_is_cut() {
        let mut datagram = Datagram::begin(0, &Sender { pid: 0, sequence: 0, now_us: 0 });
        datagram.text(1, &[b'x'; 5000]);
        assert_eq!(datagram.bytes().len(), 24 + 5 + 1024);
    }
}
