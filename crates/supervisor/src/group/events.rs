//! What workers say and how they end, turned into log lines and what follows.

use std::time::Instant;

use gateway::Level;
use wire::End;
use wire::control::FromWorker;
use wire::ending::{Ending, Limits, describe, remedy};

use super::GroupState;
use crate::codes;
use crate::explain::{explain, severity};
use crate::log::Log;
use crate::os::spawn::Step;
use crate::words::{Show, When};
use crate::worker::{Event, Part, REMAINS_LIMIT, Remains, Retirement, Worker};

impl GroupState {
    /// Something has come from the worker of a seat.
    pub(crate) fn hear(&mut self, pool: usize, seat: usize, part: Part, buf: &mut Vec<u8>, now: Instant) {
        let Some(worker) = self.worker(pool, seat) else { return };
        for event in worker.take(part, buf, now) {
            self.act_on(pool, seat, event, now);
        }
    }

    fn worker(&mut self, pool: usize, seat: usize) -> Option<&mut Worker> {
        self.pools.get_mut(pool)?.seats.get_mut(seat)?.worker.as_mut()
    }

    fn act_on(&mut self, pool: usize, seat: usize, event: Event, now: Instant) {
        let Some(found) = self.pools.get_mut(pool) else { return };
        let generation = found.generation();
        let Some(worker) = found.seats.get_mut(seat).and_then(|seat| seat.worker.as_mut()) else { return };
        let pid = worker.pid();
        let name = Show(&self.terms.group.name);
        let log = &self.log;
        match event {
            Event::Message(FromWorker::Started(_)) => {
                worker.set_started();
                found.clear(seat);
            }
            Event::Message(FromWorker::Ready(ready)) => {
                worker.set_ready();
                log.info(format_args!(
                    "process (pid={pid}) of group '{name}' is ready: Python {}, prefix {}, executable {}",
                    Show(&ready.version),
                    Show(&ready.prefix),
                    Show(&ready.executable),
                ));
                found.clear(seat);
            }
            Event::Message(FromWorker::Line(line)) => log.line(line.level, pid.unsigned_abs(), &line.text),
            Event::Message(FromWorker::Retire(retire)) => {
                log.info(format_args!(
                    "process (pid={pid}) of group '{name}' is to be replaced: {}",
                    Show(&retire.reason)
                ));
                worker.set_retiring(Retirement { reason: retire.reason, limit: retire.limit });
            }
            Event::Message(FromWorker::Reload(reload)) => {
                // All workers of a generation notice the change; the first one is enough.
                if worker.generation() == generation {
                    log.info(format_args!(
                        "group '{name}' is reloaded, since {} has changed (pid={pid})",
                        Show(&reload.script)
                    ));
                    let age = now.duration_since(worker.started());
                    found.reload(age, now);
                }
            }
            Event::Message(FromWorker::Stopping(stopping)) => {
                log.info(format_args!("process (pid={pid}) of group '{name}' ends: {}", Show(&stopping.reason)));
                let was_told = worker.is_leaving();
                worker.set_stopping(&String::from_utf8_lossy(&stopping.reason), stopping.limit, now);
                let age = now.duration_since(worker.started());
                if !was_told {
                    found.lose(age, now);
                }
            }
            Event::Output(line) => log.native_line(&self.terms.group.name, pid.unsigned_abs(), &line),
            Event::Dropped(count) => tell_dropped(log, &name, pid, count),
            Event::Failed(failure) => {
                if failure.step == Step::UserDirectory && std::mem::replace(&mut self.is_home_said, true) {
                    return;
                }
                let (level, code) = severity(failure);
                log.problem(
                    level,
                    code,
                    format_args!("process (pid={pid}) of group '{name}': {}", explain(failure, found.group())),
                );
            }
            Event::Malformed(error) => log.problem(
                Level::Error,
                codes::CHANNEL,
                format_args!("process (pid={pid}) of group '{name}' sends what it should not: {error}; ignored"),
            ),
        }
    }

    /// Something has come over the pipe of a worker that has ended.
    pub(crate) fn hear_remains(&mut self, place: usize, buf: &mut Vec<u8>, now: Instant) {
        let Some(remains) = self.remains.get_mut(place).and_then(Option::as_mut) else { return };
        let (pid, words) = (remains.pid(), remains.take(buf, now));
        let name = Show(&self.terms.group.name);
        for line in words.lines {
            self.log.native_line(&self.terms.group.name, pid.unsigned_abs(), &line);
        }
        if words.dropped > 0 {
            tell_dropped(&self.log, &name, pid, words.dropped);
        }
        if words.is_end {
            self.remains[place] = None;
        }
    }

    fn keep_remains(&mut self, worker: Worker) {
        let Some(remains) = worker.into_remains() else { return };
        if self.remains.len() == REMAINS_LIMIT {
            self.remains.remove(0);
        }
        self.remains.push(Some(remains));
    }

    /// Logs output that has waited, and what was dropped, where it is time to.
    pub(crate) fn catch_up(&mut self, buf: &mut Vec<u8>, now: Instant) {
        for pool in 0..self.pools.len() {
            for seat in 0..self.pools.get(pool).map_or(0, |pool| pool.seats.len()) {
                let Some(worker) = self.worker(pool, seat) else { continue };
                for event in worker.due(now) {
                    self.act_on(pool, seat, event, now);
                }
            }
        }
        for place in 0..self.remains.len() {
            let is_due = |remains: &Remains| remains.due_at().is_some_and(|at| at <= now);
            if self.remains.get(place).and_then(Option::as_ref).is_some_and(is_due) {
                self.hear_remains(place, buf, now);
            }
        }
    }

