//! Who a worker is, seen from inside. What needs root is left out where the tests do not run as root.

mod harness;

use std::fs;
use std::os::unix::fs::MetadataExt;

use harness::{Httpd, is_running, until};
use nix::unistd::User;
use wire::SeatState;
use wire::control::Group;

#[track_caller]
fn assert_all(answer: &str, parts: &[&str]) {
    for part in parts {
        assert!(answer.contains(part), "{part} in {answer}");
    }
}

/// A user that is not root, if we are.
fn nobody() -> Option<(u32, u32)> {
    let nobody = User::from_name("nobody").ok().flatten()?;
    nix::unistd::geteuid().is_root().then(|| (nobody.uid.as_raw(), nobody.gid.as_raw()))
}

#[test]
fn worker_has_what_it_is_to_have_and_nothing_else() {
    let httpd = Httpd::start(4);
    httpd.settle(&[Group {
        umask: Some(0o27),
        directory: Some("/usr".into()),
        user_name: Some("someone".into()),
        user_home: Some("/home/someone".into()),
        lang: Some("C.UTF-8".into()),
        environment: vec!["OWN=1".into()],
        cpu_priority: 3,
        cpu_time_limit: 100,
        memory_limit: 1 << 32,
        virtual_memory_limit: 1 << 33,
        ..httpd.group("")
    }]);
    let pid = httpd.until_serving(0);
    let answer = httpd.say(0, "look");
    assert_all(
        &answer,
        &[
            &format!("\"sid\": {pid}"),
            "\"cwd\": \"/usr\"",
            "\"umask\": 23",
            "\"nice\": 3",
            "\"cpu\": [100, 106]",
            "\"data\": [4294967296, 4294967296]",
            "\"as\": [8589934592, 8589934592]",
            "\"blocked\": 0",
            "\"ignored\": []",
            "\"USER\": \"someone\"",
            "\"HOME\": \"/home/someone\"",
            "\"LANG\": \"C.UTF-8\"",
            "\"OWN\": \"1\"",
            "\"FROM_HTTPD\": \"yes\"",
        ],
    );
    assert!(!answer.contains("LISTEN_FDS"), "{answer}");
    // Standard ones, channel, listener; the connection, and the listing itself. Settings and scoreboard are closed,
    // but the mapping keeps one of its own.
    assert_all(&answer, &["\"fds\": [0, 1, 2, 3, 4, 5, 6, 7]"]);
    assert!(!httpd.log().contains("WSGI0"), "{}", httpd.log());
}

#[test]
fn home_of_the_user_that_cannot_be_entered_is_named_once_for_each_configuration_and_the_workers_run_on() {
    let httpd = Httpd::start(8);
    let group = |processes| Group { directory: Some("/nowhere".into()), processes, ..httpd.group("") };
    let said = || httpd.log().matches("WSGI0009").count();
    httpd.settle(&[group(2)]);
    let first = [httpd.until_serving(0), httpd.until_serving(1)];
    assert_all(&httpd.say(0, "look"), &["\"cwd\": \"/\""]);
    httpd.say(0, "exit 3");
    until("another process", || httpd.state(0) == SeatState::Serving && httpd.pid(0) != first[0]);
    assert_eq!(said(), 1, "{}", httpd.log());
    httpd.settle(&[group(1)]);
    httpd.until_serving(4);
    assert_eq!(said(), 2, "{}", httpd.log());
}

#[test]
fn home_that_cannot_be_entered_keeps_the_worker_from_running() {
    let httpd = Httpd::start(4);
    let group = Group { directory: Some("/nowhere".into()), is_directory_required: true, ..httpd.group("") };
    httpd.settle(&[group]);
    httpd.until_logged("cannot enter home='/nowhere'");
    httpd.until_logged("could not be started");
}

#[test]
fn other_user_has_its_own_ids_and_groups_and_cannot_go_back() {
    let Some((uid, gid)) = nobody() else { return };
    let httpd = Httpd::start(4);
    let group = Group { uid, gid, groups: vec![gid, 12], user_home: Some("/usr".into()), ..httpd.group("") };
    httpd.settle(&[group]);
    httpd.until_serving(0);
    assert_all(
        &httpd.say(0, "look"),
        &[
            &format!("\"resuid\": [{uid}, {uid}, {uid}]"),
            &format!("\"resgid\": [{gid}, {gid}, {gid}]"),
            &format!("\"groups\": [12, {gid}]"),
            "\"cwd\": \"/usr\"",
        ],
    );
    let metadata = fs::metadata(httpd.directory()).expect("there");
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o711));
}

#[test]
fn root_directory_that_cannot_be_entered_is_fatal_and_retried() {
    let Some((uid, gid)) = nobody() else { return };
    let httpd = Httpd::start(4);
    httpd.settle(&[Group { uid, gid, chroot: Some("/nowhere".into()), ..httpd.group("") }]);
    httpd.until_logged("WSGI0003");
    httpd.until_logged("could not be started; another one is started in 1 second");
}

#[test]
fn rights_of_root_are_given_up_when_no_group_needs_them_and_missed_later() {
    let Some((uid, gid)) = nobody() else { return };
    let mut httpd = Httpd::start(4);
    (httpd.uid, httpd.gid, httpd.is_root_needless) = (uid, gid, true);
    let group = Group { groups: vec![gid], ..httpd.group("") };
    httpd.settle(std::slice::from_ref(&group));
    httpd.until_serving(0);
    let status = fs::read_to_string(format!("/proc/{}/status", httpd.supervisor.id())).expect("there");
    assert_all(&status, &[&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"), &format!("Groups:\t{gid}")]);
    let metadata = fs::metadata(httpd.directory()).expect("there");
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (uid, 0o700));
    assert_all(&httpd.say(0, "look"), &[&format!("\"resuid\": [{uid}, {uid}, {uid}]")]);
    let worker = httpd.pid(0);

    let other = Group { uid: 1, gid: 1, ..httpd.group("") };
    httpd.is_root_needless = false;
    let mut busy = httpd.connect(0).expect("connected");
    assert!(busy.say("look").contains("resuid"));
    assert!(httpd.configure(&[other]).is_root_missing);
    // It has made room for one that is root, and its worker finishes what it has.
    assert_eq!(fs::read_dir(httpd.directory()).expect("there").count(), 0);
    until("draining", || httpd.state(0) == SeatState::Draining);
    assert_eq!(httpd.pid(0), worker);
    assert!(is_running(httpd.supervisor.id()) && is_running(worker));
    drop(busy);
    until("the worker has ended", || !is_running(worker));
    assert_eq!(httpd.until_ended(), Some(0));
    assert!(httpd.directory().exists(), "it is left to the other one");
    assert!(httpd.log().contains("needs root's rights"), "{}", httpd.log());
}
