//! The codes that log lines from warning up start with. Each is allotted once; where mod_wsgi has the
//! same condition, it is mod_wsgi's number. Sections: docs/error-reference.md.

/// The root directory of a worker cannot be changed.
pub(crate) const CHROOT: &str = "WSGI0003";
/// The group of a worker cannot be set.
pub(crate) const GROUP: &str = "WSGI0004";
/// The supplementary groups of a worker cannot be set.
pub(crate) const SUPPLEMENTARY_GROUPS: &str = "WSGI0005";
/// The user of a worker cannot be set.
pub(crate) const USER: &str = "WSGI0007";
/// The working directory of a worker cannot be entered.
pub(crate) const DIRECTORY: &str = "WSGI0009";
/// A socket cannot be made.
pub(crate) const SOCKET_CREATE: &str = "WSGI0012";
/// A socket cannot be given its name.
pub(crate) const SOCKET_BIND: &str = "WSGI0013";
/// A socket cannot listen.
pub(crate) const SOCKET_LISTEN: &str = "WSGI0014";
/// A socket cannot be given to its user.
pub(crate) const SOCKET_OWNER: &str = "WSGI0015";
/// A worker cannot be forked.
pub(crate) const FORK: &str = "WSGI0024";
/// The priority of a worker cannot be set.
pub(crate) const PRIORITY: &str = "WSGI0075";
/// The limit of CPU time cannot be set.
pub(crate) const CPU_LIMIT: &str = "WSGI0076";
/// The limit of memory cannot be set.
pub(crate) const MEMORY_LIMIT: &str = "WSGI0077";
/// The limit of virtual memory cannot be set.
pub(crate) const VIRTUAL_MEMORY_LIMIT: &str = "WSGI0078";
/// A worker has crashed.
pub(crate) const CRASHED: &str = "WSGI0310";
/// A worker has ended before it was ready.
pub(crate) const NOT_READY: &str = "WSGI0311";
/// The interpreter cannot be executed.
pub(crate) const EXEC: &str = "WSGI0312";
/// Another step before the interpreter has failed.
pub(crate) const SET_UP: &str = "WSGI0313";
/// A worker did not end in time.
pub(crate) const SLOW_EXIT: &str = "WSGI0314";
/// Output of a worker was dropped.
pub(crate) const FLOOD: &str = "WSGI0315";
/// An application group gets no pool.
pub(crate) const NO_POOL: &str = "WSGI0316";
/// A group, or a whole configuration, cannot be run.
pub(crate) const REFUSED: &str = "WSGI0317";
/// The socket directory cannot be used.
pub(crate) const SOCKET_DIRECTORY: &str = "WSGI0318";
/// An interpreter never became a worker.
pub(crate) const STUCK_START: &str = "WSGI0353";
/// A log took no more lines.
pub(crate) const LOG_STUCK: &str = "WSGI0490";
/// A message or a channel is broken.
pub(crate) const CHANNEL: &str = "WSGI0319";
