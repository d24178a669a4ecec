//! A connection to a worker: making it, and moving bytes without waiting.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::sockopt::{PeerCredentials, ReceiveTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, getsockopt, recv, send, sendmsg, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};
use wire::{Inbox, Welcome};

/// A connection to the process of one seat.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    pub(super) inbox: Inbox,
    /// Who answered; none before the first answer.
    pub(super) welcome: Option<Welcome>,
    /// How many requests were sent on it.
    pub(super) requests: u32,
    /// The socket can be waited for by receiving from it.
    waits: bool,
}

/// How long a receiver waits that waits at all: for one in a hundred requests it is too short, and for none too long that
/// the client be not watched meanwhile.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(20);

/// Why no connection could be made.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// The backlog is full.
    Busy,
    /// Nobody listens: the supervisor is being started again.
    Absent(io::Error),
    /// Another reason, which waiting does not mend.
    Failed(io::Error),
    /// The socket was made by this user, who is not the supervisor's.
    Foreign(u32),
}

const ROOT: u32 = 0;

/// Connects without waiting to a socket that the user `owner` must have made, or root: a supervisor that has its rights
/// takes the place of one that has given them up.
///
/// # Errors
/// See [`ConnectError`].
pub(super) fn connect_to(path: &Path, kind: SockType, owner: u32) -> Result<OwnedFd, ConnectError> {
    let failed = |errno: Errno| ConnectError::Failed(errno.into());
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, kind, flags, None).map_err(failed)?;
    let address = UnixAddr::new(path).map_err(failed)?;
    loop {
        match connect(socket.as_raw_fd(), &address) {
            Ok(()) => break,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Err(ConnectError::Busy),
            Err(errno @ (Errno::ENOENT | Errno::ECONNREFUSED)) => return Err(ConnectError::Absent(errno.into())),
            Err(errno) => return Err(failed(errno)),
        }
    }
    // Who called listen(2), unix(7).
    match getsockopt(&socket, PeerCredentials).map_err(failed)?.uid() {
        uid if is_trusted(uid, owner) => Ok(socket),
        uid => Err(ConnectError::Foreign(uid)),
    }
}

fn is_trusted(maker: u32, owner: u32) -> bool {
    maker == owner || maker == ROOT
}

impl Connection {
    pub(super) fn over(socket: OwnedFd) -> Connection {
        let waits = is_made_to_wait(&socket).is_ok();
        Connection { socket, inbox: Inbox::default(), welcome: None, requests: 0, waits }
    }

    /// Which of the seat's processes answered on it.
    pub(super) fn incarnation(&self) -> Option<u32> {
        self.welcome.map(|welcome| welcome.incarnation)
    }

    /// Sends what goes without waiting; the number of bytes, `None` if none does.
    ///
    /// # Errors
    /// Those of sendmsg(2).
    pub(super) fn send_parts(&self, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        without_waiting(|| sendmsg::<()>(self.socket.as_raw_fd(), parts, &[], flags, None))
    }

    /// The same for one run of bytes.
    ///
    /// # Errors
    /// Those of send(2).
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        without_waiting(|| send(self.socket.as_raw_fd(), bytes, flags))
    }

    /// Receives what has come into the inbox; the number of bytes, 0 at the end, `None` if nothing has.
    ///
    /// # Errors
    /// Those of recv(2).
    pub(super) fn receive(&mut self) -> io::Result<Option<usize>> {
        self.receive_with(MsgFlags::MSG_DONTWAIT)
    }

    /// The same, but waits up to [`FIRST_LOOK`] for something to come.
    ///
    /// # Errors
    /// Those of recv(2).
    pub(super) fn await_first(&mut self) -> io::Result<Option<usize>> {
        self.receive_with(if self.waits { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT })
    }

    fn receive_with(&mut self, flags: MsgFlags) -> io::Result<Option<usize>> {
        let room = self.inbox.room();
        let count = without_waiting(|| recv(self.socket.as_raw_fd(), room, flags))?;
        self.inbox.received(count.unwrap_or(0));
        Ok(count)
    }
}

/// Has receiving wait, up to [`FIRST_LOOK`], where it is not told otherwise.
fn is_made_to_wait(socket: &OwnedFd) -> nix::Result<()> {
    setsockopt(socket, ReceiveTimeout, &TimeVal::microseconds(FIRST_LOOK.as_micros() as i64))?;
    fcntl(socket, FcntlArg::F_SETFL(OFlag::empty())).map(drop)
}

fn without_waiting(mut call: impl FnMut() -> nix::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::is_trusted;

    #[test]
    fn sockets_of_the_supervisors_user_and_of_root_are_trusted_and_no_others() {
        assert!(is_trusted(33, 33) && is_trusted(0, 33) && is_trusted(0, 0));
        assert!(!is_trusted(1000, 33) && !is_trusted(33, 0));
    }
}
