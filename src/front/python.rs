//! The Python of a child: found when the configuration is read, started when first needed.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use wire::SettingsWriter;

use crate::apache::{
    Host, Httpd, PythonFiles, Server, ask_as_server_user, host_file, library_directory, log_line, set_variable,
};
use crate::codes;
use crate::config::PythonSettings;

/// The version of mod_wsgi whose behaviour we present as `mod_wsgi.version`.
const PRESENTED_VERSION: &str = "6.1.1";

/// Oldest Python that the host library runs on.
const OLDEST: (u32, u32) = (3, 10);

/// How long an interpreter may take to say what it is.
const ASK_LIMIT: Duration = Duration::from_secs(20);

/// What an interpreter prints of itself: its version, and the file of its shared library or nothing.
///
/// The library is sought only where the interpreter's own build put it, or where its installation lies
/// now: one of the same version elsewhere may be built in another way. The interpreter looks itself, as
/// the server's user, who may not read what root may.
const QUESTION: &str = "\
import os, sys, sysconfig
config = sysconfig.get_config_var
name = config('INSTSONAME') or ''
if '.so' not in name: name = 'libpython%d.%d.so.1.0' % sys.version_info[:2]
places = [config('LIBDIR') or '', os.path.join(config('LIBDIR') or '', config('MULTIARCH') or '')]
places += [os.path.join(sys.base_prefix, place) for place in ('lib', 'lib64')]
files = [os.path.join(place, name) for place in places]
print('%d.%d.%d' % sys.version_info[:3])
print(next((file for file in files if os.path.isfile(file) and os.access(file, os.R_OK)), ''))
";

/// The child's one Python, or why there is none. True for the whole life of the process, as statics here
/// must be: a child never changes its Python.
static HOST: OnceLock<Result<Host, String>> = OnceLock::new();

/// A Python that can be embedded, as it was found.
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
}

impl Embedding {
    /// Asks the configured interpreter what it is.
    pub(super) fn find(settings: PythonSettings) -> Embedding {
        Embedding { found: find(&settings), settings }
    }

    pub(super) fn found(&self) -> Result<&Found, &str> {
        self.found.as_ref().map_err(String::as_str)
    }
}

/// Sets what an interpreter reads from its environment and has no option for; the support package takes
/// it away again. Child processes only, before they have a second thread.
pub(super) fn set_environment(server: Server<'_>) {
    let embedding: Option<&Embedding> = server.fact();
    if let Some(seed) = embedding.and_then(|embedding| embedding.settings.hash_seed_variable()) {
        set_variable("PYTHONHASHSEED", &seed);
    }
}

/// The host of this child, started now if it has not been.
pub(super) fn host() -> Result<Host, &'static str> {
    HOST.get_or_init(start).as_ref().copied().map_err(String::as_str)
}

/// The host, if it was started.
pub(super) fn running_host() -> Option<Host> {
    HOST.get().and_then(|host| host.as_ref().ok().copied())
}

fn start() -> Result<Host, String> {
    let server = Server::main().ok_or("httpd has no configuration")?;
    let embedding: &Embedding = server.fact().ok_or("embedded mode was switched off when httpd started")?;
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
    let block = settings_block(settings, host_directory).map_err(|err| err.to_string())?;
    Host::start(&found.files, &host, arguments, &block).map_err(|err| err.to_string())
}

/// The settings that the support package reads (`_wsgi_host.settings()`).
fn settings_block(settings: &PythonSettings, host_directory: &[u8]) -> Result<Vec<u8>, wire::Error> {
    let httpd = Httpd::ask();
    let flag = |on: bool| -> &'static [u8] { if on { b"1" } else { b"0" } };
    let mut block = Vec::new();
    let mut writer = SettingsWriter::begin(&mut block);
    writer.set(b"door", b"embedded");
    writer.set(b"host_directory", host_directory);
    writer.set(b"process_group", b"");
    writer.set(b"version", PRESENTED_VERSION.as_bytes());
    writer.set(b"apache_version", httpd.version.as_bytes());
    writer.set(b"apache_description", httpd.description.as_bytes());
    writer.set(b"apache_build_date", httpd.build_date.as_bytes());
    writer.set(b"mpm_name", httpd.mpm_name.as_bytes());
    writer.set(b"mpm_max_processes", httpd.max_processes.to_string().as_bytes());
    writer.set(b"mpm_threads_per_process", httpd.threads_per_process.to_string().as_bytes());
    writer.set(b"is_multithread", flag(httpd.is_multithread));
    writer.set(b"is_multiprocess", flag(httpd.is_multiprocess));
    writer.set(b"single_process", flag(httpd.is_single_process));
    writer.set(b"restrict_stdin", flag(settings.restrict_stdin));
    writer.set(b"restrict_stdout", flag(settings.restrict_stdout));
    writer.set(b"restrict_signal", flag(settings.restrict_signal));
    writer.set(b"case_sensitivity", flag(settings.case_sensitivity));
    if let Some(path) = &settings.path {
        writer.set(b"python_path", path);
    }
    if let Some(seed) = settings.hash_seed_variable() {
        writer.set(b"hash_seed", seed.as_bytes());
    }
    if let Some(interval) = settings.switch_interval_text() {
        writer.set(b"switch_interval", interval.as_bytes());
    }
    writer.finish()?;
    Ok(block)
}

