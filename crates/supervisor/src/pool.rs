//! A pool: the workers of one application group, on seats of their own.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

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
use crate::worker::{Stage, Worker, start_limit};

/// Processes that end, or find their script changed, before this age are something that could go on without pause.
const YOUNG: Duration = Duration::from_secs(1);

/// The least wait where an interpreter has hung, so that what waits for it is refused.
const SUSPECT_WAIT: Duration = Duration::from_secs(1);

/// httpd's parent does not wait much longer for its own end.
const LONGEST_STOP: Duration = Duration::from_secs(5);

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
        let Terms { group, board, site, .. } = &self.terms;
        seat.retry_at = None;
        let incarnation = seat.announce(board, self.generation);
        let own = self.terms.own(&self.title, seat.number(), incarnation, self.generation);
        // The process before may have changed that; one that cannot be changed back only makes this one wait.
        let _ = set_nonblocking(seat.share());
        let (listener, scoreboard) = (seat.share().as_fd(), board.as_fd());
        let launch = Launch { site, group, own, listener, scoreboard };
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

    fn drain(&mut self, index: usize, log: &Log, now: Instant) {
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

    fn press(&mut self, index: usize, log: &Log, now: Instant) {
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

    /// Ends the sockets.
    pub(crate) fn end(self) {
        self.seats.into_iter().for_each(Seat::end);
    }

    /// Refuses what waits for processes that are no longer there.
    pub(crate) fn renew_sockets(&mut self, log: &Log) {
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

    /// When there is something to do here without anybody's saying so.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let hold = self.hold_until;
        self.seats.iter().filter_map(|seat| seat.deadline(hold)).chain(hold).min()
    }
}
