//! Carries one request over one connection: bytes between the worker and the client, without waiting for either
//! alone.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use gateway::{Flow, Outcome, ReadError, WriteError};
use wire::frame::piece_header;
use wire::{Frame, Hello, Refusal, Seat, Welcome};

use super::client::{Client, HeadError};
use super::connection::{Connection, is_equal};
use super::conversation::{Breach, Conversation, Step};
use super::failure::{Ending, Failure};
use super::flushing::Flushing;
use super::group::Terms;
use super::outbox::Outbox;
use super::watch::{Reach, Watch};
use crate::apache::Events;

/// Most bytes of a request's body that are sent in one piece.
const PIECE: usize = 64 << 10;

/// How long a worker has to end a request whose client is gone, so that its last log lines arrive and the
/// connection can be kept.
const CUT_LIMIT: Duration = Duration::from_secs(2);

/// A request as it is sent.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) head: &'a [u8],
    /// The worker may ask for a body.
    pub(super) has_body: bool,
    /// What has come of the body before anybody asked.
    pub(super) early: &'a [u8],
    /// That is all of it, and the head says so.
    pub(super) is_early_whole: bool,
}

/// How a request ended on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// The worker is done with it.
    Done(Outcome),
    /// The response could not be delivered. The worker is done with it as well, or was left to itself.
    Abandoned {
        /// It is done.
        is_ended: bool,
    },
    /// The worker did not take it.
    Refused(Refusal),
    /// The connection broke before the worker began.
    NotBegun,
}

const LEFT: Closing = Closing::Abandoned { is_ended: false };

/// One request on one connection.
pub(super) struct Relay<'a> {
    pub(super) terms: &'a Terms,
    pub(super) seat: &'a Seat,
    pub(super) connection: &'a mut Connection,
    pub(super) client: &'a mut dyn Client,
    pub(super) watch: &'a mut Watch,
    pub(super) message: Message<'a>,
    conversation: Conversation,
    outbox: Outbox,
    flushing: Flushing,
    /// Of `message.early`, when the worker asks for it.
    early_sent: usize,
    /// The connection took nothing at all, so that no worker can have begun.
    is_unsent: bool,
    /// The worker was told that the client has gone, or why nothing more can be delivered.
    is_told: bool,
    /// When a byte last moved.
    moved: Instant,
    cut_at: Option<Instant>,
    /// Steps of looking for a body where no socket tells (HTTP/2).
    nap: Duration,
}

