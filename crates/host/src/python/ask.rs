//! The walk of a question through Python: script, environ, function, answer (docs/access.md).

use std::ffi::c_void;
use std::sync::Arc;

use gateway::{Answer, Asker, Exchange, Flow, Key, Level, ReadError, RequestLog, Route, Subject, WriteError};
use pyo3::ffi;
use wire::{Question, RequestHead, flags};

use super::active::{self, Active, Current, Origin, Walk};
use super::attach::{Attached, attach_in_turn};
use super::capsule::RequestCapsule;
use super::context::Entered;
use super::course::Course;
use super::delivery::{leave_if_forked, log_exception};
use super::exception::Class;
use super::instance::{Arguments, Table, method};
use super::object::{Raised, Ref};
use super::process::Inside;
use super::script::{Purpose, Wanted, function};
use super::serve::{End, facts, refusal};
use super::{environ, registry, request_type, verdict, worker};
use crate::input::Input;
use crate::reply::Reply;

/// Puts a question to its script on the calling thread, which is attached to no interpreter. Whatever stands in the way
/// of an answer is logged.
pub(super) fn ask(asker: &mut dyn Asker, log: &dyn RequestLog, question: &Question<'_>) -> Answer {
    let Some(_inside) = Inside::enter() else {
        log.log(Level::Info, b"the process is ending and takes no more questions");
        return Answer::Failed;
    };
    let head = match RequestHead::parse(question.head) {
        Ok(head) => head,
        Err(error) => return malformed(log, &error),
    };
    let group = head.get(Key::ModWsgiApplicationGroup).unwrap_or_default();
    let interpreter = match registry::obtain(group, head.facts().has(flags::OPEN_GROUP)) {
        Ok(interpreter) => interpreter,
        Err(reason) => {
            let (_, text) = refusal(group, reason);
            let script = String::from_utf8_lossy(question.script);
            log.log(Level::Error, format!("{text}, so the script '{script}' cannot be asked").as_bytes());
            return Answer::Failed;
        }
    };
    attach_in_turn(interpreter, |py| walk(py, asker, log, question, &head)).about(question.subject)
}

/// The block of an answer; that of none, after a log line, if it is too long.
pub(super) fn written(answer: &Answer, log: &dyn RequestLog) -> Vec<u8> {
    let mut block = Vec::new();
    if wire::write_answer(answer, &mut block).is_err() {
        log.log(
            Level::Error,
            b"WSGI0402: the answer of the script has more than 256 KiB, so it cannot be passed on and counts as none",
        );
        // As short as a block can be.
        let _ = wire::write_answer(&Answer::Failed, &mut block);
    }
    block
}

/// The answer to a question that cannot be read.
pub(super) fn malformed(log: &dyn RequestLog, error: &wire::Error) -> Answer {
    log.log(Level::Critical, format!("WSGI0300: malformed question: {error}; it has no answer").as_bytes());
    Answer::Failed
}

fn walk(
    py: Attached,
    asker: &mut dyn Asker,
    log: &dyn RequestLog,
    question: &Question<'_>,
    head: &RequestHead<'_>,
) -> Answer {
    let _in_python = worker::note_python();
    let request_rec = asker.request_rec();
    let mut questioned = Questioned { asker, is_tls: question.is_tls };
    let exchange: &mut dyn Exchange = &mut questioned;
    // SAFETY: only the lifetime is stretched. The reference goes into `active` and is taken out by `active.end()` below,
    // also when this function unwinds (End), which waits for any thread that is using it; `questioned` lives longer.
    let exchange: &'static mut dyn Exchange = unsafe { std::mem::transmute(exchange) };
    // SAFETY: only the lifetime is stretched: `active.end()` forgets the log, also when this function unwinds (End), and
    // does so under the GIL, under which alone it is used.
    let log: &'static dyn RequestLog = unsafe { std::mem::transmute(log) };
    let walk = Walk { exchange, reply: Reply::new(false), input: Input::default() };
    // It is no request of the application's, so it has none of what those are known by.
    let (origin, course) = (Origin::default(), Course::default());
    let active = Active::new(py.interpreter(), question.script, log, origin, course, walk);
    let _end = End { py, active: &active };
    match request_type::new(py, &active) {
        Ok(request) => {
            let _current = Current::set(py, &request);
            let _entered = Entered::new(py, &request);
            let answer = with_capsule(py, request_rec, question.subject, |capsule| {
                put(py, &active, &request, question, head, capsule)
            });
            active.run_deferred(py);
            // Whatever the script has kept of the question raises from now on.
            drop(active.end(py));
            answer
        }
        Err(raised) => failed(py, raised, question.subject.functions()[0]),
    }
}

