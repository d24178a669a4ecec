//! Waiting for a worker, and noticing meanwhile that the client leaves.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::client::Client;
use crate::apache::{Events, Polled, poll};

/// How far the client's connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Open.
    #[default]
    There,
    /// The client has ended its direction right behind what it sent: it has no more to say and waits for its answer.
    HalfClosed,
    /// The client sends nothing more. It may still read; most that do this have gone.
    Silent,
    /// Nothing that is sent will reach it.
    Gone,
}

/// Longest wait in one go where the client has no socket that would wake the waiter.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Watches one client.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) reach: Reach,
    /// When something last came from it.
    heard: Instant,
}

impl Watch {
    /// Of a client whose request has come just now.
    pub(super) fn new() -> Watch {
        Watch { reach: Reach::default(), heard: Instant::now() }
    }

    /// Part of its body has come.
    pub(super) fn hear(&mut self) {
        self.heard = Instant::now();
    }

    /// Waits for `events` of another socket, for the client to leave or (if `awaits_client`) to send, or for
    /// `limit`; whichever comes first. What was told of the other socket.
    pub(super) fn wait(
        &mut self,
        client: &dyn Client,
        awaits_client: bool,
        other: Option<(BorrowedFd<'_>, Events)>,
        limit: Duration,
    ) -> Events {
        let descriptor = client.descriptor();
        let limit = if descriptor.is_none() { limit.min(LOOK_AGAIN) } else { limit };
        // What was told once is told again and again.
        let watched = descriptor.filter(|_| self.reach != Reach::Gone);
        let of_client = Events::PEER_SILENT.when(self.reach == Reach::There).and(Events::READ.when(awaits_client));
        let (other, of_other) = other.unzip();
        let mut sockets = [Polled::new(watched, of_client), Polled::new(other, of_other.unwrap_or_default())];
        poll(&mut sockets, limit);
        self.note(sockets[0].told(), client.grace());
        if client.is_gone() {
            self.reach = Reach::Gone;
        }
        sockets[1].told()
    }

    fn note(&mut self, told: Events, grace: Duration) {
        let seen = if told.has(Events::OVER) {
            Reach::Gone
        } else if told.has(Events::PEER_SILENT) {
            if self.heard.elapsed() < grace { Reach::HalfClosed } else { Reach::Silent }
        } else {
            Reach::There
        };
        self.reach = self.reach.max(seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn reach(told: &[(Events, Duration)]) -> Reach {
        let mut watch = Watch::new();
        for (events, grace) in told {
            watch.note(*events, *grace);
        }
        watch.reach
    }

    #[test]
    fn a_client_that_ends_its_direction_right_behind_its_request_reads_on_and_a_later_one_has_probably_gone() {
        assert_eq!(reach(&[(Events::default(), LONG)]), Reach::There);
        assert_eq!(reach(&[(Events::PEER_SILENT, LONG)]), Reach::HalfClosed);
        assert_eq!(reach(&[(Events::PEER_SILENT, Duration::ZERO)]), Reach::Silent);
    }

    #[test]
    fn a_client_that_has_reset_is_gone_whatever_it_was_before() {
        let reset = Events::PEER_SILENT.and(Events::OVER);
        assert_eq!(reach(&[(reset, LONG)]), Reach::Gone);
        assert_eq!(reach(&[(Events::PEER_SILENT, LONG), (reset, LONG)]), Reach::Gone);
        assert_eq!(reach(&[(reset, LONG), (Events::default(), LONG)]), Reach::Gone);
    }
}
