//! The environ of a request: a copy of the interpreter's template, and the entries of the request head.

use gateway::Key;
use wire::{Entry, RequestHead};

use super::attach::Attached;
use super::interpreter::Interpreter;
use super::object::{Raised, Ref};

/// Makes the dict (PEP 3333, "environ Variables"); `wsgi.input` and `wsgi.errors` are added by the caller.
///
/// Entries that cannot be read end the head: httpd's half wrote it in this process or, for a worker, its
/// length was checked, so that means a defect, and shows as missing variables.
pub(super) fn build(py: Attached, head: &RequestHead<'_>) -> Result<Ref, Raised> {
    let interpreter = py.interpreter();
    let environ = py.dict_copy(&interpreter.support.template)?;
    for entry in head.entries().map_while(Result::ok) {
        match entry {
            Entry::Known { key, value } => {
                let value = known_value(py, interpreter, key, value)?;
                py.dict_set(&environ, &interpreter.keys[key.index()], &value)?;
            }
            // The name may be a client's choice, so it is not interned.
            Entry::Named { name, value } => py.dict_set(&environ, &py.latin1(name)?, &py.latin1(value)?)?,
        }
    }
    Ok(environ)
}

/// Adds the `mod_wsgi.*` keys that are no text.
pub(super) fn add_times(py: Attached, environ: &Ref, request_start_us: u64, thread_id: i64) -> Result<(), Raised> {
    let names = &py.interpreter().names;
    py.dict_set(environ, &names.request_start, &py.float(seconds(request_start_us))?)?;
    py.dict_set(environ, &names.queue_start, &names.zero)?;
    py.dict_set(environ, &names.daemon_start, &names.zero)?;
    py.dict_set(environ, &names.application_start, &py.float(now())?)?;
    py.dict_set(environ, &names.thread_id, &py.long(thread_id)?)
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// Seconds since the epoch.
fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Longest value that is kept for the next request, bytes.
const LONGEST_KEPT: usize = 512;

/// The value's str: the one of the request before if the bytes are the same.
fn known_value(py: Attached, interpreter: &Interpreter, key: Key, value: &[u8]) -> Result<Ref, Raised> {
    if !repeats(key) || value.len() > LONGEST_KEPT {
        return decode(py, key, value);
    }
    let index = key.index();
    if let Some((bytes, kept)) = &interpreter.values.borrow()[index]
        && bytes == value
    {
        return Ok(kept.clone_ref(py));
    }
    let made = decode(py, key, value)?;
    let before = interpreter.values.borrow_mut()[index].replace((value.to_vec(), made.clone_ref(py)));
    // A str's end runs no code of Python's, but the borrow is over in any case.
    drop(before);
    Ok(made)
}

/// Whether a key's value is mostly that of the request before.
fn repeats(key: Key) -> bool {
    !matches!(
        key,
        Key::PathInfo
            | Key::ModWsgiPathInfo
            | Key::QueryString
            | Key::RequestUri
            | Key::RemotePort
            | Key::ContentLength
            | Key::ModWsgiRequestId
            | Key::ModWsgiConnectionId
            | Key::HttpCookie
            | Key::HttpAuthorization
            | Key::HttpReferer
            | Key::HttpRange
            | Key::HttpIfNoneMatch
            | Key::HttpIfModifiedSince
    )
}

fn decode(py: Attached, key: Key, value: &[u8]) -> Result<Ref, Raised> {
    match key {
        Key::ScriptFilename | Key::DocumentRoot => py.file_name(value),
        _ => py.latin1(value),
    }
}
