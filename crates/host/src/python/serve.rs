//! The walk of a request through Python.

use std::ffi::c_void;
use std::sync::Arc;

use gateway::{Exchange, Key, Level, Outcome, RequestLog, WriteError};
use wire::{Entry, Facts, RequestHead, flags};

use super::active::{Active, Current, Origin, Walk};
use super::attach::{Attached, attach_in_turn};
use super::capsule::RequestCapsule;
use super::context::Entered;
use super::course::{Course, Used, now_us};
use super::delivery::{Answer, fail, leave_if_forked, respond, short_text, undelivered_text};
use super::object::{Raised, Ref};
use super::process::Inside;
use super::recording::{self, Busy};
use super::registry::{self, NoInterpreter};
use super::script::{NoApplication, Purpose, Wanted, application};
use super::{environ, events, input_type, meter, process, request_type, slow, worker};
use crate::input::Input;
use crate::measure;
use crate::reply::{Reply, SendError};

/// When a request reached a worker, µs since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arrival {
    /// httpd began to look for a worker.
    pub(super) queue_start_us: u64,
    /// The worker took it up.
    pub(super) daemon_start_us: u64,
}

/// Serves one exchange on the calling thread, which is attached to no interpreter. `arrival`: in a worker.
pub(super) fn serve(
    exchange: &mut dyn Exchange,
    log: &dyn RequestLog,
    block: &[u8],
    arrival: Option<Arrival>,
) -> Outcome {
    let head = match RequestHead::parse(block) {
        Ok(head) => head,
        Err(error) => {
            log.log(Level::Critical, format!("WSGI0300: malformed request head: {error}; answering 500").as_bytes());
            return Outcome::Status(500);
        }
    };
    serve_order(exchange, log, block, &head, Order::of(&head), arrival)
}

/// [`serve`] for a head that has been read, and with it the order; `block` is the head as it came.
pub(super) fn serve_order(
    exchange: &mut dyn Exchange,
    log: &dyn RequestLog,
    block: &[u8],
    head: &RequestHead<'_>,
    order: Order<'_>,
    arrival: Option<Arrival>,
) -> Outcome {
    let Some(_inside) = Inside::enter() else {
        log.log(Level::Info, b"the process is ending and takes no more requests; answering 503");
        return Outcome::Status(503);
    };
    let order = Order { request_rec: exchange.request_rec(), ..order };
    let interpreter = match registry::obtain(order.group, head.facts().has(flags::OPEN_GROUP)) {
        Ok(interpreter) => interpreter,
        Err(reason) => return refuse(log, order.group, reason),
    };
    let meter = meter::own();
    let busy = Busy::begin(meter);
    let course = Course {
        thread_id: meter.number.into(),
        request_start_us: head.facts().request_start_us,
        arrival,
        before: Used::if_measured(),
        ..Course::default()
    };
    let outer = slow::begin(meter, block, &course);
    let left = attach_in_turn(interpreter, |py| walk(py, exchange, log, head, &order, course));
    let Left { answer, mut walk, course } = left;
    let outcome = match (answer, &mut walk) {
        (Answer::Outcome(outcome), _) => outcome,
        (Answer::Whole(block), Some(walk)) => send_whole(walk, log, &block),
        (Answer::Whole(_), None) => Outcome::Incomplete,
    };
    recording::record(&course, walk.as_ref(), outcome, &busy);
    slow::end(meter, outer, &course, walk.as_ref(), outcome);
    outcome
}

/// What a head says of where to go and of what a worker tells of it, read in one walk through the head.
pub(super) struct Order<'h> {
    pub(super) group: &'h [u8],
    /// What is loaded: a handler script takes the place of the mapped file.
    pub(super) script: &'h [u8],
    pub(super) file: &'h [u8],
    callable: &'h [u8],
    pub(super) method: &'h [u8],
    pub(super) uri: &'h [u8],
    /// When httpd began to look for a worker, as the environ tells it.
    queue_start: &'h [u8],
    origin: Origin<'h>,
    /// httpd's request, if the application is to have it; else null.
    request_rec: *mut c_void,
}

