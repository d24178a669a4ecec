//! `wsgi.input` without Python: reads by size and by line over an exchange, with one buffer.

use gateway::{Exchange, ReadError};

use crate::measure::{self, Amount};

/// What a piece of the body is asked for at a time, bytes.
const PIECE: usize = 64 << 10;

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InputError {
    /// The first error of the exchange.
    Read(ReadError),
    /// A read after one that failed.
    Again,
}

/// The request body and what was read of it ahead of the application.
#[derive(Default)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    start: usize,
    is_at_end: bool,
    has_failed: bool,
    taken: Amount,
}

impl Input {
    /// Reads exactly `size` bytes, fewer only at the end of the body.
    ///
    /// # Errors
    /// See [`InputError`]; what was read before the error is lost, as the body is not whole.
    pub(crate) fn read(&mut self, exchange: &mut dyn Exchange, size: usize) -> Result<Vec<u8>, InputError> {
        self.check()?;
        while self.available() < size && !self.is_at_end {
            self.fetch(exchange, size - self.available())?;
        }
        Ok(self.take(size.min(self.available())))
    }

    /// Reads everything up to the end of the body.
    ///
    /// # Errors
    /// As for [`Input::read`].
    pub(crate) fn read_all(&mut self, exchange: &mut dyn Exchange) -> Result<Vec<u8>, InputError> {
        self.read(exchange, usize::MAX)
    }

    /// Reads at most `size` bytes: what is there, or what one wait brings.
    ///
    /// # Errors
    /// As for [`Input::read`].
    pub(crate) fn read_some(&mut self, exchange: &mut dyn Exchange, size: usize) -> Result<Vec<u8>, InputError> {
        self.check()?;
        if self.available() == 0 && size > 0 && !self.is_at_end {
            self.fetch(exchange, size)?;
        }
        Ok(self.take(size.min(self.available())))
    }

    /// Reads up to and including the next line feed, at most `size` bytes.
    ///
    /// # Errors
    /// As for [`Input::read`].
    pub(crate) fn read_line(&mut self, exchange: &mut dyn Exchange, size: usize) -> Result<Vec<u8>, InputError> {
        self.check()?;
        let mut searched = 0;
        loop {
            let ahead = &self.buffer[self.start..];
            let limit = ahead.len().min(size);
            if let Some(position) = ahead[searched.min(limit)..limit].iter().position(|&byte| byte == b'\n') {
                return Ok(self.take(searched + position + 1));
            }
            if limit == size || self.is_at_end {
                return Ok(self.take(limit));
            }
            searched = limit;
            self.fetch(exchange, PIECE)?;
        }
    }

    /// What has come from the client so far.
    pub(crate) fn taken(&self) -> Amount {
        self.taken
    }

    fn check(&self) -> Result<(), InputError> {
        if self.has_failed { Err(InputError::Again) } else { Ok(()) }
    }

