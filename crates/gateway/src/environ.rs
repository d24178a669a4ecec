//! The rules by which request headers, paths and httpd's environment become WSGI environ variables.
//!
//! One value at a time and no table: where the values come from, and in which order they override
//! each other, is for the caller.
//!
//! Source: PEP 3333, "environ Variables"; RFC 3875, 4.1.

use std::borrow::Cow;

use crate::Key;

/// An environ variable's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable<'a> {
    /// One of the names that both halves know by number.
    Known(Key),
    /// Any other name, spelt as in the environ.
    Named(&'a [u8]),
}

/// The variable that a request header becomes, or `None` if it must not become one.
///
/// Dropped are names with anything but ASCII letters, digits and `-` (with `_` let through,
/// `X_Foo` could pass for `X-Foo`), and `Proxy`, which as `HTTP_PROXY` would steer HTTP clients in the
/// application. `Authorization` is not dropped here, since only the settings know about it.
///
/// `scratch` is overwritten if the name is not a known one; nothing is allocated otherwise.
///
/// Source: RFC 3875, 4.1.18; CVE-2016-5387.
pub fn header_variable<'a>(name: &[u8], scratch: &'a mut Vec<u8>) -> Option<Variable<'a>> {
    if let Some(key) = known_header(name) {
        return Some(Variable::Known(key));
    }
    if name.is_empty() || name.eq_ignore_ascii_case(b"proxy") {
        return None;
    }
    scratch.clear();
    scratch.reserve(PREFIX.len() + name.len());
    scratch.extend_from_slice(PREFIX);
    for &byte in name {
        scratch.push(variable_byte(byte)?);
    }
    Some(Variable::Named(scratch))
}

/// The path with every run of slashes made one.
pub fn collapse_slashes(path: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = path.windows(2).position(|pair| pair == b"//") else {
        return Cow::Borrowed(path);
    };
    let (kept, rest) = path.split_at(first);
    let mut collapsed = Vec::with_capacity(path.len());
    collapsed.extend_from_slice(kept);
    for &byte in rest {
        if byte != b'/' || collapsed.last() != Some(&b'/') {
            collapsed.push(byte);
        }
    }
    Cow::Owned(collapsed)
}

/// The part of `uri` before `path_info`: its beginning if it ends with `path_info`, give or take
/// doubled slashes; all of it if it has nothing in common with it, as after some rewrites.
///
/// Where only the last segments agree, they are taken off, as httpd does for CGI.
///
/// Source: httpd `ap_find_path_info` (util_script.h).
pub fn script_name<'a>(uri: &'a [u8], path_info: &[u8]) -> &'a [u8] {
    let mut end = uri.len();
    for &expected in path_info.iter().rev() {
        let Some(last) = end.checked_sub(1) else {
            break;
        };
        if uri[last] != expected {
            break;
        }
        end = last;
        if expected == b'/' {
            end -= uri[..end].iter().rev().take_while(|byte| **byte == b'/').count();
        }
    }
    // Never cut within a segment.
    let segment = uri[end..].iter().position(|byte| *byte == b'/').unwrap_or(uri.len() - end);
    &uri[..end + segment]
}

/// Whether a value of the variable `HTTPS` says that the request came over TLS.
///
/// Source: PEP 3333, "URL Reconstruction"; mod_ssl's `StdEnvVars`, which sets `on`.
pub fn is_https(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"on") || value == b"1"
}

/// Whether a variable that SetEnv or another module left in httpd's environment is kept from the
/// application.
///
/// `PATH` is httpd's own, `HTTPS` has become `wsgi.url_scheme`, `wsgi.` belongs to the server,
/// `mod_wsgi.x-` to us, and what describes the request's body comes from the request alone.
pub fn is_hidden(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] =
        [b"PATH", b"HTTPS", b"CONTENT_LENGTH", b"CONTENT_TYPE", b"HTTP_CONTENT_LENGTH", b"HTTP_CONTENT_TYPE"];
    NAMES.contains(&name) || name.starts_with(b"wsgi.") || name.starts_with(b"mod_wsgi.x-")
}

