//! Carries one request over one connection: bytes between the worker and the client, without waiting for either
//! alone. [`frames`] come from the worker and the body goes there ([`upload`]), [`waiting`] is for both, and [`departure`]
//! says what it means that one of them has gone.

mod departure;
mod frames;
mod upload;
mod waiting;

use std::io::IoSlice;
use std::time::{Duration, Instant};

use gateway::{Flow, Outcome};
use wire::frame::piece_header;
use wire::{Frame, Hello, Refusal, Seat};

use super::client::Client;
use super::connection::Connection;
use super::conversation::Conversation;
use super::failure::Failure;
use super::flushing::Flushing;
use super::group::Terms;
use super::outbox::Outbox;
use super::watch::Watch;

/// The first step of looking for a body where no socket tells (HTTP/2).
const FIRST_NAP: Duration = Duration::from_millis(1);

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
    /// It is a question and not a request.
    pub(super) is_question: bool,
    /// By when it has to be over, and how long that was from the start.
    pub(super) time_limit: Option<(Instant, Duration)>,
}

impl Message<'_> {
    /// How long may be waited for a worker.
    pub(super) fn patience(&self, connect_timeout: Duration) -> Duration {
        self.time_limit.map_or(connect_timeout, |(_, limit)| limit.min(connect_timeout))
    }

    /// The failure, or that the time was up, which is why.
    pub(super) fn late(&self, failure: Failure) -> Failure {
        match self.time_limit {
            Some((end, limit)) if end <= Instant::now() => Failure::Late(limit),
            _ => failure,
        }
    }
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
    /// Nothing has been waited for yet.
    is_first_wait: bool,
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
        let conversation = match message.is_question {
            false => Conversation::new(connection.welcome.is_none(), is_uploading),
            true => Conversation::of_question(connection.welcome.is_none()),
        };
        let flushing = Flushing::new(terms.response_flush_delay, terms.response_buffer_size);
        Relay {
            terms,
            seat,
            connection,
            client,
            watch,
            message,
            conversation,
            // A question may have a password in it.
            outbox: if message.is_question { Outbox::secret() } else { Outbox::default() },
            flushing,
            early_sent: 0,
            is_unsent: false,
            is_told: false,
            moved: Instant::now(),
            cut_at: None,
            nap: FIRST_NAP,
            is_first_wait: true,
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
}
