//! From what a function of a script gave back to an answer. `True`, `False` and `None` are known by identity, so
//! that nothing else lets anybody in.
//!
//! Source: mod_wsgi documentation, "Access Control Mechanisms"; codes in docs/error-reference.md.

use gateway::{Answer, Level, Subject};

use super::active::Active;
use super::ask::failed;
use super::attach::Attached;
use super::delivery::leave_if_forked;
use super::object::{Raised, Ref};

/// Most groups of a user; more cannot be told to httpd.
const MOST_GROUPS: usize = 65_535;

/// The answer that a result of a function comes to; what is none is logged.
pub(super) fn of(py: Attached, active: &Active, subject: Subject, function: &str, result: &Ref) -> Answer {
    let is = |object: Ref| result.as_ptr() == object.as_ptr();
    let verdict = match subject {
        Subject::Groups => return groups(py, active, function, result),
        _ if is(py.none()) => return Answer::None,
        Subject::Access | Subject::Password if is(py.boolean(true)) => return Answer::Yes,
        Subject::Access | Subject::Password if is(py.boolean(false)) => return Answer::No,
        Subject::Access => Err(("WSGI0055", "True, False or None")),
        Subject::Password => text(py, result, Accepts::Text, ("WSGI0176", "WSGI0177"), "True, False, None or a str"),
        Subject::RealmHash => text(py, result, Accepts::Both, ("WSGI0178", "WSGI0179"), "a str, bytes or None"),
        Subject::Dispatch => text(py, result, Accepts::Name, ("", "WSGI0401"), "a str, bytes or None"),
    };
    match verdict {
        Ok(text) => Answer::Text(text),
        Err((code, accepted)) => {
            let what = if code == "WSGI0176" || code == "WSGI0178" {
                "an empty str".to_owned()
            } else {
                described(py, result)
            };
            log(py, active, code, &format!("{function}() has to return {accepted}, and returned {what}"));
            Answer::Failed
        }
    }
}

/// The script lacks the function.
pub(super) fn missing(py: Attached, active: &Active, subject: Subject) {
    let code = match subject {
        Subject::Password => "WSGI0043",
        Subject::RealmHash => "WSGI0046",
        Subject::Groups => "WSGI0052",
        Subject::Access | Subject::Dispatch => "WSGI0056",
    };
    log(py, active, code, &format!("the script does not contain {}()", subject.functions()[0]));
}

fn log(py: Attached, active: &Active, code: &str, what: &str) {
    let script = String::from_utf8_lossy(active.script()).into_owned();
    active.log(py, Level::Error, format!("{code}: script '{script}' has no answer: {what}").as_bytes());
}

/// What texts a function may give.
#[derive(Clone, Copy, PartialEq)]
enum Accepts {
    /// A str, in UTF-8.
    Text,
    /// A str or bytes.
    Both,
    /// A str in latin-1, or bytes; may be empty.
    Name,
}

/// A text that C can hold; else the code for an empty one, or for anything else.
fn text<'t>(
    py: Attached,
    result: &Ref,
    accepts: Accepts,
    (empty, other): (&'static str, &'static str),
    accepted: &'t str,
) -> Result<Vec<u8>, (&'static str, &'t str)> {
    let bytes = match py.as_bytes(result) {
        Some(bytes) if accepts != Accepts::Text => bytes.to_vec(),
        None if py.is_text(result) => {
            let encoded = match accepts {
                Accepts::Name => py.encoded_latin1(result),
                Accepts::Text | Accepts::Both => py.as_utf8(result).map(<[u8]>::to_vec),
            };
            encoded.map_err(|Raised| {
                py.clear_exception();
                (other, accepted)
            })?
        }
        _ => return Err((other, accepted)),
    };
    // httpd's strings end at the first NUL: what follows it would be lost, and another user meant.
    if bytes.contains(&0) {
        return Err((other, accepted));
    }
    if bytes.is_empty() && accepts != Accepts::Name {
        return Err((empty, accepted));
    }
    Ok(bytes)
}

/// All groups or none: names that came before an exception do not count.
fn groups(py: Attached, active: &Active, function: &str, result: &Ref) -> Answer {
    // A single str is iterable as well, and its letters are no groups.
    let iterator = if py.is_text(result) || py.as_bytes(result).is_some() { None } else { py.iterator(result).ok() };
    let Some(iterator) = iterator else {
        py.clear_exception();
        let what = described(py, result);
        log(py, active, "WSGI0051", &format!("{function}() has to return an iterable of names, and returned {what}"));
        return Answer::Failed;
    };
    let mut names = Vec::new();
    loop {
        let next = py.next(&iterator);
        leave_if_forked(py, active, next.is_err());
        let item = match next {
            Ok(Some(item)) => item,
            Ok(None) => return Answer::Groups(names),
            Err(raised) => return failed(py, raised, function),
        };
        let Some(name) = group_name(py, &item) else {
            let what = described(py, &item);
            log(
                py,
                active,
                "WSGI0050",
                &format!("the groups of {function}() have to be str or bytes, and one is {what}"),
            );
            return Answer::Failed;
        };
        if names.len() == MOST_GROUPS {
            log(py, active, "WSGI0400", &format!("{function}() gives more than {MOST_GROUPS} groups"));
            return Answer::Failed;
        }
        names.push(name);
    }
}

/// A str in latin-1, or in UTF-8 if it does not fit; or bytes.
fn group_name(py: Attached, item: &Ref) -> Option<Vec<u8>> {
    if let Some(bytes) = py.as_bytes(item) {
        return Some(bytes.to_vec());
    }
    if !py.is_text(item) {
        return None;
    }
    let encoded = py.encoded_latin1(item).or_else(|Raised| {
        py.clear_exception();
        py.as_utf8(item).map(<[u8]>::to_vec)
    });
    encoded.map_err(|Raised| py.clear_exception()).ok()
}

/// A value in words that give nothing of it away but its type.
fn described(py: Attached, object: &Ref) -> String {
    match object.as_ptr() == py.none().as_ptr() {
        true => "None".to_owned(),
        false if py.is_text(object) => "a str that cannot be passed on".to_owned(),
        false => format!("an object of type {}", py.type_name(object)),
    }
}
