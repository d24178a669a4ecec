//! The control thread: signals, the supervisor's words, and every limit of the process. It never takes the GIL and
//! never waits for whoever has it, so it works whatever Python does.
//!
//! Limits do not depend on one another, nor on any other being set. Those that are no emergency ask for a
//! replacement (`retire`) and the process goes on until it is told to drain; emergencies end it.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gateway::Level;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wire::SeatState;
use wire::control::{FromWorker, Retire, Started, Stopping, ToWorker};

use super::channel::{Heard, log};
use super::interrupt::{dump_all, interrupt};
use super::limits::allowance_us;
use super::state::Worker;
use super::{subscribers, threads};
use crate::python::process::{self, Stage};
use crate::python::script;

/// Exit status of a process that did not end in time.
const FORCED: i32 = 124;

/// How long a process that has lost its supervisor goes on for its requests, if `graceful-timeout` is 0.
const ORPHAN_S: u64 = 15;

/// How long a process whose GIL is stuck has to end, if `shutdown-timeout` is 0.
const STUCK_S: u64 = 5;

/// How often running requests are looked at, and whether a draining process is idle.
const TICK_US: u64 = 1_000_000;
const DRAIN_TICK_US: u64 = 50_000;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
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

/// A request thread's limit: which request was interrupted, and when.
#[derive(Clone, Copy, Default)]
struct Interrupted {
    sequence: u64,
    at_us: u64,
}

struct Control {
    worker: &'static Worker,
    phase: Phase,
    is_orphan: bool,
    has_retired: bool,
    interrupted: Vec<Interrupted>,
    /// `startup-timeout` runs from then on.
    startup_from_us: Option<u64>,
    is_ready: bool,
    has_loaded: bool,
    has_escalated: bool,
}

/// Runs for the life of the process.
pub(super) fn run(worker: &'static Worker) {
    super::signals::block_all();
    // Said by this thread: from here on every limit of the process is watched.
    worker.channel.say(&FromWorker::Started(Started {}));
    let mut control = Control {
        worker,
        phase: Phase::Serving,
        is_orphan: false,
        has_retired: false,
        interrupted: vec![Interrupted::default(); worker.slots.len()],
        startup_from_us: Some(0),
        is_ready: false,
        has_loaded: false,
        has_escalated: false,
    };
    if worker.limits.startup_timeout > 0 {
        log(Level::Info, &format!("Application startup timer started ({} s).", worker.limits.startup_timeout));
    }
    loop {
        let waiting = worker.channel.flush();
        control.wait(waiting);
        for signal in worker.wakeup.signals() {
            control.on_signal(signal);
        }
        control.listen();
        control.watch();
        control.go_on();
    }
}

impl Control {
    fn wait(&self, has_messages: bool) {
        let timeout_us = self.next_us().saturating_sub(self.worker.now_us());
        // Rounded up, so that the time has come when the wait is over.
        let timeout = i32::try_from(timeout_us / 1000 + 1).unwrap_or(i32::MAX);
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        let mut events = PollFlags::POLLIN;
        events.set(PollFlags::POLLOUT, has_messages);
        let channel = PollFd::new(self.worker.channel.as_fd(), events);
        let wakeup = PollFd::new(self.worker.wakeup.as_fd(), PollFlags::POLLIN);
        // A channel that has ended would always be ready.
        let mut polled = [wakeup, channel];
        let count = if self.is_orphan { 1 } else { 2 };
        // An interrupted wait is as good as one that has ended.
        let _ = poll(&mut polled[..count], timeout);
    }

    /// When the next thing is due, µs since the start.
    fn next_us(&self) -> u64 {
        let limits = &self.worker.limits;
        let now_us = self.worker.now_us();
        let mut next = now_us + 60 * TICK_US;
        let mut at = |us: u64| next = next.min(us);
        match self.phase {
            Phase::Serving => {}
            Phase::Draining { .. } => at(now_us + DRAIN_TICK_US),
            Phase::Stopping { until_us, has_left } => {
                if let Some(until_us) = until_us {
                    at(until_us);
                }
                if !has_left {
                    at(now_us + DRAIN_TICK_US);
                }
            }
        }
        if limits.request_timeout > 0 || limits.inactivity_timeout > 0 || limits.deadlock_timeout > 0 {
            at(now_us + TICK_US);
        }
        if limits.restart_interval > 0 && !self.has_retired {
            at(us(limits.restart_interval));
        }
        if limits.startup_timeout > 0
            && let Some(from_us) = self.startup_from_us
        {
            at(from_us + us(limits.startup_timeout));
        }
        next
    }

