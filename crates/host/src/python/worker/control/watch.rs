//! The limits of the process, looked at in each turn.

use std::sync::atomic::Ordering;

use gateway::Level;

use super::ending::Phase;
use super::{Control, us};
use crate::python::process::{self, Stage};
use crate::python::script;
use crate::python::worker::channel::log;
use crate::python::worker::interrupt::{dump_all, interrupt};
use crate::python::worker::limits::allowance_us;

/// How long a process whose GIL is stuck has to end, if `shutdown-timeout` is 0.
const STUCK_S: u64 = 5;

/// A request thread's limit: which request was interrupted, and when.
#[derive(Clone, Copy, Default)]
pub(super) struct Interrupted {
    sequence: u64,
    at_us: u64,
}

impl Control {
    pub(super) fn watch(&mut self) {
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
}
