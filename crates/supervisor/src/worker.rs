//! One worker process: started, listened to, told what to do, and made to end.

mod intake;
mod remains;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use wire::Channel;
use wire::control::{Drain, FromWorker, Group, Stop, Text, ToWorker};

use crate::launch::{self, Launch};
use crate::os::signals;
use crate::os::spawn::Failure;
use crate::output::Lines;

pub(crate) use remains::{REMAINS_LIMIT, Remains};

/// Between SIGTERM and SIGKILL, and beyond a worker's own limits before either.
const GRACE: Duration = Duration::from_secs(2);

/// How long a worker without `shutdown-timeout` may take to end.
const LONGEST_END: Duration = Duration::from_secs(60);

/// How long an interpreter may take to become a worker where `startup-timeout` says nothing else. No code of the
/// application has run by then, so this is far more than it needs.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What a worker is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not ready yet.
    Starting,
    /// Ready.
    Serving,
    /// Ready, and wants to be replaced.
    Retiring(Retirement),
    /// Told to drain, or draining by itself, without a limit.
    Draining,
    /// Told to end, or ending by itself.
    Leaving,
}

/// As [`wire::control::Retire`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retirement {
    pub(crate) reason: Text,
    /// Seconds; 0 for none.
    pub(crate) limit: u64,
}

/// What has come from a worker.
#[derive(Debug)]
pub(crate) enum Event {
    Message(FromWorker),
    /// Over the pipe.
    Output(Vec<u8>),
    /// So many lines were dropped.
    Dropped(u64),
    /// Between fork and exec.
    Failed(Failure),
    /// A message that it should not send.
    Malformed(String),
}

/// Where something has come from a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Channel,
    Output,
    Report,
}

/// A process.
#[derive(Debug)]
pub(crate) struct Worker {
    pid: i32,
    channel: Option<Channel>,
    output: Option<OwnedFd>,
    /// From between fork and exec.
    report: Option<OwnedFd>,
    lines: Lines,
    generation: u32,
    started: Instant,
    shutdown_timeout: Duration,
    stage: Stage,
    /// Why it ends, by order or by itself; its own word is the last.
    reason: String,
    is_ready: bool,
    has_failed: bool,
    /// It is no worker yet, and is killed if it is none by then.
    start_by: Option<Instant>,
    terminate_at: Option<Instant>,
    destroy_at: Option<Instant>,
    is_destroyed: bool,
    /// Its channel is closed, and by then it should have ended.
    abandoned_at: Option<Instant>,
}

