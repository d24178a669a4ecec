//! A request that has been begun, as the rest of the process sees it.

use std::sync::atomic::Ordering;

use wire::flags;

use super::Arrived;
use crate::python::worker::limits::Slot;
use crate::python::worker::state::Worker;

/// A request that counts, and keeps the process from ending until it is dropped.
pub(in super::super) struct Begun {
    worker: &'static Worker,
    slot: &'static Slot,
}

impl Begun {
    /// `None` if the process has just begun to end.
    pub(super) fn new(worker: &'static Worker, slot: &'static Slot, cell: u32, arrived: &Arrived<'_>) -> Option<Begun> {
        let ignores_activity = arrived.head.facts().has(flags::IGNORE_ACTIVITY);
        slot.begin(worker.now_us(), ignores_activity, arrived.about);
        let this = Begun { worker, slot };
        // Asked again: either the control thread sees this request, or this thread sees that it is too late.
        if worker.is_closed.load(Ordering::SeqCst) {
            return None;
        }
        worker.seat.begin(cell);
        if !ignores_activity {
            worker.note_activity();
        }
        let begun = worker.begun.fetch_add(1, Ordering::SeqCst) + 1;
        if begun == worker.limits.maximum_requests {
            // One request for each process is exact: the next one on this connection is not begun.
            if begun == 1 && worker.limits.threads == 1 {
                worker.is_closed.store(true, Ordering::SeqCst);
            }
            worker.wakeup.wake();
        } else if begun == 1 {
            // Limits that count from the first request.
            worker.wakeup.wake();
        }
        Some(this)
    }

    /// It is no more among those that the process has.
    pub(in super::super) fn leave_seat(&self) {
        self.worker.seat.end();
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.slot.end();
        if self.worker.is_leaving.load(Ordering::SeqCst) {
            self.worker.wakeup.wake();
        }
    }
}
