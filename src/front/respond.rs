//! From a response head to httpd's response fields.

use gateway::WriteError;
use gateway::response::parse_content_length;
use wire::ResponseHead;

use crate::apache::Request;

/// Sets status and headers of the response. The head is copied once, into the request's pool; httpd's
/// tables then point into the copy. Gives the `Content-Length` that it states.
///
/// # Errors
/// `Failed` if the head is malformed.
pub(super) fn set_head(request: Request<'_>, head: &[u8]) -> Result<Option<u64>, WriteError> {
    let malformed = |err: wire::Error| WriteError::Failed(format!("malformed response head: {err}"));
    let head = ResponseHead::parse(request.pool().copy_bytes(head)).map_err(malformed)?;
    set_status(request, &head);
    let mut length = None;
    for header in head.headers() {
        let (name, value) = header.map_err(malformed)?;
        length = set_header(request, name, value).or(length);
    }
    Ok(length)
}

/// Headers of an application's error response that stay when httpd's document takes the place of its body:
/// without them the answer would mean something else.
const KEPT_IN_ERRORS: [&[u8]; 4] = [b"WWW-Authenticate", b"Retry-After", b"Set-Cookie", b"Allow"];

/// Keeps of a head what stays with httpd's own error document.
///
/// # Errors
/// `Failed` if the head is malformed.
pub(super) fn set_error_headers(request: Request<'_>, head: &ResponseHead<'_>) -> Result<(), WriteError> {
    for header in head.headers() {
        let (name, value) = header.map_err(|err| WriteError::Failed(format!("malformed response head: {err}")))?;
        if KEPT_IN_ERRORS.iter().any(|kept| name.to_bytes().eq_ignore_ascii_case(kept)) {
            let [name, value] = [name, value].map(|text| request.pool().copy(text.to_bytes()));
            request.error_headers().add_kept(name, value);
        }
    }
    Ok(())
}

fn set_status(request: Request<'_>, head: &ResponseHead<'_>) {
    let reason = head.reason().to_bytes();
    let line = if reason.is_empty() || (head.code() == 200 && reason == b"OK") {
        None
    } else {
        let mut text = head.code().to_string().into_bytes();
        text.push(b' ');
        text.extend_from_slice(reason);
        Some(request.pool().copy(&text))
    };
    request.set_status(head.code(), line);
}

/// Gives the length, if the header states one.
fn set_header<'r>(request: Request<'r>, name: &'r std::ffi::CStr, value: &'r std::ffi::CStr) -> Option<u64> {
    let bytes = name.to_bytes();
    let is = |wanted: &[u8]| bytes.eq_ignore_ascii_case(wanted);
    match bytes.len() {
        // Output filters (mod_deflate, mod_filter) act on the request's own field.
        12 if is(b"Content-Type") => request.set_content_type(value),
        // The last of several counts, and filters that change the length look at the field.
        14 if is(b"Content-Length") => {
            let length = parse_content_length(value.to_bytes()).ok()?;
            request.set_content_length(length);
            return Some(length);
        }
        // How a response is sent is for httpd alone: clients would take its body for the beginning of another one.
        17 if is(b"Transfer-Encoding") => {}
        // Must reach the client even if an error document takes the place of the body.
        16 if is(b"WWW-Authenticate") => request.error_headers().add_kept(name, value),
        _ => request.response_headers().add_kept(name, value),
    }
    None
}
