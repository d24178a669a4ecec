//! The Python stacks of all threads, also when nobody can get the GIL.
//!
//! `wsgi_host.worker` registers `faulthandler` for a signal and a file of ours; whoever wants a dump sends itself
//! the signal. The handler walks the frames without the GIL and writes with write(2) alone.
//!
//! Source: docs of `faulthandler.register`.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, OnceLock, PoisonError};

use gateway::Level;

use super::channel::log;

static FILE: OnceLock<Mutex<OwnedFd>> = OnceLock::new();

/// A signal that nothing else is known to use.
pub(super) fn signal() -> libc::c_int {
    libc::SIGRTMIN() + 12
}

/// Makes the file; gives its descriptor.
///
/// # Errors
/// Those of memfd_create(2).
pub(super) fn prepare() -> io::Result<i32> {
    // SAFETY: the kernel makes a descriptor that is nobody else's. Until faulthandler has its handler there, the signal
    // must not end the process.
    let file = unsafe {
        libc::signal(signal(), libc::SIG_IGN);
        let raw = libc::memfd_create(c"wsgi-stacks".as_ptr(), libc::MFD_CLOEXEC);
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(raw)
    };
    let raw = file.as_raw_fd();
    let _ = FILE.set(Mutex::new(file));
    Ok(raw)
}

/// Logs the stacks, each as one record: of one thread, by Python's number, or of all.
pub(super) fn write(level: Level, thread: Option<u64>) {
    for section in take().split("\n\n") {
        let is_wanted = thread.is_none_or(|thread| section.contains(&format!("hread 0x{thread:016x}")));
        if is_wanted && !section.trim().is_empty() {
            log(level, section.trim_end());
        }
    }
}

fn take() -> String {
    let Some(file) = FILE.get() else { return String::new() };
    let file = file.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the file is ours; a signal to the calling thread is handled before pthread_kill returns, unless it is
    // blocked here, and then nothing is in the file.
    unsafe {
        let raw = file.as_raw_fd();
        libc::ftruncate(raw, 0);
        libc::lseek(raw, 0, libc::SEEK_SET);
        unblock();
        libc::pthread_kill(libc::pthread_self(), signal());
    }
    let Ok(file) = file.try_clone().map(std::fs::File::from) else { return String::new() };
    let mut text = vec![0; 64 << 10];
    let count = file.read_at(&mut text, 0).unwrap_or(0);
    String::from_utf8_lossy(&text[..count]).into_owned()
}

/// # Safety
/// Any thread may do this.
unsafe fn unblock() {
    // SAFETY: the set is emptied before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal());
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
    }
}
