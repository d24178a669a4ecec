//! The Python of an httpd child: started when it is first needed, once, by what the parent found.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::parent_id;
use std::sync::OnceLock;

use super::installation::{Home, Installation, executable};
use super::settings_block::{Process, settings_block};
use super::{remarks, server_board};
use crate::apache::{Host, Httpd, PythonFiles, Server, host_file, library_directory, log_line, set_variable};
use crate::codes;
use crate::config::{Import, PythonSettings};

/// The child's one Python, or why there is none. True for the whole life of the process, as statics here
/// must be: a child never changes its Python.
static HOST: OnceLock<Result<Host, String>> = OnceLock::new();

/// A Python that can be embedded, as the parent found it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) version: String,
    files: PythonFiles,
}

/// What a child needs to start Python; part of the configuration.
#[derive(Debug)]
pub(super) struct Embedding {
    found: Result<Found, String>,
    settings: PythonSettings,
    /// Scripts that the parent has said cannot be loaded at start.
    impossible: Vec<Import>,
}

impl Embedding {
    /// Asks the configured interpreter what it is. Parent process only.
    pub(super) fn find(settings: PythonSettings, impossible: Vec<Import>) -> Embedding {
        let found = Installation::find(home_of(&settings)).and_then(|installation| {
            let files = installation.files()?;
            Ok(Found { version: installation.version, files })
        });
        Embedding { found, settings, impossible }
    }

    pub(super) fn settings(&self) -> &PythonSettings {
        &self.settings
    }

    pub(super) fn found(&self) -> Result<&Found, &str> {
        self.found.as_ref().map_err(String::as_str)
    }
}

/// Why there is no interpreter where the configuration says, as far as can be seen without running it.
pub(super) fn executable_of(settings: &PythonSettings) -> Result<(), String> {
    executable(home_of(settings)).map(drop)
}

fn home_of(settings: &PythonSettings) -> Home<'_> {
    Home { directory: settings.home.as_deref(), said_by: "WSGIPythonHome" }
}

/// Sets what an interpreter reads from its environment and has no option for; the support package takes
/// it away again. Child processes only, before they have a second thread.
pub(super) fn set_environment(server: Server<'_>) {
    let embedding = embedding(server);
    if let Some(seed) = embedding.and_then(|embedding| embedding.settings.hash_seed_variable()) {
        set_variable("PYTHONHASHSEED", &seed);
    }
}

/// Whether a script still cannot be loaded, as the parent has said; one that came since can be.
pub(super) fn is_impossible(server: Server<'_>, import: &Import) -> bool {
    embedding(server).is_some_and(|embedding| embedding.impossible.contains(import))
        && remarks::why_not_loaded(&import.script).is_some()
}

/// The host of this child, started now if it has not been.
pub(super) fn host() -> Result<Host, &'static str> {
    HOST.get_or_init(start).as_ref().copied().map_err(String::as_str)
}

/// The host, if it was started.
pub(super) fn running_host() -> Option<Host> {
    HOST.get().and_then(|host| host.as_ref().ok().copied())
}

fn embedding(server: Server<'_>) -> Option<&Embedding> {
    server.fact()
}

fn start() -> Result<Host, String> {
    let server = Server::main().ok_or("httpd has no configuration")?;
    let embedding = embedding(server).ok_or("embedded mode was switched off when httpd started")?;
    // Said once, when httpd started, with the reason and the remedy.
    let found = embedding
        .found()
        .map_err(|_| "httpd found no usable Python when it started, and its log says why".to_owned())?;
    let result = run(embedding, found);
    match &result {
        Ok(_) => log_line!(server, Info, "Python {} runs in this process", found.version),
        Err(reason) => {
            log_line!(server, Critical, codes::PYTHON_FAILED; "Python cannot be started in this process: {reason}; embedded applications answer 500");
        }
    }
    result
}

fn run(embedding: &Embedding, found: &Found) -> Result<Host, String> {
    let directory = library_directory().ok_or("the module's own file cannot be found")?;
    let host = host_file(&directory);
    let host_directory = host.parent().unwrap_or(&directory).as_os_str().as_bytes();
    let settings = &embedding.settings;
    let mut arguments = vec![found.files.executable.clone()];
    let text = gateway::bootstrap::text(host_directory, "process", "main()");
    let mut options = settings.arguments();
    options.extend([b"-c".to_vec(), text.into_bytes()]);
    for option in options {
        arguments.push(CString::new(option).map_err(|_| "a Python setting has a NUL in it")?);
    }
    let httpd = Httpd::ask();
    let process = Process {
        door: "embedded",
        process_group: b"",
        host_directory,
        httpd_pid: parent_id(),
        is_multithread: httpd.is_multithread,
        is_multiprocess: httpd.is_multiprocess,
    };
    let block = settings_block(&process, &httpd, settings, |writer| {
        if let Some(eggs) = &settings.eggs {
            writer.set(b"python_eggs", eggs);
        }
    })
    .map_err(|err| err.to_string())?;
    let server = settings.server_metrics.then_some(server_board::snapshot as fn() -> Option<Vec<u8>>);
    Host::start(&found.files, &host, arguments, &block, server).map_err(|err| err.to_string())
}
