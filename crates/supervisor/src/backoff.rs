//! How long to wait before a process is started again. Pure.

use std::time::{Duration, Instant};

/// A failure is forgotten after so long.
const MEMORY: Duration = Duration::from_secs(60);

/// Longest wait.
const LONGEST: Duration = Duration::from_secs(60);

/// The failures of one place.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    last: Option<Instant>,
}

impl Backoff {
    /// A process has failed; how long to wait before the next: not at all the first time, then 1, 2, 4 … 60
    /// seconds. A minute in which a process was well, beyond the wait itself, makes the next failure a first one;
    /// `well` is when that was last so.
    pub(crate) fn fail(&mut self, well: Instant, now: Instant) -> Duration {
        let forgotten = self.last.is_none_or(|last| well.duration_since(last) > MEMORY + delay(self.failures));
        self.failures = if forgotten { 1 } else { self.failures.saturating_add(1) };
        self.last = Some(now);
        delay(self.failures)
    }

    /// Forgets all failures.
    pub(crate) fn forget(&mut self) {
        *self = Backoff::default();
    }
}

fn delay(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => Duration::from_secs(1 << (more - 2).min(6)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_failure_waits_for_nothing_and_later_ones_twice_as_long_each_up_to_a_minute() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..10 {
            let wait = backoff.fail(now, now);
            waits.push(wait.as_secs());
            now += wait + Duration::from_millis(100);
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn failure_after_a_quiet_minute_is_a_first_one() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        let mut fail_after = |seconds| {
            let then = now + Duration::from_secs(seconds);
            backoff.fail(then, then)
        };
        fail_after(0);
        assert_eq!(fail_after(59), Duration::from_secs(1));
        assert_eq!(fail_after(59 + 62), Duration::ZERO);
    }

    #[test]
    fn time_that_a_process_has_spent_hanging_is_no_quiet_minute() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..4 {
            let started = now;
            now += Duration::from_secs(120);
            let wait = backoff.fail(started, now);
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [0, 1, 2, 4]);
    }
}
