//! A mean of times in which newer ones weigh more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What one value weighs: an eighth.
const SHARE: u32 = 8;

/// The mean, in ns. Of two values that are added at once one may be lost.
#[derive(Debug)]
pub(crate) struct RunningMean(AtomicU32);

impl RunningMean {
    pub(crate) const fn new(ns: u32) -> RunningMean {
        RunningMean(AtomicU32::new(ns))
    }

    /// Adds a time (over four seconds counts as four), and gives the mean after it.
    pub(crate) fn add(&self, time: Duration) -> u32 {
        let before = self.ns();
        let after = before - before / SHARE + u32::try_from(time.as_nanos()).unwrap_or(u32::MAX) / SHARE;
        self.0.store(after, Ordering::Relaxed);
        after
    }

    pub(crate) fn ns(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_nears_what_is_added() {
        let mean = RunningMean::new(1_000_000);
        assert_eq!(mean.add(Duration::from_micros(200)), 900_000);
        for _ in 0..100 {
            mean.add(Duration::from_micros(200));
        }
        assert!((195_000..=205_000).contains(&mean.ns()), "{mean:?}");
    }

    #[test]
    fn the_longest_time_does_not_overflow() {
        let mean = RunningMean::new(0);
        for _ in 0..1000 {
            mean.add(Duration::MAX);
        }
        assert!(mean.ns() > u32::MAX - 100);
        mean.add(Duration::ZERO);
        assert!(mean.ns() < u32::MAX - u32::MAX / 10);
    }
}
