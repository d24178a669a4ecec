//! Taking and leaving the GIL, after a look at the [`Baton`] that goes before it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use pyo3::ffi;

use super::baton::Baton;
use crate::measure;

/// Of the GIL that the main interpreter has, and all others without one of their own.
static SHARED: Baton = Baton::new();

/// The baton of the GIL that interpreters share.
pub(super) fn shared() -> &'static Baton {
    &SHARED
}

/// How long a thread has waited for the GIL, while clocks were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waited {
    pub(super) ns: u64,
    pub(super) times: u64,
}

thread_local! {
    static WAITED: Cell<Waited> = const { Cell::new(Waited { ns: 0, times: 0 }) };
    /// The thread's number; 0 before it has one.
    static NUMBER: Cell<u32> = const { Cell::new(0) };
    /// Since when the thread has the GIL and the baton.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// How long the calling thread has waited in all.
pub(super) fn waited() -> Waited {
    WAITED.get()
}

/// Attaches the calling thread with its state, after those who are in front of the baton, if there is one.
///
/// # Safety
/// As for `PyEval_RestoreThread`: the state is this thread's own and no state is current on it.
pub(super) unsafe fn take(baton: Option<&Baton>, state: *mut ffi::PyThreadState) {
    let began = measure::moment();
    if let Some(baton) = baton {
        baton.claim(number());
    }
    // SAFETY: the caller promises what PyEval_RestoreThread asks for: a state of this thread's, and none current.
    unsafe { ffi::PyEval_RestoreThread(state) };
    if let Some(baton) = baton {
        baton.own(number());
        SINCE.set(Some(Instant::now()));
    }
    if let Some(began) = began {
        let Waited { ns, times } = WAITED.get();
        let more = u64::try_from(began.elapsed().as_nanos()).unwrap_or(0);
        WAITED.set(Waited { ns: ns + more, times: times + 1 });
    }
}

/// Detaches the calling thread; gives its state, and whether it had the baton.
///
/// # Safety
/// As for `PyEval_SaveThread`: the thread is attached.
pub(super) unsafe fn leave(baton: &Baton) -> (*mut ffi::PyThreadState, bool) {
    let me = number();
    let is_owner = baton.is_owned_by(me);
    if let Some(since) = SINCE.take() {
        baton.learn(since.elapsed());
    }
    // SAFETY: the caller promises that the thread is attached, which is all that PyEval_SaveThread asks for.
    let state = unsafe { ffi::PyEval_SaveThread() };
    // After it, so that the next one finds the GIL free.
    if is_owner {
        baton.release(me);
    }
    (state, is_owner)
}

/// The calling thread's number for the batons, from 1.
fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    match NUMBER.get() {
        0 => {
            // Two threads of one number, after two thousand million of them, would only wait less.
            let number = NEXT.fetch_add(1, Ordering::Relaxed) % (1 << 31);
            NUMBER.set(number.max(1));
            number.max(1)
        }
        number => number,
    }
}
