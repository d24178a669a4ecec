//! The line of requests before the GIL, while they are short.
//!
//! CPython's GIL is a mutex with two condition variables. Whoever lets it go wakes one who waits while still holding
//! that mutex, so the woken thread mostly has to sleep a second time: where requests hold the GIL for some
//! microseconds, this costs several times what they do. So they pass a baton first, which is one word: a short look
//! awake, then a sleep from which the owner wakes one at a time, when the GIL is free.
//!
//! The baton is only ever a help. Applications let the GIL go and take it again by themselves, without it; so nobody
//! waits for an owner that does not move, whoever gets the GIL is the owner from then on, and where the GIL is held long on the
//! mean, nobody waits here at all: then CPython's own way is fairer.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::mean::RunningMean;

/// Most looks of one wait: some tens of microseconds.
const MOST_LOOKS: u32 = 1024;

/// Fewest: so that it shows when looking pays again.
const FEWEST_LOOKS: u32 = 16;

/// Mean time with the GIL, ns, from which on nobody waits for the baton.
const LONG_NS: u32 = 100_000;

/// So long a sleeper takes the owner for one that works and not for one that waits.
const PATIENCE: Duration = Duration::from_millis(1);

/// A sleeper that others keep overtaking goes on to the GIL after this.
const LONGEST: Duration = Duration::from_millis(50);

/// Somebody sleeps, in [`Baton::word`].
const SLEEPERS: u32 = 1 << 31;

/// One for each GIL.
#[derive(Debug)]
pub(super) struct Baton {
    /// The owner's number, 0 for none, and [`SLEEPERS`].
    word: AtomicU32,
    /// How often it has got an owner: whether the line moves.
    turns: AtomicU32,
    /// How many looks a wait has at present.
    looks: AtomicU32,
    /// How long an owner holds the GIL.
    held: RunningMean,
}

impl Baton {
    pub(super) const fn new() -> Baton {
        Baton {
            word: AtomicU32::new(0),
            turns: AtomicU32::new(0),
            looks: AtomicU32::new(MOST_LOOKS / 4),
            held: RunningMean::new(0),
        }
    }

    /// Waits for the baton, for as long as that is of use. `me` is the thread's number, from 1.
    pub(super) fn claim(&self, me: u32) {
        if self.try_claim(0, me) || self.held.ns() > LONG_NS || self.look_on(me) {
            return;
        }
        self.sleep(me);
    }

