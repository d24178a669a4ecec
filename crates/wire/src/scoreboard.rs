//! A group's scoreboard: what its processes are doing, in memory that httpd's children, the supervisor and
//! the group's workers share.
//!
//! Everything in it may be written by a hostile application of the group, so readers take it as a hint about
//! that group and nothing else: no index, length or address is ever taken from it. The memory is a sealed file
//! (memfd) that nobody can make shorter.

mod end;
mod mapping;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

pub use end::End;
use mapping::Mapping;

/// How many connections of a seat have a place to count requests in.
pub const CELLS: usize = 1024;

/// Most seats of a scoreboard.
pub const SEAT_LIMIT: u32 = 4096;

/// What the process of a seat is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SeatState {
    /// There is none.
    Empty = 0,
    /// It is being started; connections wait for it.
    Starting = 1,
    /// It takes requests.
    Serving = 2,
    /// It ends when its requests have; takes no new connections.
    Draining = 3,
    /// It could not be started, or crashed again and again; another try is made later.
    Failed = 4,
}

impl SeatState {
    fn of(number: u32) -> SeatState {
        match number {
            1 => Self::Starting,
            2 => Self::Serving,
            3 => Self::Draining,
            4 => Self::Failed,
            // Also what nobody wrote on purpose.
            _ => Self::Empty,
        }
    }
}

/// One seat. Written by the worker, and by the supervisor while no worker has it; `end` by the supervisor alone.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Seat {
    state: AtomicU32,
    /// Which of the processes that had the seat it is; starts with 1.
    pub incarnation: AtomicU32,
    /// The process; 0 for none.
    pub pid: AtomicU32,
    /// Which generation of its pool's code it has; grows with each reload.
    pub generation: AtomicU32,
    /// Requests that are being served.
    pub active: AtomicU32,
    reserved: AtomicU32,
    /// Requests that have been begun since the process started.
    pub begun: AtomicU64,
    /// When the process started, microseconds since 1970.
    pub started_us: AtomicU64,
    /// When something last happened, microseconds since 1970.
    pub active_us: AtomicU64,
    /// When Python was last seen to make progress, microseconds since 1970.
    pub alive_us: AtomicU64,
    end: end::Cell,
    more: [AtomicU64; 2],
    cells: Cells,
}

#[repr(C)]
#[derive(Debug)]
struct Cells([AtomicU64; CELLS]);

impl Default for Cells {
    fn default() -> Self {
        Cells([const { AtomicU64::new(0) }; CELLS])
    }
}

impl Seat {
    /// What the process is doing.
    pub fn state(&self) -> SeatState {
        SeatState::of(self.state.load(Ordering::Acquire))
    }

    /// Sets it.
    pub fn set_state(&self, state: SeatState) {
        self.state.store(state as u32, Ordering::Release);
    }

