//! What makes a structure a run of fields, and an enum of such structures a set of messages.

macro_rules! fields {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $name {
            /// Adds the fields to a settings block.
            #[allow(unused_variables, reason = "a message may be its name alone")]
            pub fn put(&self, writer: &mut SettingsWriter<'_>) {
                $(self.$field.put(stringify!($field), writer);)*
            }

            /// Takes the fields from a settings block, which may hold others.
            ///
            /// # Errors
            /// `Missing` and `Malformed`; `Block` if a pair is malformed, since what follows it is not seen.
            pub fn take(settings: &Settings<'_>) -> Result<Self, ControlError> {
                settings.pairs().try_for_each(|pair| pair.map(|_| ()))?;
                Ok($name { $($field: Field::take(stringify!($field), settings)?,)* })
            }
        }
    };
}

macro_rules! messages {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident($type:ident) = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "a message is read, acted on and dropped")]
        $vis enum $name { $($(#[$variant_doc])* $variant($type),)* }

        impl $name {
            /// Writes the message as a settings block, into a buffer that is cleared first.
            ///
            /// # Errors
            /// `TooLong` if it has more than [`crate::LIMIT`] bytes.
            pub fn write(&self, buf: &mut Vec<u8>) -> Result<(), Error> {
                let mut writer = SettingsWriter::begin(buf);
                match self {
                    $(Self::$variant(fields) => {
                        writer.set(b"message", $word);
                        fields.put(&mut writer);
                    })*
                }
                writer.finish()
            }

            /// Reads a message.
            ///
            /// # Errors
            /// See [`ControlError`].
            pub fn parse(block: &[u8]) -> Result<Self, ControlError> {
                let settings = Settings::parse(block)?;
                match settings.get(b"message") {
                    $(Some($word) => $type::take(&settings).map(Self::$variant),)*
                    Some(other) => Err(ControlError::unknown(other)),
                    None => Err(ControlError::Missing("message")),
                }
            }
        }
    };
}

pub(super) use {fields, messages};
