//! The header `Forwarded` (RFC 7239).

use super::chain;
use super::header::Aspect;
use super::network::Network;
use super::node::Node;

/// What one proxy has written.
#[derive(Clone, Copy, Debug, Default)]
struct Element<'h> {
    /// As it stands in the header.
    text: &'h [u8],
    client: Option<&'h [u8]>,
    host: Option<&'h [u8]>,
    scheme: Option<&'h [u8]>,
}

/// The part of a `Forwarded` that can be believed, from the client's element on.
#[derive(Debug)]
pub(super) struct Elements<'h> {
    kept: Vec<Element<'h>>,
    is_malformed: bool,
}

impl<'h> Elements<'h> {
    /// Reads the header. One that breaks the rules anywhere says nothing at all: where an element ends is then anybody's
    /// guess.
    pub(super) fn of(header: &'h [u8], trusted: Option<&[Network]>) -> Elements<'h> {
        let Some(mut elements) = parse(header) else { return Elements { kept: Vec::new(), is_malformed: true } };
        let addresses: Vec<_> = elements.iter().map(|element| element.client.and_then(Node::parse)).collect();
        let client = chain::client(&addresses, trusted).unwrap_or(0);
        elements.drain(..client);
        Elements { kept: elements, is_malformed: false }
    }

    /// What the header says of this; nothing that can be read if it is malformed.
    ///
    /// The client is the first element's; host and scheme are those of the outermost proxy that tells them.
    pub(super) fn value(&self, aspect: Aspect) -> Option<&'h [u8]> {
        if self.is_malformed {
            return Some(b"");
        }
        match aspect {
            Aspect::Client => self.kept.first()?.client,
            Aspect::Host => self.kept.iter().find_map(|element| element.host),
            Aspect::Scheme => self.kept.iter().find_map(|element| element.scheme),
            Aspect::Server | Aspect::Port | Aspect::ScriptName => None,
        }
    }

    /// The header without the elements that cannot be believed.
    pub(super) fn text(&self) -> Vec<u8> {
        self.kept.iter().map(|element| element.text).collect::<Vec<_>>().join(&b", "[..])
    }
}

/// Source: RFC 7239, 4. Beyond it blanks may stand around semicolons, and colons and brackets outside of quotes, as many
/// proxies write them.
fn parse(header: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    let mut rest = header;
    loop {
        let start = rest.trim_ascii_start();
        let mut element = Element::default();
        let end = pairs(start, &mut element)?;
        element.text = start[..start.len() - end.len()].trim_ascii_end();
        // A list may have empty items (RFC 9110, 5.6.1).
        if !element.text.is_empty() {
            elements.push(element);
        }
        match end.split_first() {
            Some((_, behind_comma)) => rest = behind_comma,
            None => return Some(elements),
        }
    }
}

/// Reads the pairs of one element; gives what is behind, which is empty or begins with a comma.
fn pairs<'h>(text: &'h [u8], element: &mut Element<'h>) -> Option<&'h [u8]> {
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        match rest.first() {
            None | Some(b',') => return Some(rest),
            Some(b';') => rest = &rest[1..],
            Some(_) => {
                rest = pair(rest, element)?.trim_ascii_start();
                if !matches!(rest.first(), None | Some(b',' | b';')) {
                    return None;
                }
            }
        }
    }
}

fn pair<'h>(text: &'h [u8], element: &mut Element<'h>) -> Option<&'h [u8]> {
    let (name, rest) = split_while(text, is_token_byte)?;
    let (value, rest) = match rest.strip_prefix(b"=")? {
        [b'"', quoted @ ..] => split_quoted(quoted)?,
        bare => split_while(bare, |byte| is_token_byte(byte) || b":[]".contains(&byte))?,
    };
    let slot = match name {
        _ if name.eq_ignore_ascii_case(b"for") => &mut element.client,
        _ if name.eq_ignore_ascii_case(b"host") => &mut element.host,
        _ if name.eq_ignore_ascii_case(b"proto") => &mut element.scheme,
        // `by`, and extensions.
        _ => return Some(rest),
    };
    // Each may be there once (RFC 7239, 4).
    slot.replace(value).is_none().then_some(rest)
}

