//! Who of a worker's threads waits for the next request.
//!
//! While requests are short and come one upon the other ([`Pace`]), one thread does: the *leader* takes them in turn. It
//! hardly ever sleeps, nobody is woken to find the GIL taken, and the GIL stays where it is. A second thread, the
//! *deputy*, looks every [`TICK`] whether the leader has got stuck in a request; then nobody leads any more. The others
//! rest. Where requests are long, because they compute or because they wait, all threads wait for them, so that none
//! waits for a tick; and where they are rare, so that none has to wake a deputy.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pace::Pace;

/// How long a leader may be in one request until it counts as stuck, twice at most.
const TICK: Duration = Duration::from_millis(1);

/// The threads of one worker, with numbers from 1.
#[derive(Debug)]
pub(crate) struct Crew {
    /// The leader's number, or 0 while nobody leads, in the upper half; in the lower one a counter, odd while the
    /// leader serves.
    lead: AtomicU64,
    pace: Pace,
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
        Crew::at(Pace::new())
    }

    fn at(pace: Pace) -> Crew {
        Crew {
            lead: AtomicU64::new(0),
            pace,
            is_resting: AtomicBool::new(false),
            roles: Mutex::default(),
            alarm: Condvar::new(),
            rest: Condvar::new(),
        }
    }

    /// Returns when the thread of this number is to wait for requests.
    pub(crate) fn wait_for_turn(&self, number: u32) {
        if self.may_go(number) {
            return;
        }
        let mut roles = self.roles();
        while !roles.is_leaving && !self.may_go(number) {
            if roles.has_deputy {
                roles = self.rest.wait(roles).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            roles.has_deputy = true;
            roles = self.watch(roles);
            roles.has_deputy = false;
            self.rest.notify_one();
        }
    }

    fn may_go(&self, number: u32) -> bool {
        let leader = leader(self.lead.load(Ordering::SeqCst));
        leader == 0 || leader == u64::from(number)
    }

    /// The deputy's part, until nobody leads.
    fn watch<'c>(&'c self, mut roles: MutexGuard<'c, Roles>) -> MutexGuard<'c, Roles> {
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
                if self.lead.compare_exchange(seen, next(seen, 0), Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    self.pace.note_stuck();
                    self.rest.notify_all();
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
        self.pace.note_begin(began);
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
        self.pace.note_end(turn.began);
        let Some(lead) = turn.lead else {
            if self.pace.is_for_one() {
                self.try_to_lead(number);
            }
            return;
        };
        let to = if self.pace.is_for_all() { 0 } else { number };
        let ended = self.lead.compare_exchange(lead, next(lead, to.into()), Ordering::SeqCst, Ordering::SeqCst);
        // An error: the deputy has taken the lead away.
        if ended.is_ok() && to == 0 {
            let _roles = self.roles();
            self.alarm.notify_all();
            self.rest.notify_all();
        }
    }

    fn try_to_lead(&self, number: u32) {
        let lead = self.lead.load(Ordering::SeqCst);
        if leader(lead) == 0 {
            // Whoever comes first; the count stays even.
            let mine = next(next(lead, 0), number.into());
            let _ = self.lead.compare_exchange(lead, mine, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// Has every thread leave [`Crew::wait_for_turn`] from now on.
    pub(crate) fn leave(&self) {
        self.roles().is_leaving = true;
        self.alarm.notify_all();
        self.rest.notify_all();
    }

    fn roles(&self) -> MutexGuard<'_, Roles> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::*;

    /// Number 1 leads.
    fn led_by_one() -> Crew {
        let crew = Crew::at(Pace::quick());
        crew.try_to_lead(1);
        assert_eq!(crew.leader(), 1);
        crew
    }

    impl Crew {
        fn leader(&self) -> u64 {
            leader(self.lead.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn all_wait_for_requests_until_it_is_known_that_these_are_short() {
        let crew = Crew::new();
        crew.wait_for_turn(1);
        crew.wait_for_turn(2);
        let turn = crew.begin(2);
        crew.end(2, &turn);
        assert_eq!(crew.leader(), 0, "one is not enough to know");
        crew.wait_for_turn(1);
    }

    #[test]
    fn whoever_serves_short_requests_leads_and_goes_on() {
        let crew = led_by_one();
        for _ in 0..3 {
            crew.wait_for_turn(1);
            let turn = crew.begin(1);
            assert!(is_serving(crew.lead.load(Ordering::SeqCst)));
            // However long this thread was kept from going on.
            crew.end(1, &Turn { began: Instant::now(), ..turn });
            assert!(!is_serving(crew.lead.load(Ordering::SeqCst)));
        }
    }

    #[test]
    fn where_the_leader_is_stuck_nobody_leads_and_all_go() {
        let crew = led_by_one();
        let turn = crew.begin(1);
        thread::scope(|scope| {
            for number in 2..=15 {
                let crew = &crew;
                // All of them are let go by the first look, though none of them serves anything.
                scope.spawn(move || crew.wait_for_turn(number));
            }
        });
        assert_eq!(crew.leader(), 0);
        crew.end(1, &turn);
        assert_eq!(crew.leader(), 0, "one stuck request is made up for by several short ones");
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
        assert_eq!(crew.leader(), 0);
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
            crew.pace.note_stuck();
            crew.end(1, &turn);
            // The scope ends when all have returned.
        });
        assert_eq!(crew.leader(), 0);
    }

    #[test]
    fn where_requests_are_rare_nobody_leads() {
        let crew = led_by_one();
        crew.pace.note_pause(Duration::from_millis(100));
        let turn = crew.begin(1);
        crew.end(1, &turn);
        assert_eq!(crew.leader(), 0);
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
        assert_eq!(crew.leader(), 1);
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
