//! What httpd's parent, the supervisor, the workers and httpd's children say to each other about processes.
//!
//! Every message is a settings block: its first pair is `message`, the others are its fields. A list is a name
//! that occurs several times. Descriptors go beside a message (see [`crate::Channel`]), in the order that the
//! message's description gives. Times are whole seconds where nothing else is said, and 0 switches off.

use std::fmt;

use gateway::Level;

use crate::frame::Secret;
use crate::{Error, Settings, SettingsWriter};

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// It is no settings block.
    Block(Error),
    /// It is none of the messages that are expected here.
    Unknown(String),
    /// This field is missing.
    Missing(&'static str),
    /// This field has a value that it cannot have.
    Malformed(&'static str),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(error) => write!(f, "malformed message: {error}"),
            Self::Unknown(name) => write!(f, "unexpected message '{name}'"),
            Self::Missing(field) => write!(f, "message has no field '{field}'"),
            Self::Malformed(field) => write!(f, "message has a malformed field '{field}'"),
        }
    }
}

impl std::error::Error for ControlError {}

impl From<Error> for ControlError {
    fn from(error: Error) -> Self {
        Self::Block(error)
    }
}

/// A value that a field may have.
trait Field: Sized {
    fn put(&self, name: &'static str, writer: &mut SettingsWriter<'_>);
    fn take(name: &'static str, settings: &Settings<'_>) -> Result<Self, ControlError>;
}

/// A value that is one text.
trait Scalar: Sized {
    fn text(&self) -> Vec<u8>;
    fn of_text(text: &[u8]) -> Option<Self>;
}

impl<T: Scalar> Field for T {
    fn put(&self, name: &'static str, writer: &mut SettingsWriter<'_>) {
        writer.set(name.as_bytes(), &self.text());
    }

    fn take(name: &'static str, settings: &Settings<'_>) -> Result<Self, ControlError> {
        let text = settings.get(name.as_bytes()).ok_or(ControlError::Missing(name))?;
        T::of_text(text).ok_or(ControlError::Malformed(name))
    }
}

impl<T: Scalar> Field for Option<T> {
    fn put(&self, name: &'static str, writer: &mut SettingsWriter<'_>) {
        if let Some(value) = self {
            value.put(name, writer);
        }
    }

    fn take(name: &'static str, settings: &Settings<'_>) -> Result<Self, ControlError> {
        let text = settings.get(name.as_bytes());
        text.map(|text| T::of_text(text).ok_or(ControlError::Malformed(name))).transpose()
    }
}

/// A list of values.
impl<T: Scalar> Field for Vec<T> {
    fn put(&self, name: &'static str, writer: &mut SettingsWriter<'_>) {
        for value in self {
            value.put(name, writer);
        }
    }

    fn take(name: &'static str, settings: &Settings<'_>) -> Result<Self, ControlError> {
        let values = settings.pairs().flatten().filter(|(key, _)| *key == name.as_bytes());
        values.map(|(_, text)| T::of_text(text).ok_or(ControlError::Malformed(name))).collect()
    }
}

/// A text of any bytes; a type of its own, since a list is made of several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(pub Vec<u8>);

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Text {
    fn from(bytes: &T) -> Text {
        Text(bytes.as_ref().to_vec())
    }
}

impl std::ops::Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Scalar for Text {
    fn text(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        Some(Text(text.to_vec()))
    }
}

impl Scalar for Secret {
    fn text(&self) -> Vec<u8> {
        self.to_vec()
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        text.try_into().ok()
    }
}

impl Scalar for bool {
    fn text(&self) -> Vec<u8> {
        vec![b'0' + u8::from(*self)]
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        match text {
            b"0" => Some(false),
            b"1" => Some(true),
            _ => None,
        }
    }
}

impl Scalar for Level {
    fn text(&self) -> Vec<u8> {
        (*self as u8).text()
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        u8::of_text(text).map(|number| Level::from_number(i32::from(number)))
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Scalar for $number {
            fn text(&self) -> Vec<u8> {
                self.to_string().into_bytes()
            }

            fn of_text(text: &[u8]) -> Option<Self> {
                std::str::from_utf8(text).ok()?.parse().ok()
            }
        }
    )*};
}
numbers!(u8 u32 u64 i32 f64);

/// A script to load when a process starts, and the application group to load it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preload {
    /// Empty: the group whose name is `%{GLOBAL}`.
    pub application_group: Text,
    /// The script's file.
    pub script: Text,
}

impl Scalar for Preload {
    fn text(&self) -> Vec<u8> {
        // Neither can hold a NUL: httpd's configuration lines are C strings.
        [&self.application_group[..], b"\0", &self.script[..]].concat()
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        let end = text.iter().position(|byte| *byte == 0)?;
        Some(Preload { application_group: text[..end].into(), script: text[end + 1..].into() })
    }
}

macro_rules! fields {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $name {
            /// Adds the fields to a settings block.
            pub fn put(&self, writer: &mut SettingsWriter<'_>) {
                $(self.$field.put(stringify!($field), writer);)*
            }

            /// Takes the fields from a settings block, which may hold others.
            ///
            /// # Errors
            /// `Missing` and `Malformed`.
            pub fn take(settings: &Settings<'_>) -> Result<Self, ControlError> {
                Ok($name { $($field: Field::take(stringify!($field), settings)?,)* })
            }
        }
    };
}

