//! Paths as they are below the process's own root directory.

use gateway::Key;
use wire::{Entry, RequestHead, RequestWriter};

use crate::python::serve::script_path;

/// The head with the paths as they are below the process's own root.
///
/// # Errors
/// The log line, if the script is not below it.
pub(super) fn rebase(head: &RequestHead<'_>, root: &[u8]) -> Result<Vec<u8>, String> {
    let script = script_path(head);
    if below(root, script).is_none() {
        return Err(format!(
            "WSGI0081: script '{}' is not below the chroot directory '{}' of its daemon process; answering 500",
            String::from_utf8_lossy(script),
            String::from_utf8_lossy(root)
        ));
    }
    relocate(head, root)
}

/// The same without a look at the script, which a question does not have in its head.
///
/// # Errors
/// The log line, if the head cannot be written.
pub(in super::super) fn relocate(head: &RequestHead<'_>, root: &[u8]) -> Result<Vec<u8>, String> {
    let mut block = Vec::new();
    let mut writer = RequestWriter::begin(&mut block, head.facts());
    for entry in head.entries().flatten() {
        match entry {
            // The resource of a handler script need not be there, wherever it is.
            Entry::Known { key: key @ (Key::ScriptFilename | Key::ModWsgiHandlerScript), value } => {
                writer.known(key, below(root, value).unwrap_or(value));
            }
            // A directory that does not exist there is not named at all.
            Entry::Known { key: Key::DocumentRoot, value } => {
                if let Some(inside) = below(root, value) {
                    writer.known(Key::DocumentRoot, inside);
                }
            }
            Entry::Known { key, value } => writer.known(key, value),
            Entry::Named { name, value } => writer.named(name, value),
        }
    }
    writer.finish().map_err(|error| format!("WSGI0300: malformed request head: {error}; answering 500"))?;
    Ok(block)
}

pub(in super::super) fn below<'p>(root: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    let root = root.strip_suffix(b"/").unwrap_or(root);
    path.strip_prefix(root).filter(|rest| rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(entries: &[(Key, &[u8])]) -> Vec<u8> {
        let mut block = Vec::new();
        let mut writer = RequestWriter::begin(&mut block, wire::Facts::default());
        for (key, value) in entries {
            writer.known(*key, value);
        }
        writer.finish().unwrap();
        block
    }

    #[test]
    fn paths_lose_the_root_and_a_document_root_outside_is_not_named() {
        let block = head(&[(Key::ScriptFilename, b"/jail/srv/app.wsgi"), (Key::DocumentRoot, b"/var/www")]);
        let rebased = rebase(&RequestHead::parse(&block).unwrap(), b"/jail/").unwrap();
        let rebased = RequestHead::parse(&rebased).unwrap();
        assert_eq!(rebased.get(Key::ScriptFilename), Some(&b"/srv/app.wsgi"[..]));
        assert_eq!(rebased.get(Key::DocumentRoot), None);
    }

    #[test]
    fn of_a_handler_script_and_its_resource_only_the_script_has_to_be_inside() {
        let entries: [(Key, &[u8]); 2] =
            [(Key::ScriptFilename, b"/var/www/x"), (Key::ModWsgiHandlerScript, b"/jail/h.py")];
        let block = head(&entries);
        let rebased = rebase(&RequestHead::parse(&block).unwrap(), b"/jail").unwrap();
        let rebased = RequestHead::parse(&rebased).unwrap();
        assert_eq!(rebased.get(Key::ModWsgiHandlerScript), Some(&b"/h.py"[..]));
        assert_eq!(rebased.get(Key::ScriptFilename), Some(&b"/var/www/x"[..]));
        let block = head(&[(Key::ScriptFilename, b"/jail/x"), (Key::ModWsgiHandlerScript, b"/srv/h.py")]);
        assert!(rebase(&RequestHead::parse(&block).unwrap(), b"/jail").unwrap_err().starts_with("WSGI0081"));
    }

    #[test]
    fn a_script_outside_the_root_is_refused() {
        for path in [&b"/srv/app.wsgi"[..], b"/jailbreak/app.wsgi", b"/jail"] {
            let block = head(&[(Key::ScriptFilename, path)]);
            let error = rebase(&RequestHead::parse(&block).unwrap(), b"/jail").unwrap_err();
            assert!(error.starts_with("WSGI0081"), "{error}");
        }
    }
}
