//! Scripts that are loaded when a process starts: those that `WSGIImportScript` names, and those behind
//! aliases that say exactly where they run.

use std::sync::atomic::{AtomicU64, Ordering};

use super::directive::Place;
use super::script::{Definition, ScriptOptions, check_process_group};
use super::value::Refusal;
use super::word::Words;
use super::written::{ServerWritten, Text};

const DEFINITION: Definition =
    Definition { what: "import script", accepted: "process-group= and application-group=", is_alias: false };

// Only a rising number, no configuration: virtual hosts are read into values of their own, and this
// orders their imports among each other.
static READ_SO_FAR: AtomicU64 = AtomicU64::new(0);

/// A script to load in every httpd child before it takes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The script's file.
    pub script: Text,
    /// The interpreter to load it in; empty is the main one.
    pub application_group: Text,
    /// The line that asks for it, as in [`Place::line`].
    pub line: String,
    order: u64,
}

impl Import {
    /// A script that is loaded after all those that have been read so far.
    pub(super) fn next(script: &[u8], application_group: &Text, place: &Place<'_>) -> Import {
        let order = READ_SO_FAR.fetch_add(1, Ordering::Relaxed);
        let line = place.line.clone().unwrap_or_default();
        Import { script: script.into(), application_group: application_group.clone(), line, order }
    }
}

/// What is to be loaded at start, in the order of the configuration, each script once per interpreter.
///
/// `servers` are the main server and all virtual hosts, in any order.
pub fn imports<'s>(servers: impl IntoIterator<Item = &'s ServerWritten>) -> Vec<Import> {
    let mut all: Vec<Import> = servers.into_iter().flat_map(|server| &server.imports).cloned().collect();
    all.sort_by_key(|import| import.order);
    let mut seen = std::collections::HashSet::new();
    all.retain(|import| seen.insert((import.script.clone(), import.application_group.clone())));
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
    check_process_group(&process_group, place)?;
    let import = Import::next(&script, &application_group, place);
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
        imports(servers)
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
    fn an_import_into_an_unknown_process_group_is_refused() {
        assert!(
            refusal("WSGIImportScript /x process-group=d application-group=a")
                .contains("process group not yet configured")
        );
    }
}
