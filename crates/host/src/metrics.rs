//! Figures of many requests: added up for the whole recording, and for the interval of each who asks.
//!
//! Pure arithmetic; when and by whom it is done is `python/recording.rs`. Nothing here reads a clock: moments are
//! handed in, µs since 1970.

mod series;

pub(crate) use series::Series;

use crate::measure::Amount;

/// The parts of a request's time that have a series, in the order of [`Interval::phases`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// From httpd's head to the queue, or embedded to the application's call.
    Server,
    /// To the worker. Daemon mode only.
    Queue,
    /// To the application's call. Daemon mode only.
    Daemon,
    /// To the end of `close()`.
    Application,
    /// All of them.
    Request,
    GilWait,
    InputRead,
    OutputWrite,
}

/// How many phases there are.
pub(crate) const PHASES: usize = 8;

/// What is known of a request that has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Place of its thread among those of the process.
    pub(crate) thread: usize,
    /// It ran within another's output on the same thread (mod_include): what it used of the thread is the other's as well.
    pub(crate) is_nested: bool,
    /// Since when the thread was busy with it, and until when.
    pub(crate) began_us: u64,
    pub(crate) ended_us: u64,
    pub(crate) status: u16,
    pub(crate) input: Amount,
    pub(crate) output: Amount,
    pub(crate) cpu_us: u64,
    pub(crate) gil_waits: u64,
    /// µs of each phase; `None`: the request had no such phase.
    pub(crate) phases_us: [Option<u64>; PHASES],
}

/// A moment, with what the process had used of the processors until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) us: u64,
    pub(crate) user_us: u64,
    pub(crate) system_us: u64,
}

/// What one thread did in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadFigures {
    /// Requests that ended.
    pub(crate) completed: u64,
    /// Its time in requests that have ended, as far as it lies in the interval.
    pub(crate) busy_us: u64,
    pub(crate) cpu_us: u64,
    /// The longest request that ended.
    pub(crate) longest_us: u64,
}

/// The figures of an interval.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interval {
    pub(crate) start: Moment,
    pub(crate) requests: u64,
    /// Of the statuses 1xx to 5xx.
    pub(crate) statuses: [u64; 5],
    pub(crate) input: Amount,
    pub(crate) output: Amount,
    pub(crate) gil_waits: u64,
    pub(crate) phases: [Series; PHASES],
    pub(crate) threads: Vec<ThreadFigures>,
}

impl Interval {
    pub(crate) fn new(start: Moment) -> Interval {
        Interval { start, ..Interval::default() }
    }

    /// Adds a request.
    pub(crate) fn add(&mut self, sample: &Sample) {
        self.requests += 1;
        if let Some(count) = self.statuses.get_mut(usize::from(sample.status / 100).wrapping_sub(1)) {
            *count += 1;
        }
        self.input.join(sample.input);
        self.output.join(sample.output);
        for (series, us) in self.phases.iter_mut().zip(sample.phases_us) {
            if let Some(us) = us {
                series.add(us);
            }
        }
        if self.threads.len() <= sample.thread {
            self.threads.resize(sample.thread + 1, ThreadFigures::default());
        }
        let thread = &mut self.threads[sample.thread];
        thread.completed += 1;
        thread.longest_us = thread.longest_us.max(sample.ended_us.saturating_sub(sample.began_us));
        if !sample.is_nested {
            // What lies before the interval was told in the one before.
            thread.busy_us += sample.ended_us.saturating_sub(sample.began_us.max(self.start.us));
            thread.cpu_us += sample.cpu_us;
            self.gil_waits += sample.gil_waits;
        }
    }
}

/// A recording: the figures since its beginning, and those of each who asks since it last asked.
#[derive(Debug)]
pub(crate) struct Recording {
    total: Interval,
    cursors: Vec<Interval>,
}

impl Recording {
    pub(crate) fn begin(now: Moment) -> Recording {
        Recording { total: Interval::new(now), cursors: Vec::new() }
    }

