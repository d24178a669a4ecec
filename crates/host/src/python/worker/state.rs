//! What the threads of a worker share.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use nix::sys::epoll::Epoll;
use wire::control;

use super::channel::Channel;
use super::connections::Connections;
use super::limits::Slot;
use super::seat::OwnSeat;
use super::signals::Wakeup;
use crate::daemon::{Crew, Gate};
use crate::python::attach::Attached;

/// The one worker that this process can be.
pub(super) static WORKER: OnceLock<Worker> = OnceLock::new();

/// Everything that is true for the whole process.
pub(in crate::python) struct Worker {
    pub(super) started: Instant,
    pub(super) limits: control::Worker,
    pub(super) own: Own,
    pub(super) channel: Channel,
    pub(super) seat: OwnSeat,
    pub(super) listener: OwnedFd,
    pub(super) epoll: Epoll,
    pub(super) wakeup: Wakeup,
    /// Python's own handler writes to it.
    pub(super) python_signals: Wakeup,
    pub(super) connections: Connections,
    pub(super) server_board: Option<OwnedFd>,
    pub(super) slots: Vec<Slot>,
    pub(super) crew: Crew,
    /// The application group, once it is known.
    pub(super) group: OnceLock<Vec<u8>>,
    /// The script whose change was told to the supervisor, and its time then.
    pub(super) reported: Mutex<Option<(Vec<u8>, i64)>>,
    /// Requests begun.
    pub(super) begun: AtomicU64,
    /// When something last happened, µs since `started`; 0 for never.
    pub(super) activity_us: AtomicU64,
    /// When Python was last seen to go on, µs since `started`.
    pub(super) alive_us: AtomicU64,
    /// The control thread wants to hear when a request ends.
    pub(super) is_leaving: AtomicBool,
    /// Nothing more is served.
    pub(super) is_closed: AtomicBool,
}

/// What is needed of [`control::Own`] after the start.
pub(super) struct Own {
    pub(super) incarnation: u32,
    pub(super) secret: wire::Secret,
    pub(super) reply: wire::Secret,
    pub(super) peer_uid: u32,
    pub(super) preload: Vec<control::Preload>,
}

/// The worker, in a process that is one.
pub(in crate::python) fn worker() -> Option<&'static Worker> {
    WORKER.get()
}

/// The line before Python; embedded requests stand in none.
pub(in crate::python) fn gate() -> Option<&'static Gate> {
    static GATE: Gate = Gate::new();
    WORKER.get().map(|_| &GATE)
}

/// Marks that the calling thread's request is in Python, until dropped. Attached.
pub(in crate::python) fn note_python() -> Option<super::limits::InPython> {
    WORKER.get().and_then(|_| super::limits::InPython::enter())
}

/// Waits a little, without the GIL, if lines of no request come faster than the supervisor takes them.
pub(in crate::python) fn wait_for_log(py: Attached) {
    if let Some(worker) = WORKER.get().filter(|worker| worker.channel.is_waiting()) {
        py.detach(|| worker.channel.wait());
    }
}

/// Ends a worker whose exit functions have run; does nothing in another process.
pub(in crate::python) fn end_process() {
    if let Some(worker) = WORKER.get() {
        worker.channel.finish();
        // SAFETY: everything that was owed has been done; threads that are left, and C's exit functions, must not
        // run into a Python that is not finalised.
        unsafe { libc::_exit(0) }
    }
}

impl Worker {
    /// µs since the process started, at least 1.
    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }

    /// Something of a request has happened.
    pub(super) fn note_activity(&self) {
        self.activity_us.store(self.now_us(), Ordering::Relaxed);
    }

    /// How many requests are being served.
    pub(super) fn active(&self) -> usize {
        self.slots.iter().filter(|slot| slot.since_us() != 0).count()
    }

    pub(super) fn reported(&self) -> MutexGuard<'_, Option<(Vec<u8>, i64)>> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
