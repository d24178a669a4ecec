//! The steps of a worker's start, as `wsgi_host.worker` calls them.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags};
use wire::control::{self, FromWorker, Ready, Secrets, ToWorker, descriptor};
use wire::{Scoreboard, SeatState, Settings, SettingsWriter, read_server_board, secret};

use super::channel::{Channel, ProcessLog, set_nonblocking};
use super::connections::Connections;
use super::limits::Slot;
use super::seat::OwnSeat;
use super::signals::Wakeup;
use super::state::{Own, WORKER, Worker};
use super::{control as control_thread, descriptors, dump, interrupt, name, signals, threads};
use crate::daemon::Crew;
use crate::python::process::{self, Home};
use crate::python::reporter;

/// Settings that are the worker's own and never reach Python.
const HIDDEN: [&[u8]; 1] = [b"preload"];

/// Takes the descriptors that the process was started with, and becomes a worker. Called once, on the main thread.
///
/// # Errors
/// What is missing or cannot be read.
pub(in crate::python) fn adopt() -> Result<(), String> {
    let started = Instant::now();
    // First of all: nobody of the same user is to look at what follows.
    set_dumpable(false);
    let [channel, listener, scoreboard, settings] =
        [descriptor::CHANNEL, descriptor::LISTENER, descriptor::SCOREBOARD, descriptor::SETTINGS].map(take);
    let channel = wire::Channel::over(channel?);
    let secrets = secrets(&channel)?;
    let block = read(settings?)?;
    let parsed = Settings::parse(&block).map_err(|error| format!("malformed settings: {error}"))?;
    let limits = control::Worker::take(&parsed).map_err(|error| error.to_string())?;
    let own = control::Own::take(&parsed).map_err(|error| error.to_string())?;
    set_dumpable(limits.is_dumpable);
    let python_signals = Wakeup::new().map_err(|error| error.to_string())?;
    let public = public_settings(&parsed, &python_signals)?;
    let server_board = limits.has_server_board.then(|| take(descriptor::SERVER)).transpose()?;
    let scoreboard = Scoreboard::map_first(scoreboard?, own.seat.saturating_add(1))
        .map_err(|error| format!("no scoreboard: {error}"))?;
    let seat = OwnSeat::new(scoreboard, own.seat, own.incarnation, own.generation).ok_or("no such seat")?;
    if let Some(display_name) = &limits.display_name {
        name::show(display_name);
    }
    let listener = listener?;
    set_nonblocking(listener.as_fd());
    let text = |error: std::io::Error| error.to_string();
    let group = own.pool_group.map_or_else(OnceLock::new, |group| OnceLock::from(group.0));
    let worker = Worker {
        started,
        server_board,
        crew: Crew::new(),
        slots: (0..limits.threads).map(|_| Slot::default()).collect(),
        channel: Channel::new(channel),
        seat,
        listener,
        epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|error| error.to_string())?,
        wakeup: Wakeup::new().map_err(text)?,
        python_signals,
        connections: Connections::new(),
        group,
        reported: Mutex::default(),
        begun: AtomicU64::new(0),
        activity_us: AtomicU64::new(0),
        alive_us: AtomicU64::new(0),
        is_leaving: AtomicBool::new(false),
        is_closed: AtomicBool::new(false),
        own: Own {
            incarnation: own.incarnation,
            secret: secrets.secret,
            reply: secrets.reply,
            peer_uid: own.peer_uid,
            preload: own.preload,
        },
        limits,
    };
    descriptors::begin().map_err(|error| error.to_string())?;
    let worker = WORKER.get_or_init(|| worker);
    descriptors::note(worker.listener.as_fd());
    descriptors::note(worker.epoll.0.as_fd());
    if !process::prepare(Home { log: Box::new(ProcessLog), is_daemon: true, server }, public) {
        return Err("this process is something else already".to_owned());
    }
    signals::install(&worker.wakeup);
    thread::Builder::new()
        .name("wsgi-control".to_owned())
        .spawn(|| control_thread::run(worker))
        .map_err(|error| format!("cannot start the control thread: {error}"))?;
    Ok(())
}

/// What httpd's scoreboard says, if the group may know.
fn server() -> Option<Vec<u8>> {
    // Memory that cannot be read says nothing.
    read_server_board(WORKER.get()?.server_board.as_ref()?).ok().flatten()
}

/// Scripts to load before the first request.
pub(in crate::python) fn scripts() -> Vec<&'static [u8]> {
    WORKER.get().map_or_else(Vec::new, |worker| worker.own.preload.iter().map(|preload| &preload.script[..]).collect())
}

