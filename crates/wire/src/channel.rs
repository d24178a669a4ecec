//! A socket pair over which messages and descriptors go, each message whole (`SOCK_SEQPACKET`).

mod receive;

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};

/// Longest message, bytes.
pub const MESSAGE_LIMIT: usize = 128 << 10;

/// Most descriptors beside a message.
pub const DESCRIPTOR_LIMIT: usize = 4;

/// One end of a channel.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// The two ends of a new channel, both closed on exec.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> io::Result<(Channel, Channel)> {
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Channel(one), Channel(other)))
    }

    /// A channel over a connected `SOCK_SEQPACKET` socket.
    pub fn over(socket: OwnedFd) -> Channel {
        Channel(socket)
    }

    /// Sends a message, with copies of descriptors beside it. Waits unless the socket is non-blocking.
    ///
    /// # Errors
    /// Those of sendmsg(2); `InvalidInput` if the message has more than [`MESSAGE_LIMIT`] bytes or none, which
    /// would look like the end, or more than [`DESCRIPTOR_LIMIT`] descriptors beside it.
    pub fn send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_with(message, descriptors, MsgFlags::empty())
    }

    /// The same, and never waits.
    ///
    /// # Errors
    /// As for [`Channel::send`]; `WouldBlock` if the other end has too much to read already.
    pub fn try_send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_with(message, descriptors, MsgFlags::MSG_DONTWAIT)
    }

    fn send_with(&self, message: &[u8], descriptors: &[BorrowedFd<'_>], flags: MsgFlags) -> io::Result<()> {
        if message.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "empty message"));
        }
        if message.len() > MESSAGE_LIMIT || descriptors.len() > DESCRIPTOR_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "message too long for the channel"));
        }
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let rights = if raw.is_empty() { &[][..] } else { &rights[..] };
        loop {
            let flags = MsgFlags::MSG_NOSIGNAL | flags;
            match sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(message)], rights, flags, None) {
                Ok(_) => return Ok(()),
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Receives a message into `buf`, and the descriptors beside it; `None` once the other end is closed.
    ///
    /// # Errors
    /// Those of recvmsg(2), `WouldBlock` among them if nothing is there and `waits` is false; `InvalidData` if
    /// the message is longer than [`MESSAGE_LIMIT`], or has more than [`DESCRIPTOR_LIMIT`] descriptors beside it or
    /// more than this process may open. Such a message is lost, its descriptors are closed, and the channel goes on.
    pub fn receive(&self, buf: &mut Vec<u8>, waits: bool) -> io::Result<Option<Vec<OwnedFd>>> {
        buf.resize(MESSAGE_LIMIT, 0);
        let result = receive::message(self.0.as_fd(), buf, waits);
        buf.truncate(result.as_ref().map_or(0, |received| received.length));
        let received = result?;
        if received.is_cut {
            buf.clear();
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "message or its descriptors too long for the channel",
            ));
        }
        // No message is empty, so an empty one is the end.
        Ok((received.length > 0).then_some(received.descriptors))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> OwnedFd {
        channel.0
    }
}

#[cfg(test)]
mod tests;
