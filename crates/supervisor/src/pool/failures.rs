//! Processes that fail, or that something ends too soon: when others follow, and whether anybody waits for them.

use std::time::{Duration, Instant};

use wire::SeatState;

use super::Pool;

/// Processes that end, or find their script changed, before this age are something that could go on without pause.
const YOUNG: Duration = Duration::from_secs(1);

/// The least wait where an interpreter has hung, so that what waits for it is refused.
const SUSPECT_WAIT: Duration = Duration::from_secs(1);

impl Pool {
    /// The process of a seat has failed, and was last well at that time. Gives the time until the next is started
    /// there.
    pub(crate) fn fail(&mut self, index: usize, well: Instant, now: Instant) -> Duration {
        self.has_settled = true;
        let Some(seat) = self.seats.get_mut(index) else { return Duration::ZERO };
        let wait = seat.backoff.fail(well, now);
        // Whoever waits for the seat has waited long, and would for the next one.
        let wait = if seat.is_suspect() { wait.max(SUSPECT_WAIT) } else { wait };
        seat.retry_at = Some(now + wait);
        // Where another process follows at once, children wait for it, as does what is in the backlog.
        let is_soon = wait.is_zero() && self.hold_until.is_none();
        seat.vacate(&self.terms.board, if is_soon { SeatState::Starting } else { SeatState::Failed });
        wait
    }

    /// The process of a seat hung before it became a worker.
    pub(crate) fn suspect(&mut self, index: usize) {
        if let Some(seat) = self.seats.get_mut(index) {
            seat.suspect();
        }
    }

    /// The process of a seat has become a worker.
    pub(crate) fn clear(&mut self, index: usize) {
        if let Some(seat) = self.seats.get_mut(index) {
            seat.clear(&self.terms.board);
        }
    }

    /// The process of a seat has ended as it should; another one has its work, or will be started at once.
    pub(crate) fn vacate(&mut self, index: usize) {
        if let Some(seat) = self.seats.get_mut(index) {
            seat.vacate(&self.terms.board, SeatState::Empty);
        }
    }

    /// A process of this age ends by itself. If it is a young one, the next has to wait like after a failure.
    pub(crate) fn lose(&mut self, age: Duration, now: Instant) {
        if age < YOUNG {
            self.hold_until = Some(now + self.hold.fail(now, now));
        }
    }

    /// All processes are to be replaced by new ones, since one of this age has found its script changed. A script that
    /// changes itself when it is loaded must not start processes without pause.
    pub(crate) fn reload(&mut self, age: Duration, now: Instant) {
        if age < YOUNG {
            self.hold_until = Some(now + (YOUNG - age));
        }
        self.generation = self.generation.wrapping_add(1).max(1);
        for seat in &mut self.seats {
            seat.forget();
            if seat.retry_at.take().is_some() {
                seat.vacate(&self.terms.board, SeatState::Empty);
            }
        }
    }
}
