//! Durations of many requests: how many, their sum, the least and the greatest, and how they are spread.

/// How many buckets there are.
pub(crate) const BUCKETS: usize = 65;

/// The durations up to 1 ms and a quarter are in the first bucket.
const FIRST_US: u64 = 1000;

/// Powers of two from [`FIRST_US`] on, each in [`PARTS`] equal parts.
const POWERS: u32 = 16;
const PARTS: u64 = 4;

/// A series of durations, µs.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    count: u64,
    sum_us: u64,
    least_us: u64,
    greatest_us: u64,
    buckets: [u64; BUCKETS],
}

impl Default for Series {
    fn default() -> Self {
        Series { count: 0, sum_us: 0, least_us: u64::MAX, greatest_us: 0, buckets: [0; BUCKETS] }
    }
}

impl Series {
    pub(crate) fn add(&mut self, us: u64) {
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.least_us = self.least_us.min(us);
        self.greatest_us = self.greatest_us.max(us);
        self.buckets[bucket(us)] += 1;
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// The least and the greatest.
    pub(crate) fn range_us(&self) -> Option<(u64, u64)> {
        (self.count > 0).then_some((self.least_us, self.greatest_us))
    }

    pub(crate) fn buckets(&self) -> &[u64; BUCKETS] {
        &self.buckets
    }
}

/// The bucket of a duration: 16 powers of two from 1 ms on, each in four equal parts; shorter ones are in the first, and
/// those of 65.536 s and more in the last.
fn bucket(us: u64) -> usize {
    let power = (us / FIRST_US).checked_ilog2().unwrap_or(0);
    if us < FIRST_US {
        return 0;
    }
    if power >= POWERS {
        return BUCKETS - 1;
    }
    let start = FIRST_US << power;
    let part = (us - start) * PARTS / start;
    usize::try_from(u64::from(power) * PARTS + part).unwrap_or(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_have_their_documented_bounds() {
        for (us, expected) in [
            (0, 0),
            (999, 0),
            (1000, 0),
            (1249, 0),
            (1250, 1),
            (1999, 3),
            (2000, 4),
            (2499, 4),
            (2500, 5),
            (3999, 7),
            (4000, 8),
            (65_535_999, 63),
            (65_536_000, 64),
            (u64::MAX, 64),
        ] {
            assert_eq!(bucket(us), expected, "{us}");
        }
    }

    #[test]
    fn a_series_knows_its_extremes_and_its_sum() {
        let mut series = Series::default();
        assert_eq!((series.range_us(), series.sum_us()), (None, 0));
        for us in [3000, 1000, 2000] {
            series.add(us);
        }
        assert_eq!((series.range_us(), series.sum_us(), series.count()), (Some((1000, 3000)), 6000, 3));
        assert_eq!(series.buckets().iter().sum::<u64>(), 3);
    }
}
