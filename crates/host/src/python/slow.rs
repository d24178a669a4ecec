//! Requests that take long, told to the collector one by one: again and again while they run, and once when they have ended.

use std::sync::atomic::{AtomicBool, Ordering};

use gateway::{Key, Outcome};
use wire::RequestHead;

use super::active::Walk;
use super::course::{Course, now_us};
use super::meter::{self, Meter};
use super::process;
use super::reporter::{Reporter, field::SLOW, reporter};
use crate::telemetry::{Datagram, Kind};

/// Somebody wants to know of slow requests, so each is remembered while it runs.
static IS_ON: AtomicBool = AtomicBool::new(false);

pub(super) fn switch_on() {
    IS_ON.store(true, Ordering::Relaxed);
}

/// A request that runs.
#[derive(Clone)]
pub(super) struct Story {
    /// Its head.
    head: Vec<u8>,
    course: Course,
    /// How many requests ran when it began, with it.
    active: u64,
}

/// What the thread had before, and when the application of that was called.
pub(super) type Outer = Option<(Option<Story>, u64)>;

/// Remembers the calling thread's request, if somebody wants to know, until [`end`], which takes what this gives.
pub(super) fn begin(meter: &Meter, head: &[u8], course: &Course) -> Outer {
    IS_ON.load(Ordering::Relaxed).then(|| {
        let story = Story { head: head.to_vec(), course: *course, active: process::inside() as u64 };
        meter.swap_story((Some(story), 0))
    })
}

/// The request has ended; told if it took long.
pub(super) fn end(meter: &Meter, outer: Outer, course: &Course, walk: Option<&Walk>, outcome: Outcome) {
    let Some(outer) = outer else { return };
    let (Some(story), _) = meter.swap_story(outer) else { return };
    let Some(reporter) = reporter() else { return };
    let now_us = now_us();
    if is_slow(reporter, course, now_us) {
        let story = Story { course: *course, ..story };
        let mut datagram = story.begin(reporter, now_us, true);
        story.put_use(&mut datagram, walk, outcome);
        story.put_head(&mut datagram, reporter);
        reporter.send(&datagram);
    }
}

/// Tells of those that run and have taken long so far.
pub(super) fn tell_running(reporter: &Reporter) {
    if reporter.slow_us.is_none() {
        return;
    }
    let now_us = now_us();
    for (story, application_start_us) in meter::stories() {
        let course = Course { application_start_us, ..story.course };
        if is_slow(reporter, &course, now_us) {
            let story = Story { course, ..story };
            let mut datagram = story.begin(reporter, now_us, false);
            story.put_head(&mut datagram, reporter);
            reporter.send(&datagram);
        }
    }
}

fn is_slow(reporter: &Reporter, course: &Course, now_us: u64) -> bool {
    reporter.slow_us.is_some_and(|slow_us| now_us.saturating_sub(course.request_start_us) >= slow_us)
}

impl Story {
    /// What is known of it while it runs, too.
    fn begin(&self, reporter: &Reporter, now_us: u64, has_ended: bool) -> Datagram {
        let course = &self.course;
        let mut datagram = reporter.datagram(Kind::SlowRequest);
        datagram.count(SLOW, has_ended.into()).us(SLOW + 1, course.request_start_us);
        datagram.us(SLOW + 2, now_us.saturating_sub(course.request_start_us));
        datagram.count(SLOW + 3, u64::try_from(course.thread_id).unwrap_or(0));
        // The phase that it is in goes on until now, and those that it has not come to took nothing.
        let called_us = if course.application_start_us > 0 { course.application_start_us } else { now_us };
        let (server_end_us, queue_us, daemon_us) = match course.arrival {
            Some(arrival) => (
                arrival.queue_start_us,
                arrival.daemon_start_us.saturating_sub(arrival.queue_start_us),
                called_us.saturating_sub(arrival.daemon_start_us),
            ),
            None => (called_us, 0, 0),
        };
        datagram.us(SLOW + 20, server_end_us.saturating_sub(course.request_start_us));
        datagram.us(SLOW + 21, queue_us).us(SLOW + 22, daemon_us).us(SLOW + 23, now_us.saturating_sub(called_us));
        datagram.count(SLOW + 60, self.active);
        datagram.count(SLOW + 61, if has_ended { process::inside() as u64 } else { 0 });
        datagram
    }

    /// What is known when it has ended. On its thread.
    fn put_use(&self, datagram: &mut Datagram, walk: Option<&Walk>, outcome: Outcome) {
        let used = self.course.used().unwrap_or_default();
        let us = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        datagram.us(SLOW + 24, used.gil.ns / 1000).count(SLOW + 25, used.gil.times);
        if let Some(walk) = walk {
            let (input, output) = (walk.input.taken(), walk.reply.given());
            datagram.count(SLOW + 30, input.bytes).count(SLOW + 31, input.calls);
            datagram.count(SLOW + 32, output.bytes).count(SLOW + 33, output.calls);
            datagram.us(SLOW + 34, us(input.time)).us(SLOW + 35, us(output.time));
        }
        let status = match outcome {
            Outcome::Status(status) => status,
            _ => walk.and_then(|walk| walk.reply.code()).unwrap_or(500),
        };
        datagram.count(SLOW + 40, status.into()).us(SLOW + 50, used.user_us).us(SLOW + 51, used.system_us);
    }

    /// What was asked for, without the query, which may hold what nobody else is to know.
    fn put_head(&self, datagram: &mut Datagram, reporter: &Reporter) {
        let Ok(head) = RequestHead::parse(&self.head) else { return };
        let text = |key: Key| head.get(key).unwrap_or_default();
        datagram.text(SLOW + 4, text(Key::ModWsgiRequestId));
        let pid = std::str::from_utf8(text(Key::ModWsgiServerPid)).ok().and_then(|pid| pid.parse().ok());
        datagram.count(SLOW + 5, pid.unwrap_or(0));
        let fields = [
            (10, Key::RequestMethod),
            (11, Key::WsgiUrlScheme),
            (12, Key::ServerName),
            (13, Key::ScriptName),
            (14, Key::PathInfo),
            (15, Key::ServerProtocol),
            (16, Key::RemoteAddr),
        ];
        for (place, key) in fields {
            datagram.text(SLOW + place, text(key));
        }
        if reporter.captures_user_agent {
            datagram.text(SLOW + 17, text(Key::HttpUserAgent));
        }
    }
}
