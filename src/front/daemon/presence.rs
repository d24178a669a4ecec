//! What one child of httpd knows and keeps of a group: its pools, and connections to its workers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use wire::control::Pool;
use wire::{End, Scoreboard, Seat, SeatState};

use super::connection::Connection;
use super::seats::View;

/// Most idle connections that a child keeps to one worker beyond as many as are in use: under load none is closed that is
/// needed again at once.
const IDLE_LIMIT: usize = 32;

/// What a child has to do with one seat.
#[derive(Debug, Default)]
struct Place {
    kept: Mutex<Kept>,
    in_flight: AtomicU32,
}

/// What is kept of a seat.
#[derive(Debug, Default)]
struct Kept {
    /// The last one that was used is used next, so that those too many grow old.
    idle: Vec<Connection>,
    /// The seat is in no pool that is known any more: nobody would ever use what is kept.
    is_left: bool,
}

impl Place {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            self.replace(application_group, Some(pool));
        }
        is_sound
    }

    /// Forgets a pool that turned out to be another's.
    pub(super) fn forget(&self, application_group: &[u8]) {
        self.replace(application_group, None);
    }

    /// Puts another pool, or none, in the place of one, and closes the idle connections to seats that are in no pool now.
    fn replace(&self, application_group: &[u8], pool: Option<&Pool>) {
        let mut closed = Vec::new();
        let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
        let before = match pool {
            Some(pool) => pools.insert(application_group.to_vec(), pool.clone()),
            None => pools.remove(application_group),
        };
        for (_, place) in pool.into_iter().flat_map(|pool| self.places_of(pool)) {
            place.kept().is_left = false;
        }
        // Another application group may have got the seats meanwhile.
        let is_left = |number: u32| !pools.values().any(|pool| numbers(pool).contains(&number));
        let places = before.iter().flat_map(|pool| self.places_of(pool));
        for (_, place) in places.filter(|(number, _)| is_left(*number)) {
            let mut kept = place.kept();
            kept.is_left = true;
            closed.append(&mut kept.idle);
        }
        drop(pools);
        drop(closed);
    }

    fn places_of(&self, pool: &Pool) -> impl Iterator<Item = (u32, &Place)> + use<'_> {
        numbers(pool).filter_map(|number| Some((number, self.places.get(number)?)))
    }

    pub(super) fn seat(&self, number: u32) -> Option<&Seat> {
        self.scoreboard.seat(number)
    }

    /// The seats of a pool as they are now.
    pub(super) fn views(&self, pool: &Pool) -> impl Iterator<Item = View> {
        numbers(pool).filter_map(|number| {
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
        let ends = numbers(pool).filter_map(|number| self.scoreboard.seat(number)?.last_end());
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
        let mut kept = self.places.get(seat)?.kept();
        while let Some(connection) = kept.idle.pop() {
            if connection.incarnation() == Some(incarnation) {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for a further request.
    pub(super) fn keep(&self, seat: u32, connection: Connection) {
        let Some(place) = self.places.get(seat) else { return };
        let mut kept = place.kept();
        let in_use = place.in_flight.load(Ordering::Relaxed) as usize;
        if !kept.is_left && kept.idle.len() < IDLE_LIMIT + in_use {
            kept.idle.push(connection);
        }
    }

    /// Closes the idle connections of a seat, one of which was found closed by the worker.
    pub(super) fn close_idle(&self, seat: u32) {
        let Some(place) = self.places.get(seat) else { return };
        let closed = std::mem::take(&mut place.kept().idle);
        drop(closed);
    }

    /// Closes the idle connections to processes of a pool that have ended, whose seats may stay empty for long. For whenever
    /// a new connection is needed, which is when there are new processes.
    pub(super) fn close_ended(&self, pool: &Pool) {
        for (number, place) in self.places_of(pool) {
            let Some(seat) = self.scoreboard.seat(number) else { continue };
            let is_empty = matches!(seat.state(), SeatState::Empty | SeatState::Failed);
            let incarnation = seat.incarnation.load(Ordering::Acquire);
            let has_ended = |connection: &mut Connection| is_empty || connection.incarnation() != Some(incarnation);
            let closed: Vec<_> = place.kept().idle.extract_if(.., has_ended).collect();
            drop(closed);
        }
    }
}

/// The seats of a pool.
fn numbers(pool: &Pool) -> Range<u32> {
    pool.first..pool.first.saturating_add(pool.count)
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

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use wire::Welcome;

    use super::*;

    fn presence() -> Presence {
        let board = Scoreboard::map(Scoreboard::create(8).expect("memory")).expect("just made");
        for number in 0..8 {
            let seat = board.seat(number).expect("one of eight");
            seat.incarnation.store(1, Ordering::Release);
            seat.set_state(SeatState::Serving);
        }
        Presence::new(Arc::new(board))
    }

    /// Keeps a connection to the first process of a seat; the worker's end.
    fn keep(presence: &Presence, seat: u32) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().expect("made");
        let mut connection = Connection::over(ours.into());
        connection.welcome = Some(Welcome { secret: [0; 32], pid: 1, incarnation: 1, cell: 0 });
        presence.keep(seat, connection);
        theirs.set_nonblocking(true).expect("a socket");
        theirs
    }

    fn is_closed(mut worker: &UnixStream) -> bool {
        worker.read(&mut [0]).is_ok_and(|count| count == 0)
    }

    #[test]
    fn idle_connections_to_the_seats_of_a_forgotten_pool_are_closed_and_no_others() {
        let presence = presence();
        assert!(
            presence.learn(b"a", &Pool { first: 0, count: 2 }) && presence.learn(b"b", &Pool { first: 2, count: 2 })
        );
        let workers = [0, 1, 1, 2].map(|seat| keep(&presence, seat));
        presence.forget(b"a");
        assert_eq!(workers.each_ref().map(is_closed), [true, true, true, false]);
        assert!(presence.take_idle(2).is_some() && presence.take_idle(1).is_none());
    }

    #[test]
    fn only_the_seats_that_a_moved_pool_no_longer_has_lose_their_idle_connections() {
        let presence = presence();
        assert!(presence.learn(b"a", &Pool { first: 0, count: 2 }));
        let workers = [0, 1].map(|seat| keep(&presence, seat));
        assert!(presence.learn(b"a", &Pool { first: 1, count: 2 }));
        assert_eq!(workers.each_ref().map(is_closed), [true, false]);
    }

    #[test]
    fn request_that_ends_after_its_pool_has_moved_leaves_no_idle_connection() {
        let presence = presence();
        assert!(
            presence.learn(b"a", &Pool { first: 0, count: 2 }) && presence.learn(b"a", &Pool { first: 2, count: 2 })
        );
        assert!(is_closed(&keep(&presence, 0)));
        // Until somebody gets the seat again.
        assert!(presence.learn(b"b", &Pool { first: 0, count: 2 }));
        assert!(!is_closed(&keep(&presence, 0)));
    }

    #[test]
    fn seats_that_another_application_group_has_by_now_keep_their_idle_connections() {
        let presence = presence();
        assert!(
            presence.learn(b"a", &Pool { first: 0, count: 2 }) && presence.learn(b"b", &Pool { first: 1, count: 2 })
        );
        let workers = [0, 1].map(|seat| keep(&presence, seat));
        presence.forget(b"a");
        assert_eq!(workers.each_ref().map(is_closed), [true, false]);
    }

    #[test]
    fn idle_connections_to_processes_that_have_ended_are_closed_though_their_seats_stay_empty() {
        let presence = presence();
        let pool = Pool { first: 0, count: 4 };
        assert!(presence.learn(b"a", &pool));
        let workers = [0, 1, 2].map(|seat| keep(&presence, seat));
        presence.seat(0).expect("one of eight").set_state(SeatState::Empty);
        presence.seat(1).expect("one of eight").incarnation.store(2, Ordering::Release);
        presence.close_ended(&pool);
        assert_eq!(workers.each_ref().map(is_closed), [true, true, false]);
    }
}
