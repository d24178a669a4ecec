//! What is counted of a request while it runs, and whether clocks are read for it.
//!
//! Counts are kept always, since they cost nothing. Clocks are read only once somebody in the process wants to know:
//! a subscriber of events, or who asks for metrics.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Somebody wants to know. Never switched off again: figures of a request that were kept for half of it would be wrong.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Has clocks read from now on.
pub(crate) fn switch_on() {
    IS_ON.store(true, Ordering::Relaxed);
}

/// Whether clocks are read.
pub(crate) fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// The present moment, if clocks are read.
pub(crate) fn moment() -> Option<Instant> {
    is_on().then(Instant::now)
}

/// What went one way through a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// How many times the exchange was asked.
    pub(crate) calls: u64,
    pub(crate) bytes: u64,
    /// How long that took, while clocks were read.
    pub(crate) time: Duration,
}

impl Amount {
    /// Adds another one.
    pub(crate) fn join(&mut self, other: Amount) {
        self.calls += other.calls;
        self.bytes += other.bytes;
        self.time += other.time;
    }

    /// Adds a call that began at a [`moment`] and has just ended.
    pub(crate) fn add(&mut self, bytes: u64, began: Option<Instant>) {
        self.calls += 1;
        self.bytes += bytes;
        if let Some(began) = began {
            self.time += began.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_bytes_are_counted_without_a_clock() {
        let mut amount = Amount::default();
        amount.add(10, None);
        amount.add(5, None);
        assert_eq!(amount, Amount { calls: 2, bytes: 15, time: Duration::ZERO });
    }

    #[test]
    fn time_is_added_up_where_there_is_a_moment() {
        let mut amount = Amount::default();
        let began = Instant::now().checked_sub(Duration::from_millis(20));
        amount.add(1, began);
        assert!(amount.time >= Duration::from_millis(20), "{amount:?}");
    }
}
