//! What group macros stand for in one request.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use gateway::environ::script_name;

use crate::apache::{Request, Server};
use crate::config::{Names, Settled};

/// The names of one request.
pub(super) struct RequestNames<'r> {
    pub(super) request: Request<'r>,
    pub(super) script_name: &'r [u8],
    pub(super) case_sensitive: bool,
}

impl<'r> RequestNames<'r> {
    pub(super) fn of(request: Request<'r>) -> Self {
        // Case sensitivity is a property of the machine's file system, so the main server's word counts.
        let settings = |main: Server<'_>| Settled::of(main.settings(), request.directory_settings()).case_sensitive();
        let case_sensitive = Server::main().is_none_or(settings);
        RequestNames { request, script_name: script_name(request.uri(), request.path_info()), case_sensitive }
    }
}

impl Names for RequestNames<'_> {
    fn server_name(&self) -> &[u8] {
        self.request.server().name().unwrap_or(b"")
    }

    fn host_name(&self) -> &[u8] {
        self.request.host().unwrap_or(b"")
    }

    fn port(&self) -> u16 {
        match self.request.server().port() {
            0 => self.request.listener_port(),
            port => port,
        }
    }

    fn script_name(&self) -> &[u8] {
        self.script_name
    }

    fn environment(&self, name: &[u8]) -> Option<Vec<u8>> {
        let key = CString::new(name).ok()?;
        let of_request = self.request.notes().get(&key).or_else(|| self.request.environment().get(&key));
        of_request.map(<[u8]>::to_vec).or_else(|| std::env::var_os(OsStr::from_bytes(name)).map(OsStringExt::into_vec))
    }

    fn case_sensitive(&self) -> bool {
        self.case_sensitive
    }
}
