//! What the configuration says, as written: every value is its own "unset" until a directive gives it.
//!
//! httpd keeps two trees, one of servers and one of sections; a request sees one merged node of each.
//! Texts are shared, not copied, since httpd merges sections anew for every request.

use std::sync::Arc;
use std::time::Duration;

use gateway::proxy::{Network, ProxyHeader};

use super::alias::Alias;
use super::asked::AskedScript;
use super::daemon::Daemon;
use super::handler::Handlers;
use super::import::Import;
use super::interpreters::{Block, InterpreterWritten};
use super::python::HashSeed;
use super::remark::{Line, Remark};
use super::settled::HeadMapping;
use super::telemetry::Telemetry;

/// A text from the configuration.
pub(super) type Text = Arc<[u8]>;

/// What one section, or one `.htaccess`, says.
#[derive(Clone, Default)]
pub struct DirectoryWritten {
    pub(super) callable_object: Option<Text>,
    pub(super) application_group: Option<Text>,
    pub(super) process_group: Option<Text>,
    /// Of the embedded group the name is empty.
    pub(super) restrict_process: Option<Arc<[Text]>>,
    pub(super) pass_authorization: Option<bool>,
    pub(super) script_reloading: Option<bool>,
    pub(super) error_override: Option<bool>,
    pub(super) chunked_request: Option<bool>,
    pub(super) map_head_to_get: Option<HeadMapping>,
    pub(super) ignore_activity: Option<bool>,
    pub(super) enable_sendfile: Option<bool>,
    pub(super) pass_apache_request: Option<bool>,
    pub(super) handlers: Option<Handlers>,
    pub(super) trusted_proxies: Option<Arc<[Network]>>,
    /// Those that do nothing are left out.
    pub(super) trusted_proxy_headers: Option<Arc<[ProxyHeader]>>,
    pub(super) access_script: Option<Arc<AskedScript>>,
    pub(super) user_script: Option<Arc<AskedScript>>,
    pub(super) group_script: Option<Arc<AskedScript>>,
    pub(super) dispatch_script: Option<Arc<AskedScript>>,
}

/// What the main server, or one virtual host, says.
#[derive(Clone, Default)]
pub struct ServerWritten {
    /// Said outside any section: holds where no section speaks.
    pub(super) outside: DirectoryWritten,
    /// In the order in which they are tried.
    pub(super) aliases: Vec<Arc<Alias>>,
    /// Not inherited by virtual hosts: the list belongs to the process.
    pub(super) imports: Vec<Import>,
    /// Not inherited either.
    pub(super) daemons: Vec<Arc<Daemon>>,
    /// The process groups that lines of this very server, in its sections too, send requests to.
    pub(super) directions: Vec<Direction>,
    pub(super) socket_prefix: Option<Text>,
    /// Not inherited either: each is about a line of this very server.
    pub(super) remarks: Vec<Remark>,
    pub(super) python: PythonWritten,
    /// Not inherited either: scripts are asked about requests inside httpd's children, by a line of this very server.
    pub(super) asks_embedded: bool,
}

impl ServerWritten {
    /// What is odd about the server's own lines.
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// Whether scripts are asked about requests inside httpd's children.
    pub fn asks_embedded(&self) -> bool {
        self.asks_embedded
    }

    /// Whether process groups are defined here.
    pub fn has_daemons(&self) -> bool {
        !self.daemons.is_empty()
    }
}

/// A line that sends requests to a process group by its literal name.
#[derive(Clone)]
pub(super) struct Direction {
    pub(super) line: Line,
    pub(super) process_group: Text,
}

/// What the main server says about the interpreter.
#[derive(Clone, Default)]
pub(super) struct PythonWritten {
    pub(super) home: Option<Text>,
    pub(super) eggs: Option<Text>,
    pub(super) warnings: Vec<Text>,
    pub(super) optimize: Option<u8>,
    pub(super) hash_seed: Option<HashSeed>,
    pub(super) dont_write_bytecode: Option<bool>,
    /// Said outside of `<WSGIInterpreterOptions>`.
    pub(super) interpreter: InterpreterWritten,
    /// In the order of the configuration.
    pub(super) blocks: Vec<Block>,
    /// The last section is being read.
    pub(super) is_block_open: bool,
    pub(super) restrict_embedded: Option<bool>,
    pub(super) case_sensitivity: Option<bool>,
    pub(super) destroy_interpreter: Option<bool>,
    pub(super) server_metrics: Option<bool>,
    pub(super) telemetry: Option<Telemetry>,
    pub(super) slow_requests: Option<Duration>,
    pub(super) capture_user_agent: Option<bool>,
}
