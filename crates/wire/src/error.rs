//! What can be wrong with a block, or with what is to be written into one.

use std::fmt;

use crate::block::{LIMIT, VERSION};

/// Why a block cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The block's own length is not the number of bytes at hand.
    Length {
        /// The length that the block states, in bytes.
        stated: u32,
        /// The bytes at hand.
        actual: usize,
    },
    /// The block was written by another version.
    Version(u16),
    /// The block is whole, but of another kind than was asked for.
    Kind(u16),
    /// The block ends where something more was announced.
    Truncated,
    /// So many bytes follow what was announced.
    Trailing(usize),
    /// An entry has a key number that nobody allotted.
    UnknownKey(u16),
    /// An entry has both a key number, this one, and a name.
    KeyWithName(u16),
    /// A field that must be zero has this value.
    Reserved(u16),
    /// A reason phrase, header name or header value has a NUL, CR or LF, this one.
    Forbidden(u8),
    /// A reason phrase, header name or header value is not followed by a NUL.
    Unterminated,
    /// A header has no name.
    EmptyName,
    /// The block would have more than [`LIMIT`] bytes.
    TooLong,
    /// A name has so many bytes, more than 65,535.
    NameTooLong(usize),
    /// A reason phrase has so many bytes, more than 65,535.
    ReasonTooLong(usize),
    /// A response has more than 65,535 headers.
    TooManyHeaders,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { stated, actual } => {
                write!(f, "block says that it has {stated} bytes, but {actual} are there")
            }
            Self::Version(found) => write!(f, "block has version {found}, not {VERSION}"),
            Self::Kind(found) => write!(f, "block is of kind {found}, not of the kind asked for"),
            Self::Truncated => f.write_str("block ends where something more was announced"),
            Self::Trailing(count) => write!(f, "{count} bytes follow the end of what the block announced"),
            Self::UnknownKey(number) => write!(f, "no environ key has number {number}"),
            Self::KeyWithName(number) => write!(f, "entry has both key number {number} and a name"),
            Self::Reserved(found) => write!(f, "reserved field has value {found}, not 0"),
            Self::Forbidden(byte) => {
                write!(f, "response head has byte {byte:#04x} within a string")
            }
            Self::Unterminated => f.write_str("string in response head is not followed by a NUL"),
            Self::EmptyName => f.write_str("response head has a header without a name"),
            Self::TooLong => write!(f, "block would be longer than {LIMIT} bytes"),
            Self::NameTooLong(length) => {
                write!(f, "name has {length} bytes, more than {}", u16::MAX)
            }
            Self::ReasonTooLong(length) => {
                write!(f, "reason phrase has {length} bytes, more than {}", u16::MAX)
            }
            Self::TooManyHeaders => write!(f, "response has more than {} headers", u16::MAX),
        }
    }
}

impl std::error::Error for Error {}
