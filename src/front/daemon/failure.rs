//! Why a request could not be had from a worker, and what the client and the log are told.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use wire::End;

use crate::codes;

/// What went wrong on the way to a worker, at it, or back.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client left before any worker began with its request.
    ClientLeft,
    /// A defect or want of this child.
    Internal(String),
    /// The supervisor has no processes for the application group, and will have none.
    NoPool(String),
    /// None of the processes could be started; how the last one ended, if that is known.
    NotStarted(Option<End>),
    /// No process was there within `connect-timeout`.
    NoneServing,
    /// The backlog had no room within `connect-timeout`.
    Backlog(PathBuf),
    /// The supervisor was not there within `connect-timeout`, or cannot be reached.
    Unreachable(PathBuf, io::Error),
    /// A socket, or what answered on it, is not what it should be.
    Impostor(String),
    /// The request was refused again and again.
    Refused(u32),
    /// A response header is longer than `header-buffer-size`.
    HeaderTooLong(String, usize),
    /// Nothing came from the worker within `socket-timeout` (seconds), before its response or within it.
    TimedOut(f64),
    /// A question had no answer within its `timeout`.
    Late(Duration),
    /// The connection ended after the worker had begun.
    Closed(Ending),
    /// It broke.
    Broken(io::Error, Ending),
    /// What the worker sent cannot be read.
    Malformed(String),
}

/// What is known of a worker whose connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// Its process; 0 if unknown.
    pub(super) pid: u32,
    /// Another process, or none, has its place.
    pub(super) is_gone: bool,
    /// How it ended, as the supervisor has written down.
    pub(super) end: Option<End>,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(end) = &self.end {
            return end.fmt(f);
        }
        match (self.pid, self.is_gone) {
            (0, _) => f.write_str("its process is not known"),
            (pid, true) => write!(f, "process {pid} has ended; a line of the group tells how"),
            (pid, false) => write!(f, "if process {pid} has ended, a line of the group tells how"),
        }
    }
}

impl Failure {
    /// What the client gets, if nothing was sent to it yet.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Internal(_) | Self::HeaderTooLong(..) => 500,
            Self::Closed(_) | Self::Broken(..) | Self::Malformed(_) => 502,
            Self::TimedOut(_) | Self::Late(_) => 504,
            Self::NoPool(_) | Self::NotStarted(_) | Self::NoneServing | Self::Backlog(_) => 503,
            Self::Unreachable(..) | Self::Impostor(_) | Self::Refused(_) | Self::ClientLeft => 503,
        }
    }

    /// Whether a process had the request, or may have had.
    pub(super) fn is_within_request(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::Closed(_) | Self::Broken(..) | Self::Malformed(_))
    }

    /// The code that the log line begins with; none for what is no error.
    pub(super) fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::ClientLeft => return None,
            Self::Internal(_) => codes::DAEMON_INTERNAL,
            Self::NoPool(_) => codes::NO_POOL,
            Self::NotStarted(_) => codes::NOT_STARTED,
            Self::NoneServing | Self::Backlog(_) => codes::BACKLOG,
            Self::Unreachable(..) => codes::UNREACHABLE,
            Self::Impostor(_) => codes::IMPOSTOR,
            Self::Refused(_) => codes::REFUSED,
            Self::HeaderTooLong(..) => codes::HEADER_TOO_LONG,
            Self::TimedOut(_) => codes::DAEMON_TIMEOUT,
            Self::Late(_) => codes::ANSWER_LATE,
            Self::Closed(_) => codes::DAEMON_CLOSED,
            Self::Broken(..) => codes::DAEMON_BROKEN,
            Self::Malformed(_) => codes::MALFORMED,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientLeft => f.write_str("client left before a process began with its request"),
            Self::Internal(reason) => f.write_str(reason),
            Self::NoPool(reason) => write!(f, "no processes for this application group: {reason}"),
            Self::NotStarted(end) => {
                f.write_str("no process runs, and the last ones could not be started or crashed")?;
                match end {
                    Some(end) => write!(f, ": {end}; it is tried again by itself"),
                    None => f.write_str("; earlier lines of the group tell why, and it is tried again by itself"),
                }
            }
            Self::NoneServing => f.write_str("no process took requests within connect-timeout"),
            Self::Backlog(path) => write!(
                f,
                "listener backlog limit was exceeded within connect-timeout on '{}': all threads are busy; more processes or threads, or a larger listen-backlog, would help",
                path.display()
            ),
            Self::Unreachable(path, err) => {
                write!(f, "Unable to connect on '{}': {err}; ", path.display())?;
                f.write_str(match err.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "httpd's user needs access to every directory of the path (WSGISocketPrefix)"
                    }
                    _ => "the supervisor of daemon processes does not run, or the group has gone at a reload",
                })
            }
            Self::Impostor(reason) => f.write_str(reason),
            Self::Refused(attempts) => {
                write!(f, "Maximum number of attempts ({attempts}) reached: process after process was ending")
            }
            Self::HeaderTooLong(name, limit) => {
                write!(f, "Response header line too long: '{name}' has more than header-buffer-size={limit} bytes")
            }
            Self::TimedOut(seconds) => {
                write!(f, "Timeout when reading the response: nothing came for {seconds} seconds (socket-timeout)")
            }
            Self::Late(limit) => write!(f, "no answer within {} seconds (timeout)", limit.as_secs()),
            Self::Closed(ending) => write!(f, "closed connection before sending a complete response; {ending}"),
            Self::Broken(err, ending) => write!(f, "Error reading the response: {err}; {ending}"),
            Self::Malformed(reason) => write!(f, "cannot read what the process sent: {reason}"),
        }
    }
}
