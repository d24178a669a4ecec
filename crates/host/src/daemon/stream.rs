//! A connected socket that is never waited on without a limit, nor in one direction alone.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, sendmsg};

/// One connection.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: OwnedFd,
    /// How long one wait may take; `None` for ever.
    limit: Option<Duration>,
}

impl Stream {
    pub(crate) fn new(socket: OwnedFd, limit: Option<Duration>) -> Stream {
        Stream { socket, limit }
    }

    /// What is there, without waiting: `None` for nothing yet, `Some(0)` for the end.
    ///
    /// # Errors
    /// Those of recv(2).
    pub(crate) fn receive(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match recv(self.socket.as_raw_fd(), buf, MsgFlags::MSG_DONTWAIT) {
                Ok(count) => return Ok(Some(count)),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends as much as goes without waiting; `None` for nothing.
    ///
    /// # Errors
    /// Those of sendmsg(2).
    pub(crate) fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        loop {
            match sendmsg::<()>(self.socket.as_raw_fd(), parts, &[], flags, None) {
                Ok(count) => return Ok(Some(count)),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until the socket can be read, or written if that is asked for as well; says whether it can be read.
    ///
    /// # Errors
    /// `TimedOut` after the stream's limit; those of poll(2).
    pub(crate) fn wait(&self, wants_input: bool, wants_output: bool) -> io::Result<bool> {
        let mut events = PollFlags::empty();
        events.set(PollFlags::POLLIN, wants_input);
        events.set(PollFlags::POLLOUT, wants_output);
        let timeout = self.limit.map_or(PollTimeout::NONE, |limit| limit.try_into().unwrap_or(PollTimeout::MAX));
        loop {
            let mut polled = [PollFd::new(self.socket.as_fd(), events)];
            match poll(&mut polled, timeout) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN))),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
