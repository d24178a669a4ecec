//! From URL to script: `WSGIScriptAlias` and `WSGIScriptAliasMatch`, and from there to the file.

use crate::apache::{Answer, Request};
use crate::config::{SCRIPT_HANDLER, find_alias};

/// The note by which httpd's own script aliases say that no `Options ExecCGI` is needed.
pub(crate) const FORCED_TYPE: &std::ffi::CStr = c"alias-forced-type";

/// Maps the request if an alias matches.
///
/// Source: docs/directives/WSGIScriptAlias.md; httpd's translate_name hook.
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

/// Has httpd look up the script and not the script with the rest of the URL behind it.
///
/// The core finds out how much of a path is a file by looking at each directory from the root on, for every request. That
/// an alias's target is a file needs one look; then the core walks the same directories for their sections and
/// `.htaccess`, and checks symbolic links where links are not allowed, but looks at none of them for its own sake.
///
/// Source: httpd `core_map_to_storage` (server/core.c).
pub(crate) fn map_to_storage(request: Request<'_>) -> Answer {
    let rest = request.alias().and_then(|alias| alias.rest_behind_file(request.filename()));
    match rest {
        Some(rest) => request.look_up_file(rest.len()).unwrap_or(Answer::Declined),
        None => Answer::Declined,
    }
}
