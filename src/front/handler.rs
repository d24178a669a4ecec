//! The content handler: what is refused before Python is asked, and by which door the rest goes.

use super::daemon::{self, Group, NoGroup, Roster};
use super::route::dispatch;
use super::target::{Target, alias, resolve};
use super::translate::FORCED_TYPE;
use super::{embedded, environ};
use crate::apache::{Answer, FileKind, Request, Server, log_line};
use crate::codes;
use crate::config::{HandlerScript, NoDaemon, SCRIPT_HANDLER, SCRIPT_TYPE, Settled};

/// Answers a request for a WSGI script; declines any other.
pub(crate) fn handle(request: Request<'_>) -> Answer {
    let Some(kind) = Kind::of(request) else { return Answer::Declined };
    let (checked, handler) = match kind {
        Kind::Script => (check_script(request), None),
        Kind::Handler(handler) => (Ok(()), Some(handler)),
    };
    if let Err(status) = checked.and_then(|()| check_path_info(request)) {
        return Answer::Status(status);
    }
    let mut target = resolve(request, handler);
    let checked = check_body(request, &target.settings).and_then(|()| dispatch(request, &mut target));
    let door = match checked.and_then(|()| find_door(request, &target)) {
        Ok(door) => door,
        Err(status) => return Answer::Status(status),
    };
    log_line!(
        request,
        Debug,
        "{} runs '{}' of {} in application group '{}'",
        request.uri().escape_ascii(),
        target.callable.escape_ascii(),
        target.script(request).escape_ascii(),
        target.application_group.escape_ascii()
    );
    let answer = match door {
        Door::Embedded => {
            environ::write_head(request, &target, false).map(|head| embedded::serve(request, &target, &head))
        }
        Door::Daemon(group) => daemon::serve(request, &target, group),
    };
    answer.unwrap_or_else(|err| {
        log_line!(request, Error, codes::HEAD_TOO_LARGE; "cannot pass the request on: {err}; answering 500");
        Answer::Status(500)
    })
}

/// Where applications run.
enum Door<'a> {
    /// In this child.
    Embedded,
    /// In the workers of a group.
    Daemon(&'a Group),
}

/// What answers a request that is ours.
enum Kind<'r> {
    /// The file that the URL was mapped to.
    Script,
    /// The script behind the handler's name, whether there is a file or not.
    Handler(&'r HandlerScript),
}

impl<'r> Kind<'r> {
    fn of(request: Request<'r>) -> Option<Kind<'r>> {
        let name = request.handler()?;
        if name == SCRIPT_HANDLER.to_bytes() || name == SCRIPT_TYPE.as_bytes() {
            return Some(Kind::Script);
        }
        let settings = Settled::of(request.server().settings(), request.directory_settings());
        settings.handler_script(name).map(Kind::Handler)
    }
}

/// The checks that mod_cgi makes too, in its order.
fn check_script(request: Request<'_>) -> Result<(), u16> {
    let file = request.filename().escape_ascii();
    let is_aliased = request.notes().get(FORCED_TYPE) == Some(SCRIPT_HANDLER.to_bytes());
    if !is_aliased && !request.may_execute() {
        log_line!(request, Error, codes::EXEC_OFF; "Options ExecCGI is off in this directory: {file}; answering 403");
        return Err(403);
    }
    match request.file_kind() {
        FileKind::Missing => {
            // Nothing was joined to a target that is all there is of the name.
            let pitfall = alias(request).and_then(|alias| alias.joins_names_in(request.filename()));
            let reason = pitfall.map_or_else(String::new, |why| format!(" ({why})"));
            log_line!(request, Error, codes::SCRIPT_MISSING; "Target WSGI script not found or unable to stat: {file}{}{reason}; answering 404", request.path_info().escape_ascii());
            return Err(404);
        }
        FileKind::Directory => {
            log_line!(request, Error, codes::SCRIPT_DIRECTORY; "Attempt to invoke directory as WSGI application: {file}; answering 403");
            return Err(403);
        }
        FileKind::Other => {}
    }
    Ok(())
}

fn check_path_info(request: Request<'_>) -> Result<(), u16> {
    if request.rejects_path_info() && !request.path_info().is_empty() {
        let file = request.filename().escape_ascii();
        log_line!(request, Error, codes::PATH_INFO; "AcceptPathInfo off disallows the path after {file}; answering 404");
        return Err(404);
    }
    Ok(())
}

/// What can be known of the request body before it is read.
///
/// Source: httpd `ap_setup_client_block` makes the same checks in the same order.
fn check_body(request: Request<'_>, settings: &Settled<'_>) -> Result<(), u16> {
    let headers = request.headers();
    if let Some(coding) = headers.get(c"Transfer-Encoding") {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            log_line!(request, Error, codes::TRANSFER_CODING; "unexpected Transfer-Encoding '{}' in the request; answering 501", coding.escape_ascii());
            return Err(501);
        }
        if !settings.chunked_request() {
            log_line!(request, Error, codes::CHUNKED; "chunked request body, but WSGIChunkedRequest is not enabled here; answering 411");
            return Err(411);
        }
        return Ok(());
    }
    let Some(length) = headers.get(c"Content-Length") else { return Ok(()) };
    let Ok(length) = gateway::response::parse_content_length(length) else {
        log_line!(request, Error, codes::CONTENT_LENGTH; "Content-Length '{}' of the request is no number; answering 400", length.escape_ascii());
        return Err(400);
    };
    let limit = request.body_limit();
    if limit > 0 && length > limit {
        log_line!(request, Error, codes::BODY_TOO_LONG; "request body of {length} bytes is over LimitRequestBody {limit}; answering 413");
        return Err(413);
    }
    Ok(())
}

