//! Connections from httpd's children: accepted, known by their first frame, kept between requests.
//!
//! One epoll set holds the listener and every idle connection, each for one event: a connection is armed again
//! after its request, so an idle one holds no thread, and what comes in during a request wakes nobody.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway::Level;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::socket::{SockFlag, accept4, getsockopt, sockopt::PeerCredentials};
use wire::frame::NO_CELL;
use wire::{Frame, Hello, Inbox, Welcome, secret};

use super::channel::log;
use super::limits::Slot;
use super::state::Worker;
use super::{descriptors, question, request};
use crate::daemon::{Outbox, Stream};
use crate::python::course::now_us;

/// The listener's mark in the epoll set.
pub(super) const LISTENER: u64 = 0;

/// The mark of what tells the threads to leave.
pub(super) const LEAVE: u64 = 1;

const FIRST: u64 = 2;

/// Most requests on one connection; the cell's counter has 32 bits.
const REQUEST_LIMIT: u32 = 1 << 31;

/// Most connections; an httpd has fewer threads than this.
const CONNECTION_LIMIT: usize = 8192;

/// Connections accepted before the listener is armed again.
const ACCEPT_LIMIT: usize = 16;

/// One connection.
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    pub(super) cell: u32,
    is_known: bool,
    requests: u32,
}

impl Drop for Connection {
    fn drop(&mut self) {
        descriptors::forget(self.stream.as_fd());
    }
}

/// The idle connections by their marks.
pub(super) struct Connections {
    idle: Mutex<HashMap<u64, Box<Connection>>>,
    next: AtomicU64,
}

impl Connections {
    pub(super) fn new() -> Connections {
        Connections { idle: Mutex::default(), next: AtomicU64::new(FIRST) }
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<u64, Box<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts what waits.
pub(super) fn accept(worker: &Worker) {
    for _ in 0..ACCEPT_LIMIT {
        match accept4(worker.listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            // SAFETY: a descriptor that the kernel has just made, nobody else's.
            Ok(raw) => welcome(worker, unsafe { OwnedFd::from_raw_fd(raw) }),
            Err(Errno::EAGAIN) => break,
            // ECONNABORTED and the like: of that connection alone.
            Err(Errno::EINTR | Errno::ECONNABORTED) => {}
            Err(error) => {
                warn_now_and_then(&format!("WSGI0342: cannot accept a connection: {error}; trying on"));
                // Out of descriptors, most likely; without a moment's wait this would be a loop.
                std::thread::sleep(Duration::from_millis(50));
                break;
            }
        }
    }
    let _ = worker.epoll.modify(&worker.listener, &mut once(LISTENER));
}

/// An event that comes once, until it is armed again.
pub(super) fn once(mark: u64) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLONESHOT, mark)
}

/// Takes a connection if its peer is httpd.
fn welcome(worker: &Worker, socket: OwnedFd) {
    let uid = getsockopt(&socket, PeerCredentials).map(|peer| peer.uid());
    match uid {
        Ok(uid) if uid == worker.own.peer_uid || uid == 0 => {}
        Ok(uid) => {
            return warn_now_and_then(&format!(
                "WSGI0343: a process of user {uid}, which is not httpd's, has connected; closing its connection"
            ));
        }
        Err(error) => return warn_now_and_then(&format!("WSGI0343: cannot tell who has connected: {error}; closing")),
    }
    if worker.connections.idle().len() >= CONNECTION_LIMIT {
        return warn_now_and_then("WSGI0342: there are too many connections; closing a new one");
    }
    let limit = Some(worker.limits.socket_timeout).filter(|limit| *limit > 0).map(Duration::from_secs);
    let connection = Connection {
        stream: Stream::new(socket, limit),
        inbox: Inbox::default(),
        outbox: Outbox::default(),
        cell: NO_CELL,
        is_known: false,
        requests: 0,
    };
    descriptors::note(connection.stream.as_fd());
    let mark = worker.connections.next.fetch_add(1, Ordering::Relaxed);
    let raw = connection.stream.as_fd().as_raw_fd();
    worker.connections.idle().insert(mark, Box::new(connection));
    // SAFETY: in the set as long as it is open: it is closed only by the thread that has taken it out of `idle`,
    // which happens after an event, and so after this.
    let added = worker.epoll.add(unsafe { std::os::fd::BorrowedFd::borrow_raw(raw) }, once(mark));
    if let Err(error) = added {
        worker.connections.idle().remove(&mark);
        warn_now_and_then(&format!("WSGI0342: cannot wait for a connection: {error}; closing it"));
    }
}

/// What a connection has to say.
enum Next {
    Request,
    Question,
    Nothing,
    Close,
}

