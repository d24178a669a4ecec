//! What somebody may do: `Require wsgi-group`, by `WSGIAuthGroupScript`.

use gateway::{Answer, Subject};

use super::ask::ask;
use crate::apache::{Authorization, Request, log_line};
use crate::codes;
use crate::config::Settled;

/// Whether the request's user is in one of these groups, which stand on a `Require` line; `is_inverted`: who is in none may be
/// let in for it.
pub(crate) fn check_groups(request: Request<'_>, wanted: &[u8], is_inverted: bool) -> Authorization {
    let Some(user) = request.user() else { return Authorization::NoUser };
    let settings = Settled::of(request.server().settings(), request.directory_settings());
    let (shown, uri) = (user.escape_ascii(), request.uri().escape_ascii());
    let Some(script) = settings.group_script() else {
        log_line!(request, Error, codes::NO_GROUP_SCRIPT; "Authorization of user '{shown}' to access '{uri}' failed: WSGIAuthGroupScript names no script here; access is denied");
        return Authorization::without_answer(is_inverted);
    };
    let Answer::Groups(groups) = ask(request, script, Subject::Groups, [user, b""]) else {
        return Authorization::without_answer(is_inverted);
    };
    if groups.is_empty() {
        log_line!(request, Error, codes::NO_GROUPS; "Authorization of user '{shown}' to access '{uri}' failed: the user is in no group; access is denied");
        return Authorization::Denied;
    }
    if request.words(wanted).iter().any(|wanted| groups.iter().any(|group| group.eq_ignore_ascii_case(wanted))) {
        return Authorization::Granted;
    }
    log_line!(request, Error, codes::WRONG_GROUPS; "Authorization of user '{shown}' to access '{uri}' failed: the user is in none of the required groups; access is denied");
    Authorization::Denied
}
