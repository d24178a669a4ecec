//! Directives, in three storeys: *as written* (one value checked at a time), *merged* (unset is a value
//! of its own), *settled* (what a request runs on). Pure: knows neither Apache nor Python; what a
//! decision needs from a request is handed in through [`Pattern`] and [`Names`].
//!
//! In reading order: [`directive`] is the table, `word` and `value` check what stands on a line,
//! `written` keeps it, `remark` what is odd about it, `merge` lays inner over outer, [`settled`] answers for a request, [`alias`] and `matching` map
//! URLs to scripts, [`import`] lists what is loaded at start, [`expand`] makes group names, [`python`]
//! says how the interpreter is started. The directives' page is docs/directives.md.

pub mod alias;
pub mod directive;
pub mod expand;
pub mod import;
mod matching;
mod merge;
pub mod python;
mod remark;
#[cfg(test)]
mod sample;
mod script;
pub mod settled;
mod value;
mod word;
mod written;

pub use alias::{Alias, find_alias};
pub use directive::{Arguments, Context, DIRECTIVES, Directive, Place};
pub use expand::{Names, expand_application_group, expand_process_group, is_open_group};
pub use import::{Import, imports};
pub use matching::Pattern;
pub use python::PythonSettings;
pub use remark::Remark;
pub use settled::{HeadMapping, Settled};
pub use value::Refusal;
pub use written::{DirectoryWritten, ServerWritten};