    fn on_signal(&mut self, signal: libc::c_int) {
        let limits = &self.worker.limits;
        match signal {
            libc::SIGTERM | libc::SIGINT => self.stop("shutdown_signal"),
            libc::SIGUSR1 if limits.eviction_timeout > 0 => {
                log(Level::Info, "Process eviction requested, waiting for requests to complete.");
                self.retire("eviction_signal", limits.eviction_timeout);
            }
            libc::SIGUSR1 => {
                log(Level::Info, "Graceful restart requested, waiting for requests to complete.");
                self.retire("graceful_signal", limits.graceful_timeout);
            }
            libc::SIGXCPU => {
                log(Level::Error, "WSGI0346: Exceeded CPU time limit (cpu-time-limit); the process ends");
                self.drain("cpu_time_limit", Some(limits.graceful_timeout));
            }
            libc::SIGHUP | libc::SIGUSR2 if self.phase == Phase::Serving && !self.worker.slots.is_empty() => {
                subscribers::tell(signal);
            }
            _ => {}
        }
    }

    fn listen(&mut self) {
        let mut buf = Vec::new();
        while !self.is_orphan {
            match self.worker.channel.hear(&mut buf) {
                None => return,
                Some(Heard::Message(ToWorker::Drain(drain))) => {
                    let reason = String::from_utf8_lossy(&drain.reason).into_owned();
                    self.drain(&reason, Some(drain.limit).filter(|limit| *limit > 0));
                }
                Some(Heard::Message(ToWorker::Stop(stop))) => self.stop(&String::from_utf8_lossy(&stop.reason)),
                Some(Heard::Nonsense(error)) => {
                    log(Level::Error, &format!("WSGI0347: the supervisor says what cannot be: {error}; going on"));
                }
                Some(Heard::End) => {
                    self.is_orphan = true;
                    let limit = self.worker.limits.graceful_timeout;
                    self.drain("supervisor_gone", Some(if limit > 0 { limit } else { ORPHAN_S }));
                }
            }
        }
    }

    fn watch(&mut self) {
        self.watch_startup();
        self.watch_deadlock();
        self.watch_requests();
        if self.phase != Phase::Serving {
            return;
        }
        let limits = &self.worker.limits;
        let begun = self.worker.begun.load(Ordering::SeqCst);
        if limits.maximum_requests > 0 && begun >= limits.maximum_requests && !self.has_retired {
            log(Level::Info, &format!("Maximum requests reached ({begun}), process is to be replaced."));
            match limits.maximum_requests == 1 && limits.threads == 1 {
                true => self.drain("maximum_requests", None),
                false => self.retire("maximum_requests", limits.graceful_timeout),
            }
        }
        if limits.restart_interval > 0 && !self.has_retired && self.worker.now_us() >= us(limits.restart_interval) {
            log(Level::Info, "Application restart timer expired, process is to be replaced.");
            self.retire("restart_interval", limits.graceful_timeout);
        }
        self.watch_inactivity();
    }

    /// Runs while the process starts, and again from the first request until a script has been loaded.
    fn watch_startup(&mut self) {
        let limit = self.worker.limits.startup_timeout;
        if limit == 0 || self.has_loaded || matches!(self.phase, Phase::Stopping { .. }) {
            self.startup_from_us = None;
            return;
        }
        let now_us = self.worker.now_us();
        if script::is_any_loaded() {
            self.has_loaded = true;
            self.startup_from_us = None;
            return log(Level::Info, "Application startup timer cancelled.");
        }
        if !self.is_ready && process::stage() >= Stage::Ready {
            self.is_ready = true;
            // Nobody has asked for a script yet.
            self.startup_from_us = None;
        }
        if self.is_ready && self.startup_from_us.is_none() && self.worker.begun.load(Ordering::SeqCst) > 0 {
            self.startup_from_us = Some(now_us);
        }
        if self.startup_from_us.is_some_and(|from_us| now_us >= from_us + us(limit)) {
            self.startup_from_us = None;
            log(
                Level::Error,
                &format!(
                    "WSGI0348: Application startup timer expired: no script was loaded within {limit} s (startup-timeout); \
                     the stacks of all threads follow, and the process ends"
                ),
            );
            dump_all(Level::Error);
            self.stop("startup_timeout");
        }
    }

    fn watch_deadlock(&mut self) {
        let limit = self.worker.limits.deadlock_timeout;
        let alive_us = self.worker.alive_us.load(Ordering::Relaxed);
        let is_watched = limit > 0 && alive_us > 0 && !matches!(self.phase, Phase::Stopping { .. });
        if !is_watched || self.worker.now_us() < alive_us.saturating_add(us(limit)) {
            return;
        }
        log(
            Level::Error,
            &format!(
                "WSGI0349: Daemon process deadlock timer expired: no thread could get Python's GIL for {limit} s \
                 (deadlock-timeout); the stacks of all threads follow, and the process ends"
            ),
        );
        dump_all(Level::Error);
        self.stop("deadlock_timeout");
        // It will not be had for the exit functions either.
        let until_us =
            self.worker.now_us() + us(Some(self.worker.limits.shutdown_timeout).filter(|s| *s > 0).unwrap_or(STUCK_S));
        if let Phase::Stopping { until_us: until, .. } = &mut self.phase {
            *until = Some(until.map_or(until_us, |before| before.min(until_us)));
        }
    }

