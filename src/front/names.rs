//! What group macros stand for in one request.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::apache::Request;
use crate::config::Names;

/// The names of one request.
pub(super) struct RequestNames<'r> {
    pub(super) request: Request<'r>,
    pub(super) script_name: &'r [u8],
    pub(super) case_sensitive: bool,
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
