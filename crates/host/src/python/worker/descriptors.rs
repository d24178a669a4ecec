//! The descriptors of a worker that a process which the application forks must not keep: as long as it had one, a
//! connection would not break when the worker dies, and httpd's child would wait for an answer that nobody writes.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const BITS: usize = u64::BITS as usize;

/// Descriptors from this on are not noted. A worker has 8192 connections at most.
const LIMIT: usize = 65_536;

/// A bit for each descriptor. The child of a fork may take no lock, and another thread may have been anywhere.
static OURS: [AtomicU64; LIMIT / BITS] = [const { AtomicU64::new(0) }; LIMIT / BITS];

/// A socket whose other end is closed takes their places in the child, so that no number becomes another file's while
/// our values still name it.
static BROKEN: OnceLock<UnixStream> = OnceLock::new();

/// Has what is noted from now on left behind by forks.
///
/// # Errors
/// Those of socketpair(2).
pub(super) fn begin() -> std::io::Result<()> {
    let (broken, _) = UnixStream::pair()?;
    let _ = BROKEN.set(broken);
    Ok(())
}

/// Notes a descriptor that has been opened.
pub(super) fn note(descriptor: BorrowedFd<'_>) {
    if let Some((word, bit)) = place(descriptor.as_raw_fd()) {
        word.fetch_or(bit, Ordering::Relaxed);
    }
}

/// Forgets one that is about to be closed.
pub(super) fn forget(descriptor: BorrowedFd<'_>) {
    if let Some((word, bit)) = place(descriptor.as_raw_fd()) {
        word.fetch_and(!bit, Ordering::Relaxed);
    }
}

fn place(descriptor: RawFd) -> Option<(&'static AtomicU64, u64)> {
    let number = usize::try_from(descriptor).ok()?;
    Some((OURS.get(number / BITS)?, 1 << (number % BITS)))
}

/// In the child of a fork: lets go of all. Calls nothing that may not be called there.
pub(in crate::python) fn leave_behind() {
    let Some(broken) = BROKEN.get().map(AsRawFd::as_raw_fd) else { return };
    for (index, word) in OURS.iter().enumerate() {
        let mut bits = word.swap(0, Ordering::Relaxed);
        while bits != 0 {
            let number = index * BITS + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            // SAFETY: both are descriptors of this process, which dup3(2) may be called for after fork(2) (it is a plain system
            // call); the one of ours stays open, for another file, until its owner closes it.
            unsafe { libc::dup3(broken, number as RawFd, libc::O_CLOEXEC) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_noted_can_be_forgotten() {
        let (one, _other) = UnixStream::pair().unwrap();
        let (word, bit) = place(one.as_raw_fd()).unwrap();
        note(one.as_fd());
        assert_eq!(word.load(Ordering::Relaxed) & bit, bit);
        forget(one.as_fd());
        assert_eq!(word.load(Ordering::Relaxed) & bit, 0);
    }

    #[test]
    fn numbers_that_are_too_high_or_none_are_passed_over() {
        assert!(place(-1).is_none() && place(LIMIT as RawFd).is_none());
        assert!(place(LIMIT as RawFd - 1).is_some());
    }
}