/// Asks while there is a capsule of httpd's request, if the script is to have one.
fn with_capsule(
    py: Attached,
    request_rec: *mut c_void,
    subject: Subject,
    ask: impl FnOnce(Option<&RequestCapsule>) -> Answer,
) -> Answer {
    let capsule = match RequestCapsule::new(py, request_rec) {
        Ok(capsule) => capsule,
        Err(raised) => return failed(py, raised, subject.functions()[0]),
    };
    let answer = ask(capsule.as_ref());
    if let Some(capsule) = capsule {
        capsule.expire(py);
    }
    answer
}

/// Asks each function of the subject.
fn put(
    py: Attached,
    active: &Arc<Active>,
    request: &Ref,
    question: &Question<'_>,
    head: &RequestHead<'_>,
    capsule: Option<&RequestCapsule>,
) -> Answer {
    let functions = question.subject.functions();
    let prepared = prepare(py, active, request, question, head).and_then(|environ| {
        capsule.map_or(Ok(()), |capsule| capsule.put_into(py, &environ))?;
        Ok(environ)
    });
    let environ = match prepared {
        Ok(environ) => environ,
        Err(raised) => return failed(py, raised, functions[0]),
    };
    if question.subject != Subject::Dispatch {
        return put_one(py, active, question, head, &environ, functions[0]).unwrap_or_else(|| {
            verdict::missing(py, active, question.subject);
            Answer::Failed
        });
    }
    let mut route = Route::default();
    let places = [&mut route.process_group, &mut route.application_group, &mut route.callable_object];
    for (name, place) in functions.iter().zip(places) {
        match put_one(py, active, question, head, &environ, name) {
            None | Some(Answer::None) => {}
            Some(Answer::Text(text)) => *place = Some(text),
            Some(_) => return Answer::Failed,
        }
    }
    Answer::Route(route)
}

/// The answer of one function; `None` if the script has none of this name.
fn put_one(
    py: Attached,
    active: &Arc<Active>,
    question: &Question<'_>,
    head: &RequestHead<'_>,
    environ: &Ref,
    name: &str,
) -> Option<Answer> {
    let wanted = Wanted {
        path: question.script,
        callable: name.as_bytes(),
        resource: None,
        purpose: Purpose::Question,
        facts: facts(head),
    };
    // Why it cannot be loaded has been logged.
    let Ok(found) = function(py, &wanted) else { return Some(Answer::Failed) };
    let function = found?;
    let result = call(py, question, environ, &function);
    leave_if_forked(py, active, result.is_err());
    Some(match result {
        Ok(result) => verdict::of(py, active, question.subject, name, &result),
        Err(raised) => failed(py, raised, name),
    })
}

fn call(py: Attached, question: &Question<'_>, environ: &Ref, function: &Ref) -> Result<Ref, Raised> {
    let [first, second] = question.arguments;
    match question.subject.arguments() {
        0 => py.call(function, [environ]),
        1 => py.call(function, [environ, &py.latin1(first)?]),
        _ => py.call(function, [environ, &py.latin1(first)?, &py.latin1(second)?]),
    }
}

/// An exception that left a function is logged, and is no answer.
pub(super) fn failed(py: Attached, raised: Raised, function: &str) -> Answer {
    let exception = py.take_exception(raised);
    log_exception(py, &exception, function);
    Answer::Failed
}