/// Of a script that is to be loaded before the first request: its time, and whether it is run whoever it belongs to.
pub(in crate::python) fn preload(path: &[u8]) -> (i64, bool) {
    // A file that cannot be looked at cannot be loaded either, and load() says why.
    let mtime_us = crate::python::script::time_of(path).unwrap_or(0);
    let preload = WORKER.get().and_then(|worker| worker.own.preload.iter().find(|preload| *preload.script == *path));
    (mtime_us, preload.is_some_and(|preload| !preload.is_aliased))
}

/// Starts the threads, and tells the supervisor. Called once, on the main thread, after the scripts were loaded.
///
/// # Errors
/// Why there are no threads.
pub(in crate::python) fn serve(version: &[u8], prefix: &[u8], executable: &[u8]) -> Result<(), String> {
    let worker = WORKER.get().ok_or("this process is no worker")?;
    reporter::start();
    threads::start(worker).map_err(|error| format!("cannot start the request threads: {error}"))?;
    if worker.limits.deadlock_timeout > 0 {
        worker.alive_us.store(worker.now_us(), Ordering::Relaxed);
        interrupt::pulse(worker);
    }
    // A process that was told to end while it started stays one that drains.
    if !worker.is_leaving.load(Ordering::SeqCst) {
        worker.seat.set_state(SeatState::Serving);
        if worker.is_leaving.load(Ordering::SeqCst) {
            worker.seat.set_state(SeatState::Draining);
        }
    }
    let ready = Ready { version: version.into(), prefix: prefix.into(), executable: executable.into() };
    worker.channel.say(&FromWorker::Ready(ready));
    Ok(())
}

fn set_dumpable(is_dumpable: bool) {
    // SAFETY: changes a flag of the process.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(is_dumpable), 0, 0, 0) };
}

/// Takes over a descriptor that the process was started with; no program that it starts gets it.
fn take(raw: RawFd) -> Result<OwnedFd, String> {
    // SAFETY: asks about a number; if it is open, the supervisor has put it there for this process, which takes it
    // once (`adopt` runs once, and Python opens nothing before).
    unsafe {
        if libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) != 0 {
            return Err(format!("descriptor {raw} is not open: the process was not started by a supervisor"));
        }
        Ok(OwnedFd::from_raw_fd(raw))
    }
}

/// What connections are known by. It is in the channel since before the process was there.
fn secrets(channel: &wire::Channel) -> Result<Secrets, String> {
    let mut message = Vec::new();
    let received = channel.receive(&mut message, true);
    let parsed = match received {
        Ok(Some(_)) => ToWorker::parse(&message).map_err(|error| error.to_string()),
        Ok(None) => Err("the supervisor has gone".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    secret::wipe(&mut message);
    match parsed {
        Ok(ToWorker::Secrets(secrets)) => Ok(secrets),
        Ok(_) => Err("no secrets from the supervisor: another message came first".to_owned()),
        Err(error) => Err(format!("no secrets from the supervisor: {error}")),
    }
}

fn read(settings: OwnedFd) -> Result<Vec<u8>, String> {
    let text = |error: std::io::Error| format!("settings cannot be read: {error}");
    let mut file = File::from(settings);
    file.rewind().map_err(text)?;
    let mut block = Vec::with_capacity(usize::try_from(file.metadata().map_err(text)?.len()).unwrap_or(0) + 1);
    file.take(wire::LIMIT as u64 + 1).read_to_end(&mut block).map_err(text)?;
    Ok(block)
}

/// The settings that Python may see, and what it needs for dumps and signals.
fn public_settings(settings: &Settings<'_>, python_signals: &Wakeup) -> Result<Vec<u8>, String> {
    let mut block = Vec::new();
    let mut writer = SettingsWriter::begin(&mut block);
    for pair in settings.pairs() {
        let (name, value) = pair.map_err(|error| format!("malformed settings: {error}"))?;
        if !HIDDEN.contains(&name) {
            writer.set(name, value);
        }
    }
    if let Ok(file) = dump::prepare() {
        writer.set(b"dump_file", file.to_string().as_bytes());
        writer.set(b"dump_signal", dump::signal().to_string().as_bytes());
    }
    writer.set(b"signal_descriptor", python_signals.descriptor().to_string().as_bytes());
    writer.finish().map_err(|error| error.to_string())?;
    Ok(block)
}
