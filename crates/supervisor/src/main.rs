//! `wsgictl`: the process manager of mod_wsgi_rs's daemon mode, and what an administrator asks of it.
//!
//! httpd starts `wsgictl supervise`; docs/daemon.md says what it is told and what it does. In walking order:
//! [`supervisor`] waits, [`configuration`] is what httpd wants, a [`group`] has a [`desk`] and [`pool`]s, a pool has
//! [`seat`]s, a seat has a [`worker`].

mod backoff;
mod codes;
mod configuration;
mod desk;
mod directory;
mod environment;
mod explain;
mod group;
mod launch;
mod log;
#[allow(unsafe_code, reason = "the room for system calls")]
mod os;
mod output;
mod plan;
mod pool;
#[cfg(test)]
mod sample;
mod seat;
mod supervisor;
mod terms;
mod words;
mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use crate::supervisor::Supervisor;

const HELP: &str = "\
usage: wsgictl supervise    run the processes of daemon mode; started by httpd, not by hand
       wsgictl --version    print the version
       wsgictl --help       print this
";

/// What was asked for.
enum Request {
    Supervise,
    Version,
    Help,
}

fn main() -> ExitCode {
    let result = match request() {
        Ok(Request::Supervise) => Supervisor::begin().and_then(Supervisor::run),
        Ok(Request::Version) => print(&format!("wsgictl {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Request::Help) => print(HELP),
        Err(error) => {
            complain(&format!("{error}; see wsgictl --help"));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn request() -> Result<Request, lexopt::Error> {
    use lexopt::prelude::*;
    let mut arguments = lexopt::Parser::from_env();
    let request = match arguments.next()? {
        Some(Value(word)) if word == "supervise" => Request::Supervise,
        Some(Long("version") | Short('V')) => Request::Version,
        Some(Long("help") | Short('h')) => Request::Help,
        Some(other) => return Err(other.unexpected()),
        None => return Err("nothing to do".into()),
    };
    match arguments.next()? {
        Some(other) => Err(other.unexpected()),
        None => Ok(request),
    }
}

fn print(text: &str) -> std::io::Result<()> {
    std::io::stdout().write_all(text.as_bytes())
}

fn complain(text: &str) {
    // With standard error gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "wsgictl: {text}");
}
