//! The options of `WSGIDaemonProcess`, one row each, in the order of docs/directives/WSGIDaemonProcess.md.

use super::accounts::Accounts;
use super::daemon::{Daemon, HEADER_BUFFER, RESPONSE_BUFFER};
use super::given::{Fault, Given};
use super::removed::REMOVED_OPTIONS;
use super::value::{Refusal, shown};
use super::word::{OptionWord, Words};

/// Most processes of a group: each has two places in a scoreboard, of which there are 4096.
const MOST_PROCESSES: u64 = (wire::SEAT_LIMIT / 2) as u64;

/// Most threads of a process, as in mod_wsgi.
const MOST_THREADS: u64 = 65_533;

const INT_MAX: u64 = i32::MAX as u64;

struct DaemonOption {
    name: &'static str,
    /// As in "Invalid … for WSGI daemon process", in mod_wsgi's words.
    what: &'static str,
    accepted: &'static str,
    set: fn(&mut Daemon, &Given<'_>) -> Result<(), Fault>,
}

macro_rules! options {
    ($($name:literal, $what:literal, $accepted:expr => $field:ident = $read:ident($($limit:expr),*);)*) => {
        &[$(DaemonOption {
            name: $name,
            what: $what,
            accepted: $accepted,
            set: |daemon, given| {
                daemon.$field = given.$read($($limit),*)?;
                Ok(())
            },
        },)*]
    };
}

const SECONDS: &str = "whole seconds as a plain number, from 0";
const USER: &str = "a user's name, or its number behind a #";
const GROUP: &str = "a group's name, or its number behind a #";
const DIRECTORY: &str = "a path that begins with a slash";
const SYSTEM_BUFFER: &str = "bytes as a plain number: 512 or more, or 0 for the system's own size";

const OPTIONS: &[DaemonOption] = options! {
    "processes", "process count", "whole numbers from 1 to 2048" => given_processes = some_number(1, MOST_PROCESSES);
    "threads", "thread count", "whole numbers from 0 to 65533" => threads = number(0, MOST_THREADS);
    "user", "user", USER => user = user();
    "group", "group", GROUP => gid = gid();
    "supplementary-groups", "supplementary groups", "groups, by name or by number behind a #, separated by commas" =>
        supplementary_groups = gids();
    "umask", "umask", "octal digits, such as 0027" => umask = umask();
    "home", "home directory", DIRECTORY => home = absolute();
    "chroot", "chroot directory", DIRECTORY => chroot = root_directory();
    "lang", "lang", "the name of a locale" => lang = text();
    "locale", "locale", "the name of a locale" => locale = text();
    "display-name", "display name", "a text, or %{GROUP}" => display_name = filled();
    "python", "python", "the path of an interpreter, from the root" => python = absolute();
    "python-home", "python home", "a directory" => python_home = filled();
    "python-path", "python path", "directories, separated by colons" => python_path = filled();
    "python-eggs", "python eggs", "a directory" => python_eggs = filled();
    "switch-interval", "switch interval", "seconds above 0 as a plain number, fractions allowed" =>
        switch_interval = interval();
    "stack-size", "stack size", "bytes as a plain number, from 1" => stack_size = number(1, INT_MAX);
    "server-metrics", "server metrics flag", "On and Off" => server_metrics = flag();
    "maximum-requests", "request count", "whole numbers from 0" => maximum_requests = number(0, INT_MAX);
    "restart-interval", "restart interval", SECONDS => restart_interval = seconds();
    "inactivity-timeout", "inactivity timeout", SECONDS => inactivity_timeout = seconds();
    "request-timeout", "request timeout", SECONDS => request_timeout = seconds();
    "interrupt-timeout", "interrupt timeout", SECONDS => interrupt_timeout = seconds();
    "graceful-timeout", "graceful timeout", SECONDS => graceful_timeout = seconds();
    "eviction-timeout", "eviction timeout", SECONDS => eviction_timeout = seconds();
    "startup-timeout", "startup timeout", SECONDS => startup_timeout = seconds();
    "deadlock-timeout", "deadlock timeout", SECONDS => deadlock_timeout = seconds();
    "shutdown-timeout", "shutdown timeout", SECONDS => shutdown_timeout = seconds();
    "cpu-time-limit", "CPU time limit", SECONDS => cpu_time_limit = seconds();
    "connect-timeout", "connect timeout", SECONDS => connect_timeout = seconds();
    "socket-timeout", "socket timeout", SECONDS => socket_timeout = seconds();
    "queue-timeout", "queue timeout", SECONDS => queue_timeout = seconds();
    "listen-backlog", "listen backlog", "whole numbers from 0" => listen_backlog = number(0, INT_MAX);
    "socket-user", "socket user", USER => socket_uid = uid();
    "send-buffer-size", "send buffer size", SYSTEM_BUFFER => send_buffer = buffer(512, 0);
    "receive-buffer-size", "receive buffer size", SYSTEM_BUFFER => receive_buffer = buffer(512, 0);
    "header-buffer-size", "header buffer size", "bytes as a plain number: 8192 or more, or 0 for 16777216" =>
        header_buffer = buffer(8192, HEADER_BUFFER);
    "response-buffer-size", "response buffer size", "bytes as a plain number: 65536 or more, or 0 for 8388608" =>
        response_buffer = buffer(65_536, RESPONSE_BUFFER);
    "response-socket-timeout", "response socket timeout", SECONDS => response_socket_timeout = seconds();
    "response-flush-delay", "response flush delay", "whole milliseconds as a plain number, from 0" =>
        response_flush_delay = milliseconds();
    "cpu-priority", "CPU priority", "whole numbers; -20 is the highest priority, 19 the lowest" => cpu_priority = priority();
    "memory-limit", "memory limit", "bytes as a plain number, from 0" => memory_limit = limit();
    "virtual-memory-limit", "virtual memory limit", "bytes as a plain number, from 0" => virtual_memory_limit = limit();
    "script-user", "script user", USER => script_uid = uid();
    "script-group", "script group", GROUP => script_gid = any_gid();
};

/// Reads the options to the end of the line; of a repeated one the last counts. Gives what is to be said of those that
/// are no more.
pub(super) fn read(
    words: &mut Words<'_>,
    daemon: &mut Daemon,
    accounts: &dyn Accounts,
) -> Result<Vec<String>, Refusal> {
    let mut removed = Vec::new();
    while let Some(word) = words.option() {
        match word {
            OptionWord::Pair(key, value) => match REMOVED_OPTIONS.iter().find(|(name, _)| name.as_bytes() == key) {
                Some((name, text)) => removed.push(format!("the option {name} is accepted, without effect: {text}")),
                None => set(daemon, key, &Given { value: &value, accounts })?,
            },
            OptionWord::Bare(word) => return Err(unknown(&shown(word))),
        }
    }
    check_pairs(daemon)?;
    Ok(removed)
}

fn set(daemon: &mut Daemon, key: &[u8], given: &Given<'_>) -> Result<(), Refusal> {
    let written = || format!("{}={}", shown(key), shown(given.value));
    let option = OPTIONS.iter().find(|option| option.name.as_bytes() == key).ok_or_else(|| unknown(&written()))?;
    (option.set)(daemon, given).map_err(|fault| match fault {
        Fault::Because(refusal) => refusal,
        Fault::Invalid => Refusal::new(format!(
            "Invalid {} for WSGI daemon process: '{}'; accepted are {}",
            option.what,
            written(),
            option.accepted
        )),
    })
}

/// Two options that contradict each other.
fn check_pairs(daemon: &Daemon) -> Result<(), Refusal> {
    if daemon.script_uid.is_some() && daemon.script_gid.is_some() {
        return Err(Refusal::new("Only one of script-user and script-group allowed; both were given"));
    }
    if daemon.python.is_some() && daemon.python_home.is_some() {
        return Err(Refusal::new(
            "Only one of python and python-home allowed; both were given: python names the interpreter itself, python-home the \
             directory above its bin",
        ));
    }
    Ok(())
}

fn unknown(given: &str) -> Refusal {
    let names: Vec<&str> = OPTIONS.iter().map(|option| option.name).collect();
    Refusal::new(format!(
        "Invalid option to WSGI daemon process definition: '{given}'; accepted are NAME=VALUE, without blanks around the =, with \
         NAME one of {}",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests;
