//! httpd's parent and its supervisor: started, told the configuration, started again when it dies, ended.
//!
//! Parent process only. The supervisor outlives configurations, so what is known of it is the one thing of
//! this module that is kept in a static: the channel and the process behind it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wire::Channel;
use wire::control::{Begin, Commit, FromSupervisor, Group, SUPERVISOR_CHANNEL, Settled, ToSupervisor, remove_sockets};

use crate::apache::{Server, companion, is_stopping, library_directory, log_line};
use crate::codes;

/// How long all of a handover may take: httpd's parent does nothing else meanwhile, and a service manager waits.
const HANDOVER_LIMIT: Duration = Duration::from_secs(10);

/// How long of that a supervisor that runs already has for the configuration; what is left is for one that takes the
/// place of a hung one.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// How long a supervisor may take to end its workers when httpd ends: their `shutdown-timeout`, and some.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A supervisor that ends sooner than this after its start has not worked.
const SHORT_LIFE: Duration = Duration::from_secs(5);

/// After so many short lives in a row the next start waits for httpd's next round (`retry`).
const MOST_SHORT_LIVES: u32 = 3;

static SUPERVISION: Mutex<Supervision> = Mutex::new(Supervision {
    running: None,
    leaving: Vec::new(),
    directories: Vec::new(),
    parent: 0,
    short_lives: 0,
    is_owed: false,
});

struct Supervision {
    running: Option<Running>,
    /// Those whose workers finish their requests, after another supervisor has taken their place.
    leaving: Vec<Running>,
    /// Where the sockets of any supervisor are or were: one that is killed removes none.
    directories: Vec<PathBuf>,
    /// The process that has started them: a child of httpd's has a copy of this record, and it is none of its business.
    parent: u32,
    short_lives: u32,
    /// One has died and no other was started.
    is_owed: bool,
}

struct Running {
    channel: Channel,
    pid: i32,
    started: Instant,
}

/// A configuration, as the supervisor is told it.
pub(super) struct Handover<'a> {
    pub(super) begin: Begin,
    /// The main error log's file, if it has one.
    pub(super) main_log: Option<BorrowedFd<'a>>,
    pub(super) groups: Vec<GroupHandover<'a>>,
}

/// One group of it, with the descriptors that go beside.
pub(super) struct GroupHandover<'a> {
    pub(super) group: Group,
    pub(super) scoreboard: BorrowedFd<'a>,
    /// What httpd's scoreboard says, if the group may know.
    pub(super) server: Option<BorrowedFd<'a>>,
    pub(super) log: Option<BorrowedFd<'a>>,
}

fn lock() -> MutexGuard<'static, Supervision> {
    // A panic of another thread cannot have left the record half changed: httpd's parent has one thread.
    SUPERVISION.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a configuration into force; starts a supervisor if none runs and there is a group.
///
/// Gives the groups' problems, each with the group's name in front.
///
/// # Errors
/// A sentence for the log: no supervisor can be started, or it does not do what it should.
pub(super) fn hand_over(server: Server<'_>, handover: &Handover<'_>) -> Result<Vec<String>, String> {
    let mut supervision = lock();
    supervision.is_owed = false;
    if supervision.running.is_none() && handover.groups.is_empty() {
        return Ok(Vec::new());
    }
    // One that has died meanwhile, hangs, or has given up the rights that are needed now, is replaced once.
    let mut problem = None;
    let deadline = Instant::now() + HANDOVER_LIMIT;
    for _ in 0..2 {
        let limit = if supervision.running.is_some() { deadline.min(Instant::now() + SETTLE_LIMIT) } else { deadline };
        let running = match supervision.running.take() {
            Some(running) => running,
            None => supervision.start(server, &handover.begin)?,
        };
        match tell(&running.channel, handover, limit) {
            Ok(settled) if !settled.is_root_missing => {
                supervision.running = Some(running);
                return Ok(settled.problems.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect());
            }
            // Its workers drain, and it has made room in the directory.
            Ok(_) => {
                supervision.leaving.push(running);
                supervision.remove_empty();
            }
            Err(error) => {
                put_down(server, running, &error);
                problem = Some(error).filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
            }
        }
    }
    Err(match problem {
        Some(error) => format!("the supervisor does not take its configuration: {error}"),
        None => "the supervisor ends as soon as it is told its configuration; its own words are in this log".to_owned(),
    })
}

