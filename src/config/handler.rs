//! Handlers that are scripts: `WSGIHandlerScript`, which gives a name to a script for `SetHandler`, `AddHandler` and the
//! like.

use std::ffi::CStr;
use std::sync::Arc;

use super::directive::Place;
use super::script::{Definition, ScriptOptions};
use super::value::{Refusal, shown};
use super::word::Words;
use super::written::Text;
use crate::codes;

/// The handler that runs the file which the URL was mapped to: aliases set it, `SetHandler` and `AddHandler` may name it.
pub const SCRIPT_HANDLER: &CStr = c"wsgi-script";

/// A content type that selects the same, for configurations that use `AddType`.
pub const SCRIPT_TYPE: &str = "application/x-httpd-wsgi";

/// The name of the function that answers.
pub const HANDLER_CALLABLE: &[u8] = b"handle_request";

const DEFINITION: Definition = Definition {
    what: "handler script",
    accepted: "process-group=, application-group=, pass-authorization=On|Off",
    has_callable: false,
    has_authorization: true,
};

/// A handler and the script behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerScript {
    name: Text,
    /// The script's file.
    pub script: Text,
    /// How it runs.
    pub options: ScriptOptions,
}

/// The handlers of one place, each name once.
pub(super) type Handlers = Arc<[Arc<HandlerScript>]>;

/// The handler of this name, in any case, since httpd does not keep that of `AddHandler`.
pub(super) fn find<'h>(handlers: &'h Handlers, name: &[u8]) -> Option<&'h HandlerScript> {
    handlers.iter().find(|handler| handler.name.eq_ignore_ascii_case(name)).map(|handler| &**handler)
}

/// The handlers of `inner` laid over those of `base`, name by name.
pub(super) fn merge(base: &Option<Handlers>, inner: &Option<Handlers>) -> Option<Handlers> {
    let (Some(outer), Some(own)) = (base, inner) else { return inner.as_ref().or(base.as_ref()).cloned() };
    let left = outer.iter().filter(|handler| find(own, &handler.name).is_none());
    Some(own.iter().chain(left).cloned().collect())
}

/// `WSGIHandlerScript name file [options]`
pub(super) fn handler_script(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    let mut words = Words::of(line);
    let mut required = || words.word().filter(|word| !word.is_empty());
    let name = required().ok_or_else(|| {
        Refusal::new(
            "Name for handler script not supplied; WSGIHandlerScript takes a name for SetHandler and AddHandler, the \
             script's file, and options",
        )
    })?;
    let script = required().ok_or_else(|| {
        Refusal::new(format!(
            "Location of handler script not supplied; write the script's file behind the name '{}'",
            shown(&name)
        ))
    })?;
    let options = ScriptOptions::read(&mut words, &DEFINITION)?;
    if let Some(process_group) = &options.process_group {
        place.direct_to(process_group);
    }
    place.remark_macros(&options);
    if words.has_open_quote() {
        place.remark_open_quote();
    }
    if !script.starts_with(b"/") {
        let text = format!(
            "the script '{}' is no absolute path, so it is sought in the directory that httpd happens to run in; write the whole path",
            shown(&script)
        );
        place.remark(codes::ODD_ALIAS, &text, None);
    }
    // In any case: that of a name in `AddHandler` is not kept.
    let mut own_names = [SCRIPT_HANDLER.to_bytes(), SCRIPT_TYPE.as_bytes()].into_iter();
    if let Some(own) = own_names.find(|own| own.eq_ignore_ascii_case(&name)) {
        let text = format!(
            "the module itself has a handler '{}', which comes first and runs the file that a URL is mapped to, so this \
             script is not asked; write another name",
            shown(own)
        );
        place.remark(codes::OWN_HANDLER_NAME, &text, None);
    }
    let handler: Handlers = [Arc::new(HandlerScript { name: name.into(), script: script.into(), options })].into();
    let scope = place.scope();
    scope.handlers = merge(&scope.handlers, &Some(handler));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{refusal, section, server};
    use super::super::{DirectoryWritten, ServerWritten, Settled};

    fn script(server: &ServerWritten, directory: &DirectoryWritten, name: &str) -> Option<String> {
        let handler = Settled::of(server, directory).handler_script(name.as_bytes())?;
        Some(String::from_utf8_lossy(&handler.script).into_owned())
    }

    #[test]
    fn a_handler_is_found_by_its_name_in_any_case() {
        let server = server(&["WSGIHandlerScript Report /srv/report.py"]);
        let nothing = DirectoryWritten::default();
        for name in ["Report", "report"] {
            assert_eq!(script(&server, &nothing, name).as_deref(), Some("/srv/report.py"));
        }
        assert_eq!(script(&server, &nothing, "reports"), None);
    }

    #[test]
    fn inner_handlers_beat_outer_ones_name_by_name() {
        let main =
            server(&["WSGIHandlerScript a /main-a", "WSGIHandlerScript b /main-b", "WSGIHandlerScript c /main-c"]);
        let host =
            ServerWritten::merge(&main, &server(&["WSGIHandlerScript b /host-b", "WSGIHandlerScript c /host-c"]));
        let outer = section(&["WSGIHandlerScript c /outer-c", "WSGIHandlerScript d /outer-d"]);
        let inner = DirectoryWritten::merge(&outer, &section(&["WSGIHandlerScript d /inner-d"]));
        for (name, expected) in [("a", "/main-a"), ("b", "/host-b"), ("c", "/outer-c"), ("d", "/inner-d")] {
            assert_eq!(script(&host, &inner, name).as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_last_of_a_name_in_one_place_counts() {
        let server = server(&["WSGIHandlerScript a /one", "WSGIHandlerScript A /two"]);
        assert_eq!(script(&server, &DirectoryWritten::default(), "a").as_deref(), Some("/two"));
    }

    #[test]
    fn options_of_a_handler_beat_sections_and_servers() {
        let server = server(&[
            "WSGIHandlerScript set /x process-group=own application-group=%{GLOBAL} pass-authorization=Off",
            "WSGIHandlerScript unset /x",
        ]);
        let directory = section(&["WSGIProcessGroup outer", "WSGIApplicationGroup outer", "WSGIPassAuthorization On"]);
        let settled = |name: &[u8]| {
            let settled = Settled::of(&server, &directory);
            settled.handled_by(settled.handler_script(name).expect("registered"))
        };
        assert_eq!(settled(b"set").process_group(), Some(&b"own"[..]));
        assert_eq!(settled(b"set").application_group(), Some(&b""[..]));
        assert!(!settled(b"set").pass_authorization());
        assert_eq!(settled(b"unset").process_group(), Some(&b"outer"[..]));
        assert!(settled(b"unset").pass_authorization());
    }

    #[test]
    fn name_and_file_are_needed_and_only_known_options_are_taken() {
        assert!(refusal("WSGIHandlerScript").starts_with("Name for handler script not supplied"));
        assert!(refusal("WSGIHandlerScript name").starts_with("Location of handler script not supplied"));
        for option in ["foo=bar", "word", "callable-object=x"] {
            let refused = refusal(&format!("WSGIHandlerScript name /x {option}"));
            assert!(refused.starts_with("Invalid option to WSGI handler script definition"), "{refused}");
        }
    }
}
