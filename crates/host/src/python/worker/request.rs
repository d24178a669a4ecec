//! One request on a connection: whether it is begun at all, and its walk.

mod begun;
mod chroot;
mod log;
mod verdict;

use std::panic::{AssertUnwindSafe, catch_unwind};

use gateway::{Level, Outcome, RequestLog};
use wire::{Frame, Refusal, RequestHead, flags};

use self::begun::Begun;
use self::chroot::rebase;
pub(super) use self::chroot::{below, relocate};
pub(super) use self::log::ConnectionLog;
use self::verdict::{Verdict, judge};
use super::connections::{Connection, log_fault};
use super::limits::Slot;
use super::state::Worker;
use crate::daemon::{ConnectionExchange, Intake, Outbox, Stream};
use crate::python::course::now_us;
use crate::python::serve::{Arrival, Order, serve_order};

/// Serves a request; whether the connection may have another.
pub(super) fn serve(
    worker: &'static Worker,
    slot: &'static Slot,
    connection: &mut Connection,
    has_left: bool,
    block: &[u8],
) -> bool {
    let daemon_start_us = now_us();
    let head = match RequestHead::parse(block) {
        Ok(head) => head,
        Err(error) => {
            log_fault(&error.to_string());
            return false;
        }
    };
    let Connection { stream, inbox, outbox, cell, .. } = connection;
    let request_log = ConnectionLog { stream, outbox, head: block, asked: None, limit: head.facts().log_level() };
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
    let ignores_activity = head.facts().has(flags::IGNORE_ACTIVITY);
    let order = Order::of(&head);
    let arrived = Arrived {
        head: &head,
        group: order.group,
        script: order.script,
        resource: order.file,
        asked: None,
        at_us: daemon_start_us,
        about: &[b"request ", order.method, b" ", path_of(order.uri)],
    };
    let begun = match admit(worker, slot, *cell, &intake, &arrived, &Ends { stream, outbox, log: &request_log }) {
        Ok(begun) => begun,
        Err(is_kept) => return is_kept,
    };
    let on_activity = || {
        if !ignores_activity {
            worker.note_activity();
        }
    };
    let mut exchange = ConnectionExchange::new(stream, outbox, intake, &on_activity);
    let queue_start_us = order.queue_start_us().unwrap_or(head.facts().request_start_us);
    let arrival = Arrival { queue_start_us, daemon_start_us };
    let outcome =
        catch_unwind(AssertUnwindSafe(|| serve_order(&mut exchange, &request_log, block, &head, order, Some(arrival))));
    // The child looks at the figures as soon as it has the answer.
    begun.leave_seat();
    let is_kept = exchange.finish(outcome.unwrap_or(Outcome::Incomplete));
    if !is_kept {
        request_log.log_undelivered();
    }
    if let Some(fault) = exchange.fault() {
        log_fault(fault);
    }
    is_kept
}

/// A request or a question that has come.
pub(super) struct Arrived<'a> {
    pub(super) head: &'a RequestHead<'a>,
    /// The application group that is to have it.
    pub(super) group: &'a [u8],
    /// The file that is to be loaded.
    pub(super) script: &'a [u8],
    /// What its `reload_required()` is asked about.
    pub(super) resource: &'a [u8],
    /// Of a question, the function that is asked.
    pub(super) asked: Option<&'a str>,
    /// When it came, µs since 1970.
    pub(super) at_us: u64,
    /// What it is, for the log, in parts; see [`path_of`].
    pub(super) about: &'a [&'a [u8]],
}

/// What the log may say of a URI: a query may have a secret in it.
pub(super) fn path_of(uri: &[u8]) -> &[u8] {
    uri.split(|byte| *byte == b'?').next().unwrap_or(uri)
}

/// Where one ends that is not begun.
pub(super) struct Ends<'a> {
    pub(super) stream: &'a Stream,
    pub(super) outbox: &'a Outbox,
    pub(super) log: &'a dyn RequestLog,
}

/// Begins with what has come, or ends it; then whether the connection may have another.
pub(super) fn admit(
    worker: &'static Worker,
    slot: &'static Slot,
    cell: u32,
    intake: &Intake<'_>,
    arrived: &Arrived<'_>,
    ends: &Ends<'_>,
) -> Result<Begun, bool> {
    let refuse = |refusal| {
        end_unbegun(ends.stream, ends.outbox, &Frame::Refused(refusal));
        Err(false)
    };
    match judge(worker, intake, arrived) {
        Verdict::Begin => {}
        Verdict::Drop => return Err(false),
        Verdict::Refuse(refusal) => return refuse(refusal),
        Verdict::Answer(status, text) => {
            ends.log.log(Level::Error, text.as_bytes());
            return Err(answer_unbegun(worker, cell, ends.stream, ends.outbox, status));
        }
    }
    match Begun::new(worker, slot, cell, arrived) {
        Some(begun) => Ok(begun),
        None => refuse(Refusal::Leaving),
    }
}

/// Has httpd answer a request that is not begun; whether that went. It counts on its connection all the same: the child
/// numbers its requests, and would take the next one for not begun.
pub(super) fn answer_unbegun(worker: &Worker, cell: u32, stream: &Stream, outbox: &Outbox, status: u16) -> bool {
    worker.seat.count(cell);
    end_unbegun(stream, outbox, &Frame::Done(Outcome::Status(status)))
}

/// Sends the only frame of a request that is not begun; whether it went.
fn end_unbegun(stream: &Stream, outbox: &Outbox, frame: &Frame<'_>) -> bool {
    let mut bytes = Vec::new();
    frame.put(&mut bytes);
    outbox.write(stream, &[&bytes], &mut || false).is_ok()
}
