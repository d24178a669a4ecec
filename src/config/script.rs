//! The options that say where and how a script runs, as they stand behind an alias, a handler or an import.

use super::directive::Place;
use super::value::{Refusal, on_or_off, shown};
use super::word::{OptionWord, Words};
use super::written::Text;

/// What an alias or a handler says about its scripts; each value set beats the directives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptOptions {
    /// Empty for `%{GLOBAL}` (embedded); may hold a macro.
    pub process_group: Option<Text>,
    /// Empty for `%{GLOBAL}` (the main interpreter); may hold a macro.
    pub application_group: Option<Text>,
    /// Taken literally: macros are not expanded here.
    pub callable_object: Option<Text>,
    /// Whether `Authorization` is shown to the application.
    pub pass_authorization: Option<bool>,
}

/// A kind of line that takes script options.
pub(super) struct Definition {
    /// As in "Invalid option to WSGI … definition".
    pub(super) what: &'static str,
    /// The options that this kind of line takes.
    pub(super) accepted: &'static str,
    /// Whether `callable-object` is among them.
    pub(super) has_callable: bool,
    /// Whether `pass-authorization` is.
    pub(super) has_authorization: bool,
}

impl ScriptOptions {
    /// Reads the options to the end of the line; of a repeated one the last counts.
    pub(super) fn read(words: &mut Words<'_>, definition: &Definition) -> Result<ScriptOptions, Refusal> {
        let mut options = ScriptOptions::default();
        while let Some(option) = words.option() {
            match option {
                OptionWord::Pair(key, value) => options.set(key, &value, definition)?,
                OptionWord::Bare(word) => return Err(definition.refuse(&shown(word))),
            }
        }
        Ok(options)
    }

    fn set(&mut self, key: &[u8], value: &[u8], definition: &Definition) -> Result<(), Refusal> {
        match key {
            b"process-group" => {
                self.process_group = Some(group(value, "process group", "%{GLOBAL} for embedded mode")?);
            }
            b"application-group" => {
                self.application_group = Some(group(value, "application group", "%{GLOBAL} for the main interpreter")?);
            }
            b"callable-object" if definition.has_callable => self.callable_object = Some(callable(value)?),
            b"pass-authorization" if definition.has_authorization => {
                self.pass_authorization = Some(authorization(value)?);
            }
            _ => return Err(definition.refuse(&format!("{}={}", shown(key), shown(value)))),
        }
        Ok(())
    }

    /// The literal (process group, application group), if both are given and neither is a macro.
    pub(super) fn literal_groups(&self) -> Option<(&Text, &Text)> {
        let groups = self.process_group.as_ref().zip(self.application_group.as_ref())?;
        (!holds_macro(groups.0) && !holds_macro(groups.1)).then_some(groups)
    }
}

impl Definition {
    fn refuse(&self, given: &str) -> Refusal {
        Refusal::new(format!(
            "Invalid option to WSGI {} definition: '{given}'; accepted are {}",
            self.what, self.accepted
        ))
    }
}

/// `WSGIRestrictProcess [name …]`; of the names `%{GLOBAL}` is the empty one.
pub(super) fn restrict_process(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    let mut words = Words::of(line);
    let names = std::iter::from_fn(|| words.word());
    let names = names.map(|name| if name == b"%{GLOBAL}" { Text::default() } else { name.into() }).collect();
    place.scope().restrict_process = Some(names);
    if words.has_open_quote() {
        place.remark_open_quote();
    }
    Ok(())
}

fn group(value: &[u8], what: &str, main: &str) -> Result<Text, Refusal> {
    match value {
        b"" => Err(Refusal::new(format!("Invalid name for WSGI {what}: it is empty; give a name, or {main}"))),
        b"%{GLOBAL}" => Ok(Text::default()),
        name => Ok(name.into()),
    }
}

fn callable(value: &[u8]) -> Result<Text, Refusal> {
    if value.is_empty() {
        return Err(Refusal::new("Invalid name for WSGI callable object: it is empty; the default is application"));
    }
    Ok(value.into())
}

fn authorization(value: &[u8]) -> Result<bool, Refusal> {
    on_or_off(value).ok_or_else(|| {
        Refusal::new(format!("Invalid value for authorization flag: '{}'; accepted are On and Off", shown(value)))
    })
}

/// Whether a group's name depends on the request.
pub(super) fn holds_macro(name: &[u8]) -> bool {
    name.windows(2).any(|pair| pair == b"%{")
}
