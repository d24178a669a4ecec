//! Listening sockets with a name, and descriptors' flags.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, Shutdown, SockFlag, SockType, UnixAddr, accept4, bind, getsockopt, listen, setsockopt,
    shutdown, socket, sockopt,
};
use nix::sys::stat::{Mode, umask};

use crate::codes;

/// What kind of socket a name gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) is_stream: bool,
    pub(crate) backlog: u32,
    /// Bytes; 0 for the system's.
    pub(crate) send_buffer: u64,
    /// Bytes; 0 for the system's.
    pub(crate) receive_buffer: u64,
    /// Who may connect, if it is not this process's user.
    pub(crate) owner: Option<u32>,
}

/// Why there is no socket.
#[derive(Debug)]
pub(crate) struct SocketError {
    step: Step,
    path: PathBuf,
    cause: io::Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create,
    Bind,
    Listen,
    Owner,
}

impl SocketError {
    /// Its code in docs/error-reference.md.
    pub(crate) fn code(&self) -> &'static str {
        match self.step {
            Step::Create => codes::SOCKET_CREATE,
            Step::Bind => codes::SOCKET_BIND,
            Step::Listen => codes::SOCKET_LISTEN,
            Step::Owner => codes::SOCKET_OWNER,
        }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.step {
            Step::Create => "make",
            Step::Bind => "bind",
            Step::Listen => "listen on",
            Step::Owner => "give away",
        };
        write!(f, "cannot {what} the socket {}: {}", self.path.display(), self.cause)?;
        if self.cause.raw_os_error() == Some(libc::ENAMETOOLONG) {
            f.write_str(" (a socket's path has at most 107 bytes: set WSGISocketPrefix to a shorter one)")?;
        }
        Ok(())
    }
}

/// The name of a socket that is not complete yet; no longer than any other.
const TEMPORARY: &str = "new.sock";

/// A listening, non-blocking socket with a name; the name goes when this does, unless it is another's by then.
#[derive(Debug)]
pub(crate) struct NamedSocket {
    descriptor: OwnedFd,
    path: PathBuf,
    /// Device and inode of the name that we made.
    identity: (u64, u64),
}

impl NamedSocket {
    /// Makes a socket that only its owner can connect to. What had the name before loses it.
    ///
    /// # Errors
    /// The step that failed, and why.
    pub(crate) fn listen(path: PathBuf, kind: Kind) -> Result<NamedSocket, SocketError> {
        let fail = |step, cause: io::Error| SocketError { step, path: path.clone(), cause };
        let kind_of = if kind.is_stream { SockType::Stream } else { SockType::SeqPacket };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let descriptor =
            socket(AddressFamily::Unix, kind_of, flags, None).map_err(|error| fail(Step::Create, error.into()))?;
        // Both names have to fit: whoever connects uses the other one.
        UnixAddr::new(&path).map_err(|error| fail(Step::Bind, error.into()))?;
        let temporary = path.with_file_name(TEMPORARY);
        let address = UnixAddr::new(&temporary).map_err(|error| fail(Step::Bind, error.into()))?;
        remove_stale(&temporary).map_err(|error| fail(Step::Bind, error))?;
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = bind(descriptor.as_raw_fd(), &address);
        umask(before);
        bound.map_err(|error| fail(Step::Bind, error.into()))?;
        let metadata = std::fs::symlink_metadata(&temporary).map_err(|error| fail(Step::Bind, error))?;
        let identity = (metadata.dev(), metadata.ino());
        let mut named = NamedSocket { descriptor, path: temporary, identity };
        // The kernel bounds both sizes itself; what it makes of an odd one is no reason not to serve.
        if let Some(size) = size(kind.send_buffer) {
            let _ = setsockopt(&named.descriptor, sockopt::SndBuf, &size);
        }
        if let Some(size) = size(kind.receive_buffer) {
            let _ = setsockopt(&named.descriptor, sockopt::RcvBuf, &size);
        }
        let backlog = i32::try_from(kind.backlog).unwrap_or(i32::MAX).clamp(1, 65_535);
        // More than the system's limit is cut by the kernel (listen(2)).
        let backlog = Backlog::new(backlog).unwrap_or(Backlog::MAXCONN);
        listen(&named.descriptor, backlog).map_err(|error| fail(Step::Listen, error.into()))?;
        if let Some(owner) = kind.owner {
            std::os::unix::fs::lchown(&named.path, Some(owner), None).map_err(|error| fail(Step::Owner, error))?;
        }
        // Complete before anybody can find it, and never a moment without one.
        std::fs::rename(&named.path, &path).map_err(|error| fail(Step::Bind, error))?;
        named.path = path;
        Ok(named)
    }