fn find_door<'a>(request: Request<'a>, target: &Target<'_>) -> Result<Door<'a>, u16> {
    let main = Server::main();
    let name = target.process_group.escape_ascii();
    if !target.settings.may_use(&target.process_group) {
        log_line!(request, Error, codes::GROUP_FORBIDDEN; "Daemon process called '{name}' is not in the allowed groups (WSGIRestrictProcess) here; answering 500");
        return Err(500);
    }
    if !target.process_group.is_empty() {
        return find_group(request, &target.process_group).map(Door::Daemon).map_err(|no| {
            log_line!(request, Error, no.code; "{}; answering {}", no.what, no.status);
            no.status
        });
    }
    let is_restricted =
        main.is_some_and(|main| Settled::of(main.settings(), request.directory_settings()).restrict_embedded());
    if is_restricted {
        log_line!(request, Error, codes::EMBEDDED_OFF; "Embedded mode of mod_wsgi disabled by WSGIRestrictEmbedded; answering 500");
        return Err(500);
    }
    Ok(Door::Embedded)
}

/// Why a process group cannot be had.
pub(super) struct NoDoor {
    pub(super) code: &'static str,
    pub(super) what: String,
    /// What a request for it is answered with.
    pub(super) status: u16,
}

/// The process group of this name, for the request's server.
pub(super) fn find_group<'a>(request: Request<'a>, group: &[u8]) -> Result<&'a Group, NoDoor> {
    let roster = Server::main().and_then(|main| main.fact::<Roster>());
    let name = group.escape_ascii();
    let why = match roster.map(|roster| roster.find(group, request.server())) {
        Some(Ok(group)) => return Ok(group),
        Some(Err(why)) => why,
        None => NoGroup::Undefined(NoDaemon::Missing),
    };
    Err(match why {
        NoGroup::Undefined(NoDaemon::Missing) => NoDoor {
            code: codes::NO_GROUP,
            what: format!("No WSGI daemon process called '{name}' has been configured"),
            status: 500,
        },
        NoGroup::Undefined(_) => NoDoor {
            code: codes::GROUP_ELSEWHERE,
            what: format!(
                "The WSGI daemon process '{name}' belongs to another virtual host and is not accessible here"
            ),
            status: 500,
        },
        NoGroup::Unusable => NoDoor {
            code: codes::GROUP_UNUSABLE,
            what: format!("process group '{name}' cannot run, for the reason in the error log from when httpd started"),
            status: 503,
        },
    })
}