/// Serves what a connection has sent, and arms it again; or closes it. `has_left`: the event says that the other side
/// has closed it.
pub(super) fn serve(worker: &'static Worker, slot: &'static Slot, mark: u64, has_left: bool, head: &mut Vec<u8>) {
    let Some(mut connection) = worker.connections.idle().remove(&mark) else { return };
    loop {
        match next(worker, &mut connection, head) {
            Next::Request if request::serve(worker, slot, &mut connection, has_left, head) => {
                // The next request is not sent before this one's end has been read, so it is hardly ever here yet.
                if connection.inbox.is_empty() {
                    return keep(worker, mark, connection);
                }
            }
            Next::Question => {
                let is_kept = question::answer(worker, slot, &mut connection, has_left, head);
                // It may have a password in it.
                secret::wipe(head);
                if !is_kept {
                    break;
                }
                if connection.inbox.is_empty() {
                    return keep(worker, mark, connection);
                }
            }
            Next::Request | Next::Close => break,
            Next::Nothing => return keep(worker, mark, connection),
        }
    }
    worker.seat.close_cell(connection.cell);
}

fn keep(worker: &Worker, mark: u64, connection: Box<Connection>) {
    let raw = connection.stream.as_fd().as_raw_fd();
    // Before it is armed, so that whoever gets the event finds it.
    worker.connections.idle().insert(mark, connection);
    // SAFETY: as in `welcome`.
    let armed = worker.epoll.modify(unsafe { std::os::fd::BorrowedFd::borrow_raw(raw) }, &mut once(mark));
    if armed.is_err()
        && let Some(connection) = worker.connections.idle().remove(&mark)
    {
        worker.seat.close_cell(connection.cell);
    }
}

/// Reads up to the next request, whose head is copied out.
fn next(worker: &Worker, connection: &mut Connection, head: &mut Vec<u8>) -> Next {
    loop {
        let hello = match connection.inbox.next_frame() {
            Ok(Some(Frame::Request(block))) if connection.is_known => {
                connection.requests += 1;
                if connection.requests >= REQUEST_LIMIT {
                    return Next::Close;
                }
                head.clear();
                head.extend_from_slice(block);
                return Next::Request;
            }
            Ok(Some(Frame::Question(block))) if connection.is_known => {
                head.clear();
                head.extend_from_slice(block);
                connection.inbox.wipe_read();
                connection.requests += 1;
                return if connection.requests >= REQUEST_LIMIT { Next::Close } else { Next::Question };
            }
            Ok(Some(Frame::Hello(hello))) if !connection.is_known => hello,
            // Left over from a request that has ended.
            Ok(Some(Frame::Piece { .. } | Frame::InputFailed(_) | Frame::Cut(_) | Frame::Found(_)))
                if connection.is_known =>
            {
                continue;
            }
            Ok(Some(_)) => {
                log_fault("a frame that is not expected between requests");
                return Next::Close;
            }
            Err(error) => {
                log_fault(&error.to_string());
                return Next::Close;
            }
            Ok(None) => match receive(connection) {
                Ok(Some(0)) | Err(_) => return Next::Close,
                Ok(Some(_)) => continue,
                Ok(None) => return Next::Nothing,
            },
        };
        if !greet(worker, connection, hello) {
            return Next::Close;
        }
    }
}

fn receive(connection: &mut Connection) -> io::Result<Option<usize>> {
    let received = connection.stream.receive(connection.inbox.room())?;
    connection.inbox.received(received.unwrap_or(0));
    Ok(received)
}

/// Checks the peer's secret and shows the worker's, before any request of the connection is begun.
fn greet(worker: &Worker, connection: &mut Connection, hello: Hello) -> bool {
    if !secret::is_equal(&hello.secret, &worker.own.secret) {
        warn_now_and_then("WSGI0344: a connection does not know the group's secret; closing it");
        return false;
    }
    connection.is_known = true;
    connection.cell = worker.seat.open_cell();
    let mut welcome = Vec::new();
    Frame::Welcome(Welcome {
        secret: worker.own.reply,
        pid: std::process::id(),
        incarnation: worker.own.incarnation,
        cell: connection.cell,
    })
    .put(&mut welcome);
    // Now, and not with the first answer: until the child knows the cell it takes no request for begun, and
    // sends it again if this process dies.
    connection.outbox.write(&connection.stream, &[&welcome], &mut || false).is_ok()
}

/// A peer that is httpd has said what cannot be: another build, or a defect.
pub(super) fn log_fault(what: &str) {
    log(Level::Error, &format!("WSGI0345: malformed data from httpd: {what}; closing the connection"));
}

/// At most once a minute, since whoever causes these can cause many.
fn warn_now_and_then(text: &str) {
    static LAST_S: AtomicU64 = AtomicU64::new(0);
    let now_s = now_us() / 1_000_000;
    let last_s = LAST_S.load(Ordering::Relaxed);
    if now_s.saturating_sub(last_s) >= 60
        && LAST_S.compare_exchange(last_s, now_s, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    {
        log(Level::Warning, text);
    }
}
