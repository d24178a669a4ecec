//! What makes a response head valid: the rules for a status line and for one header, and what a
//! status says about the body.
//!
//! Strings arrive as latin-1 bytes; that they were `str` and latin-1 at all is for the host to check.
//! The error texts are the ones that applications of mod_wsgi know.
//!
//! Source: PEP 3333, "The start_response() Callable"; `docs/wire.md` for where a checked head goes.

use std::error::Error;
use std::fmt::{self, Write as _};

/// A valid status line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// The three digits as a number. Numbers below 100 and above 599 are let through, 1xx are not.
    pub code: u16,
    /// What follows the space; may be empty, may have bytes above 0x7f.
    pub reason: &'a [u8],
}

/// Why a status line or a header is refused. `Display` is the text of the `ValueError`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The status does not start with exactly three digits.
    Code(Vec<u8>),
    /// Something other than a space follows the three digits.
    NoSpace(Vec<u8>),
    /// The reason phrase has a byte of 0x00–0x1f or 0x7f.
    ReasonControl(Vec<u8>),
    /// The status is 1xx, which nothing but the server itself may send.
    Informational(Vec<u8>),
    /// The header's name is empty.
    NameEmpty,
    /// The header's name has a byte of 0x00–0x1f or 0x7f.
    NameControl(Vec<u8>),
    /// The header's name has a space.
    NameSpace(Vec<u8>),
    /// The header's value has a carriage return or a line feed, and so would end the header.
    ValueLineBreak(Vec<u8>),
    /// The header's value has a NUL, where C would cut it.
    ValueNul(Vec<u8>),
    /// The value of `Content-Length` is not a number of bytes.
    ContentLength(Vec<u8>),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(text) => write!(f, "status code must be a 3 digit integer: {}", BytesRepr(text)),
            Self::NoSpace(text) => write!(f, "no space following status code: {}", BytesRepr(text)),
            Self::ReasonControl(text) => {
                write!(f, "control character in status reason phrase: {}", BytesRepr(text))
            }
            Self::Informational(text) => {
                write!(f, "informational status code 1xx cannot be a final response: {}", BytesRepr(text))
            }
            Self::NameEmpty => f.write_str("header name is empty"),
            Self::NameControl(name) => {
                write!(f, "control character in header name: {}", BytesRepr(name))
            }
            Self::NameSpace(name) => {
                write!(f, "space character in header name: {}", BytesRepr(name))
            }
            Self::ValueLineBreak(value) => {
                write!(f, "carriage return/line feed character in header value: {}", BytesRepr(value))
            }
            Self::ValueNul(value) => {
                write!(f, "control character in header value: {}", BytesRepr(value))
            }
            Self::ContentLength(value) => {
                write!(f, "invalid Content-Length header value: {}", TextRepr(value))
            }
        }
    }
}

impl Error for Invalid {}

/// Takes a status line such as `404 Not Found` apart; `404` alone has an empty reason.
///
/// # Errors
/// `Code`, `NoSpace`, `ReasonControl` or `Informational`, in this order of precedence.
///
/// Source: PEP 3333, "The start_response() Callable"; for 1xx RFC 9110, 15.2.
pub fn parse_status(text: &[u8]) -> Result<Status<'_>, Invalid> {
    let Some((digits, rest)) = text.split_first_chunk::<3>() else {
        return Err(Invalid::Code(text.to_vec()));
    };
    if !digits.iter().all(u8::is_ascii_digit) || rest.first().is_some_and(u8::is_ascii_digit) {
        return Err(Invalid::Code(text.to_vec()));
    }
    let reason = match rest {
        [] | [b' '] => b"".as_slice(),
        [b' ', reason @ ..] => reason,
        _ => return Err(Invalid::NoSpace(text.to_vec())),
    };
    if reason.iter().any(u8::is_ascii_control) {
        return Err(Invalid::ReasonControl(text.to_vec()));
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    if (100..200).contains(&code) {
        return Err(Invalid::Informational(text.to_vec()));
    }
    Ok(Status { code, reason })
}

/// Checks one header; what passes cannot break out of its line, nor be cut by C.
///
/// Names need not be tokens and values may have other control characters, as mod_wsgi allows both:
/// httpd's `HttpProtocolOptions` has the last word on them.
///
/// # Errors
/// One of the `Name` or `Value` variants, for the first fault from the left.
pub fn check_header(name: &[u8], value: &[u8]) -> Result<(), Invalid> {
    if name.is_empty() {
        return Err(Invalid::NameEmpty);
    }
    match name.iter().find(|byte| byte.is_ascii_control() || **byte == b' ') {
        None => {}
        Some(b' ') => return Err(Invalid::NameSpace(name.to_vec())),
        Some(_) => return Err(Invalid::NameControl(name.to_vec())),
    }
    match value.iter().find(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        None => Ok(()),
        Some(0) => Err(Invalid::ValueNul(value.to_vec())),
        Some(_) => Err(Invalid::ValueLineBreak(value.to_vec())),
    }
}

