//! The threads that serve requests: their numbers, and what each is doing.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::slow::Story;

/// A thread that serves requests.
pub(super) struct Meter {
    /// From 1 on. The number of a thread that has ended goes to the next one that begins.
    pub(super) number: u32,
    /// How many requests it is inside: more than one where a request runs within another's output (mod_include).
    depth: AtomicU32,
    /// Since when it has been busy with a request, the outermost one, µs since 1970; 0: it is not, or clocks are not read.
    since_us: AtomicU64,
    /// When its request's application was called, likewise.
    application_start_us: AtomicU64,
    /// Its request, while slow ones are told.
    story: Mutex<Option<Story>>,
}

impl Meter {
    /// A request begins on this thread, its own; whether it does so within another one.
    pub(super) fn enter(&self) -> bool {
        self.depth.fetch_add(1, Ordering::Relaxed) > 0
    }

    /// The request that entered last ends.
    pub(super) fn leave(&self) {
        self.depth.fetch_sub(1, Ordering::Relaxed);
    }

    /// Its outermost request has begun or ended (0).
    pub(super) fn set_since(&self, us: u64) {
        self.since_us.store(us, Ordering::Relaxed);
    }

    /// Its request's application is called now.
    pub(super) fn note_call(&self, us: u64) {
        self.application_start_us.store(us, Ordering::Relaxed);
    }

    /// Its request, and when the application of that was called; gives those before: a request may run within another's
    /// output (mod_include).
    pub(super) fn swap_story(&self, (story, call_us): (Option<Story>, u64)) -> (Option<Story>, u64) {
        let mut own = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::replace(&mut own, story), self.application_start_us.swap(call_us, Ordering::Relaxed))
    }

    /// Since when it has been busy, µs since 1970.
    pub(super) fn since_us(&self) -> Option<u64> {
        Some(self.since_us.load(Ordering::Relaxed)).filter(|us| *us > 0)
    }
}

/// All threads that have served, by their numbers, and the numbers of those that have ended.
struct Meters {
    all: Vec<&'static Meter>,
    free: Vec<&'static Meter>,
}

static METERS: Mutex<Meters> = Mutex::new(Meters { all: Vec::new(), free: Vec::new() });

fn lock() -> MutexGuard<'static, Meters> {
    // Nothing is done with the lock that could panic half way.
    METERS.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static OWN: Own = const { Own(RefCell::new(None)) };
}

struct Own(RefCell<Option<&'static Meter>>);

impl Drop for Own {
    /// The thread ends, as those of HTTP/2 do at any time.
    fn drop(&mut self) {
        if let Some(meter) = self.0.borrow_mut().take() {
            lock().free.push(meter);
        }
    }
}

/// The calling thread's.
pub(super) fn own() -> &'static Meter {
    OWN.with(|own| *own.0.borrow_mut().get_or_insert_with(get))
}

fn get() -> &'static Meter {
    let mut meters = lock();
    // The lowest that is free, so that the numbers do not grow with every thread that comes and goes.
    let lowest = meters.free.iter().enumerate().min_by_key(|(_, meter)| meter.number).map(|(place, _)| place);
    if let Some(place) = lowest {
        return meters.free.swap_remove(place);
    }
    let number = u32::try_from(meters.all.len() + 1).unwrap_or(u32::MAX);
    // Threads are few and their numbers are used again.
    let meter: &'static Meter = Box::leak(Box::new(Meter {
        number,
        depth: AtomicU32::new(0),
        since_us: AtomicU64::new(0),
        application_start_us: AtomicU64::new(0),
        story: Mutex::new(None),
    }));
    meters.all.push(meter);
    meter
}

/// Since when each thread has been busy, by number; `None`: it is not.
pub(super) fn busy() -> Vec<Option<u64>> {
    lock().all.iter().map(|meter| meter.since_us()).collect()
}

/// The requests that run, and when the application of each was called.
pub(super) fn stories() -> Vec<(Story, u64)> {
    let meters = lock().all.clone();
    let story = |meter: &&'static Meter| {
        let story = meter.story.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some((story, meter.application_start_us.load(Ordering::Relaxed)))
    };
    meters.iter().filter_map(story).collect()
}

/// How many of these threads live.
pub(super) fn living() -> usize {
    let meters = lock();
    meters.all.len() - meters.free.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_thread_that_has_ended_is_given_again() {
        let number = || std::thread::spawn(|| own().number).join().expect("no panic");
        let first = number();
        assert_eq!([number(), number()], [first, first]);
    }
}
