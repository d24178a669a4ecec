//! What each request thread is doing, and how long it may.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::ffi;

/// One request thread, as the control thread sees it.
#[derive(Default)]
pub(in crate::python) struct Slot {
    /// When its request began, µs since the worker started; 0 while it is idle.
    since_us: AtomicU64,
    /// Grows with each request.
    sequence: AtomicU64,
    ignores_activity: AtomicBool,
    /// Python's number of the thread while it is in a request's Python; 0 otherwise. Changed under the GIL only.
    python: AtomicU64,
    /// `RequestTimeout` has been set for its present request. Changed under the GIL only.
    is_interrupted: AtomicBool,
    /// The request, for the log.
    about: Mutex<String>,
}

thread_local! {
    static SLOT: Cell<Option<&'static Slot>> = const { Cell::new(None) };
}

impl Slot {
    /// The calling thread is the slot's.
    pub(super) fn occupy(&'static self) {
        SLOT.set(Some(self));
    }

    pub(super) fn begin(&self, now_us: u64, ignores_activity: bool, about: &[&[u8]]) {
        {
            let mut text = self.about.lock().unwrap_or_else(PoisonError::into_inner);
            text.clear();
            for part in about {
                text.push_str(&String::from_utf8_lossy(part));
            }
        }
        self.ignores_activity.store(ignores_activity, Ordering::Relaxed);
        self.sequence.fetch_add(1, Ordering::Relaxed);
        self.since_us.store(now_us, Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.since_us.store(0, Ordering::SeqCst);
    }

    pub(super) fn since_us(&self) -> u64 {
        self.since_us.load(Ordering::SeqCst)
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    pub(super) fn ignores_activity(&self) -> bool {
        self.ignores_activity.load(Ordering::Relaxed)
    }

    pub(super) fn about(&self) -> String {
        self.about.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Python's number of the thread, while its request is in Python. Attached.
    pub(super) fn in_python(&self) -> Option<u64> {
        Some(self.python.load(Ordering::Relaxed)).filter(|thread| *thread != 0)
    }

    /// Marks the request as interrupted. Attached.
    pub(super) fn note_interrupt(&self) {
        self.is_interrupted.store(true, Ordering::Relaxed);
    }
}

/// The calling thread's request is in Python.
pub(in crate::python) struct InPython(&'static Slot);

impl InPython {
    /// `None` on a thread that is no request thread. Attached, as when it is dropped.
    pub(super) fn enter() -> Option<InPython> {
        let slot = SLOT.get()?;
        // SAFETY: attached; gives the number that PyThreadState_SetAsyncExc knows the thread by.
        let thread = unsafe { libc::pthread_self() };
        slot.is_interrupted.store(false, Ordering::Relaxed);
        slot.python.store(thread, Ordering::Relaxed);
        Some(InPython(slot))
    }
}

impl Drop for InPython {
    fn drop(&mut self) {
        let thread = self.0.python.swap(0, Ordering::Relaxed);
        if self.0.is_interrupted.load(Ordering::Relaxed) {
            // SAFETY: attached. Takes back an exception that came too late, so that the next request does not get it.
            unsafe { ffi::PyThreadState_SetAsyncExc(thread as _, std::ptr::null_mut()) };
        }
    }
}

/// How long a request may run before `request-timeout` has passed for its thread, µs: the more threads, the longer,
/// as in mod_wsgi: T · (1 + ln(threads)).
pub(super) fn allowance_us(request_timeout: u64, threads: u32) -> u64 {
    let factor = 1.0 + f64::from(threads.max(1)).ln();
    (request_timeout as f64 * factor * 1e6) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_has_just_the_timeout() {
        assert_eq!(allowance_us(10, 1), 10_000_000);
        assert_eq!(allowance_us(10, 0), 10_000_000);
    }

    #[test]
    fn fifteen_threads_have_nearly_four_times_the_timeout() {
        assert!((37_000_000..37_100_000).contains(&allowance_us(10, 15)));
    }
}