/// The program, beside the module.
fn program() -> Result<PathBuf, String> {
    let directory = library_directory().ok_or("the module's own file cannot be found")?;
    let program = directory.join("wsgictl");
    if program.is_file() {
        return Ok(program);
    }
    Err(format!("{} is missing: it belongs beside the module (make install puts it there)", program.display()))
}

impl Supervision {
    fn start(&mut self, server: Server<'_>, begin: &Begin) -> Result<Running, String> {
        let program = program()?;
        let failed = |error: io::Error| format!("cannot start {}: {error}", program.display());
        let (ours, theirs) = Channel::pair().map_err(failed)?;
        let pid =
            companion::start(program.as_os_str(), "supervise", theirs.into(), SUPERVISOR_CHANNEL).map_err(failed)?;
        companion::watch(server.process_pool(), pid, on_end);
        // After `watch` each time: pools are cleaned up in the reverse order, and APR crashes when it is asked to
        // forget a process that its own clean-up has forgotten (apr_proc_other_child_unregister).
        server.process_pool().at_end(end_all);
        let directory = PathBuf::from(OsStr::from_bytes(&begin.socket_directory));
        if !self.directories.contains(&directory) {
            self.directories.push(directory);
        }
        self.parent = std::process::id();
        Ok(Running { channel: ours, pid, started: Instant::now() })
    }

    /// Removes directories that supervisors without root's rights have left empty: the next one may be told another.
    fn remove_empty(&self) {
        for directory in &self.directories {
            // One that is not empty belongs to whoever comes next, who takes it over.
            let _ = fs::remove_dir(directory);
        }
    }

    fn is_ours(&self) -> bool {
        self.parent == std::process::id()
    }
}

fn tell(channel: &Channel, handover: &Handover<'_>, deadline: Instant) -> io::Result<Settled> {
    let mut block = Vec::new();
    let mut send = |message: ToSupervisor, descriptors: &[BorrowedFd<'_>]| {
        message.write(&mut block).map_err(io::Error::other)?;
        send_by(channel, &block, descriptors, deadline)
    };
    let main_log: Vec<_> = handover.main_log.into_iter().collect();
    send(ToSupervisor::Begin(handover.begin.clone()), &main_log)?;
    for one in &handover.groups {
        let descriptors: Vec<_> = std::iter::once(one.scoreboard).chain(one.server).chain(one.log).collect();
        send(ToSupervisor::Group(one.group.clone()), &descriptors)?;
    }
    let groups = u32::try_from(handover.groups.len()).map_err(io::Error::other)?;
    send(ToSupervisor::Commit(Commit { groups }), &[])?;
    answer(channel, deadline)
}

/// Sends a message by then: one that hangs reads nothing, and the socket's buffer has an end.
fn send_by(channel: &Channel, block: &[u8], descriptors: &[BorrowedFd<'_>], deadline: Instant) -> io::Result<()> {
    loop {
        match channel.try_send(block, descriptors) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                await_events(channel, PollFlags::POLLOUT, deadline)?
            }
            result => return result,
        }
    }
}

