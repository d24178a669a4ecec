//! Workers' lives under the real `wsgictl supervise`, with workers that are a small Python script.

mod harness;

use harness::sample::PYTHON;
use harness::{Httpd, is_running, until};
use nix::sys::signal::Signal;
use wire::SeatState;
use wire::control::{FromDesk, Group, Pool};

#[test]
fn worker_is_started_with_the_configuration_and_told_who_it_is() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    let pid = httpd.until_serving(0);
    let answer = httpd.say(0, "look");
    for part in [&format!("\"pid\": {pid}"), "\"seat\": \"0\"", "\"incarnation\": \"1\"", "\"generation\": \"1\""] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    httpd.until_logged("is ready: Python 3.0");
    assert_eq!(httpd.state(1), SeatState::Empty);
}

#[test]
fn crashed_worker_is_replaced_at_once_and_the_log_says_what_it_died_of() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    let first = httpd.until_serving(0);
    assert_eq!(httpd.say(0, "signal 11"), "");
    until("another process", || httpd.state(0) == SeatState::Serving && httpd.pid(0) != first);
    httpd.until_logged("WSGI0310: process (pid=");
    httpd.until_logged("has died: signal SIGSEGV");
    assert!(!is_running(first));
    assert!(httpd.say(0, "look").contains("\"incarnation\": \"2\""));
}

#[test]
fn interpreter_that_never_becomes_a_worker_is_killed_and_nobody_waits_for_the_next_one() {
    let httpd = Httpd::start(4);
    let group = httpd.group("");
    let (gate, script) = (httpd.place.0.join("gate"), httpd.place.0.join("worker.py"));
    // Hangs as long as there is no gate.
    let command = format!("[ -e {0} ] || exec sleep 1000; exec {1} {2}", gate.display(), PYTHON, script.display());
    let stuck = Group {
        python: "/bin/sh".into(),
        arguments: vec!["-c".into(), command.as_str().into()],
        startup_timeout: 1,
        ..group
    };
    httpd.settle(&[stuck]);
    until("a process", || httpd.pid(0) != 0);
    let first = httpd.pid(0);
    assert_eq!(httpd.state(0), SeatState::Starting);
    httpd.until_logged("WSGI0353: process (pid=");
    httpd.until_logged("has not become a worker within 1 seconds and is killed");
    until("failed", || httpd.state(0) == SeatState::Failed && !is_running(first));
    assert_eq!(httpd.say(0, "look"), "");
    until("another process", || ![0, first].contains(&httpd.pid(0)));
    assert_eq!(httpd.state(0), SeatState::Failed);
    std::fs::write(gate, "").expect("made");
    let second = httpd.until_serving(0);
    httpd.until_logged(&format!("process (pid={second}) of group 'site' is ready"));
    assert!(!httpd.log().contains("WSGI0314"), "{}", httpd.log());
}

#[test]
fn worker_that_takes_long_to_load_its_scripts_is_no_interpreter_that_hangs() {
    let httpd = Httpd::start(4);
    httpd.settle(&[Group { startup_timeout: 1, ..httpd.group("started hesitant") }]);
    until("a process", || httpd.pid(0) != 0);
    let first = httpd.pid(0);
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(3);
    until("more than startup-timeout", || std::time::Instant::now() > limit);
    std::fs::write(httpd.place.0.join("gate"), "").expect("made");
    assert_eq!(httpd.until_serving(0), first);
}

#[test]
fn nobody_sees_a_failed_seat_after_the_first_crash() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    let first = httpd.until_serving(0);
    httpd.say(0, "exit 3");
    let start = std::time::Instant::now();
    while httpd.state(0) != SeatState::Serving || [0, first].contains(&httpd.pid(0)) {
        assert_ne!(httpd.state(0), SeatState::Failed);
        assert!(start.elapsed().as_secs() < 20);
    }
}

#[test]
fn cpu_time_limit_is_named_as_the_cause() {
    let httpd = Httpd::start(4);
    httpd.settle(&[Group { cpu_time_limit: 1, ..httpd.group("") }]);
    httpd.until_serving(0);
    assert_eq!(httpd.say(0, "burn"), "");
    httpd.until_logged("has died: signal SIGXCPU; cpu-time-limit is used up");
}

