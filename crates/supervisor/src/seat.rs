//! A seat: its socket, its place on the scoreboard, and the process that has it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use wire::{End, Scoreboard, SeatState};

use crate::backoff::Backoff;
use crate::os::sockets::{NamedSocket, SocketError};
use crate::os::{clock, identity};
use crate::plan::{Place, Standing};
use crate::worker::{Stage, Worker};

/// A group's scoreboard, and the file that workers get.
#[derive(Debug)]
pub(crate) struct Board {
    file: File,
    map: Scoreboard,
}

impl Board {
    /// # Errors
    /// As for [`Scoreboard::map`].
    pub(crate) fn new(file: OwnedFd) -> io::Result<Board> {
        Ok(Board { map: Scoreboard::map(&file)?, file: file.into() })
    }

    /// Whether the other one is the same memory.
    pub(crate) fn is_same(&self, other: &Board) -> bool {
        use std::os::unix::fs::MetadataExt;
        let identity = |board: &Board| board.file.metadata().map(|metadata| (metadata.dev(), metadata.ino())).ok();
        identity(self) == identity(other)
    }

    /// The memory.
    pub(crate) fn map(&self) -> &Scoreboard {
        &self.map
    }

    /// Whether a worker that is none of ours seems to have the seat: a predecessor's, that still drains.
    pub(crate) fn is_haunted(&self, number: u32) -> bool {
        let Some(seat) = self.map.seat(number) else { return false };
        let pid = i32::try_from(seat.pid.load(Relaxed)).unwrap_or(0);
        let is_taken = matches!(seat.state(), SeatState::Starting | SeatState::Serving | SeatState::Draining);
        is_taken && pid > 0 && identity::is_alive(pid)
    }

    /// Whether the seat has ever been part of a pool, a predecessor's or one of ours.
    pub(crate) fn was_used(&self, number: u32) -> bool {
        self.map.seat(number).is_none_or(|seat| seat.generation.load(Relaxed) != 0)
    }

    /// Clears what dead workers of a predecessor left in the first seats.
    pub(crate) fn exorcise(&self, seats: u32) {
        for number in 0..seats {
            if !self.is_haunted(number)
                && let Some(seat) = self.map.seat(number)
            {
                vacate(seat, SeatState::Empty);
            }
        }
    }
}

