//! Scripts that are asked about requests: `WSGIAccessScript`, `WSGIAuthUserScript`, `WSGIAuthGroupScript` and
//! `WSGIDispatchScript`.

use std::sync::Arc;
use std::time::Duration;

use super::directive::Place;
use super::expand::{Names, expand_script_group};
use super::script::holds_macro;
use super::value::{Refusal, shown};
use super::word::{OptionWord, Words};
use super::written::Text;

/// Seconds that a process group has for an answer.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Most seconds that an answer may be kept: whoever is shut out should not have to wait for longer.
const CACHE_LIMIT: u64 = 3600;

/// One script, and where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedScript {
    /// The script's file.
    pub file: Text,
    /// Before expansion; empty is the main interpreter.
    application_group: Text,
    /// Empty: in httpd's children.
    pub process_group: Text,
    /// How long a process group has; zero is no limit of its own.
    pub time_limit: Duration,
    /// How long an answer that lets somebody in is kept; zero is not at all.
    pub cache: Duration,
}

/// A kind of script.
struct Kind {
    /// As in "Location of … not supplied".
    what: &'static str,
    /// The options that it takes.
    accepted: &'static str,
    /// Whether it can be asked in a process group.
    has_door: bool,
}

const DOORS: &str = "application-group=, process-group=, timeout= and cache=";

/// `WSGIAccessScript file [options]`
pub(super) fn access_script(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    let script = read(place, line, &Kind { what: "access script", accepted: DOORS, has_door: true })?;
    place.scope().access_script = Some(script);
    Ok(())
}

/// `WSGIAuthUserScript file [options]`
pub(super) fn user_script(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    let script = read(place, line, &Kind { what: "auth user script", accepted: DOORS, has_door: true })?;
    place.scope().user_script = Some(script);
    Ok(())
}

/// `WSGIAuthGroupScript file [options]`
pub(super) fn group_script(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    let script = read(place, line, &Kind { what: "auth group script", accepted: DOORS, has_door: true })?;
    place.scope().group_script = Some(script);
    Ok(())
}

/// `WSGIDispatchScript file [application-group=…]`
pub(super) fn dispatch_script(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    let script = read(place, line, &Kind { what: "dispatch script", accepted: "application-group=", has_door: false })?;
    place.scope().dispatch_script = Some(script);
    Ok(())
}

fn read(place: &mut Place<'_>, line: &[u8], kind: &Kind) -> Result<Arc<AskedScript>, Refusal> {
    let mut words = Words::of(line);
    let file = words.word().filter(|word| !word.is_empty()).ok_or_else(|| {
        Refusal::new(format!("Location of {} not supplied; give its file, and {}", kind.what, kind.accepted))
    })?;
    let mut script = AskedScript {
        file: file.into(),
        application_group: Text::default(),
        process_group: Text::default(),
        time_limit: TIME_LIMIT,
        cache: Duration::ZERO,
    };
    let mut has_time_limit = false;
    while let Some(option) = words.option() {
        match option {
            OptionWord::Pair(b"application-group", value) => script.application_group = group(&value, "application")?,
            OptionWord::Pair(b"process-group", value) if kind.has_door => {
                script.process_group = process_group(&value, place)?;
            }
            OptionWord::Pair(b"timeout", value) if kind.has_door => {
                script.time_limit = seconds("timeout", &value, u64::from(u32::MAX))?;
                has_time_limit = true;
            }
            OptionWord::Pair(b"cache", value) if kind.has_door => {
                script.cache = seconds("cache", &value, CACHE_LIMIT)?;
            }
            OptionWord::Pair(key, value) => return Err(kind.refuse(&format!("{}={}", shown(key), shown(&value)))),
            OptionWord::Bare(word) => return Err(kind.refuse(&shown(word))),
        }
    }
    if words.has_open_quote() {
        place.remark_open_quote();
    }
    if script.process_group.is_empty() {
        if has_time_limit {
            return Err(Refusal::new(
                "timeout= is for a script that is asked in a process group, since nothing can stop one inside httpd's \
                 children; add process-group=NAME, or leave it out",
            ));
        }
        place.server.asks_embedded |= place.line.is_some();
    } else {
        place.direct_to(&script.process_group);
    }
    Ok(Arc::new(script))
}

impl Kind {
    fn refuse(&self, given: &str) -> Refusal {
        let (what, accepted) = (self.what, self.accepted);
        Refusal::new(format!("Invalid option to WSGI {what} definition: '{given}'; accepted are {accepted}"))
    }
}

fn group(value: &[u8], what: &str) -> Result<Text, Refusal> {
    match value {
        b"" => {
            Err(Refusal::new(format!("Invalid name for WSGI {what} group: it is empty; give a name, or %{{GLOBAL}}")))
        }
        b"%{GLOBAL}" => Ok(Text::default()),
        name => Ok(name.into()),
    }
}

