//! How the process ends: replaced, drained, stopped, and at last by force.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gateway::Level;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wire::SeatState;
use wire::control::{FromWorker, Retire, Stopping};

use super::{Control, us};
use crate::python::worker::channel::log;
use crate::python::worker::{subscribers, threads};
use crate::python::{process, reporter};

/// Exit status of a process that did not end in time.
const FORCED: i32 = 124;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// Still serving, until nothing is left to do or the time (µs) has passed.
    Draining {
        until_us: Option<u64>,
    },
    /// Requests that run may end, and then the exit functions run; at that time (µs) the process just ends.
    Stopping {
        until_us: Option<u64>,
        has_left: bool,
    },
}

impl Control {
    /// Asks for a replacement, once. `limit`: seconds that requests are to have then; 0 is as good as none.
    pub(super) fn retire(&mut self, reason: &str, limit: u64) {
        if self.phase != Phase::Serving || std::mem::replace(&mut self.has_retired, true) {
            return;
        }
        // On the wire 0 is no limit, where the option means the least.
        self.worker.channel.say(&FromWorker::Retire(Retire { reason: reason.into(), limit: limit.max(1) }));
    }

    /// Begins to end. `limit`: seconds that requests have; `None` for as long as they need.
    pub(super) fn drain(&mut self, reason: &str, limit: Option<u64>) {
        if self.worker.slots.is_empty() {
            return self.stop(reason);
        }
        let until_us = limit.map(|limit| self.worker.now_us() + us(limit));
        match &mut self.phase {
            Phase::Serving => {
                self.begin_end(reason, limit.map(|limit| limit.saturating_add(self.worker.limits.shutdown_timeout)));
                self.phase = Phase::Draining { until_us };
            }
            // Whichever comes first.
            Phase::Draining { until_us: before } => {
                *before = match (*before, until_us) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            Phase::Stopping { .. } => {}
        }
    }

    pub(super) fn stop(&mut self, reason: &str) {
        let limit = Some(self.worker.limits.shutdown_timeout).filter(|limit| *limit > 0);
        match self.phase {
            Phase::Stopping { .. } => return,
            Phase::Serving => self.begin_end(reason, limit),
            Phase::Draining { .. } => {}
        }
        let until_us = limit.map(|limit| self.worker.now_us() + us(limit));
        self.phase = Phase::Stopping { until_us, has_left: false };
        log(Level::Info, "Stopping process.");
        subscribers::tell_of_end();
        self.worker.is_closed.store(true, Ordering::SeqCst);
        threads::leave();
        if self.worker.limits.threads == 0 {
            // The handler that `wsgi_host.worker` has for it raises SystemExit in the script.
            // SAFETY: a signal to ourselves.
            unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
        }
    }

    /// `limit`: seconds by which the process will have ended, `None` if that depends on its requests.
    fn begin_end(&self, reason: &str, limit: Option<u64>) {
        process::set_reason(public_reason(reason));
        reporter::tell_stopping(public_reason(reason));
        log(Level::Info, &format!("Shutdown requested for daemon process: {reason}."));
        self.worker.seat.set_state(SeatState::Draining);
        self.worker.is_leaving.store(true, Ordering::SeqCst);
        self.worker.channel.say(&FromWorker::Stopping(Stopping { reason: reason.into(), limit: limit.unwrap_or(0) }));
    }

    pub(super) fn go_on(&mut self) {
        let now_us = self.worker.now_us();
        match self.phase {
            Phase::Serving => {}
            Phase::Draining { until_us } => {
                if self.is_idle() {
                    log(Level::Info, "Requests have completed.");
                    self.stop("");
                    self.go_on();
                } else if until_us.is_some_and(|until_us| now_us >= until_us) {
                    log(Level::Info, "Daemon process restart timer expired.");
                    self.stop("");
                }
            }
            Phase::Stopping { until_us, has_left } => {
                if !has_left && self.worker.active() == 0 {
                    process::refuse_requests();
                    let left_us = until_us.map_or(u64::from(u32::MAX), |until_us| until_us.saturating_sub(now_us));
                    process::begin_end(Instant::now() + Duration::from_micros(left_us));
                    self.phase = Phase::Stopping { until_us, has_left: true };
                }
                if until_us.is_some_and(|until_us| now_us >= until_us) {
                    self.force();
                }
            }
        }
    }

    /// No request runs and none waits: neither on a connection nor in the listener's backlog.
    fn is_idle(&self) -> bool {
        // An epoll set can be polled itself: it is readable when it has an event.
        let mut polled = [PollFd::new(self.worker.epoll.0.as_fd(), PollFlags::POLLIN)];
        self.worker.active() == 0 && matches!(poll(&mut polled, PollTimeout::ZERO), Ok(0)) && self.worker.active() == 0
    }

    fn force(&self) -> ! {
        reporter::tell_stopped(false);
        log(
            Level::Error,
            &format!(
                "WSGI0351: Shutdown timeout expired; aborting: requests or exit functions had not ended after {} s \
                 (shutdown-timeout)",
                self.worker.limits.shutdown_timeout
            ),
        );
        let deadline = Instant::now() + Duration::from_millis(100);
        while self.worker.channel.flush() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        // SAFETY: ends the process without running anything of Python's or C's, which is what did not end.
        unsafe { libc::_exit(FORCED) }
    }
}

/// Reasons that Python is told, by the names that mod_wsgi has for them.
const PUBLIC_REASONS: [&str; 11] = [
    "shutdown_signal",
    "graceful_signal",
    "eviction_signal",
    "maximum_requests",
    "restart_interval",
    "inactivity_timeout",
    "request_timeout",
    "startup_timeout",
    "deadlock_timeout",
    "cpu_time_limit",
    "script_reload",
];

/// What Python is told of a reason: the supervisor has some that are only for the log.
fn public_reason(reason: &str) -> &'static str {
    let reason = if reason == "reload" { "script_reload" } else { reason };
    PUBLIC_REASONS.into_iter().find(|public| *public == reason).unwrap_or("shutdown_signal")
}
