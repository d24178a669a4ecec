//! What an application may do with its worker's descriptors, and the supervisor goes on serving the others.

mod harness;

use harness::{Httpd, until};
use wire::SeatState;
use wire::control::Group;

#[test]
fn worker_that_reloads_as_soon_as_it_is_ready_has_to_wait() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("reloading")]);
    until("third", || httpd.log().matches("is ready").count() >= 3);
    let started = httpd.log().matches("starting process").count();
    assert!(started <= 4, "{}", httpd.log());
}

#[test]
fn flood_of_output_is_cut_and_the_supervisor_answers_meanwhile() {
    let httpd = Httpd::start(4);
    let group = httpd.group("flooding");
    httpd.settle(std::slice::from_ref(&group));
    httpd.until_logged("WSGI0315");
    assert!(httpd.ask(1, group.secret, "a", false).is_some());
    assert!(httpd.log().lines().filter(|line| line.ends_with("] y")).count() < 300_000);
}

#[test]
fn absurd_numbers_of_a_worker_harm_nobody() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    httpd.until_serving(0);
    httpd.say(0, "absurd");
    httpd.until_serving(1);
    until("old one gone", || httpd.state(0) == SeatState::Empty);
    httpd.settle(&[httpd.group("")]);
}

#[test]
fn nonsense_in_the_scoreboard_does_not_keep_a_group_from_being_served() {
    let httpd = Httpd::start(4);
    for seat in 0..4 {
        let seat = httpd.map.seat(seat).expect("in range");
        seat.set_state(SeatState::Serving);
        seat.pid.store(1, std::sync::atomic::Ordering::Relaxed);
        seat.incarnation.store(u32::MAX, std::sync::atomic::Ordering::Relaxed);
        seat.generation.store(u32::MAX, std::sync::atomic::Ordering::Relaxed);
    }
    httpd.settle(&[Group { shutdown_timeout: u64::MAX, ..httpd.group("") }]);
    until("a worker", || httpd.pid(0) > 1 && httpd.state(0) == SeatState::Serving);
    assert!(httpd.say(0, "look").contains("\"incarnation\": \"1\""));
}

#[test]
fn silent_connection_to_the_desk_keeps_nobody_waiting() {
    let httpd = Httpd::start(4);
    let group = httpd.group("");
    httpd.settle(std::slice::from_ref(&group));
    let _silent: Vec<_> = (0..20).map(|_| httpd.knock(1)).collect();
    assert!(httpd.ask(1, group.secret, "a", false).is_some());
}

#[test]
fn flood_of_lines_over_the_channel_is_cut_like_that_of_output() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    httpd.until_serving(0);
    assert_eq!(httpd.say(0, "lines 5000").trim(), "{}");
    httpd.until_logged("WSGI0315");
    let log = httpd.log();
    let passed = log.matches("over the channel").count();
    assert!((1500..3000).contains(&passed), "{passed} lines");
    assert!(log.matches("WSGI0315").count() <= 3);
}

#[test]
fn message_that_is_too_long_or_has_too_many_descriptors_is_lost_and_named_and_the_channel_goes_on() {
    let httpd = Httpd::start(4);
    httpd.settle(&[httpd.group("")]);
    let worker = httpd.until_serving(0);
    assert_eq!(httpd.say(0, "oversized").trim(), "{}");
    until("both are named", || {
        httpd.log().matches("message or its descriptors too long for the channel; ignored").count() == 2
    });
    assert_eq!(httpd.say(0, "line still heard").trim(), "{}");
    httpd.until_logged("still heard");
    assert_eq!(httpd.pid(0), worker);
    assert!(!httpd.log().contains("has died"), "{}", httpd.log());
}

#[test]
fn hundreds_of_silent_connections_to_the_desk_keep_nobody_waiting() {
    let httpd = Httpd::start(4);
    let group = httpd.group("");
    httpd.settle(std::slice::from_ref(&group));
    let silent: Vec<_> = (0..300).map(|_| httpd.knock(1)).collect();
    let began = std::time::Instant::now();
    assert!(httpd.ask(1, group.secret, "a", false).is_some());
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
    let mut buf = Vec::new();
    let is_closed = |channel: &wire::Channel, buf: &mut Vec<u8>| matches!(channel.receive(buf, false), Ok(None));
    until("the oldest are put out", || is_closed(&silent[0], &mut buf) && is_closed(&silent[200], &mut buf));
    until("and the others when they have had their time", || is_closed(&silent[299], &mut buf));
}

#[test]
fn process_that_is_no_child_of_httpds_is_not_heard_at_the_desk() {
    let httpd = Httpd::start(4);
    let group = httpd.group("");
    httpd.settle(std::slice::from_ref(&group));
    httpd.until_serving(0);
    let desk = httpd.directory().join(wire::control::desk_socket(1));
    // Of the same user, and below a worker.
    assert_eq!(httpd.say(0, &format!("knock {}", desk.display())).trim(), "closed");
    assert!(httpd.ask(1, group.secret, "a", false).is_some());
}
