//! Who of a worker's threads waits for the next request.
//!
//! While requests are short and come one upon the other, one thread does: the *leader* takes them in turn. It hardly
//! ever sleeps, nobody is woken to find the GIL taken, and the GIL stays where it is. A second thread, the *deputy*,
//! looks every [`TICK`] whether the leader has got stuck in a request, and then takes the lead; the others rest. Where
//! requests are long, because they compute or because they wait, all threads wait for them, so that none waits for
//! a tick; and where they are rare, so that none has to wake a deputy. Both are learnt from all requests.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a leader may be in one request until the deputy takes over.
const TICK: Duration = Duration::from_millis(1);

/// Mean length of requests, ns, from which on all threads wait for them.
const LONG_NS: u32 = 500_000;

/// Mean length, ns, below which one leads again.
const SHORT_NS: u32 = 250_000;

/// Mean time from one request to the next, ns, from which on all threads wait for them.
const SPARSE_NS: u32 = 1_000_000;

/// Mean time, ns, below which one leads again.
const DENSE_NS: u32 = 500_000;

/// Longer pauses count as this one, ns, so that a few requests make up for one.
const PAUSE_LIMIT_NS: u64 = 8_000_000;

/// The threads of one worker, at most `u32::MAX - 1` of them.
#[derive(Debug)]
pub(crate) struct Crew {
    /// The leader's number from 1, or 0 while nobody leads, in the upper half; in the lower one a counter, odd while
    /// the leader serves.
    lead: AtomicU64,
    /// The mean length of a request, ns; newer ones weigh more.
    mean_ns: AtomicU32,
    /// The mean time from one to the next, ns.
    interval_ns: AtomicU32,
    /// When the last one came, ns since `started`.
    last_ns: AtomicU64,
    started: Instant,
    /// The deputy sleeps until the leader calls, since the leader was idle.
    is_resting: AtomicBool,
    roles: Mutex<Roles>,
    /// For the deputy.
    alarm: Condvar,
    /// For the others.
    rest: Condvar,
}

#[derive(Debug, Default)]
struct Roles {
    has_deputy: bool,
    is_leaving: bool,
}

/// The time in which a thread serves, from an event to its end.
pub(crate) struct Turn {
    began: Instant,
    /// What `lead` was, if this thread leads.
    lead: Option<u64>,
}

const fn leader(lead: u64) -> u64 {
    lead >> 32
}

const fn is_serving(lead: u64) -> bool {
    lead & 1 == 1
}

/// The next count, of the same or of another leader.
const fn next(lead: u64, leader: u64) -> u64 {
    leader << 32 | (lead as u32).wrapping_add(1) as u64
}

impl Crew {
    pub(crate) fn new() -> Crew {
        Crew {
            lead: AtomicU64::new(0),
            mean_ns: AtomicU32::new(LONG_NS),
            interval_ns: AtomicU32::new(SPARSE_NS),
            last_ns: AtomicU64::new(0),
            started: Instant::now(),
            is_resting: AtomicBool::new(false),
            roles: Mutex::default(),
            alarm: Condvar::new(),
            rest: Condvar::new(),
        }
    }

