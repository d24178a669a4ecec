//! What a process sends to a collector (`WSGITelemetryService`): its figures at each interval, slow requests, its own start and
//! end.
//!
//! One thread, which never takes the GIL, so that a process that is stuck in Python goes on reporting. Sending never waits:
//! what nobody takes is lost.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use gateway::Level;
use pyo3::ffi;
use wire::Settings;

use super::course::{self, now_us};
use super::recording;
use super::slow;
use super::{memory, process};
use crate::metrics::{Interval, Moment, PHASES};
use crate::telemetry::{Datagram, Kind, Sender};

static REPORTER: OnceLock<Reporter> = OnceLock::new();

/// Where a process reports to, and as what.
pub(super) struct Reporter {
    socket: UnixDatagram,
    path: PathBuf,
    interval: Duration,
    /// Requests that take as long are told one by one, µs.
    pub(super) slow_us: Option<u64>,
    /// Whether the browser's name is told of them.
    pub(super) captures_user_agent: bool,
    identity: Identity,
    sequence: AtomicU32,
    started_us: u64,
    cursor: usize,
    /// Nobody took the last datagram, and the log says so.
    is_alone: AtomicBool,
    has_stopped: AtomicBool,
}

/// What does not change while the process runs.
struct Identity {
    version: Vec<u8>,
    python: Vec<u8>,
    apache: Vec<u8>,
    mpm: Vec<u8>,
    host: Vec<u8>,
    group: Vec<u8>,
    httpd_pid: u64,
    switch_interval_us: u64,
    threads: usize,
    is_daemon: bool,
}

/// The reporter, in a process that has one.
pub(super) fn reporter() -> Option<&'static Reporter> {
    REPORTER.get().filter(|_| !process::is_forked())
}

/// Begins to report, if the configuration says so and it has not begun.
pub(super) fn start() {
    if REPORTER.get().is_some() {
        return;
    }
    let Ok(settings) = Settings::parse(process::settings()) else { return };
    let Some(path) = settings.get(b"telemetry") else { return };
    match begin(&settings, path) {
        Ok(()) => {}
        Err(error) => process::log(
            Level::Error,
            format!("WSGI0462: this process cannot report what it measures: {error}; it serves all the same")
                .as_bytes(),
        ),
    }
}

fn begin(settings: &Settings<'_>, path: &[u8]) -> std::io::Result<()> {
    recording::begin();
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let cursor = recording::cursor().ok_or_else(|| std::io::Error::other("nothing is recorded"))?;
    let seconds = |name: &[u8]| number(settings, name).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let reporter = Reporter {
        socket,
        path: PathBuf::from(OsStr::from_bytes(path)),
        interval: seconds(b"telemetry_interval").unwrap_or(Duration::from_secs(1)),
        slow_us: seconds(b"slow_requests").map(|threshold| u64::try_from(threshold.as_micros()).unwrap_or(u64::MAX)),
        captures_user_agent: settings.get(b"telemetry_user_agent") == Some(b"1"),
        identity: Identity::of(settings),
        sequence: AtomicU32::new(0),
        started_us: now_us(),
        cursor,
        is_alone: AtomicBool::new(false),
        has_stopped: AtomicBool::new(false),
    };
    if reporter.slow_us.is_some() {
        slow::switch_on();
    }
    let reporter = REPORTER.get_or_init(|| reporter);
    reporter.tell_start();
    std::thread::Builder::new().name("wsgi-telemetry".to_owned()).spawn(move || {
        super::worker::block_all();
        while !reporter.has_stopped.load(Ordering::SeqCst) {
            std::thread::sleep(reporter.interval);
            reporter.report();
        }
    })?;
    Ok(())
}

/// The process has begun to end.
pub(super) fn tell_stopping(reason: &str) {
    if let Some(reporter) = reporter() {
        let mut datagram = reporter.datagram(Kind::Stopping);
        reporter.identity.put_short(&mut datagram);
        datagram.text(field::SHUTDOWN_REASON, reason.as_bytes());
        datagram.count(field::ACTIVE_AT_DECISION, process::inside() as u64);
        reporter.send(&datagram);
    }
}

/// The process ends now: the figures up to here, and that it was so. `is_graceful`: everything had ended before.
pub(super) fn tell_stopped(is_graceful: bool) {
    let Some(reporter) = reporter().filter(|reporter| !reporter.has_stopped.swap(true, Ordering::SeqCst)) else {
        return;
    };
    reporter.report();
    let mut datagram = reporter.datagram(Kind::Stopped);
    reporter.identity.put_short(&mut datagram);
    datagram.text(field::SHUTDOWN_REASON, process::reason().as_bytes());
    datagram.us(field::UPTIME, now_us().saturating_sub(reporter.started_us));
    datagram.count(field::LIFETIME_REQUESTS, recording::total().map_or(0, |(total, _)| total.requests));
    datagram.count(field::ACTIVE_AT_EXIT, process::inside() as u64);
    datagram.count(field::GRACEFUL, is_graceful.into());
    reporter.send(&datagram);
}

