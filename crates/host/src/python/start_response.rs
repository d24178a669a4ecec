//! `start_response`: checks in the order in which mod_wsgi makes them, then the head as one flat block.

use gateway::response::{check_header, is_hop_by_hop, parse_content_length, parse_status};
use pyo3::ffi;
use wire::ResponseWriter;

use super::active::{Active, Unavailable};
use super::attach::Attached;
use super::events;
use super::exception::Class;
use super::object::{Raised, Ref};

/// Takes status and headers of a response.
///
/// # Errors
/// TypeError, ValueError, RuntimeError, or the exception in `exc_info` if the head was sent already.
///
/// Source: PEP 3333, "The start_response() Callable" and "Error Handling".
pub(super) fn start_response(
    py: Attached,
    active: &Active,
    request: &Ref,
    arguments: &[*mut ffi::PyObject],
) -> Result<(), Raised> {
    let raise = |reason: Unavailable| reason.raise(py, "start_response() called");
    let is_head_sent = active.with(py, |walk| walk.reply.is_head_sent()).map_err(raise)?;
    let (status, headers, exc_info) = match *arguments {
        [status, headers] => (status, headers, None),
        [status, headers, exc_info] => (status, headers, Some(exc_info)),
        _ => return Err(wrong_count(py, arguments.len())),
    };
    // SAFETY: arguments are live during the call.
    let (status, headers) = unsafe { (Ref::borrowed(status), Ref::borrowed(headers)) };
    // SAFETY: attached, live object.
    if unsafe { ffi::PyList_Check(headers.as_ptr()) } == 0 {
        return Err(
            py.raise(Class::Type, &format!("start_response() argument 2 must be list, not {}", py.type_name(&headers)))
        );
    }
    // SAFETY: the interpreter keeps a call's arguments alive until it returns (vectorcall); None is a static of CPython's
    // and no exc_info.
    let exc_info =
        exc_info.filter(|object| *object != unsafe { ffi::Py_None() }).map(|object| unsafe { Ref::borrowed(object) });
    let told = exc_info.as_ref().map_or_else(|| py.none(), |exc_info| exc_info.clone_ref(py));
    check_order(py, is_head_sent, exc_info)?;
    // Before the values are looked at, so that a subscriber may change them.
    events::responding(py, request, [&status, &headers, &told])?;
    let head = Head::read(py, &status, &headers)?;
    let kept = active.with(py, |walk| walk.reply.set_head(head.block, head.code, head.content_length));
    kept.map_err(raise)
}

fn wrong_count(py: Attached, count: usize) -> Raised {
    let (least_or_most, limit) = if count < 2 { ("least", 2) } else { ("most", 3) };
    py.raise(Class::Type, &format!("start_response() takes at {least_or_most} {limit} arguments ({count} given)"))
}

const CALLED_AGAIN: &str = "start_response() called more than once without exc_info";

/// After the head was sent, the only use of a call is to raise the application's own exception.
fn check_order(py: Attached, is_head_sent: bool, exc_info: Option<Ref>) -> Result<(), Raised> {
    let Some(exc_info) = exc_info else {
        if is_head_sent {
            return Err(py.raise(Class::Runtime, CALLED_AGAIN));
        }
        return Ok(());
    };
    // SAFETY: attached, live object; a tuple's items are borrowed and taken over.
    let items = unsafe {
        let raw = exc_info.as_ptr();
        (ffi::PyTuple_Check(raw) != 0 && ffi::PyTuple_Size(raw) == 3)
            .then(|| [0, 1, 2].map(|index| Ref::borrowed(ffi::PyTuple_GetItem(raw, index))))
    };
    let Some([class, value, traceback]) = items else {
        return Err(py.raise(Class::Runtime, "start_response() argument 'exc_info' must be a 3-tuple or None"));
    };
    // sys.exc_info() outside an except clause: there is no exception.
    // SAFETY: None is a static object.
    let is_empty = class.as_ptr() == unsafe { ffi::Py_None() };
    match (is_head_sent, is_empty) {
        (false, _) => Ok(()),
        (true, true) => Err(py.raise(Class::Runtime, CALLED_AGAIN)),
        (true, false) => Err(py.raise_again(&class, &value, &traceback)),
    }
}

