//! A group's desk: httpd's children ask where the workers of an application group are.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use wire::Channel;
use wire::control::{Ask, FromDesk, NoPool, Pool, Text, ToDesk, desk_socket};

use crate::os::sockets::{self, NamedSocket, SocketError};
use crate::terms::Terms;

/// Connections at once; others wait in the backlog.
const PEERS: usize = 64;

/// How long one may take to ask, and how long an answer may be put off.
const PATIENCE: Duration = Duration::from_secs(10);

/// The socket and its connections.
#[derive(Debug)]
pub(crate) struct Desk {
    socket: NamedSocket,
    peers: Vec<Peer>,
}

#[derive(Debug)]
struct Peer {
    channel: Channel,
    since: Instant,
    /// What was asked, until it is answered.
    ask: Option<Ask>,
    is_done: bool,
}

/// What a group says to a question.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Here(Pool),
    Nowhere(String),
    /// Seats are coming free.
    Later,
}

impl Desk {
    /// Opens the desk of a group.
    ///
    /// # Errors
    /// Those of its socket.
    pub(crate) fn open(terms: &Terms) -> Result<Desk, SocketError> {
        let path = terms.directory.path().join(desk_socket(terms.group.id));
        Ok(Desk { socket: NamedSocket::listen(path, terms.socket(false))?, peers: Vec::new() })
    }

    /// The socket, while another connection may be taken.
    pub(crate) fn listener(&self) -> Option<BorrowedFd<'_>> {
        (self.peers.len() < PEERS).then(|| self.socket.as_fd())
    }

    /// The connections, by number.
    pub(crate) fn connections(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        let silent = self.peers.iter().enumerate().filter(|(_, peer)| peer.ask.is_none() && !peer.is_done);
        silent.map(|(number, peer)| (number, peer.channel.as_fd()))
    }

    /// Takes connections of these users.
    pub(crate) fn accept(&mut self, users: &[u32], now: Instant) {
        while self.peers.len() < PEERS
            && let Some(socket) = self.socket.accept()
        {
            if sockets::peer_user(&socket).is_some_and(|user| users.contains(&user)) {
                self.peers.push(Peer { channel: Channel::over(socket), since: now, ask: None, is_done: false });
            }
        }
    }

    /// Reads what a connection asks; one that asks anything else, or has another secret, is closed.
    pub(crate) fn listen(&mut self, number: usize, secret: &wire::Secret, buf: &mut Vec<u8>) {
        let Some(peer) = self.peers.get_mut(number) else { return };
        match peer.channel.receive(buf, false) {
            Ok(Some(_)) => match ToDesk::parse(buf) {
                Ok(ToDesk::Ask(ask)) if is_equal(&ask.secret, secret) => peer.ask = Some(ask),
                _ => peer.is_done = true,
            },
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(None) | Err(_) => peer.is_done = true,
        }
    }

    /// Answers what can be answered, and closes those connections and the ones that took too long.
    pub(crate) fn answer(&mut self, now: Instant, mut answer: impl FnMut(&Ask) -> Answer) {
        for peer in &mut self.peers {
            let Some(ask) = peer.ask.as_ref().filter(|_| !peer.is_done) else { continue };
            let message = match answer(ask) {
                Answer::Here(pool) => FromDesk::Pool(pool),
                Answer::Nowhere(reason) => FromDesk::NoPool(NoPool { reason: Text(reason.into_bytes()) }),
                Answer::Later => continue,
            };
            let mut buf = Vec::new();
            // One who has gone asks again, if he still wants to know.
            if message.write(&mut buf).is_ok() {
                let _ = peer.channel.send(&buf, &[]);
            }
            peer.is_done = true;
        }
        self.peers.retain(|peer| !peer.is_done && now.duration_since(peer.since) < PATIENCE);
    }

    /// When the first connection has taken too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.peers.iter().map(|peer| peer.since + PATIENCE).min()
    }
}

/// Takes the same time whatever differs.
fn is_equal(one: &wire::Secret, other: &wire::Secret) -> bool {
    one.iter().zip(other).fold(0, |difference, (one, other)| difference | (one ^ other)) == 0
}
