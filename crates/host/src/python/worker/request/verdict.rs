//! Whether a request is begun at all.

use std::sync::atomic::Ordering;

use gateway::{Key, Level};
use wire::control::{FromWorker, Reload};
use wire::{Refusal, flags};

use super::Arrived;
use crate::daemon::Intake;
use crate::python::worker::channel::log;
use crate::python::worker::connections::log_fault;
use crate::python::worker::state::Worker;
use crate::python::{adopt, script};

/// What becomes of a request before it is begun.
pub(super) enum Verdict {
    Begin,
    /// The client has gone.
    Drop,
    Refuse(Refusal),
    /// It is answered without the application: with this status, for this reason.
    Answer(u16, String),
}

/// Looks at client, process, queue, application group and script, in this order.
pub(super) fn judge(worker: &Worker, intake: &Intake<'_>, arrived: &Arrived<'_>) -> Verdict {
    let head = arrived.head;
    if intake.cut().is_some() {
        if let Some(fault) = intake.fault() {
            log_fault(fault);
        }
        return Verdict::Drop;
    }
    if worker.is_closed.load(Ordering::SeqCst) {
        return Verdict::Refuse(Refusal::Leaving);
    }
    let limit_us = worker.limits.queue_timeout.saturating_mul(1_000_000);
    let waited_us = arrived.at_us.saturating_sub(head.facts().request_start_us);
    if limit_us > 0 && waited_us > limit_us {
        return Verdict::Answer(504, overdue_text(arrived, waited_us));
    }
    let group = arrived.group;
    let own = worker.group.get_or_init(|| {
        // Before the first script is loaded, which may ask for the name. Nobody who waits for this holds the GIL.
        adopt::name(group);
        group.to_vec()
    });
    if own != group {
        return Verdict::Refuse(Refusal::Misdirected);
    }
    if is_outdated(worker, arrived) { Verdict::Refuse(Refusal::Outdated) } else { Verdict::Begin }
}

/// The log line of what has waited for longer than `queue-timeout`. What comes of a question that has no answer is another
/// thing for each.
fn overdue_text(arrived: &Arrived<'_>, waited_us: u64) -> String {
    let (what, consequence) = match arrived.asked {
        None => ("the request".to_owned(), "answering 504"),
        Some(function) => (format!("the question {function}()"), "it is not asked, so there is no answer"),
    };
    format!(
        "WSGI0084: {what} waited {:.1} s for daemon process group '{}', longer than queue-timeout allows; {consequence}",
        waited_us as f64 / 1e6,
        String::from_utf8_lossy(arrived.head.get(Key::ModWsgiProcessGroup).unwrap_or_default()),
    )
}

/// Whether another generation is to answer: the script has changed since it was loaded, and nobody has been told of
/// that change. Once the supervisor knows, the old code goes on serving until the process is told to end.
fn is_outdated(worker: &Worker, arrived: &Arrived<'_>) -> bool {
    let (path, facts) = (arrived.script, arrived.head.facts());
    let Some(loaded) = script::loaded_time(path).filter(|_| facts.has(flags::RELOADING)) else { return false };
    let mtime_us = match loaded.mtime_us == Some(facts.script_mtime_us) {
        true => facts.script_mtime_us,
        // httpd may have looked at the file before the change that is loaded already. One that is gone has no time.
        false => script::time_of(path).unwrap_or(0),
    };
    let is_reported = |reported: &Option<(Vec<u8>, i64)>| {
        reported.as_ref().is_some_and(|(known, time)| known == path && *time == mtime_us)
    };
    if is_reported(&worker.reported()) {
        return false;
    }
    let is_changed = loaded.mtime_us != Some(mtime_us);
    let is_asked_for = || loaded.has_reload_required && adopt::is_reload_required(path, arrived.resource);
    if !(is_changed || is_asked_for()) {
        return false;
    }
    {
        let mut reported = worker.reported();
        if is_reported(&reported) {
            return false;
        }
        *reported = Some((path.to_vec(), mtime_us));
    }
    log(Level::Info, &format!("Script '{}' has changed; asking for new processes.", String::from_utf8_lossy(path)));
    worker.channel.say(&FromWorker::Reload(Reload { script: path.into() }));
    true
}