const PREFIX: &[u8] = b"HTTP_";

/// A byte of a header's name as it stands in a variable's name, if it may.
fn variable_byte(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' | b'0'..=b'9' => Some(byte),
        b'a'..=b'z' => Some(byte.to_ascii_uppercase()),
        b'-' => Some(b'_'),
        _ => None,
    }
}

fn known_header(name: &[u8]) -> Option<Key> {
    headers_of_length(name.len()).iter().copied().find(|key| is_header_of(name, *key))
}

fn is_header_of(header: &[u8], key: Key) -> bool {
    let name = key.name().as_bytes();
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    name.len() == header.len() && name.iter().zip(header).all(|(byte, header)| variable_byte(*header) == Some(*byte))
}

/// Every known header whose name has this many bytes: most names are told apart by their length and
/// their first letter.
fn headers_of_length(length: usize) -> &'static [Key] {
    match length {
        2 => &[Key::HttpTe],
        3 => &[Key::HttpDnt, Key::HttpVia],
        4 => &[Key::HttpHost],
        5 => &[Key::HttpRange],
        6 => &[Key::HttpAccept, Key::HttpCookie, Key::HttpOrigin, Key::HttpPragma, Key::HttpExpect],
        7 => &[Key::HttpReferer],
        8 => &[Key::HttpPriority, Key::HttpIfMatch],
        9 => &[Key::HttpSecChUa],
        10 => &[Key::HttpUserAgent, Key::HttpConnection],
        12 => &[Key::ContentType],
        13 => &[Key::HttpCacheControl, Key::HttpAuthorization, Key::HttpIfNoneMatch],
        14 => &[
            Key::ContentLength,
            Key::HttpSecFetchMode,
            Key::HttpSecFetchDest,
            Key::HttpSecFetchSite,
            Key::HttpSecFetchUser,
        ],
        15 => &[Key::HttpAcceptEncoding, Key::HttpAcceptLanguage, Key::HttpXForwardedFor],
        16 => &[Key::HttpXForwardedHost, Key::HttpSecChUaMobile, Key::HttpXRequestedWith],
        17 => &[Key::HttpIfModifiedSince, Key::HttpXForwardedProto, Key::HttpTransferEncoding],
        18 => &[Key::HttpSecChUaPlatform],
        25 => &[Key::HttpUpgradeInsecureRequests],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KEYS;

    fn variable(name: &[u8]) -> Option<String> {
        let mut scratch = b"left over".to_vec();
        header_variable(name, &mut scratch).map(|variable| match variable {
            Variable::Known(key) => key.name().to_owned(),
            Variable::Named(name) => String::from_utf8_lossy(name).into_owned() + " by name",
        })
    }

    fn known_headers() -> impl Iterator<Item = (String, Key)> {
        KEYS.iter().filter_map(|key| {
            let header = match key {
                Key::ContentType => "CONTENT_TYPE",
                Key::ContentLength => "CONTENT_LENGTH",
                _ => key.name().strip_prefix("HTTP_")?,
            };
            Some((header.replace('_', "-"), *key))
        })
    }

    #[test]
    fn every_http_key_is_found_by_its_header_in_any_case() {
        assert!(known_headers().count() > 30);
        for (header, key) in known_headers() {
            let mut scratch = Vec::new();
            for header in [header.to_ascii_lowercase(), header.clone()] {
                let found = header_variable(header.as_bytes(), &mut scratch);
                assert_eq!(found, Some(Variable::Known(key)), "{header}");
            }
            assert_eq!(scratch.capacity(), 0, "{header} allocated");
        }
    }

    #[test]
    fn known_header_with_an_underscore_is_dropped() {
        for (header, _) in known_headers().filter(|(header, _)| header.contains('-')) {
            assert_eq!(variable(header.replace('-', "_").as_bytes()), None, "{header}");
        }
    }

    #[test]
    fn content_type_and_length_have_no_prefix() {
        assert_eq!(variable(b"Content-Type").as_deref(), Some("CONTENT_TYPE"));
        assert_eq!(variable(b"content-length").as_deref(), Some("CONTENT_LENGTH"));
        assert_eq!(variable(b"Content-Encoding").as_deref(), Some("HTTP_CONTENT_ENCODING by name"));
    }

    #[test]
    fn other_header_is_upper_cased_behind_a_prefix() {
        assert_eq!(variable(b"x-Custom-1").as_deref(), Some("HTTP_X_CUSTOM_1 by name"));
        assert_eq!(variable(b"X").as_deref(), Some("HTTP_X by name"));
    }

    #[test]
    fn header_that_could_pass_for_another_is_dropped() {
        for name in [b"X_Under".as_slice(), b"X.Y", b"X Y", b"X\0Y", b"\xe9", b"", b"Content_Type", b"Cookie:"] {
            assert_eq!(variable(name), None, "{name:?}");
        }
    }

    #[test]
    fn proxy_header_is_dropped_in_any_case() {
        assert_eq!(variable(b"Proxy"), None);
        assert_eq!(variable(b"PROXY"), None);
        assert_eq!(variable(b"Proxy-X").as_deref(), Some("HTTP_PROXY_X by name"));
    }

    #[test]
    fn path_without_doubled_slashes_is_not_copied() {
        for path in [b"".as_slice(), b"/", b"/a/b/"] {
            assert!(matches!(collapse_slashes(path), Cow::Borrowed(same) if same == path));
        }
    }

    #[test]
    fn runs_of_slashes_become_one() {
        for (path, collapsed) in [("//", "/"), ("///a//b/c////", "/a/b/c/"), ("a//b", "a/b"), ("/a//", "/a/")] {
            assert_eq!(collapse_slashes(path.as_bytes()).as_ref(), collapsed.as_bytes(), "{path}");
        }
    }

    fn script(uri: &str, path_info: &str) -> String {
        String::from_utf8_lossy(script_name(uri.as_bytes(), path_info.as_bytes())).into_owned()
    }

    #[test]
    fn script_name_is_what_stands_before_the_path_info() {
        assert_eq!(script("/app/x/y", "/x/y"), "/app");
        assert_eq!(script("/app", ""), "/app");
        assert_eq!(script("/x", "/x"), "");
        assert_eq!(script("/x/x", "/x"), "/x");
        assert_eq!(script("/app/", "/"), "/app");
        assert_eq!(script("", "/x"), "");
        assert_eq!(script("", ""), "");
    }

    #[test]
    fn script_name_does_not_end_in_the_path_infos_slashes() {
        assert_eq!(script("/app//x", "/x"), "/app");
        assert_eq!(script("/app//x", "//x"), "/app");
        assert_eq!(script("/app//a///b", "/a/b"), "/app");
        assert_eq!(script("//x", "/x"), "");
    }

    #[test]
    fn script_name_is_cut_at_whole_segments_only() {
        assert_eq!(script("/a/b/c", "/x/c"), "/a/b");
        assert_eq!(script("/page", "/age"), "/page");
        assert_eq!(script("/foo", "/bar"), "/foo");
        assert_eq!(script("/x", "/much/longer/x"), "");
    }

    #[test]
    fn https_is_on_or_1() {
        for value in [b"on".as_slice(), b"On", b"ON", b"1"] {
            assert!(is_https(value));
        }
        for value in [b"".as_slice(), b"0", b"off", b"yes", b"true", b"11", b" on"] {
            assert!(!is_https(value));
        }
    }

    #[test]
    fn names_that_setenv_must_not_inject_are_hidden() {
        for name in ["PATH", "HTTPS", "wsgi.input", "wsgi.", "mod_wsgi.x-a", "CONTENT_LENGTH", "HTTP_CONTENT_TYPE"] {
            assert!(is_hidden(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn other_names_are_not_hidden() {
        for name in
            ["", "PATH_INFO", "Path", "HTTPS_ONLY", "mod_wsgi.xyz", "wsgi", "HTTP_CONTENT_LANGUAGE", "SSL_CIPHER"]
        {
            assert!(!is_hidden(name.as_bytes()), "{name}");
        }
    }
}
