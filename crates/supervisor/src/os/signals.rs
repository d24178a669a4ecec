//! Signals as readable bytes, and processes as descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use wire::ending::Ending;

/// Signals that this process reads instead of being interrupted by them.
const WATCHED: [Signal; 6] =
    [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// What a signal means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A worker may have ended.
    Child,
    /// Everything is to end.
    Stop,
    /// Meant for httpd, by who signals all processes of a name at once.
    Nothing,
}

/// The signals of this process.
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Blocks the watched signals; from now on they are read here.
    ///
    /// # Errors
    /// Those of sigprocmask(2) and signalfd(2).
    pub(crate) fn watch() -> io::Result<Signals> {
        let set: SigSet = WATCHED.into_iter().collect();
        set.thread_block()?;
        Ok(Signals(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The next signal, if there is one.
    pub(crate) fn next(&mut self) -> Option<Notice> {
        let info = self.0.read_signal().ok().flatten()?;
        let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
        Some(match signal {
            Some(Signal::SIGCHLD) => Notice::Child,
            Some(Signal::SIGTERM | Signal::SIGINT) => Notice::Stop,
            _ => Notice::Nothing,
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A descriptor that is readable once the process has ended; `None` where the kernel has no such thing.
pub(crate) fn process_descriptor(pid: i32) -> Option<OwnedFd> {
    // SAFETY: takes numbers only (pidfd_open(2)).
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let raw = i32::try_from(raw).ok().filter(|raw| *raw >= 0)?;
    // SAFETY: the kernel has just made the descriptor for us, closed on exec.
    Some(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// The next of this process's children that has ended, and how.
pub(crate) fn reap() -> Option<(i32, Ending)> {
    let mut status = 0;
    // SAFETY: writes a number to a local (waitpid(2)). nix's wrapper loses processes that a signal without a name
    // of its own, a real-time one, has ended.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    let ending = if libc::WIFSIGNALED(status) {
        Ending::Signal(libc::WTERMSIG(status), libc::WCOREDUMP(status))
    } else {
        Ending::Exit(libc::WEXITSTATUS(status))
    };
    (pid > 0).then_some((pid, ending))
}

/// Sends SIGTERM to a child that has not been reaped.
pub(crate) fn terminate(pid: i32) {
    // It may have ended meanwhile, which is what we want.
    let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
}

/// Sends SIGKILL to a child that has not been reaped.
pub(crate) fn destroy(pid: i32) {
    // As for SIGTERM.
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}
