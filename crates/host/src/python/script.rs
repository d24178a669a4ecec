//! From a request's script to its application object.
//!
//! The usual request finds the loaded module here and nothing of it has changed; everything else is for
//! `load()` of `wsgi_host` (crates/host/python/wsgi_host/loader.py), which also logs what goes wrong.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gateway::Level;
use pyo3::ffi;
use wire::{Facts, flags};

use super::active::Active;
use super::attach::Attached;
use super::object::{Raised, Ref};
use super::process;

/// A loaded script.
pub(super) struct Script {
    globals: Ref,
    /// The module's `__mtime__`, µs since the epoch; `None` if the script has changed it.
    mtime_us: Option<i64>,
    /// The script wants to be asked before each request.
    has_reload_required: bool,
    /// The callable's name that was looked up last.
    callable: Option<(Vec<u8>, Ref)>,
}

/// What is known of a loaded script without the GIL; of the main interpreter's alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loaded {
    pub(super) mtime_us: Option<i64>,
    pub(super) has_reload_required: bool,
}

static LOADED: Mutex<Option<HashMap<Vec<u8>, Loaded>>> = Mutex::new(None);

fn known() -> MutexGuard<'static, Option<HashMap<Vec<u8>, Loaded>>> {
    LOADED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The script as a worker has loaded it; `None` if it has not.
pub(super) fn loaded_time(path: &[u8]) -> Option<Loaded> {
    known().as_ref()?.get(path).copied()
}

/// Whether a worker has loaded any script.
pub(super) fn is_any_loaded() -> bool {
    known().is_some()
}

/// When a file was last modified, µs since the epoch.
pub(super) fn time_of(path: &[u8]) -> Option<i64> {
    let file = std::fs::metadata(OsStr::from_bytes(path)).ok()?;
    Some(file.mtime() * 1_000_000 + file.mtime_nsec() / 1000)
}

/// Why there is no application: the status to answer with; the reason is logged.
pub(super) struct NoApplication(pub(super) u16);

/// What a script is loaded for: what follows from a failure is another matter for each.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Purpose {
    Request,
    /// Before any request; it may be one that is run whoever it belongs to.
    Import {
        any_owner: bool,
    },
    Question,
}

/// What of a request says which application it is for.
pub(super) struct Wanted<'h> {
    pub(super) path: &'h [u8],
    pub(super) callable: &'h [u8],
    /// The file that the URL was mapped to; `None` for a script that is loaded without a request.
    pub(super) resource: Option<&'h [u8]>,
    pub(super) purpose: Purpose,
    pub(super) facts: Facts,
}

/// The application object of a request.
pub(super) fn application(py: Attached, active: &Active, wanted: &Wanted<'_>) -> Result<Ref, NoApplication> {
    function(py, wanted)?.ok_or_else(|| missing(py, active, wanted))
}

/// The object of the wanted name in the script, loaded if need be; `None` if it has none.
pub(super) fn function(py: Attached, wanted: &Wanted<'_>) -> Result<Option<Ref>, NoApplication> {
    if let Some(found) = loaded(py, wanted) {
        return Ok(found);
    }
    load(py, wanted)?;
    find(py, wanted).map_err(|Raised| {
        py.clear_exception();
        NoApplication(500)
    })
}

/// Loads a script without a request, as `WSGIImportScript` does, whoever it belongs to if `any_owner`; false if it failed.
pub(super) fn import(py: Attached, path: &[u8], mtime_us: i64, any_owner: bool) -> bool {
    let facts = Facts { script_mtime_us: mtime_us, flags: flags::RELOADING, ..Facts::default() };
    load(py, &Wanted { path, callable: b"", resource: None, purpose: Purpose::Import { any_owner }, facts }).is_ok()
}

/// The application of a module that is loaded and current; `None` if `load()` must be asked, `Some(None)`
/// if the module has no such callable.
fn loaded(py: Attached, wanted: &Wanted<'_>) -> Option<Option<Ref>> {
    {
        let scripts = py.interpreter().scripts.borrow();
        let script = scripts.get(wanted.path)?;
        let reloading = wanted.facts.has(flags::RELOADING);
        if reloading && (script.has_reload_required || script.mtime_us != Some(wanted.facts.script_mtime_us)) {
            return None;
        }
    }
    find(py, wanted).ok()
}

