//! The local time, for log lines; and the time since 1970.

use std::mem::MaybeUninit;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since 1970, UTC.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A time of day, as the machine's zone has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalTime {
    pub(crate) year: i32,
    /// From 0.
    pub(crate) month: usize,
    pub(crate) day: i32,
    /// Sunday is 0.
    pub(crate) weekday: usize,
    pub(crate) hour: i32,
    pub(crate) minute: i32,
    pub(crate) second: i32,
}

/// The local time of a moment since 1970; all zero for one that has none.
pub(crate) fn local(moment: Duration) -> LocalTime {
    let seconds = libc::time_t::try_from(moment.as_secs()).unwrap_or(libc::time_t::MAX);
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both addresses are of locals; the function writes no more than the structure (localtime_r(3)). A
    // structure of integers and a pointer is valid when zeroed, which it stays if the function fails.
    let parts = unsafe {
        libc::localtime_r(&raw const seconds, parts.as_mut_ptr());
        parts.assume_init()
    };
    LocalTime {
        year: parts.tm_year + 1900,
        month: usize::try_from(parts.tm_mon).unwrap_or(0),
        day: parts.tm_mday,
        weekday: usize::try_from(parts.tm_wday).unwrap_or(0),
        hour: parts.tm_hour,
        minute: parts.tm_min,
        second: parts.tm_sec,
    }
}