#[test]
fn second_crash_within_a_minute_fails_the_seat_and_refuses_what_connects_meanwhile() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    let first = httpd.until_serving(0);
    httpd.say(0, "exit 3");
    until("another process", || httpd.state(0) == SeatState::Serving && httpd.pid(0) != first);
    httpd.say(0, "exit 3");
    until("failed", || httpd.state(0) == SeatState::Failed);
    assert_eq!(httpd.say(0, "look"), "");
    httpd.until_logged("has died: exit status 3");
    httpd.until_logged("another one is started in 1 second");
    httpd.until_serving(0);
}

#[test]
fn worker_that_does_not_start_is_quoted() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("speechless")]);
    httpd.until_logged("WSGI0311: ");
    httpd.until_logged("ended before it was ready: exit status 3; it said: no module named encodings");
    httpd.until_logged("[wsgi:error]");
    until("failed", || httpd.state(0) == SeatState::Failed);
}

#[test]
fn interpreter_that_is_not_there_is_named() {
    let httpd = Httpd::start(4);
    httpd.settle(&[Group { python: "/nowhere/python".into(), ..httpd.group("") }]);
    httpd.until_logged("WSGI0312: ");
    httpd.until_logged("cannot execute '/nowhere/python'; see python-home= and python=: No such file");
    until("failed", || httpd.state(0) == SeatState::Failed);
}

#[test]
fn retiring_worker_serves_until_its_replacement_does() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    let old = httpd.until_serving(0);
    let mut kept = httpd.connect(0).expect("connected");
    assert_eq!(kept.say("retire"), "{}\n");
    httpd.until_serving(1);
    httpd.until_logged("is replaced and ends when its requests have: age");
    until("drains", || httpd.state(0) == SeatState::Draining);
    assert!(kept.say("look").contains(&format!("\"pid\": {old}")));
    drop(kept);
    until("old one gone", || httpd.state(0) == SeatState::Empty && !is_running(old));
    assert_eq!(httpd.state(1), SeatState::Serving);
    assert!(!httpd.log().contains("WSGI0310"));
}

#[test]
fn process_that_drains_is_left_alone_however_long_its_requests_take() {
    let httpd = Httpd::start(4);
    // The fake worker says, as any does, that it is stopping: it is not to get less time for that.
    httpd.settle(&[Group { shutdown_timeout: 1, ..httpd.group("") }]);
    let old = httpd.until_serving(0);
    let mut kept = httpd.connect(0).expect("connected");
    assert_eq!(kept.say("retire"), "{}\n");
    until("drains", || httpd.state(0) == SeatState::Draining);
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(4);
    until("more than shutdown-timeout and the grace", || std::time::Instant::now() > limit);
    assert!(kept.say("look").contains(&format!("\"pid\": {old}")), "{}", httpd.log());
    assert!(!httpd.log().contains("WSGI0"), "{}", httpd.log());
}

#[test]
fn process_that_does_not_end_by_when_it_meant_to_is_killed() {
    let httpd = Httpd::start(4);
    httpd.settle(&[Group { shutdown_timeout: 60, ..httpd.group("") }]);
    let old = httpd.until_serving(0);
    assert_eq!(httpd.say(0, "lie 1"), "{}\n");
    httpd.until_logged("did not end in time and is killed");
    until("gone", || !is_running(old));
}

#[test]
fn reload_replaces_every_process_with_the_next_generation() {
    let httpd = Httpd::start(4);
    httpd.settle(&[Group { processes: 2, ..httpd.group("") }]);
    let old = [httpd.until_serving(0), httpd.until_serving(1)];
    httpd.say(0, "reload");
    httpd.until_serving(2);
    httpd.until_serving(3);
    until("old ones gone", || old.iter().all(|pid| !is_running(*pid)));
    assert!(httpd.say(2, "look").contains("\"generation\": \"2\""));
    httpd.until_logged("'site' is reloaded, since /srv/app.wsgi has changed");
    assert!(!httpd.log().contains("WSGI0"), "{}", httpd.log());
}

#[test]
fn worker_that_ends_by_itself_is_replaced_at_once_on_another_seat() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    httpd.until_serving(0);
    httpd.say(0, "stopping");
    httpd.until_serving(1);
    httpd.until_logged("ends: emergency");
    until("empty", || httpd.state(0) == SeatState::Empty);
}

