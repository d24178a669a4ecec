//! PEP 3333's words, shared by the Apache half and the Python half: what an exchange can do, which
//! environ keys are known by number, what makes a response head valid. Knows no Apache, no Python
//! and no socket, so all of it can be tested anywhere.

pub mod bootstrap;
pub mod embedded;
pub mod environ;
pub mod exchange;
pub mod key;
pub mod proxy;
pub mod question;
pub mod record;
pub mod response;

pub use exchange::{Exchange, Flow, Level, Outcome, ReadError, RequestLog, WriteError};
pub use key::Key;
pub use question::{Answer, Asker, Route, Subject};
pub use record::record_pieces;
