//! Directives, in three storeys: *as written* (one value checked at a time), *merged* (unset is a value
//! of its own), *settled* (what a request runs on). Pure: knows neither Apache nor Python; what a
//! decision needs from a request or the system is handed in through [`Pattern`], [`Names`] and [`Accounts`].
//!
//! In reading order: [`directive`] is the table, `word` and `value` check what stands on a line,
//! `written` keeps it, `remark` what is odd about it, `merge` lays inner over outer, [`settled`] answers for a request, [`alias`] and `matching` map
//! URLs to scripts, [`handler`] gives names to them, [`daemon`], `daemon_options`, `given` and [`identity`] are about one process group, [`roster`] about all of them and
//! the configuration as a whole, [`socket`] about where they are reached, `proxies` about who is believed, [`import`] lists what is loaded at start, `asked` what is asked about requests, [`expand`] makes group names, [`python`]
//! says how the interpreter is started, [`interpreters`] what some have apart, `telemetry` where processes send what they measure,
//! [`removed`] is about what is no more. The directives' pages are those of docs/directives/README.md.

pub mod accounts;
pub mod alias;
mod asked;
pub mod daemon;
mod daemon_options;
pub mod directive;
pub mod expand;
mod given;
pub mod handler;
pub mod identity;
pub mod import;
pub mod interpreters;
mod matching;
mod merge;
mod order;
mod proxies;
pub mod python;
mod remark;
mod removed;
pub mod roster;
#[cfg(test)]
mod sample;
mod script;
pub mod settled;
pub mod socket;
mod telemetry;
mod value;
mod word;
mod written;

pub use accounts::{Accounts, User};
pub use alias::{Alias, find_alias};
pub use asked::AskedScript;
pub use daemon::{Daemon, GroupNames};
pub use directive::{Arguments, Context, DIRECTIVES, Directive, Place};
pub use expand::{
    Names, expand_application_group, expand_callable, expand_handler_group, expand_process_group, is_open_group,
};
pub use handler::{HANDLER_CALLABLE, HandlerScript, SCRIPT_HANDLER, SCRIPT_TYPE};
pub use import::{Import, imports_of};
pub use interpreters::Block;
pub use matching::Pattern;
pub use python::PythonSettings;
pub use remark::{Line, Remark};
pub use removed::REMOVED;
pub use roster::{Defined, NoDaemon, Site, contradictions, daemons, find_daemon, remarks};
pub use settled::{HeadMapping, Settled};
pub use socket::{check_socket_prefix, socket_prefix};
pub use value::Refusal;
pub use written::{DirectoryWritten, ServerWritten};
