//! Names of groups and callables: a value that is exactly one macro is replaced, any other is itself.

use std::borrow::Cow;

/// The application object's name where the configuration gives none.
pub(super) const DEFAULT_CALLABLE: &[u8] = b"application";

/// What macros stand for in one request.
pub trait Names {
    /// `ServerName` of the server that answers.
    fn server_name(&self) -> &[u8];
    /// The host that the client asked for, without port; may be empty.
    fn host_name(&self) -> &[u8];
    /// The port of the server as configured, or of the listener. Never the one in the client's `Host`
    /// header: clients must not be able to invent interpreters.
    fn port(&self) -> u16;
    /// The request's path without PATH_INFO.
    fn script_name(&self) -> &[u8];
    /// A variable of the request, sought in its notes, then its environment, then the process's.
    fn environment(&self, name: &[u8]) -> Option<Vec<u8>>;
    /// Whether script names differ by case.
    fn case_sensitive(&self) -> bool;
}

/// The interpreter's name; empty is the main one. Unset means `%{RESOURCE}`.
pub fn expand_application_group<'a>(raw: Option<&'a [u8]>, names: &dyn Names) -> Cow<'a, [u8]> {
    expand(raw.unwrap_or(b"%{RESOURCE}"), names)
}

/// The interpreter's name for a script that handles many URLs: unset means one for the script, not one for each URL.
pub fn expand_handler_group<'a>(raw: Option<&'a [u8]>, script: &[u8], names: &dyn Names) -> Cow<'a, [u8]> {
    match raw {
        Some(raw) => expand(raw, names),
        None => Cow::Owned([&with_port(names.server_name(), names), &b"|"[..], script].concat()),
    }
}

/// Whether clients can make up as many such names as they like: with the host that they ask for, with what
/// may come from a request's variables, or, where the URL is not one of the configuration's, with its path.
pub fn is_open_group(raw: Option<&[u8]>, is_any_url: bool) -> bool {
    match raw.unwrap_or(b"%{RESOURCE}") {
        b"%{HOST}" => true,
        b"%{RESOURCE}" => is_any_url,
        raw => variable(raw).is_some(),
    }
}

/// The process group's name; empty, and unset, is embedded.
pub fn expand_process_group<'a>(raw: Option<&'a [u8]>, names: &dyn Names) -> Cow<'a, [u8]> {
    expand(raw.unwrap_or_default(), names)
}

/// The name that `WSGICallableObject` means: `%{ENV:…}` is looked up and taken as it is; another macro,
/// and a variable that is not set, mean `application`.
pub fn expand_callable<'a>(raw: &'a [u8], names: &dyn Names) -> Cow<'a, [u8]> {
    if !raw.starts_with(b"%") {
        return Cow::Borrowed(raw);
    }
    variable(raw).and_then(|name| names.environment(name)).map_or(Cow::Borrowed(DEFAULT_CALLABLE), Cow::Owned)
}

/// The interpreter of a script that is asked about requests: fewer macros are understood there, as in mod_wsgi.
pub(super) fn expand_script_group(raw: &[u8], names: &dyn Names) -> Vec<u8> {
    match raw {
        b"%{SERVER}" | b"%{HOST}" => replacement(raw, names).unwrap_or_default(),
        literal => literal.to_vec(),
    }
}

fn expand<'a>(raw: &'a [u8], names: &dyn Names) -> Cow<'a, [u8]> {
    if let Some(name) = variable(raw) {
        return match names.environment(name) {
            Some(value) => Cow::Owned(replacement(&value, names).unwrap_or(value)),
            None => Cow::Borrowed(raw),
        };
    }
    replacement(raw, names).map_or(Cow::Borrowed(raw), Cow::Owned)
}

/// What a macro other than `%{ENV:…}` stands for.
fn replacement(raw: &[u8], names: &dyn Names) -> Option<Vec<u8>> {
    match raw {
        b"%{GLOBAL}" => Some(Vec::new()),
        b"%{SERVER}" => Some(with_port(names.server_name(), names)),
        b"%{HOST}" if names.host_name().is_empty() => Some(with_port(names.server_name(), names)),
        b"%{HOST}" => Some(with_port(names.host_name(), names)),
        b"%{RESOURCE}" => Some(resource(names)),
        _ => None,
    }
}

/// Whether the value stands for something else in each request, or for the empty name.
pub(super) fn is_macro(raw: &[u8]) -> bool {
    matches!(raw, b"%{GLOBAL}" | b"%{SERVER}" | b"%{HOST}" | b"%{RESOURCE}") || is_variable(raw)
}

/// Whether the value is a `%{ENV:NAME}`.
pub(super) fn is_variable(raw: &[u8]) -> bool {
    variable(raw).is_some()
}

