//! What the parent found out when a configuration was complete; goes when the configuration goes.

use super::daemon::Roster;
use super::python::Embedding;
use crate::apache::Server;

/// Found out once for each configuration, and inherited by the children that serve it.
#[derive(Default)]
pub(super) struct Facts {
    /// The Python for embedded applications, unless there are to be none.
    pub(super) embedding: Option<Embedding>,
    /// The process groups.
    pub(super) roster: Roster,
}

impl Facts {
    /// Those of the server's configuration; `None` before they are complete.
    pub(super) fn of(server: Server<'_>) -> Option<&Facts> {
        server.fact()
    }
}
