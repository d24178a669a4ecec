//! What a log did not take.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What could not be written yet: a log program is slow, or has gone and another is about to take its place, or a disk is
/// full.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines for which there was no room here, and which have not been told of.
    pub(super) lost: u64,
    pub(super) tried: Option<Instant>,
}

/// Bytes that are kept.
const BACKLOG_LIMIT: usize = 1 << 20;

/// How often it is tried to write them.
pub(super) const RETRY_EVERY: Duration = Duration::from_secs(1);

impl Backlog {
    /// Keeps a line, if there is room.
    pub(super) fn keep(&mut self, line: Vec<u8>) {
        self.tried.get_or_insert_with(Instant::now);
        // What was lost before would stand between.
        if self.lost > 0 || self.bytes + line.len() > BACKLOG_LIMIT {
            self.lost += 1;
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    /// So much of the first line has been written; whether that was all of it.
    pub(super) fn took(&mut self, count: usize) -> bool {
        let Some(line) = self.lines.front_mut() else { return true };
        self.bytes -= count;
        line.drain(..count);
        let is_whole = line.is_empty();
        if is_whole {
            self.lines.pop_front();
        }
        is_whole
    }
}
