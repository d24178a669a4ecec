//! What can be wrong with a message.

use std::fmt;

use crate::Error;

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// It is no settings block.
    Block(Error),
    /// It is none of the messages that are expected here.
    Unknown(String),
    /// This field is missing.
    Missing(&'static str),
    /// This field has a value that it cannot have.
    Malformed(&'static str),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(error) => write!(f, "malformed message: {error}"),
            Self::Unknown(name) => write!(f, "unexpected message '{name}'"),
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