/// Sends fields that Python has written.
pub(super) fn tell(kind: u8, fields: &[u8]) {
    if let Some(reporter) = reporter() {
        let mut datagram = Datagram::begin(kind, &reporter.sender());
        reporter.send(datagram.fields(fields));
    }
}

impl Reporter {
    pub(super) fn datagram(&self, kind: Kind) -> Datagram {
        Datagram::begin(kind as u8, &self.sender())
    }

    fn sender(&self) -> Sender {
        Sender {
            pid: std::process::id(),
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            now_us: now_us(),
        }
    }

    /// Sends a datagram, and says once if there is nobody who takes it.
    pub(super) fn send(&self, datagram: &Datagram) {
        let sent = self.socket.send_to(datagram.bytes(), &self.path);
        let is_lost = sent.is_err();
        if is_lost && !self.is_alone.load(Ordering::Relaxed) {
            let error = sent.err().map(|error| error.to_string()).unwrap_or_default();
            let line = format!(
                "Telemetry: {} takes nothing ({error}); what is measured is lost until somebody does.",
                self.path.display()
            );
            process::log(Level::Info, line.as_bytes());
        }
        self.is_alone.store(is_lost, Ordering::Relaxed);
    }

    fn tell_start(&self) {
        let mut datagram = self.datagram(Kind::Started);
        self.identity.put(&mut datagram);
        datagram.us(field::SWITCH_INTERVAL, self.identity.switch_interval_us);
        self.send(&datagram);
    }

    /// Sends the figures since the last time, and the slow requests that run.
    fn report(&self) {
        if let Some((interval, now)) = recording::take(self.cursor) {
            self.send(&self.figures(&interval, now));
        }
        slow::tell_running(self);
    }

    fn figures(&self, interval: &Interval, now: Moment) -> Datagram {
        let identity = &self.identity;
        let period_us = now.us.saturating_sub(interval.start.us).max(1);
        let part = |us: u64| us as f64 / period_us as f64;
        let mut datagram = self.datagram(Kind::Requests);
        identity.put(&mut datagram);
        datagram.us(field::SAMPLE_PERIOD, period_us);
        datagram.number(field::INTERVAL, self.interval.as_secs_f64());
        datagram.us(field::SLOW_THRESHOLD, self.slow_us.unwrap_or(0));
        datagram.us(field::SWITCH_INTERVAL, identity.switch_interval_us);
        datagram.count(field::REQUESTS, interval.requests);
        datagram.number(field::THROUGHPUT, interval.requests as f64 / (period_us as f64 / 1e6));
        let user = part(now.user_us.saturating_sub(interval.start.user_us));
        let system = part(now.system_us.saturating_sub(interval.start.system_us));
        datagram.number(field::CPU, user).number(field::CPU + 1, system).number(field::CPU + 2, user + system);
        let memory = memory::sizes();
        datagram.count(field::MEMORY, memory.now).count(field::MEMORY + 1, memory.most);
        self.put_threads(&mut datagram, interval, now);
        for (phase, series) in interval.phases.iter().enumerate().take(PHASES) {
            // Queue and daemon are phases of daemon mode.
            if !identity.is_daemon && (1..=2).contains(&phase) {
                continue;
            }
            let phase = phase as u16;
            datagram.us(field::MEANS + phase, series.sum_us().checked_div(series.count()).unwrap_or(0));
            if let Some((least, greatest)) = series.range_us() {
                datagram.us(field::LEAST + phase, least).us(field::GREATEST + phase, greatest);
            }
            datagram.counts(field::BUCKETS + phase, series.buckets().iter().copied());
        }
        datagram.count(field::INPUT_BYTES, interval.input.bytes).count(field::INPUT_READS, interval.input.calls);
        datagram.count(field::OUTPUT_BYTES, interval.output.bytes).count(field::OUTPUT_WRITES, interval.output.calls);
        for (class, count) in interval.statuses.iter().enumerate() {
            datagram.count(field::STATUSES + class as u16, *count);
        }
        datagram
    }

    fn put_threads(&self, datagram: &mut Datagram, interval: &Interval, now: Moment) {
        let present = recording::present();
        let length = self.identity.threads.max(interval.threads.len()).max(present.busy_since_us.len());
        let current_us = |number: usize| {
            let since_us = present.busy_since_us.get(number).copied().flatten();
            since_us.map_or(0, |since_us| now.us.saturating_sub(since_us))
        };
        let period_us = now.us.saturating_sub(interval.start.us).max(1);
        let thread = |number: usize| interval.threads.get(number).copied().unwrap_or_default();
        let busy_us = |number: usize| thread(number).busy_us + current_us(number).min(period_us);
        let used_us: u64 = (0..length).map(busy_us).sum();
        let used = used_us as f64 / (period_us as f64 * self.identity.threads.max(1) as f64);
        datagram.number(field::CAPACITY, used.min(1.0));
        let started = if self.identity.is_daemon { self.identity.threads } else { present.threads };
        datagram.count(field::THREADS, self.identity.threads as u64);
        datagram.count(field::THREADS + 1, started as u64).count(field::THREADS + 2, present.active as u64);
        datagram.counts(field::SLOTS, (0..length).map(|number| thread(number).completed));
        datagram.list_us(field::SLOTS + 1, (0..length).map(busy_us));
        datagram.list_us(field::SLOTS + 2, (0..length).map(|number| thread(number).cpu_us));
        datagram.list_us(field::SLOTS + 3, (0..length).map(current_us));
        datagram.list_us(field::SLOTS + 4, (0..length).map(|number| thread(number).longest_us));
    }
}

