//! What a host, a port, a scheme or a path may look like in a header of a proxy's.

use std::net::Ipv6Addr;

use super::header::ProxyHeader;
use super::node::is_port;

/// The last item of a list: the one that the proxy next to us has written. Others may be the client's.
pub(super) fn last_item(value: &[u8]) -> &[u8] {
    value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii()
}

/// Whether the text is a host, with or without a port.
///
/// Source: RFC 9110, 7.2; of the names in RFC 3986, 3.2.2, those that hosts have.
pub(super) fn is_host_and_port(text: &[u8]) -> bool {
    let port_at = text.iter().rposition(|byte| *byte == b':').filter(|at| !text[*at..].contains(&b']'));
    match port_at {
        Some(at) => is_host(&text[..at]) && is_port(&text[at + 1..]),
        None => is_host(text),
    }
}

/// Whether the text is a host without a port.
pub(super) fn is_host(text: &[u8]) -> bool {
    match text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        Some(address) => std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok()),
        None => !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte)),
    }
}

/// Whether the text is a path at which an application can be mounted; `""` is the root.
pub(super) fn is_script_name(text: &[u8]) -> bool {
    // A header that was sent twice comes as a list, and of two paths neither can be believed.
    let is_list = text.windows(3).any(|part| part == b", /");
    (text.is_empty() || text.starts_with(b"/")) && !is_list && !text.iter().any(u8::is_ascii_control)
}

/// Whether a header about the scheme says https; `None` if it says neither.
pub(super) fn is_https(header: ProxyHeader, word: &[u8]) -> Option<bool> {
    let is_one_of = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
    let (https, http): (&[&str], &[&str]) = match header {
        ProxyHeader::XForwardedHttps | ProxyHeader::XForwardedSsl | ProxyHeader::XHttps => {
            (&["on", "true", "1"], &["off", "false", "0"])
        }
        _ => (&["https"], &["http"]),
    };
    match () {
        () if is_one_of(https) => Some(true),
        () if is_one_of(http) => Some(false),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_list_the_last_item_counts() {
        assert_eq!(last_item(b"evil.test, real.test "), b"real.test");
        assert_eq!(last_item(b" real.test"), b"real.test");
        assert_eq!(last_item(b"real.test,"), b"");
    }

    #[test]
    fn hosts_are_names_and_addresses_with_a_port_or_without() {
        for host in ["example.com", "EXAMPLE.com:8080", "a_b-c.d", "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:443"]
        {
            assert!(is_host_and_port(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":",
            ":80",
            "a b",
            "a/b",
            "a@b",
            "a:80:80",
            "a:",
            "a:x",
            "a:0",
            "[::1",
            "::1",
            "[a]",
            "<script>",
            "a\r\nb",
            "a,b",
            "\u{e9}.test",
            "a?b",
            "a#b",
            "a\\b",
            "[::1]x",
        ] {
            assert!(!is_host_and_port(host.as_bytes()), "{host}");
        }
        assert!(is_host(b"example.com") && !is_host(b"example.com:80"));
    }

    #[test]
    fn script_names_are_paths() {
        for path in ["", "/", "/app", "/a/b,c", "/\u{e9}"] {
            assert!(is_script_name(path.as_bytes()), "{path}");
        }
        for path in ["app", "/evil, /app", "/a\nb", "/a\x7fb", "http://x/"] {
            assert!(!is_script_name(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn each_scheme_header_takes_its_own_words() {
        use ProxyHeader::*;
        for header in [XForwardedProto, XForwardedScheme, XScheme, Forwarded] {
            assert_eq!(is_https(header, b"HTTPS"), Some(true));
            assert_eq!(is_https(header, b"http"), Some(false));
            for word in ["", "on", "1", "wss", "httpss", "https "] {
                assert_eq!(is_https(header, word.as_bytes()), None, "{word}");
            }
        }
        for header in [XForwardedHttps, XForwardedSsl, XHttps] {
            for (word, is_on) in
                [("On", true), ("true", true), ("1", true), ("OFF", false), ("False", false), ("0", false)]
            {
                assert_eq!(is_https(header, word.as_bytes()), Some(is_on));
            }
            for word in ["", "https", "yes", "2"] {
                assert_eq!(is_https(header, word.as_bytes()), None, "{word}");
            }
        }
    }
}