    /// Ends processes that have closed their channel and live on.
    pub(crate) fn end_astray(&mut self, now: Instant) {
        for pool in &mut self.pools {
            for index in 0..pool.seats.len() {
                let Some(worker) = pool.seats.get_mut(index).and_then(|seat| seat.worker.as_mut()) else { continue };
                if !worker.is_astray(now) || worker.is_leaving() {
                    continue;
                }
                worker.set_astray(now);
                self.log.problem(
                    Level::Warning,
                    codes::CHANNEL,
                    format_args!(
                        "process (pid={}) of group '{}' has closed its channel to the supervisor and is replaced; does the \
                         application close descriptors that are not its own?",
                        worker.pid(),
                        Show(&self.terms.group.name),
                    ),
                );
                let age = now.duration_since(worker.started());
                pool.lose(age, now);
            }
        }
    }

    /// A process has ended. Whether it was one of this group's.
    pub(crate) fn reaped(&mut self, pid: i32, ending: Ending, buf: &mut Vec<u8>, now: Instant) -> bool {
        let Some((pool, seat)) = self.find(pid) else { return false };
        let Some(worker) = self.worker(pool, seat) else { return false };
        // What it said last may be that it ends, and why.
        for event in worker.take_rest(buf, now) {
            self.act_on(pool, seat, event, now);
        }
        self.bury(pool, seat, ending, now);
        true
    }

    fn find(&self, pid: i32) -> Option<(usize, usize)> {
        self.pools.iter().enumerate().find_map(|(number, pool)| {
            let mine = |worker: &Worker| worker.pid() == pid;
            let seat = pool.seats.iter().position(|seat| seat.worker.as_ref().is_some_and(mine))?;
            Some((number, seat))
        })
    }

    fn bury(&mut self, number: usize, index: usize, ending: Ending, now: Instant) {
        let Some(pool) = self.pools.get_mut(number) else { return };
        let generation = pool.generation();
        let Some(worker) = pool.seats.get_mut(index).and_then(|seat| seat.worker.take()) else { return };
        let is_service = pool.group().threads == 0;
        // A script that ran for so long has done its work: it is run again at once.
        let is_long = now.duration_since(worker.started()).as_secs() >= 10;
        let limits = Limits { cpu: pool.group().cpu_time_limit > 0, memory: has_memory_limit(pool.group()) };
        if let Some(seat) = pool.seats.get(index) {
            // Before anything else can be seen of it: children that had requests there wait for this.
            seat.write_end(&self.terms.board, end_of(&worker, ending, limits, now));
        }
        // Its place is another's by now, or will be filled from what the pool lacks.
        let is_replaced = worker.is_leaving() || worker.generation() != generation;
        let is_done = is_service && is_long;
        if worker.is_destroyed() && !worker.has_started() {
            pool.suspect(index);
        }
        // Nothing was well while it did not get ready.
        let well = if worker.is_ready() { now } else { worker.started() };
        let wait = if is_replaced || is_done { None } else { Some(pool.fail(index, well, now)) };
        if wait.is_none() {
            pool.vacate(index);
        }
        let pid = worker.pid();
        let name = Show(&self.terms.group.name);
        let age = now.duration_since(worker.started()).as_secs();
        let begun = pool.seats.get(index).map_or(0, |seat| seat.begun(&self.terms.board));
        let how = describe(ending);
        let next = Next(wait.map(When));
        let is_planned = worker.is_leaving() && matches!(ending, Ending::Exit(_) | Ending::Signal(libc::SIGTERM, _));
        if worker.has_failed() {
            self.log.info(format_args!("process (pid={pid}) of group '{name}' could not be started{next}"));
        } else if is_planned || worker.is_destroyed() || (is_service && ending == Ending::Exit(0)) {
            self.log.info(format_args!("process (pid={pid}) of group '{name}' has ended: {how}{next}"));
        } else if !worker.is_ready() && !worker.is_leaving() {
            let words = worker.last_words();
            let words = if words.is_empty() { "it said nothing".to_owned() } else { format!("it said: {words}") };
            let hint = if limits.memory { "; memory-limit= or virtual-memory-limit= may be too small" } else { "" };
            self.log.problem(
                Level::Error,
                codes::NOT_READY,
                format_args!(
                    "process (pid={pid}) of group '{name}' ended before it was ready: {how}; {words}{hint}{next}"
                ),
            );
        } else {
            self.log.problem(
                Level::Error,
                codes::CRASHED,
                format_args!("process (pid={pid}) of group '{name}' has died: {how}; {}; it was {age} s old and had begun {begun} requests{next}", remedy(ending, limits)),
            );
        }
        self.keep_remains(worker);
    }
}

fn tell_dropped(log: &Log, name: &Show<'_>, pid: i32, count: u64) {
    log.problem(
        Level::Warning,
        codes::FLOOD,
        format_args!("process (pid={pid}) of group '{name}' writes too fast: {count} lines were dropped"),
    );
}

/// What is written down of the end of a process; the seat knows the rest.
fn end_of(worker: &Worker, ending: Ending, limits: Limits, now: Instant) -> End {
    End {
        incarnation: 0,
        pid: worker.pid().unsigned_abs(),
        ending,
        age: now.duration_since(worker.started()),
        begun: 0,
        ended_us: 0,
        was_killed: worker.is_destroyed(),
        limits,
        reason: worker.reason().to_owned(),
    }
}

/// What follows, at the end of a line.
struct Next(Option<When>);

impl std::fmt::Display for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(when) => write!(f, "; another one is started {when}"),
            None => Ok(()),
        }
    }
}

fn has_memory_limit(group: &wire::control::Group) -> bool {
    group.memory_limit > 0 || group.virtual_memory_limit > 0
}
