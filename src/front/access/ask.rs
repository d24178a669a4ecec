//! Puts one question to a script: from the cache if it has the answer, else in this child or in a process group.

use std::ffi::c_void;

use gateway::{Answer, Asker, Subject};
use wire::secret::wipe;
use wire::{Facts, Question, flags};

use super::cache::{self, Key};
use super::environ::write_head;
use crate::apache::{Request, log_line};
use crate::codes;
use crate::config::{AskedScript, Settled};
use crate::front::daemon::{self, Inquiry};
use crate::front::environ::log_level;
use crate::front::handler::find_group;
use crate::front::journal::Journal;
use crate::front::names::RequestNames;
use crate::front::python;
use crate::front::target::modified_us;

/// Where a script is asked, as one request has it.
pub(in crate::front) struct Place<'a> {
    pub(in crate::front) script: &'a AskedScript,
    pub(in crate::front) application_group: Vec<u8>,
    pub(in crate::front) facts: Facts,
    /// A script in this child gets httpd's own request.
    passes_request: bool,
}

impl<'a> Place<'a> {
    pub(in crate::front) fn of(request: Request<'a>, script: &'a AskedScript) -> Place<'a> {
        let settings = Settled::of(request.server().settings(), request.directory_settings());
        let mut bits = 0;
        let mut set = |on: bool, bit: u32| bits |= if on { bit } else { 0 };
        set(settings.script_reloading(), flags::RELOADING);
        set(script.has_open_group(), flags::OPEN_GROUP);
        let mut facts =
            Facts { script_mtime_us: modified_us(&script.file), request_start_us: request.time_us(), flags: bits };
        facts.set_log_level(log_level(request));
        let application_group = script.application_group(&RequestNames::of(request));
        Place { script, application_group, facts, passes_request: settings.pass_apache_request() }
    }
}

/// Asks a script of the site about access, passwords or groups.
pub(super) fn ask(request: Request<'_>, script: &AskedScript, subject: Subject, arguments: [&[u8]; 2]) -> Answer {
    let place = Place::of(request, script);
    let head = match write_head(request, &place) {
        Ok(head) => head,
        Err(error) => return cannot_write(request, &error),
    };
    let mut whoever = Whoever::of(request, &place);
    // httpd's own request says more than a key can hold.
    if script.cache.is_zero() || whoever.shows_request {
        return put(&mut whoever, &place, subject, arguments, &head);
    }
    let key = Key::of(request, &place, subject, arguments, &head);
    if let Some(answer) = cache::find(&key) {
        return answer;
    }
    let answer = put(&mut whoever, &place, subject, arguments, &head);
    if !whoever.has_shown_tls {
        cache::keep(key, &answer, script.cache);
    }
    answer
}

/// Asks with an environ that is written already.
pub(in crate::front) fn ask_with_head(
    request: Request<'_>,
    place: &Place<'_>,
    subject: Subject,
    arguments: [&[u8]; 2],
    head: &[u8],
) -> Answer {
    put(&mut Whoever::of(request, place), place, subject, arguments, head)
}

fn put(whoever: &mut Whoever<'_>, place: &Place<'_>, subject: Subject, arguments: [&[u8]; 2], head: &[u8]) -> Answer {
    let request = whoever.request;
    let mut block = Wiped(Vec::new());
    let question = Question { subject, is_tls: request.is_tls(), script: &place.script.file, arguments, head };
    if let Err(error) = question.write(&mut block.0) {
        return cannot_write(request, &error);
    }
    let answer = match place.script.process_group.is_empty() {
        true => ask_here(whoever, place, &block.0),
        false => ask_elsewhere(whoever, place, subject, &block.0),
    };
    answer.about(subject)
}

fn cannot_write(request: Request<'_>, error: &wire::Error) -> Answer {
    log_line!(request, Error, codes::HEAD_TOO_LARGE; "cannot pass the request on to a script that is to be asked: {error}");
    Answer::Failed
}

fn ask_here(whoever: &mut Whoever<'_>, place: &Place<'_>, block: &[u8]) -> Answer {
    let request = whoever.request;
    let script = &place.script.file;
    let host = match python::host() {
        Ok(host) => host,
        Err(reason) => {
            log_line!(request, Error, codes::NO_PYTHON; "Python was not initialised in this process, so the script {} cannot be asked: {reason}", script.escape_ascii());
            return Answer::Failed;
        }
    };
    let answer = host.ask(whoever, &Journal { request, script }, block);
    match wire::parse_answer(&answer) {
        Ok(answer) => answer,
        Err(error) => {
            log_line!(request, Critical, codes::PANIC; "internal error: no answer from the script {}: {error}", script.escape_ascii());
            Answer::Failed
        }
    }
}

/// Who asks, and what has been shown of the request beyond the question.
struct Whoever<'r> {
    request: Request<'r>,
    /// The script gets httpd's own request.
    shows_request: bool,
    /// The script has looked into the client's TLS connection.
    has_shown_tls: bool,
}

impl<'r> Whoever<'r> {
    fn of(request: Request<'r>, place: &Place<'_>) -> Whoever<'r> {
        let shows_request = place.passes_request && place.script.process_group.is_empty();
        Whoever { request, shows_request, has_shown_tls: false }
    }
}

impl Asker for Whoever<'_> {
    fn variable(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        self.has_shown_tls = true;
        self.request.tls_variables().variable(name)
    }

    fn request_rec(&self) -> *mut c_void {
        if self.shows_request { self.request.address() } else { std::ptr::null_mut() }
    }
}

fn ask_elsewhere(whoever: &mut Whoever<'_>, place: &Place<'_>, subject: Subject, block: &[u8]) -> Answer {
    let request = whoever.request;
    let group = match find_group(request, &place.script.process_group) {
        Ok(group) => group,
        Err(no) => {
            let script = place.script.file.escape_ascii();
            log_line!(request, Error, no.code; "{}, so the script {script} cannot be asked", no.what);
            return Answer::Failed;
        }
    };
    let inquiry = Inquiry {
        script: &place.script.file,
        subject,
        application_group: &place.application_group,
        is_open: place.script.has_open_group(),
        time_limit: place.script.time_limit,
        question: block,
    };
    daemon::ask(request, whoever, group, &inquiry)
}

/// Memory that may hold a password, overwritten when it is let go of.
struct Wiped(Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}
