//! Addresses that are trusted: one address, or a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address or a network, of IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The bits behind the prefix are 0.
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Reads `192.0.2.1`, `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, the beginning of an IPv4 address (`10.0` is `10.0.0.0/16`),
    /// `2001:db8::1`, `fe80::/10`; `None` if the text is none of them.
    ///
    /// Source: the forms that APR's `apr_ipsubnet_create` takes (apr_network_io.h), without those that are ambiguous:
    /// octets with leading zeros, masks with holes.
    pub fn parse(text: &[u8]) -> Option<Network> {
        let text = std::str::from_utf8(text).ok()?;
        let (address, mask) = match text.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (text, None),
        };
        if address.contains(':') {
            let prefix = mask.map_or(Some(128), |mask| number(mask, 128))?;
            return Some(Network::v6(address.parse().ok()?, prefix));
        }
        let (address, octets) = beginning(address)?;
        let prefix = mask.map_or(Some(8 * octets), |mask| number(mask, 32).or_else(|| dotted_mask(mask)))?;
        Some(Network::v4(address, prefix))
    }

    /// Whether the address is in the network. An IPv4 address that is written as an IPv6 one (`::ffff:…`) is the IPv4
    /// address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => Network::v4(address, self.prefix).address == network,
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                Ipv6Addr::from_bits(address.to_bits() & mask_of_128(self.prefix)) == network
            }
            _ => false,
        }
    }

    fn v4(address: Ipv4Addr, prefix: u32) -> Network {
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        Network { address: Ipv4Addr::from_bits(address.to_bits() & mask).into(), prefix }
    }

    fn v6(address: Ipv6Addr, prefix: u32) -> Network {
        match (address.to_ipv4_mapped(), prefix.checked_sub(96)) {
            (Some(address), Some(prefix)) => Network::v4(address, prefix),
            _ => Network { address: Ipv6Addr::from_bits(address.to_bits() & mask_of_128(prefix)).into(), prefix },
        }
    }
}

fn mask_of_128(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
}

fn number(text: &str, most: u32) -> Option<u32> {
    let is_plain = !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && *number <= most)
}

/// The beginning of an IPv4 address, with zeros behind it, and the number of octets that are there. A dot may follow.
fn beginning(text: &str) -> Option<(Ipv4Addr, u32)> {
    let mut octets = [0; 4];
    let mut count = 0;
    for octet in text.strip_suffix('.').unwrap_or(text).split('.') {
        let is_ambiguous = octet.len() > 1 && octet.starts_with('0');
        *octets.get_mut(count)? = u8::try_from(number(octet, 255).filter(|_| !is_ambiguous)?).ok()?;
        count += 1;
    }
    Some((Ipv4Addr::from(octets), count as u32))
}

/// The number of leading ones of a mask such as `255.255.0.0`.
fn dotted_mask(text: &str) -> Option<u32> {
    let bits = text.parse::<Ipv4Addr>().ok()?.to_bits();
    (bits.leading_ones() + bits.trailing_zeros() == 32 || bits == 0).then_some(bits.leading_ones())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn network(text: &str) -> Network {
        Network::parse(text.as_bytes()).expect(text)
    }

    #[track_caller]
    fn contains(text: &str, address: &str) -> bool {
        network(text).contains(address.parse().expect(address))
    }

    #[test]
    fn an_address_is_itself_alone() {
        assert!(contains("192.0.2.1", "192.0.2.1"));
        assert!(!contains("192.0.2.1", "192.0.2.2"));
        assert!(contains("::1", "::1") && !contains("::1", "::2"));
    }

    #[test]
    fn a_mask_says_how_many_bits_count() {
        assert!(contains("10.0.0.0/8", "10.255.1.2") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("10.1.2.3/8", "10.9.9.9"), "bits behind the mask do not matter");
        assert!(contains("10.0.0.0/255.255.0.0", "10.0.9.9") && !contains("10.0.0.0/255.255.0.0", "10.1.0.0"));
        assert!(contains("fe80::/10", "febf::1") && !contains("fe80::/10", "fec0::1"));
        assert!(contains("0.0.0.0/0", "203.0.113.9") && contains("::/0", "2001:db8::1"));
        assert!(contains("1.2.3.4/32", "1.2.3.4") && contains("::1/128", "::1"));
    }

    #[test]
    fn the_beginning_of_an_address_is_a_network() {
        assert_eq!(network("10.0"), network("10.0.0.0/16"));
        assert_eq!(network("10."), network("10.0.0.0/8"));
        assert_eq!(network("10"), network("10.0.0.0/8"));
        assert_eq!(network("192.168.1"), network("192.168.1.0/24"));
        assert_eq!(network("10.0/12"), network("10.0.0.0/12"));
    }

    // mod_wsgi refuses it.
    #[test]
    fn ipv6_may_be_written_in_any_case() {
        assert_eq!(network("2001:DB8::A"), network("2001:db8::a"));
    }

    #[test]
    fn an_ipv4_address_in_ipv6_spelling_is_the_ipv4_address() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(!contains("::/0", "10.1.2.3"), "a network of IPv6 has no IPv4 addresses");
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
    }

    #[test]
    fn anything_else_is_no_network() {
        for text in [
            "",
            "host",
            "localhost",
            "example.com",
            "1.2.3.400",
            "1.2.3.4.5",
            "1..2",
            ".1",
            "1.2.3.4/33",
            "::1/129",
            "1.2.3.4/",
            "/8",
            "1.2.3.4/x",
            "1.2.3.4/-1",
            "1.2.3.4/+8",
            "010.0.0.1",
            "10.0.0.0/255.0.255.0",
            "[::1]",
            "fe80::1%eth0",
            "1.2.3.4 ",
            " 1.2.3.4",
            "1.2.3.4:80",
            ":::",
            "::1/255.0.0.0",
            "0x7f.1",
            "2130706433",
            "*",
            "10.0.0.0/0008",
            "10.0.0.0/8/8",
            "\u{661}.1",
        ] {
            assert_eq!(Network::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Network::parse(b"\xff"), None);
    }
}