fn find(settings: &PythonSettings) -> Result<Found, String> {
    let executable = executable(settings)?;
    let shown = executable.display();
    let question = ["-ISc", QUESTION].map(OsString::from);
    let output = ask_as_server_user(executable.as_os_str(), &question, ASK_LIMIT).map_err(|err| {
        format!("{shown} cannot be run as the user of httpd's children: {err}{}", closed_directory(&executable))
    })?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.errors);
        let words = words.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect::<Vec<_>>().join("; ");
        return Err(format!("{shown} does not start ({}): {words}", output.ending()));
    }
    let mut lines = output.output.split(|&byte| byte == b'\n');
    let (Some(version), Some(library)) = (lines.next(), lines.next()) else {
        return Err(format!("{shown} is no Python interpreter: it did not say what it is"));
    };
    let version = String::from_utf8_lossy(version).into_owned();
    check_version(&shown.to_string(), &version)?;
    if library.is_empty() {
        return Err(no_library(&shown.to_string(), &version));
    }
    let c_text = |bytes: &[u8]| CString::new(bytes).map_err(|_| "a path has a NUL in it".to_owned());
    let files = PythonFiles { executable: c_text(executable.as_os_str().as_bytes())?, library: c_text(library)? };
    Ok(Found { version, files })
}

/// `<WSGIPythonHome>/bin/python`, or the default of the build.
fn executable(settings: &PythonSettings) -> Result<PathBuf, String> {
    let Some(home) = &settings.home else { return Ok(PathBuf::from(env!("WSGI_DEFAULT_PYTHON"))) };
    let home = Path::new(OsStr::from_bytes(home));
    let shown = home.display();
    if home.is_relative() {
        return Err(format!("WSGIPythonHome {shown} is no absolute path"));
    }
    let candidates = ["bin/python", "bin/python3"].map(|name| home.join(name));
    if let Some(found) = candidates.iter().find(|path| path.exists()) {
        return Ok(found.clone());
    }
    if let Some((link, target)) = candidates.iter().find_map(|path| Some((path, path.read_link().ok()?))) {
        let (link, target) = (link.display(), target.display());
        return Err(format!("{link} is a link to {target}, which is not there: make the virtual environment anew"));
    }
    Err(format!(
        "WSGIPythonHome {shown} has no bin/python; it must be the directory of a virtual environment or of a \
         Python installation (what sys.prefix says)"
    ))
}

/// The first directory on the way to a file that not everybody may enter, as the end of a sentence.
fn closed_directory(file: &Path) -> String {
    let mut directories: Vec<&Path> = file.ancestors().skip(1).collect();
    directories.reverse();
    let is_closed =
        |directory: &&&Path| directory.metadata().is_ok_and(|found| found.permissions().mode() & 0o001 == 0);
    match directories.iter().find(is_closed) {
        Some(directory) => format!(" ({} is closed to other users: chmod o+x, or another place)", directory.display()),
        None => String::new(),
    }
}

fn check_version(executable: &str, version: &str) -> Result<(), String> {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= OLDEST {
        return Ok(());
    }
    Err(format!("{executable} is Python {version}; {}.{} is the oldest that mod_wsgi_rs runs", OLDEST.0, OLDEST.1))
}

fn no_library(executable: &str, version: &str) -> String {
    let minor = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
    format!(
        "{executable} (Python {version}) has no shared libpython that the server's user can read, so it cannot be embedded: install it (Debian: apt-get install libpython{minor}; \
         a build of your own: --enable-shared), or run the application in daemon mode, which needs none"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_below_3_10_are_refused() {
        assert!(check_version("python", "3.10.0").is_ok());
        assert!(check_version("python", "3.14.1").is_ok());
        assert!(check_version("python", "3.9.19").is_err());
        assert!(check_version("python", "2.7.18").is_err());
        assert!(check_version("python", "nonsense").is_err());
    }

    #[test]
    fn a_home_without_an_interpreter_is_named_in_the_error() {
        let settings = PythonSettings {
            home: Some(b"/nonexistent/venv".as_slice().into()),
            ..PythonSettings::of(&Default::default())
        };
        assert!(find(&settings).unwrap_err().contains("/nonexistent/venv"));
    }
}
