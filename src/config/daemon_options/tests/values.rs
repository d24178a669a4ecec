//! What an option sets, and what is so without one.

use std::time::Duration;

use super::super::{Daemon, HEADER_BUFFER, MOST_PROCESSES, MOST_THREADS, OPTIONS, RESPONSE_BUFFER};
use super::{daemon, names};
use crate::config::accounts::User;

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
    for (option, threads) in [("threads=05", 5), ("threads=+5", 5), ("threads=\" 5 \"", 5), ("threads=1 threads=2", 2)]
    {
        assert_eq!(daemon(option).threads, threads, "{option}");
    }
}

#[test]
fn zero_for_a_buffer_means_its_default() {
    let zero = "send-buffer-size=0 receive-buffer-size=0 header-buffer-size=0 response-buffer-size=0";
    assert_eq!(daemon(zero), daemon(""));
}

// The page is what users read: an option without a row there does not exist for them.
#[test]
fn every_option_has_its_row_on_the_page() {
    let page = include_str!("../../../../docs/directives/WSGIDaemonProcess.md");
    for option in OPTIONS {
        let row = format!("\n| `{}=", option.name);
        assert_eq!(page.matches(&row).count(), 1, "{row}");
    }
    assert_eq!(OPTIONS.len(), 45);
}
