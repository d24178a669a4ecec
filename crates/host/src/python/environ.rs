//! The environ of a request: a copy of the interpreter's template, and the entries of the request head.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use gateway::Key;
use wire::{Entry, RequestHead};

use super::active::Active;
use super::attach::Attached;
use super::interpreter::Interpreter;
use super::object::{Raised, Ref};

/// Makes the dict (PEP 3333, "environ Variables"); `wsgi.input` and `wsgi.errors` are added by the caller.
///
/// Entries that cannot be read end the head: httpd's half wrote it in this process or, for a worker, its
/// length was checked, so that means a defect, and shows as missing variables.
pub(super) fn build(py: Attached, head: &RequestHead<'_>) -> Result<Ref, Raised> {
    let interpreter = py.interpreter();
    let shape = shape(head);
    // Copied with the borrow over: making a dict may start the collector, which may run anything.
    let form = interpreter.forms.borrow().iter().find(|form| form.shape == shape).map(|form| form.dict.clone_ref(py));
    match form {
        Some(form) => fill(py, head, py.dict_copy(&form)?),
        None => begin(py, head, shape),
    }
}

/// The environ of a question to a script: no more than the head says, and the versions. The caller adds what is no text.
pub(super) fn of_question(py: Attached, head: &RequestHead<'_>) -> Result<Ref, Raised> {
    let environ = py.new_dict()?;
    for name in ["mod_wsgi.version", "apache.version"] {
        let name = py.text(name)?;
        if let Some(version) = py.dict_get(&py.interpreter().support.template, &name)? {
            py.dict_set(&environ, &name, &version)?;
        }
    }
    fill(py, head, environ)
}

/// An environ to copy: that of an earlier request with the same keys in the same order. It has the values
/// that repeat, and None for those that are each request's own, so it keeps nothing of a client's.
pub(super) struct Form {
    shape: u64,
    dict: Ref,
}

/// Most forms of an interpreter: clients come in a few kinds, each with its set of headers.
const MOST_FORMS: usize = 16;

/// What two heads with the same keys have in common. Every value is set or compared in any case, and a
/// name that is missing or in another place changes the number, by a hash with a key that no client
/// knows.
fn shape(head: &RequestHead<'_>) -> u64 {
    static SEED: OnceLock<RandomState> = OnceLock::new();
    let mut hasher = SEED.get_or_init(RandomState::new).build_hasher();
    for entry in head.entries().map_while(Result::ok) {
        match entry {
            Entry::Known { key, .. } => hasher.write_u16(key.number()),
            Entry::Named { name, .. } => {
                hasher.write_usize(name.len());
                hasher.write(name);
            }
        }
    }
    hasher.finish()
}

/// Sets what is this request's own in the copy of a form.
fn fill(py: Attached, head: &RequestHead<'_>, environ: Ref) -> Result<Ref, Raised> {
    let interpreter = py.interpreter();
    for entry in head.entries().map_while(Result::ok) {
        set(py, interpreter, &environ, entry)?;
    }
    Ok(environ)
}

/// Makes the environ from the template, and a form of it for the next of its kind.
fn begin(py: Attached, head: &RequestHead<'_>, shape: u64) -> Result<Ref, Raised> {
    let interpreter = py.interpreter();
    let environ = fill(py, head, py.dict_copy(&interpreter.support.template)?)?;
    let form = Form { shape, dict: py.dict_copy(&environ)? };
    for entry in head.entries().map_while(Result::ok) {
        match entry {
            Entry::Known { key, .. } if repeats(key) => {}
            Entry::Known { key, .. } => py.dict_set(&form.dict, &interpreter.keys[key.index()], &py.none())?,
            Entry::Named { name, .. } => py.dict_set(&form.dict, &py.latin1(name)?, &py.none())?,
        }
    }
    let mut forms = interpreter.forms.borrow_mut();
    let oldest = if forms.len() < MOST_FORMS { None } else { Some(forms.remove(0)) };
    forms.push(form);
    drop(forms);
    // Only strings and constants end with it, but the borrow is over in any case.
    drop(oldest);
    Ok(environ)
}

fn set(py: Attached, interpreter: &Interpreter, environ: &Ref, entry: Entry<'_>) -> Result<(), Raised> {
    match entry {
        Entry::Known { key, value } => {
            let value = known_value(py, interpreter, key, value)?;
            py.dict_set(environ, &interpreter.keys[key.index()], &value)
        }
        // The name may be a client's choice, so it is not interned.
        Entry::Named { name, value } => py.dict_set(environ, &py.latin1(name)?, &py.latin1(value)?),
    }
}

/// Adds the `mod_wsgi.*` keys that are no text.
pub(super) fn add_times(py: Attached, environ: &Ref, active: &Active) -> Result<(), Raised> {
    let names = &py.interpreter().names;
    let course = active.course();
    py.dict_set(environ, &names.request_start, &py.float(seconds(course.request_start_us))?)?;
    match course.arrival {
        Some(arrival) => {
            py.dict_set(environ, &names.queue_start, &py.float(seconds(arrival.queue_start_us))?)?;
            py.dict_set(environ, &names.daemon_start, &py.float(seconds(arrival.daemon_start_us))?)?;
        }
        None => {
            py.dict_set(environ, &names.queue_start, &names.zero)?;
            py.dict_set(environ, &names.daemon_start, &names.zero)?;
        }
    }
    py.dict_set(environ, &names.application_start, &py.float(seconds(course.application_start_us))?)?;
    py.dict_set(environ, &names.thread_id, &py.long(course.thread_id)?)
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
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
