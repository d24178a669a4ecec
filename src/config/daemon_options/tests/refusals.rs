//! What the options refuse, and in which words.

use super::super::OPTIONS;
use super::{daemon, names, refused};
use crate::config::sample::{System, apply_as};
use crate::config::{GroupNames, ServerWritten};

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
fn root_is_refused_as_a_user_and_as_a_group() {
    for option in ["user=root", "user=#0"] {
        let refused = refused(option);
        assert!(refused.contains("WSGI process blocked from running as root") && refused.contains(option), "{refused}");
    }
    for option in ["group=#0", "supplementary-groups=#0", "supplementary-groups=web,#0"] {
        let refused = refused(option);
        assert!(refused.contains("blocked from running with root's group: '#0'"), "{refused}");
    }
    // It only says whose files are to be run.
    assert_eq!(daemon("script-group=#0").script_gid, Some(0));
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
