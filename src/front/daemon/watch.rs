//! Waiting for a worker, and noticing meanwhile that the client leaves.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::client::Client;
use crate::apache::{Events, Polled, poll};

/// How far the client's connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Open.
    #[default]
    There,
    /// The client sends nothing more. It may still read; most that do this have gone.
    Silent,
    /// Nothing that is sent will reach it.
    Gone,
}

/// Longest wait in one go where the client has no socket that would wake the waiter.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Watches one client.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) reach: Reach,
}

impl Watch {
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
        self.note(sockets[0].told());
        if client.is_gone() {
            self.reach = Reach::Gone;
        }
        sockets[1].told()
    }

    fn note(&mut self, told: Events) {
        let seen = if told.has(Events::OVER) {
            Reach::Gone
        } else if told.has(Events::PEER_SILENT) {
            Reach::Silent
        } else {
            Reach::There
        };
        self.reach = self.reach.max(seen);
    }
}
