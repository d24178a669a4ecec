//! One request on a connection: whether it is begun at all, and its walk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use gateway::{Key, Level, Outcome, RequestLog};
use wire::control::{FromWorker, Reload};
use wire::{Entry, Frame, Refusal, RequestHead, RequestWriter, flags};

use super::channel::log;
use super::connections::{Connection, log_fault};
use super::limits::Slot;
use super::state::{Worker, epoch_us};
use crate::daemon::{ConnectionExchange, Intake, Outbox, Stream};
use crate::python::serve::{Arrival, script_path, serve as walk};
use crate::python::{adopt, process, script};

/// What becomes of a request before it is begun.
enum Verdict {
    Begin,
    /// The client has gone.
    Drop,
    Refuse(Refusal),
    /// It is answered without the application: with this status, for this reason.
    Answer(u16, String),
}

/// Serves a request; whether the connection may have another.
pub(super) fn serve(
    worker: &'static Worker,
    slot: &'static Slot,
    connection: &mut Connection,
    has_left: bool,
    block: &[u8],
) -> bool {
    let daemon_start_us = epoch_us();
    let head = match RequestHead::parse(block) {
        Ok(head) => head,
        Err(error) => {
            log_fault(&error.to_string());
            return false;
        }
    };
    let Connection { stream, inbox, outbox, cell, .. } = connection;
    let request_log = ConnectionLog { stream, outbox, limit: head.facts().log_level() };
    let mut intake = Intake::new(stream, inbox, head.facts());
    // What had come by then came with the head; only the end of a connection shows by a further look.
    if has_left {
        intake.look();
    } else {
        intake.sort();
    }
    let rebased = worker.limits.chroot.as_ref().map(|root| rebase(&head, root));
    let (block, head) = match &rebased {
        None => (block, head),
        Some(Ok(block)) => match RequestHead::parse(block) {
            Ok(head) => (&block[..], head),
            Err(_) => return false,
        },
        Some(Err(text)) => {
            request_log.log(Level::Error, text.as_bytes());
            return answer_unbegun(worker, *cell, stream, outbox, 500);
        }
    };
    match judge(worker, &intake, &head, daemon_start_us) {
        Verdict::Begin => {}
        Verdict::Drop => return false,
        Verdict::Refuse(refusal) => {
            end_unbegun(stream, outbox, &Frame::Refused(refusal));
            return false;
        }
        Verdict::Answer(status, text) => {
            request_log.log(Level::Error, text.as_bytes());
            return answer_unbegun(worker, *cell, stream, outbox, status);
        }
    }
    let ignores_activity = head.facts().has(flags::IGNORE_ACTIVITY);
    let Some(begun) = Begun::new(worker, slot, *cell, &head, ignores_activity) else {
        end_unbegun(stream, outbox, &Frame::Refused(Refusal::Leaving));
        return false;
    };
    let on_activity = || {
        if !ignores_activity {
            worker.note_activity();
        }
    };
    let mut exchange = ConnectionExchange::new(stream, outbox, intake, &on_activity);
    let queue_start_us = queue_start(&head).unwrap_or(head.facts().request_start_us);
    let arrival = Arrival { queue_start_us, daemon_start_us };
    let outcome = catch_unwind(AssertUnwindSafe(|| walk(&mut exchange, &request_log, block, Some(arrival))));
    // The child looks at the figures as soon as it has the answer.
    begun.leave_seat();
    let is_kept = exchange.finish(outcome.unwrap_or(Outcome::Incomplete));
    if let Some(fault) = exchange.fault() {
        log_fault(fault);
    }
    is_kept
}

/// A request that counts, and keeps the process from ending until it is dropped.
struct Begun {
    worker: &'static Worker,
    slot: &'static Slot,
}