impl<'h> Order<'h> {
    pub(super) fn of(head: &RequestHead<'h>) -> Self {
        let mut order = Order {
            group: b"",
            script: b"",
            file: b"",
            callable: b"application",
            method: b"",
            uri: b"",
            queue_start: b"",
            origin: Origin { id: b"", server_pid: b"" },
            request_rec: std::ptr::null_mut(),
        };
        for entry in head.entries().map_while(Result::ok) {
            let (place, value) = match entry {
                Entry::Known { key, value } => match key {
                    Key::ModWsgiApplicationGroup => (&mut order.group, value),
                    Key::ModWsgiHandlerScript => (&mut order.script, value),
                    Key::ScriptFilename => (&mut order.file, value),
                    Key::ModWsgiCallableObject => (&mut order.callable, value),
                    Key::RequestMethod => (&mut order.method, value),
                    Key::RequestUri => (&mut order.uri, value),
                    Key::ModWsgiRequestId => (&mut order.origin.id, value),
                    Key::ModWsgiServerPid => (&mut order.origin.server_pid, value),
                    _ => continue,
                },
                Entry::Named { name: b"mod_wsgi.queue_start", value } => (&mut order.queue_start, value),
                Entry::Named { .. } => continue,
            };
            *place = value;
        }
        if order.script.is_empty() {
            order.script = order.file;
        }
        order
    }

    /// When httpd began to look for a worker, µs since 1970, if the head says so.
    pub(super) fn queue_start_us(&self) -> Option<u64> {
        std::str::from_utf8(self.queue_start).ok()?.parse().ok()
    }
}

/// The file that is loaded for a request.
pub(super) fn script_path<'h>(head: &RequestHead<'h>) -> &'h [u8] {
    Order::of(head).script
}

/// What is left of a request when its thread has let go of Python.
struct Left {
    /// A body that is one block is still to be sent, for which the GIL need not be taken a second time.
    answer: Answer,
    walk: Option<Walk>,
    course: Course,
}

fn send_whole(walk: &mut Walk, log: &dyn RequestLog, block: &[u8]) -> Outcome {
    let Walk { exchange, reply, .. } = walk;
    exchange.will_end();
    let ended = reply.send_whole(*exchange, block).and_then(|()| reply.end(*exchange));
    match ended {
        Ok(Outcome::Incomplete) => {
            log.log(Level::Error, short_text(reply.missing()).as_bytes());
            Outcome::Incomplete
        }
        Ok(outcome) => outcome,
        Err(SendError::Write(WriteError::ClientGone)) => Outcome::Complete,
        Err(SendError::Write(error)) => {
            log.log(Level::Info, undelivered_text(&error).as_bytes());
            Outcome::Incomplete
        }
        // Checked while the exception could still be raised.
        Err(SendError::NoHead) => Outcome::Status(500),
    }
}

fn refuse(log: &dyn RequestLog, group: &[u8], reason: NoInterpreter) -> Outcome {
    let (status, text) = refusal(group, reason);
    log.log(Level::Error, format!("{text}; answering {status}").as_bytes());
    Outcome::Status(status)
}

/// The status for a request whose group has no interpreter, and the beginning of the log line.
pub(super) fn refusal(group: &[u8], reason: NoInterpreter) -> (u16, String) {
    let name = String::from_utf8_lossy(group);
    match reason {
        NoInterpreter::NotRunning => (500, "WSGI0210: Python does not run in this process".to_owned()),
        NoInterpreter::Failed => (500, format!("WSGI0103: application group '{name}' has no interpreter")),
        NoInterpreter::TooMany => (
            503,
            format!(
                "WSGI0307: application group '{name}' has a name that a client chose, and {} such groups have an interpreter \
                 in this process already; use an application group that clients cannot choose",
                registry::MOST
            ),
        ),
    }
}

