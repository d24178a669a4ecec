//! Signals as bytes of a pipe, which also wakes the control thread for other reasons.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use libc::c_int;
use pyo3::ffi;

use super::state::WORKER;
use crate::python::attach::Attached;

/// The pipe's writing end, for the handler; never closed.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// The process that installed the handlers.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// The byte that is no signal.
const NONE: u8 = 0;

/// Signals that have an effect, or may get one.
const HANDLED: [c_int; 6] = [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGXCPU, libc::SIGHUP, libc::SIGUSR2];

/// The control thread's alarm clock.
pub(super) struct Wakeup {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Wakeup {
    /// # Errors
    /// Those of pipe2(2).
    pub(super) fn new() -> io::Result<Wakeup> {
        let mut ends = [0; 2];
        // SAFETY: the kernel fills in two descriptors, which are nobody else's.
        unsafe {
            if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Wakeup { reader: OwnedFd::from_raw_fd(ends[0]), writer: OwnedFd::from_raw_fd(ends[1]) })
        }
    }

    /// Has the control thread look around.
    pub(super) fn wake(&self) {
        write(self.writer.as_raw_fd(), NONE);
    }

    /// Has the control thread act as if a signal had come.
    fn signal(&self, signal: c_int) {
        write(self.writer.as_raw_fd(), u8::try_from(signal).unwrap_or(NONE));
    }

    /// Where a byte may be written for the control thread to look around.
    pub(super) fn descriptor(&self) -> i32 {
        self.writer.as_raw_fd()
    }

    /// The signals that came since the last call.
    pub(super) fn signals(&self) -> Vec<c_int> {
        let mut signals = Vec::new();
        let mut buf = [0; 64];
        loop {
            // SAFETY: the buffer is ours and as long as it says; the pipe does not block.
            let count = unsafe { libc::read(self.reader.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
            let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else { return signals };
            signals.extend(buf[..count].iter().filter(|byte| **byte != NONE).map(|byte| c_int::from(*byte)));
        }
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// Installs the handlers: Python's own for SIGINT, which its start has set, does not stay.
///
/// A program that the application starts has the default ones again (execve(2)).
pub(super) fn install(wakeup: &Wakeup) {
    PIPE.store(wakeup.writer.as_raw_fd(), Ordering::Relaxed);
    // SAFETY: getpid cannot fail.
    OWNER.store(unsafe { libc::getpid() }, Ordering::Relaxed);
    for signal in HANDLED {
        set(signal, handle as extern "C" fn(c_int) as libc::sighandler_t);
    }
    set(libc::SIGPIPE, libc::SIG_IGN);
}

/// Runs the handlers that the application has installed, where WSGIRestrictSignal lets it, for signals that have come.
/// On the main thread, which else would not notice: it waits without Python.
///
/// What a handler raises ends a program; so does `SystemExit` a worker, while other exceptions are only shown.
pub(super) fn run_handlers(_py: Attached) {
    // SAFETY: attached, on Python's main thread; the functions read and clear the thread's exception.
    let is_end = unsafe {
        if ffi::PyErr_CheckSignals() == 0 {
            return;
        }
        let is_end = [ffi::PyExc_SystemExit, ffi::PyExc_KeyboardInterrupt]
            .into_iter()
            .any(|class| ffi::PyErr_ExceptionMatches(class) != 0);
        if is_end {
            ffi::PyErr_Clear()
        } else {
            ffi::PyErr_Print()
        }
        is_end
    };
    if let Some(worker) = WORKER.get().filter(|_| is_end) {
        worker.wakeup.signal(libc::SIGTERM);
    }
}

fn set(signal: c_int, handler: libc::sighandler_t) {
    // SAFETY: a zeroed sigaction is a valid one without a mask; the handler does only what signal-safety(7) allows.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

extern "C" fn handle(signal: c_int) {
    // SAFETY: getpid and _exit may be called in a handler.
    unsafe {
        // A process that the application forked is not ours to end gently (mod_wsgi does the same).
        if libc::getpid() != OWNER.load(Ordering::Relaxed) {
            libc::_exit(255);
        }
    }
    write(PIPE.load(Ordering::Relaxed), u8::try_from(signal).unwrap_or(NONE));
}

fn write(pipe: c_int, byte: u8) {
    // SAFETY: one byte of our own stack; errno, which an interrupted function may be about to read, is put back.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        // A full pipe wakes as well.
        let _ = libc::write(pipe, (&raw const byte).cast(), 1);
        *errno = before;
    }
}

/// Keeps signals from the calling thread: they are for others of the process.
pub(in crate::python) fn block_all() {
    // SAFETY: the set is filled before it is used.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}