impl<'a> Relay<'a> {
    pub(super) fn new(
        terms: &'a Terms,
        seat: &'a Seat,
        connection: &'a mut Connection,
        client: &'a mut dyn Client,
        watch: &'a mut Watch,
        message: Message<'a>,
    ) -> Relay<'a> {
        let is_uploading = message.has_body && !message.is_early_whole;
        let conversation = Conversation::new(connection.welcome.is_none(), is_uploading);
        let flushing = Flushing::new(terms.response_flush_delay, terms.response_buffer_size);
        Relay {
            terms,
            seat,
            connection,
            client,
            watch,
            message,
            conversation,
            outbox: Outbox::default(),
            flushing,
            early_sent: 0,
            is_unsent: false,
            is_told: false,
            moved: Instant::now(),
            cut_at: None,
            nap: FIRST_NAP,
        }
    }

    /// Carries the request to its end.
    ///
    /// # Errors
    /// Those of a worker that failed; see [`Failure`]. The connection is of no use after one.
    pub(super) fn run(&mut self) -> Result<Closing, Failure> {
        self.send_request();
        let result = self.carry();
        if result.is_err() {
            self.flush_rest();
        }
        result
    }

    fn carry(&mut self) -> Result<Closing, Failure> {
        loop {
            if let Some(closing) = self.take_frames()? {
                return Ok(closing);
            }
            self.look_at_client()?;
            self.feed();
            if let Some(closing) = self.wait()? {
                return Ok(closing);
            }
        }
    }

    /// Whether the connection may serve another request after this one was done.
    pub(super) fn is_reusable(&self) -> bool {
        self.connection.inbox.is_empty() && self.outbox.is_empty() && !self.outbox.is_closed()
    }

    /// Hello, head and an early body in one system call, and what of them does not go at once later.
    fn send_request(&mut self) {
        let mut hello = Vec::new();
        if self.connection.welcome.is_none() {
            Frame::Hello(Hello { secret: self.terms.secret }).put(&mut hello);
        }
        self.connection.requests += 1;
        let early = if self.message.is_early_whole { self.message.early } else { &[] };
        let piece = piece_header(Flow::End, early.len());
        let header: &[u8] = if self.message.is_early_whole { &piece } else { &[] };
        let parts = [&hello[..], self.message.head, header, early];
        match self.connection.send_parts(&parts.map(IoSlice::new)) {
            Ok(sent) => self.outbox.keep_rest(&parts, sent.unwrap_or(0)),
            // What the worker said before it closed is read all the same.
            Err(_) => {
                self.is_unsent = true;
                self.outbox.close();
            }
        }
    }

    fn take_frames(&mut self) -> Result<Option<Closing>, Failure> {
        loop {
            let is_last = self.connection.inbox.is_single();
            let frame = match self.connection.inbox.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(err) => return Err(Failure::Malformed(err.to_string())),
            };
            let step = self.conversation.receive(frame).map_err(|Breach(what)| Failure::Malformed(what.to_owned()))?;
            let delivered = match step {
                Step::Nothing => Ok(()),
                Step::Log(level, line) => {
                    self.client.log(level, line);
                    Ok(())
                }
                Step::Head(block) => match self.client.start(block) {
                    Ok(()) => Ok(()),
                    Err(HeadError::Closed(err)) => Err(err),
                    Err(HeadError::TooLong(name)) => {
                        return Err(Failure::HeaderTooLong(name, self.terms.header_buffer_size));
                    }
                    Err(HeadError::Malformed(reason)) => return Err(Failure::Malformed(reason)),
                },
                Step::Piece(flow, bytes) => {
                    let flow = self.flushing.flow(flow, bytes.len(), is_last);
                    self.client.write(bytes, flow)
                }
                Step::Welcome(welcome) => {
                    self.check(welcome)?;
                    Ok(())
                }
                Step::Done(outcome) => {
                    if outcome == Outcome::Incomplete {
                        self.flush_rest();
                    }
                    return Ok(Some(self.done(outcome)));
                }
                Step::Refused(refusal) => return Ok(Some(Closing::Refused(refusal))),
            };
            if let Err(err) = delivered {
                self.cut(&err);
            }
        }
        if self.flushing.take_owed() {
            self.flush();
        }
        Ok(None)
    }

    /// Before a response is broken off, what has come of it goes out.
    fn flush_rest(&mut self) {
        if self.flushing.take_unflushed() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.conversation.is_cut()
            && let Err(err) = self.client.write(b"", Flow::Flush)
        {
            self.cut(&err);
        }
    }

    fn check(&mut self, welcome: Welcome) -> Result<(), Failure> {
        if !is_equal(&welcome.secret, &self.terms.reply) {
            return Err(Failure::Impostor(format!(
                "whoever answers as process {} does not know the group's secret",
                welcome.pid
            )));
        }
        self.connection.welcome = Some(welcome);
        Ok(())
    }

    fn done(&self, outcome: Outcome) -> Closing {
        match outcome {
            // The worker left off because it was told that the client has gone.
            Outcome::Complete | Outcome::Incomplete if self.is_told && !self.conversation.is_whole() => {
                Closing::Abandoned { is_ended: outcome == Outcome::Complete }
            }
            outcome => Closing::Done(outcome),
        }
    }

    /// Nothing more can be delivered: the worker is told, once.
    fn cut(&mut self, error: &WriteError) {
        self.conversation.cut();
        self.cut_at.get_or_insert_with(Instant::now);
        self.tell(error);
    }

    fn tell(&mut self, error: &WriteError) {
        if !std::mem::replace(&mut self.is_told, true) {
            self.outbox.put(&Frame::Cut(error.clone()));
        }
    }

    /// Sends what the worker has asked for of the body and the client has sent, as far as the connection takes it.
    fn feed(&mut self) {
        self.push();
        while self.outbox.is_empty() && !self.outbox.is_closed() && self.conversation.room() > 0 {
            let room = usize::try_from(self.conversation.room()).unwrap_or(usize::MAX).min(PIECE);
            match self.read(room) {
                Ok(None) => return,
                Ok(Some((count, is_last))) => {
                    self.watch.hear();
                    self.conversation.sent(count);
                    if is_last {
                        self.conversation.end_upload();
                    }
                    self.moved = Instant::now();
                    self.nap = FIRST_NAP;
                }
                Err(err) => self.fail_input(err),
            }
            self.push();
        }
    }

    /// Puts the next piece of the body into the outbox: its length, and whether it is the last.
    fn read(&mut self, room: usize) -> Result<Option<(usize, bool)>, ReadError> {
        let early = &self.message.early[self.early_sent..];
        if !early.is_empty() {
            let part = &early[..early.len().min(room)];
            self.early_sent += part.len();
            self.outbox.put(&Frame::Piece { flow: Flow::More, bytes: part });
            return Ok(Some((part.len(), false)));
        }
        let client = &mut *self.client;
        self.outbox.put_piece(room, |buf| {
            let Some(count) = client.read(buf)? else { return Ok(None) };
            Ok(Some((count, count == 0 || client.is_read())))
        })
    }

    fn fail_input(&mut self, error: ReadError) {
        self.conversation.end_upload();
        let is_refused = error == ReadError::Refused;
        self.outbox.put(&Frame::InputFailed(error));
        if is_refused {
            // httpd has answered the client by itself.
            self.cut(&WriteError::Answered);
        }
    }

    fn push(&mut self) {
        match self.outbox.push(self.connection) {
            0 => {}
            _ => self.moved = Instant::now(),
        }
    }

    /// Waits for the worker or the client, and notes what has come.
    fn wait(&mut self) -> Result<Option<Closing>, Failure> {
        let awaits_client = self.outbox.is_empty() && self.conversation.room() > 0;
        let Some(limit) = self.limit(awaits_client)? else { return Ok(Some(LEFT)) };
        if limit.is_zero() {
            // Only the client's own time can have run out.
            self.fail_input(ReadError::TimedOut);
            return Ok(None);
        }
        let events = Events::READ.and(Events::WRITE.when(!self.outbox.is_empty()));
        let told = self.watch.wait(&*self.client, awaits_client, Some((self.connection.as_fd(), events)), limit);
        if told.has(Events::READ.and(Events::OVER)) {
            return self.receive();
        }
        Ok(None)
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

    fn next_nap(&mut self) -> Duration {
        let nap = self.nap;
        self.nap = (nap * 2).min(LONGEST_NAP);
        nap
    }

    fn receive(&mut self) -> Result<Option<Closing>, Failure> {
        match self.connection.receive() {
            Ok(None) => Ok(None),
            Ok(Some(0)) => self.broken(None).map(Some),
            Ok(Some(_)) => {
                self.moved = Instant::now();
                Ok(None)
            }
            Err(err) => self.broken(Some(err)).map(Some),
        }
    }

    fn broken(&self, err: Option<io::Error>) -> Result<Closing, Failure> {
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
    fn look_at_client(&mut self) -> Result<(), Failure> {
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

const FIRST_NAP: Duration = Duration::from_millis(1);
const LONGEST_NAP: Duration = Duration::from_millis(50);
