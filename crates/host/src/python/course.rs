//! How a request goes: when its steps were, on which thread, and what of the processor and the GIL it has used.

use super::serve::Arrival;
use super::turn;
use crate::measure;
use crate::metrics::Moment;

/// What is known of a request's way so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Course {
    /// The thread's number among those that have served.
    pub(super) thread_id: i64,
    /// httpd had read its head, µs since 1970.
    pub(super) request_start_us: u64,
    /// Embedded: `None`.
    pub(super) arrival: Option<Arrival>,
    /// The application was called, µs since 1970; 0: not yet.
    pub(super) application_start_us: u64,
    /// The status that it gets instead of the application's, since that has failed; 0: none.
    pub(super) status: u16,
    /// What the thread had used before; `None` if clocks were not read then.
    pub(super) before: Option<Used>,
}

impl Course {
    /// What the request has used of its thread; `None` if that was not looked at from its beginning. On its thread.
    pub(super) fn used(&self) -> Option<Used> {
        self.before.map(|before| Used::now().since(before))
    }
}

/// What a thread has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) user_us: u64,
    pub(super) system_us: u64,
    /// Waiting for the GIL.
    pub(super) gil: turn::Waited,
}

impl Used {
    /// That of the calling thread, if clocks are read.
    pub(super) fn if_measured() -> Option<Used> {
        measure::is_on().then(Used::now)
    }

    fn now() -> Used {
        let usage = usage(libc::RUSAGE_THREAD);
        Used { user_us: us(usage.ru_utime), system_us: us(usage.ru_stime), gil: turn::waited() }
    }

    fn since(self, before: Used) -> Used {
        Used {
            user_us: self.user_us.saturating_sub(before.user_us),
            system_us: self.system_us.saturating_sub(before.system_us),
            gil: turn::Waited {
                ns: self.gil.ns.saturating_sub(before.gil.ns),
                times: self.gil.times.saturating_sub(before.gil.times),
            },
        }
    }
}

/// The present moment of the process.
pub(super) fn process_moment() -> Moment {
    let usage = usage(libc::RUSAGE_SELF);
    Moment { us: now_us(), user_us: us(usage.ru_utime), system_us: us(usage.ru_stime) }
}

/// The machine's name.
pub(super) fn host_name() -> Vec<u8> {
    let mut name = [0_u8; 256];
    // SAFETY: the buffer is ours and as long as it says; its last byte is left alone, so that there is always a NUL.
    unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn usage(of: libc::c_int) -> libc::rusage {
    // SAFETY: a zeroed rusage is a valid one; the kernel fills it in.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        // It fails for wrong arguments only.
        libc::getrusage(of, &mut usage);
        usage
    }
}

fn us(time: libc::timeval) -> u64 {
    let (seconds, rest) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_usec).unwrap_or(0));
    seconds * 1_000_000 + rest
}

/// µs since 1970.
pub(super) fn now_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_the_difference() {
        let before = Used { user_us: 10, system_us: 5, gil: turn::Waited { ns: 100, times: 1 } };
        let after = Used { user_us: 25, system_us: 5, gil: turn::Waited { ns: 400, times: 3 } };
        let used = Used { user_us: 15, system_us: 0, gil: turn::Waited { ns: 300, times: 2 } };
        assert_eq!(after.since(before), used);
    }
}
