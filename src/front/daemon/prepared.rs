//! A process group made ready for the supervisor: everything that a `WSGIDaemonProcess` leaves to the system and to
//! httpd is settled here. Parent process only.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use gateway::Level;
use wire::control::{self, Preload, Text};

use super::identities::Identity;
use crate::apache::{Httpd, Log, Server, is_dumping_core};
use crate::config::{Accounts, Daemon, PythonSettings, imports_of};
use crate::front::installation::{Home, executable};
use crate::front::server_board;
use crate::front::settings_block::{Process, settings_block};

/// Most pools of a group for application groups whose names clients choose.
const OPEN_LIMIT: u32 = 16;

/// What all groups of a configuration have in common.
pub(super) struct Common<'a> {
    pub(super) main: Server<'a>,
    pub(super) httpd: &'a Httpd,
    /// What the main server says about interpreters.
    pub(super) python: &'a PythonSettings,
    /// Where the host library and the support package lie.
    pub(super) host_directory: &'a Path,
    /// User and group of httpd's children.
    pub(super) httpd_ids: (u32, u32),
    pub(super) accounts: &'a dyn Accounts,
}

/// Prepares a group that was defined in `server`.
///
/// # Errors
/// A sentence for the log: its interpreter cannot be found, or a setting does not fit.
pub(super) fn prepare(
    common: &Common<'_>,
    server: Server<'_>,
    daemon: &Daemon,
    identity: &Identity,
) -> Result<control::Group, String> {
    let rights = daemon.identity(common.httpd_ids, common.accounts);
    let python = settings_of(common.python, daemon);
    let text = |bytes: &[u8]| Text::from(bytes);
    let optional = |value: Option<&[u8]>| value.map(Text::from);
    let log_level = least_severe(server);
    let has_server_board = daemon.server_metrics && server_board::board(server).is_some();
    Ok(control::Group {
        name: text(&daemon.name),
        id: identity.id,
        secret: identity.secret,
        reply: identity.reply,
        seats: identity.seats,
        processes: daemon.processes(),
        threads: daemon.threads,
        open_limit: OPEN_LIMIT,
        uid: rights.uid,
        gid: rights.gid,
        groups: rights.groups.clone(),
        user_name: optional(rights.user_name.as_deref()),
        user_home: optional(rights.user_home.as_deref()),
        socket_uid: daemon.socket_uid.unwrap_or(common.httpd_ids.0),
        umask: daemon.umask,
        directory: optional(daemon.directory(&rights, common.httpd_ids.0).as_deref()),
        is_directory_required: daemon.home.is_some(),
        chroot: optional(daemon.chroot.as_deref()),
        lang: optional(daemon.lang.as_deref()),
        locale: optional(daemon.locale.as_deref()),
        environment: environment(&python),
        cpu_priority: daemon.cpu_priority,
        cpu_time_limit: daemon.cpu_time_limit.as_secs(),
        memory_limit: daemon.memory_limit,
        virtual_memory_limit: daemon.virtual_memory_limit,
        is_dumpable: is_dumping_core(),
        listen_backlog: daemon.listen_backlog,
        send_buffer: daemon.send_buffer,
        receive_buffer: daemon.receive_buffer,
        shutdown_timeout: daemon.shutdown_timeout.as_secs(),
        graceful_timeout: daemon.graceful_timeout.as_secs(),
        startup_timeout: daemon.startup_timeout.as_secs(),
        python: text(&interpreter(&python, daemon)?),
        arguments: arguments(&python, common.host_directory),
        preload: preload(common, daemon),
        has_server_board,
        log_level,
        syslog: server.syslog(common.main).map(Text),
        worker: Text(worker_block(common, server, daemon, &python, log_level, has_server_board)?),
    })
}

/// The main server's settings of interpreters, with what the group says for itself. Its module search path and its
/// switch interval are its own matter alone (docs/directives/WSGIDaemonProcess.md).
fn settings_of(main: &PythonSettings, daemon: &Daemon) -> PythonSettings {
    PythonSettings {
        home: daemon.python_home.clone().or_else(|| main.home.clone()),
        path: daemon.python_path.clone(),
        switch_interval: daemon.switch_interval,
        ..main.clone()
    }
}

