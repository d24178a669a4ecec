//! What the supervisor and a worker say to each other, and what a worker is told at its start.

use gateway::Level;

use super::field::Field;
use super::record::{fields, messages};
use super::{ControlError, Preload, Text};
use crate::secret::Secret;
use crate::{Error, Settings, SettingsWriter};

fields! {
    /// The process is to end when its requests have.
    pub struct Drain {
        /// Why, for the log and for `process_stopping`.
        reason: Text,
        /// Requests have so many seconds; 0: until they end by themselves.
        limit: u64,
    }
}

fields! {
    /// The process is to end at once: requests have `shutdown-timeout`.
    pub struct Stop {
        /// Why.
        reason: Text,
    }
}

fields! {
    /// What the two sides of a connection show each other. It is in a worker's channel before the worker is there, and
    /// not in its settings: until the interpreter runs our code, others of its user could open these.
    pub struct Secrets {
        /// The secret that httpd's children show.
        secret: Secret,
        /// The secret that the worker shows.
        reply: Secret,
    }
}

messages! {
    /// From the supervisor to a worker.
    pub enum ToWorker {
        /// First of all, and never again.
        Secrets(Secrets) = b"secrets",
        /// Gently.
        Drain(Drain) = b"drain",
        /// Now.
        Stop(Stop) = b"stop",
    }
}

fields! {
    /// The interpreter has become a worker, and watches its own limits from now on. Scripts to preload come next.
    pub struct Started {}
}

fields! {
    /// The interpreter is up, scripts to preload are loaded, requests are taken.
    pub struct Ready {
        /// The interpreter's version.
        version: Text,
        /// `sys.prefix`.
        prefix: Text,
        /// `sys.executable`.
        executable: Text,
    }
}

fields! {
    /// A line that belongs to no request.
    pub struct Line {
        /// Its severity.
        level: Level,
        /// One line.
        text: Text,
    }
}

fields! {
    /// The process wants to be replaced, and goes on meanwhile; it will be told to drain.
    pub struct Retire {
        /// Why.
        reason: Text,
        /// Seconds that its requests are to have then.
        limit: u64,
    }
}

fields! {
    /// The pool is to be replaced by processes that load the script anew.
    pub struct Reload {
        /// The script that has changed.
        script: Text,
    }
}

fields! {
    /// The process has begun to end.
    pub struct Stopping {
        /// Why.
        reason: Text,
        /// By then, in seconds, it means to have ended; 0: when its requests have, however long they take.
        limit: u64,
    }
}

messages! {
    /// From a worker to the supervisor.
    pub enum FromWorker {
        /// It is a worker.
        Started(Started) = b"started",
        /// It serves.
        Ready(Ready) = b"ready",
        /// It says something.
        Line(Line) = b"line",
        /// It has lived long enough.
        Retire(Retire) = b"retire",
        /// Its script is out of date.
        Reload(Reload) = b"reload",
        /// It ends.
        Stopping(Stopping) = b"stopping",
    }
}

fields! {
    /// What a worker needs to know of its group, in [`Group::worker`] beside what its Python side reads.
    pub struct Worker {
        /// `threads`.
        threads: u32,
        /// `stack-size`, bytes; 0 is the system's.
        stack_size: u64,
        /// `display-name`, expanded.
        display_name: Option<Text>,
        /// `maximum-requests`.
        maximum_requests: u64,
        /// `restart-interval`.
        restart_interval: u64,
        /// `inactivity-timeout`.
        inactivity_timeout: u64,
        /// `request-timeout`.
        request_timeout: u64,
        /// `interrupt-timeout`.
        interrupt_timeout: u64,
        /// `graceful-timeout`.
        graceful_timeout: u64,
        /// `eviction-timeout`.
        eviction_timeout: u64,
        /// `startup-timeout`.
        startup_timeout: u64,
        /// `deadlock-timeout`.
        deadlock_timeout: u64,
        /// `shutdown-timeout`.
        shutdown_timeout: u64,
        /// `queue-timeout`.
        queue_timeout: u64,
        /// How long one read or write on a connection may take, seconds: `socket-timeout`, or httpd's `Timeout`.
        socket_timeout: u64,
        /// Directory that is the process's root; taken off the front of script paths.
        chroot: Option<Text>,
        /// `script-user`: the user id that scripts have to belong to.
        script_user: Option<u32>,
        /// `script-group`: the group id that scripts have to belong to.
        script_group: Option<u32>,
        /// Whether the process may leave a core file and be looked at by others of its user.
        is_dumpable: bool,
        /// Whether the process has what httpd's scoreboard says among its descriptors.
        has_server_board: bool,
        /// Lines above it are not logged, where they belong to no request.
        log_level: Level,
    }
}

fields! {
    /// What the supervisor adds for one process.
    pub struct Own {
        /// Number of the process's seat.
        seat: u32,
        /// Which of the processes that had the seat it is.
        incarnation: u32,
        /// Which generation of its pool it belongs to.
        generation: u32,
        /// Name of the application group, if it is known already; else that of the first request is taken.
        pool_group: Option<Text>,
        /// Scripts to load at start.
        preload: Vec<Preload>,
        /// User ids from which connections are taken: that of httpd's children, and root.
        peer_uid: u32,
    }
}
