//! A pool: the workers of one application group, on seats of their own.

mod ends;
mod failures;

use std::os::fd::AsFd;
use std::time::Instant;

use gateway::Level;
use wire::SeatState;
use wire::control::Group;

use crate::backoff::Backoff;
use crate::codes;
use crate::launch::Launch;
use crate::log::Log;
use crate::os::sockets::{SocketError, set_nonblocking};
use crate::plan::{self, Action, Standing};
use crate::seat::Seat;
use crate::terms::{Terms, Title};
use crate::words::{Show, When};
use crate::worker::Worker;

/// What is to become of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is the one that the desk names.
    Stays,
    /// Another one is being started in its place.
    Outgoing,
    /// It ends when its processes have.
    Leaves,
}

/// A pool.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) title: Title,
    pub(crate) fate: Fate,
    terms: Terms,
    first: u32,
    pub(crate) seats: Vec<Seat>,
    generation: u32,
    /// Processes that end by themselves as soon as they are ready must not be replaced without pause.
    hold: Backoff,
    hold_until: Option<Instant>,
    has_settled: bool,
    /// Another supervisor makes sockets of these names.
    is_nameless: bool,
}

impl Pool {
    /// Makes a pool's sockets on these seats; nothing is started yet.
    ///
    /// # Errors
    /// That of the socket that cannot be made.
    pub(crate) fn make(terms: Terms, title: Title, first: u32, count: u32) -> Result<Pool, SocketError> {
        let mut seats = Vec::new();
        let mut generation = 0;
        for number in first..first + count {
            let seat = Seat::new(number, terms.seat_socket(number)?);
            seat.vacate(&terms.board, SeatState::Empty);
            // Counts on from what a predecessor wrote.
            generation = generation.max(seat.generation(&terms.board));
            seats.push(seat);
        }
        generation = generation.wrapping_add(1).max(1);
        for seat in &seats {
            seat.mark(&terms.board, generation);
        }
        Ok(Pool {
            title,
            fate: Fate::Stays,
            terms,
            first,
            seats,
            generation,
            hold: Backoff::default(),
            hold_until: None,
            has_settled: false,
            is_nameless: false,
        })
    }

    /// The seats, for an answer.
    pub(crate) fn seat_range(&self) -> wire::control::Pool {
        wire::control::Pool { first: self.first, count: u32::try_from(self.seats.len()).unwrap_or(0) }
    }

    /// Whether the seat is one of this pool's.
    pub(crate) fn has_seat(&self, number: u32) -> bool {
        self.seats.iter().any(|seat| seat.number() == number)
    }

    /// What its workers were started with.
    pub(crate) fn group(&self) -> &Group {
        &self.terms.group
    }

    /// The generation that is to serve.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether all its processes serve, or one has failed: there is nothing to wait for.
    pub(crate) fn has_settled(&self) -> bool {
        self.has_settled
    }

    /// Whether there is no process.
    pub(crate) fn is_deserted(&self) -> bool {
        self.seats.iter().all(|seat| seat.worker.is_none())
    }

    /// Does what the plan says.
    pub(crate) fn act(&mut self, log: &Log, now: Instant) {
        if self.fate == Fate::Leaves {
            return;
        }
        self.hold_until = self.hold_until.filter(|until| *until > now);
        let places: Vec<_> = self.seats.iter().map(|seat| seat.place(now)).collect();
        let is_service = self.group().threads == 0;
        let processes = self.group().processes.max(1);
        for action in plan::plan(processes, self.generation, self.hold_until.is_none(), &places) {
            match action {
                Action::Start(index) => self.start(index, log, now),
                Action::Drain(index) => self.drain(index, log, now),
                Action::Press(index) => self.press(index, log, now),
            }
        }
        let serving = places.iter().filter(|place| match place.standing {
            Standing::Serving | Standing::Retiring => place.generation == self.generation,
            Standing::Starting => is_service,
            _ => false,
        });
        self.has_settled |=
            serving.count() >= processes as usize || self.seats.iter().any(|seat| seat.retry_at.is_some());
    }

    fn start(&mut self, index: usize, log: &Log, now: Instant) {
        let Some(seat) = self.seats.get_mut(index) else { return };
        let Terms { group, board, server, site, .. } = &self.terms;
        seat.retry_at = None;
        let incarnation = seat.announce(board, self.generation);
        let own = self.terms.own(&self.title, seat.number(), incarnation, self.generation);
        // The process before may have changed that; one that cannot be changed back only makes this one wait.
        let _ = set_nonblocking(seat.share());
        let (listener, scoreboard) = (seat.share().as_fd(), board.as_fd());
        let server = server.as_ref().map(|server| server.as_fd());
        let launch = Launch { site, group, own, listener, scoreboard, server };
        match Worker::launch(&launch, now) {
            Ok(worker) => {
                seat.name(board, worker.pid());
                log.info(format_args!(
                    "starting process (pid={}) of group '{}' as user {} and group {} with {}",
                    worker.pid(),
                    Show(&group.name),
                    group.uid,
                    group.gid,
                    Show(&group.python),
                ));
                seat.worker = Some(worker);
            }
            Err(error) => {
                let wait = self.fail(index, now, now);
                log.problem(
                    Level::Error,
                    codes::FORK,
                    format_args!(
                        "cannot start a process of group '{}': {error}; next try {}",
                        Show(&self.group().name),
                        When(wait)
                    ),
                );
            }
        }
    }

    /// Takes the names of the sockets away, for another supervisor's.
    pub(crate) fn unname(&mut self) {
        self.is_nameless = true;
        self.seats.iter().for_each(Seat::unname);
    }

    /// Ends the sockets.
    pub(crate) fn end(self) {
        self.seats.into_iter().for_each(Seat::end);
    }

    /// Refuses what waits for processes that are no longer there.
    pub(crate) fn renew_sockets(&mut self, log: &Log) {
        if self.is_nameless {
            self.seats.iter_mut().for_each(Seat::shut);
            return;
        }
        for seat in &mut self.seats {
            if let Err(error) = seat.renew(|number| self.terms.seat_socket(number)) {
                log.problem(
                    Level::Error,
                    error.code(),
                    format_args!("{error}; connections wait until the seat has a process"),
                );
            }
        }
    }

    /// When there is something to do here without anybody's saying so.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let hold = self.hold_until;
        self.seats.iter().filter_map(|seat| seat.deadline(hold)).chain(hold).min()
    }
}