impl Begun {
    /// `None` if the process has just begun to end.
    fn new(
        worker: &'static Worker,
        slot: &'static Slot,
        cell: u32,
        head: &RequestHead<'_>,
        ignores_activity: bool,
    ) -> Option<Begun> {
        let method = head.get(Key::RequestMethod).unwrap_or_default();
        let uri = head.get(Key::RequestUri).unwrap_or_default();
        slot.begin(worker.now_us(), ignores_activity, &[b"request ", method, b" ", uri]);
        let this = Begun { worker, slot };
        // Asked again: either the control thread sees this request, or this thread sees that it is too late.
        if worker.is_closed.load(Ordering::SeqCst) {
            return None;
        }
        worker.seat.begin(cell);
        if !ignores_activity {
            worker.note_activity();
        }
        let begun = worker.begun.fetch_add(1, Ordering::SeqCst) + 1;
        if begun == worker.limits.maximum_requests {
            // One request for each process is exact: the next one on this connection is not begun.
            if begun == 1 && worker.limits.threads == 1 {
                worker.is_closed.store(true, Ordering::SeqCst);
            }
            worker.wakeup.wake();
        } else if begun == 1 {
            // Limits that count from the first request.
            worker.wakeup.wake();
        }
        Some(this)
    }

    fn leave_seat(&self) {
        self.worker.seat.end();
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.slot.end();
        if self.worker.is_leaving.load(Ordering::SeqCst) {
            self.worker.wakeup.wake();
        }
    }
}

fn judge(worker: &Worker, intake: &Intake<'_>, head: &RequestHead<'_>, now_us: u64) -> Verdict {
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
    let waited_us = now_us.saturating_sub(head.facts().request_start_us);
    if limit_us > 0 && waited_us > limit_us {
        let text = format!(
            "WSGI0084: the request waited {:.1} s for daemon process group '{}', longer than queue-timeout allows; answering 504",
            waited_us as f64 / 1e6,
            String::from_utf8_lossy(head.get(Key::ModWsgiProcessGroup).unwrap_or_default()),
        );
        return Verdict::Answer(504, text);
    }
    let group = head.get(Key::ModWsgiApplicationGroup).unwrap_or_default();
    let own = worker.group.get_or_init(|| {
        // Before the first script is loaded, which may ask for the name. Nobody who waits for this holds the GIL.
        adopt::name(group);
        group.to_vec()
    });
    if own != group {
        return Verdict::Refuse(Refusal::Misdirected);
    }
    if is_outdated(worker, head) { Verdict::Refuse(Refusal::Outdated) } else { Verdict::Begin }
}

/// Whether another generation is to answer: the script has changed since it was loaded, and nobody has been told of
/// that change. Once the supervisor knows, the old code goes on serving until the process is told to end.
fn is_outdated(worker: &Worker, head: &RequestHead<'_>) -> bool {
    let path = script_path(head);
    let Some(loaded) = script::loaded_time(path).filter(|_| head.facts().has(flags::RELOADING)) else { return false };
    let mtime_us = match loaded.mtime_us == Some(head.facts().script_mtime_us) {
        true => head.facts().script_mtime_us,
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
    let resource = head.get(Key::ScriptFilename).unwrap_or_default();
    let is_asked_for = || loaded.has_reload_required && adopt::is_reload_required(path, resource);
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

/// Has httpd answer a request that is not begun; whether that went. It counts on its connection all the same: the child
/// numbers its requests, and would take the next one for not begun.
fn answer_unbegun(worker: &Worker, cell: u32, stream: &Stream, outbox: &Outbox, status: u16) -> bool {
    worker.seat.count(cell);
    end_unbegun(stream, outbox, &Frame::Done(Outcome::Status(status)))
}

/// Sends the only frame of a request that is not begun; whether it went.
fn end_unbegun(stream: &Stream, outbox: &Outbox, frame: &Frame<'_>) -> bool {
    let mut bytes = Vec::new();
    frame.put(&mut bytes);
    outbox.write(stream, &[&bytes], &mut || false).is_ok()
}

/// When httpd began to look for a worker, µs since 1970, if its head says so.
fn queue_start(head: &RequestHead<'_>) -> Option<u64> {
    head.entries().flatten().find_map(|entry| match entry {
        Entry::Named { name: b"mod_wsgi.queue_start", value } => std::str::from_utf8(value).ok()?.parse().ok(),
        _ => None,
    })
}

/// The head with the paths as they are below the process's own root.
///
/// # Errors
/// The log line, if the script is not below it.
fn rebase(head: &RequestHead<'_>, root: &[u8]) -> Result<Vec<u8>, String> {
    let script = script_path(head);
    if below(root, script).is_none() {
        return Err(format!(
            "WSGI0081: script '{}' is not below the chroot directory '{}' of its daemon process; answering 500",
            String::from_utf8_lossy(script),
            String::from_utf8_lossy(root)
        ));
    }
    let mut block = Vec::new();
    let mut writer = RequestWriter::begin(&mut block, head.facts());
    for entry in head.entries().flatten() {
        match entry {
            // The resource of a handler script need not be there, wherever it is.
            Entry::Known { key: key @ (Key::ScriptFilename | Key::ModWsgiHandlerScript), value } => {
                writer.known(key, below(root, value).unwrap_or(value));
            }
            // A directory that does not exist there is not named at all.
            Entry::Known { key: Key::DocumentRoot, value } => {
                if let Some(inside) = below(root, value) {
                    writer.known(Key::DocumentRoot, inside);
                }
            }
            Entry::Known { key, value } => writer.known(key, value),
            Entry::Named { name, value } => writer.named(name, value),
        }
    }
    writer.finish().map_err(|error| format!("WSGI0300: malformed request head: {error}; answering 500"))?;
    Ok(block)
}

fn below<'p>(root: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    let root = root.strip_suffix(b"/").unwrap_or(root);
    path.strip_prefix(root).filter(|rest| rest.starts_with(b"/"))
}

/// The log of the request's virtual host, at the other end of the connection.
struct ConnectionLog<'c> {
    stream: &'c Stream,
    outbox: &'c Outbox,
    limit: Level,
}