/// Looks the callable up in the loaded module.
fn find(py: Attached, wanted: &Wanted<'_>) -> Result<Option<Ref>, Raised> {
    let (globals, name) = {
        let mut scripts = py.interpreter().scripts.borrow_mut();
        let Some(script) = scripts.get_mut(wanted.path) else { return Ok(None) };
        let name = match &script.callable {
            Some((name, object)) if name == wanted.callable => object.clone_ref(py),
            _ => {
                let object = py.latin1(wanted.callable)?;
                script.callable = Some((wanted.callable.to_vec(), object.clone_ref(py)));
                object
            }
        };
        (script.globals.clone_ref(py), name)
    };
    // With the borrow over: the globals may be of a dict whose keys run code.
    py.dict_get(&globals, &name)
}

/// Asks `load()`, and keeps the module it gives.
fn load(py: Attached, wanted: &Wanted<'_>) -> Result<(), NoApplication> {
    let result = call_load(py, wanted).map_err(|Raised| {
        // load() logs and never raises; a MemoryError on the way to it has nobody else to tell.
        py.clear_exception();
        NoApplication(500)
    })?;
    // SAFETY: attached, live object.
    if unsafe { ffi::PyLong_Check(result.as_ptr()) } != 0 {
        let status = py.as_long(&result).ok().and_then(|status| u16::try_from(status).ok());
        return Err(NoApplication(status.unwrap_or(500)));
    }
    let kept = keep(py, wanted.path, &result);
    kept.map_err(|Raised| {
        py.clear_exception();
        NoApplication(500)
    })
}

fn call_load(py: Attached, wanted: &Wanted<'_>) -> Result<Ref, Raised> {
    let path = py.file_name(wanted.path)?;
    let mtime = py.long(wanted.facts.script_mtime_us)?;
    let reloading = py.boolean(wanted.facts.has(flags::RELOADING));
    if wanted.purpose == Purpose::Question {
        return py.call(&py.interpreter().support.load_asked, [&path, &mtime, &reloading]);
    }
    let resource = wanted.resource.map_or_else(|| Ok(py.none()), |resource| py.file_name(resource))?;
    let any_owner = py.boolean(wanted.purpose == Purpose::Import { any_owner: true });
    py.call(&py.interpreter().support.load, [&path, &mtime, &reloading, &resource, &any_owner])
}

fn keep(py: Attached, path: &[u8], module: &Ref) -> Result<(), Raised> {
    // SAFETY: attached; load() gives modules only; the dict is borrowed from the module.
    let globals = unsafe {
        let dict = ffi::PyModule_GetDict(module.as_ptr());
        if dict.is_null() {
            return Err(Raised);
        }
        Ref::borrowed(dict)
    };
    let mtime = py.dict_get(&globals, &py.text("__mtime__")?)?;
    let mtime_us = mtime.and_then(|mtime| py.as_long(&mtime).map_err(|Raised| py.clear_exception()).ok());
    let has_reload_required = py.dict_get(&globals, &py.text("reload_required")?)?.is_some();
    if process::is_daemon() {
        let loaded = Loaded { mtime_us, has_reload_required };
        known().get_or_insert_default().insert(path.to_vec(), loaded);
    }
    let script = Script { globals, mtime_us, has_reload_required, callable: None };
    let before = py.interpreter().scripts.borrow_mut().insert(path.to_vec(), script);
    // Objects of the old module may end here and run code, so the borrow is over first.
    drop(before);
    Ok(())
}

fn missing(py: Attached, active: &Active, wanted: &Wanted<'_>) -> NoApplication {
    let path = String::from_utf8_lossy(wanted.path);
    let name = String::from_utf8_lossy(wanted.callable);
    let line =
        format!("WSGI0089: Target WSGI script '{path}' does not contain WSGI application '{name}'; answering 404");
    active.log(py, Level::Error, line.as_bytes());
    NoApplication(404)
}
