//! What httpd's parent and the supervisor say to each other.

use super::field::Field;
use super::record::{fields, messages};
use super::{ControlError, Group, Text};
use crate::{Error, Settings, SettingsWriter};

fields! {
    /// The beginning of a configuration.
    pub struct Begin {
        /// Sockets are made in this directory, which the supervisor makes and removes.
        socket_directory: Text,
        /// User id of httpd's children.
        httpd_uid: u32,
        /// Group id of httpd's children.
        httpd_gid: u32,
        /// Supplementary groups of httpd's children.
        httpd_groups: Vec<u32>,
        /// No group needs another user, so that root's rights can be given up for good.
        is_root_needless: bool,
        /// As [`Group::syslog`](super::Group), for the main error log.
        syslog: Option<Text>,
    }
}

fields! {
    /// The end of a configuration: it is to take effect.
    pub struct Commit {
        /// How many groups it had.
        groups: u32,
    }
}

messages! {
    /// From httpd's parent to the supervisor.
    pub enum ToSupervisor {
        /// A configuration follows. Beside it: the main error log, for what concerns no group.
        Begin(Begin) = b"begin",
        /// A group of it.
        Group(Group) = b"group",
        /// It is complete.
        Commit(Commit) = b"commit",
    }
}

fields! {
    /// The configuration is in force: every group has its sockets, or a problem.
    pub struct Settled {
        /// For each group that cannot run: its name, a colon and a blank, and what is wrong.
        problems: Vec<Text>,
        /// A group needs root's rights, which this supervisor has given up: nothing was done; another one is
        /// needed.
        is_root_missing: bool,
    }
}

messages! {
    /// From the supervisor to httpd's parent, in answer to a commit.
    pub enum FromSupervisor {
        /// Done.
        Settled(Settled) = b"settled",
    }
}
