//! What crosses between the processes of mod_wsgi_rs, and how it is written down.
//!
//! Flat blocks of bytes, the same through both doors: request head, response head, settings, questions to scripts
//! ([`RequestHead`], [`ResponseHead`], [`Settings`], [`Question`]). Blocks one after another on a connection are frames
//! ([`Frame`]). Settings blocks with a name are the messages about processes ([`control`]), which go over a [`Channel`].
//! What several processes must see at once is in a [`Scoreboard`], and what httpd lets applications see of its own in a
//! [`ServerBoard`].
//!
//! Reading never panics and trusts no length. `docs/wire.md` describes it all byte by byte. Which values may be
//! said at all is for `gateway` to know.

mod block;
mod channel;
pub mod control;
pub mod ending;
mod error;
pub mod frame;
mod question;
mod request;
mod response;
mod scoreboard;
pub mod secret;
mod server;
mod settings;

pub use block::{LIMIT, VERSION};
pub use channel::{Channel, DESCRIPTOR_LIMIT, MESSAGE_LIMIT};
pub use error::Error;
pub use frame::{Frame, Hello, Inbox, Refusal, Welcome};
pub use question::{Question, parse_answer, write_answer};
pub use request::{Entries, Entry, Facts, RequestHead, RequestWriter, flags};
pub use response::{Headers, ResponseHead, ResponseWriter};
pub use scoreboard::{CELLS, End, SEAT_LIMIT, Scoreboard, Seat, SeatState};
pub use secret::Secret;
pub use server::{ServerBlock, ServerBoard, ServerFacts, ServerThread, read_server_board};
pub use settings::{Pairs, Settings, SettingsWriter};