fn split_while(text: &[u8], is_part: impl Fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| !is_part(*byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The contents up to the closing quote, escapes as written, which are in no address, host or scheme; and what is behind.
fn split_quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some((&text[..at], &text[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Source: RFC 9110, 5.6.2 (tchar).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUSTED: &str = "10.0.0.0/8 2001:db8:ffff::/48";

    fn elements(header: &str) -> Elements<'_> {
        let trusted: Vec<_> =
            TRUSTED.split(' ').map(|text| Network::parse(text.as_bytes()).expect("a network")).collect();
        Elements::of(header.as_bytes(), Some(&trusted))
    }

    #[track_caller]
    fn says(header: &str, client: Option<&str>, host: Option<&str>, scheme: Option<&str>) {
        let elements = elements(header);
        let value = |aspect| elements.value(aspect).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(value(Aspect::Client).as_deref(), client, "{header}");
        assert_eq!(value(Aspect::Host).as_deref(), host, "{header}");
        assert_eq!(value(Aspect::Scheme).as_deref(), scheme, "{header}");
    }

    #[test]
    fn one_element_says_client_host_and_scheme() {
        says(
            "for=192.0.2.43;proto=https;by=203.0.113.60;host=example.com",
            Some("192.0.2.43"),
            Some("example.com"),
            Some("https"),
        );
        says(r#"For="[2001:db8:cafe::17]:4711"; PROTO=http"#, Some("[2001:db8:cafe::17]:4711"), None, Some("http"));
        says("proto=https", None, None, Some("https"));
        says("", None, None, None);
        says(" , ,", None, None, None);
    }

    #[test]
    fn the_client_is_the_nearest_that_is_no_proxy_of_ours() {
        says("for=6.6.6.6;host=evil, for=192.0.2.1;host=real, for=10.0.0.7", Some("192.0.2.1"), Some("real"), None);
        says("for=10.0.0.1;host=a, for=10.0.0.2;host=b", Some("10.0.0.1"), Some("a"), None);
    }

    #[test]
    fn host_and_scheme_may_come_from_an_inner_proxy_and_never_from_before_the_client() {
        says("for=1.1.1.1;host=evil, for=192.0.2.1, for=10.0.0.7;proto=https", Some("192.0.2.1"), None, Some("https"));
    }

    #[test]
    fn an_obfuscated_client_is_a_client_that_is_no_address() {
        says("for=6.6.6.6, for=_hidden;proto=https, for=10.0.0.7", Some("_hidden"), None, Some("https"));
        says("for=unknown;host=h", Some("unknown"), Some("h"), None);
        says("for=6.6.6.6, host=h", None, Some("h"), None);
    }

    #[test]
    fn a_comma_or_semicolon_in_quotes_ends_nothing() {
        says(
            r#"for="6.6.6.6, for=1.1.1.1;host=evil";host="a;b""#,
            Some("6.6.6.6, for=1.1.1.1;host=evil"),
            Some("a;b"),
            None,
        );
        says(r#"host="a\"b";proto=http"#, None, Some(r#"a\"b"#), Some("http"));
    }

    #[test]
    fn what_is_malformed_anywhere_says_nothing_at_all() {
        for header in [
            "for",
            "for=",
            "=x",
            "for =1.1.1.1",
            "for= 1.1.1.1",
            r#"for="1.1.1.1"#,
            r#"for="1.1.1.1\"#,
            r#"for="1.1.1.1""x"#,
            "for=1.1.1.1 proto=http",
            "for=1.1.1.1;for=2.2.2.2",
            "host=a;HOST=b",
            "for=1.1.1.1/8",
            "for=\u{e9}",
            "a b",
            r#"for=", for=192.0.2.1;proto=https"#,
            r#"for="x, for="[2001:db8::1]:80""#,
        ] {
            says(header, Some(""), Some(""), Some(""));
            says(&format!("for=192.0.2.1, {header}"), Some(""), Some(""), Some(""));
        }
    }

    #[test]
    fn what_is_kept_of_the_header_begins_with_the_client() {
        let text = |header| String::from_utf8_lossy(&elements(header).text()).into_owned();
        assert_eq!(
            text("for=6.6.6.6 ,for=192.0.2.1; proto=http ,, for=10.0.0.7"),
            "for=192.0.2.1; proto=http, for=10.0.0.7"
        );
        assert_eq!(text("for=192.0.2.1"), "for=192.0.2.1");
    }

    #[test]
    fn without_a_list_the_first_element_is_the_clients() {
        let elements = Elements::of(b"for=192.0.2.1;host=a, for=10.0.0.7;host=b", None);
        assert_eq!(elements.value(Aspect::Client), Some(&b"192.0.2.1"[..]));
        assert_eq!(elements.value(Aspect::Host), Some(&b"a"[..]));
    }
}
