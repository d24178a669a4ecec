//! The channel to the supervisor. Whoever says something never waits: what does not go at once is kept, and the
//! control thread sends it when it goes.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gateway::{Level, RequestLog, record_pieces};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wire::control::{FromWorker, Line, ToWorker};

use super::state::{WORKER, worker};
use crate::python::process;

/// Most bytes of messages that wait; lines beyond are lost, and how many is said as soon as something goes again.
const WAITING_LIMIT: usize = 1 << 20;

/// How long whoever may wait does so for the supervisor, which may be busy or stopped: what waits here dies with the process.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a process that ends may take for its last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(super) struct Channel {
    channel: wire::Channel,
    waiting: Mutex<Waiting>,
    /// All that waited has gone.
    has_gone: Condvar,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
    lost: usize,
    /// Somebody has waited in vain: nobody does again until something goes.
    is_stuck: bool,
}

impl Waiting {
    fn is_worth_waiting(&self) -> bool {
        !self.messages.is_empty() && !self.is_stuck
    }
}

/// What the supervisor has said.
pub(super) enum Heard {
    Message(ToWorker),
    Nonsense(String),
    /// It has gone.
    End,
}

impl Channel {
    /// The socket is non-blocking from now on.
    pub(super) fn new(channel: wire::Channel) -> Channel {
        set_nonblocking(channel.as_fd());
        Channel { channel, waiting: Mutex::default(), has_gone: Condvar::new() }
    }

    /// Says something.
    pub(super) fn say(&self, message: &FromWorker) {
        let mut block = Vec::new();
        if message.write(&mut block).is_err() {
            // Only a text of megabytes could do this, and texts are cut.
            return;
        }
        if process::is_forked() {
            // The lock may be one that no thread of this process will ever release.
            let _ = self.channel.send(&block, &[]);
            return;
        }
        let mut waiting = self.lock();
        self.send_waiting(&mut waiting);
        if waiting.messages.is_empty() && self.channel.send(&block, &[]).is_ok() {
            return;
        }
        if waiting.bytes + block.len() > WAITING_LIMIT && matches!(message, FromWorker::Line(_)) {
            waiting.lost += 1;
            return;
        }
        waiting.bytes += block.len();
        waiting.messages.push_back(block);
        drop(waiting);
        if let Some(worker) = WORKER.get() {
            worker.wakeup.wake();
        }
    }

    /// Sends what waits, as far as it goes; whether something is left.
    pub(super) fn flush(&self) -> bool {
        let mut waiting = self.lock();
        self.send_waiting(&mut waiting);
        !waiting.messages.is_empty()
    }

    /// Sends all that waits, for a process that ends.
    pub(super) fn finish(&self) {
        let deadline = Instant::now() + LAST_WORDS;
        while self.flush() {
            let rest = deadline.saturating_duration_since(Instant::now());
            let mut polled = [PollFd::new(self.channel.as_fd(), PollFlags::POLLOUT)];
            let timeout = PollTimeout::try_from(rest).unwrap_or(PollTimeout::ZERO);
            if rest.is_zero() || matches!(poll(&mut polled, timeout), Ok(0)) {
                return;
            }
        }
    }

    /// Whether something waits that is worth waiting for.
    pub(super) fn is_waiting(&self) -> bool {
        !process::is_forked() && self.lock().is_worth_waiting()
    }

    /// Waits until it has gone, or for too long.
    pub(super) fn wait(&self) {
        let is_worth_waiting = |waiting: &mut Waiting| waiting.is_worth_waiting();
        let waited = self.has_gone.wait_timeout_while(self.lock(), PATIENCE, is_worth_waiting);
        let (mut waiting, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.is_stuck |= timeout.timed_out();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Messages and their number are right at every moment, whoever panics.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_waiting(&self, waiting: &mut Waiting) {
        while let Some(block) = waiting.messages.front() {
            match self.channel.send(block, &[]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Nobody is there any more to hear it.
                Err(_) | Ok(()) => {
                    waiting.bytes -= block.len();
                    waiting.messages.pop_front();
                    waiting.is_stuck = false;
                }
            }
        }
        self.has_gone.notify_all();
        if waiting.lost > 0 && self.tell_lost(waiting.lost) {
            waiting.lost = 0;
        }
    }

    fn tell_lost(&self, count: usize) -> bool {
        let mut block = Vec::new();
        let text = format!(
            "WSGI0340: {count} lines of this process were lost, as they came faster than they could be written"
        );
        let message = FromWorker::Line(Line { level: Level::Warning, text: text.as_str().into() });
        message.write(&mut block).is_ok() && self.channel.send(&block, &[]).is_ok()
    }

    /// What has been said, if anything.
    pub(super) fn hear(&self, buf: &mut Vec<u8>) -> Option<Heard> {
        match self.channel.receive(buf, false) {
            Ok(Some(_)) => Some(match ToWorker::parse(buf) {
                Ok(message) => Heard::Message(message),
                Err(error) => Heard::Nonsense(error.to_string()),
            }),
            Ok(None) => Some(Heard::End),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == ErrorKind::InvalidData => Some(Heard::Nonsense(error.to_string())),
            Err(_) => Some(Heard::End),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

pub(super) fn set_nonblocking(socket: BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;
    let raw = socket.as_raw_fd();
    // SAFETY: a live descriptor; the calls touch no memory.
    unsafe { libc::fcntl(raw, libc::F_SETFL, libc::fcntl(raw, libc::F_GETFL) | libc::O_NONBLOCK) };
}

/// The process's log, which the supervisor writes.
pub(super) struct ProcessLog;

impl RequestLog for ProcessLog {
    fn is_logged(&self, level: Level) -> bool {
        worker().is_some_and(|worker| level <= worker.limits.log_level)
    }

    fn log(&self, level: Level, line: &[u8]) {
        if let Some(worker) = worker().filter(|worker| level <= worker.limits.log_level) {
            for piece in record_pieces(line) {
                worker.channel.say(&FromWorker::Line(Line { level, text: piece.into() }));
            }
        }
    }
}

/// Logs a line of no request.
pub(super) fn log(level: Level, line: &str) {
    process::log(level, line.as_bytes());
}
