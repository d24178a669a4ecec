//! The options of `WSGIDaemonProcess`, one row each, in the order of docs/directives/WSGIDaemonProcess.md.

use super::accounts::Accounts;
use super::daemon::{Daemon, HEADER_BUFFER, RESPONSE_BUFFER};
use super::given::{Fault, Given};
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
    "script-group", "script group", GROUP => script_gid = gid();
};

/// Reads the options to the end of the line; of a repeated one the last counts.
pub(super) fn read(words: &mut Words<'_>, daemon: &mut Daemon, accounts: &dyn Accounts) -> Result<(), Refusal> {
    while let Some(word) = words.option() {
        match word {
            OptionWord::Pair(key, value) => set(daemon, key, &Given { value: &value, accounts })?,
            OptionWord::Bare(word) => return Err(unknown(&shown(word))),
        }
    }
    check_pairs(daemon)
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
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::accounts::User;
    use super::super::sample::{System, apply_as, refusal};
    use super::super::{GroupNames, ServerWritten};
    use super::*;

    fn daemon(options: &str) -> Daemon {
        let mut server = ServerWritten::default();
        let line = format!("WSGIDaemonProcess d {options}");
        apply_as(&line, &mut server, None, &mut GroupNames::default(), &System::ROOT).expect(options);
        Daemon { order: 0, ..(*server.daemons[0]).clone() }
    }

    fn refused(option: &str) -> String {
        refusal(&format!("WSGIDaemonProcess d {option}"))
    }

    fn names(options: impl IntoIterator<Item = &'static str>) -> BTreeSet<&'static str> {
        options.into_iter().map(|option| option.split('=').next().expect("a name")).collect()
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    macro_rules! takes {
        ($($option:literal => $field:ident = $value:expr;)*) => {{
            $(assert_eq!(daemon($option), Daemon { $field: $value, ..daemon("") }, $option);)*
            names([$($option),*])
        }};
    }

    #[test]
    fn every_option_sets_its_own_field_and_no_other() {
        let web = User { name: b"web"[..].into(), uid: 30, gid: 31, home: b"/srv/web"[..].into() };
        let text = |text: &str| Some(text.as_bytes().into());
        let tried = takes! {
            "processes=1" => given_processes = Some(1);
            "processes=2048" => given_processes = Some(2048);
            "threads=65533" => threads = 65_533;
            "threads=0" => threads = 0;
            "user=web" => user = Some(web.clone());
            "user=#30" => user = Some(web.clone());
            "group=staff" => gid = Some(50);
            "group=#77" => gid = Some(77);
            "supplementary-groups=staff,#78" => supplementary_groups = Some(vec![50, 78]);
            "supplementary-groups=" => supplementary_groups = Some(vec![]);
            "umask=0027" => umask = Some(0o027);
            "home=/srv/site" => home = text("/srv/site");
            "chroot=/srv/jail" => chroot = text("/srv/jail");
            "lang=de_DE.UTF-8" => lang = text("de_DE.UTF-8");
            "locale=C" => locale = text("C");
            "display-name=\"a b\"" => display_name = text("a b");
            "python=/opt/py/bin/python3.13t" => python = text("/opt/py/bin/python3.13t");
            "python-home=/srv/venv" => python_home = text("/srv/venv");
            "python-path=/a:/b" => python_path = text("/a:/b");
            "python-eggs=/tmp/eggs" => python_eggs = text("/tmp/eggs");
            "switch-interval=0.002" => switch_interval = Some(Duration::from_millis(2));
            "stack-size=524288" => stack_size = 524_288;
            "server-metrics=ON" => server_metrics = true;
            "maximum-requests=5" => maximum_requests = 5;
            "restart-interval=6" => restart_interval = seconds(6);
            "inactivity-timeout=7" => inactivity_timeout = seconds(7);
            "request-timeout=8" => request_timeout = seconds(8);
            "interrupt-timeout=9" => interrupt_timeout = seconds(9);
            "graceful-timeout=0" => graceful_timeout = seconds(0);
            "eviction-timeout=10" => eviction_timeout = seconds(10);
            "startup-timeout=11" => startup_timeout = seconds(11);
            "deadlock-timeout=0" => deadlock_timeout = seconds(0);
            "shutdown-timeout=12" => shutdown_timeout = seconds(12);
            "cpu-time-limit=13" => cpu_time_limit = seconds(13);
            "connect-timeout=0" => connect_timeout = seconds(0);
            "socket-timeout=14" => socket_timeout = seconds(14);
            "queue-timeout=2147483647" => queue_timeout = seconds(2_147_483_647);
            "listen-backlog=0" => listen_backlog = 0;
            "socket-user=web" => socket_uid = Some(30);
            "socket-user=root" => socket_uid = Some(0);
            "send-buffer-size=512" => send_buffer = 512;
            "receive-buffer-size=4096" => receive_buffer = 4096;
            "header-buffer-size=8192" => header_buffer = 8192;
            "response-buffer-size=65536" => response_buffer = 65_536;
            "response-socket-timeout=15" => response_socket_timeout = seconds(15);
            "response-flush-delay=0" => response_flush_delay = Duration::ZERO;
            "cpu-priority=-5" => cpu_priority = -5;
            "cpu-priority=40" => cpu_priority = 19;
            "memory-limit=68719476736" => memory_limit = 64 << 30;
            "virtual-memory-limit=1" => virtual_memory_limit = 1;
            "script-user=#33" => script_uid = Some(33);
            "script-group=web" => script_gid = Some(31);
        };
        assert_eq!(tried, names(OPTIONS.iter().map(|option| option.name)));
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        let daemon = daemon("");
        assert_eq!((daemon.processes(), daemon.threads), (1, 15));
        assert_eq!((daemon.given_processes, daemon.umask, daemon.switch_interval), (None, None, None));
        assert_eq!((daemon.user, daemon.gid, daemon.supplementary_groups, daemon.socket_uid), (None, None, None, None));
        assert_eq!((daemon.script_uid, daemon.script_gid), (None, None));
        assert_eq!((daemon.home, daemon.chroot, daemon.lang, daemon.locale, daemon.display_name), Default::default());
        assert_eq!((daemon.python, daemon.python_home, daemon.python_path, daemon.python_eggs), Default::default());
        assert_eq!((daemon.stack_size, daemon.maximum_requests, daemon.cpu_priority), (0, 0, 0));
        assert_eq!((daemon.memory_limit, daemon.virtual_memory_limit), (0, 0));
        assert!(!daemon.server_metrics);
        assert_eq!(daemon.graceful_timeout, seconds(15));
        assert_eq!(daemon.deadlock_timeout, seconds(300));
        assert_eq!(daemon.shutdown_timeout, seconds(5));
        assert_eq!(daemon.connect_timeout, seconds(15));
        assert_eq!(daemon.response_flush_delay, Duration::from_millis(5));
        assert_eq!(daemon.listen_backlog, 100);
        assert_eq!((daemon.send_buffer, daemon.receive_buffer), (0, 0));
        assert_eq!((daemon.header_buffer, daemon.response_buffer), (16_777_216, 8_388_608));
        for off in [
            daemon.restart_interval,
            daemon.inactivity_timeout,
            daemon.request_timeout,
            daemon.interrupt_timeout,
            daemon.eviction_timeout,
            daemon.startup_timeout,
            daemon.cpu_time_limit,
            daemon.socket_timeout,
            daemon.queue_timeout,
            daemon.response_socket_timeout,
        ] {
            assert_eq!(off, Duration::ZERO);
        }
    }

    /// What each option refuses, and mod_wsgi's words for it.
    const REFUSED: &[(&str, &str)] = &[
        ("processes=0", "Invalid process count"),
        ("processes=2049", "Invalid process count"),
        ("threads=65534", "Invalid thread count"),
        ("threads=-1", "Invalid thread count"),
        ("threads=abc", "Invalid thread count"),
        ("user=", "Invalid user"),
        ("user=#x", "Invalid user"),
        ("group=", "Invalid group"),
        ("group=#-1", "Invalid group"),
        ("supplementary-groups=web,#x", "Invalid supplementary groups"),
        ("umask=9", "Invalid umask"),
        ("umask=", "Invalid umask"),
        ("umask=10000", "Invalid umask"),
        ("home=srv", "Invalid home directory"),
        ("chroot=srv", "Invalid chroot directory"),
        ("python=python3", "Invalid python"),
        ("switch-interval=0", "Invalid switch interval"),
        ("switch-interval=nan", "Invalid switch interval"),
        ("stack-size=0", "Invalid stack size"),
        ("server-metrics=maybe", "Invalid server metrics flag"),
        ("maximum-requests=-1", "Invalid request count"),
        ("restart-interval=-1", "Invalid restart interval"),
        ("inactivity-timeout=-1", "Invalid inactivity timeout"),
        ("request-timeout=5s", "Invalid request timeout"),
        ("interrupt-timeout=", "Invalid interrupt timeout"),
        ("graceful-timeout=1.5", "Invalid graceful timeout"),
        ("eviction-timeout=-1", "Invalid eviction timeout"),
        ("startup-timeout=1e3", "Invalid startup timeout"),
        ("deadlock-timeout=-1", "Invalid deadlock timeout"),
        ("shutdown-timeout=\"1 2\"", "Invalid shutdown timeout"),
        ("cpu-time-limit=-1", "Invalid CPU time limit"),
        ("connect-timeout=-1", "Invalid connect timeout"),
        ("socket-timeout=-1", "Invalid socket timeout"),
        ("queue-timeout=2147483648", "Invalid queue timeout"),
        ("listen-backlog=-1", "Invalid listen backlog"),
        ("socket-user=", "Invalid socket user"),
        ("send-buffer-size=511", "Invalid send buffer size"),
        ("receive-buffer-size=511", "Invalid receive buffer size"),
        ("header-buffer-size=8191", "Invalid header buffer size"),
        ("response-buffer-size=65535", "Invalid response buffer size"),
        ("response-socket-timeout=-1", "Invalid response socket timeout"),
        ("response-flush-delay=5ms", "Invalid response flush delay"),
        ("cpu-priority=high", "Invalid CPU priority"),
        ("memory-limit=1G", "Invalid memory limit"),
        ("virtual-memory-limit=-1", "Invalid virtual memory limit"),
        ("script-user=", "Invalid script user"),
        ("script-group=", "Invalid script group"),
    ];

    #[test]
    fn every_option_refuses_in_its_own_words_with_what_was_given_and_what_is_accepted() {
        for (option, words) in REFUSED {
            let refused = refused(option);
            let given = option.replace('"', "");
            assert!(
                refused.starts_with(&format!("{words} for WSGI daemon process: '{given}'; accepted are ")),
                "{refused}"
            );
        }
        let texts = names(["lang", "locale", "display-name", "python-home", "python-path", "python-eggs"]);
        let refusing = names(REFUSED.iter().map(|(option, _)| *option));
        assert_eq!(&refusing | &texts, names(OPTIONS.iter().map(|option| option.name)));
    }

    #[test]
    fn what_the_accepted_numbers_are_is_what_is_accepted() {
        let accepted = |name| OPTIONS.iter().find(|option| option.name == name).expect(name).accepted;
        assert!(accepted("processes").ends_with(&MOST_PROCESSES.to_string()));
        assert!(accepted("threads").ends_with(&MOST_THREADS.to_string()));
        assert!(accepted("header-buffer-size").ends_with(&HEADER_BUFFER.to_string()));
        assert!(accepted("response-buffer-size").ends_with(&RESPONSE_BUFFER.to_string()));
    }

    #[test]
    fn numbers_that_mod_wsgi_reads_right_are_accepted_as_they_are_written() {
        for (option, threads) in
            [("threads=05", 5), ("threads=+5", 5), ("threads=\" 5 \"", 5), ("threads=1 threads=2", 2)]
        {
            assert_eq!(daemon(option).threads, threads, "{option}");
        }
    }

    #[test]
    fn zero_for_a_buffer_means_its_default() {
        let zero = "send-buffer-size=0 receive-buffer-size=0 header-buffer-size=0 response-buffer-size=0";
        assert_eq!(daemon(zero), daemon(""));
    }

    #[test]
    fn root_is_refused_as_a_user_and_not_as_a_group() {
        for option in ["user=root", "user=#0"] {
            let refused = refused(option);
            assert!(
                refused.contains("WSGI process blocked from running as root") && refused.contains(option),
                "{refused}"
            );
        }
        assert_eq!(daemon("group=#0").gid, Some(0));
    }

    #[test]
    fn who_is_not_known_is_refused_by_name() {
        for option in ["user=nobody1", "socket-user=nobody1", "script-user=nobody1"] {
            assert!(refused(option).starts_with("bad user name 'nobody1'"), "{option}");
        }
        for option in ["group=nobody1", "script-group=nobody1", "supplementary-groups=web,nobody1"] {
            assert!(refused(option).starts_with("bad group name 'nobody1'"), "{option}");
        }
        for option in ["user=#12345", "socket-user=#12345"] {
            assert!(refused(option).starts_with("Couldn't determine user name from uid: '#12345'"), "{option}");
        }
    }

    #[test]
    fn supplementary_groups_and_the_group_itself_fit_into_the_systems_limit() {
        assert_eq!(daemon("supplementary-groups=web,staff").supplementary_groups, Some(vec![31, 50]));
        let refused = refused("supplementary-groups=web,staff,more");
        assert!(refused.starts_with("Too many supplementary groups") && refused.contains("fewer than 3"), "{refused}");
    }

    #[test]
    fn only_root_can_change_the_root_directory() {
        let line = "WSGIDaemonProcess d chroot=/srv";
        let result = apply_as(line, &mut ServerWritten::default(), None, &mut GroupNames::default(), &System::WEB);
        let refused = result.expect_err(line).to_string();
        assert!(refused.contains("Cannot chroot WSGI daemon process when not root"), "{refused}");
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        assert!(
            refused("script-user=web script-group=web").starts_with("Only one of script-user and script-group allowed")
        );
        assert!(refused("python=/a python-home=/b").starts_with("Only one of python and python-home allowed"));
        assert_eq!(daemon("python=/a python-home=").python.as_deref(), Some(&b"/a"[..]));
    }

    #[test]
    fn unknown_options_are_refused_with_the_known_ones() {
        for option in ["foo=bar", "threads", "threads = 5", "Threads=5", "virtual-processes=2"] {
            let refused = refused(option);
            assert!(refused.starts_with("Invalid option to WSGI daemon process definition: '"), "{refused}");
            assert!(refused.contains("threads, user"), "{refused}");
        }
    }

    // The page is what users read: an option without a row there does not exist for them.
    #[test]
    fn every_option_has_its_row_on_the_page() {
        let page = include_str!("../../docs/directives/WSGIDaemonProcess.md");
        for option in OPTIONS {
            let row = format!("\n| `{}=", option.name);
            assert_eq!(page.matches(&row).count(), 1, "{row}");
        }
        assert_eq!(OPTIONS.len(), 45);
    }
}