    /// Adds a request.
    pub(crate) fn add(&mut self, sample: &Sample) {
        self.total.add(sample);
        for interval in &mut self.cursors {
            interval.add(sample);
        }
    }

    /// All of it.
    pub(crate) fn total(&self) -> &Interval {
        &self.total
    }

    /// A place for somebody who asks again and again: its first interval is the whole recording.
    pub(crate) fn cursor(&mut self) -> usize {
        self.cursors.push(self.total.clone());
        self.cursors.len() - 1
    }

    /// The figures since that one last asked.
    pub(crate) fn take(&mut self, cursor: usize, now: Moment) -> Option<Interval> {
        self.cursors.get_mut(cursor).map(|interval| std::mem::replace(interval, Interval::new(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Moment {
        Moment { us, ..Moment::default() }
    }

    fn sample(thread: usize, began_us: u64, ended_us: u64, status: u16) -> Sample {
        let mut phases_us = [None; PHASES];
        phases_us[Phase::Application as usize] = Some(ended_us - began_us);
        Sample { thread, began_us, ended_us, status, cpu_us: 10, phases_us, ..Sample::default() }
    }

    #[test]
    fn each_who_asks_has_intervals_of_its_own() {
        let mut recording = Recording::begin(at(0));
        recording.add(&sample(0, 10, 20, 200));
        let (first, second) = (recording.cursor(), recording.cursor());
        assert_eq!(recording.take(first, at(30)).map(|interval| interval.requests), Some(1));
        recording.add(&sample(0, 40, 50, 404));
        let interval = recording.take(first, at(60)).expect("there");
        assert_eq!((interval.start.us, interval.requests, interval.statuses), (30, 1, [0, 0, 0, 1, 0]));
        assert_eq!(recording.take(second, at(60)).map(|interval| interval.requests), Some(2));
        assert_eq!(recording.total().requests, 2);
        assert!(recording.take(7, at(60)).is_none());
    }

    #[test]
    fn a_thread_is_busy_in_an_interval_for_the_part_that_lies_in_it() {
        let mut recording = Recording::begin(at(0));
        let cursor = recording.cursor();
        let _ = recording.take(cursor, at(100));
        recording.add(&sample(2, 50, 130, 200));
        let interval = recording.take(cursor, at(200)).expect("there");
        let figures = ThreadFigures { completed: 1, busy_us: 30, cpu_us: 10, longest_us: 80 };
        assert_eq!(interval.threads, [ThreadFigures::default(), ThreadFigures::default(), figures]);
    }

    #[test]
    fn what_a_request_within_another_uses_of_their_thread_is_counted_once() {
        let mut interval = Interval::new(at(0));
        interval.add(&Sample { is_nested: true, gil_waits: 2, ..sample(0, 20, 40, 200) });
        interval.add(&Sample { gil_waits: 3, ..sample(0, 10, 60, 200) });
        assert_eq!(interval.threads, [ThreadFigures { completed: 2, busy_us: 50, cpu_us: 10, longest_us: 50 }]);
        assert_eq!((interval.requests, interval.gil_waits), (2, 3));
        assert_eq!(interval.phases[Phase::Application as usize].count(), 2);
    }

    #[test]
    fn a_status_beyond_all_classes_is_in_none() {
        let mut interval = Interval::new(at(0));
        for status in [0, 99, 100, 599, 600, u16::MAX] {
            interval.add(&sample(0, 0, 1, status));
        }
        assert_eq!((interval.requests, interval.statuses), (6, [1, 0, 0, 0, 1]));
    }

    #[test]
    fn a_phase_that_a_request_did_not_have_is_not_counted() {
        let mut interval = Interval::new(at(0));
        interval.add(&sample(0, 0, 5000, 200));
        assert_eq!(interval.phases[Phase::Queue as usize].count(), 0);
        assert_eq!(interval.phases[Phase::Application as usize].sum_us(), 5000);
    }
}
