//! How requests come to a worker and how long they take: whether one thread is to serve them all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::mean::RunningMean;

/// Mean length of a request, ns, from which on nobody leads.
const LONG_NS: u32 = 500_000;

/// Mean length, ns, below which one leads again.
const SHORT_NS: u32 = 250_000;

/// Mean time from one request to the next, ns, from which on nobody leads.
const SPARSE_NS: u32 = 1_000_000;

/// Mean time, ns, below which one leads again.
const DENSE_NS: u32 = 500_000;

/// Longer pauses count as this one, so that a few requests make up for one.
const PAUSE_LIMIT: Duration = Duration::from_millis(8);

/// As what a request counts that is stuck: one is enough for nobody to lead until several short ones have come.
const STUCK: Duration = Duration::from_millis(8);

/// What is learnt from all requests of a worker.
#[derive(Debug)]
pub(crate) struct Pace {
    length: RunningMean,
    interval: RunningMean,
    /// When the last request came, ns since `started`.
    last_ns: AtomicU64,
    started: Instant,
}

impl Pace {
    /// Of a worker that knows nothing yet.
    pub(crate) fn new() -> Pace {
        Pace {
            length: RunningMean::new(LONG_NS),
            interval: RunningMean::new(SPARSE_NS),
            last_ns: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// A request has come.
    pub(crate) fn note_begin(&self, now: Instant) {
        let now_ns = u64::try_from((now - self.started).as_nanos()).unwrap_or(u64::MAX);
        let pause_ns = now_ns.saturating_sub(self.last_ns.swap(now_ns, Ordering::Relaxed));
        self.interval.add(Duration::from_nanos(pause_ns).min(PAUSE_LIMIT));
    }

    /// One that has begun then has ended.
    pub(crate) fn note_end(&self, began: Instant) {
        self.length.add(began.elapsed());
    }

    /// One does not end.
    pub(crate) fn note_stuck(&self) {
        self.length.add(STUCK);
    }

    /// Requests are short and many.
    pub(crate) fn is_for_one(&self) -> bool {
        self.length.ns() < SHORT_NS && self.interval.ns() < DENSE_NS
    }

    /// Requests are long or few.
    pub(crate) fn is_for_all(&self) -> bool {
        self.length.ns() > LONG_NS || self.interval.ns() > SPARSE_NS
    }
}

#[cfg(test)]
impl Pace {
    /// Short requests, one upon the other.
    pub(crate) fn quick() -> Pace {
        Pace { length: RunningMean::new(20_000), interval: RunningMean::new(50_000), ..Pace::new() }
    }

    /// Requests that come so far apart.
    pub(crate) fn note_pause(&self, pause: Duration) {
        self.interval.add(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_first_nothing_is_for_one() {
        assert!(!Pace::new().is_for_one() && !Pace::new().is_for_all());
    }

    #[test]
    fn one_request_that_is_stuck_is_enough_and_short_ones_make_up_for_it() {
        let pace = Pace::quick();
        assert!(pace.is_for_one() && !pace.is_for_all());
        pace.note_stuck();
        assert!(pace.is_for_all());
        for _ in 0..20 {
            pace.length.add(Duration::from_micros(20));
        }
        assert!(pace.is_for_one());
    }

    #[test]
    fn requests_that_are_far_apart_are_for_all() {
        let pace = Pace::quick();
        pace.note_pause(PAUSE_LIMIT);
        assert!(pace.is_for_all());
    }
}
