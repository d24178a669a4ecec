//! One question on a connection: like a request it is begun or not, and counts, but it is answered by one frame.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gateway::{Answer, Key, Level, Outcome, RequestLog};
use wire::{Frame, Question, RequestHead};

use super::connections::{Connection, log_fault};
use super::limits::Slot;
use super::request::{Arrived, ConnectionLog, Ends, admit, answer_unbegun, below, path_of, relocate};
use super::state::Worker;
use crate::daemon::{ConnectionAsker, Intake};
use crate::python::ask::{ask, written};
use crate::python::course::now_us;

/// Answers a question; whether the connection may have another.
pub(super) fn answer(
    worker: &'static Worker,
    slot: &'static Slot,
    connection: &mut Connection,
    has_left: bool,
    block: &[u8],
) -> bool {
    let at_us = now_us();
    let parsed = Question::parse(block).and_then(|question| Ok((question, RequestHead::parse(question.head)?)));
    let (question, head) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            log_fault(&error.to_string());
            return false;
        }
    };
    let Connection { stream, inbox, outbox, cell, .. } = connection;
    let log = ConnectionLog {
        stream,
        outbox,
        head: question.head,
        asked: Some(question.script),
        limit: head.facts().log_level(),
    };
    let mut intake = Intake::new(stream, inbox, head.facts());
    if has_left {
        intake.look();
    } else {
        intake.sort();
    }
    let (environ, script) = match root_of(worker, &question, &head) {
        Ok(rebased) => rebased,
        Err(text) => {
            log.log(Level::Error, text.as_bytes());
            return answer_unbegun(worker, *cell, stream, outbox, 500);
        }
    };
    let question = Question { script, head: environ.as_deref().unwrap_or(question.head), ..question };
    let method = head.get(Key::RequestMethod).unwrap_or_default();
    let uri = head.get(Key::RequestUri).unwrap_or_default();
    let group = head.get(Key::ModWsgiApplicationGroup).unwrap_or_default();
    let function = question.subject.functions()[0];
    let arrived = Arrived {
        head: &head,
        group,
        script,
        resource: script,
        asked: Some(function),
        at_us,
        about: &[function.as_bytes(), b"() for ", method, b" ", path_of(uri)],
    };
    let begun = match admit(worker, slot, *cell, &intake, &arrived, &Ends { stream, outbox, log: &log }) {
        Ok(begun) => begun,
        Err(is_kept) => return is_kept,
    };
    let mut asker = ConnectionAsker::new(stream, outbox, intake);
    let asked = catch_unwind(AssertUnwindSafe(|| ask(&mut asker, &log, &question)));
    // The child looks at the figures as soon as it has the answer.
    begun.leave_seat();
    let mut frames = written(&asked.unwrap_or(Answer::Failed), &log);
    Frame::Done(Outcome::Complete).put(&mut frames);
    let is_kept = asker.finish(&frames);
    if !is_kept {
        log.log_undelivered();
    }
    if let Some(fault) = asker.fault() {
        log_fault(fault);
    }
    is_kept
}

/// In a process with a root directory of its own, the environ and the script as they are below it.
///
/// # Errors
/// The log line, if the script is not there.
fn root_of<'q>(
    worker: &Worker,
    question: &Question<'q>,
    head: &RequestHead<'_>,
) -> Result<(Option<Vec<u8>>, &'q [u8]), String> {
    let Some(root) = &worker.limits.chroot else { return Ok((None, question.script)) };
    let script = below(root, question.script).ok_or_else(|| {
        format!(
            "WSGI0081: script '{}' is not below the chroot directory '{}' of its daemon process; it cannot be asked",
            String::from_utf8_lossy(question.script),
            String::from_utf8_lossy(root)
        )
    })?;
    Ok((Some(relocate(head, root)?), script))
}
