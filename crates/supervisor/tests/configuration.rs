//! One configuration after another: what is equal stays, what has changed is replaced, what is gone drains.

mod harness;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use harness::{Httpd, is_running, until};
use wire::SeatState;
use wire::control::{FromDesk, Group, Pool};

#[test]
fn equal_group_keeps_its_processes_and_gets_the_new_log() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    let pid = httpd.until_serving(0);
    fs::rename(httpd.place.log("site.log"), httpd.place.log("site.log.1")).expect("rotated");
    httpd.settle(&[httpd.group("")]);
    httpd.say(0, "print after the rotation");
    until("in the new log", || {
        fs::read_to_string(httpd.place.log("site.log")).is_ok_and(|log| log.contains("after the rotation"))
    });
    assert_eq!(httpd.pid(0), pid);
}

#[test]
fn changed_group_starts_new_processes_beside_the_old_ones_which_then_drain() {
    let httpd = Httpd::start(8);
    let group = httpd.group("");
    httpd.settle(std::slice::from_ref(&group));
    let old = httpd.until_serving(0);
    httpd.ask(1, group.secret, "a", false);
    let mut kept = httpd.connect(0).expect("connected");
    assert_ne!(kept.say("look"), "");
    let changed = Group { environment: vec!["NEW=1".into()], ..httpd.group("hesitant") };
    httpd.settle(std::slice::from_ref(&changed));
    until("new one starts", || httpd.state(2) == SeatState::Starting);
    assert_eq!(httpd.ask(1, group.secret, "a", false), Some(FromDesk::Pool(Pool { first: 2, count: 2 })));
    assert_eq!(httpd.state(0), SeatState::Serving);
    fs::write(httpd.place.0.join("gate"), "").expect("opened");
    httpd.until_serving(2);
    assert!(httpd.say(2, "look").contains("\"NEW\": \"1\""));
    until("old one drains", || httpd.state(0) == SeatState::Draining);
    assert!(kept.say("look").contains(&format!("\"pid\": {old}")));
    drop(kept);
    until("old one gone", || !is_running(old) && !httpd.directory().join("1.0.sock").exists());
    assert!(!httpd.log().contains("WSGI0"), "{}", httpd.log());
}

#[test]
fn changed_group_without_free_seats_takes_those_of_the_old_processes() {
    let httpd = Httpd::start(2);
    let group = httpd.group("");
    httpd.settle(std::slice::from_ref(&group));
    let old = httpd.until_serving(0);
    httpd.settle(&[Group { umask: Some(0o7), ..httpd.group("") }]);
    assert_eq!(httpd.ask(1, group.secret, "a", false), Some(FromDesk::Pool(Pool { first: 0, count: 2 })));
    until("another process", || httpd.state(0) == SeatState::Serving && httpd.pid(0) != old);
    assert!(httpd.say(0, "look").contains("\"umask\": 7"));
}

#[test]
fn old_processes_end_although_the_new_ones_cannot_start() {
    let httpd = Httpd::start(8);
    httpd.settle(&[httpd.group("")]);
    let old = httpd.until_serving(0);
    httpd.settle(&[httpd.group("speechless")]);
    until("old one gone", || !is_running(old));
    httpd.until_logged("WSGI0311");
}

#[test]
fn removed_group_drains_and_its_sockets_go() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    let old = httpd.until_serving(0);
    let mut kept = httpd.connect(0).expect("connected");
    assert_ne!(kept.say("look"), "");
    httpd.settle(&[]);
    until("drains", || httpd.state(0) == SeatState::Draining);
    assert!(!httpd.directory().join("1.desk.sock").exists());
    assert_ne!(kept.say("look"), "");
    drop(kept);
    until("gone", || !is_running(old));
    until("sockets gone", || fs::read_dir(httpd.directory()).is_ok_and(|files| files.count() == 0));
    httpd.settle(&[httpd.group("")]);
    httpd.until_serving(2);
}

#[test]
fn group_that_cannot_have_sockets_is_a_problem_of_its_own() {
    let httpd = Httpd::start(4);
    fs::create_dir_all(httpd.directory().join("2.desk.sock/x")).expect("made");
    let settled = httpd.configure(&[httpd.group(""), Group { id: 2, name: "other".into(), ..httpd.group("") }]);
    let problems: Vec<_> = settled.problems.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("other: cannot bind the socket "), "{problems:?}");
    httpd.until_serving(0);
    httpd.until_logged("WSGI0013");
    fs::remove_dir_all(httpd.directory().join("2.desk.sock")).expect("removed");
    httpd.settle(&[httpd.group("")]);
}

#[test]
fn too_small_scoreboard_is_a_problem() {
    let httpd = Httpd::start(2);
    let settled = httpd.configure(&[Group { processes: 2, ..httpd.group("") }]);
    assert_eq!(settled.problems.len(), 1);
    httpd.until_logged("WSGI0317");
}

#[test]
fn sockets_are_for_their_owner_only_and_replace_stale_ones() {
    let httpd = Httpd::start(4);
    fs::create_dir(httpd.directory()).expect("made");
    fs::write(httpd.directory().join("1.0.sock"), "stale").expect("written");
    httpd.settle(&[httpd.group("")]);
    httpd.until_serving(0);
    assert_ne!(httpd.say(0, "look"), "");
    for name in ["1.0.sock", "1.1.sock", "1.desk.sock"] {
        let metadata = fs::metadata(httpd.directory().join(name)).expect("there");
        assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o600, httpd.uid), "{name}");
    }
    assert!(!httpd.directory().join("new.sock").exists());
}

#[test]
fn directory_of_another_user_is_not_used() {
    let httpd = Httpd::start(4);
    if httpd.uid != 0 {
        return;
    }
    fs::create_dir(httpd.directory()).expect("made");
    fs::set_permissions(httpd.directory(), fs::Permissions::from_mode(0o777)).expect("set");
    std::os::unix::fs::chown(httpd.directory(), Some(12345), None).expect("given");
    let settled = httpd.configure(&[httpd.group("")]);
    assert!(String::from_utf8_lossy(&settled.problems[0]).contains("it belongs to user 12345"));
    httpd.until_logged("WSGI0318");
}

#[test]
fn malformed_configuration_leaves_the_one_in_force() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    let pid = httpd.until_serving(0);
    httpd.channel.send(b"what?", &[]).expect("sent");
    httpd.until_logged("WSGI0319");
    httpd.settle(&[httpd.group("")]);
    assert_eq!(httpd.pid(0), pid);
}
