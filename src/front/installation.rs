//! A Python installation: which interpreter a home means, and what it says of itself when it is asked.
//! Parent process only. What is done with it is the caller's matter.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway::bootstrap::OLDEST;

use crate::apache::{PythonFiles, ask_as_server_user};

/// How long an interpreter may take to say what it is.
const ASK_LIMIT: Duration = Duration::from_secs(20);

/// What an interpreter prints of itself: its version, the file of its shared library or nothing, and whether it has a GIL.
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
print('free-threaded' if config('Py_GIL_DISABLED') else 'with a GIL')
";

/// A Python that runs, as it described itself.
#[derive(Debug)]
pub(super) struct Installation {
    /// `3.11.2`.
    pub(super) version: String,
    executable: PathBuf,
    /// Its shared library, if it has one that the server's user can read.
    library: Option<Vec<u8>>,
}

/// The directory that the configuration names as a Python's home.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home<'a> {
    /// As written; `None` is the Python chosen at build time.
    pub(super) directory: Option<&'a [u8]>,
    /// The directive or option that names it, for error texts.
    pub(super) said_by: &'static str,
}

impl Installation {
    /// Runs the interpreter of `home`, as the server's user, and asks it what it is.
    ///
    /// # Errors
    /// A sentence for the log: the home has no interpreter, or it does not run, is none, is too old, or has no
    /// GIL.
    pub(super) fn find(home: Home<'_>) -> Result<Installation, String> {
        let executable = executable(home)?;
        let shown = executable.display();
        let question = ["-ISc", QUESTION].map(OsString::from);
        let output = ask_as_server_user(executable.as_os_str(), &question, ASK_LIMIT).map_err(|err| {
            format!("{shown} cannot be run as the user of httpd's children: {err}{}", closed_directory(&executable))
        })?;
        if !output.status.success() {
            let words = first_words(&output.errors);
            return Err(format!("{shown} does not start ({}): {words}", output.ending()));
        }
        let mut lines = output.output.split(|&byte| byte == b'\n');
        let (Some(version), Some(library)) = (lines.next(), lines.next()) else {
            return Err(format!("{shown} is no Python interpreter: it did not say what it is"));
        };
        let version = String::from_utf8_lossy(version).into_owned();
        check_version(&shown.to_string(), &version)?;
        if lines.next() == Some(b"free-threaded") {
            return Err(format!("{shown} is a free-threaded Python; mod_wsgi_rs runs those that have a GIL"));
        }
        let library = (!library.is_empty()).then(|| library.to_vec());
        Ok(Installation { version, executable, library })
    }

    /// What httpd's children open to run this Python themselves.
    ///
    /// # Errors
    /// A sentence for the log, with what to install, if the installation has no shared library.
    pub(super) fn files(&self) -> Result<PythonFiles, String> {
        let library = self.library.as_deref().ok_or_else(|| self.no_library())?;
        let c_text = |bytes: &[u8]| CString::new(bytes).map_err(|_| "a path has a NUL in it".to_owned());
        Ok(PythonFiles { executable: c_text(self.executable.as_os_str().as_bytes())?, library: c_text(library)? })
    }

    fn no_library(&self) -> String {
        let (executable, version) = (self.executable.display(), &self.version);
        let minor = version.rsplit_once('.').map_or(version.as_str(), |(minor, _)| minor);
        format!(
            "{executable} (Python {version}) has no shared libpython that the server's user can read, so it cannot be \
             embedded: install it (Debian: apt-get install libpython{minor}; a build of your own: --enable-shared), or \
             run the application in daemon mode, which needs none"
        )
    }
}

/// `<home>/bin/python`, or the default of the build.
pub(super) fn executable(home: Home<'_>) -> Result<PathBuf, String> {
    let Some(directory) = home.directory else { return Ok(PathBuf::from(env!("WSGI_DEFAULT_PYTHON"))) };
    let directory = Path::new(OsStr::from_bytes(directory));
    let (said_by, shown) = (home.said_by, directory.display());
    if directory.is_relative() {
        return Err(format!("{said_by} {shown} is no absolute path"));
    }
    let candidates = ["bin/python", "bin/python3"].map(|name| directory.join(name));
    if let Some(found) = candidates.iter().find(|path| path.exists()) {
        return Ok(found.clone());
    }
    if let Some((link, target)) = candidates.iter().find_map(|path| Some((path, path.read_link().ok()?))) {
        let (link, target) = (link.display(), target.display());
        return Err(format!("{link} is a link to {target}, which is not there: make the virtual environment anew"));
    }
    Err(format!(
        "{said_by} {shown} has no bin/python; it must be the directory of a virtual environment or of a Python \
         installation (what sys.prefix says)"
    ))
}

/// The first lines of what a program complained of.
fn first_words(errors: &[u8]) -> String {
    let text = String::from_utf8_lossy(errors);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect::<Vec<_>>().join("; ")
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
    fn a_home_without_an_interpreter_is_named_in_the_error_with_the_directive() {
        let home = Home { directory: Some(b"/nonexistent/venv"), said_by: "WSGIPythonHome" };
        assert!(
            Installation::find(home).unwrap_err().starts_with("WSGIPythonHome /nonexistent/venv has no bin/python")
        );
    }

    #[test]
    fn only_an_installation_with_a_shared_library_has_files_to_open() {
        let installation = |library: Option<&[u8]>| Installation {
            version: "3.11.2".to_owned(),
            executable: "/opt/bin/python".into(),
            library: library.map(<[u8]>::to_vec),
        };
        assert_eq!(
            installation(Some(b"/lib/libpython3.so")).files().expect("there").library.as_c_str(),
            c"/lib/libpython3.so"
        );
        assert!(installation(None).files().unwrap_err().contains("apt-get install libpython3.11;"));
    }
}
