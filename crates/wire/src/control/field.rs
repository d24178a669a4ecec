//! The values that a message's fields may have, and how each is written as one text.

use gateway::Level;

use super::ControlError;
use crate::secret::Secret;
use crate::{Settings, SettingsWriter};

/// A value that a field may have.
pub(super) trait Field: Sized {
    fn put(&self, name: &'static str, writer: &mut SettingsWriter<'_>);
    fn take(name: &'static str, settings: &Settings<'_>) -> Result<Self, ControlError>;
}

/// A value that is one text.
pub(super) trait Scalar: Sized {
    fn text(&self) -> Vec<u8>;
    fn of_text(text: &[u8]) -> Option<Self>;
}

impl<T: Scalar> Field for T {
    fn put(&self, name: &'static str, writer: &mut SettingsWriter<'_>) {
        writer.set(name.as_bytes(), &self.text());
    }

    fn take(name: &'static str, settings: &Settings<'_>) -> Result<Self, ControlError> {
        let text = settings.get(name.as_bytes()).ok_or(ControlError::Missing(name))?;
        T::of_text(text).ok_or(ControlError::Malformed(name))
    }
}

impl<T: Scalar> Field for Option<T> {
    fn put(&self, name: &'static str, writer: &mut SettingsWriter<'_>) {
        if let Some(value) = self {
            value.put(name, writer);
        }
    }

    fn take(name: &'static str, settings: &Settings<'_>) -> Result<Self, ControlError> {
        let text = settings.get(name.as_bytes());
        text.map(|text| T::of_text(text).ok_or(ControlError::Malformed(name))).transpose()
    }
}

/// A list of values.
impl<T: Scalar> Field for Vec<T> {
    fn put(&self, name: &'static str, writer: &mut SettingsWriter<'_>) {
        for value in self {
            value.put(name, writer);
        }
    }

    fn take(name: &'static str, settings: &Settings<'_>) -> Result<Self, ControlError> {
        let values = settings.pairs().flatten().filter(|(key, _)| *key == name.as_bytes());
        values.map(|(_, text)| T::of_text(text).ok_or(ControlError::Malformed(name))).collect()
    }
}

/// A text of any bytes; a type of its own, since a list is made of several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(pub Vec<u8>);

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Text {
    fn from(bytes: &T) -> Text {
        Text(bytes.as_ref().to_vec())
    }
}

impl std::ops::Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Scalar for Text {
    fn text(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        Some(Text(text.to_vec()))
    }
}

impl Scalar for Secret {
    fn text(&self) -> Vec<u8> {
        self.to_vec()
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        text.try_into().ok()
    }
}

impl Scalar for bool {
    fn text(&self) -> Vec<u8> {
        vec![b'0' + u8::from(*self)]
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        match text {
            b"0" => Some(false),
            b"1" => Some(true),
            _ => None,
        }
    }
}

impl Scalar for Level {
    fn text(&self) -> Vec<u8> {
        (*self as u8).text()
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        u8::of_text(text).map(|number| Level::from_number(i32::from(number)))
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Scalar for $number {
            fn text(&self) -> Vec<u8> {
                self.to_string().into_bytes()
            }

            fn of_text(text: &[u8]) -> Option<Self> {
                std::str::from_utf8(text).ok()?.parse().ok()
            }
        }
    )*};
}
numbers!(u8 u32 u64 i32 f64);

/// A script to load when a process starts, and the application group to load it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preload {
    /// Empty: the group whose name is `%{GLOBAL}`.
    pub application_group: Text,
    /// An alias names the script, so that requests may be for it; else only the start of a process is.
    pub is_aliased: bool,
    /// The script's file.
    pub script: Text,
}

impl Scalar for Preload {
    fn text(&self) -> Vec<u8> {
        // Neither can hold a NUL: httpd's configuration lines are C strings.
        [&self.is_aliased.text()[..], &self.application_group, b"\0", &self.script].concat()
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        let (is_aliased, text) = text.split_at_checked(1)?;
        let end = text.iter().position(|byte| *byte == 0)?;
        let is_aliased = bool::of_text(is_aliased)?;
        Some(Preload { application_group: text[..end].into(), is_aliased, script: text[end + 1..].into() })
    }
}
