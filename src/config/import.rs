//! Scripts that are loaded when a process starts: those that `WSGIImportScript` names, and those behind
//! aliases that say exactly where they run.

use std::collections::HashSet;

use super::directive::Place;
use super::order;
use super::remark::Line;
use super::script::{Definition, ScriptOptions};
use super::value::Refusal;
use super::word::Words;
use super::written::{ServerWritten, Text};

const DEFINITION: Definition = Definition {
    what: "import script",
    accepted: "process-group= and application-group=",
    has_callable: false,
    has_authorization: false,
};

/// A script to load in every process of a group before it takes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The script's file.
    pub script: Text,
    /// The process group; empty is embedded, so every httpd child.
    pub process_group: Text,
    /// The interpreter to load it in; empty is the main one.
    pub application_group: Text,
    /// An alias names it, so that requests may be for it.
    pub is_aliased: bool,
    /// The line that asks for it.
    pub line: Line,
    order: u64,
}

impl Import {
    /// A script that is loaded after all those that have been read so far.
    pub(super) fn next(script: &[u8], process_group: &Text, application_group: &Text, place: &Place<'_>) -> Import {
        Import {
            script: script.into(),
            process_group: process_group.clone(),
            application_group: application_group.clone(),
            is_aliased: false,
            line: place.line.clone().unwrap_or_default(),
            order: order::next(),
        }
    }
}

/// What is to be loaded when a process of this group starts (empty: an httpd child), in the order of the configuration,
/// each script once per interpreter.
///
/// `servers` are the main server and all virtual hosts, in any order.
pub fn imports_of<'s>(process_group: &[u8], servers: impl IntoIterator<Item = &'s ServerWritten>) -> Vec<Import> {
    let everywhere = servers.into_iter().flat_map(|server| &server.imports);
    let mut all: Vec<Import> = everywhere.filter(|import| *import.process_group == *process_group).cloned().collect();
    all.sort_by_key(|import| import.order);
    let identity = |import: &Import| (import.script.clone(), import.application_group.clone());
    let aliased: HashSet<_> = all.iter().filter(|import| import.is_aliased).map(identity).collect();
    let mut seen = HashSet::new();
    all.retain(|import| seen.insert(identity(import)));
    for import in &mut all {
        import.is_aliased = aliased.contains(&identity(import));
    }
    all
}

/// `WSGIImportScript file process-group=… application-group=…`
pub(super) fn import_script(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    let mut words = Words::of(line);
    let script = words.word().filter(|word| !word.is_empty()).ok_or_else(|| {
        Refusal::new(
            "Location of import script not supplied; WSGIImportScript takes a file, process-group= and \
             application-group=",
        )
    })?;
    let options = ScriptOptions::read(&mut words, &DEFINITION)?;
    let application_group = options.application_group.ok_or_else(|| {
        Refusal::new(
            "Name of WSGI application group required: add application-group=NAME, or %{GLOBAL} for the main \
             interpreter",
        )
    })?;
    let process_group = options.process_group.ok_or_else(|| {
        Refusal::new("Name of WSGI process group required: add process-group=NAME, or %{GLOBAL} for embedded mode")
    })?;
    let import = Import::next(&script, &process_group, &application_group, place);
    place.server.imports.push(import);
    if words.has_open_quote() {
        place.remark_open_quote();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{refusal, server};
    use super::*;

    fn listed<'s>(servers: impl IntoIterator<Item = &'s ServerWritten>) -> Vec<String> {
        imports_of(b"", servers)
            .iter()
            .map(|import| {
                format!(
                    "{} {}",
                    String::from_utf8_lossy(&import.script),
                    String::from_utf8_lossy(&import.application_group)
                )
            })
            .collect()
    }

    #[test]
    fn imports_and_preloading_aliases_come_in_the_order_of_the_file() {
        let server = server(&[
            "WSGIImportScript /b process-group=%{GLOBAL} application-group=g",
            "WSGIScriptAlias / /a process-group=%{GLOBAL} application-group=%{GLOBAL}",
            "WSGIImportScript \"/c d\" application-group=%{GLOBAL} process-group=%{GLOBAL}",
        ]);
        assert_eq!(listed([&server]), ["/b g", "/a ", "/c d "]);
    }

    #[test]
    fn virtual_hosts_import_in_the_order_of_the_file_and_nothing_twice() {
        let line = |script: &str| format!("WSGIImportScript {script} process-group=%{{GLOBAL}} application-group=g");
        let first = server(&[&line("/v")]);
        let main = server(&[&line("/m")]);
        let last = ServerWritten::merge(&main, &server(&[&line("/w"), &line("/v")]));
        assert_eq!(listed([&main, &last, &first]), ["/v g", "/m g", "/w g"]);
    }

    #[test]
    fn a_script_that_is_imported_and_aliased_is_one_that_requests_may_be_for() {
        let groups = "process-group=%{GLOBAL} application-group=g";
        let server = server(&[
            &format!("WSGIImportScript /both {groups}"),
            &format!("WSGIImportScript /imported {groups}"),
            &format!("WSGIScriptAlias / /both {groups}"),
            &format!("WSGIScriptAlias /x /aliased {groups}"),
            "WSGIScriptAlias /y /imported process-group=%{GLOBAL} application-group=other",
        ]);
        let aliased: Vec<bool> = imports_of(b"", [&server]).iter().map(|import| import.is_aliased).collect();
        assert_eq!(aliased, [true, false, true, true]);
    }

    #[test]
    fn an_import_needs_a_file_and_both_groups() {
        assert!(refusal("WSGIImportScript").contains("Location of import script not supplied"));
        assert!(
            refusal("WSGIImportScript /x process-group=%{GLOBAL}").contains("Name of WSGI application group required")
        );
        assert!(
            refusal("WSGIImportScript /x application-group=%{GLOBAL}").contains("Name of WSGI process group required")
        );
    }

    #[test]
    fn an_import_takes_no_option_but_its_groups() {
        for option in ["foo=bar", "foo", "callable-object=x", "pass-authorization=On"] {
            let refused = refusal(&format!("WSGIImportScript /x {option}"));
            assert!(refused.contains("Invalid option to WSGI import script definition"), "{refused}");
        }
        assert!(
            refusal("WSGIImportScript /x process-group= application-group=a")
                .contains("Invalid name for WSGI process group")
        );
    }

    #[test]
    fn each_process_group_loads_its_own_scripts() {
        let line = |script, group| format!("WSGIImportScript {script} process-group={group} application-group=g");
        let server = server(&[&line("/a", "d"), &line("/b", "%{GLOBAL}"), &line("/c", "e"), &line("/a", "e")]);
        let scripts = |group: &[u8]| -> Vec<String> {
            imports_of(group, [&server])
                .iter()
                .map(|import| String::from_utf8_lossy(&import.script).into_owned())
                .collect()
        };
        assert_eq!(scripts(b""), ["/b"]);
        assert_eq!(scripts(b"d"), ["/a"]);
        assert_eq!(scripts(b"e"), ["/c", "/a"]);
        assert!(scripts(b"other").is_empty());
    }
}