    fn available(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Adds one piece to the buffer; memory grows with what came, not with what was asked for.
    fn fetch(&mut self, exchange: &mut dyn Exchange, wanted: usize) -> Result<(), InputError> {
        // What was handed out is let go, by moves that in all cost less than the reading did.
        if self.start == self.buffer.len() || self.start >= PIECE {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let before = self.buffer.len();
        self.buffer.resize(before + wanted.clamp(1, PIECE), 0);
        let began = measure::moment();
        let result = exchange.read(&mut self.buffer[before..]);
        let count = *result.as_ref().unwrap_or(&0);
        self.taken.add(count as u64, began);
        self.buffer.truncate(before + count);
        match result {
            Ok(0) => self.is_at_end = true,
            Ok(_) => {}
            Err(error) => {
                self.has_failed = true;
                return Err(InputError::Read(error));
            }
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        // The whole buffer at once is moved and not copied.
        if self.start == 0 && count == self.buffer.len() {
            return std::mem::take(&mut self.buffer);
        }
        let taken = self.buffer[self.start..self.start + count].to_vec();
        self.start += count;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryExchange;

    #[test]
    fn read_joins_pieces_until_it_has_the_size() {
        let (mut exchange, mut input) = (MemoryExchange::with_body([b"ab", b"cde", b"f"]), Input::default());
        assert_eq!(input.read(&mut exchange, 4).unwrap(), b"abcd");
        assert_eq!(input.read(&mut exchange, 4).unwrap(), b"ef");
        assert_eq!(input.read(&mut exchange, 4).unwrap(), b"");
    }

    #[test]
    fn read_all_takes_everything_once() {
        let (mut exchange, mut input) = (MemoryExchange::with_body([b"ab", b"c"]), Input::default());
        assert_eq!(input.read_all(&mut exchange).unwrap(), b"abc");
        assert_eq!(input.read_all(&mut exchange).unwrap(), b"");
    }

    #[test]
    fn lines_end_with_their_feed_wherever_pieces_are_cut() {
        let (mut exchange, mut input) = (MemoryExchange::with_body([b"a", b"b\nc\n", b"d"]), Input::default());
        for line in [&b"ab\n"[..], b"c\n", b"d", b""] {
            assert_eq!(input.read_line(&mut exchange, usize::MAX).unwrap(), line);
        }
    }

    #[test]
    fn a_line_is_cut_at_the_size() {
        let (mut exchange, mut input) = (MemoryExchange::with_body([b"abcdef\n"]), Input::default());
        assert_eq!(input.read_line(&mut exchange, 0).unwrap(), b"");
        assert_eq!(input.read_line(&mut exchange, 4).unwrap(), b"abcd");
        assert_eq!(input.read_line(&mut exchange, 4).unwrap(), b"ef\n");
    }

    #[test]
    fn lines_and_sizes_mix_without_loss() {
        let (mut exchange, mut input) = (MemoryExchange::with_body([b"1\n23", b"45\n6"]), Input::default());
        assert_eq!(input.read_line(&mut exchange, usize::MAX).unwrap(), b"1\n");
        assert_eq!(input.read(&mut exchange, 1).unwrap(), b"2");
        assert_eq!(input.read_line(&mut exchange, usize::MAX).unwrap(), b"345\n");
        assert_eq!(input.read_all(&mut exchange).unwrap(), b"6");
    }

    #[test]
    fn read_some_waits_once() {
        let (mut exchange, mut input) = (MemoryExchange::with_body([b"ab", b"cd"]), Input::default());
        assert_eq!(input.read_some(&mut exchange, 10).unwrap(), b"ab");
        assert_eq!(input.read_some(&mut exchange, 1).unwrap(), b"c");
        assert_eq!(input.read_some(&mut exchange, 10).unwrap(), b"d");
    }

    #[test]
    fn after_an_error_reading_stays_in_error() {
        let mut exchange = MemoryExchange::default();
        exchange.body.push(Err(ReadError::ClientGone));
        let mut input = Input::default();
        assert_eq!(input.read_all(&mut exchange), Err(InputError::Read(ReadError::ClientGone)));
        assert_eq!(input.read(&mut exchange, 1), Err(InputError::Again));
        assert_eq!(input.read_line(&mut exchange, 1), Err(InputError::Again));
    }

    #[test]
    fn lines_that_never_end_with_a_piece_do_not_pile_up() {
        let line = [vec![b'x'; 20_000], b"\n".to_vec()].concat();
        let body = line.repeat(100);
        let mut exchange = MemoryExchange::with_body([&body]);
        let mut input = Input::default();
        for _ in 0..100 {
            assert_eq!(input.read_line(&mut exchange, usize::MAX).unwrap(), line);
            assert!(input.buffer.len() <= 4 * PIECE);
        }
    }

    #[test]
    fn a_huge_size_allocates_only_what_came() {
        let (mut exchange, mut input) = (MemoryExchange::with_body([b"abc"]), Input::default());
        assert_eq!(input.read(&mut exchange, usize::MAX - 1).unwrap(), b"abc");
        assert!(input.buffer.capacity() <= 2 * PIECE);
    }
}