    /// Sets it if it is still this one.
    pub fn replace_state(&self, from: SeatState, to: SeatState) {
        // Whoever has set another one meanwhile knows better.
        let _ = self.state.compare_exchange(from as u32, to as u32, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Worker: a connection of this incarnation begins to count in the cell.
    pub fn open_cell(&self, cell: u32, incarnation: u32) {
        if let Some(cell) = self.cell(cell) {
            cell.store(u64::from(incarnation) << 32, Ordering::Release);
        }
    }

    /// Worker: a request of the cell's connection is about to be begun.
    pub fn count_begun(&self, cell: u32) {
        if let Some(cell) = self.cell(cell) {
            // The low half has room for 4 thousand million requests on one connection; workers close one before.
            cell.fetch_add(1, Ordering::Release);
        }
    }

    /// Child, when a connection broke before any answer: whether its request number `count` (from 1) was
    /// begun. Says yes whenever it is not certain.
    pub fn was_begun(&self, cell: u32, incarnation: u32, count: u32) -> bool {
        let Some(cell) = self.cell(cell) else { return true };
        let value = cell.load(Ordering::Acquire);
        value >> 32 != u64::from(incarnation) || value & 0xffff_ffff >= u64::from(count)
    }

    /// Supervisor: how the seat's process has ended.
    pub fn write_end(&self, end: &End) {
        self.end.write(end);
    }

    /// How the last process of the seat that has ended did, as far as is known.
    pub fn last_end(&self) -> Option<End> {
        self.end.read()
    }

    /// How the process of this incarnation ended; `None` as long as that is not written down.
    pub fn end_of(&self, incarnation: u32) -> Option<End> {
        if self.end.incarnation.load(Ordering::Acquire) != incarnation {
            return None;
        }
        self.end.read().filter(|end| end.incarnation == incarnation)
    }

    fn cell(&self, cell: u32) -> Option<&AtomicU64> {
        self.cells.0.get(usize::try_from(cell).ok()?)
    }
}

/// What stands before the seats.
#[repr(C, align(64))]
struct Head {
    magic: AtomicU32,
    seats: AtomicU32,
}

const MAGIC: u32 = u32::from_le_bytes(*b"wsg1");

/// A scoreboard, mapped.
#[derive(Debug)]
pub struct Scoreboard {
    map: Mapping,
    seats: u32,
}

impl Scoreboard {
    /// Makes the memory of a scoreboard with `seats` seats (at most [`SEAT_LIMIT`]), all empty.
    ///
    /// # Errors
    /// Those of memfd_create(2), ftruncate(2) and fcntl(2).
    pub fn create(seats: u32) -> io::Result<OwnedFd> {
        let seats = seats.clamp(1, SEAT_LIMIT);
        let file = File::from(memfd_create(c"wsgi-scoreboard", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
        file.set_len(size(seats) as u64)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        let map = Mapping::of(&file, size(seats))?;
        map.head().seats.store(seats, Ordering::Relaxed);
        map.head().magic.store(MAGIC, Ordering::Release);
        Ok(file.into())
    }

    /// Maps a scoreboard.
    ///
    /// # Errors
    /// `InvalidData` if the file is none of ours; those of mmap(2).
    pub fn map(file: impl AsFd) -> io::Result<Scoreboard> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "this is no scoreboard");
        let file = File::from(file.as_fd().try_clone_to_owned()?);
        let length = usize::try_from(file.metadata()?.len()).map_err(|_| invalid())?;
        // The number of seats follows from the sealed length, not from what anybody may have written.
        let seats = length.checked_sub(size_of::<Head>()).ok_or_else(invalid)? / size_of::<Seat>();
        let seats = u32::try_from(seats).ok().filter(|seats| (1..=SEAT_LIMIT).contains(seats)).ok_or_else(invalid)?;
        if size(seats) != length || !is_sealed(&file)? {
            return Err(invalid());
        }
        Ok(Scoreboard { map: Mapping::of(&file, length)?, seats })
    }

    /// Maps no more than the first `seats` seats: address space may be limited.
    ///
    /// # Errors
    /// As for [`Scoreboard::map`].
    pub fn map_first(file: impl AsFd, seats: u32) -> io::Result<Scoreboard> {
        let all = Scoreboard::map(&file)?;
        let seats = seats.clamp(1, all.seats);
        let file = File::from(file.as_fd().try_clone_to_owned()?);
        // The file is long enough, and cannot be made shorter.
        Ok(Scoreboard { map: Mapping::of(&file, size(seats))?, seats })
    }

    /// How many seats there are.
    pub fn seats(&self) -> u32 {
        self.seats
    }

    /// A seat; `None` if the number is out of range.
    pub fn seat(&self, number: u32) -> Option<&Seat> {
        (number < self.seats).then(|| self.map.seat(number))
    }
}

fn is_sealed(file: &File) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_GET_SEALS) {
        Ok(seals) => Ok(SealFlag::from_bits_retain(seals).contains(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW)),
        // An ordinary file, which knows no seals.
        Err(Errno::EINVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

const fn size(seats: u32) -> usize {
    size_of::<Head>() + seats as usize * size_of::<Seat>()
}

#[cfg(test)]
mod tests;
