//! A worker or a client that has gone, and whether the request was begun by then.

use std::io;
use std::time::{Duration, Instant};

use gateway::WriteError;
use wire::End;

use super::{Closing, LEFT, Relay};
use crate::front::daemon::failure::{Ending, Failure};
use crate::front::daemon::watch::Reach;

/// How long to wait for what the supervisor says of a process whose connection has broken: it has to reap it first.
const END_LIMIT: Duration = Duration::from_millis(500);

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
        let Some(welcome) = self.connection.welcome else { return Ending { pid: 0, is_gone: false, end: None } };
        let end = self.await_end(welcome.incarnation);
        let is_same = self.seat.incarnation.load(Acquire) == welcome.incarnation;
        let is_gone = !is_same || self.seat.pid.load(Acquire) != welcome.pid;
        Ending { pid: welcome.pid, is_gone, end }
    }

    /// How the process ended. Its connections close before the supervisor can have reaped it; one that lives on and has
    /// only closed the connection is waited for in vain.
    fn await_end(&self, incarnation: u32) -> Option<End> {
        let since = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let end = self.seat.end_of(incarnation);
            if end.is_some() || since.elapsed() >= END_LIMIT {
                return end;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
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