    fn watch_requests(&mut self) {
        let limits = &self.worker.limits;
        if limits.request_timeout == 0 || self.has_escalated {
            return;
        }
        let now_us = self.worker.now_us();
        let allowance_us = allowance_us(limits.request_timeout, limits.threads);
        let mut may_interrupt = true;
        for (number, slot) in self.worker.slots.iter().enumerate() {
            let (since_us, sequence) = (slot.since_us(), slot.sequence());
            if since_us == 0 || now_us < since_us + allowance_us {
                continue;
            }
            let interrupted = &mut self.interrupted[number];
            if limits.interrupt_timeout > 0 && interrupted.sequence != sequence {
                if may_interrupt {
                    *interrupted = Interrupted { sequence, at_us: now_us };
                    interrupt(self.worker, slot, sequence);
                    // One in a tick: the next may be done by then, as one may have waited for the other.
                    may_interrupt = false;
                }
                continue;
            }
            if limits.interrupt_timeout > 0 && now_us < interrupted.at_us + us(limits.interrupt_timeout) {
                continue;
            }
            let (about, seconds) = (slot.about(), (now_us - since_us) / 1_000_000);
            return self.escalate(&about, seconds);
        }
    }

    fn escalate(&mut self, about: &str, seconds: u64) {
        self.has_escalated = true;
        log(
            Level::Error,
            &format!(
                "WSGI0350: Daemon process request time limit exceeded: {about} has been running for {seconds} s \
                 (request-timeout); the stacks of all threads follow, and the process ends"
            ),
        );
        dump_all(Level::Error);
        self.drain("request_timeout", Some(self.worker.limits.graceful_timeout));
    }

    fn watch_inactivity(&mut self) {
        let limits = &self.worker.limits;
        let last_us = self.worker.activity_us.load(Ordering::Relaxed);
        let now_us = self.worker.now_us();
        let is_armed = limits.inactivity_timeout > 0 && last_us > 0 && !self.has_retired;
        if !is_armed || now_us < last_us + us(limits.inactivity_timeout) {
            return;
        }
        // Older than any request is allowed to get: it does not count as use.
        let stale_us = us(limits.request_timeout + limits.interrupt_timeout);
        let is_used = self.worker.slots.iter().any(|slot| {
            let since_us = slot.since_us();
            since_us != 0 && !slot.ignores_activity() && (stale_us == 0 || now_us < since_us + stale_us)
        });
        if !is_used {
            log(Level::Info, "Daemon process idle inactivity timer expired, process is to be replaced.");
            self.retire("inactivity_timeout", limits.graceful_timeout);
        }
    }

    /// Asks for a replacement, once. `limit`: seconds that requests are to have then; 0 is as good as none.
    fn retire(&mut self, reason: &str, limit: u64) {
        if self.phase != Phase::Serving || std::mem::replace(&mut self.has_retired, true) {
            return;
        }
        // On the wire 0 is no limit, where the option means the least.
        self.worker.channel.say(&FromWorker::Retire(Retire { reason: reason.into(), limit: limit.max(1) }));
    }

    /// Begins to end. `limit`: seconds that requests have; `None` for as long as they need.
    fn drain(&mut self, reason: &str, limit: Option<u64>) {
        if self.worker.slots.is_empty() {
            return self.stop(reason);
        }
        let until_us = limit.map(|limit| self.worker.now_us() + us(limit));
        match &mut self.phase {
            Phase::Serving => {
                self.begin_end(reason);
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

    fn stop(&mut self, reason: &str) {
        match self.phase {
            Phase::Stopping { .. } => return,
            Phase::Serving => self.begin_end(reason),
            Phase::Draining { .. } => {}
        }
        let limit = self.worker.limits.shutdown_timeout;
        let until_us = (limit > 0).then(|| self.worker.now_us() + us(limit));
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

    fn begin_end(&self, reason: &str) {
        process::set_reason(public_reason(reason));
        log(Level::Info, &format!("Shutdown requested for daemon process: {reason}."));
        self.worker.seat.set_state(SeatState::Draining);
        self.worker.is_leaving.store(true, Ordering::SeqCst);
        self.worker.channel.say(&FromWorker::Stopping(Stopping { reason: reason.into() }));
    }

    fn go_on(&mut self) {
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
        log(
            Level::Error,
            &format!(
                "WSGI0351: Shutdown timeout expired; aborting: requests or exit functions had not ended after {} s \
                 (shutdown-timeout)",
                self.worker.limits.shutdown_timeout
            ),
        );
        let deadline = std::time::Instant::now() + Duration::from_millis(100);
        while self.worker.channel.flush() && std::time::Instant::now() < deadline {
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

/// Whole seconds in µs.
fn us(seconds: u64) -> u64 {
    seconds.saturating_mul(1_000_000)
}
