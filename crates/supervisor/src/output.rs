//! What a worker writes to its standard output and error, as log lines. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Longest line; what follows is another one.
const LINE_LIMIT: usize = 8 << 10;

/// Lines that are remembered, to be quoted if the worker fails to start.
const REMEMBERED: usize = 3;

/// Lines that may come at once, and for each second after that: a loop that prints must not fill the disk.
const BURST: u32 = 2000;
const PER_SECOND: f64 = 200.0;

/// The lines of one worker.
#[derive(Debug)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    last: VecDeque<Vec<u8>>,
    allowance: f64,
    counted: Instant,
    dropped: u64,
}

impl Lines {
    pub(crate) fn new(now: Instant) -> Lines {
        Lines { rest: Vec::new(), last: VecDeque::new(), allowance: f64::from(BURST), counted: now, dropped: 0 }
    }

    /// Takes what was read and gives the lines that are whole, as far as they may be logged.
    pub(crate) fn take(&mut self, bytes: &[u8], now: Instant) -> Vec<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut start = 0;
        while let Some((length, gap)) = measure(&rest[start..]) {
            self.keep(&rest[start..start + length], now, &mut lines);
            start += length + gap;
        }
        rest.drain(..start);
        self.rest = rest;
        lines
    }

    /// Nothing more comes: the line that has no end.
    pub(crate) fn finish(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.keep(&rest, now, &mut lines);
        }
        lines
    }

    /// A line that came over the channel, to be remembered like the others.
    pub(crate) fn remember(&mut self, line: &[u8]) {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(line.to_vec());
    }

    /// The last lines, in one.
    pub(crate) fn last_words(&self) -> String {
        let lines: Vec<_> = self.last.iter().map(|line| String::from_utf8_lossy(line)).collect();
        lines.join(" | ")
    }

    /// How many lines were dropped since this was last asked.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn keep(&mut self, line: &[u8], now: Instant, lines: &mut Vec<Vec<u8>>) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return;
        }
        self.remember(line);
        let passed = now.saturating_duration_since(self.counted).min(Duration::from_secs(60));
        self.counted = now;
        self.allowance = (self.allowance + passed.as_secs_f64() * PER_SECOND).min(f64::from(BURST));
        if self.allowance >= 1.0 {
            self.allowance -= 1.0;
            lines.push(line.to_vec());
        } else {
            self.dropped += 1;
        }
    }
}

/// The length of the first line, and of what ends it.
fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.iter().take(LINE_LIMIT).position(|byte| *byte == b'\n') {
        Some(end) => Some((end, 1)),
        None if bytes.len() >= LINE_LIMIT => Some((LINE_LIMIT, 0)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let now = Instant::now();
        let mut lines = Lines::new(now);
        assert!(lines.take(b"on", now).is_empty());
        assert_eq!(lines.take(b"e\r\n\ntwo\nthr", now), [b"one".to_vec(), b"two".to_vec()]);
        assert_eq!(lines.finish(now), [b"thr".to_vec()]);
        assert_eq!(lines.last_words(), "one | two | thr");
    }

    #[test]
    fn line_without_end_is_cut() {
        let now = Instant::now();
        let mut lines = Lines::new(now);
        let cut = lines.take(&vec![b'x'; LINE_LIMIT + 1], now);
        assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [LINE_LIMIT]);
    }

    #[test]
    fn flood_is_dropped_and_counted_and_passes_again_later() {
        let now = Instant::now();
        let mut lines = Lines::new(now);
        assert_eq!(lines.take(&b"x\n".repeat(2100), now).len(), 2000);
        assert_eq!(lines.take_dropped(), 100);
        assert_eq!(lines.take(b"x\n", now + Duration::from_secs(1)).len(), 1);
        assert_eq!(lines.take_dropped(), 0);
    }
}
