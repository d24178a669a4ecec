//! poll(2) with `POLLRDHUP`, by which a socket tells that its peer sends nothing more. nix does not know it.

use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// What is asked about a socket, or told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events(i16);

impl Events {
    /// It can be read.
    pub(crate) const READ: Events = Events(libc::POLLIN);
    /// It can be written.
    pub(crate) const WRITE: Events = Events(libc::POLLOUT);
    /// Its peer sends nothing more.
    pub(crate) const PEER_SILENT: Events = Events(libc::POLLRDHUP);
    /// It has ended or failed; told without being asked for.
    pub(crate) const OVER: Events = Events(libc::POLLHUP | libc::POLLERR | libc::POLLNVAL);

    /// These events if `on`, else none.
    pub(crate) fn when(self, on: bool) -> Events {
        if on { self } else { Events(0) }
    }

    /// Both.
    pub(crate) fn and(self, other: Events) -> Events {
        Events(self.0 | other.0)
    }

    /// Whether any of those is among these.
    pub(crate) fn has(self, any_of: Events) -> bool {
        self.0 & any_of.0 != 0
    }
}

/// A socket in a poll, or a place for none.
#[repr(transparent)]
pub(crate) struct Polled<'a> {
    raw: libc::pollfd,
    life: PhantomData<BorrowedFd<'a>>,
}

impl<'a> Polled<'a> {
    /// Asks for events of a socket; of none, nothing is told.
    pub(crate) fn new(socket: Option<BorrowedFd<'a>>, events: Events) -> Polled<'a> {
        // poll(2) ignores negative descriptors.
        let fd = socket.map_or(-1, |socket| socket.as_raw_fd());
        Polled { raw: libc::pollfd { fd, events: events.0, revents: 0 }, life: PhantomData }
    }

    /// What was told.
    pub(crate) fn told(&self) -> Events {
        Events(self.raw.revents)
    }
}

/// Waits for any of the events, up to `limit` (rounded up to milliseconds). A signal ends the wait early.
pub(crate) fn poll(sockets: &mut [Polled<'_>], limit: Duration) {
    // Rounded down, the last millisecond would be spent in a loop.
    let milliseconds = i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    // SAFETY: Polled is a pollfd (repr(transparent)), and the slice has as many as are said. The descriptors are
    // open for the life of the BorrowedFds that they were made from.
    let result = unsafe { libc::poll(sockets.as_mut_ptr().cast(), sockets.len() as libc::nfds_t, milliseconds) };
    if result < 0 {
        for socket in &mut *sockets {
            socket.raw.revents = 0;
        }
        if std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
            // No memory: callers look again, after a pause that the sockets have not given.
            std::thread::sleep(limit.min(Duration::from_millis(10)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("the kernel gives a port");
        let one = TcpStream::connect(listener.local_addr().expect("bound")).expect("listening");
        (one, listener.accept().expect("connected").0)
    }

    fn told(socket: &TcpStream, events: Events) -> Events {
        let mut sockets = [Polled::new(None, Events::READ), Polled::new(Some(socket.as_fd()), events)];
        poll(&mut sockets, LONG);
        sockets[1].told()
    }

    #[test]
    fn a_peer_that_sends_nothing_more_is_told_apart_from_one_that_has_reset() {
        let (ours, mut theirs) = pair();
        theirs.write_all(b"x").expect("connected");
        assert!(told(&ours, Events::READ).has(Events::READ));
        theirs.shutdown(Shutdown::Write).expect("connected");
        let silent = told(&ours, Events::PEER_SILENT);
        assert!(silent.has(Events::PEER_SILENT) && !silent.has(Events::OVER));
        // A socket that is closed with unread data is reset (RFC 1122, 4.2.2.13).
        (&ours).write_all(b"y").expect("connected");
        assert!(told(&theirs, Events::READ).has(Events::READ));
        drop(theirs);
        assert!(told(&ours, Events::default()).has(Events::OVER));
    }
}