impl RequestLog for ConnectionLog<'_> {
    fn is_logged(&self, level: Level) -> bool {
        level <= self.limit
    }

    fn log(&self, level: Level, line: &[u8]) {
        if level > self.limit {
            return;
        }
        // The connection is the parent's alone: a forked process must not put anything between its frames.
        if process::is_forked() || !self.outbox.log(self.stream, level, line) {
            process::log(level, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(entries: &[(Key, &[u8])]) -> Vec<u8> {
        let mut block = Vec::new();
        let mut writer = RequestWriter::begin(&mut block, wire::Facts::default());
        for (key, value) in entries {
            writer.known(*key, value);
        }
        writer.finish().unwrap();
        block
    }

    #[test]
    fn paths_lose_the_root_and_a_document_root_outside_is_not_named() {
        let block = head(&[(Key::ScriptFilename, b"/jail/srv/app.wsgi"), (Key::DocumentRoot, b"/var/www")]);
        let rebased = rebase(&RequestHead::parse(&block).unwrap(), b"/jail/").unwrap();
        let rebased = RequestHead::parse(&rebased).unwrap();
        assert_eq!(rebased.get(Key::ScriptFilename), Some(&b"/srv/app.wsgi"[..]));
        assert_eq!(rebased.get(Key::DocumentRoot), None);
    }

    #[test]
    fn of_a_handler_script_and_its_resource_only_the_script_has_to_be_inside() {
        let entries: [(Key, &[u8]); 2] =
            [(Key::ScriptFilename, b"/var/www/x"), (Key::ModWsgiHandlerScript, b"/jail/h.py")];
        let block = head(&entries);
        let rebased = rebase(&RequestHead::parse(&block).unwrap(), b"/jail").unwrap();
        let rebased = RequestHead::parse(&rebased).unwrap();
        assert_eq!(rebased.get(Key::ModWsgiHandlerScript), Some(&b"/h.py"[..]));
        assert_eq!(rebased.get(Key::ScriptFilename), Some(&b"/var/www/x"[..]));
        let block = head(&[(Key::ScriptFilename, b"/jail/x"), (Key::ModWsgiHandlerScript, b"/srv/h.py")]);
        assert!(rebase(&RequestHead::parse(&block).unwrap(), b"/jail").unwrap_err().starts_with("WSGI0081"));
    }

    #[test]
    fn a_script_outside_the_root_is_refused() {
        for path in [&b"/srv/app.wsgi"[..], b"/jailbreak/app.wsgi", b"/jail"] {
            let block = head(&[(Key::ScriptFilename, path)]);
            let error = rebase(&RequestHead::parse(&block).unwrap(), b"/jail").unwrap_err();
            assert!(error.starts_with("WSGI0081"), "{error}");
        }
    }
}
