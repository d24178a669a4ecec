//! A group for tests, of this crate's units and of the whole (`tests/harness`).

use gateway::Level;
use wire::control::Group;

/// The interpreter that `make PYTHON=` names.
pub(crate) const PYTHON: &str = match option_env!("WSGI_DEFAULT_PYTHON") {
    Some(python) => python,
    None => "/usr/bin/python3",
};

pub(crate) fn group() -> Group {
    Group {
        name: "site".into(),
        id: 1,
        secret: [1; 32],
        reply: [2; 32],
        seats: 256,
        processes: 2,
        threads: 1,
        open_limit: 1,
        uid: 0,
        gid: 0,
        groups: Vec::new(),
        user_name: None,
        user_home: None,
        socket_uid: 0,
        umask: None,
        directory: None,
        is_directory_required: false,
        chroot: None,
        lang: None,
        locale: None,
        environment: Vec::new(),
        cpu_priority: 0,
        cpu_time_limit: 0,
        memory_limit: 0,
        virtual_memory_limit: 0,
        is_dumpable: false,
        listen_backlog: 100,
        send_buffer: 0,
        receive_buffer: 0,
        shutdown_timeout: 5,
        graceful_timeout: 15,
        startup_timeout: 0,
        python: PYTHON.into(),
        arguments: Vec::new(),
        preload: Vec::new(),
        has_server_board: false,
        log_level: Level::Info,
        syslog: None,
        worker: Default::default(),
    }
}