impl AsFd for Board {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A seat of a pool.
#[derive(Debug)]
pub(crate) struct Seat {
    number: u32,
    socket: NamedSocket,
    /// Processes have had the socket.
    is_shared: bool,
    /// There could be no new socket, or is to be none.
    is_stuck: bool,
    pub(crate) worker: Option<Worker>,
    pub(crate) backoff: Backoff,
    /// Its last process hung before it became a worker: nobody is to wait for the next until that is one.
    is_suspect: bool,
    /// Its process has failed, and the next is to be started then.
    pub(crate) retry_at: Option<Instant>,
}

impl Seat {
    pub(crate) fn new(number: u32, socket: NamedSocket) -> Seat {
        Seat {
            number,
            socket,
            is_shared: false,
            is_stuck: false,
            worker: None,
            backoff: Backoff::default(),
            is_suspect: false,
            retry_at: None,
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The socket, to be given to a process.
    pub(crate) fn share(&mut self) -> &NamedSocket {
        self.is_shared = true;
        &self.socket
    }

    /// The socket, if there is no process to take connections and they can be refused here.
    pub(crate) fn vacant_socket(&self) -> Option<&NamedSocket> {
        (self.worker.is_none() && !self.is_shared).then_some(&self.socket)
    }

    /// Gives a seat that has lost its process a new socket; what waited for the old one is refused.
    ///
    /// # Errors
    /// That of the new socket, told once; then the seat keeps the old one until there can be a new one.
    pub(crate) fn renew(
        &mut self,
        make: impl FnOnce(u32) -> Result<NamedSocket, SocketError>,
    ) -> Result<(), SocketError> {
        if self.worker.is_some() || !self.is_shared {
            return Ok(());
        }
        match make(self.number) {
            Ok(socket) => std::mem::replace(&mut self.socket, socket).end(),
            Err(_) if self.is_stuck => return Ok(()),
            Err(error) => {
                self.is_stuck = true;
                return Err(error);
            }
        }
        (self.is_shared, self.is_stuck) = (false, false);
        Ok(())
    }

    /// Takes the socket's name away, for another supervisor's.
    pub(crate) fn unname(&self) {
        self.socket.unname();
    }

    /// Refuses what waits for a process that is no longer there, where there is to be no new socket.
    pub(crate) fn shut(&mut self) {
        if self.worker.is_none() && self.is_shared && !std::mem::replace(&mut self.is_stuck, true) {
            self.socket.shut();
        }
    }

    /// As the plan sees it.
    pub(crate) fn place(&self, now: Instant) -> Place {
        let Some(worker) = &self.worker else {
            let standing = match self.retry_at {
                Some(at) => Standing::Failed { is_due: at <= now },
                None => Standing::Empty,
            };
            return Place { standing, generation: 0, since: now };
        };
        let standing = match worker.stage() {
            Stage::Starting => Standing::Starting,
            Stage::Serving => Standing::Serving,
            Stage::Retiring(_) => Standing::Retiring,
            Stage::Draining => Standing::Draining,
            Stage::Leaving => Standing::Leaving,
        };
        Place { standing, generation: worker.generation(), since: worker.started() }
    }

    /// Ends the socket: what waits is refused, and its name goes.
    pub(crate) fn end(self) {
        self.socket.end();
    }

    /// Its process hung before it became a worker.
    pub(crate) fn suspect(&mut self) {
        self.is_suspect = true;
    }

    /// Whether the one before this process hung.
    pub(crate) fn is_suspect(&self) -> bool {
        self.is_suspect
    }

    /// Its process has become a worker: from now on it may be waited for.
    pub(crate) fn clear(&mut self, board: &Board) {
        if std::mem::take(&mut self.is_suspect)
            && let Some(seat) = board.map.seat(self.number)
        {
            // It may serve already, which it writes down itself.
            seat.replace_state(SeatState::Failed, SeatState::Starting);
        }
    }

    /// Forgets what became of the processes before.
    pub(crate) fn forget(&mut self) {
        self.backoff.forget();
        self.is_suspect = false;
    }

    /// When there is something to do here without anybody's saying so.
    /// Starts wait for `hold`.
    pub(crate) fn deadline(&self, hold: Option<Instant>) -> Option<Instant> {
        let retry = self.retry_at.map(|at| hold.map_or(at, |hold| hold.max(at)));
        self.worker.as_ref().map_or(retry, Worker::deadline)
    }

    /// Writes down that a process is about to start; gives its incarnation.
    pub(crate) fn announce(&self, board: &Board, generation: u32) -> u32 {
        let Some(seat) = board.map.seat(self.number) else { return 1 };
        // Counts on from what a predecessor wrote. 0 is no incarnation.
        let incarnation = seat.incarnation.load(Relaxed).wrapping_add(1).max(1);
        vacate(seat, SeatState::Empty);
        seat.incarnation.store(incarnation, Relaxed);
        seat.generation.store(generation, Relaxed);
        seat.begun.store(0, Relaxed);
        seat.started_us.store(now_us(), Relaxed);
        seat.set_state(if self.is_suspect { SeatState::Failed } else { SeatState::Starting });
        incarnation
    }

    /// Writes down the process that has been started.
    pub(crate) fn name(&self, board: &Board, pid: i32) {
        if let Some(seat) = board.map.seat(self.number) {
            seat.pid.store(pid.unsigned_abs(), Relaxed);
        }
    }

    /// Writes down that there is no process. What still comes to the socket is refused from the loop.
    pub(crate) fn vacate(&self, board: &Board, state: SeatState) {
        if let Some(seat) = board.map.seat(self.number) {
            vacate(seat, state);
        }
    }

    /// Writes down the generation that the seat's first process will have.
    pub(crate) fn mark(&self, board: &Board, generation: u32) {
        if let Some(seat) = board.map.seat(self.number) {
            seat.generation.store(generation, Relaxed);
        }
    }

    /// Writes down how the process has ended.
    pub(crate) fn write_end(&self, board: &Board, end: End) {
        if let Some(seat) = board.map.seat(self.number) {
            let (incarnation, begun) = (seat.incarnation.load(Relaxed), seat.begun.load(Relaxed));
            seat.write_end(&End { incarnation, begun, ended_us: now_us(), ..end });
        }
    }

    /// How many requests its last process says that it has begun.
    pub(crate) fn begun(&self, board: &Board) -> u64 {
        board.map.seat(self.number).map_or(0, |seat| seat.begun.load(Relaxed))
    }

    /// The generation that was last written down.
    pub(crate) fn generation(&self, board: &Board) -> u32 {
        board.map.seat(self.number).map_or(0, |seat| seat.generation.load(Relaxed))
    }
}

fn now_us() -> u64 {
    u64::try_from(clock::now().as_micros()).unwrap_or(u64::MAX)
}

fn vacate(seat: &wire::Seat, state: SeatState) {
    seat.set_state(state);
    seat.pid.store(0, Relaxed);
    seat.active.store(0, Relaxed);
}
