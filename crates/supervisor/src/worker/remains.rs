//! The pipe of a worker that has ended, as long as processes that it has started may write to it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use super::intake::read_output;
use crate::output::Lines;

/// Most of them in a group; the oldest goes first.
pub(crate) const REMAINS_LIMIT: usize = 64;

/// A pipe, and whose it was.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(super) pid: i32,
    pub(super) output: OwnedFd,
    pub(super) lines: Lines,
}

/// What has come.
pub(crate) struct Words {
    pub(crate) lines: Vec<Vec<u8>>,
    pub(crate) dropped: u64,
    /// Nothing more will come.
    pub(crate) is_end: bool,
}

impl Remains {
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// When [`Remains::take`] has something although nothing has come.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.lines.due_at()
    }

    /// Takes what has come, for one turn, and what has waited.
    pub(crate) fn take(&mut self, buf: &mut Vec<u8>, now: Instant) -> Words {
        let read = read_output(&self.output, buf);
        let mut lines = read.map_or_else(Vec::new, |count| self.lines.take(&buf[..count], now));
        let is_end = read == Some(0);
        if is_end {
            lines.extend(self.lines.finish(now));
        }
        let (waited, dropped) = self.lines.due(now);
        lines.extend(waited);
        let dropped = if is_end { dropped.unwrap_or(0) + self.lines.take_dropped() } else { dropped.unwrap_or(0) };
        Words { lines, dropped, is_end }
    }
}