/// `wsgi.errors` first, since what a script prints while it is loaded belongs to the question; then the environ.
fn prepare(
    py: Attached,
    active: &Arc<Active>,
    request: &Ref,
    question: &Question<'_>,
    head: &RequestHead<'_>,
) -> Result<Ref, Raised> {
    let errors = py.call(&py.interpreter().support.errors, [request])?;
    active.set_errors(errors.clone_ref(py));
    let environ = environ::of_question(py, head)?;
    py.dict_set(&environ, &py.interpreter().names.wsgi_errors, &errors)?;
    if question.subject != Subject::Dispatch {
        py.dict_set(&environ, &py.text("mod_ssl.is_https")?, &bind(&IS_HTTPS, request)?)?;
        py.dict_set(&environ, &py.text("mod_ssl.var_lookup")?, &bind(&VAR_LOOKUP, request)?)?;
    }
    Ok(environ)
}

fn bind(definition: &'static Table<ffi::PyMethodDef, 1>, request: &Ref) -> Result<Ref, Raised> {
    // SAFETY: attached; the definition is a static; the function takes a reference to the request.
    unsafe { Ref::owned(ffi::PyCFunction_NewEx(definition.as_ptr(), request.as_ptr(), std::ptr::null_mut())) }
}

static IS_HTTPS: Table<ffi::PyMethodDef, 1> =
    Table([method!(active::call, c"is_https", is_https, c"is_https(): 1 if the client's connection is TLS, else 0.")]);

static VAR_LOOKUP: Table<ffi::PyMethodDef, 1> = Table([method!(
    active::call,
    c"var_lookup",
    var_lookup,
    c"var_lookup(name): a variable of the client's TLS connection by mod_ssl's name for it, or None."
)]);

const EXPIRED: &str = "request object has expired";

fn is_https(py: Attached, active: &Arc<Active>, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    if !arguments.is_empty() {
        return Err(py.raise(Class::Type, &format!("is_https() takes no arguments ({} given)", arguments.len())));
    }
    let is_tls = active.with(py, |walk| walk.exchange.is_tls()).map_err(|_| py.raise(Class::Runtime, EXPIRED))?;
    py.long(i64::from(is_tls))
}

fn var_lookup(py: Attached, active: &Arc<Active>, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let [name] = arguments else {
        let text = format!("var_lookup() takes exactly one argument ({} given)", arguments.len());
        return Err(py.raise(Class::Type, &text));
    };
    // SAFETY: an argument is live during the call.
    let name = unsafe { Ref::borrowed(*name) };
    let name = match py.as_bytes(&name) {
        Some(bytes) => bytes.to_vec(),
        None if py.is_text(&name) => py.encoded_latin1(&name)?,
        None => {
            let text = format!("var_lookup() argument must be str or bytes, not {}", py.type_name(&name));
            return Err(py.raise(Class::Type, &text));
        }
    };
    let value = active.detached(py, |walk| walk.exchange.variable(&name));
    match value.map_err(|_| py.raise(Class::Runtime, EXPIRED))? {
        Some(value) => py.latin1(&value),
        None => Ok(py.none()),
    }
}

/// An exchange with nothing to read and nobody to write to: of a request that is not answered here.
struct Questioned<'a> {
    asker: &'a mut dyn Asker,
    is_tls: bool,
}

fn no_response() -> WriteError {
    WriteError::Failed("a question has no response".to_owned())
}

impl Exchange for Questioned<'_> {
    fn read(&mut self, _buf: &mut [u8]) -> Result<usize, ReadError> {
        Ok(0)
    }

    fn start(&mut self, _head: &[u8]) -> Result<(), WriteError> {
        Err(no_response())
    }

    fn write(&mut self, _piece: &[u8], _flow: Flow) -> Result<(), WriteError> {
        Err(no_response())
    }

    fn send_file(&mut self, _file: std::os::fd::BorrowedFd<'_>, _offset: u64, _length: u64) -> Result<(), WriteError> {
        Err(no_response())
    }

    fn is_client_gone(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        self.is_tls
    }

    fn variable(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        self.asker.variable(name)
    }
}