    /// Takes a connection that waits, if there is one.
    pub(crate) fn accept(&self) -> Option<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let raw = match accept4(self.descriptor.as_raw_fd(), flags) {
            Ok(raw) => raw,
            Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                // It stays readable: without a pause the loop would spin until the machine has room again.
                std::thread::sleep(Duration::from_millis(100));
                return None;
            }
            Err(_) => return None,
        };
        // SAFETY: accept4(2) has just made the descriptor, for us.
        Some(unsafe { OwnedFd::from_raw_fd(raw) })
    }

    /// Closes what waits to be accepted, at most `limit` connections. Only for a socket that no other process has
    /// had: another one could make this wait, by taking O_NONBLOCK away.
    pub(crate) fn refuse(&self, limit: usize) {
        for _ in 0..limit {
            if self.accept().is_none() {
                return;
            }
        }
    }

    /// Ends a socket that other processes have had: nobody can connect any more, and what waits is closed.
    pub(crate) fn end(self) {
        self.shut();
    }

    /// The same, where the name has gone already.
    pub(crate) fn shut(&self) {
        // From then on accept(2) never waits, whatever the flags: it fails with EINVAL once the backlog is empty
        // (net/unix/af_unix.c, unix_accept).
        if shutdown(self.descriptor.as_raw_fd(), Shutdown::Both).is_ok() {
            self.refuse(usize::MAX);
        }
    }
}

impl AsFd for NamedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl NamedSocket {
    /// Takes the name away, unless it is another's by now. What waits to be accepted still is.
    pub(crate) fn unname(&self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours {
            // What cannot be removed is replaced, or swept, by the next supervisor.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for NamedSocket {
    fn drop(&mut self) {
        self.unname();
    }
}

fn size(bytes: u64) -> Option<usize> {
    (bytes > 0).then(|| usize::try_from(bytes.min(i32::MAX as u64)).unwrap_or(usize::MAX))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The user and the process at the other end of a connection.
pub(crate) fn peer(socket: impl AsFd) -> Option<(u32, i32)> {
    getsockopt(&socket, sockopt::PeerCredentials).ok().map(|credentials| (credentials.uid(), credentials.pid()))
}

/// Makes a descriptor's reads and writes return at once.
pub(crate) fn set_nonblocking(descriptor: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&descriptor, FcntlArg::F_GETFL)?);
    fcntl(&descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Closes all descriptors from this number on: what httpd's parent had open, its ports among them. Only at the start.
pub(crate) fn close_from(first: i32) {
    let first = libc::c_uint::try_from(first).unwrap_or(libc::c_uint::MAX);
    // SAFETY: takes numbers only (close_range(2)); nothing in this process owns a descriptor yet but the standard
    // ones and the one before `first` (callers).
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if result != 0 {
        // Kernels before 5.9.
        for raw in first..65_536 {
            // SAFETY: as above.
            unsafe { libc::close(raw.cast_signed()) };
        }
    }
}

/// Takes over a descriptor that this process was started with, by its number; closed on exec from now on.
///
/// # Errors
/// Those of fcntl(2): nobody has passed a descriptor of that number.
pub(crate) fn inherited(raw: i32) -> io::Result<OwnedFd> {
    // SAFETY: called once, before any descriptor is made, for a number that the starter has promised to us
    // (wire::control::SUPERVISOR_CHANNEL); if it is not open, the fcntl below fails and the value is forgotten.
    let descriptor = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(raw) });
    fcntl(&*descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(std::mem::ManuallyDrop::into_inner(descriptor))
}

/// Whether a descriptor takes bytes, now or within so many milliseconds.
pub(crate) fn is_writable(descriptor: impl AsFd, within: u8) -> bool {
    let mut polled = [PollFd::new(descriptor.as_fd(), PollFlags::POLLOUT)];
    // What cannot be asked is tried.
    !matches!(poll(&mut polled, PollTimeout::from(within)), Ok(0))
}

/// Bytes as a path.
pub(crate) fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
