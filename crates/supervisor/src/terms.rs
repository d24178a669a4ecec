//! What all pools of a group are made from.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use wire::control::{Group, Own, Preload, Text, seat_socket};

use crate::directory::Directory;
use crate::launch::Site;
use crate::os::identity;
use crate::os::sockets::{Kind, NamedSocket, SocketError};
use crate::seat::Board;

/// What a pool's workers share.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) group: Rc<Group>,
    pub(crate) board: Rc<Board>,
    pub(crate) server: Option<Rc<OwnedFd>>,
    pub(crate) directory: Rc<Directory>,
    pub(crate) site: Rc<Site>,
}

impl Terms {
    /// How many seats the group has. The scoreboard has room for more, which costs nothing as long as nobody looks.
    pub(crate) fn seats(&self) -> u32 {
        self.group.seats.min(self.board.map().seats())
    }

    /// How a socket of the group is made.
    pub(crate) fn socket(&self, is_stream: bool) -> Kind {
        let group = &self.group;
        Kind {
            is_stream,
            backlog: group.listen_backlog,
            send_buffer: if is_stream { group.send_buffer } else { 0 },
            receive_buffer: if is_stream { group.receive_buffer } else { 0 },
            // As in mod_wsgi: `socket-user` counts where httpd is started by root.
            owner: (identity::is_root() && group.socket_uid != 0).then_some(group.socket_uid),
        }
    }

    /// What is one process's own.
    pub(crate) fn own(&self, title: &Title, seat: u32, incarnation: u32, generation: u32) -> Own {
        let name = title.name.as_ref();
        Own {
            seat,
            incarnation,
            generation,
            pool_group: name.cloned(),
            preload: preload(&self.group, name),
            peer_uid: self.site.httpd_uid,
        }
    }

    /// Makes the socket of a seat.
    pub(crate) fn seat_socket(&self, number: u32) -> Result<NamedSocket, SocketError> {
        let path = self.directory.path().join(seat_socket(self.group.id, number));
        NamedSocket::listen(path, self.socket(true))
    }
}

/// Scripts that a pool's workers load: those of its own application group.
fn preload(group: &Group, name: Option<&Text>) -> Vec<Preload> {
    let own = group.preload.iter().filter(|preload| Some(&preload.application_group) == name);
    own.cloned().collect()
}

/// Whose pool it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Title {
    /// `None` until the first application group asks.
    pub(crate) name: Option<Text>,
    /// A client chose the name.
    pub(crate) is_open: bool,
}