fn walk(
    py: Attached,
    exchange: &mut dyn Exchange,
    log: &dyn RequestLog,
    head: &RequestHead<'_>,
    order: &Order<'_>,
    course: Course,
) -> Left {
    let _in_python = worker::note_python();
    // SAFETY: only the lifetime is stretched. The reference goes into `active` and is taken out by
    // `active.end()` below, also when this function unwinds (End), which waits for any thread that is
    // using it; what is given back is used up in `serve`, inside the exchange's life.
    let exchange: &'static mut dyn Exchange = unsafe { std::mem::transmute(exchange) };
    // SAFETY: only the lifetime is stretched: `active.end()` below forgets the log, also when this function unwinds (End),
    // and does so under the GIL, under which alone it is used.
    let log: &'static dyn RequestLog = unsafe { std::mem::transmute(log) };
    // SAFETY: only the lifetime is stretched: `active.end()` forgets these with the log, under the GIL, under which alone
    // they are used; the head that they lie in outlives this call.
    let origin: Origin<'static> = unsafe { std::mem::transmute(order.origin) };
    let reply = Reply::new(head.facts().has(flags::HEAD));
    let walk = Walk { exchange, reply, input: Input::default() };
    let active = Active::new(py.interpreter(), order.script, log, origin, course, walk);
    let _end = End { py, active: &active };
    match request_type::new(py, &active) {
        Ok(request) => {
            let _current = Current::set(py, &request);
            let _entered = Entered::new(py, &request);
            let answer = run(py, &active, &request, head, order);
            active.run_deferred(py);
            Left { answer, walk: active.end(py), course: active.course() }
        }
        Err(raised) => {
            let answer = Answer::Outcome(fail(py, &active, raised, "application"));
            Left { answer, walk: active.end(py), course: active.course() }
        }
    }
}

/// Ends the request when the walk is left, however it is.
pub(super) struct End<'a> {
    pub(super) py: Attached,
    pub(super) active: &'a Active,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        drop(self.active.end(self.py));
    }
}

/// A worker's script is loaded anew by another process, never in place.
pub(super) fn facts(head: &RequestHead<'_>) -> Facts {
    let mut facts = head.facts();
    if process::is_daemon() {
        facts.flags &= !flags::RELOADING;
    }
    facts
}

fn run(py: Attached, active: &Arc<Active>, request: &Ref, head: &RequestHead<'_>, order: &Order<'_>) -> Answer {
    let wanted = Wanted {
        path: order.script,
        callable: order.callable,
        resource: Some(order.file),
        purpose: Purpose::Request,
        facts: facts(head),
    };
    // First of all: what a script prints while it is loaded belongs to this request.
    let errors = match py.call(&py.interpreter().support.errors, [request]) {
        Ok(errors) => errors,
        Err(raised) => return Answer::Outcome(fail(py, active, raised, "application")),
    };
    active.set_errors(errors.clone_ref(py));
    let application = match application(py, active, &wanted) {
        Ok(application) => application,
        Err(NoApplication(status)) => return Answer::Outcome(Outcome::Status(status)),
    };
    let capsule = match RequestCapsule::new(py, order.request_rec) {
        Ok(capsule) => capsule,
        Err(raised) => return Answer::Outcome(fail(py, active, raised, "application")),
    };
    let result = call(py, active, request, &errors, head, application, capsule.as_ref());
    leave_if_forked(py, active, result.is_err());
    let answer = match result {
        Ok(result) => respond(py, active, &result),
        Err(raised) => Answer::Outcome(fail(py, active, raised, "application")),
    };
    events::finished(py, request);
    if let Some(capsule) = capsule {
        capsule.expire(py);
    }
    answer
}

fn call(
    py: Attached,
    active: &Arc<Active>,
    request: &Ref,
    errors: &Ref,
    head: &RequestHead<'_>,
    application: Ref,
    capsule: Option<&RequestCapsule>,
) -> Result<Ref, Raised> {
    let environ = environ::build(py, head)?;
    let names = &py.interpreter().names;
    py.dict_set(&environ, &names.wsgi_input, &input_type::new(py, active)?)?;
    py.dict_set(&environ, &names.wsgi_errors, errors)?;
    if let Some(capsule) = capsule {
        capsule.put_into(py, &environ)?;
    }
    let start_us = now_us();
    active.note(|course| course.application_start_us = start_us);
    if measure::is_on() {
        meter::own().note_call(start_us);
    }
    environ::add_times(py, &environ, active)?;
    let start_response = request_type::bind_start_response(py, request)?;
    let application = events::started(py, request, &environ, application)?;
    py.call(&application, [&environ, &start_response])
}
