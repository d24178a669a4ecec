//! The recording of requests in this process, once somebody has asked for it.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use gateway::Outcome;

use super::active::Walk;
use super::course::{self, Course};
use super::meter::{self, Meter};
use super::process;
use crate::measure;
use crate::metrics::{Interval, Moment, PHASES, Phase, Recording, Sample};

/// Set once; requests that find nothing here pay for nothing.
static RECORDING: OnceLock<Mutex<Recording>> = OnceLock::new();

fn lock() -> Option<MutexGuard<'static, Recording>> {
    // Never waits for anything while it is held; sums cannot be left half changed by a panic.
    RECORDING.get().map(|recording| recording.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Begins to record; does nothing if that was done before.
pub(super) fn begin() {
    measure::switch_on();
    RECORDING.get_or_init(|| Mutex::new(Recording::begin(course::process_moment())));
}

/// Whether requests are recorded.
pub(super) fn is_on() -> bool {
    RECORDING.get().is_some()
}

/// A place for one who asks again and again; `None` if nothing is recorded.
pub(super) fn cursor() -> Option<usize> {
    lock().map(|mut recording| recording.cursor())
}

/// The interval of a cursor, and when it ends.
pub(super) fn take(cursor: usize) -> Option<(Interval, Moment)> {
    let now = course::process_moment();
    lock()?.take(cursor, now).map(|interval| (interval, now))
}

/// The figures since the recording began, and the present moment.
pub(super) fn total() -> Option<(Interval, Moment)> {
    let now = course::process_moment();
    lock().map(|recording| (recording.total().clone(), now))
}

/// A request on the calling thread, which shows as busy until it is dropped, if clocks are read.
pub(super) struct Busy {
    meter: &'static Meter,
    /// It runs within another's output (mod_include), and the thread is busy with that one.
    is_nested: bool,
    /// 0: clocks were not read then.
    began_us: u64,
}

impl Busy {
    pub(super) fn begin(meter: &'static Meter) -> Busy {
        let is_nested = meter.enter();
        let began_us = if measure::is_on() { course::now_us() } else { 0 };
        if !is_nested {
            meter.set_since(began_us);
        }
        Busy { meter, is_nested, began_us }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.meter.leave();
        if !self.is_nested {
            self.meter.set_since(0);
        }
    }
}

/// Records a request that has ended. On its thread, not attached.
pub(super) fn record(course: &Course, walk: Option<&Walk>, outcome: Outcome, busy: &Busy) {
    if !is_on() {
        return;
    }
    let ended_us = course::now_us();
    let used = course.used().unwrap_or_default();
    // It was switched on while the request ran.
    let began_us = if busy.began_us == 0 { course.application_start_us } else { busy.began_us };
    let (input, output) = walk.map_or_else(Default::default, |walk| (walk.input.taken(), walk.reply.given()));
    let status = match outcome {
        Outcome::Status(status) => status,
        _ => walk.and_then(|walk| walk.reply.code()).unwrap_or(500),
    };
    let mut phases_us = phases(course, ended_us);
    phases_us[Phase::GilWait as usize] = Some(used.gil.ns / 1000);
    phases_us[Phase::InputRead as usize] = Some(micros(input.time));
    phases_us[Phase::OutputWrite as usize] = Some(micros(output.time));
    let sample = Sample {
        thread: usize::try_from(course.thread_id - 1).unwrap_or(0),
        is_nested: busy.is_nested,
        began_us: if began_us == 0 { ended_us } else { began_us },
        ended_us,
        status,
        input,
        output,
        cpu_us: used.user_us + used.system_us,
        gil_waits: used.gil.times,
        phases_us,
    };
    if let Some(mut recording) = lock() {
        recording.add(&sample);
    }
}

fn phases(course: &Course, ended_us: u64) -> [Option<u64>; PHASES] {
    let mut phases = [None; PHASES];
    // Where the application was never called, what came before is told all the same.
    let called_us = if course.application_start_us > 0 { course.application_start_us } else { ended_us };
    let mut set = |phase: Phase, from: u64, to: u64| phases[phase as usize] = Some(to.saturating_sub(from));
    match course.arrival {
        Some(arrival) => {
            set(Phase::Server, course.request_start_us, arrival.queue_start_us);
            set(Phase::Queue, arrival.queue_start_us, arrival.daemon_start_us);
            set(Phase::Daemon, arrival.daemon_start_us, called_us);
        }
        None => set(Phase::Server, course.request_start_us, called_us),
    }
    if course.application_start_us > 0 {
        set(Phase::Application, called_us, ended_us);
    }
    set(Phase::Request, course.request_start_us, ended_us);
    phases
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What is true at this moment: since when each thread has been busy, how many there are, how many requests run.
pub(super) struct Present {
    pub(super) busy_since_us: Vec<Option<u64>>,
    pub(super) threads: usize,
    pub(super) active: usize,
}

pub(super) fn present() -> Present {
    Present { busy_since_us: meter::busy(), threads: meter::living(), active: process::inside() }
}
