//! Who somebody is: `WSGIAuthUserScript`, as the provider `wsgi` of httpd's own authentication modules.

use gateway::{Answer, Subject};

use super::ask::ask;
use crate::apache::{Authentication, Request, log_line};
use crate::codes;
use crate::config::{AskedScript, Settled};

/// Whether a password is the user's; for mod_auth_basic and mod_auth_form.
pub(crate) fn check_password(request: Request<'_>, user: &[u8], password: &[u8]) -> Authentication {
    let Some(script) = script(request, codes::NO_USER_SCRIPT) else { return Authentication::Failed };
    match ask(request, script, Subject::Password, [user, password]) {
        Answer::Yes => Authentication::Granted,
        Answer::No => Authentication::Denied,
        Answer::None => Authentication::Unknown,
        Answer::Text(name) => {
            request.set_user(request.pool().copy(&name));
            Authentication::Granted
        }
        _ => Authentication::Failed,
    }
}

/// What the user's password comes to in a realm; for mod_auth_digest.
pub(crate) fn realm_hash(request: Request<'_>, user: &[u8], realm: &[u8]) -> Authentication {
    let Some(script) = script(request, codes::NO_DIGEST_SCRIPT) else { return Authentication::Failed };
    match ask(request, script, Subject::RealmHash, [user, realm]) {
        Answer::Text(hash) => Authentication::Found(hash),
        Answer::None => Authentication::Unknown,
        _ => Authentication::Failed,
    }
}

fn script<'r>(request: Request<'r>, code: &'static str) -> Option<&'r AskedScript> {
    let settings = Settled::of(request.server().settings(), request.directory_settings());
    let script = settings.user_script();
    if script.is_none() {
        log_line!(request, Error, code; "the provider wsgi has no script to ask: WSGIAuthUserScript names none here; answering 500");
    }
    script
}
