//! A daemon process group, as httpd's parent describes it to the supervisor.

use gateway::Level;

use super::field::Field;
use super::record::fields;
use super::{ControlError, Preload, Text};
use crate::secret::Secret;
use crate::{Settings, SettingsWriter};

fields! {
    /// One `WSGIDaemonProcess`, as far as the supervisor needs to know it. What is not here is either for httpd
    /// alone or for the worker alone, and then in [`Group::worker`].
    ///
    /// Beside it: the group's scoreboard; what httpd's own scoreboard says, if [`Group::has_server_board`]; the file of the
    /// error log, if it is a file or a pipe.
    pub struct Group {
        /// Name, unique in the server.
        name: Text,
        /// A number that stays the group's while httpd runs: part of its sockets' names.
        id: u32,
        /// Shown by httpd's children to the workers, and to the supervisor.
        secret: Secret,
        /// Shown by workers to httpd's children.
        reply: Secret,
        /// So many seats of the scoreboard are the group's, from the first one on: never fewer than at the reload before.
        seats: u32,
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
        /// Whether no worker runs where it cannot enter [`Group::directory`] (`home` names it); else it runs in `/`.
        is_directory_required: bool,
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
        /// `startup-timeout`, for an interpreter that does not become a worker, which would watch it itself.
        startup_timeout: u64,
        /// The interpreter's executable.
        python: Text,
        /// Its arguments, the bootstrap last.
        arguments: Vec<Text>,
        /// Scripts to load at start.
        preload: Vec<Preload>,
        /// Whether its workers may read what httpd's scoreboard says.
        has_server_board: bool,
        /// Lines above it are not logged.
        log_level: Level,
        /// The facility and the name of its lines, where `ErrorLog` is `syslog`: `local7:apache2`.
        syslog: Option<Text>,
        /// A settings block for the worker, to which the supervisor adds what is one process's own.
        worker: Text,
    }
}
