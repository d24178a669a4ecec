//! How a pool's processes end: gently, within a limit, or by a signal.

use std::time::{Duration, Instant};

use gateway::Level;
use wire::SeatState;

use super::{Fate, Pool};
use crate::codes;
use crate::log::Log;
use crate::words::Show;
use crate::worker::{Stage, start_limit};

/// httpd's parent does not wait much longer for its own end.
const LONGEST_STOP: Duration = Duration::from_secs(5);

impl Pool {
    /// Sends the signals that are due.
    pub(crate) fn press_on(&mut self, log: &Log, now: Instant) {
        let group = &self.terms.group;
        for worker in self.seats.iter_mut().filter_map(|seat| seat.worker.as_mut()) {
            if !worker.tick(now) {
                continue;
            }
            let (pid, name) = (worker.pid(), Show(&group.name));
            if worker.has_started() || worker.is_leaving() {
                log.problem(
                    Level::Warning,
                    codes::SLOW_EXIT,
                    format_args!("process (pid={pid}) of group '{name}' did not end in time and is killed"),
                );
            } else {
                log.problem(
                    Level::Error,
                    codes::STUCK_START,
                    format_args!(
                        "process (pid={pid}) of group '{name}' has not become a worker within {} seconds and is killed: \
                         the interpreter's own start hangs (sitecustomize, a .pth file, a file system that does not \
                         answer); try, as user {}: {} -c pass",
                        start_limit(group).as_secs(),
                        group.uid,
                        Show(&group.python),
                    ),
                );
            }
        }
    }

    pub(super) fn drain(&mut self, index: usize, log: &Log, now: Instant) {
        let Some(worker) = self.seats.get_mut(index).and_then(|seat| seat.worker.as_mut()) else { return };
        let (reason, limit) = match worker.stage() {
            Stage::Retiring(retirement) => (String::from_utf8_lossy(&retirement.reason).into_owned(), retirement.limit),
            _ => ("reload".to_owned(), 0),
        };
        worker.drain(&reason, limit, now);
        log.info(format_args!(
            "process (pid={}) of group '{}' is replaced and ends when its requests have: {reason}",
            worker.pid(),
            Show(&self.terms.group.name),
        ));
    }

    pub(super) fn press(&mut self, index: usize, log: &Log, now: Instant) {
        let limit = self.group().graceful_timeout.max(1);
        let Some(worker) = self.seats.get_mut(index).and_then(|seat| seat.worker.as_mut()) else { return };
        worker.drain("its seat is needed", limit, now);
        log.info(format_args!(
            "process (pid={}) of group '{}' has {limit} seconds to end: its seat is needed",
            worker.pid(),
            Show(&self.terms.group.name),
        ));
    }

    /// The pool is to end: nothing is started any more, and processes drain, within `limit` seconds if it is not 0.
    pub(crate) fn leave(&mut self, reason: &str, limit: u64, now: Instant) {
        self.fate = Fate::Leaves;
        self.hold_until = None;
        for seat in &mut self.seats {
            match &mut seat.worker {
                Some(worker) => {
                    let is_draining = *worker.stage() == Stage::Draining;
                    if !worker.is_leaving() || (is_draining && limit > 0) {
                        worker.drain(reason, limit, now);
                    }
                }
                None if seat.retry_at.take().is_some() => seat.vacate(&self.terms.board, SeatState::Empty),
                None => {}
            }
        }
    }

    /// Everything is to end, within `shutdown-timeout` and [`LONGEST_STOP`].
    pub(crate) fn stop(&mut self, reason: &str, now: Instant) {
        self.fate = Fate::Leaves;
        self.hold_until = None;
        let own = Duration::from_secs(self.group().shutdown_timeout);
        let limit = if own.is_zero() { LONGEST_STOP } else { own.min(LONGEST_STOP) };
        for seat in &mut self.seats {
            seat.retry_at = None;
            if let Some(worker) = &mut seat.worker {
                worker.stop(reason, limit, now);
            }
        }
    }
}
