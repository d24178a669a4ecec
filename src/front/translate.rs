//! From URL to script: `WSGIScriptAlias` and `WSGIScriptAliasMatch`.

use crate::apache::{Answer, Request};
use crate::config::find_alias;

/// The handler name that aliases set, and that `SetHandler` and `AddHandler` may name.
pub(crate) const SCRIPT_HANDLER: &std::ffi::CStr = c"wsgi-script";

/// The note by which httpd's own script aliases say that no `Options ExecCGI` is needed.
pub(crate) const FORCED_TYPE: &std::ffi::CStr = c"alias-forced-type";

/// Maps the request if an alias matches.
///
/// Source: spec of `WSGIScriptAlias` in docs/directives.md; httpd's translate_name hook.
pub(crate) fn translate(request: Request<'_>) -> Answer {
    let Some(mapped) = find_alias(request.server().settings(), request.uri()) else {
        return Answer::Declined;
    };
    request.set_filename(request.pool().copy(&mapped.filename));
    request.set_handler(SCRIPT_HANDLER);
    request.notes().set(FORCED_TYPE, SCRIPT_HANDLER);
    request.set_alias(mapped.alias);
    Answer::Ok
}
