//! The worker's own seat of the group's scoreboard, and which of its cells are free.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use wire::frame::NO_CELL;
use wire::{CELLS, Scoreboard, Seat, SeatState};

use crate::python::course::now_us;

/// The seat; the number was checked when the worker started.
pub(super) struct OwnSeat {
    scoreboard: Scoreboard,
    number: u32,
    incarnation: u32,
    /// Free cells, the next one last.
    free: Mutex<Vec<u32>>,
}

impl OwnSeat {
    /// `None` if there is no such seat.
    pub(super) fn new(scoreboard: Scoreboard, number: u32, incarnation: u32, generation: u32) -> Option<OwnSeat> {
        let seat = scoreboard.seat(number)?;
        seat.incarnation.store(incarnation, Ordering::Relaxed);
        seat.generation.store(generation, Ordering::Relaxed);
        seat.pid.store(std::process::id(), Ordering::Relaxed);
        seat.active.store(0, Ordering::Relaxed);
        seat.begun.store(0, Ordering::Relaxed);
        let now_us = now_us();
        for place in [&seat.started_us, &seat.active_us, &seat.alive_us] {
            place.store(now_us, Ordering::Relaxed);
        }
        let free = Mutex::new((0..u32::try_from(CELLS).unwrap_or(0)).rev().collect());
        Some(OwnSeat { scoreboard, number, incarnation, free })
    }

    fn seat(&self) -> Option<&Seat> {
        self.scoreboard.seat(self.number)
    }

    pub(super) fn set_state(&self, state: SeatState) {
        if let Some(seat) = self.seat() {
            seat.set_state(state);
        }
    }

    /// A cell for a new connection, or [`NO_CELL`].
    pub(super) fn open_cell(&self) -> u32 {
        let cell = self.free().pop().unwrap_or(NO_CELL);
        if let Some(seat) = self.seat() {
            seat.open_cell(cell, self.incarnation);
        }
        cell
    }

    pub(super) fn close_cell(&self, cell: u32) {
        if cell != NO_CELL {
            self.free().push(cell);
        }
    }

    /// Counts a request on its connection.
    pub(super) fn count(&self, cell: u32) {
        if let Some(seat) = self.seat() {
            seat.count_begun(cell);
        }
    }

    pub(super) fn begin(&self, cell: u32) {
        self.count(cell);
        if let Some(seat) = self.seat() {
            seat.active.fetch_add(1, Ordering::Relaxed);
            seat.begun.fetch_add(1, Ordering::Relaxed);
            seat.active_us.store(now_us(), Ordering::Relaxed);
        }
    }

    pub(super) fn end(&self) {
        if let Some(seat) = self.seat() {
            seat.active.fetch_sub(1, Ordering::Relaxed);
            seat.active_us.store(now_us(), Ordering::Relaxed);
        }
    }

    pub(super) fn note_alive(&self) {
        if let Some(seat) = self.seat() {
            seat.alive_us.store(now_us(), Ordering::Relaxed);
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