impl Identity {
    fn of(settings: &Settings<'_>) -> Identity {
        let text = |name: &[u8]| settings.get(name).unwrap_or_default().to_vec();
        let is_daemon = process::is_daemon();
        let threads: &[u8] = if is_daemon { b"threads" } else { b"mpm_threads_per_process" };
        let switch_interval = number(settings, b"switch_interval").unwrap_or(0.005);
        Identity {
            version: text(b"version"),
            python: python_version(),
            apache: [b"Apache/", &text(b"apache_version")[..]].concat(),
            mpm: text(b"mpm_name"),
            host: course::host_name(),
            group: text(b"process_group"),
            httpd_pid: number(settings, b"httpd_pid").unwrap_or(0.0) as u64,
            switch_interval_us: (switch_interval * 1e6) as u64,
            threads: number(settings, threads).unwrap_or(1.0).max(1.0) as usize,
            is_daemon,
        }
    }

    fn put(&self, datagram: &mut Datagram) {
        datagram.text(field::VERSION, &self.version).text(field::VERSION + 1, &self.python);
        datagram.text(field::VERSION + 2, &self.apache).text(field::MPM, &self.mpm);
        self.put_short(datagram);
        datagram.count(field::HTTPD_PID, self.httpd_pid);
    }

    fn put_short(&self, datagram: &mut Datagram) {
        datagram.text(field::HOST, &self.host).text(field::GROUP, &self.group);
    }
}

fn number(settings: &Settings<'_>, name: &[u8]) -> Option<f64> {
    std::str::from_utf8(settings.get(name)?).ok()?.parse().ok()
}

/// `3.11.2`: the first word of what Python says of itself.
fn python_version() -> Vec<u8> {
    // SAFETY: Py_GetVersion gives a static string, and may be called at any time (Python/C API, "Process-wide parameters").
    let text = unsafe { CStr::from_ptr(ffi::Py_GetVersion()) };
    text.to_bytes().split(|byte| *byte == b' ').next().unwrap_or_default().to_vec()
}

/// Numbers of fields (docs/telemetry.md). A block of several begins with the one that is named.
pub(super) mod field {
    pub(in crate::python) const VERSION: u16 = 1;
    pub(in crate::python) const MPM: u16 = 4;
    pub(in crate::python) const HOST: u16 = 5;
    pub(in crate::python) const GROUP: u16 = 6;
    pub(in crate::python) const HTTPD_PID: u16 = 7;
    pub(in crate::python) const SAMPLE_PERIOD: u16 = 10;
    pub(in crate::python) const INTERVAL: u16 = 11;
    pub(in crate::python) const SLOW_THRESHOLD: u16 = 12;
    pub(in crate::python) const SWITCH_INTERVAL: u16 = 13;
    pub(in crate::python) const REQUESTS: u16 = 20;
    pub(in crate::python) const THROUGHPUT: u16 = 21;
    pub(in crate::python) const CAPACITY: u16 = 22;
    pub(in crate::python) const CPU: u16 = 30;
    pub(in crate::python) const MEMORY: u16 = 40;
    pub(in crate::python) const THREADS: u16 = 50;
    pub(in crate::python) const MEANS: u16 = 60;
    pub(in crate::python) const LEAST: u16 = 70;
    pub(in crate::python) const GREATEST: u16 = 80;
    pub(in crate::python) const BUCKETS: u16 = 90;
    pub(in crate::python) const INPUT_BYTES: u16 = 100;
    pub(in crate::python) const INPUT_READS: u16 = 101;
    pub(in crate::python) const OUTPUT_BYTES: u16 = 102;
    pub(in crate::python) const OUTPUT_WRITES: u16 = 103;
    pub(in crate::python) const SLOTS: u16 = 110;
    pub(in crate::python) const STATUSES: u16 = 120;
    pub(in crate::python) const SHUTDOWN_REASON: u16 = 130;
    pub(in crate::python) const UPTIME: u16 = 131;
    pub(in crate::python) const LIFETIME_REQUESTS: u16 = 132;
    pub(in crate::python) const ACTIVE_AT_DECISION: u16 = 133;
    pub(in crate::python) const ACTIVE_AT_EXIT: u16 = 134;
    pub(in crate::python) const GRACEFUL: u16 = 135;
    pub(in crate::python) const SLOW: u16 = 200;
}
