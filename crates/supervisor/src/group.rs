//! A group: its desk, its pools, its log; how a new configuration of it replaces the one before.

mod answer;
mod events;

use std::rc::Rc;
use std::time::Instant;

use crate::codes;
use crate::desk::Desk;
use crate::log::Log;
use crate::os::identity;
use crate::plan::find_run;
use crate::pool::{Fate, Pool};
use crate::terms::{Terms, Title};
use crate::words::Show;
use crate::worker::{Remains, Worker};
use gateway::Level;

/// Why a group cannot be served.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

/// A group in force, or one that drains after it was removed.
#[derive(Debug)]
pub(crate) struct GroupState {
    pub(crate) terms: Terms,
    pub(crate) log: Log,
    pub(crate) desk: Option<Desk>,
    pub(crate) pools: Vec<Pool>,
    /// Pipes of workers that have ended; `None` for one that is closed.
    pub(crate) remains: Vec<Option<Remains>>,
    /// Pools that wait for seats.
    wanted: Vec<Title>,
    is_removed: bool,
    problem: Option<Problem>,
    /// It has been said that the user's home cannot be entered, which every process finds out for itself.
    is_home_said: bool,
    /// When it was last logged that an application group gets no pool.
    refused_at: Option<Instant>,
}

impl GroupState {
    /// A group that was not there before.
    pub(crate) fn new(terms: Terms, log: Log, now: Instant) -> GroupState {
        terms.board.exorcise(terms.seats());
        let mut group = GroupState {
            terms,
            log,
            desk: None,
            pools: Vec::new(),
            remains: Vec::new(),
            wanted: Vec::new(),
            is_removed: false,
            problem: None,
            is_home_said: false,
            refused_at: None,
        };
        group.settle(now);
        group
    }

    /// A group that is there already is configured again.
    pub(crate) fn adopt(&mut self, terms: Terms, log: Log, now: Instant) {
        self.log = log.replaces(&self.log);
        self.is_home_said = false;
        let is_same = terms.group == self.terms.group
            && terms.board.is_same(&self.terms.board)
            && Rc::ptr_eq(&terms.directory, &self.terms.directory)
            && terms.site.httpd_uid == self.terms.site.httpd_uid;
        if is_same && !self.is_removed && self.problem.is_none() {
            return;
        }
        let keeps_desk = Rc::ptr_eq(&terms.directory, &self.terms.directory)
            && terms.group.socket_uid == self.terms.group.socket_uid;
        if !keeps_desk {
            self.desk = None;
        }
        self.terms = terms;
        self.is_removed = false;
        self.log.info(format_args!("group '{}' has changed: its processes are replaced", Show(&self.terms.group.name)));
        self.settle(now);
    }

    /// The group is no longer configured.
    pub(crate) fn remove(&mut self, now: Instant) {
        if self.is_removed {
            return;
        }
        self.log.info(format_args!("group '{}' is removed: its processes drain", Show(&self.terms.group.name)));
        self.give_up("the group is removed", now);
    }

    /// Another supervisor takes the group over, with processes of its own.
    pub(crate) fn hand_over(&mut self, now: Instant) {
        for pool in &mut self.pools {
            pool.unname();
        }
        self.give_up("the supervisor is replaced", now);
    }

    fn give_up(&mut self, reason: &str, now: Instant) {
        self.is_removed = true;
        self.problem = None;
        self.desk = None;
        self.wanted.clear();
        for pool in &mut self.pools {
            pool.leave(reason, 0, now);
        }
    }

    /// Makes desk and pools of the group as it is configured now.
    fn settle(&mut self, now: Instant) {
        self.problem = None;
        self.wanted = self.titles();
        for pool in &mut self.pools {
            if pool.fate == Fate::Stays {
                pool.fate = Fate::Outgoing;
            }
        }
        if let Err(problem) = self.open(now) {
            self.log.problem(
                Level::Error,
                problem.code,
                format_args!("group '{}' cannot be served: {}", Show(&self.terms.group.name), problem.text),
            );
            self.problem = Some(problem);
            self.wanted.clear();
            self.desk = None;
            // There will be nobody to wait for.
            for pool in &mut self.pools {
                pool.leave("the group has changed", 0, now);
            }
        }
    }

    fn open(&mut self, now: Instant) -> Result<(), Problem> {
        let group = &self.terms.group;
        let user = identity::user();
        if user != 0 && group.uid != user {
            let text = format!(
                "its processes are to be user {}'s, and httpd was not started by root but by user {user}; take user= \
                 away, or start httpd as root",
                group.uid
            );
            return Err(Problem { code: codes::REFUSED, text });
        }
        let refuse = |error: crate::os::sockets::SocketError| Problem { code: error.code(), text: error.to_string() };
        if self.desk.is_none() {
            self.desk = Some(Desk::open(&self.terms).map_err(refuse)?);
        }
        self.fill(now)
    }

    /// The pools that are to be there from the start: those of before, those of scripts to preload, or one for
    /// whoever comes first.
    fn titles(&self) -> Vec<Title> {
        let mut titles: Vec<_> = self.wanted.clone();
        titles.extend(self.pools.iter().filter(|pool| pool.fate == Fate::Stays).map(|pool| pool.title.clone()));
        titles.retain(|title| title.name.is_some());
        for preload in &self.terms.group.preload {
            let name = Some(preload.application_group.clone());
            if titles.iter().all(|title| title.name != name) {
                titles.push(Title { name, is_open: false });
            }
        }
        if titles.is_empty() {
            titles.push(Title::default());
        }
        titles
    }

