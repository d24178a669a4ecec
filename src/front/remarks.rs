//! What the parent says of a configuration that httpd accepts and that can hardly mean what it says: once, when httpd
//! starts or is asked for a configtest, so that no child has to say it.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use gateway::bootstrap::{OWN_GIL_LAST, OWN_GIL_SINCE};

use crate::apache::{Log, Server, log_line};
use crate::codes;
use crate::config::{self, Import, PythonSettings, Remark, ServerWritten, Site};

/// Logs what is odd about single lines, and about how they go together.
pub(super) fn log_lines(server: Server<'_>) {
    for remark in server.all().flat_map(|server| ServerWritten::remarks(server.settings())) {
        if remark.only_with.as_deref().is_none_or(|file| path(file).exists()) {
            log(server, remark);
        }
    }
    let sites: Vec<Site<'_>> = server.all().map(Server::site).collect();
    for remark in config::remarks(&sites) {
        log(server, &remark);
    }
}

fn log(server: Server<'_>, remark: &Remark) {
    if server.is_logged(remark.level) {
        server.write(remark.level, format!("{}: {}", remark.code, remark.text).as_bytes());
    }
}

/// Logs that slow requests are told to nobody.
pub(super) fn log_telemetry(server: Server<'_>, settings: &PythonSettings) {
    if settings.slow_requests.is_some() && settings.telemetry.is_none() {
        log_line!(server, Warning, codes::NO_COLLECTOR; "WSGISlowRequests has no effect without WSGITelemetryService, which says where slow requests are told; add it, or take WSGISlowRequests out");
    }
}

/// Logs which entries of `WSGIPythonPath` are not there.
pub(super) fn log_python_path(server: Server<'_>, settings: &PythonSettings) {
    for entry in settings.path_entries().filter(|entry| is_missing(path(entry))) {
        log_line!(server, Warning, codes::NO_PATH_ENTRY; "WSGIPythonPath names {}, which is not there, so modules are not found in it; correct it or take it out", path(entry).display());
    }
}

/// Logs if interpreters are to have a GIL of their own and this Python has none for them.
pub(super) fn log_own_gils(server: Server<'_>, settings: &PythonSettings, version: &str) {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if settings.asks_for_own_gils() && !(OWN_GIL_SINCE..=OWN_GIL_LAST).contains(&found) {
        let (since, last) = (OWN_GIL_SINCE, OWN_GIL_LAST);
        log_line!(server, Warning, codes::NO_OWN_GIL; "WSGIPerInterpreterGIL has no effect with Python {version}: interpreters get a GIL of their own with {}.{} to {}.{}; they share one", since.0, since.1, last.0, last.1);
    }
}

/// Logs which of the scripts to be loaded at start cannot be, and gives them.
pub(super) fn log_imports(server: Server<'_>, imports: Vec<Import>) -> Vec<Import> {
    let mut impossible = Vec::new();
    for import in imports {
        let Some(why) = why_not_loaded(&import.script) else { continue };
        log_line!(server, Error, codes::NO_IMPORT; "{}: the script {} cannot be loaded when a process starts, since it {why}; everything else is served", import.line, path(&import.script).display());
        impossible.push(import);
    }
    impossible
}

/// Why there is no use in trying to load a script, as the end of a sentence; `None` if there may be.
pub(super) fn why_not_loaded(script: &[u8]) -> Option<&'static str> {
    let script = path(script);
    if is_missing(script) {
        return Some("is not there: correct the path, or put the script there and reload httpd");
    }
    script.is_dir().then_some("is a directory: leave process-group= or application-group= out")
}

/// Whether nothing is there: not, whether it can be looked at.
fn is_missing(path: &Path) -> bool {
    path.metadata().is_err_and(|err| matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
