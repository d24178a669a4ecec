//! How a request head, a response head and the settings of a process are written down between the
//! two halves of mod_wsgi_rs: flat blocks of bytes, the same through both doors.
//!
//! Reading allocates nothing, never panics and trusts no length. `docs/wire.md` describes the blocks
//! byte by byte. Which values may be said at all is for `gateway` to know.

mod block;
mod error;
mod request;
mod response;
mod settings;

pub use block::{LIMIT, VERSION};
pub use error::Error;
pub use request::{Entries, Entry, Facts, RequestHead, RequestWriter, flags};
pub use response::{Headers, ResponseHead, ResponseWriter};
pub use settings::{Pairs, Settings, SettingsWriter};
