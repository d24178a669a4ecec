//! How the last process of a seat ended: written by the supervisor when it has reaped it, read by a child that wants to
//! say why a response was not finished.
//!
//! A hostile application of the group can write it too, so it goes into log lines of its own group's requests and
//! nowhere else, bounded and without control characters.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use crate::ending::{Ending, Limits, describe, remedy};

/// Longest reason that there is room for, bytes.
const REASON_LIMIT: usize = 128;

/// What the supervisor knows of a process that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Which of the seat's processes it was.
    pub incarnation: u32,
    /// Its process id.
    pub pid: u32,
    /// How it ended.
    pub ending: Ending,
    /// How old it was; whole milliseconds are kept.
    pub age: Duration,
    /// Requests that it had begun.
    pub begun: u64,
    /// When it had ended, microseconds since 1970.
    pub ended_us: u64,
    /// The supervisor has killed it.
    pub was_killed: bool,
    /// The limits that it had.
    pub limits: Limits,
    /// Why it was to end, if it was: its own deadline, or an order. At most 128 bytes are kept.
    pub reason: String,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, reason, .. } = self;
        let how = describe(self.ending);
        match (self.was_killed, reason.is_empty()) {
            (true, true) => write!(f, "process {pid} did not end in time and was killed by the supervisor ({how})")?,
            (true, false) => {
                write!(
                    f,
                    "process {pid} was to end ({reason}), did not in time, and was killed by the supervisor ({how})"
                )?;
            }
            (false, true) => write!(f, "process {pid} has died: {how}; {}", remedy(self.ending, self.limits))?,
            (false, false) => write!(f, "process {pid} has ended: {reason} ({how})")?,
        }
        write!(f, "; it was {} s old and had begun {} requests", self.age.as_secs(), self.begun)
    }
}

const EXIT: u32 = 1;
const SIGNAL: u32 = 2;
const SIGNAL_WITH_CORE: u32 = 3;

const WAS_KILLED: u32 = 1;
const HAD_CPU_LIMIT: u32 = 2;
const HAD_MEMORY_LIMIT: u32 = 4;

/// The place for it in a seat.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// 0 where there is nothing, and while the rest is being written.
    pub(super) incarnation: AtomicU32,
    pub(super) pid: AtomicU32,
    pub(super) kind: AtomicU32,
    pub(super) number: AtomicU32,
    pub(super) age_ms: AtomicU64,
    pub(super) begun: AtomicU64,
    pub(super) ended_us: AtomicU64,
    pub(super) flags: AtomicU32,
    pub(super) length: AtomicU32,
    pub(super) reason: [AtomicU64; REASON_LIMIT / 8],
}

impl Cell {
    pub(super) fn write(&self, end: &End) {
        self.incarnation.store(0, Ordering::Relaxed);
        // What follows cannot be seen before that, nor the incarnation at the end before what follows.
        fence(Ordering::Release);
        let (kind, number) = match end.ending {
            Ending::Exit(status) => (EXIT, status),
            Ending::Signal(signal, false) => (SIGNAL, signal),
            Ending::Signal(signal, true) => (SIGNAL_WITH_CORE, signal),
        };
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        self.pid.store(end.pid, Ordering::Relaxed);
        self.kind.store(kind, Ordering::Relaxed);
        self.number.store(number.cast_unsigned(), Ordering::Relaxed);
        self.age_ms.store(u64::try_from(end.age.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.begun.store(end.begun, Ordering::Relaxed);
        self.ended_us.store(end.ended_us, Ordering::Relaxed);
        let flags = flag(end.was_killed, WAS_KILLED)
            | flag(end.limits.cpu, HAD_CPU_LIMIT)
            | flag(end.limits.memory, HAD_MEMORY_LIMIT);
        self.flags.store(flags, Ordering::Relaxed);
        self.write_reason(end.reason.as_bytes());
        self.incarnation.store(end.incarnation, Ordering::Release);
    }

    fn write_reason(&self, reason: &[u8]) {
        let reason = &reason[..reason.len().min(REASON_LIMIT)];
        self.length.store(u32::try_from(reason.len()).unwrap_or(0), Ordering::Relaxed);
        for (place, index) in self.reason.iter().zip((0..).step_by(8)) {
            let mut bytes = [0; 8];
            let part = reason.get(index..).unwrap_or_default();
            let count = part.len().min(8);
            bytes[..count].copy_from_slice(&part[..count]);
            place.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }

    /// Nothing where nothing was written, or something is just being written.
    pub(super) fn read(&self) -> Option<End> {
        let incarnation = self.incarnation.load(Ordering::Acquire);
        let number = self.number.load(Ordering::Relaxed).cast_signed();
        let ending = match self.kind.load(Ordering::Relaxed) {
            EXIT => Ending::Exit(number),
            kind @ (SIGNAL | SIGNAL_WITH_CORE) => Ending::Signal(number, kind == SIGNAL_WITH_CORE),
            _ => return None,
        };
        let flags = self.flags.load(Ordering::Relaxed);
        let end = End {
            incarnation,
            pid: self.pid.load(Ordering::Relaxed),
            ending,
            age: Duration::from_millis(self.age_ms.load(Ordering::Relaxed)),
            begun: self.begun.load(Ordering::Relaxed),
            ended_us: self.ended_us.load(Ordering::Relaxed),
            was_killed: flags & WAS_KILLED != 0,
            limits: Limits { cpu: flags & HAD_CPU_LIMIT != 0, memory: flags & HAD_MEMORY_LIMIT != 0 },
            reason: self.read_reason(),
        };
        fence(Ordering::Acquire);
        let is_whole = incarnation != 0 && self.incarnation.load(Ordering::Relaxed) == incarnation;
        is_whole.then_some(end)
    }

    fn read_reason(&self) -> String {
        let length = usize::try_from(self.length.load(Ordering::Relaxed)).unwrap_or(0).min(REASON_LIMIT);
        let bytes: Vec<u8> =
            self.reason.iter().flat_map(|place| place.load(Ordering::Relaxed).to_ne_bytes()).take(length).collect();
        let text = String::from_utf8_lossy(&bytes);
        text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
    }
}
