//! What happens when httpd starts, when a child starts, and when it ends.

use std::time::Duration;

use super::python::{self, Embedding};
use crate::apache::{Answer, Pool, Server, announce, is_preliminary_pass, log_line};
use crate::codes;
use crate::config::{PythonSettings, imports};

/// How long a child that ends waits for its applications' exit functions and threads. httpd itself kills
/// children some seconds after it asked them to stop.
const EXIT_LIMIT: Duration = Duration::from_secs(5);

/// The configuration is complete: look for the Python that it names. Parent process only.
pub(crate) fn post_config(pool: Pool<'_>, server: Server<'_>) -> Answer {
    if is_preliminary_pass() {
        return Answer::Ok;
    }
    announce(pool, concat!("mod_wsgi_rs/", env!("CARGO_PKG_VERSION")));
    let settings = PythonSettings::of(server.settings());
    let is_needed = !settings.restrict_embedded.unwrap_or(false) || has_imports(server);
    if !is_needed {
        return Answer::Ok;
    }
    let embedding = Embedding::find(settings);
    match embedding.found() {
        Ok(found) => announce(pool, &format!("Python/{}", found.version)),
        Err(reason) => {
            log_line!(server, Error, codes::PYTHON_UNUSABLE; "Python interpreter configuration failed: {reason}; embedded applications will answer 500, everything else is served");
        }
    }
    server.set_fact(embedding);
    Answer::Ok
}

/// A child has started: prepare Python's start, and run the import scripts, if there are any.
pub(crate) fn child_init(server: Server<'_>) {
    python::set_environment(server);
    let imports = imports(server.all().map(Server::settings));
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

/// A child ends.
pub(crate) fn child_exit() {
    let Some(host) = python::running_host() else { return };
    if !host.stop(EXIT_LIMIT)
        && let Some(server) = Server::main()
    {
        log_line!(server, Warning, codes::SLOW_EXIT; "applications of this process had not ended after {} seconds (a request, a thread that is no daemon thread, or an atexit function); leaving them", EXIT_LIMIT.as_secs());
    }
}

fn has_imports(server: Server<'_>) -> bool {
    !imports(server.all().map(Server::settings)).is_empty()
}
