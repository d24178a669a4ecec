//! Whether a client is let in: `WSGIAccessScript`.

use gateway::{Answer, Subject};

use super::ask::ask;
use crate::apache::{self, Request, log_line};
use crate::codes;
use crate::config::Settled;

/// httpd's access_checker hook: before anybody is asked for a password.
pub(crate) fn check_host(request: Request<'_>) -> apache::Answer {
    let settings = Settled::of(request.server().settings(), request.directory_settings());
    let Some(script) = settings.access_script() else { return apache::Answer::Declined };
    match ask(request, script, Subject::Access, [request.client_name(), b""]) {
        Answer::Yes => apache::Answer::Ok,
        Answer::None => apache::Answer::Declined,
        _ => {
            // Where any of the two will do, httpd asks for a password now.
            if !request.may_log_in_instead() {
                log_line!(request, Error, codes::CLIENT_DENIED; "Client denied by server configuration: '{}' ({}); answering 403", request.filename().escape_ascii(), script.file.escape_ascii());
            }
            apache::Answer::Status(403)
        }
    }
}
