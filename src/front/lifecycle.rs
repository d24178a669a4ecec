//! What happens when httpd starts, when a child starts, and when it ends.

use std::time::Duration;

use super::check::prefix;
use super::daemon::{self, Roster};
use super::python::{self, Embedding};
use super::{remarks, server_board};
use crate::apache::{Answer, Pool, Server, announce, is_preliminary_pass, log_line};
use crate::codes;
use crate::config::{Import, PythonSettings, imports_of};

/// How long a child that ends waits for its applications' exit functions and threads. httpd itself kills
/// children some seconds after it asked them to stop.
const EXIT_LIMIT: Duration = Duration::from_secs(5);

/// The configuration is complete: look for the Python that it names, and put the process groups into force. Parent
/// process only.
pub(crate) fn post_config(pool: Pool<'_>, server: Server<'_>) -> Answer {
    if is_preliminary_pass() {
        return Answer::Ok;
    }
    announce(pool, concat!("mod_wsgi_rs/", env!("CARGO_PKG_VERSION")));
    remarks::log_lines(server);
    remarks::log_telemetry(server, &PythonSettings::of(server.settings()));
    if let Some(embedding) = embedding(pool, server) {
        server.set_fact(embedding);
    }
    if let Some(prefix) = prefix(pool, server) {
        daemon::log_closed_way(server, &prefix);
        server.set_fact(Roster::establish(server, &prefix));
    }
    Answer::Ok
}

/// The Python for embedded applications; `None` if there are to be none.
fn embedding(pool: Pool<'_>, server: Server<'_>) -> Option<Embedding> {
    let settings = PythonSettings::of(server.settings());
    let imports = all_imports(server);
    let asks = server.all().any(|server| server.settings().asks_embedded());
    if settings.restrict_embedded.unwrap_or(false) && imports.is_empty() && !asks {
        return None;
    }
    remarks::log_python_path(server, &settings);
    let impossible = remarks::log_imports(server, imports);
    let embedding = Embedding::find(settings, impossible);
    match embedding.found() {
        Ok(found) => {
            announce(pool, &format!("Python/{}", found.version));
            remarks::log_own_gils(server, embedding.settings(), &found.version);
        }
        Err(reason) => {
            log_line!(server, Error, codes::PYTHON_UNUSABLE; "Python interpreter configuration failed: {reason}; embedded applications will answer 500, everything else is served");
        }
    }
    Some(embedding)
}

/// The configuration is only to be looked at (`httpd -t`): what would be said of it at start is said now, but for what
/// takes running the interpreter.
pub(crate) fn test_config(server: Server<'_>) {
    remarks::log_lines(server);
    remarks::log_telemetry(server, &PythonSettings::of(server.settings()));
    remarks::log_python_path(server, &PythonSettings::of(server.settings()));
    remarks::log_imports(server, all_imports(server));
    log_missing_interpreter(server);
    daemon::log_what_is_missing(server, prefix(server.process_pool(), server).as_deref());
}

/// The Python for embedded applications, as far as can be seen without running it.
fn log_missing_interpreter(server: Server<'_>) {
    let settings = PythonSettings::of(server.settings());
    if settings.restrict_embedded.unwrap_or(false) && all_imports(server).is_empty() {
        return;
    }
    if let Err(reason) = python::executable_of(&settings) {
        log_line!(server, Error, codes::PYTHON_UNUSABLE; "Python interpreter configuration failed: {reason}; embedded applications will answer 500, everything else is served");
    }
}

/// A child has started: prepare Python's start, and run the import scripts, if there are any.
pub(crate) fn child_init(server: Server<'_>) {
    daemon::child_init();
    server_board::child_init(server);
    python::set_environment(server);
    let mut imports = all_imports(server);
    imports.retain(|import| !python::is_impossible(server, import));
    if imports.is_empty() {
        return;
    }
    // python::host has logged why, if it fails; the child serves everything else.
    let Ok(host) = python::host() else { return };
    for import in imports {
        // A failed import is logged by the host, and tried again by the first request.
        let _ = host.import_script(&import.script, &import.application_group);
    }
}

/// Every ten seconds or so, in the parent.
pub(crate) fn monitor(server: Server<'_>) {
    daemon::monitor(server);
}

/// A child ends.
pub(crate) fn child_exit() {
    server_board::child_exit();
    let Some(host) = python::running_host() else { return };
    if !host.stop(EXIT_LIMIT)
        && let Some(server) = Server::main()
    {
        log_line!(server, Warning, codes::SLOW_EXIT; "applications of this process had not ended after {} seconds (a request, a thread that is no daemon thread, or an atexit function); leaving them", EXIT_LIMIT.as_secs());
    }
}

fn all_imports(server: Server<'_>) -> Vec<Import> {
    imports_of(b"", server.all().map(Server::settings))
}
