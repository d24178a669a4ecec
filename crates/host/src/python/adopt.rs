//! What a worker asks of Python before a request is begun. Not attached.

use super::attach::{Attached, attach};
use super::object::{Raised, Ref};
use super::registry;

/// Gives the process the name of its application group.
pub(super) fn name(group: &[u8]) {
    ask(|py| {
        let group = py.latin1(group)?;
        py.call(&py.interpreter().support.adopt, [&group])
    });
}

/// Whether the script's own `reload_required()` says that it is out of date; what it raises is logged and means no.
pub(super) fn is_reload_required(path: &[u8], resource: &[u8]) -> bool {
    ask(|py| {
        let (path, resource) = (py.file_name(path)?, py.file_name(resource)?);
        py.call(&py.interpreter().support.reload_required, [&path, &resource])
    })
}

fn ask(question: impl FnOnce(Attached) -> Result<Ref, Raised>) -> bool {
    let Some(main) = registry::main() else { return false };
    attach(main, |py| match question(py) {
        Ok(answer) => answer.as_ptr() == py.boolean(true).as_ptr(),
        Err(Raised) => {
            // Both functions log and never raise; out of memory there is nobody to tell.
            py.clear_exception();
            false
        }
    })
}
