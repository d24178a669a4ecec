//! The chain of proxies that a request has come through, as its last ones tell it.

use super::network::Network;
use super::node::Node;

/// Which of the items of a chain is the client, counted from its beginning; `addresses` are in the order of the header, the
/// nearest last, and `None` for what is no address. Without a list everybody is trusted, so it is the first.
///
/// What stands before the client was not written by anybody who is trusted.
pub(super) fn client(addresses: &[Option<Node<'_>>], trusted: Option<&[Network]>) -> Option<usize> {
    let Some(trusted) = trusted else { return (!addresses.is_empty()).then_some(0) };
    let is_trusted =
        |node: &Option<Node<'_>>| node.is_some_and(|node| trusted.iter().any(|network| network.contains(node.address)));
    let nearest_stranger = addresses.iter().rposition(|node| !is_trusted(node));
    nearest_stranger.or_else(|| (!addresses.is_empty()).then_some(0))
}

/// The client of a `X-Forwarded-For`, and the part of the header that can be believed; `None` if that names no address.
/// Without a list of proxies the header stays as it is.
pub(super) fn forwarded_for<'h>(header: &'h [u8], trusted: Option<&[Network]>) -> Option<(Node<'h>, Option<Vec<u8>>)> {
    let items: Vec<&[u8]> =
        header.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty()).collect();
    let addresses: Vec<_> = items.iter().copied().map(Node::parse).collect();
    let client = client(&addresses, trusted)?;
    Some((addresses[client]?, trusted.map(|_| items[client..].join(&b", "[..]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn of(header: &str, trusted: Option<&str>) -> Option<(String, Option<String>)> {
        let networks: Option<Vec<_>> =
            trusted.map(|list| list.split(' ').map(|text| Network::parse(text.as_bytes()).expect(text)).collect());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        forwarded_for(header.as_bytes(), networks.as_deref())
            .map(|(node, tail)| (text(node.text), tail.map(|tail| text(&tail))))
    }

    fn told(client: &str, tail: &str) -> Option<(String, Option<String>)> {
        Some((client.to_owned(), Some(tail.to_owned())))
    }

    #[test]
    fn without_a_list_the_first_address_is_the_client_and_the_header_stays() {
        assert_eq!(of("192.0.2.1, 10.0.0.1", None), Some(("192.0.2.1".to_owned(), None)));
        assert_eq!(of(" , ,192.0.2.1", None), Some(("192.0.2.1".to_owned(), None)));
    }

    #[test]
    fn with_a_list_the_nearest_address_that_is_not_in_it_is_the_client() {
        let trusted = Some("10.0.0.0/8");
        assert_eq!(of("192.0.2.9", trusted), told("192.0.2.9", "192.0.2.9"));
        assert_eq!(of("6.6.6.6, 192.0.2.9", trusted), told("192.0.2.9", "192.0.2.9"));
        assert_eq!(
            of("6.6.6.6, 192.0.2.9, 10.0.0.2,10.0.0.3", trusted),
            told("192.0.2.9", "192.0.2.9, 10.0.0.2, 10.0.0.3")
        );
        assert_eq!(of("10.0.0.9, 192.0.2.9", trusted), told("192.0.2.9", "192.0.2.9"), "an unbroken run counts only");
    }

    #[test]
    fn if_all_are_in_the_list_the_first_is_the_client() {
        assert_eq!(of("10.0.0.1, 10.0.0.2", Some("10")), told("10.0.0.1", "10.0.0.1, 10.0.0.2"));
    }

    #[test]
    fn empty_items_do_not_count() {
        assert_eq!(of("192.0.2.9, ,10.0.0.2,,", Some("10")), told("192.0.2.9", "192.0.2.9, 10.0.0.2"));
        for header in ["", " ", ",", " , ,"] {
            assert_eq!(of(header, None), None);
            assert_eq!(of(header, Some("10")), None);
        }
    }

    #[test]
    fn what_is_no_address_in_the_clients_place_says_nothing() {
        assert_eq!(of("garbage", Some("10")), None);
        assert_eq!(of("192.0.2.9, unknown, 10.0.0.2", Some("10")), None);
        assert_eq!(of("garbage, 192.0.2.9", None), None);
        assert_eq!(of("garbage, 192.0.2.9, 10.0.0.2", Some("10")), told("192.0.2.9", "192.0.2.9, 10.0.0.2"));
    }

    #[test]
    fn ports_do_not_hide_a_proxy_and_are_no_part_of_the_address() {
        assert_eq!(
            of("[2001:db8::9]:99, 10.0.0.2:80, [fe80::1]:81", Some("10 fe80::/10")),
            told("2001:db8::9", "[2001:db8::9]:99, 10.0.0.2:80, [fe80::1]:81")
        );
    }
}
