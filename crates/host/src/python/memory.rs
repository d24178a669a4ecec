//! How much memory the process has.

/// Sizes of the resident memory, bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    pub(super) now: u64,
    pub(super) most: u64,
}

/// Those of this process.
pub(super) fn sizes() -> Sizes {
    // SAFETY: a zeroed rusage is a valid one, and the kernel fills it in; sysconf only answers.
    let (usage, page) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        (usage, libc::sysconf(libc::_SC_PAGESIZE))
    };
    // KiB (getrusage(2)); it lags behind a little.
    let most = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    let pages: Option<u64> = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok()));
    // Without /proc, in a chroot: the most that it ever was.
    let now = pages.map_or(most, |pages| pages * u64::try_from(page).unwrap_or(4096));
    Sizes { now, most: most.max(now) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_has_some_memory_and_had_no_less() {
        let sizes = super::sizes();
        assert!(sizes.now > 1 << 16 && sizes.most >= sizes.now, "{sizes:?}");
    }
}