macro_rules! messages {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident($type:ident) = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "a message is read, acted on and dropped")]
        $vis enum $name { $($(#[$variant_doc])* $variant($type),)* }

        impl $name {
            /// Writes the message as a settings block, into a buffer that is cleared first.
            ///
            /// # Errors
            /// `TooLong` if it has more than [`crate::LIMIT`] bytes.
            pub fn write(&self, buf: &mut Vec<u8>) -> Result<(), Error> {
                let mut writer = SettingsWriter::begin(buf);
                match self {
                    $(Self::$variant(fields) => {
                        writer.set(b"message", $word);
                        fields.put(&mut writer);
                    })*
                }
                writer.finish()
            }

            /// Reads a message.
            ///
            /// # Errors
            /// See [`ControlError`].
            pub fn parse(block: &[u8]) -> Result<Self, ControlError> {
                let settings = Settings::parse(block)?;
                match settings.get(b"message") {
                    $(Some($word) => $type::take(&settings).map(Self::$variant),)*
                    Some(other) => Err(ControlError::Unknown(String::from_utf8_lossy(other).into_owned())),
                    None => Err(ControlError::Missing("message")),
                }
            }
        }
    };
}

fields! {
    /// One `WSGIDaemonProcess`, as far as the supervisor needs to know it. What is not here is either for httpd
    /// alone or for the worker alone, and then in [`Group::worker`].
    ///
    /// Beside it: the group's scoreboard; the file of the error log, if it is a file or a pipe.
    pub struct Group {
        /// Name, unique in the server.
        name: Text,
        /// A number that stays the group's while httpd runs: part of its sockets' names.
        id: u32,
        /// Shown by httpd's children to the workers, and to the supervisor.
        secret: Secret,
        /// Shown by workers to httpd's children.
        reply: Secret,
        /// `processes`, for each application group.
        processes: u32,
        /// `threads`; 0 is a service: its processes run scripts and take no requests.
        threads: u32,
        /// Most application groups with names that clients chose.
        open_limit: u32,
        /// User id of the workers.
        uid: u32,
        /// Group id of the workers.
        gid: u32,
        /// All supplementary groups; set only if the supervisor runs as root.
        groups: Vec<u32>,
        /// Name of the user, for the environment.
        user_name: Option<Text>,
        /// Home directory of the user, for the environment.
        user_home: Option<Text>,
        /// Owner of the sockets: who may connect. The user of httpd's children unless `socket-user` says otherwise.
        socket_uid: u32,
        /// `umask`.
        umask: Option<u32>,
        /// Working directory.
        directory: Option<Text>,
        /// `chroot`.
        chroot: Option<Text>,
        /// `lang`.
        lang: Option<Text>,
        /// `locale`.
        locale: Option<Text>,
        /// Variables for the worker's environment, as NAME=VALUE.
        environment: Vec<Text>,
        /// `cpu-priority`.
        cpu_priority: i32,
        /// `cpu-time-limit`, seconds.
        cpu_time_limit: u64,
        /// `memory-limit`, bytes.
        memory_limit: u64,
        /// `virtual-memory-limit`, bytes.
        virtual_memory_limit: u64,
        /// Whether a worker may leave a core file (`CoreDumpDirectory` is set).
        is_dumpable: bool,
        /// `listen-backlog`.
        listen_backlog: u32,
        /// `send-buffer-size`, bytes.
        send_buffer: u64,
        /// `receive-buffer-size`, bytes.
        receive_buffer: u64,
        /// `shutdown-timeout`; 0 is no limit of its own.
        shutdown_timeout: u64,
        /// `graceful-timeout`.
        graceful_timeout: u64,
        /// The interpreter's executable.
        python: Text,
        /// Its arguments, the bootstrap last.
        arguments: Vec<Text>,
        /// Scripts to load at start.
        preload: Vec<Preload>,
        /// Lines above it are not logged.
        log_level: Level,
        /// A settings block for the worker, to which the supervisor adds what is one process's own.
        worker: Text,
    }
}

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

messages! {
    /// From the supervisor to a worker.
    pub enum ToWorker {
        /// Gently.
        Drain(Drain) = b"drain",
        /// Now.
        Stop(Stop) = b"stop",
    }
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
    }
}

messages! {
    /// From a worker to the supervisor.
    pub enum FromWorker {
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
        /// Whether the process may leave a core file and be looked at by others of its user.
        is_dumpable: bool,
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
        /// The secret that httpd's children show.
        secret: Secret,
        /// The secret that the worker shows.
        reply: Secret,
        /// User ids from which connections are taken: that of httpd's children, and root.
        peer_uid: u32,
    }
}

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
}

/// The descriptor of the channel to httpd's parent that a supervisor is started with.
pub const SUPERVISOR_CHANNEL: i32 = 3;

/// Name of the socket of a seat, in the socket directory.
pub fn seat_socket(group: u32, seat: u32) -> String {
    format!("{group}.{seat}.sock")
}

/// Name of the socket of a group's desk, in the socket directory.
pub fn desk_socket(group: u32) -> String {
    format!("{group}.desk.sock")
}
