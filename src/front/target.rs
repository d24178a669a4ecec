//! What a request is to run: which script, which callable, in which group.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::names::RequestNames;
use super::translate::FORCED_TYPE;
use crate::apache::Request;
use crate::config::{
    Alias, HANDLER_CALLABLE, HandlerScript, SCRIPT_HANDLER, Settled, expand_application_group, expand_handler_group,
    expand_process_group, find_alias, is_open_group,
};

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
    /// The script of `WSGIHandlerScript` that answers; else the file that the URL was mapped to does.
    pub(super) handler: Option<&'r HandlerScript>,
}

impl<'r> Target<'r> {
    /// The file that is run.
    pub(super) fn script(&self, request: Request<'r>) -> &'r [u8] {
        self.handler.map_or_else(|| request.filename(), |handler| &handler.script)
    }

    /// When that file was last modified, µs since the epoch; 0 if it cannot be known here, or need not.
    pub(super) fn script_mtime_us(&self, request: Request<'_>) -> i64 {
        match self.handler {
            None => request.file_mtime_us(),
            Some(handler) if self.settings.script_reloading() => modified_us(&handler.script),
            Some(_) => 0,
        }
    }
}

/// When a file was last modified, µs since the epoch; 0 if it cannot be looked at, which who loads it explains.
pub(super) fn modified_us(file: &[u8]) -> i64 {
    let found = std::fs::metadata(OsStr::from_bytes(file));
    found.map_or(0, |file| file.mtime() * 1_000_000 + file.mtime_nsec() / 1000)
}

/// The alias that the request came by. httpd's fast internal redirects lose which one it was, but not that
/// it was one of ours.
pub(super) fn alias(request: Request<'_>) -> Option<&Alias> {
    request.alias().or_else(|| {
        let is_ours = request.notes().get(FORCED_TYPE) == Some(SCRIPT_HANDLER.to_bytes());
        is_ours.then(|| find_alias(request.server().settings(), request.uri())).flatten().map(|mapped| mapped.alias)
    })
}

/// Settles the target of a request that the handler has accepted, on behalf of a handler script if one is given.
pub(super) fn resolve<'r>(request: Request<'r>, handler: Option<&'r HandlerScript>) -> Target<'r> {
    let settings = Settled::of(request.server().settings(), request.directory_settings());
    let names = RequestNames::of(request);
    match handler {
        Some(handler) => of_handler(settings.handled_by(handler), handler, &names),
        None => of_file(settings, &names),
    }
}

fn of_file<'r>(settings: Settled<'r>, names: &RequestNames<'r>) -> Target<'r> {
    let alias = alias(names.request);
    let settings = match alias {
        Some(alias) => settings.mapped_by(alias),
        None => settings,
    };
    Target {
        settings,
        script_name: names.script_name,
        process_group: expand_process_group(settings.process_group(), names),
        application_group: expand_application_group(settings.application_group(), names),
        has_open_group: is_open_group(settings.application_group(), alias.is_some_and(Alias::is_pattern)),
        callable: settings.callable(names),
        handler: None,
    }
}

fn of_handler<'r>(settings: Settled<'r>, handler: &'r HandlerScript, names: &RequestNames<'r>) -> Target<'r> {
    let raw = settings.application_group();
    Target {
        settings,
        script_name: names.script_name,
        process_group: expand_process_group(settings.process_group(), names),
        application_group: expand_handler_group(raw, &handler.script, names),
        has_open_group: raw.is_some_and(|raw| is_open_group(Some(raw), true)),
        callable: Cow::Borrowed(HANDLER_CALLABLE),
        handler: Some(handler),
    }
}