/// A response head, checked and written.
struct Head {
    block: Vec<u8>,
    code: u16,
    content_length: Option<u64>,
}

impl Head {
    fn read(py: Attached, status: &Ref, headers: &Ref) -> Result<Head, Raised> {
        let status = Text::of(py, status)?;
        let status = parse_status(status.bytes(py)).map_err(|invalid| py.raise(Class::Value, &invalid.to_string()))?;
        let (code, mut content_length) = (status.code, None);
        let mut block = Vec::new();
        let mut writer = ResponseWriter::begin(&mut block, code, status.reason);
        let mut index = 0;
        // Asked for anew each time: a str subclass's code may run and change the list.
        // SAFETY: attached, and the caller has checked that it is a list; the item is taken over at once.
        while let Some(item) = unsafe {
            (index < ffi::PyList_Size(headers.as_ptr()))
                .then(|| Ref::borrowed(ffi::PyList_GetItem(headers.as_ptr(), index)))
        } {
            let (name, value) = name_and_value(py, &item)?;
            let (name, value) = (name.bytes(py), value.bytes(py));
            check_header(name, value).map_err(|invalid| py.raise(Class::Value, &invalid.to_string()))?;
            if name.eq_ignore_ascii_case(b"Content-Length") {
                content_length =
                    Some(parse_content_length(value).map_err(|invalid| py.raise(Class::Value, &invalid.to_string()))?);
            }
            // How the connection is framed and kept is the server's to say (PEP 3333, "Other HTTP
            // Features"); an application may only ask for it to be closed.
            if !is_hop_by_hop(name)
                || (name.eq_ignore_ascii_case(b"Connection") && value.eq_ignore_ascii_case(b"close"))
            {
                writer.header(name, value);
            }
            index += 1;
        }
        writer
            .finish()
            .map_err(|error| py.raise(Class::Value, &format!("response headers cannot be passed on: {error}")))?;
        Ok(Head { block, code, content_length })
    }
}

fn name_and_value(py: Attached, item: &Ref) -> Result<(Text, Text), Raised> {
    let raw = item.as_ptr();
    // SAFETY: attached, live object; a tuple's items are borrowed and taken over.
    unsafe {
        if ffi::PyTuple_Check(raw) == 0 {
            return Err(py.raise(Class::Type, &format!("each header must be a 2-tuple, not {}", py.type_name(item))));
        }
        let length = ffi::PyTuple_Size(raw);
        if length != 2 {
            return Err(py.raise(Class::Value, &format!("each header must be a 2-tuple, got length {length}")));
        }
        let (name, value) = (Ref::borrowed(ffi::PyTuple_GetItem(raw, 0)), Ref::borrowed(ffi::PyTuple_GetItem(raw, 1)));
        Ok((Text::of(py, &name)?, Text::of(py, &value)?))
    }
}

/// A str as latin-1: itself while it is ASCII, whose UTF-8 Python keeps anyway; else a bytes object.
struct Text {
    object: Ref,
    is_bytes: bool,
}

impl Text {
    fn of(py: Attached, object: &Ref) -> Result<Text, Raised> {
        // SAFETY: attached, live object.
        if unsafe { ffi::PyUnicode_Check(object.as_ptr()) } == 0 {
            return Err(py.raise(Class::Type, &format!("must be str, not {}", py.type_name(object))));
        }
        match py.as_utf8(object) {
            Ok(text) if text.is_ascii() => return Ok(Text { object: object.clone_ref(py), is_bytes: false }),
            Ok(_) => {}
            // Lone surrogates have no UTF-8; the latin-1 codec says so in its own words.
            Err(Raised) => py.clear_exception(),
        }
        // SAFETY: attached, live str; UnicodeEncodeError if a character is beyond latin-1.
        let bytes = unsafe { Ref::owned(ffi::PyUnicode_AsLatin1String(object.as_ptr()))? };
        Ok(Text { object: bytes, is_bytes: true })
    }

    fn bytes(&self, py: Attached) -> &[u8] {
        if self.is_bytes {
            return py.as_bytes(&self.object).unwrap_or_default();
        }
        py.as_utf8(&self.object).unwrap_or_default()
    }
}
