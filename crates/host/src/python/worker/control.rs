//! The control thread: signals, the supervisor's words, and every limit of the process. It never takes the GIL and
//! never waits for whoever has it, so it works whatever Python does.
//!
//! Limits do not depend on one another, nor on any other being set. Those that are no emergency ask for a
//! replacement (`retire`) and the process goes on until it is told to drain; emergencies end it.

mod ending;
mod watch;

use std::os::fd::AsFd;

use gateway::Level;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wire::control::{FromWorker, Started, ToWorker};

use self::ending::Phase;
use self::watch::Interrupted;
use super::channel::{Heard, log};
use super::state::Worker;
use super::subscribers;
use crate::python::process;

/// How long a process that has lost its supervisor goes on for its requests, if `graceful-timeout` is 0.
const ORPHAN_S: u64 = 15;

/// How often running requests are looked at, and whether a draining process is idle.
const TICK_US: u64 = 1_000_000;
const DRAIN_TICK_US: u64 = 50_000;

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
        if !worker.python_signals.signals().is_empty() {
            process::ask_main_thread(super::signals::run_handlers);
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
        let python = PollFd::new(self.worker.python_signals.as_fd(), PollFlags::POLLIN);
        // A channel that has ended would always be ready.
        let mut polled = [wakeup, python, channel];
        let count = if self.is_orphan { 2 } else { 3 };
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
                Some(Heard::Message(ToWorker::Secrets(_))) => {
                    log(Level::Error, "WSGI0347: the supervisor says what cannot be: other secrets; going on");
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
}

/// Whole seconds in µs.
fn us(seconds: u64) -> u64 {
    seconds.saturating_mul(1_000_000)
}
