//! The door itself: from httpd's request to a relayed one, and from its end to what httpd is told.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway::Outcome;

use super::client::Client;
use super::dispatch::{End, Order, deliver};
use super::failure::Failure;
use super::group::Group;
use super::httpd_client::HttpdClient;
use super::relay::Message;
use crate::apache::{Answer, Request, log_line};
use crate::codes;
use crate::front::environ;
use crate::front::target::Target;

/// Longest body that is sent with the head, bytes.
const EARLY_LIMIT: u64 = 64 << 10;

/// Has a worker of the group answer the request, and says what httpd is to make of it.
///
/// # Errors
/// `wire::Error` if the request does not fit: its environment is over 16 MiB.
pub(in crate::front) fn serve(request: Request<'_>, target: &Target<'_>, group: &Group) -> Result<Answer, wire::Error> {
    if let Err(status) = check(request, target, group) {
        return Ok(Answer::Status(status));
    }
    let mut client = HttpdClient::new(request, &group.terms, target.settings.error_override());
    let early = take_early(request, &mut client);
    let head = environ::write_head(request, target, early.is_whole)?;
    let order = Order {
        application_group: &target.application_group,
        is_open: target.has_open_group,
        message: Message {
            head: &head,
            has_body: request.may_have_body(),
            early: &early.bytes,
            is_early_whole: early.is_whole,
            is_question: false,
            time_limit: None,
        },
    };
    let result = deliver(group, &mut client, order);
    client.restore_timeout();
    Ok(conclude(request, target, client, result))
}

fn check(request: Request<'_>, target: &Target<'_>, group: &Group) -> Result<(), u16> {
    let terms = &group.terms;
    if terms.is_service {
        log_line!(request, Error, codes::SERVICE; "daemon process '{}' has threads=0 and takes no requests; answering 503", terms.name.escape_ascii());
        return Err(503);
    }
    let Some(owner) = terms.script_owner else { return Ok(()) };
    owner.check(target.script(request)).map_err(|fault| {
        log_line!(request, Error, owner.code(); "script is not to be run by daemon process '{}': {fault}; answering 403", terms.name.escape_ascii());
        403
    })
}

/// What has come of a body that nobody has asked for.
#[derive(Default)]
struct Early {
    bytes: Vec<u8>,
    is_whole: bool,
}

/// Takes a short body that is here already, so that it need not be asked for. Nothing is taken where the first
/// read would mean something to the client (`Expect: 100-continue`).
fn take_early(request: Request<'_>, client: &mut HttpdClient<'_>) -> Early {
    let headers = request.headers();
    let length = headers.get(c"Content-Length").and_then(|text| gateway::response::parse_content_length(text).ok());
    let Some(length) = length.filter(|length| (1..=EARLY_LIMIT).contains(length)) else { return Early::default() };
    if headers.get(c"Expect").is_some() || headers.get(c"Transfer-Encoding").is_some() {
        return Early::default();
    }
    let mut early = Early { bytes: vec![0; length as usize], is_whole: false };
    let mut filled = 0;
    while filled < early.bytes.len() {
        match client.read(&mut early.bytes[filled..]) {
            Ok(Some(count @ 1..)) => filled += count,
            // An error is told when the worker asks: the body gives it again.
            Ok(_) | Err(_) => break,
        }
    }
    early.is_whole = filled == early.bytes.len();
    early.bytes.truncate(filled);
    early
}

fn conclude(
    request: Request<'_>,
    target: &Target<'_>,
    client: HttpdClient<'_>,
    result: Result<End, Failure>,
) -> Answer {
    let failure = match result {
        Ok(End::Done(outcome)) => return client.finish(outcome),
        Ok(End::Abandoned) => {
            log_line!(request, Info, "client left before the response was complete");
            return client.give_up();
        }
        Err(failure) => failure,
    };
    let group = target.process_group.escape_ascii();
    let status = failure.status();
    let subject = Subject(request, &failure);
    let Some(code) = failure.code() else {
        log_line!(request, Info, "daemon process '{group}': {failure}");
        return client.give_up();
    };
    if client.delivery.output.is_started() {
        log_line!(request, Error, code; "daemon process '{group}': {failure}{subject}");
        client.delivery.conclude(Outcome::Incomplete)
    } else {
        log_line!(request, Error, code; "daemon process '{group}': {failure}{subject}; answering {status}");
        client.delivery.fail(status)
    }
}

/// The request, at the end of a line about a process that did not finish it. Without its query, which may hold secrets.
struct Subject<'a>(Request<'a>, &'a Failure);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(request, failure) = self;
        if !failure.is_within_request() {
            return Ok(());
        }
        let (method, path) = (request.method().escape_ascii(), request.uri().escape_ascii());
        let now_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_micros());
        let age_us = now_us.saturating_sub(u128::from(request.time_us()));
        write!(f, "; the request, {method} {path}, was {:.1} s old", Duration::from_micros(age_us as u64).as_secs_f64())
    }
}