    /// Returns when the thread of this number, from 1, is to wait for requests.
    pub(crate) fn wait_for_turn(&self, number: u32) {
        let lead = self.lead.load(Ordering::SeqCst);
        if leader(lead) == 0 || leader(lead) == u64::from(number) {
            return;
        }
        let mut roles = self.roles();
        loop {
            let lead = self.lead.load(Ordering::SeqCst);
            if roles.is_leaving || leader(lead) == 0 || leader(lead) == u64::from(number) {
                return;
            }
            if roles.has_deputy {
                roles = self.rest.wait(roles).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            roles.has_deputy = true;
            roles = self.watch(number, roles);
            roles.has_deputy = false;
            self.rest.notify_one();
        }
    }

    /// The deputy's part, until somebody else's number or none leads because of it.
    fn watch<'c>(&'c self, number: u32, mut roles: MutexGuard<'c, Roles>) -> MutexGuard<'c, Roles> {
        let mut before = None;
        loop {
            let seen = self.lead.load(Ordering::SeqCst);
            if roles.is_leaving || leader(seen) == 0 {
                return roles;
            }
            if before != Some(seen) {
                before = Some(seen);
                let waited = self.alarm.wait_timeout(roles, TICK);
                roles = waited.unwrap_or_else(PoisonError::into_inner).0;
            } else if is_serving(seen) {
                let mine = next(seen, number.into());
                if self.lead.compare_exchange(seen, mine, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    self.learn(TICK);
                    return roles;
                }
            } else {
                // Idle for a tick: the next request calls.
                self.is_resting.store(true, Ordering::SeqCst);
                if self.lead.load(Ordering::SeqCst) == seen {
                    roles = self.alarm.wait(roles).unwrap_or_else(PoisonError::into_inner);
                }
                self.is_resting.store(false, Ordering::SeqCst);
                before = None;
            }
        }
    }

    /// A thread has got something to serve.
    pub(crate) fn begin(&self, number: u32) -> Turn {
        let began = Instant::now();
        self.note_pause(began);
        let lead = self.lead.load(Ordering::Relaxed);
        if leader(lead) != u64::from(number) {
            return Turn { began, lead: None };
        }
        // While the leader is idle nobody else changes it.
        let lead = next(lead, number.into());
        self.lead.store(lead, Ordering::SeqCst);
        if self.is_resting.load(Ordering::SeqCst) {
            // The deputy holds the lock from its last look until it sleeps.
            let _roles = self.roles();
            self.is_resting.store(false, Ordering::SeqCst);
            self.alarm.notify_one();
        }
        Turn { began, lead: Some(lead) }
    }

    /// It has been served.
    pub(crate) fn end(&self, number: u32, turn: &Turn) {
        let mean_ns = self.learn(turn.began.elapsed());
        let interval_ns = self.interval_ns.load(Ordering::Relaxed);
        match turn.lead {
            Some(lead) => {
                let to = if mean_ns > LONG_NS || interval_ns > SPARSE_NS { 0 } else { number };
                let ended = self.lead.compare_exchange(lead, next(lead, to.into()), Ordering::SeqCst, Ordering::SeqCst);
                if ended.is_ok() && to == 0 {
                    let _roles = self.roles();
                    self.alarm.notify_all();
                    self.rest.notify_all();
                }
            }
            None if mean_ns < SHORT_NS && interval_ns < DENSE_NS => {
                let lead = self.lead.load(Ordering::SeqCst);
                if leader(lead) == 0 && !is_serving(lead) {
                    // Whoever comes first; the count stays even.
                    let mine = next(next(lead, 0), number.into());
                    let _ = self.lead.compare_exchange(lead, mine, Ordering::SeqCst, Ordering::SeqCst);
                }
            }
            None => {}
        }
    }

    /// Has every thread leave [`Crew::wait_for_turn`] from now on.
    pub(crate) fn leave(&self) {
        self.roles().is_leaving = true;
        self.alarm.notify_all();
        self.rest.notify_all();
    }

    fn learn(&self, length: Duration) -> u32 {
        mix(&self.mean_ns, u32::try_from(length.as_nanos()).unwrap_or(u32::MAX))
    }

    fn note_pause(&self, now: Instant) {
        let now_ns = u64::try_from((now - self.started).as_nanos()).unwrap_or(u64::MAX);
        let pause_ns = now_ns.saturating_sub(self.last_ns.swap(now_ns, Ordering::Relaxed)).min(PAUSE_LIMIT_NS);
        mix(&self.interval_ns, u32::try_from(pause_ns).unwrap_or(u32::MAX));
    }

    fn roles(&self) -> MutexGuard<'_, Roles> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds to a mean in which newer values weigh more, and gives it. Of two that are added at once one may be lost.
fn mix(mean: &AtomicU32, value: u32) -> u32 {
    let before = mean.load(Ordering::Relaxed);
    let after = before - before / 8 + value / 8;
    mean.store(after, Ordering::Relaxed);
    after
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::*;

    /// A crew of two whose requests are short: number 1 leads, number 2 waits for its turn on a thread.
    fn led_by_one() -> Crew {
        let crew = Crew::new();
        while leader(crew.lead.load(Ordering::SeqCst)) != 1 {
            let turn = crew.begin(1);
            crew.end(1, &turn);
        }
        crew
    }

    #[test]
    fn all_wait_for_requests_until_it_is_known_that_these_are_short() {
        let crew = Crew::new();
        crew.wait_for_turn(1);
        crew.wait_for_turn(2);
        let turn = crew.begin(2);
        crew.end(2, &turn);
        assert_eq!(leader(crew.lead.load(Ordering::SeqCst)), 0, "one is not enough to know");
        crew.wait_for_turn(1);
    }

    #[test]
    fn whoever_serves_short_requests_leads_and_goes_on() {
        let crew = led_by_one();
        for _ in 0..3 {
            crew.wait_for_turn(1);
            let turn = crew.begin(1);
            assert!(is_serving(crew.lead.load(Ordering::SeqCst)));
            crew.end(1, &turn);
            assert!(!is_serving(crew.lead.load(Ordering::SeqCst)));
        }
    }

    #[test]
    fn the_deputy_takes_over_from_a_leader_that_is_stuck() {
        let crew = led_by_one();
        let turn = crew.begin(1);
        // Waits until it leads.
        crew.wait_for_turn(2);
        assert_eq!(leader(crew.lead.load(Ordering::SeqCst)), 2);
        crew.end(1, &turn);
        assert_eq!(leader(crew.lead.load(Ordering::SeqCst)), 2, "the former leader has lost the lead for good");
    }

    #[test]
    fn a_deputy_that_rests_is_called_by_the_next_request() {
        let crew = led_by_one();
        thread::scope(|scope| {
            let deputy = scope.spawn(|| crew.wait_for_turn(2));
            while !crew.is_resting.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            let _stuck = crew.begin(1);
            deputy.join().unwrap();
        });
        assert_eq!(leader(crew.lead.load(Ordering::SeqCst)), 2);
    }

    #[test]
    fn where_requests_are_long_nobody_leads_and_all_are_let_go() {
        let crew = led_by_one();
        thread::scope(|scope| {
            for number in 2..=4 {
                let crew = &crew;
                scope.spawn(move || crew.wait_for_turn(number));
            }
            let turn = crew.begin(1);
            crew.learn(Duration::from_secs(1));
            crew.end(1, &turn);
            // The scope ends when all have returned.
        });
        assert_eq!(leader(crew.lead.load(Ordering::SeqCst)), 0);
    }

    #[test]
    fn where_requests_are_rare_nobody_leads() {
        let crew = led_by_one();
        crew.interval_ns.store(SPARSE_NS * 2, Ordering::SeqCst);
        let turn = crew.begin(1);
        crew.end(1, &turn);
        assert_eq!(leader(crew.lead.load(Ordering::SeqCst)), 0);
    }

    #[test]
    fn those_who_leave_are_let_go_whoever_leads() {
        let crew = led_by_one();
        thread::scope(|scope| {
            for number in 2..=4 {
                let crew = &crew;
                scope.spawn(move || crew.wait_for_turn(number));
            }
            crew.leave();
        });
        assert_eq!(leader(crew.lead.load(Ordering::SeqCst)), 1);
    }

    /// One queue, as an epoll set is one. Some requests wait until another one has been served after them: where that one
    /// were never taken, this would not end.
    #[test]
    fn no_request_is_left_lying_whatever_the_others_wait_for() {
        const REQUESTS: usize = 400;
        let (sender, receiver): (Sender<usize>, Receiver<usize>) = channel();
        let (crew, receiver, served) = (Crew::new(), Mutex::new(receiver), AtomicUsize::new(0));
        (0..REQUESTS).for_each(|number| sender.send(number).unwrap());
        drop(sender);
        thread::scope(|scope| {
            for number in 1..=4 {
                let (crew, receiver, served) = (&crew, &receiver, &served);
                scope.spawn(move || {
                    loop {
                        crew.wait_for_turn(number);
                        let taken = receiver.lock().unwrap().recv();
                        let Ok(request) = taken else {
                            crew.leave();
                            return;
                        };
                        let turn = crew.begin(number);
                        if request % 50 == 0 && request + 4 < REQUESTS {
                            let before = served.load(Ordering::SeqCst);
                            while served.load(Ordering::SeqCst) == before {
                                thread::sleep(Duration::from_micros(100));
                            }
                        }
                        served.fetch_add(1, Ordering::SeqCst);
                        crew.end(number, &turn);
                    }
                });
            }
        });
        assert_eq!(served.load(Ordering::SeqCst), REQUESTS);
    }
}