    /// Makes the pools that wait for seats, as far as there are any.
    fn fill(&mut self, now: Instant) -> Result<(), Problem> {
        while let Some(title) = self.wanted.first().cloned() {
            let Some((first, count)) = self.free_seats() else {
                return self.make_room(now);
            };
            self.wanted.remove(0);
            let pool = Pool::make(self.terms.clone(), title, first, count)
                .map_err(|error| Problem { code: error.code(), text: error.to_string() })?;
            self.pools.push(pool);
        }
        Ok(())
    }

    /// The same, and starts their processes. At a reload that comes with the turn's end, after httpd has been told: its
    /// parent waits for that.
    fn fill_and_start(&mut self, now: Instant) -> Result<(), Problem> {
        let filled = self.fill(now);
        for pool in &mut self.pools {
            pool.act(&self.log, now);
        }
        filled
    }

    /// No seats: the pools of before have to give theirs up before the new ones can start.
    fn make_room(&mut self, now: Instant) -> Result<(), Problem> {
        let limit = self.terms.group.graceful_timeout.max(1);
        let mut is_coming = false;
        for pool in &mut self.pools {
            if pool.fate != Fate::Stays {
                pool.leave("its seats are needed", limit, now);
                is_coming = true;
            }
        }
        if is_coming {
            return Ok(());
        }
        Err(Problem { code: codes::REFUSED, text: self.full() })
    }

    fn full(&self) -> String {
        format!(
            "its scoreboard has {} seats, too few for another {} processes",
            self.terms.seats(),
            self.terms.group.processes
        )
    }

    /// Seats for a pool: twice as many as processes, at least one more.
    fn free_seats(&self) -> Option<(u32, u32)> {
        let processes = self.terms.group.processes.max(1);
        let double = processes.saturating_mul(2);
        let is_taken = |number| self.pools.iter().any(|pool| pool.has_seat(number));
        let seats = 0..self.terms.seats();
        let free: Vec<_> = seats.clone().map(|number| !is_taken(number)).collect();
        let board = &self.terms.board;
        let quiet: Vec<_> = seats.clone().map(|number| free[number as usize] && !board.is_haunted(number)).collect();
        // Children that know a predecessor's pools would make their requests there the first of another's.
        let fresh: Vec<_> = seats.map(|number| free[number as usize] && !board.was_used(number)).collect();
        // What the scoreboard says of strangers is a hint: it cannot keep a group from starting.
        find_run(&fresh, double, double)
            .or_else(|| find_run(&quiet, double, double))
            .or_else(|| find_run(&free, double, double))
            .or_else(|| find_run(&free, double, processes.saturating_add(1)))
    }

    /// Why the group is not served.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    /// Whether nothing is left of a removed group.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_removed && self.pools.is_empty()
    }

    /// What is due: answers, starts, ends.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.end_astray(now);
        self.log.retry();
        self.remains.retain(Option::is_some);
        for pool in &mut self.pools {
            pool.press_on(&self.log, now);
            pool.act(&self.log, now);
            if pool.fate != Fate::Leaves || !pool.is_deserted() {
                pool.renew_sockets(&self.log);
            }
        }
        self.let_go(now);
        for pool in self.pools.extract_if(.., |pool| pool.fate == Fate::Leaves && pool.is_deserted()) {
            pool.end();
        }
        if !self.wanted.is_empty()
            && let Err(problem) = self.fill_and_start(now)
        {
            self.refuse(&problem.text);
        }
        if let Some(mut desk) = self.desk.take() {
            desk.answer(now, |ask| self.answer(ask, now));
            self.desk = Some(desk);
        }
    }

    /// Pools of before end once those in their place have settled.
    fn let_go(&mut self, now: Instant) {
        let has_settled =
            self.wanted.is_empty() && self.pools.iter().filter(|pool| pool.fate == Fate::Stays).all(Pool::has_settled);
        if has_settled {
            for pool in self.pools.iter_mut().filter(|pool| pool.fate == Fate::Outgoing) {
                pool.leave("the group has changed", 0, now);
            }
        }
    }

    fn refuse(&mut self, reason: &str) {
        self.wanted.clear();
        self.log.problem(
            Level::Error,
            codes::NO_POOL,
            format_args!("group '{}' can start no more processes: {reason}", Show(&self.terms.group.name)),
        );
    }

    /// When there is something to do here without anybody's saying so.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let desk = self.desk.as_ref().and_then(Desk::deadline);
        let remains = self.remains.iter().flatten().filter_map(Remains::due_at);
        self.pools.iter().filter_map(Pool::deadline).chain(desk).chain(remains).chain(self.log.retry_at()).min()
    }

    /// All workers, with their seats.
    pub(crate) fn workers(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.pools.iter_mut().flat_map(|pool| &mut pool.seats).filter_map(|seat| seat.worker.as_mut())
    }

    /// Everything is to end.
    pub(crate) fn stop(&mut self, reason: &str, now: Instant) {
        self.desk = None;
        self.wanted.clear();
        for pool in &mut self.pools {
            pool.stop(reason, now);
        }
    }
}
