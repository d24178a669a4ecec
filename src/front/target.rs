//! What a request is to run: which script, which callable, in which group.

use std::borrow::Cow;

use gateway::environ::script_name;

use super::names::RequestNames;
use super::translate::{FORCED_TYPE, SCRIPT_HANDLER};
use crate::apache::{Request, Server};
use crate::config::{Alias, Settled, expand_application_group, expand_process_group, find_alias, is_open_group};

/// Where a request goes, settled.
pub(super) struct Target<'r> {
    pub(super) settings: Settled<'r>,
    /// URL path up to PATH_INFO.
    pub(super) script_name: &'r [u8],
    /// Empty: embedded.
    pub(super) process_group: Cow<'r, [u8]>,
    /// Empty: the main interpreter.
    pub(super) application_group: Cow<'r, [u8]>,
    /// Clients can make up such names.
    pub(super) has_open_group: bool,
    pub(super) callable: Cow<'r, [u8]>,
}

/// The alias that the request came by. httpd's fast internal redirects lose which one it was, but not that
/// it was one of ours.
pub(super) fn alias(request: Request<'_>) -> Option<&Alias> {
    request.alias().or_else(|| {
        let is_ours = request.notes().get(FORCED_TYPE) == Some(SCRIPT_HANDLER.to_bytes());
        is_ours.then(|| find_alias(request.server().settings(), request.uri())).flatten().map(|mapped| mapped.alias)
    })
}

/// Settles the target of a request that the handler has accepted.
pub(super) fn resolve(request: Request<'_>) -> Target<'_> {
    let settings = Settled::of(request.server().settings(), request.directory_settings());
    let alias = alias(request);
    let settings = match alias {
        Some(alias) => settings.mapped_by(alias),
        None => settings,
    };
    // Case sensitivity is a property of the machine's file system, so the main server's word counts.
    let case_sensitive =
        Server::main().is_none_or(|main| Settled::of(main.settings(), request.directory_settings()).case_sensitive());
    let script_name = script_name(request.uri(), request.path_info());
    let names = RequestNames { request, script_name, case_sensitive };
    Target {
        settings,
        script_name,
        process_group: expand_process_group(settings.process_group(), &names),
        application_group: expand_application_group(settings.application_group(), &names),
        has_open_group: is_open_group(settings.application_group(), alias.is_some_and(Alias::is_pattern)),
        callable: settings.callable(&names),
    }
}