/// Waits for events of the channel, or for a signal.
fn await_events(channel: &Channel, events: PollFlags, deadline: Instant) -> io::Result<()> {
    let rest = deadline.saturating_duration_since(Instant::now());
    let mut sockets = [PollFd::new(channel.as_fd(), events)];
    match poll(&mut sockets, PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX)) {
        Ok(0) => Err(io::Error::new(io::ErrorKind::TimedOut, "it did not take it, or did not answer, in time")),
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn answer(channel: &Channel, deadline: Instant) -> io::Result<Settled> {
    let mut block = Vec::new();
    loop {
        await_events(channel, PollFlags::POLLIN, deadline)?;
        match channel.receive(&mut block, false) {
            Ok(Some(_)) => {}
            Ok(None) => return Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let FromSupervisor::Settled(settled) = FromSupervisor::parse(&block).map_err(io::Error::other)?;
        return Ok(settled);
    }
}

/// Ends supervisors, all at once, and waits for them.
fn end_together(supervisors: Vec<Running>) {
    // A closed channel is the word to end.
    let pids: Vec<i32> = supervisors.iter().map(|running| running.pid).collect();
    drop(supervisors);
    let deadline = Instant::now() + END_LIMIT;
    for pid in pids {
        companion::unwatch(pid);
        if !companion::wait_for_end(pid, deadline.saturating_duration_since(Instant::now())) {
            kill(pid);
        }
    }
}

/// Ends a supervisor that did not take a configuration, at once if it hangs: it would not hear that it is to end.
fn put_down(server: Server<'_>, running: Running, error: &io::Error) {
    if error.kind() != io::ErrorKind::TimedOut {
        return end_together(vec![running]);
    }
    let pid = running.pid;
    log_line!(server, Error, codes::SUPERVISOR_HANGS; "the supervisor of daemon processes (pid {pid}) hangs: {error}; it is killed and another one started, and requests that its processes have are finished");
    companion::unwatch(pid);
    kill(pid);
}

/// Its workers notice, and end by themselves.
fn kill(pid: i32) {
    companion::kill(pid);
    companion::wait_for_end(pid, END_LIMIT);
}

/// The supervisor has ended: unless httpd ends, another takes its place. Called by httpd's main loop.
fn on_end(pid: i32, how: &str) {
    let mut supervision = lock();
    let Some(running) = supervision.running.take_if(|running| running.pid == pid) else {
        // One that has left, or that we ended ourselves.
        supervision.leaving.retain(|running| running.pid != pid);
        return;
    };
    if is_stopping() {
        // The signal that ends httpd reached its whole process group (mpm_prefork): nobody is left to be ended.
        return;
    }
    let is_short = running.started.elapsed() < SHORT_LIFE;
    supervision.short_lives = if is_short { supervision.short_lives + 1 } else { 0 };
    supervision.is_owed = supervision.short_lives >= MOST_SHORT_LIVES;
    let (is_owed, Some(server)) = (supervision.is_owed, Server::main()) else { return };
    drop((supervision, running));
    let then = if is_owed { "it has done so several times; trying again in some seconds" } else { "starting another" };
    log_line!(server, Error, codes::SUPERVISOR_ENDED; "the supervisor of daemon processes (pid {pid}) has ended ({how}); {then}");
    if !is_owed {
        super::hand_over_again(server);
    }
}

/// Starts the supervisor that is owed. Called by httpd's main loop every ten seconds or so.
pub(super) fn retry(server: Server<'_>) {
    let is_owed = lock().is_owed;
    if is_owed && !is_stopping() {
        super::hand_over_again(server);
    }
}

/// A child of httpd's: the channel is the parent's alone, so that the supervisor sees when that is gone.
pub(super) fn forget_in_child() {
    let mut supervision = lock();
    if !supervision.is_ours() {
        supervision.running = None;
        supervision.leaving.clear();
        supervision.directories.clear();
    }
}

/// httpd ends: so do the supervisor and its workers, and nothing of them is left. Does nothing in a child.
fn end_all() {
    let (running, leaving, directories) = {
        let mut supervision = lock();
        if !supervision.is_ours() {
            return;
        }
        let leaving = std::mem::take(&mut supervision.leaving);
        (supervision.running.take(), leaving, std::mem::take(&mut supervision.directories))
    };
    end_together(running.into_iter().chain(leaving).collect());
    directories.iter().for_each(|directory| remove(directory));
}

/// Removes what a supervisor leaves that was killed, or that has given up root's rights and cannot remove the directory
/// that it made with them.
fn remove(directory: &Path) {
    // One that is there no more was removed by its supervisor; what cannot be removed is swept at the next start.
    let _ = remove_sockets(directory).and_then(|()| fs::remove_dir(directory));
}
