//! Taking and leaving the GIL, with a short wait awake before the long one asleep.
//!
//! A request of an ordinary size holds the GIL for some microseconds. To sleep for that long costs more
//! than it takes: two calls of the kernel and a thread switch on either side. So whoever finds a request in
//! Python looks on for a moment first. How long is learnt: where applications hold the GIL long, or wait
//! without it, looking on brings nothing and nobody does it.

use std::cell::Cell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use pyo3::ffi;

use crate::measure;

/// Most looks of one wait: some tens of microseconds.
const MOST_LOOKS: u32 = 1024;

/// A thread that came through here has the GIL, as far as is known: applications let it go and take it
/// again by themselves. Only a hint, so no order of memory hangs on it.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// How many looks a wait has at present.
static LOOKS: AtomicU32 = AtomicU32::new(MOST_LOOKS / 4);

/// How long a thread has waited for the GIL, while clocks were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waited {
    pub(super) ns: u64,
    pub(super) times: u64,
}

thread_local! {
    static WAITED: Cell<Waited> = const { Cell::new(Waited { ns: 0, times: 0 }) };
}

/// How long the calling thread has waited in all.
pub(super) fn waited() -> Waited {
    WAITED.get()
}

/// Attaches the calling thread with its state.
///
/// # Safety
/// As for `PyEval_RestoreThread`: the state is this thread's own and no state is current on it.
pub(super) unsafe fn take(state: *mut ffi::PyThreadState) {
    let began = measure::moment();
    if IS_TAKEN.load(Ordering::Relaxed) {
        look_on();
    }
    // SAFETY: the caller promises what PyEval_RestoreThread asks for: a state of this thread's, and none current.
    unsafe { ffi::PyEval_RestoreThread(state) };
    IS_TAKEN.store(true, Ordering::Relaxed);
    if let Some(began) = began {
        let Waited { ns, times } = WAITED.get();
        let more = u64::try_from(began.elapsed().as_nanos()).unwrap_or(0);
        WAITED.set(Waited { ns: ns + more, times: times + 1 });
    }
}

/// Detaches the calling thread; gives its state.
///
/// # Safety
/// As for `PyEval_SaveThread`: the thread is attached.
pub(super) unsafe fn leave() -> *mut ffi::PyThreadState {
    IS_TAKEN.store(false, Ordering::Relaxed);
    // SAFETY: the caller promises that the thread is attached, which is all that PyEval_SaveThread asks for.
    unsafe { ffi::PyEval_SaveThread() }
}

fn look_on() {
    let looks = LOOKS.load(Ordering::Relaxed);
    for _ in 0..looks {
        spin_loop();
        if !IS_TAKEN.load(Ordering::Relaxed) {
            LOOKS.store((looks + 32).min(MOST_LOOKS), Ordering::Relaxed);
            return;
        }
    }
    // In vain: fewer next time, but now and then one is tried.
    LOOKS.store((looks - looks / 8).max(16), Ordering::Relaxed);
}
