//! From what an application returned to a response: blocks, files, the end, `close()`, failures.
//!
//! Source: PEP 3333, "Buffering and Streaming", "Optional Platform-Specific File Handling" and
//! "Specification Details".

use std::os::fd::BorrowedFd;

use gateway::{Level, Outcome, WriteError};
use pyo3::ffi;

use super::active::Active;
use super::attach::Attached;
use super::exception::Class;
use super::object::{Raised, Ref};
use super::request_type::raise_send_error;
use super::{events, process};
use crate::reply::SendError;

/// What came of the application's call.
pub(super) enum Answer {
    Outcome(Outcome),
    /// The whole body, still to be sent.
    Whole(Vec<u8>),
}

/// Longest block that is copied in order to be sent without Python, bytes. What is longer is sent from
/// where it lies, and the GIL taken again after it.
const LONGEST_COPY: usize = 64 << 10;

/// How the body's delivery ended.
enum Delivery {
    /// The application delivered all of it.
    Done,
    /// Nobody is there to take the rest.
    ClientGone,
    /// httpd has answered the client itself, or its filters failed: the log line.
    Broken(String),
    Raised(Raised, &'static str),
}

/// Delivers what the application returned, and closes it.
pub(super) fn respond(py: Attached, active: &Active, result: &Ref) -> Answer {
    if let Some(block) = whole_block(py, active, result) {
        return Answer::Whole(block);
    }
    let delivery = deliver(py, active, result);
    let outcome = match delivery {
        Delivery::Done => end(py, active),
        // The client's own doing: httpd ends the connection, the log stays quiet.
        Delivery::ClientGone => Outcome::Complete,
        Delivery::Broken(reason) => {
            active.log(py, Level::Info, reason.as_bytes());
            Outcome::Incomplete
        }
        Delivery::Raised(raised, stage) => fail(py, active, raised, stage),
    };
    close(py, active, result);
    Answer::Outcome(outcome)
}

/// A copy of the body if it is one short block in a list or tuple, and nothing was sent before it.
fn whole_block(py: Attached, active: &Active, result: &Ref) -> Option<Vec<u8>> {
    // Who is told of the request's end is told after the client has the body.
    if events::are_wanted(py) {
        return None;
    }
    let item = py.only_item(result)?;
    let block = py.as_bytes(&item).filter(|block| block.len() <= LONGEST_COPY)?;
    let is_first = active.with(py, |walk| walk.reply.has_head() && !walk.reply.is_head_sent()).unwrap_or(false);
    is_first.then(|| block.to_vec())
}

fn deliver(py: Attached, active: &Active, result: &Ref) -> Delivery {
    if let Some(item) = py.only_item(result) {
        return send_block(py, active, &item, true).err().unwrap_or(Delivery::Done);
    }
    if !py.is_plain_sequence(result) {
        match send_file(py, active, result) {
            Ok(true) => return Delivery::Done,
            Ok(false) => {}
            Err(delivery) => return delivery,
        }
    }
    iterate(py, active, result)
}

fn iterate(py: Attached, active: &Active, result: &Ref) -> Delivery {
    let iterator = match py.iterator(result) {
        Ok(iterator) => iterator,
        Err(raised) => return Delivery::Raised(raised, "iteration"),
    };
    loop {
        let next = py.next(&iterator);
        leave_if_forked(py, active, next.is_err());
        match next {
            Ok(Some(item)) => {
                if let Err(delivery) = send_block(py, active, &item, false) {
                    return delivery;
                }
            }
            Ok(None) => return Delivery::Done,
            Err(raised) => return Delivery::Raised(raised, "iteration"),
        }
    }
}

fn send_block(py: Attached, active: &Active, item: &Ref, is_whole: bool) -> Result<(), Delivery> {
    let Some(block) = py.as_bytes(item) else {
        let text = format!("response iterable must yield bytes, not {}", py.type_name(item));
        return Err(Delivery::Raised(py.raise(Class::Type, &text), "iteration"));
    };
    if block.is_empty() && !is_whole {
        return Ok(());
    }
    let sent = active.detached(py, |walk| match is_whole {
        true => walk.reply.send_whole(walk.exchange, block),
        false => walk.reply.send(walk.exchange, block),
    });
    sent.unwrap_or(Ok(())).map_err(|error| failed(py, error))
}

fn failed(py: Attached, error: SendError) -> Delivery {
    match error {
        SendError::NoHead => Delivery::Raised(raise_send_error(py, &error), "iteration"),
        SendError::Write(WriteError::ClientGone) => Delivery::ClientGone,
        SendError::Write(error) => Delivery::Broken(undelivered_text(&error)),
    }
}

/// Sends a `wsgi.file_wrapper` of a regular file as the file; false if it must be iterated.
fn send_file(py: Attached, active: &Active, result: &Ref) -> Result<bool, Delivery> {
    let raised = |raised| Delivery::Raised(raised, "iteration");
    let support = &py.interpreter().support;
    if !py.is_instance(result, &support.file_wrapper).map_err(raised)? {
        return Ok(false);
    }
    let may = active.with(py, |walk| walk.reply.has_head() && !walk.reply.has_body()).unwrap_or(false);
    if !may {
        return Ok(false);
    }
    let range = py.call(&support.file_range, [result]).map_err(raised)?;
    let Some((file, offset, length)) = file_range(py, &range).map_err(raised)? else { return Ok(false) };
    let declared = active.with(py, |walk| walk.reply.declared_length()).ok().flatten();
    // More was declared than the file has: sent by pieces, so that the response is seen to be short.
    if declared.is_some_and(|declared| declared > length) {
        return Ok(false);
    }
    let length = declared.unwrap_or(length);
    // SAFETY: the descriptor belongs to the file object that `result` holds, which is closed only by
    // `close()` after the delivery.
    let file = unsafe { BorrowedFd::borrow_raw(file) };
    let sent = active.detached(py, |walk| walk.reply.send_file(walk.exchange, file, offset, length));
    sent.unwrap_or(Ok(())).map_err(|error| failed(py, error))?;
    Ok(true)
}

/// The tuple of `file_range()`: descriptor, offset and length in bytes.
fn file_range(py: Attached, range: &Ref) -> Result<Option<(i32, u64, u64)>, Raised> {
    // SAFETY: attached, live object; a tuple's items are borrowed and taken over.
    let items = unsafe {
        if ffi::PyTuple_Check(range.as_ptr()) == 0 || ffi::PyTuple_Size(range.as_ptr()) != 3 {
            return Ok(None);
        }
        [0, 1, 2].map(|index| Ref::borrowed(ffi::PyTuple_GetItem(range.as_ptr(), index)))
    };
    let [file, offset, length] = [py.as_long(&items[0])?, py.as_long(&items[1])?, py.as_long(&items[2])?];
    Ok(i32::try_from(file)
        .ok()
        .filter(|file| *file >= 0)
        .zip(u64::try_from(offset).ok())
        .zip(u64::try_from(length).ok())
        .map(|((file, offset), length)| (file, offset, length)))
}

fn end(py: Attached, active: &Active) -> Outcome {
    let ended = active.detached(py, |walk| {
        let ended = walk.reply.end(walk.exchange);
        (ended, walk.reply.missing())
    });
    match ended {
        Err(_) => Outcome::Incomplete,
        Ok((Ok(Outcome::Incomplete), missing)) => {
            active.log(py, Level::Error, short_text(missing).as_bytes());
            Outcome::Incomplete
        }
        Ok((Ok(outcome), _)) => outcome,
        Ok((Err(SendError::NoHead), _)) => {
            let raised = raise_send_error(py, &SendError::NoHead);
            fail(py, active, raised, "iteration")
        }
        Ok((Err(SendError::Write(WriteError::ClientGone)), _)) => Outcome::Complete,
        Ok((Err(SendError::Write(error)), _)) => {
            active.log(py, Level::Info, undelivered_text(&error).as_bytes());
            Outcome::Incomplete
        }
    }
}

/// Calls the iterable's `close()`, if it has one, whatever happened before (PEP 3333, "Specification
/// Details").
fn close(py: Attached, active: &Active, result: &Ref) {
    if py.is_plain_sequence(result) {
        return;
    }
    let closed = match py.attribute(result, &py.interpreter().names.close) {
        Ok(close) => py.call(&close, []),
        Err(Raised) if py.is_attribute_error_set() => {
            py.clear_exception();
            return;
        }
        Err(raised) => {
            active.log(py, Level::Error, b"WSGI0194: looking up the response's close attribute failed");
            Err(raised)
        }
    };
    leave_if_forked(py, active, closed.is_err());
    if let Err(raised) = closed {
        report(py, raised, "close");
    }
}

/// Ends a process that the application forked and that has come back from the application: it is no
/// child of httpd's, and the request is its parent's to answer.
///
/// The exit status is that of a program which ends the same way: 0, or the code of a SystemExit, or 1.
pub(super) fn leave_if_forked(py: Attached, active: &Active, has_raised: bool) {
    if !process::is_forked() {
        return;
    }
    let status = if has_raised { exit_status(py) } else { 0 };
    let line = format!(
        "WSGI0309: a process that the application forked has come back from it; ending that process (exit status {status})"
    );
    active.log(py, Level::Error, line.as_bytes());
    // SAFETY: _exit ends the process without running anything of httpd's, which is the parent's.
    unsafe { libc::_exit(status) }
}

fn exit_status(py: Attached) -> i32 {
    let exception = py.take_exception(Raised);
    let code = py.interned(c"code").and_then(|code| py.attribute(&exception, &code));
    match code {
        Ok(code) if code.as_ptr() == py.none().as_ptr() => 0,
        Ok(code) => py.as_long(&code).map_or(1, |status| status as i32 & 0xff),
        // Not a SystemExit.
        Err(Raised) => 1,
    }
}

/// Reports an exception and says how the request ends by it.
pub(super) fn fail(py: Attached, active: &Active, raised: Raised, stage: &str) -> Outcome {
    let (outcome, is_client_gone) = active
        .with(py, |walk| (walk.reply.outcome_of_failure(), walk.reply.is_client_gone()))
        .unwrap_or((Outcome::Incomplete, true));
    let exception = py.take_exception(raised);
    // write() told the application by an OSError that the client has left; that it came back is no news.
    if is_client_gone && py.is_os_error(&exception) {
        return Outcome::Complete;
    }
    if outcome == Outcome::Status(500) && is_request_timeout(py, &exception) {
        active.note(|course| course.status = 504);
        active.log(py, Level::Info, b"Request interrupted by RequestTimeout; answering 504");
        return Outcome::Status(504);
    }
    if let Outcome::Status(status) = outcome {
        active.note(|course| course.status = status);
    }
    report_exception(py, &exception, stage);
    outcome
}

/// Whether it is what a request that ran too long is interrupted by.
fn is_request_timeout(py: Attached, exception: &Ref) -> bool {
    py.is_instance(exception, &py.interpreter().support.request_timeout).unwrap_or_else(|Raised| {
        py.clear_exception();
        false
    })
}

fn report(py: Attached, raised: Raised, stage: &str) {
    let exception = py.take_exception(raised);
    report_exception(py, &exception, stage);
}

fn report_exception(py: Attached, exception: &Ref, stage: &str) {
    log_exception(py, exception, stage);
    if !is_request_timeout(py, exception) {
        events::raised(py, exception);
    }
}

/// Logs an exception with its traceback; `stage` is where it came from.
pub(super) fn log_exception(py: Attached, exception: &Ref, stage: &str) {
    let reported = py.text(stage).and_then(|stage| py.call(&py.interpreter().support.report, [exception, &stage]));
    if reported.is_err() {
        // report() never raises; out of memory there is nothing left to tell it with.
        py.clear_exception();
    }
}

pub(super) fn short_text(missing: u64) -> String {
    format!("WSGI0308: the application's response is {missing} bytes short of its own Content-Length")
}

pub(super) fn undelivered_text(error: &WriteError) -> String {
    format!("response cannot be delivered: {error}")
}