    /// The thread has the GIL, and so the baton.
    pub(super) fn own(&self, me: u32) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & !SLEEPERS != me {
            match self.word.compare_exchange_weak(word, word & SLEEPERS | me, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        // Only who has the GIL writes it.
        self.turns.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Whether it is this thread's: another may have got the GIL meanwhile.
    pub(super) fn is_owned_by(&self, me: u32) -> bool {
        self.word.load(Ordering::Relaxed) & !SLEEPERS == me
    }

    /// Hands it on, if it is this thread's, after the GIL has been let go.
    pub(super) fn release(&self, me: u32) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & !SLEEPERS == me {
            match self.word.compare_exchange_weak(word, 0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) if word & SLEEPERS != 0 => return self.wake_one(),
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// An owner has held the GIL for so long.
    pub(super) fn learn(&self, held: Duration) {
        self.held.add(held);
    }

    fn try_claim(&self, word: u32, me: u32) -> bool {
        word & !SLEEPERS == 0
            && self.word.compare_exchange(word, word | me, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn look_on(&self, me: u32) -> bool {
        let looks = self.looks.load(Ordering::Relaxed);
        for _ in 0..looks {
            spin_loop();
            if self.try_claim(self.word.load(Ordering::Relaxed), me) {
                self.looks.store((looks + 32).min(MOST_LOOKS), Ordering::Relaxed);
                return true;
            }
        }
        self.looks.store((looks - looks / 8).max(FEWEST_LOOKS), Ordering::Relaxed);
        false
    }

    fn sleep(&self, me: u32) {
        let mut began = Instant::now();
        let last = began + LONGEST;
        let mut turns = self.turns.load(Ordering::Relaxed);
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if word & !SLEEPERS == 0 {
                // Others may sleep on: whoever has slept says so, and at worst one is woken for nothing.
                if self.word.compare_exchange(word, me | SLEEPERS, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return;
                }
                continue;
            }
            let asleep = word | SLEEPERS;
            if word != asleep && self.word.compare_exchange(word, asleep, Ordering::Relaxed, Ordering::Relaxed).is_err()
            {
                continue;
            }
            let now = Instant::now();
            let rest = PATIENCE.saturating_sub(now - began);
            if !rest.is_zero() {
                self.wait_while(asleep, rest);
                continue;
            }
            let present = self.turns.load(Ordering::Relaxed);
            if present == turns {
                // The owner computes for long, or waits for something without the GIL.
                return self.learn(PATIENCE);
            }
            if now >= last {
                return;
            }
            (began, turns) = (now, present);
        }
    }

    /// Sleeps while the word is this, until woken or for `limit`, of less than a second.
    fn wait_while(&self, word: u32, limit: Duration) {
        let limit = libc::timespec { tv_sec: 0, tv_nsec: i64::from(limit.subsec_nanos()) };
        // SAFETY: the kernel only compares and queues on the word, which outlives the call, and reads the local time
        // (futex(2), FUTEX_WAIT); every result means to look again.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.word.as_ptr(),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                word,
                &raw const limit,
            )
        };
    }

    fn wake_one(&self) {
        // SAFETY: the word outlives the call, which does not write to it (futex(2), FUTEX_WAKE).
        unsafe { libc::syscall(libc::SYS_futex, self.word.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread;

    use super::*;

    #[test]
    fn a_free_baton_is_claimed_and_handed_on() {
        let baton = Baton::new();
        baton.claim(1);
        assert!(baton.is_owned_by(1) && !baton.is_owned_by(2));
        baton.release(2);
        assert!(baton.is_owned_by(1), "another's release changes nothing");
        baton.release(1);
        baton.claim(2);
        assert!(baton.is_owned_by(2));
    }

    /// A mutex stands for the GIL: it is never contended as long as everybody has the baton.
    #[test]
    fn short_turns_go_one_after_another_and_all_are_served() {
        let (baton, gil) = (Baton::new(), Mutex::new(0_u32));
        thread::scope(|scope| {
            for me in 1..=8 {
                let (baton, gil) = (&baton, &gil);
                scope.spawn(move || {
                    for _ in 0..2000 {
                        baton.claim(me);
                        let mut count = gil.lock().unwrap();
                        baton.own(me);
                        *count += 1;
                        drop(count);
                        baton.release(me);
                    }
                });
            }
        });
        assert_eq!(*gil.lock().unwrap(), 16_000);
        assert_eq!(baton.word.load(Ordering::Relaxed) & !SLEEPERS, 0);
    }

    #[test]
    fn nobody_waits_for_an_owner_that_does_not_move_and_soon_nobody_tries() {
        let baton = Baton::new();
        baton.claim(1);
        let began = Instant::now();
        baton.claim(2);
        assert!(baton.is_owned_by(1), "given up");
        assert!(began.elapsed() >= PATIENCE);
        assert!(baton.held.ns() > LONG_NS, "learnt");
        // Whoever gets the GIL owns it; the other's release is no more of consequence.
        baton.own(2);
        baton.release(1);
        assert!(baton.is_owned_by(2));
    }

    #[test]
    fn waiting_pays_again_when_turns_are_short_again() {
        let baton = Baton::new();
        baton.learn(Duration::from_secs(1));
        assert!(baton.held.ns() > LONG_NS);
        for _ in 0..100 {
            baton.learn(Duration::from_micros(5));
        }
        assert!(baton.held.ns() < LONG_NS);
    }

    #[test]
    fn a_sleeper_is_woken_by_the_release() {
        let baton = Baton::new();
        baton.claim(1);
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                baton.claim(2);
                let is_mine = baton.is_owned_by(2);
                baton.release(2);
                is_mine
            });
            // The owner moves until the other sleeps, so that it does not give up.
            while baton.word.load(Ordering::Relaxed) & SLEEPERS == 0 {
                baton.own(1);
                thread::yield_now();
            }
            baton.own(1);
            baton.release(1);
            assert!(sleeper.join().unwrap());
        });
    }
}
