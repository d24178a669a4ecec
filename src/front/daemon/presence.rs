//! What one child of httpd knows and keeps of a group: its pools, and connections to its workers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use wire::control::Pool;
use wire::{End, Scoreboard, Seat};

use super::connection::Connection;
use super::seats::View;

/// Most idle connections that a child keeps to one worker beyond as many as are in use: under load none is closed that is
/// needed again at once.
const IDLE_LIMIT: usize = 32;

/// What a child has to do with one seat.
#[derive(Debug, Default)]
struct Place {
    /// The last one that was used is used next, so that those too many grow old.
    idle: Mutex<Vec<Connection>>,
    in_flight: AtomicU32,
}

/// The places of all seats, made in blocks when the first of one is needed: scoreboards have room for many more seats
/// than a group mostly has.
#[derive(Debug)]
struct Places(Box<[OnceLock<Box<[Place]>>]>);

/// Seats of a block.
const BLOCK: u32 = 64;

impl Places {
    fn new(seats: u32) -> Places {
        Places((0..seats.div_ceil(BLOCK)).map(|_| OnceLock::new()).collect())
    }

    fn get(&self, seat: u32) -> Option<&Place> {
        let block = self.0.get((seat / BLOCK) as usize)?;
        block.get_or_init(|| (0..BLOCK).map(|_| Place::default()).collect()).get((seat % BLOCK) as usize)
    }
}

/// A child's pools and connections of one group. No lock is held while anything waits. Made in the child, so that no
/// connection is inherited; what a child forks (for CGI) serves no request.
#[derive(Debug)]
pub(super) struct Presence {
    scoreboard: Arc<Scoreboard>,
    pools: RwLock<HashMap<Vec<u8>, Pool>>,
    places: Places,
    turn: AtomicU32,
}

impl Presence {
    /// Nothing is known yet. In a child only.
    pub(super) fn new(scoreboard: Arc<Scoreboard>) -> Presence {
        let places = Places::new(scoreboard.seats());
        Presence { scoreboard, pools: RwLock::default(), places, turn: AtomicU32::new(std::process::id()) }
    }

    /// The pool of an application group, if it is known.
    pub(super) fn pool(&self, application_group: &[u8]) -> Option<Pool> {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).get(application_group).cloned()
    }

    /// Remembers a pool, if its seats are seats of the scoreboard.
    pub(super) fn learn(&self, application_group: &[u8], pool: &Pool) -> bool {
        let is_sound =
            pool.count > 0 && pool.first.checked_add(pool.count).is_some_and(|end| end <= self.scoreboard.seats());
        if is_sound {
            let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
            pools.insert(application_group.to_vec(), pool.clone());
        }
        is_sound
    }

    /// Forgets a pool that turned out to be another's, or to have nobody who serves: it may have other seats by now, and
    /// nobody would come upon its connections again.
    pub(super) fn forget(&self, application_group: &[u8]) {
        let forgotten = self.pools.write().unwrap_or_else(PoisonError::into_inner).remove(application_group);
        if let Some(pool) = forgotten {
            (pool.first..pool.first.saturating_add(pool.count)).for_each(|seat| self.close_idle(seat));
        }
    }

    pub(super) fn seat(&self, number: u32) -> Option<&Seat> {
        self.scoreboard.seat(number)
    }

    /// The seats of a pool as they are now.
    pub(super) fn views(&self, pool: &Pool) -> impl Iterator<Item = View> {
        (pool.first..pool.first.saturating_add(pool.count)).filter_map(|number| {
            let seat = self.scoreboard.seat(number)?;
            let own = self.places.get(number)?.in_flight.load(Ordering::Relaxed);
            Some(View {
                number,
                state: seat.state(),
                incarnation: seat.incarnation.load(Ordering::Relaxed),
                generation: seat.generation.load(Ordering::Relaxed),
                // The worker does not know yet of what is on its way.
                load: own.max(seat.active.load(Ordering::Relaxed)),
            })
        })
    }

    /// How the last of the pool's processes ended, as far as that is known.
    pub(super) fn last_end(&self, pool: &Pool) -> Option<End> {
        let numbers = pool.first..pool.first.saturating_add(pool.count);
        let ends = numbers.filter_map(|number| self.scoreboard.seat(number)?.last_end());
        ends.max_by_key(|end| end.ended_us)
    }

    /// A number that grows with each request.
    pub(super) fn next_turn(&self) -> u32 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a request of this child's to a seat, until the guard is dropped.
    pub(super) fn count(&self, seat: u32) -> InFlight<'_> {
        let counter = self.places.get(seat).map(|place| &place.in_flight);
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        InFlight(counter)
    }

    /// An idle connection to the process that has the seat now.
    pub(super) fn take_idle(&self, seat: u32) -> Option<Connection> {
        let incarnation = self.scoreboard.seat(seat)?.incarnation.load(Ordering::Acquire);
        let mut idle = self.places.get(seat)?.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if connection.incarnation() == Some(incarnation) {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for a further request.
    pub(super) fn keep(&self, seat: u32, connection: Connection) {
        let Some(place) = self.places.get(seat) else { return };
        let mut idle = place.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = place.in_flight.load(Ordering::Relaxed) as usize;
        if idle.len() < IDLE_LIMIT + in_use {
            idle.push(connection);
        }
    }

    /// Closes the idle connections of a seat.
    pub(super) fn close_idle(&self, seat: u32) {
        let Some(place) = self.places.get(seat) else { return };
        let closed = std::mem::take(&mut *place.idle.lock().unwrap_or_else(PoisonError::into_inner));
        drop(closed);
    }
}

/// A request that a seat has, from this child's point of view.
pub(super) struct InFlight<'a>(Option<&'a AtomicU32>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(counter) = self.0 {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
