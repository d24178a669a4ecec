//! One address as proxies write it: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.

use std::net::IpAddr;

/// A literal address in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node<'h> {
    /// As it stands in the header, without brackets and port.
    pub(super) text: &'h [u8],
    pub(super) address: IpAddr,
}

impl<'h> Node<'h> {
    /// Reads a literal address; `None` for anything else, names and the obfuscated identifiers of RFC 7239 (6.3) too.
    pub(super) fn parse(text: &'h [u8]) -> Option<Node<'h>> {
        let (bare, is_bracketed) = match text.strip_prefix(b"[") {
            Some(rest) => (bracketed(rest)?, true),
            None => (without_port(text)?, false),
        };
        let address: IpAddr = std::str::from_utf8(bare).ok()?.parse().ok()?;
        // Only IPv6 addresses are put in brackets.
        (address.is_ipv6() || !is_bracketed).then_some(Node { text: bare, address })
    }
}

fn bracketed(rest: &[u8]) -> Option<&[u8]> {
    let end = rest.iter().position(|byte| *byte == b']')?;
    let behind = &rest[end + 1..];
    (behind.is_empty() || behind.strip_prefix(b":").is_some_and(is_port)).then_some(&rest[..end])
}

/// Without the port, which an IPv6 address can only have behind brackets.
fn without_port(text: &[u8]) -> Option<&[u8]> {
    let mut colons = text.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
    match (colons.next(), colons.next()) {
        (Some(only), None) => is_port(&text[only + 1..]).then_some(&text[..only]),
        _ => Some(text),
    }
}

/// Whether the text is a port that a connection can have.
pub(super) fn is_port(text: &[u8]) -> bool {
    let is_plain = text.iter().all(u8::is_ascii_digit);
    is_plain && std::str::from_utf8(text).is_ok_and(|text| text.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(node: &str) -> Option<String> {
        Node::parse(node.as_bytes()).map(|node| String::from_utf8_lossy(node.text).into_owned())
    }

    #[test]
    fn literal_addresses_are_read_with_and_without_port() {
        for (node, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8::1", "2001:DB8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ] {
            assert_eq!(text(node).as_deref(), Some(address), "{node}");
        }
    }

    #[test]
    fn anything_else_is_no_address() {
        for node in [
            "",
            "garbage",
            "localhost",
            "unknown",
            "_hidden",
            "192.0.2",
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:0",
            "192.0.2.1:65536",
            "192.0.2.1:+80",
            "[192.0.2.1]",
            "[2001:db8::1",
            "2001:db8::1]",
            "[2001:db8::1]x",
            "[2001:db8::1]:",
            "[]",
            "[",
            "fe80::1%eth0",
            "192.0.2.1 ",
            "010.0.0.1",
            "192.0.2.1,192.0.2.2",
            "\u{e9}",
        ] {
            assert_eq!(text(node), None, "{node}");
        }
        assert_eq!(Node::parse(b"\xff\x00"), None);
    }

    #[test]
    fn a_port_is_a_number_from_1_to_65535() {
        assert!(is_port(b"1") && is_port(b"443") && is_port(b"65535"));
        for port in ["", "0", "00000", "65536", "100000", "4x", "-1", "+1", " 80"] {
            assert!(!is_port(port.as_bytes()), "{port}");
        }
    }
}