/// Whether somebody may have meant a macro.
pub(super) fn looks_like_macro(raw: &[u8]) -> bool {
    raw.starts_with(b"%") || raw.windows(2).any(|pair| pair == b"%{")
}

/// NAME, if the value is `%{ENV:NAME}`.
fn variable(raw: &[u8]) -> Option<&[u8]> {
    raw.strip_prefix(b"%{ENV:")?.strip_suffix(b"}").filter(|name| !name.is_empty())
}

/// `host` or `host:port`, then `|` and the script's name.
fn resource(names: &dyn Names) -> Vec<u8> {
    let mut name = with_port(names.server_name(), names);
    name.push(b'|');
    let script_starts = name.len();
    for &byte in names.script_name() {
        if byte != b'/' || name[script_starts..].last() != Some(&b'/') {
            name.push(byte);
        }
    }
    if !names.case_sensitive() {
        name[script_starts..].make_ascii_lowercase();
    }
    name
}

/// The usual ports are not part of a name, whatever the scheme.
fn with_port(host: &[u8], names: &dyn Names) -> Vec<u8> {
    let mut name = host.to_vec();
    if !matches!(names.port(), 80 | 443) {
        name.extend_from_slice(format!(":{}", names.port()).as_bytes());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::super::sample::{section, server};
    use super::super::{Settled, find_alias};
    use super::*;

    struct Request {
        host: &'static [u8],
        port: u16,
        script: &'static [u8],
        variables: &'static [(&'static str, &'static str)],
        case_sensitive: bool,
    }

    const REQUEST: Request =
        Request { host: b"alias.example.com", port: 8080, script: b"/App", variables: &[], case_sensitive: true };

    impl Names for Request {
        fn server_name(&self) -> &[u8] {
            b"www.example.com"
        }
        fn host_name(&self) -> &[u8] {
            self.host
        }
        fn port(&self) -> u16 {
            self.port
        }
        fn script_name(&self) -> &[u8] {
            self.script
        }
        fn environment(&self, name: &[u8]) -> Option<Vec<u8>> {
            let found = self.variables.iter().find(|(key, _)| key.as_bytes() == name)?;
            Some(found.1.as_bytes().to_vec())
        }
        fn case_sensitive(&self) -> bool {
            self.case_sensitive
        }
    }

    fn application_group(raw: Option<&str>, request: &Request) -> String {
        String::from_utf8_lossy(&expand_application_group(raw.map(str::as_bytes), request)).into_owned()
    }

    fn process_group(raw: Option<&str>, request: &Request) -> String {
        String::from_utf8_lossy(&expand_process_group(raw.map(str::as_bytes), request)).into_owned()
    }

    fn callable(raw: &str, request: &Request) -> String {
        String::from_utf8_lossy(&expand_callable(raw.as_bytes(), request)).into_owned()
    }

    #[test]
    fn names_that_clients_choose_are_told_from_those_of_the_configuration() {
        assert!(is_open_group(Some(b"%{HOST}"), false));
        assert!(is_open_group(Some(b"%{ENV:X}"), false));
        assert!(is_open_group(None, true));
        for closed in [None, Some(&b"%{SERVER}"[..]), Some(b"%{GLOBAL}"), Some(b"shop"), Some(b"%{RESOURCE}")] {
            assert!(!is_open_group(closed, false));
        }
    }

    #[test]
    fn the_default_application_group_is_server_port_and_script() {
        assert_eq!(application_group(None, &REQUEST), "www.example.com:8080|/App");
        for port in [80, 443] {
            assert_eq!(application_group(None, &Request { port, ..REQUEST }), "www.example.com|/App");
        }
        assert_eq!(application_group(None, &Request { script: b"", port: 80, ..REQUEST }), "www.example.com|");
    }

    #[test]
    fn a_handler_script_has_one_default_group_for_all_its_urls() {
        let group = |raw: Option<&'static str>| {
            let name = expand_handler_group(raw.map(str::as_bytes), b"/srv/report.py", &REQUEST);
            String::from_utf8_lossy(&name).into_owned()
        };
        assert_eq!(group(None), "www.example.com:8080|/srv/report.py");
        assert_eq!(group(Some("%{RESOURCE}")), "www.example.com:8080|/App");
        assert_eq!(group(Some("")), "");
    }

    #[test]
    fn script_names_lose_doubled_slashes_and_case_where_it_does_not_count() {
        let request = Request { script: b"//A///B", port: 80, ..REQUEST };
        assert_eq!(application_group(None, &request), "www.example.com|/A/B");
        let request = Request { case_sensitive: false, ..request };
        assert_eq!(application_group(None, &request), "www.example.com|/a/b");
    }

    #[test]
    fn each_macro_gives_its_name_for_both_kinds_of_group() {
        for (raw, name) in [
            ("%{SERVER}", "www.example.com:8080"),
            ("%{HOST}", "alias.example.com:8080"),
            ("%{GLOBAL}", ""),
            ("%{RESOURCE}", "www.example.com:8080|/App"),
        ] {
            assert_eq!(application_group(Some(raw), &REQUEST), name);
            assert_eq!(process_group(Some(raw), &REQUEST), name);
        }
    }

    #[test]
    fn an_empty_host_falls_back_to_the_servers_name() {
        let request = Request { host: b"", port: 443, ..REQUEST };
        assert_eq!(application_group(Some("%{HOST}"), &request), "www.example.com");
    }

    #[test]
    fn unset_and_empty_process_groups_are_embedded() {
        assert_eq!(process_group(None, &REQUEST), "");
        assert_eq!(process_group(Some(""), &REQUEST), "");
        assert_eq!(application_group(Some(""), &REQUEST), "");
    }

    #[test]
    fn only_a_whole_macro_is_expanded() {
        for raw in ["x%{SERVER}", "%{SERVER}x", "%{server}", "%{OTHER}", "%", "%{ENV:}", "%{ENV:X"] {
            assert_eq!(application_group(Some(raw), &REQUEST), raw);
            assert_eq!(process_group(Some(raw), &REQUEST), raw);
        }
    }

    #[test]
    fn what_looks_like_a_macro_and_is_none_is_said() {
        let texts = |line: &str| -> Vec<String> {
            server(&[line]).remarks().iter().map(|remark| format!("{} {}", remark.code, remark.text)).collect()
        };
        for name in ["%{FOO}", "%SERVER", "x%{SERVER}", "%{ENV:}", "%{server}"] {
            for line in [
                format!("WSGIProcessGroup {name}"),
                format!("WSGIApplicationGroup {name}"),
                format!("WSGIScriptAlias /x /x application-group={name}"),
                format!("WSGIScriptAlias /x /x process-group={name}"),
                format!("WSGIHandlerScript x /x application-group={name}"),
                format!("WSGICallableObject {}", name.trim_start_matches('x')),
            ] {
                let said = texts(&line);
                assert!(said.iter().any(|text| text.contains("is no macro")), "{line}: {said:?}");
            }
        }
        for name in ["%{GLOBAL}", "%{SERVER}", "%{HOST}", "%{RESOURCE}", "%{ENV:X}", "100%", "name"] {
            let line = format!("WSGIApplicationGroup {name}");
            assert!(texts(&line).is_empty(), "{line}");
        }
        assert!(texts("WSGICallableObject %{ENV:X}").is_empty());
    }

    #[test]
    fn a_variable_is_looked_up_and_a_macro_in_it_expanded_once_more() {
        let variables = &[("X", "name"), ("S", "%{SERVER}"), ("L", "%{ENV:X}"), ("E", "")];
        let request = Request { variables, ..REQUEST };
        assert_eq!(application_group(Some("%{ENV:X}"), &request), "name");
        assert_eq!(application_group(Some("%{ENV:S}"), &request), "www.example.com:8080");
        assert_eq!(application_group(Some("%{ENV:L}"), &request), "%{ENV:X}");
        assert_eq!(application_group(Some("%{ENV:E}"), &request), "");
    }

    #[test]
    fn a_variable_that_is_not_set_leaves_the_macro_as_the_name() {
        assert_eq!(application_group(Some("%{ENV:X}"), &REQUEST), "%{ENV:X}");
        assert_eq!(process_group(Some("%{ENV:X}"), &REQUEST), "%{ENV:X}");
    }

    #[test]
    fn a_callable_may_come_from_a_variable_as_it_is_and_any_other_macro_is_application() {
        let request = Request { variables: &[("X", "app"), ("M", "%{SERVER}")], ..REQUEST };
        assert_eq!(callable("main", &request), "main");
        assert_eq!(callable("%{ENV:X}", &request), "app");
        assert_eq!(callable("%{ENV:M}", &request), "%{SERVER}");
        for raw in ["%{ENV:NONE}", "%{GLOBAL}", "%{RESOURCE}", "%x"] {
            assert_eq!(callable(raw, &request), "application", "{raw}");
        }
    }

    #[test]
    fn the_callable_of_an_alias_is_literal_and_beats_the_directive() {
        let server = server(&["WSGIScriptAlias /a /x callable-object=%{ENV:X}", "WSGIScriptAlias /b /x"]);
        let directory = section(&["WSGICallableObject %{ENV:X}"]);
        let request = Request { variables: &[("X", "app")], ..REQUEST };
        let callable = |uri: &[u8]| {
            let alias = find_alias(&server, uri).expect("mapped").alias;
            Settled::of(&server, &directory).mapped_by(alias).callable(&request).into_owned()
        };
        assert_eq!(callable(b"/a"), b"%{ENV:X}");
        assert_eq!(callable(b"/b"), b"app");
    }
}