impl Worker {
    /// Starts a process.
    ///
    /// # Errors
    /// Those of fork(2), memfd_create(2), pipe2(2) and socketpair(2), and of strings with a NUL.
    pub(crate) fn launch(launch: &Launch<'_>, now: Instant) -> io::Result<Worker> {
        let launched = launch::launch(launch)?;
        Ok(Worker {
            pid: launched.pid,
            channel: Some(launched.channel),
            output: Some(launched.output),
            report: Some(launched.report),
            lines: Lines::new(now),
            generation: launch.own.generation,
            started: now,
            shutdown_timeout: seconds(launch.group.shutdown_timeout),
            stage: Stage::Starting,
            reason: String::new(),
            is_ready: false,
            has_failed: false,
            start_by: Some(now + start_limit(launch.group)),
            terminate_at: None,
            destroy_at: None,
            is_destroyed: false,
            abandoned_at: None,
        })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether the interpreter has become a worker, which keeps its limits by itself.
    pub(crate) fn has_started(&self) -> bool {
        self.start_by.is_none()
    }

    /// Whether it has ever been ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether it never became the interpreter, which has been logged.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Whether it is ending, by order or by itself.
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Draining | Stage::Leaving)
    }

    /// Whether we have killed it.
    pub(crate) fn is_destroyed(&self) -> bool {
        self.is_destroyed
    }

    /// What still comes over its pipe after its end: processes that it has started hold the other end.
    pub(crate) fn into_remains(self) -> Option<Remains> {
        Some(Remains { pid: self.pid, output: self.output?, lines: self.lines })
    }

    /// The last lines that it wrote.
    pub(crate) fn last_words(&self) -> String {
        self.lines.last_words()
    }

    /// The interpreter has become a worker.
    pub(crate) fn set_started(&mut self) {
        self.start_by = None;
    }

    /// It is ready.
    pub(crate) fn set_ready(&mut self) {
        self.set_started();
        self.is_ready = true;
        if self.stage == Stage::Starting {
            self.stage = Stage::Serving;
        }
    }

    /// It wants to be replaced.
    pub(crate) fn set_retiring(&mut self, retirement: Retirement) {
        if matches!(self.stage, Stage::Starting | Stage::Serving) {
            self.stage = Stage::Retiring(retirement);
        }
    }

    /// Why it ends; empty if nobody has said so.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// It ends by itself, and means to have ended in `limit` seconds, 0 for however long its requests take. What it was
    /// told before stays: then it says only that it has heard.
    pub(crate) fn set_stopping(&mut self, reason: &str, limit: u64, now: Instant) {
        reason.clone_into(&mut self.reason);
        if self.is_leaving() {
            return;
        }
        if limit == 0 {
            self.stage = Stage::Draining;
            return;
        }
        self.stage = Stage::Leaving;
        self.end_by(None, now + seconds(limit) + GRACE);
    }

    /// It can be told nothing any more, and ends with its channel: it has `shutdown-timeout` for that.
    pub(crate) fn set_astray(&mut self, now: Instant) {
        "it had closed its channel to the supervisor".clone_into(&mut self.reason);
        self.stage = Stage::Leaving;
        let own = if self.shutdown_timeout.is_zero() { LONGEST_END } else { self.shutdown_timeout };
        self.end_by(None, now + own + GRACE);
    }

    /// Tells it to end when its requests have: within `limit` seconds, 0 for however long.
    pub(crate) fn drain(&mut self, reason: &str, limit: u64, now: Instant) {
        self.tell(&ToWorker::Drain(Drain { reason: reason.into(), limit }));
        reason.clone_into(&mut self.reason);
        if limit == 0 {
            self.stage = Stage::Draining;
            return;
        }
        self.stage = Stage::Leaving;
        let terminate = now + seconds(limit) + self.shutdown_timeout + GRACE;
        self.end_by(Some(terminate), terminate + GRACE);
    }

    /// Tells it to end now; after a second with SIGTERM, after `limit` with SIGKILL.
    pub(crate) fn stop(&mut self, reason: &str, limit: Duration, now: Instant) {
        self.tell(&ToWorker::Stop(Stop { reason: reason.into() }));
        reason.clone_into(&mut self.reason);
        self.stage = Stage::Leaving;
        self.end_by(Some(now + Duration::from_secs(1).min(limit)), now + limit);
    }

    /// An earlier end that has been set stays.
    fn end_by(&mut self, terminate: Option<Instant>, destroy: Instant) {
        let earlier = |one: Option<Instant>, other: Instant| Some(one.map_or(other, |one| one.min(other)));
        if let Some(terminate) = terminate {
            self.terminate_at = earlier(self.terminate_at, terminate);
        }
        self.destroy_at = earlier(self.destroy_at, destroy);
    }

    /// Sends the signals that are due. Whether SIGKILL was one.
    pub(crate) fn tick(&mut self, now: Instant) -> bool {
        if self.terminate_at.is_some_and(|at| at <= now) {
            self.terminate_at = None;
            signals::terminate(self.pid);
        }
        let is_due = !self.is_destroyed && self.destroy_at.into_iter().chain(self.start_by).any(|at| at <= now);
        if is_due {
            self.is_destroyed = true;
            signals::destroy(self.pid);
        }
        is_due
    }

    /// Whether it lives on although it has closed its channel, so that it can be told nothing; says so once.
    pub(crate) fn is_astray(&mut self, now: Instant) -> bool {
        let is_astray = self.abandoned_at.is_some_and(|at| at <= now);
        if is_astray {
            self.abandoned_at = None;
        }
        is_astray
    }

    /// When [`Worker::tick`], [`Worker::is_astray`] or [`Worker::due`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (start_by, destroy_at) = if self.is_destroyed { (None, None) } else { (self.start_by, self.destroy_at) };
        let due_at = self.lines.due_at();
        [start_by, self.terminate_at, destroy_at, self.abandoned_at, due_at].into_iter().flatten().min()
    }

    fn tell(&self, message: &ToWorker) {
        let mut buf = Vec::new();
        // A worker that does not read, or has gone, is ended by signals or reaped.
        if let (Some(channel), Ok(())) = (&self.channel, message.write(&mut buf)) {
            let _ = channel.send(&buf, &[]);
        }
    }

    /// What to wait for.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Part, BorrowedFd<'_>)> {
        let channel = self.channel.as_ref().map(|channel| (Part::Channel, channel.as_fd()));
        let output = self.output.as_ref().map(|output| (Part::Output, output.as_fd()));
        let report = self.report.as_ref().map(|report| (Part::Report, report.as_fd()));
        channel.into_iter().chain(output).chain(report)
    }
}

/// How long an interpreter may take to become a worker.
pub(crate) fn start_limit(group: &Group) -> Duration {
    if group.startup_timeout > 0 { seconds(group.startup_timeout) } else { START_LIMIT }
}

/// Seconds that a worker or a configuration names, which may be any number; a month is for ever here.
fn seconds(count: u64) -> Duration {
    Duration::from_secs(count.min(31 * 24 * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn interpreter_has_startup_timeout_to_become_a_worker_and_a_minute_without_one() {
        let limit = |startup_timeout| start_limit(&Group { startup_timeout, ..sample::group() }).as_secs();
        assert_eq!((limit(0), limit(3), limit(300)), (60, 3, 300));
    }
}
