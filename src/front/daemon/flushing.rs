//! When what a worker has sent must leave httpd: `response-flush-delay` and `response-buffer-size`.

use std::time::{Duration, Instant};

use gateway::Flow;

/// The flushes of one response.
#[derive(Debug)]
pub(super) struct Flushing {
    /// How long blocks may be gathered while more of them is here already.
    delay: Duration,
    /// Most bytes without a flush.
    limit: usize,
    unflushed: usize,
    owed_since: Option<Instant>,
}

impl Flushing {
    pub(super) fn new(delay: Duration, limit: usize) -> Flushing {
        Flushing { delay, limit: if limit == 0 { usize::MAX } else { limit }, unflushed: 0, owed_since: None }
    }

    /// How to hand on a block of `length` bytes; `is_last` says that nothing has come after it yet.
    pub(super) fn flow(&mut self, asked: Flow, length: usize, is_last: bool) -> Flow {
        self.unflushed = self.unflushed.saturating_add(length);
        let flow = match asked {
            Flow::End => Flow::End,
            _ if self.unflushed >= self.limit => Flow::Flush,
            Flow::More => Flow::More,
            Flow::Flush if is_last || self.delay.is_zero() => Flow::Flush,
            // What has come already goes along, unless it keeps coming.
            Flow::Flush => match *self.owed_since.get_or_insert_with(Instant::now) {
                since if since.elapsed() >= self.delay => Flow::Flush,
                _ => Flow::More,
            },
        };
        if flow != Flow::More {
            self.unflushed = 0;
            self.owed_since = None;
        }
        flow
    }

    /// Nothing more will come, and the response is not whole: whether something waits for a flush, asked for or not.
    /// What breaks off such a response drops what has not left.
    pub(super) fn take_unflushed(&mut self) -> bool {
        let is_owed = self.take_owed();
        std::mem::take(&mut self.unflushed) > 0 || is_owed
    }

    /// Nothing more is here: whether a flush is due.
    pub(super) fn take_owed(&mut self) -> bool {
        let is_owed = self.owed_since.take().is_some();
        if is_owed {
            self.unflushed = 0;
        }
        is_owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_block_that_came_alone_is_flushed_at_once() {
        let mut flushing = Flushing::new(LONG, 0);
        assert_eq!(flushing.flow(Flow::Flush, 1, true), Flow::Flush);
        assert!(!flushing.take_owed());
    }

    #[test]
    fn blocks_that_came_together_are_flushed_together() {
        let mut flushing = Flushing::new(LONG, 0);
        assert_eq!(flushing.flow(Flow::Flush, 1, false), Flow::More);
        assert_eq!(flushing.flow(Flow::Flush, 1, false), Flow::More);
        assert!(flushing.take_owed());
        assert!(!flushing.take_owed());
    }

    #[test]
    fn blocks_that_keep_coming_are_flushed_after_the_delay() {
        let mut flushing = Flushing::new(Duration::from_nanos(1), 0);
        let flows: Vec<_> = (0..1000).map(|_| flushing.flow(Flow::Flush, 1, false)).collect();
        assert!(flows.contains(&Flow::Flush));
        assert_eq!(Flushing::new(Duration::ZERO, 0).flow(Flow::Flush, 1, false), Flow::Flush);
    }

    #[test]
    fn what_came_of_a_response_that_breaks_off_is_flushed_once_whether_that_was_asked_for_or_not() {
        for asked in [Flow::Flush, Flow::More] {
            let mut flushing = Flushing::new(LONG, 0);
            assert!(!flushing.take_unflushed());
            assert_eq!(flushing.flow(asked, 1, false), Flow::More);
            assert!(flushing.take_unflushed());
            assert!(!flushing.take_unflushed());
        }
    }

    #[test]
    fn many_bytes_are_flushed_whatever_was_asked_for() {
        let mut flushing = Flushing::new(LONG, 10);
        assert_eq!(flushing.flow(Flow::More, 6, false), Flow::More);
        assert_eq!(flushing.flow(Flow::More, 6, false), Flow::Flush);
        assert_eq!(flushing.flow(Flow::More, 6, false), Flow::More);
    }

    #[test]
    fn the_end_flushes_what_was_owed() {
        let mut flushing = Flushing::new(LONG, 0);
        assert_eq!(flushing.flow(Flow::Flush, 1, false), Flow::More);
        assert_eq!(flushing.flow(Flow::End, 0, true), Flow::End);
        assert!(!flushing.take_owed());
    }
}
