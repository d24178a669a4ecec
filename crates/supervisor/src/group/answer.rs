//! What the desk answers: which pool an application group has, or gets.

use std::time::{Duration, Instant};

use gateway::Level;
use wire::control::{Ask, Text};

use super::GroupState;
use crate::codes;
use crate::desk::Answer;
use crate::pool::{Fate, Pool};
use crate::terms::Title;
use crate::words::Show;

impl GroupState {
    /// Where the workers of an application group are.
    pub(super) fn answer(&mut self, ask: &Ask, now: Instant) -> Answer {
        let name = &ask.application_group;
        if let Some(pool) = self.standing().find(|pool| pool.title.name.as_ref() == Some(name)) {
            return Answer::Here(pool.seat_range());
        }
        if !self.wanted.is_empty() {
            return Answer::Later;
        }
        if ask.is_open && self.open_names() >= self.terms.group.open_limit as usize {
            let reason = format!(
                "its name was chosen by a client, and {} such application groups have processes already; give the \
                 application a fixed name with WSGIApplicationGroup",
                self.terms.group.open_limit
            );
            return self.nowhere(name, &reason, now);
        }
        if let Some(pool) = self.standing().find(|pool| pool.title.name.is_none()) {
            pool.title = Title { name: Some(name.clone()), is_open: ask.is_open };
            return Answer::Here(pool.seat_range());
        }
        self.wanted.push(Title { name: Some(name.clone()), is_open: ask.is_open });
        match self.fill_and_start(now) {
            Ok(()) if !self.wanted.is_empty() => Answer::Later,
            Ok(()) => self.pools.last().map_or(Answer::Later, |pool| Answer::Here(pool.seat_range())),
            Err(problem) => {
                self.wanted.clear();
                self.nowhere(name, &problem.text, now)
            }
        }
    }

    /// Logged once a minute: clients that choose names can make any number of them, and httpd's child logs each.
    fn nowhere(&mut self, name: &Text, reason: &str, now: Instant) -> Answer {
        let group = Show(&self.terms.group.name);
        let text = format!("application group '{}' gets no processes in group '{group}': {reason}", Show(name));
        if self.refused_at.is_none_or(|at| now.duration_since(at) > Duration::from_secs(60)) {
            self.refused_at = Some(now);
            self.log.problem(Level::Error, codes::NO_POOL, format_args!("{text}"));
        }
        Answer::Nowhere(text)
    }

    fn standing(&mut self) -> impl Iterator<Item = &mut Pool> {
        self.pools.iter_mut().filter(|pool| pool.fate == Fate::Stays)
    }

    fn open_names(&self) -> usize {
        self.pools.iter().filter(|pool| pool.fate == Fate::Stays && pool.title.is_open).count()
    }

    /// Users that may ask at the desk.
    pub(crate) fn askers(&self) -> [u32; 3] {
        [0, self.terms.site.httpd_uid, self.terms.group.socket_uid]
    }
}
