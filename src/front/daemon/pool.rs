//! Finds the pool of an application group, a worker in it, and a connection to that worker.

use std::os::fd::AsFd;
use std::time::Instant;

use nix::sys::socket::SockType;
use wire::Channel;
use wire::control::{Ask, FromDesk, Pool, Text, ToDesk, desk_socket, seat_socket};

use super::client::Client;
use super::connection::{ConnectError, Connection, connect_to};
use super::failure::Failure;
use super::group::Group;
use super::patience::{Cause, Patience};
use super::presence::{InFlight, Presence};
use super::seats::{Choice, Rule, choose};
use super::watch::{Reach, Watch};
use crate::apache::Events;

/// One request on its way to a worker.
pub(super) struct Search<'a> {
    pub(super) group: &'a Group,
    pub(super) presence: &'a Presence,
    pub(super) application_group: &'a [u8],
    /// A client chose the application group's name.
    pub(super) is_open: bool,
    pub(super) patience: Patience,
    pub(super) watch: Watch,
    pub(super) rule: Rule,
}

/// Nothing to be had so many times in a row, and the desk is asked again: the supervisor may have been started again, or
/// may have given the application group other seats.
const DOUBTS: u32 = 3;

/// A connection to the process of a seat.
pub(super) struct Found<'a> {
    pub(super) seat: u32,
    pub(super) connection: Connection,
    /// It has served requests before, so that the worker may have closed it meanwhile.
    pub(super) is_used: bool,
    /// The request, counted to the seat from the moment of the choice: connecting takes time, in which requests that
    /// come at once would all choose the same seat.
    pub(super) counted: InFlight<'a>,
}

impl<'a> Search<'a> {
    /// A connection to the worker that is to have the request. Waits up to `connect-timeout`, of which it uses
    /// up what it waits.
    ///
    /// # Errors
    /// `ClientLeft`, and those of the way to a worker.
    pub(super) fn next(&mut self, client: &dyn Client) -> Result<Found<'a>, Failure> {
        let turn = self.presence.next_turn();
        let mut waits = 0;
        loop {
            let pool = self.pool(client)?;
            match choose(self.presence.views(&pool), pool.count, self.group.terms.threads, &self.rule, turn) {
                Choice::Failed => return Err(Failure::NotStarted(self.presence.last_end(&pool))),
                Choice::Wait => {
                    self.pause(client, Cause::Seat, || Failure::NoneServing)?;
                    waits += 1;
                    if waits % DOUBTS == 0 {
                        self.presence.forget(self.application_group);
                    }
                }
                Choice::Seat(seat) => {
                    let counted = self.presence.count(seat);
                    if let Some(connection) = self.presence.take_idle(seat) {
                        return Ok(Found { seat, connection, is_used: true, counted });
                    }
                    self.presence.close_ended(&pool);
                    if let Some(connection) = self.connect(client, seat)? {
                        return Ok(Found { seat, connection, is_used: false, counted });
                    }
                }
            }
        }
    }

    /// Connects to a seat, or waits a step if that is not possible now: another seat may be the better one then.
    fn connect(&mut self, client: &dyn Client, seat: u32) -> Result<Option<Connection>, Failure> {
        let terms = &self.group.terms;
        let path = terms.socket_directory.join(seat_socket(terms.id, seat));
        match connect_to(&path, SockType::Stream, terms.supervisor_uid) {
            Ok(socket) => return Ok(Some(Connection::over(socket))),
            Err(ConnectError::Busy) => self.pause(client, Cause::Socket, || Failure::Backlog(path))?,
            Err(ConnectError::Absent(err)) => self.pause(client, Cause::Socket, || Failure::Unreachable(path, err))?,
            Err(ConnectError::Failed(err)) => return Err(Failure::Unreachable(path, err)),
            Err(ConnectError::Foreign(user)) => return Err(foreign(&path, user)),
        }
        Ok(None)
    }

    fn pool(&mut self, client: &dyn Client) -> Result<Pool, Failure> {
        if let Some(pool) = self.presence.pool(self.application_group) {
            return Ok(pool);
        }
        let pool = self.ask(client)?;
        if self.presence.learn(self.application_group, &pool) {
            Ok(pool)
        } else {
            Err(Failure::Internal("the supervisor named seats that the scoreboard does not have".to_owned()))
        }
    }

    /// Asks the desk, again and again while the supervisor is being started again.
    fn ask(&mut self, client: &dyn Client) -> Result<Pool, Failure> {
        let terms = &self.group.terms;
        let path = terms.socket_directory.join(desk_socket(terms.id));
        loop {
            let path = path.clone();
            match connect_to(&path, SockType::SeqPacket, terms.supervisor_uid) {
                Ok(socket) => match self.question(client, &Channel::over(socket))? {
                    Some(FromDesk::Pool(pool)) => return Ok(pool),
                    Some(FromDesk::NoPool(no)) => {
                        return Err(Failure::NoPool(String::from_utf8_lossy(&no.reason).into_owned()));
                    }
                    // The supervisor ended before it could answer.
                    None => self.pause(client, Cause::Socket, || Failure::NoneServing)?,
                },
                // The desk's backlog, which says nothing of threads.
                Err(ConnectError::Busy) => self.pause(client, Cause::Socket, || Failure::NoneServing)?,
                Err(ConnectError::Absent(err)) => {
                    self.pause(client, Cause::Socket, || Failure::Unreachable(path, err))?;
                }
                Err(ConnectError::Failed(err)) => return Err(Failure::Unreachable(path, err)),
                Err(ConnectError::Foreign(user)) => return Err(foreign(&path, user)),
            }
        }
    }

    /// Asks over one connection; `None` if it ended without an answer.
    fn question(&mut self, client: &dyn Client, desk: &Channel) -> Result<Option<FromDesk>, Failure> {
        let ask = ToDesk::Ask(Ask {
            secret: self.group.terms.secret,
            application_group: Text::from(self.application_group),
            is_open: self.is_open,
        });
        let mut buf = Vec::new();
        ask.write(&mut buf).map_err(|err| Failure::Internal(format!("cannot ask for the pool: {err}")))?;
        if desk.send(&buf, &[]).is_err() {
            return Ok(None);
        }
        loop {
            match desk.receive(&mut buf, false) {
                Ok(Some(_)) => {
                    let answer = FromDesk::parse(&buf);
                    return answer.map(Some).map_err(|err| Failure::Malformed(format!("answer of the desk: {err}")));
                }
                Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => {}
                Ok(None) | Err(_) => return Ok(None),
            }
            let rest = self.patience.rest();
            if rest.is_zero() {
                return Err(Failure::NoneServing);
            }
            let since = Instant::now();
            self.watch.wait(client, false, Some((desk.as_fd(), Events::READ)), rest);
            self.patience.spend(since.elapsed());
            self.check_client()?;
        }
    }

    fn pause(&mut self, client: &dyn Client, cause: Cause, failure: impl FnOnce() -> Failure) -> Result<(), Failure> {
        let Some(pause) = self.patience.pause(cause) else { return Err(failure()) };
        let end = Instant::now() + pause;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Ok(());
            }
            self.watch.wait(client, false, None, rest);
            self.check_client()?;
        }
    }

    /// Nobody waits for a request that no worker has.
    fn check_client(&self) -> Result<(), Failure> {
        if self.watch.reach <= Reach::HalfClosed { Ok(()) } else { Err(Failure::ClientLeft) }
    }
}

fn foreign(path: &std::path::Path, user: u32) -> Failure {
    Failure::Impostor(format!("socket '{}' was made by user {user}, who is not the supervisor's", path.display()))
}
