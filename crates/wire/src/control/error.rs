//! What can be wrong with a message.

use std::fmt;

use crate::Error;

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// It is no settings block.
    Block(Error),
    /// It is none of the messages that are expected here; the beginning of its name.
    Unknown(String),
    /// This field is missing.
    Missing(&'static str),
    /// This field has a value that it cannot have.
    Malformed(&'static str),
}

impl ControlError {
    /// Bytes of an unknown name that are kept: the peer may have sent any number.
    const NAME_KEPT: usize = 40;

    pub(super) fn unknown(name: &[u8]) -> ControlError {
        let kept = &name[..name.len().min(Self::NAME_KEPT)];
        Self::Unknown(String::from_utf8_lossy(kept).into_owned())
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(error) => write!(f, "malformed message: {error}"),
            Self::Unknown(name) => write!(f, "unexpected message '{}'", name.escape_debug()),
            Self::Missing(field) => write!(f, "message has no field '{field}'"),
            Self::Malformed(field) => write!(f, "message has a malformed field '{field}'"),
        }
    }
}

impl std::error::Error for ControlError {}

impl From<Error> for ControlError {
    fn from(error: Error) -> Self {
        Self::Block(error)
    }
}