#[test]
fn worker_that_has_closed_its_channel_is_ended() {
    let httpd = Httpd::start(4);
    httpd.settle(&[Group { shutdown_timeout: 1, ..httpd.group("") }]);
    let old = httpd.until_serving(0);
    let _waits = httpd.connect(0).map(|mut kept| std::thread::spawn(move || kept.say("close")));
    httpd.until_serving(1);
    httpd.until_logged("WSGI0314: ");
    until("gone", || !is_running(old));
}

#[test]
fn lines_of_a_worker_are_logged_at_their_level_and_output_as_errors() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    httpd.until_serving(0);
    httpd.say(0, "line through the channel");
    httpd.say(0, "print through the pipe");
    httpd.say(0, "nonsense");
    httpd.until_logged("[wsgi:info]");
    httpd.until_logged("] through the channel\n");
    httpd.until_logged("WSGI0319");
    httpd.until_logged("] through the pipe\n");
    let log = httpd.log();
    let line = log.lines().find(|line| line.ends_with("through the pipe")).expect("logged");
    assert!(line.contains("[wsgi:error]"), "{line}");
}

#[test]
fn service_without_threads_is_started_again_and_again_with_pauses() {
    let httpd = Httpd::start(4);
    httpd.settle(&[Group { threads: 0, ..httpd.group("service") }]);
    httpd.until_logged("has ended: exit status 0; another one is started at once");
    httpd.until_logged("has ended: exit status 0; another one is started in 1 second");
    assert!(!httpd.log().contains("WSGI0310"), "{}", httpd.log());
}

#[test]
fn desk_gives_the_first_pool_to_who_asks_first_and_pools_of_their_own_to_others() {
    let httpd = Httpd::start(6);
    let group = httpd.group("");
    httpd.settle(std::slice::from_ref(&group));
    let ask = |name, is_open| httpd.ask(1, group.secret, name, is_open);
    let pool = |first| Some(FromDesk::Pool(Pool { first, count: 2 }));
    assert_eq!(ask("a", false), pool(0));
    assert_eq!(ask("b", true), pool(2));
    assert_eq!(ask("a", false), pool(0));
    assert_eq!(ask("b", true), pool(2));
    httpd.until_serving(2);
    assert!(httpd.say(2, "look").contains("\"pool_group\": \"b\""));
    let Some(FromDesk::NoPool(refusal)) = ask("c", true) else { panic!("open names have a limit") };
    assert!(String::from_utf8_lossy(&refusal.reason).contains("chosen by a client"));
    assert_eq!(ask("d", false), pool(4));
    let Some(FromDesk::NoPool(refusal)) = ask("e", false) else { panic!("seats have a limit") };
    assert!(String::from_utf8_lossy(&refusal.reason).contains("6 seats"));
    assert_eq!(httpd.ask(1, [9; 32], "a", false), None);
    httpd.until_logged("WSGI0316");
}

#[test]
fn scripts_to_preload_have_pools_from_the_start() {
    let httpd = Httpd::start(4);
    let preload = |name: &str, script: &str| wire::control::Preload {
        application_group: name.into(),
        is_aliased: false,
        script: script.into(),
    };
    let preload = vec![preload("a", "/a.py"), preload("b", "/b.py"), preload("a", "/c.py")];
    let group = Group { preload, ..httpd.group("") };
    httpd.settle(std::slice::from_ref(&group));
    httpd.until_serving(0);
    httpd.until_serving(2);
    assert!(httpd.say(0, "look").contains(r#""preload": [["0a", "/a.py"], ["0a", "/c.py"]]"#));
    assert!(httpd.say(2, "look").contains(r#""preload": [["0b", "/b.py"]]"#));
    assert_eq!(httpd.ask(1, group.secret, "b", false), Some(FromDesk::Pool(Pool { first: 2, count: 2 })));
}

#[test]
fn hangup_and_user_signals_are_nothing_to_the_supervisor() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    let pid = httpd.until_serving(0);
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2] {
        httpd.signal(signal);
    }
    httpd.settle(&[httpd.group("")]);
    assert!(httpd.say(0, "look").contains(&format!("\"pid\": {pid}")));
}