/// The number of bytes that a `Content-Length` declares: ASCII digits, with spaces or tabs around
/// them at most, and no more than fits httpd's `apr_off_t` (2⁶³ − 1).
///
/// # Errors
/// `ContentLength` for anything else, a sign or a list included.
///
/// Source: RFC 9110, 8.6.
pub fn parse_content_length(value: &[u8]) -> Result<u64, Invalid> {
    const MOST: u64 = i64::MAX as u64;
    let invalid = || Invalid::ContentLength(value.to_vec());
    let digits = trim_blanks(value);
    if digits.is_empty() {
        return Err(invalid());
    }
    digits
        .iter()
        .try_fold(0_u64, |length, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            length.checked_mul(10)?.checked_add(digit).filter(|length| *length <= MOST)
        })
        .ok_or_else(invalid)
}

/// Whether a response with this status never has a body (1xx, 204, 304).
///
/// Source: RFC 9110, 6.4.1.
pub fn forbids_body(code: u16) -> bool {
    matches!(code, 100..=199 | 204 | 304)
}

/// Whether a response header speaks of the connection, which is httpd's, and not of the response.
///
/// `Proxy-Authenticate` and `Proxy-Authorization`, which `wsgiref` counts as well, are not taken for
/// such: an application that is a proxy itself has to send the first.
///
/// Source: PEP 3333, "Other HTTP Features"; RFC 9110, 7.6.1; `Trailer(s)` is from RFC 2616, 13.5.1.
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 8] = [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
    ];
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// `repr()` of Python's `bytes`.
struct BytesRepr<'a>(&'a [u8]);

impl fmt::Display for BytesRepr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('b')?;
        write_repr(f, self.0, |byte| matches!(byte, b' '..=b'~'))
    }
}

/// `repr()` of Python's `str` that these bytes are in latin-1.
struct TextRepr<'a>(&'a [u8]);

impl fmt::Display for TextRepr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of the upper half, Unicode has the C1 controls, the no-break space and the soft hyphen
        // unprintable.
        write_repr(f, self.0, |byte| matches!(byte, b' '..=b'~' | 0xa1..=0xac | 0xae..=0xff))
    }
}