/// What a group lacks, as far as that can be seen without starting anything: a directory, or its interpreter.
pub(super) fn what_is_missing(main: &PythonSettings, daemon: &Daemon) -> Option<String> {
    // In a chroot the paths are others, and only the worker sees them.
    let home = daemon.home.as_deref().filter(|_| daemon.chroot.is_none());
    let directories = [("chroot", daemon.chroot.as_deref()), ("home", home)];
    let missing = directories.into_iter().find_map(|(option, path)| {
        let path = Path::new(OsStr::from_bytes(path?));
        let is_missing = match std::fs::metadata(path) {
            Ok(found) => !found.is_dir(),
            // Who runs the test need not be able to look everywhere.
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        is_missing.then(|| format!("{option}={} is not there, or is no directory", path.display()))
    });
    missing.or_else(|| interpreter(&settings_of(main, daemon), daemon).err())
}

fn interpreter(python: &PythonSettings, daemon: &Daemon) -> Result<Vec<u8>, String> {
    if let Some(python) = &daemon.python {
        let path = Path::new(OsStr::from_bytes(python));
        if daemon.chroot.is_none() && !path.is_file() {
            return Err(format!("python={} is not there, or is no file", path.display()));
        }
        return Ok(python.to_vec());
    }
    let said_by = if daemon.python_home.is_some() { "python-home" } else { "WSGIPythonHome" };
    // In a chroot the paths are others, and only the worker sees them.
    if daemon.chroot.is_some() {
        let home = python.home.as_deref().map(<[u8]>::to_vec);
        return Ok(home.map_or(env!("WSGI_DEFAULT_PYTHON").into(), |home| [&home[..], b"/bin/python"].concat()));
    }
    let executable = executable(Home { directory: python.home.as_deref(), said_by })?;
    Ok(executable.as_os_str().as_bytes().to_vec())
}

fn arguments(python: &PythonSettings, host_directory: &Path) -> Vec<Text> {
    let bootstrap = gateway::bootstrap::text(host_directory.as_os_str().as_bytes(), "worker", "main()");
    let mut arguments: Vec<Text> = python.arguments().into_iter().map(Text).collect();
    arguments.extend([Text::from("-c"), Text(bootstrap.into_bytes())]);
    arguments
}

/// What an interpreter reads from its environment and has no option for.
fn environment(python: &PythonSettings) -> Vec<Text> {
    let seed = python.hash_seed_variable().map(|seed| Text(format!("PYTHONHASHSEED={seed}").into_bytes()));
    seed.into_iter().collect()
}

fn preload(common: &Common<'_>, daemon: &Daemon) -> Vec<Preload> {
    let imports = imports_of(&daemon.name, common.main.all().map(Server::settings));
    let preload = |import: crate::config::Import| Preload {
        application_group: Text::from(&import.application_group[..]),
        is_aliased: import.is_aliased,
        script: Text::from(&import.script[..]),
    };
    imports.into_iter().map(preload).collect()
}

fn worker_block(
    common: &Common<'_>,
    server: Server<'_>,
    daemon: &Daemon,
    python: &PythonSettings,
    log_level: Level,
    has_server_board: bool,
) -> Result<Vec<u8>, String> {
    let process = Process {
        door: "daemon",
        process_group: &daemon.name,
        host_directory: common.host_directory.as_os_str().as_bytes(),
        httpd_pid: std::process::id(),
        is_multithread: daemon.is_multithread(),
        is_multiprocess: daemon.is_multiprocess(),
    };
    let worker = worker(server, daemon, log_level, has_server_board);
    settings_block(&process, common.httpd, python, |writer| {
        let processes = daemon.processes().to_string();
        let texts: [(&[u8], Option<&[u8]>); 4] = [
            (b"processes", Some(processes.as_bytes())),
            (b"home", daemon.home.as_deref()),
            (b"python_eggs", daemon.python_eggs.as_deref()),
            (b"locale", daemon.locale.as_deref()),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                writer.set(name, value);
            }
        }
        worker.put(writer);
    })
    .map_err(|error| format!("its settings do not fit: {error}"))
}

fn worker(server: Server<'_>, daemon: &Daemon, log_level: Level, has_server_board: bool) -> control::Worker {
    let seconds = |duration: Duration| duration.as_secs();
    let socket_timeout = if daemon.socket_timeout.is_zero() { server.timeout() } else { daemon.socket_timeout };
    control::Worker {
        threads: daemon.threads,
        stack_size: daemon.stack_size,
        display_name: daemon.title().map(|title| Text::from(&title[..])),
        maximum_requests: daemon.maximum_requests,
        restart_interval: seconds(daemon.restart_interval),
        inactivity_timeout: seconds(daemon.inactivity_timeout),
        request_timeout: seconds(daemon.request_timeout),
        interrupt_timeout: seconds(daemon.interrupt_timeout),
        graceful_timeout: seconds(daemon.graceful_timeout),
        eviction_timeout: seconds(daemon.eviction_timeout),
        startup_timeout: seconds(daemon.startup_timeout),
        deadlock_timeout: seconds(daemon.deadlock_timeout),
        shutdown_timeout: seconds(daemon.shutdown_timeout),
        queue_timeout: seconds(daemon.queue_timeout),
        // A time below a second is still a time.
        socket_timeout: seconds(socket_timeout).max(1),
        chroot: daemon.chroot.as_deref().map(Text::from),
        script_user: daemon.script_uid,
        script_group: daemon.script_gid,
        is_dumpable: is_dumping_core(),
        has_server_board,
        log_level,
    }
}

/// The least severe level that the server's `LogLevel` lets through.
fn least_severe(server: Server<'_>) -> Level {
    let levels = [Level::Debug, Level::Info, Level::Notice, Level::Warning, Level::Error];
    levels.into_iter().find(|level| server.is_logged(*level)).unwrap_or(Level::Critical)
}
