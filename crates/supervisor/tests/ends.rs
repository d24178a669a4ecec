//! How everything ends, in any order of deaths: no process, no socket, no directory is left.

mod harness;

use std::fs;

use harness::{Httpd, is_running, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wire::SeatState;
use wire::control::Group;

#[test]
fn supervisor_that_is_told_to_end_takes_everything_with_it() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut httpd = Httpd::start(4);
        httpd.settle(&[Group { processes: 2, ..httpd.group("") }]);
        let workers = [httpd.until_serving(0), httpd.until_serving(1)];
        httpd.signal(signal);
        assert_eq!(httpd.until_ended(), Some(0));
        assert!(workers.iter().all(|pid| !is_running(*pid)));
        assert!(!httpd.directory().exists());
        assert_eq!(httpd.state(0), SeatState::Empty);
    }
}

#[test]
fn stubborn_worker_is_killed_within_the_shutdown_timeout() {
    let mut httpd = Httpd::start(4);
    httpd.settle(&[Group { shutdown_timeout: 2, ..httpd.group("stubborn") }]);
    let worker = httpd.until_serving(0);
    httpd.signal(Signal::SIGTERM);
    assert_eq!(httpd.until_ended(), Some(0));
    assert!(!is_running(worker));
    assert!(httpd.log().contains("WSGI0314"));
}

#[test]
fn end_of_the_channel_ends_the_supervisor() {
    let mut httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    let worker = httpd.until_serving(0);
    httpd.channel = wire::Channel::pair().expect("made").0;
    assert_eq!(httpd.until_ended(), Some(0));
    assert!(!is_running(worker) && !httpd.directory().exists());
}

#[test]
fn death_of_httpds_parent_ends_the_supervisor_although_its_children_hold_the_channel() {
    let mut httpd = Httpd::start_below_a_shell(4);
    httpd.settle(&[httpd.group("")]);
    let worker = httpd.until_serving(0);
    let status = fs::read_to_string(format!("/proc/{worker}/status")).expect("there");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent");
    let supervisor: u32 = parent.trim().parse().expect("a number");
    httpd.supervisor.kill().expect("killed");
    httpd.supervisor.wait().expect("reaped");
    until("all gone", || !is_running(supervisor) && !is_running(worker));
    assert!(!httpd.directory().exists());
}

#[test]
fn killed_supervisor_is_followed_by_one_that_leaves_draining_workers_their_seats() {
    let mut httpd = Httpd::start(4);
    let group = httpd.group("");
    httpd.settle(std::slice::from_ref(&group));
    let first = httpd.until_serving(0);
    let mut kept = httpd.connect(0).expect("connected");
    assert_ne!(kept.say("look"), "");
    httpd.signal(Signal::SIGKILL);
    httpd.start_again();
    httpd.settle(&[group]);
    httpd.until_serving(2);
    // It sees by itself that its supervisor has gone, and may be slower than another process is started.
    until("the old one drains", || httpd.state(0) == SeatState::Draining);
    assert_eq!(httpd.pid(0), first);
    assert!(kept.say("look").contains(&format!("\"pid\": {first}")));
    assert!(httpd.say(2, "look").contains("\"incarnation\": \"1\""));
    drop(kept);
    until("the old one gone", || !is_running(first));
}

#[test]
fn next_supervisor_goes_on_counting_and_takes_its_predecessors_sockets_over() {
    let mut httpd = Httpd::start(2);
    let group = httpd.group("");
    httpd.settle(std::slice::from_ref(&group));
    let first = httpd.until_serving(0);
    httpd.signal(Signal::SIGKILL);
    until("the old one gone", || !is_running(first));
    httpd.start_again();
    httpd.settle(&[group]);
    until("another worker", || httpd.state(0) == SeatState::Serving && httpd.pid(0) != first);
    assert!(httpd.say(0, "look").contains("\"incarnation\": \"2\""));
}

#[test]
fn supervisor_keeps_nothing_open_that_httpd_had() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    httpd.until_serving(0);
    let files = fs::read_dir(format!("/proc/{}/fd", httpd.supervisor.id()));
    // Its memory is hidden from its own user, and the list of its files with it.
    let Ok(files) = files else { return };
    let names: Vec<_> = files.flatten().filter_map(|file| fs::read_link(file.path()).ok()).collect();
    assert!(names.len() > 5 && !names.iter().any(|name| name.ends_with("passwd")), "{names:?}");
}

#[test]
fn process_that_a_worker_left_behind_does_not_hold_what_waits_for_the_worker() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    let first = httpd.until_serving(0);
    let mut child = httpd.connect(0).expect("connected");
    let orphan: u32 = child.say("fork").trim().parse().expect("a number");
    httpd.say(0, "exit 3");
    until("another process", || httpd.state(0) == SeatState::Serving && httpd.pid(0) != first);
    kill(Pid::from_raw(i32::try_from(httpd.pid(0)).expect("small")), Signal::SIGSTOP).expect("stopped");
    // This one is in the backlog when its worker dies for the second time, and the seat fails.
    let mut waiting = httpd.connect(0).expect("connected");
    kill(Pid::from_raw(i32::try_from(httpd.pid(0)).expect("small")), Signal::SIGKILL).expect("killed");
    assert_eq!(waiting.say("look"), "");
    httpd.until_logged("has died: signal SIGKILL; perhaps the kernel's out-of-memory killer");
    kill(Pid::from_raw(i32::try_from(orphan).expect("small")), Signal::SIGKILL).expect("killed");
}
