//! What an httpd child asks a group's desk, and the answers.

use super::field::Field;
use super::record::{fields, messages};
use super::{ControlError, Text};
use crate::secret::Secret;
use crate::{Error, Settings, SettingsWriter};

fields! {
    /// Where are the workers of this application group?
    pub struct Ask {
        /// The group's.
        secret: Secret,
        /// Name of the application group; empty for the main one.
        application_group: Text,
        /// A client chose the name.
        is_open: bool,
    }
}

messages! {
    /// From an httpd child to a group's desk, a socket of the supervisor.
    pub enum ToDesk {
        /// The only question.
        Ask(Ask) = b"ask",
    }
}

fields! {
    /// The seats of a pool.
    pub struct Pool {
        /// The first seat.
        first: u32,
        /// How many there are.
        count: u32,
    }
}

fields! {
    /// There is no such pool and there will be none.
    pub struct NoPool {
        /// Why, for the log.
        reason: Text,
    }
}

messages! {
    /// The desk's answer.
    pub enum FromDesk {
        /// Here.
        Pool(Pool) = b"pool",
        /// Nowhere.
        NoPool(NoPool) = b"no pool",
    }
}
