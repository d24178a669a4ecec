//! Takes a request to a worker, and to another one if the first did not begin with it.

use std::sync::atomic::Ordering;

use gateway::{Level, Outcome};
use wire::Refusal;

use super::client::Client;
use super::failure::Failure;
use super::group::Group;
use super::patience::Patience;
use super::pool::{Found, Search};
use super::relay::{Closing, Message, Relay};
use super::seats::Rule;
use super::watch::Watch;

/// A request for some worker of an application group.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) application_group: &'a [u8],
    /// A client chose that name.
    pub(super) is_open: bool,
    pub(super) message: Message<'a>,
}

/// How a relayed request ended, where no worker failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The worker said so.
    Done(Outcome),
    /// The client could not be reached any more.
    Abandoned,
}

/// Has a worker of the group answer the client.
///
/// # Errors
/// See [`Failure`].
pub(super) fn deliver(group: &Group, client: &mut dyn Client, order: Order<'_>) -> Result<End, Failure> {
    let presence = group.presence();
    let mut search = Search {
        group,
        presence,
        application_group: order.application_group,
        is_open: order.is_open,
        patience: Patience::new(order.message.patience(group.terms.connect_timeout)),
        watch: Watch::new(),
        rule: Rule::default(),
    };
    let limit = group.terms.processes.saturating_mul(2).saturating_add(1);
    let (mut attempts, mut stale) = (0, 0);
    while attempts < limit {
        let found = search.next(client).map_err(|failure| order.message.late(failure));
        let Found { seat: number, mut connection, is_used, counted } = found?;
        let Some(seat) = presence.seat(number) else {
            return Err(Failure::Internal("the pool has a seat that the scoreboard does not have".to_owned()));
        };
        let generation = seat.generation.load(Ordering::Acquire);
        let mut relay = Relay::new(&group.terms, seat, &mut connection, client, &mut search.watch, order.message);
        let closing = relay.run()?;
        let is_reusable = relay.is_reusable();
        drop(counted);
        match closing {
            Closing::Done(outcome) => {
                if is_reusable && outcome != Outcome::Incomplete {
                    presence.keep(number, connection);
                }
                return Ok(End::Done(outcome));
            }
            Closing::Abandoned { is_ended } => {
                if is_ended && is_reusable {
                    presence.keep(number, connection);
                }
                return Ok(End::Abandoned);
            }
            Closing::Refused(refusal) => {
                let incarnation = connection.incarnation().unwrap_or(0);
                search.rule.refused.push((number, incarnation));
                match refusal {
                    Refusal::Leaving => {}
                    Refusal::Outdated => search.rule.after = search.rule.after.max(Some(generation)),
                    Refusal::Misdirected => presence.forget(order.application_group),
                }
            }
            Closing::NotBegun => presence.close_idle(number),
        }
        // That a worker has closed a connection which waited for work says nothing of the worker.
        match closing {
            Closing::NotBegun if is_used && stale < limit => stale += 1,
            _ => attempts += 1,
        }
        client.log(Level::Debug, b"the process did not begin with the request; trying another");
    }
    Err(Failure::Refused(attempts))
}
