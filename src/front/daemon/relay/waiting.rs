//! Waiting for worker and client at once, each with its limit.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use gateway::ReadError;

use super::{Closing, LEFT, Relay};
use crate::apache::Events;
use crate::front::daemon::connection::{Connection, FIRST_LOOK};
use crate::front::daemon::failure::Failure;

/// How long a worker has to end a request whose client is gone, so that its last log lines arrive and the
/// connection can be kept.
const CUT_LIMIT: Duration = Duration::from_secs(2);

/// Longest wait until the next look whether the process has ended.
const LOOK_AFTER_WORKER: Duration = Duration::from_secs(1);

const LONGEST_NAP: Duration = Duration::from_millis(50);

impl Relay<'_> {
    /// Waits for the worker or the client, and notes what has come.
    pub(super) fn wait(&mut self) -> Result<Option<Closing>, Failure> {
        let awaits_client = self.outbox.is_empty() && self.conversation.room() > 0;
        let Some(limit) = self.limit(awaits_client)? else { return Ok(Some(LEFT)) };
        let limit = self.within_time(limit)?;
        if limit.is_zero() {
            // Only the client's own time can have run out.
            self.fail_input(ReadError::TimedOut);
            return Ok(None);
        }
        // Most answers are here before it matters whether the client is: then one call both waits and receives.
        if std::mem::take(&mut self.is_first_wait) && !awaits_client && self.outbox.is_empty() && limit > FIRST_LOOK {
            return self.receive(Connection::await_first);
        }
        let events = Events::READ.and(Events::WRITE.when(!self.outbox.is_empty()));
        let limit = limit.min(LOOK_AFTER_WORKER);
        let told = self.watch.wait(&*self.client, awaits_client, Some((self.connection.as_fd(), events)), limit);
        if told.has(Events::READ.and(Events::OVER)) {
            return self.receive(Connection::receive);
        }
        if self.has_ended() {
            return self.broken(None).map(Some);
        }
        Ok(None)
    }

    /// The process has ended, and yet the connection is not broken: another process has a copy of it.
    fn has_ended(&self) -> bool {
        let incarnation = self.connection.incarnation();
        incarnation.is_some_and(|incarnation| self.seat.end_of(incarnation).is_some())
    }

    /// How long to wait now; nothing if a cut request has had its time.
    fn limit(&mut self, awaits_client: bool) -> Result<Option<Duration>, Failure> {
        if let Some(cut_at) = self.cut_at {
            let rest = CUT_LIMIT.saturating_sub(cut_at.elapsed());
            return Ok((!rest.is_zero()).then_some(rest));
        }
        let quiet = self.moved.elapsed();
        if awaits_client {
            // Filters have limits of their own (mod_reqtimeout), which show when they are asked again.
            let longest = if self.client.descriptor().is_some() { Duration::from_secs(1) } else { self.next_nap() };
            return Ok(Some(self.client.patience().saturating_sub(quiet).min(longest)));
        }
        match self.terms.socket_timeout {
            Duration::ZERO => Ok(Some(Duration::from_secs(60))),
            timeout if quiet >= timeout => Err(Failure::TimedOut(timeout.as_secs_f64())),
            timeout => Ok(Some(timeout - quiet)),
        }
    }

    /// The wait, cut to what is left of the time for all of it.
    fn within_time(&self, wait: Duration) -> Result<Duration, Failure> {
        let Some((end, limit)) = self.message.time_limit else { return Ok(wait) };
        match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(Failure::Late(limit)),
            rest => Ok(wait.min(rest)),
        }
    }

    fn next_nap(&mut self) -> Duration {
        let nap = self.nap;
        self.nap = (nap * 2).min(LONGEST_NAP);
        nap
    }

    fn receive(
        &mut self,
        by: impl FnOnce(&mut Connection) -> io::Result<Option<usize>>,
    ) -> Result<Option<Closing>, Failure> {
        match by(self.connection) {
            Ok(None) => Ok(None),
            Ok(Some(0)) => self.broken(None).map(Some),
            Ok(Some(_)) => {
                self.moved = Instant::now();
                Ok(None)
            }
            Err(err) => self.broken(Some(err)).map(Some),
        }
    }
}