fn process_group(value: &[u8], place: &Place<'_>) -> Result<Text, Refusal> {
    let name = group(value, "process")?;
    if holds_macro(&name) {
        return Err(Refusal::new(format!(
            "Invalid name for WSGI process group: '{}' depends on the request; accepted are names, and %{{GLOBAL}} for \
             httpd's own children",
            shown(&name)
        )));
    }
    if place.line.is_none() {
        // It says as whom a script runs, as WSGIProcessGroup does, which is not for a .htaccess either.
        return Err(Refusal::new("process-group= is not allowed in a .htaccess; set it in the server's configuration"));
    }
    Ok(name)
}

fn seconds(option: &str, value: &[u8], most: u64) -> Result<Duration, Refusal> {
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number.filter(|number| *number <= most).map(Duration::from_secs).ok_or_else(|| {
        let value = shown(value);
        Refusal::new(format!("Invalid value for {option}: '{value}'; accepted are whole seconds from 0 to {most}"))
    })
}

impl AskedScript {
    /// The interpreter to ask in; empty is the main one.
    pub fn application_group(&self, names: &dyn Names) -> Vec<u8> {
        expand_script_group(&self.application_group, names)
    }

    /// Clients can make up such names.
    pub fn has_open_group(&self) -> bool {
        *self.application_group == *b"%{HOST}"
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{refusal, section, server};
    use super::super::{DirectoryWritten, ServerWritten, Settled};
    use super::*;

    fn user_script(line: &str) -> AskedScript {
        let section = section(&[&format!("WSGIAuthUserScript {line}")]);
        let server = ServerWritten::default();
        Settled::of(&server, &section).user_script().expect("one is set").clone()
    }

    #[test]
    fn file_alone_is_asked_in_the_main_interpreter_of_the_child() {
        let script = user_script("/srv/auth.py");
        assert_eq!(*script.file, *b"/srv/auth.py");
        assert_eq!((&*script.application_group, &*script.process_group), (&b""[..], &b""[..]));
        assert!(script.cache.is_zero() && !script.has_open_group());
    }

    #[test]
    fn options_are_read() {
        let script = user_script("\"/srv/a b\" process-group=auth application-group=x timeout=3 cache=5");
        assert_eq!((&*script.file, &*script.process_group), (&b"/srv/a b"[..], &b"auth"[..]));
        assert_eq!((script.time_limit, script.cache), (Duration::from_secs(3), Duration::from_secs(5)));
        assert_eq!(*script.application_group, *b"x");
        assert!(user_script("/a application-group=%{HOST}").has_open_group());
        assert_eq!(*user_script("/a process-group=%{GLOBAL} application-group=%{GLOBAL}").process_group, *b"");
    }

    #[test]
    fn each_kind_is_refused_in_its_own_words() {
        for (name, what) in [
            ("WSGIAccessScript", "access script"),
            ("WSGIAuthUserScript", "auth user script"),
            ("WSGIAuthGroupScript", "auth group script"),
            ("WSGIDispatchScript", "dispatch script"),
        ] {
            assert!(refusal(name).starts_with(&format!("Location of {what} not supplied")), "{name}");
            for option in ["foo=bar", "foo", "callable-object=x"] {
                let text = refusal(&format!("{name} /a {option}"));
                assert!(text.starts_with(&format!("Invalid option to WSGI {what} definition")), "{text}");
            }
            let text = refusal(&format!("{name} /a application-group="));
            assert!(text.starts_with("Invalid name for WSGI application group"), "{text}");
        }
        assert!(refusal("WSGIDispatchScript /a process-group=x").starts_with("Invalid option to WSGI dispatch"));
    }

    #[test]
    fn numbers_and_groups_that_cannot_be_meant_are_refused() {
        for option in ["process-group=g timeout=x", "process-group=g timeout=", "cache=3601", "cache=-1", "cache=1s"] {
            assert!(refusal(&format!("WSGIAccessScript /a {option}")).starts_with("Invalid value for"), "{option}");
        }
        assert!(refusal("WSGIAccessScript /a timeout=5").starts_with("timeout= is for"));
        assert!(refusal("WSGIAccessScript /a process-group=%{ENV:X}").starts_with("Invalid name for WSGI process"));
        assert!(refusal("WSGIAccessScript /a process-group=").starts_with("Invalid name for WSGI process"));
    }

    #[test]
    fn only_scripts_that_are_asked_in_children_need_python_there() {
        assert!(server(&["WSGIDispatchScript /a"]).asks_embedded);
        assert!(server(&["WSGIAccessScript /a"]).asks_embedded);
        assert!(!server(&["WSGIAccessScript /a process-group=g"]).asks_embedded);
    }

    #[test]
    fn inner_section_takes_the_place_of_the_outer_one() {
        let (outer, inner) = (section(&["WSGIAccessScript /outer"]), section(&["WSGIAccessScript /inner"]));
        let server = ServerWritten::default();
        let file = |section: &DirectoryWritten| {
            Settled::of(&server, section).access_script().map(|script| script.file.clone())
        };
        assert_eq!(file(&DirectoryWritten::merge(&outer, &inner)).as_deref(), Some(&b"/inner"[..]));
        let unset = DirectoryWritten::merge(&outer, &DirectoryWritten::default());
        assert_eq!(file(&unset).as_deref(), Some(&b"/outer"[..]));
    }
}
