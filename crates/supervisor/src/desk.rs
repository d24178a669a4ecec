//! A group's desk: httpd's children ask where the workers of an application group are.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use wire::Channel;
use wire::control::{Ask, FromDesk, NoPool, Pool, Text, ToDesk, desk_socket};

use crate::os::identity;
use crate::os::sockets::{self, NamedSocket, SocketError};
use crate::terms::Terms;

/// Connections at once. Where there are as many, the one that has said nothing for longest makes room; where all have
/// asked, others wait in the backlog.
const PEERS: usize = 64;

/// Connections that are taken in one turn of the loop.
const TURN: usize = 256;

/// How long one may take to ask: httpd's children do so as soon as they are connected.
const SILENCE: Duration = Duration::from_secs(2);

/// How long an answer may be put off.
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

impl Peer {
    fn is_silent(&self) -> bool {
        self.ask.is_none() && !self.is_done
    }

    fn until(&self) -> Instant {
        self.since + if self.is_silent() { SILENCE } else { PATIENCE }
    }
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
        self.has_room().then(|| self.socket.as_fd())
    }

    fn has_room(&self) -> bool {
        self.peers.iter().filter(|peer| peer.ask.is_some() && !peer.is_done).count() < PEERS
    }

    /// The connections, by number.
    pub(crate) fn connections(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        let silent = self.peers.iter().enumerate().filter(|(_, peer)| peer.is_silent());
        silent.map(|(number, peer)| (number, peer.channel.as_fd()))
    }

    /// Takes connections of httpd's children, which have one of these users, and hears what they ask.
    pub(crate) fn accept(&mut self, users: &[u32], secret: &wire::Secret, buf: &mut Vec<u8>, now: Instant) {
        for _ in 0..TURN {
            if !self.has_room() {
                return;
            }
            let Some(socket) = self.socket.accept() else { return };
            if !is_admitted(&socket, users) {
                continue;
            }
            self.peers.push(Peer { channel: Channel::over(socket), since: now, ask: None, is_done: false });
            // Mostly it has asked by now; who is silent then can be put out by others that are.
            self.listen(self.peers.len() - 1, secret, buf);
            self.make_room();
        }
    }

    /// Puts out the connection that has been silent for longest, if there are too many. It keeps its place for this turn,
    /// in which others go by theirs.
    fn make_room(&mut self) {
        if self.peers.iter().filter(|peer| !peer.is_done).count() > PEERS
            && let Some(oldest) = self.peers.iter_mut().find(|peer| peer.is_silent())
        {
            oldest.is_done = true;
        }
    }

    /// Reads what a connection asks; one that asks anything else, or has another secret, is closed.
    pub(crate) fn listen(&mut self, number: usize, secret: &wire::Secret, buf: &mut Vec<u8>) {
        let Some(peer) = self.peers.get_mut(number) else { return };
        match peer.channel.receive(buf, false) {
            Ok(Some(_)) => match ToDesk::parse(buf) {
                Ok(ToDesk::Ask(ask)) if wire::secret::is_equal(&ask.secret, secret) => peer.ask = Some(ask),
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
        self.peers.retain(|peer| !peer.is_done && now < peer.until());
    }

    /// When the first connection has taken too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.peers.iter().map(Peer::until).min()
    }
}

/// Whether a connection is from one of httpd's children, as far as can be told: processes of a group may have the same
/// user, but they are not httpd's own children.
fn is_admitted(socket: impl AsFd, users: &[u32]) -> bool {
    let Some((user, pid)) = sockets::peer(socket) else { return false };
    let httpd = std::os::unix::process::parent_id();
    // `httpd -X` asks by itself. Where the system does not tell (hidepid=), the secret has to do.
    let is_ours = || identity::parent_of(pid).is_none_or(|parent| [pid.unsigned_abs(), parent].contains(&httpd));
    users.contains(&user) && is_ours()
}