fn write_repr(f: &mut fmt::Formatter<'_>, text: &[u8], is_printable: fn(u8) -> bool) -> fmt::Result {
    let quote = if text.contains(&b'\'') && !text.contains(&b'"') { b'"' } else { b'\'' };
    f.write_char(char::from(quote))?;
    for &byte in text {
        match byte {
            b'\\' => f.write_str("\\\\")?,
            b'\t' => f.write_str("\\t")?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            _ if byte == quote => write!(f, "\\{}", char::from(byte))?,
            _ if is_printable(byte) => f.write_char(char::from(byte))?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_char(char::from(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_error(text: &[u8]) -> String {
        parse_status(text).expect_err("the status is bad").to_string()
    }

    fn header_error(name: &[u8], value: &[u8]) -> String {
        check_header(name, value).expect_err("the header is bad").to_string()
    }

    #[test]
    fn status_is_split_at_the_first_space() {
        let status = parse_status(b"404 Not Found").expect("valid");
        assert_eq!((status.code, status.reason), (404, b"Not Found".as_slice()));
        let status = parse_status(b"200  two spaces").expect("valid");
        assert_eq!(status.reason, b" two spaces");
    }

    #[test]
    fn reason_may_be_missing_or_empty_or_latin_1() {
        for (text, reason) in [(b"200".as_slice(), b"".as_slice()), (b"200 ", b""), (b"200 \xe9", b"\xe9")] {
            assert_eq!(parse_status(text), Ok(Status { code: 200, reason }));
        }
    }

    #[test]
    fn odd_codes_are_let_through() {
        for (text, code) in [(b"000 x".as_slice(), 0), (b"099 x", 99), (b"200 x", 200), (b"999 x", 999)] {
            assert_eq!(parse_status(text).map(|status| status.code), Ok(code));
        }
    }

    #[test]
    fn code_is_three_digits_and_no_fourth() {
        for text in [b"".as_slice(), b"20", b"2x0 OK", b" 200 OK", b"2000", b"-20 x", b"2\x000 x"] {
            assert_eq!(parse_status(text), Err(Invalid::Code(text.to_vec())));
        }
        assert_eq!(status_error(b"OK"), "status code must be a 3 digit integer: b'OK'");
        assert_eq!(status_error(b"2000 OK"), "status code must be a 3 digit integer: b'2000 OK'");
    }

    #[test]
    fn only_a_space_may_follow_the_code() {
        assert_eq!(status_error(b"200OK"), "no space following status code: b'200OK'");
        assert_eq!(status_error(b"200\tOK"), "no space following status code: b'200\\tOK'");
        assert_eq!(status_error(b"200\0"), "no space following status code: b'200\\x00'");
    }

    #[test]
    fn control_character_in_the_reason_is_refused() {
        for byte in (0..0x20).chain([0x7f]) {
            let text = [b"200 O".as_slice(), &[byte], b"K"].concat();
            assert_eq!(parse_status(&text), Err(Invalid::ReasonControl(text.clone())));
        }
        assert_eq!(status_error(b"200 OK\r\nX: y"), "control character in status reason phrase: b'200 OK\\r\\nX: y'");
    }

    #[test]
    fn informational_status_is_refused() {
        assert_eq!(
            status_error(b"100 Continue"),
            "informational status code 1xx cannot be a final response: b'100 Continue'"
        );
        assert_eq!(parse_status(b"199"), Err(Invalid::Informational(b"199".to_vec())));
    }

    #[test]
    fn empty_header_name_is_refused() {
        assert_eq!(header_error(b"", b"x"), "header name is empty");
    }

    #[test]
    fn control_character_or_space_in_a_header_name_is_refused() {
        assert_eq!(header_error(b"X\nY", b""), "control character in header name: b'X\\nY'");
        assert_eq!(header_error(b"X\0Y", b""), "control character in header name: b'X\\x00Y'");
        assert_eq!(header_error(b"X Y", b""), "space character in header name: b'X Y'");
    }

    #[test]
    fn first_fault_of_a_header_name_is_the_one_named() {
        assert_eq!(check_header(b"a b\n", b""), Err(Invalid::NameSpace(b"a b\n".to_vec())));
        assert_eq!(check_header(b"a\nb ", b""), Err(Invalid::NameControl(b"a\nb ".to_vec())));
    }

    #[test]
    fn line_break_in_a_header_value_is_refused() {
        let text = "carriage return/line feed character in header value: ";
        assert_eq!(header_error(b"X", b"a\rb"), format!("{text}b'a\\rb'"));
        assert_eq!(header_error(b"X", b"a\n b"), format!("{text}b'a\\n b'"));
    }

    #[test]
    fn nul_in_a_header_value_is_refused_rather_than_cut() {
        assert_eq!(header_error(b"X", b"a\0b"), "control character in header value: b'a\\x00b'");
    }

    #[test]
    fn header_oddities_of_mod_wsgi_are_let_through() {
        for (name, value) in [(b"X:Y".as_slice(), b"".as_slice()), (b"\xe9", b"\xe9"), (b"X", b"a\tb\x01\x7f")] {
            assert_eq!(check_header(name, value), Ok(()));
        }
    }

    #[test]
    fn content_length_is_digits_within_blanks() {
        for (text, length) in [(b"0".as_slice(), 0), (b"42", 42), (b" 007\t", 7)] {
            assert_eq!(parse_content_length(text), Ok(length));
        }
    }

    #[test]
    fn content_length_ends_where_file_offsets_end() {
        assert_eq!(parse_content_length(b"9223372036854775807"), Ok(i64::MAX as u64));
        for text in [b"9223372036854775808".as_slice(), b"18446744073709551616", &[b'9'; 400]] {
            assert_eq!(parse_content_length(text), Err(Invalid::ContentLength(text.to_vec())));
        }
    }

    #[test]
    fn content_length_that_is_no_number_is_refused() {
        for text in [b"".as_slice(), b" ", b"abc", b"-1", b"+1", b"1, 1", b"0x10", b"1.0", b"1 2", b"1\n"] {
            assert_eq!(parse_content_length(text), Err(Invalid::ContentLength(text.to_vec())));
        }
        let error = parse_content_length(b"abc").expect_err("bad").to_string();
        assert_eq!(error, "invalid Content-Length header value: 'abc'");
    }

    #[test]
    fn body_is_forbidden_for_exactly_the_bodiless_statuses() {
        for code in [100, 101, 199, 204, 304] {
            assert!(forbids_body(code), "{code}");
        }
        for code in [0, 99, 200, 203, 205, 206, 303, 305, 404, 500] {
            assert!(!forbids_body(code), "{code}");
        }
    }

    #[test]
    fn headers_of_the_connection_are_told_from_headers_of_the_response() {
        for name in ["Connection", "KEEP-ALIVE", "te", "Trailer", "Trailers", "Transfer-Encoding", "Upgrade"] {
            assert!(is_hop_by_hop(name.as_bytes()), "{name}");
        }
        for name in ["", "Content-Length", "Proxy-Authenticate", "Close", "X-Connection"] {
            assert!(!is_hop_by_hop(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn bytes_are_shown_as_python_shows_them() {
        for (bytes, shown) in [
            (b"".as_slice(), "b''"),
            (b"plain ~", "b'plain ~'"),
            (b"it's", "b\"it's\""),
            (b"say \"x\"", "b'say \"x\"'"),
            (b"'\"", "b'\\'\"'"),
            (b"\\\t\n\r\0\x1f\x7f\x80\xff", "b'\\\\\\t\\n\\r\\x00\\x1f\\x7f\\x80\\xff'"),
        ] {
            assert_eq!(BytesRepr(bytes).to_string(), shown);
        }
    }

    #[test]
    fn latin_1_text_is_shown_as_python_shows_it() {
        assert_eq!(TextRepr(b"\xe9\xa0\xad\x85\xff'").to_string(), "\"é\\xa0\\xad\\x85ÿ'\"");
    }
}
