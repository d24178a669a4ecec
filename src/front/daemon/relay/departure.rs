//! A worker or a client that has gone, and whether the request was begun by then.

use std::io;

use gateway::WriteError;

use super::{Closing, LEFT, Relay};
use crate::front::daemon::failure::{Ending, Failure};
use crate::front::daemon::watch::Reach;

impl Relay<'_> {
    pub(super) fn broken(&self, err: Option<io::Error>) -> Result<Closing, Failure> {
        if self.is_told {
            return Ok(LEFT);
        }
        if !self.conversation.is_answered() && !self.was_begun() {
            return Ok(Closing::NotBegun);
        }
        let ending = self.ending();
        Err(match err {
            Some(err) => Failure::Broken(err, ending),
            None => Failure::Closed(ending),
        })
    }

    fn ending(&self) -> Ending {
        use std::sync::atomic::Ordering::Acquire;
        let Some(welcome) = self.connection.welcome else { return Ending { pid: 0, is_gone: false } };
        let is_same = self.seat.incarnation.load(Acquire) == welcome.incarnation;
        let is_gone = !is_same || self.seat.pid.load(Acquire) != welcome.pid;
        Ending { pid: welcome.pid, is_gone }
    }

    /// Whether a worker has begun with the request, or may have. None begins before it has sent its welcome.
    fn was_begun(&self) -> bool {
        if self.is_unsent || !self.conversation.is_welcomed() {
            return false;
        }
        let Some(welcome) = self.connection.welcome else { return true };
        self.conversation.is_answered()
            || self.seat.was_begun(welcome.cell, welcome.incarnation, self.connection.requests)
    }

    /// A client that has gone is told to the worker, or takes its request with it if that was not begun.
    pub(super) fn look_at_client(&mut self) -> Result<(), Failure> {
        let reach = self.watch.reach;
        if reach <= Reach::HalfClosed || self.is_told {
            return Ok(());
        }
        if !self.was_begun() {
            return Err(Failure::ClientLeft);
        }
        match reach {
            Reach::Gone => self.cut(&WriteError::ClientGone),
            // Its body may still be here to be read.
            Reach::Silent if !self.conversation.is_uploading() => self.tell(&WriteError::ClientGone),
            _ => {}
        }
        Ok(())
    }
}
