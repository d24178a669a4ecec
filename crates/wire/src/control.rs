//! What httpd's parent, the supervisor, the workers and httpd's children say to each other about processes.
//!
//! Every message is a settings block: its first pair is `message`, the others are its fields. A list is a name
//! that occurs several times. Descriptors go beside a message (see [`crate::Channel`]), in the order that the
//! message's description gives. Times are whole seconds where nothing else is said, and 0 switches off.

mod desk;
mod error;
mod field;
mod group;
mod record;
mod sockets;
mod supervisor;
mod worker;

pub use desk::{Ask, FromDesk, NoPool, Pool, ToDesk};
pub use error::ControlError;
pub use field::{Preload, Text};
pub use group::Group;
pub use sockets::{desk_socket, remove_sockets, seat_socket};
pub use supervisor::{Begin, Commit, FromSupervisor, Settled, ToSupervisor};
pub use worker::{
    Drain, FromWorker, Line, Own, Ready, Reload, Retire, Secrets, Started, Stop, Stopping, ToWorker, Worker,
};

/// The descriptors that a worker is started with.
pub mod descriptor {
    /// Its channel to the supervisor.
    pub const CHANNEL: i32 = 3;
    /// The listening socket of its seat.
    pub const LISTENER: i32 = 4;
    /// The scoreboard of its group.
    pub const SCOREBOARD: i32 = 5;
    /// A file with its settings block, to be read from the start and closed.
    pub const SETTINGS: i32 = 6;
    /// What httpd's scoreboard says, for reading; only for a group that may know.
    pub const SERVER: i32 = 7;
}

/// The descriptor of the channel to httpd's parent that a supervisor is started with.
pub const SUPERVISOR_CHANNEL: i32 = 3;

#[cfg(test)]
mod tests;
