//! The request threads: all idle ones wait on the epoll set, and the one that gets an event serves it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::thread;

use gateway::Level;
use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};

use super::channel::log;
use super::connections::{self, LEAVE, LISTENER, once};
use super::limits::Slot;
use super::state::{WORKER, Worker};

/// What makes every thread leave; never read.
static LEAVING: OnceLock<OwnedFd> = OnceLock::new();

/// Starts them all.
///
/// # Errors
/// Those of epoll_ctl(2), eventfd(2) and pthread_create(3).
pub(super) fn start(worker: &'static Worker) -> io::Result<()> {
    // SAFETY: the kernel makes a descriptor that is nobody else's.
    let leaving = unsafe {
        match libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) {
            -1 => return Err(io::Error::last_os_error()),
            raw => OwnedFd::from_raw_fd(raw),
        }
    };
    worker.epoll.add(&leaving, EpollEvent::new(EpollFlags::EPOLLIN, LEAVE))?;
    let _ = LEAVING.set(leaving);
    let stack_size = usize::try_from(worker.limits.stack_size).unwrap_or(0);
    for (number, slot) in worker.slots.iter().enumerate() {
        let mut builder = thread::Builder::new().name(format!("wsgi-{}", number + 1));
        // Rust's own default is a quarter of what C programs get, and Python's recursion limit is made for that.
        builder = builder.stack_size(if stack_size > 0 { stack_size } else { default_stack() });
        let number = u32::try_from(number + 1).unwrap_or(u32::MAX);
        builder.spawn(move || run(worker, slot, number))?;
    }
    worker.epoll.add(&worker.listener, once(LISTENER))?;
    Ok(())
}

/// The stack that pthread_create(3) gives by default, bytes: the soft limit, or 8 MiB where there is none.
fn default_stack() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the struct in.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut limit) } == 0;
    let is_bounded = got && limit.rlim_cur != libc::RLIM_INFINITY;
    if is_bounded { usize::try_from(limit.rlim_cur).unwrap_or(8 << 20).max(1 << 20) } else { 8 << 20 }
}

/// Has every thread leave when its request has ended.
pub(super) fn leave() {
    if let Some(worker) = WORKER.get() {
        worker.crew.leave();
    }
    if let Some(leaving) = LEAVING.get() {
        let one = 1_u64;
        // SAFETY: eight bytes of our own stack, as eventfd(2) wants them.
        let _ = unsafe { libc::write(leaving.as_raw_fd(), (&raw const one).cast(), 8) };
    }
}

/// The other side has closed the connection, or its direction of it.
const LEFT: EpollFlags = EpollFlags::EPOLLRDHUP.union(EpollFlags::EPOLLHUP).union(EpollFlags::EPOLLERR);

fn run(worker: &'static Worker, slot: &'static Slot, number: u32) {
    slot.occupy();
    let mut head = Vec::new();
    loop {
        worker.crew.wait_for_turn(number);
        let mut events = [EpollEvent::empty()];
        // An interrupted wait has no events.
        if !matches!(worker.epoll.wait(&mut events, EpollTimeout::NONE), Ok(1..)) {
            continue;
        }
        let turn = worker.crew.begin(number);
        match events[0].data() {
            LEAVE => return,
            LISTENER => connections::accept(worker),
            mark => {
                let has_left = events[0].events().intersects(LEFT);
                // A panic ends its connection and no thread.
                let serve = || connections::serve(worker, slot, mark, has_left, &mut head);
                let served = catch_unwind(AssertUnwindSafe(serve));
                if served.is_err() {
                    log(Level::Critical, "WSGI0300: internal error: a panic while a connection was served");
                }
            }
        }
        worker.crew.end(number, &turn);
    }
}
