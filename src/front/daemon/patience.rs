//! How long a request waits for a worker to be there, and in which steps it looks again.

use std::time::Duration;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A seat with a process. Looking at the scoreboard costs little.
    Seat,
    /// Room in a backlog, or the supervisor. The steps are mod_wsgi's.
    Socket,
}

/// The waiting of one request; `connect-timeout` is for all of it.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    waited: Duration,
    step: Duration,
}

const FIRST_STEP: Duration = Duration::from_millis(2);
const LONGEST_STEP: Duration = Duration::from_millis(50);

impl Patience {
    pub(super) fn new(limit: Duration) -> Patience {
        Patience { limit, waited: Duration::ZERO, step: FIRST_STEP }
    }

    /// How long to wait now; `None` when it has been long enough.
    pub(super) fn pause(&mut self, cause: Cause) -> Option<Duration> {
        let rest = self.limit.saturating_sub(self.waited);
        if rest.is_zero() {
            return None;
        }
        let pause = match cause {
            Cause::Seat => {
                let step = self.step;
                self.step = (step * 2).min(LONGEST_STEP);
                step
            }
            Cause::Socket if self.waited < Duration::from_secs(2) => Duration::from_millis(125),
            Cause::Socket => Duration::from_secs(1),
        };
        let pause = pause.min(rest);
        self.waited += pause;
        Some(pause)
    }

    /// What is left of it.
    pub(super) fn rest(&self) -> Duration {
        self.limit.saturating_sub(self.waited)
    }

    /// So long was waited elsewhere.
    pub(super) fn spend(&mut self, time: Duration) {
        self.waited += time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(limit: u64, cause: Cause) -> Vec<u128> {
        let mut patience = Patience::new(Duration::from_millis(limit));
        std::iter::from_fn(|| patience.pause(cause)).map(|pause| pause.as_millis()).collect()
    }

    #[test]
    fn a_seat_is_looked_for_often_at_first_and_never_beyond_the_limit() {
        assert_eq!(steps(200, Cause::Seat), [2, 4, 8, 16, 32, 50, 50, 38]);
    }

    #[test]
    fn a_socket_is_tried_every_eighth_of_a_second_and_after_two_seconds_every_second() {
        let steps = steps(4500, Cause::Socket);
        assert_eq!(steps[..16], [125; 16]);
        assert_eq!(steps[16..], [1000, 1000, 500]);
    }

    #[test]
    fn without_a_limit_there_is_no_waiting() {
        assert!(steps(0, Cause::Seat).is_empty());
    }
}
