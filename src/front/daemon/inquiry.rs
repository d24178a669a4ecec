//! A question to a script in a process group, over the connections that requests use (docs/access.md).

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use gateway::{Answer, Asker, Flow, Level, Outcome, ReadError, RequestLog, Subject, WriteError};

use super::client::{Client, HeadError};
use super::dispatch::{End, Order, deliver};
use super::group::Group;
use super::httpd_client::HALF_CLOSE;
use super::relay::Message;
use crate::apache::{Request, log_line};
use crate::codes;
use crate::front::journal::Journal;

/// What is to be asked.
pub(in crate::front) struct Inquiry<'a> {
    /// Path of the script.
    pub(in crate::front) script: &'a [u8],
    pub(in crate::front) subject: Subject,
    pub(in crate::front) application_group: &'a [u8],
    /// A client chose that name.
    pub(in crate::front) is_open: bool,
    /// For all of it; zero is no limit of its own.
    pub(in crate::front) time_limit: Duration,
    /// The block.
    pub(in crate::front) question: &'a [u8],
}

/// Has a worker of the group answer. Whatever stands in the way is logged.
pub(in crate::front) fn ask(
    request: Request<'_>,
    asker: &mut dyn Asker,
    group: &Group,
    inquiry: &Inquiry<'_>,
) -> Answer {
    let name = group.terms.name.escape_ascii();
    let (script, function) = (inquiry.script.escape_ascii(), inquiry.subject.functions()[0]);
    if group.terms.is_service {
        log_line!(request, Error, codes::SERVICE; "daemon process '{name}' has threads=0 and cannot be asked for {function}() of {script}");
        return Answer::Failed;
    }
    if let Some(owner) = group.terms.script_owner
        && let Err(fault) = owner.check(inquiry.script)
    {
        log_line!(request, Error, owner.code(); "script is not to be run by daemon process '{name}': {fault}; what it was asked has no answer");
        return Answer::Failed;
    }
    let mut client = Questioner { request, asker, script: inquiry.script, answer: None };
    let limit = Some(inquiry.time_limit).filter(|limit| !limit.is_zero());
    let order = Order {
        application_group: inquiry.application_group,
        is_open: inquiry.is_open,
        message: Message {
            head: inquiry.question,
            has_body: false,
            early: b"",
            is_early_whole: false,
            is_question: true,
            time_limit: limit.map(|limit| (Instant::now() + limit, limit)),
        },
    };
    match deliver(group, &mut client, order) {
        Ok(End::Done(Outcome::Complete)) => client.answer.unwrap_or(Answer::Failed),
        // The worker has said why.
        Ok(End::Done(Outcome::Status(_))) => Answer::Failed,
        Ok(End::Done(Outcome::Incomplete)) => {
            log_line!(request, Error, codes::MALFORMED; "daemon process '{name}' ended without an answer when it was asked for {function}() of {script}");
            Answer::Failed
        }
        Ok(End::Abandoned) => Answer::Failed,
        Err(failure) => {
            match failure.code() {
                Some(code) => {
                    log_line!(request, Error, code; "daemon process '{name}' was asked for {function}() of {script}: {failure}; there is no answer");
                }
                None => log_line!(request, Info, "daemon process '{name}' was asked for {function}(): {failure}"),
            }
            Answer::Failed
        }
    }
}

/// httpd's request as far as a question needs it.
struct Questioner<'r> {
    request: Request<'r>,
    asker: &'r mut dyn Asker,
    script: &'r [u8],
    answer: Option<Answer>,
}

impl Client for Questioner<'_> {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.request.client_socket()
    }

    fn is_gone(&self) -> bool {
        self.request.is_aborted()
    }

    fn patience(&self) -> Duration {
        self.request.timeout()
    }

    fn grace(&self) -> Duration {
        HALF_CLOSE
    }

    fn read(&mut self, _buf: &mut [u8]) -> Result<Option<usize>, ReadError> {
        Ok(Some(0))
    }

    fn is_read(&self) -> bool {
        true
    }

    fn start(&mut self, _head: &[u8]) -> Result<(), HeadError> {
        Err(HeadError::Malformed("a response to a question".to_owned()))
    }

    fn write(&mut self, _piece: &[u8], _flow: Flow) -> Result<(), WriteError> {
        Ok(())
    }

    fn log(&self, level: Level, line: &[u8]) {
        Journal { request: self.request, script: self.script }.log(level, line);
    }

    fn variable(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        self.asker.variable(name)
    }

    fn answer(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }
}
