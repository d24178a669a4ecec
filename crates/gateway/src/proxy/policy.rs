//! Who is believed, and in what.

use super::chain;
use super::element::Elements;
use super::forwarded::Forwarded;
use super::header::{ASPECTS, Aspect, PROXY_HEADERS, ProxyHeader};
use super::network::Network;
use super::node::{Node, is_port};
use super::value::{is_host, is_host_and_port, is_https, is_script_name, last_item};

/// The settings of one request.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'c> {
    /// The headers that proxies are believed in, in the order of the configuration.
    pub headers: &'c [ProxyHeader],
    /// Whose headers are believed; `None` is everybody.
    pub proxies: Option<&'c [Network]>,
}

impl Policy<'_> {
    /// What the headers of a request come to. `peer` is the address that it came from, and `sent` gives a header's value.
    ///
    /// Of several listed headers about the same the last one that was sent counts, and if it cannot be read, none. The
    /// application sees no other header about it.
    pub fn apply<'h>(&self, peer: Option<&[u8]>, sent: impl Fn(ProxyHeader) -> Option<&'h [u8]>) -> Forwarded<'h> {
        let mut forwarded = Forwarded { withheld: self.withheld(), ..Forwarded::default() };
        if !self.trusts(peer) {
            return forwarded;
        }
        let is_listed = self.headers.contains(&ProxyHeader::Forwarded);
        let elements =
            sent(ProxyHeader::Forwarded).filter(|_| is_listed).map(|header| Elements::of(header, self.proxies));
        for aspect in ASPECTS {
            let value = |header: ProxyHeader| match header {
                ProxyHeader::Forwarded => elements.as_ref()?.value(aspect),
                _ => sent(header),
            };
            let listed = self.headers.iter().rev().copied().filter(|header| header.is_about(aspect));
            let found = listed.filter_map(|header| Some((header, value(header)?))).next();
            if let Some((header, value)) = found
                && self.take(&mut forwarded, aspect, header, value).is_some()
            {
                forwarded.withheld &= !header.bit();
            }
        }
        forwarded.elements = elements.filter(|_| self.proxies.is_some()).map(|elements| elements.text());
        forwarded
    }

    /// Takes over what a header says; `None`, and nothing changed, if it cannot be read.
    fn take<'h>(
        &self,
        forwarded: &mut Forwarded<'h>,
        aspect: Aspect,
        header: ProxyHeader,
        value: &'h [u8],
    ) -> Option<()> {
        let item = if header == ProxyHeader::Forwarded { value } else { last_item(value) };
        let checked = |is_good: bool| is_good.then_some(item);
        match aspect {
            Aspect::Client if header == ProxyHeader::XForwardedFor => {
                let (client, rest) = chain::forwarded_for(value, self.proxies)?;
                forwarded.client = Some(client.text);
                forwarded.forwarded_for = rest;
            }
            Aspect::Client => forwarded.client = Some(Node::parse(value.trim_ascii())?.text),
            Aspect::Host => forwarded.host = Some(checked(is_host_and_port(item))?),
            Aspect::Server => forwarded.server = Some(checked(is_host(item))?),
            Aspect::Port => forwarded.port = Some(checked(is_port(item))?),
            Aspect::ScriptName => forwarded.script_name = Some(is_script_name(value).then_some(value)?),
            Aspect::Scheme => forwarded.is_https = Some(is_https(header, item)?),
        }
        Some(())
    }

    fn trusts(&self, peer: Option<&[u8]>) -> bool {
        let Some(proxies) = self.proxies else { return true };
        // httpd gives link-local addresses with their zone, which is no part of the address.
        let bare = |peer: &[u8]| peer.iter().position(|byte| *byte == b'%').unwrap_or(peer.len());
        let address = peer.and_then(|peer| Node::parse(&peer[..bare(peer)])).map(|node| node.address);
        address.is_some_and(|address| proxies.iter().any(|network| network.contains(address)))
    }

    /// All headers about anything that a listed header is about.
    fn withheld(&self) -> u32 {
        let is_listed = |aspect: Aspect| self.headers.iter().any(|header| header.is_about(aspect));
        let of_aspect = |aspect: Aspect| PROXY_HEADERS.iter().filter(move |header| header.is_about(aspect));
        ASPECTS
            .into_iter()
            .filter(|aspect| is_listed(*aspect))
            .flat_map(of_aspect)
            .fold(0, |set, header| set | header.bit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUSTED: &str = "10.0.0.0/8 fe80::/10";

    /// What a request becomes; headers are `name: value`.
    struct Request<'r> {
        listed: &'r [&'r str],
        peer: &'r str,
        has_list: bool,
        headers: &'r [(&'r str, &'r str)],
    }

    impl<'r> Request<'r> {
        fn from_proxy(listed: &'r [&'r str], headers: &'r [(&'r str, &'r str)]) -> Self {
            Request { listed, peer: "10.0.0.1", has_list: true, headers }
        }

        fn forwarded(&self) -> Forwarded<'r> {
            let named = |name: &str| ProxyHeader::named(name.as_bytes()).expect("a known header");
            let headers: Vec<_> = self.listed.iter().map(|name| named(name)).collect();
            let networks: Vec<_> =
                TRUSTED.split(' ').map(|text| Network::parse(text.as_bytes()).expect("a network")).collect();
            let policy = Policy { headers: &headers, proxies: self.has_list.then_some(&networks[..]) };
            let sent = self.headers;
            policy.apply(Some(self.peer.as_bytes()), move |header| {
                sent.iter().find(|(name, _)| named(name) == header).map(|(_, value)| value.as_bytes())
            })
        }

        /// Names of the headers that the application sees.
        fn seen(&self) -> Vec<&'r str> {
            let forwarded = self.forwarded();
            let is_seen = |(name, value): &&(&str, &str)| forwarded.header(name.as_bytes(), value.as_bytes()).is_some();
            self.headers.iter().filter(is_seen).map(|(name, _)| *name).collect()
        }
    }

    #[test]
    fn each_header_of_a_trusted_proxy_sets_what_it_is_about() {
        let headers = [
            ("X-Forwarded-For", "192.0.2.9"),
            ("X-Forwarded-Host", "www.test:8443"),
            ("X-Forwarded-Server", "front.test"),
            ("X-Forwarded-Port", "8443"),
            ("X-Script-Name", "/mount"),
            ("X-Forwarded-Proto", "https"),
        ];
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        let forwarded = Request::from_proxy(&names, &headers).forwarded();
        assert_eq!(forwarded.client, Some(&b"192.0.2.9"[..]));
        assert_eq!(forwarded.host, Some(&b"www.test:8443"[..]));
        assert_eq!(forwarded.server, Some(&b"front.test"[..]));
        assert_eq!(forwarded.port, Some(&b"8443"[..]));
        assert_eq!(forwarded.script_name, Some(&b"/mount"[..]));
        assert_eq!(forwarded.is_https, Some(true));
    }

    #[test]
    fn a_stranger_is_believed_in_nothing_and_his_headers_are_withheld() {
        let headers = [("X-Forwarded-For", "1.1.1.1"), ("X-Real-IP", "1.1.1.1"), ("X-Forwarded-Proto", "https")];
        for peer in ["192.0.2.1", "11.0.0.1", "2001:db8::1", "", "garbage", "10.0.0.1.evil.test"] {
            let request = Request { listed: &["X-Forwarded-For"], peer, has_list: true, headers: &headers };
            assert_eq!(request.forwarded().client, None, "{peer}");
            assert_eq!(request.forwarded().is_https, None);
            assert_eq!(request.seen(), ["X-Forwarded-Proto"], "what no listed header is about passes");
        }
    }

    #[test]
    fn without_a_list_everybody_is_believed() {
        let headers = [("X-Forwarded-For", "192.0.2.9, 10.0.0.9")];
        let request = Request { listed: &["X-Forwarded-For"], peer: "203.0.113.1", has_list: false, headers: &headers };
        let forwarded = request.forwarded();
        assert_eq!(forwarded.client, Some(&b"192.0.2.9"[..]));
        assert_eq!(forwarded.header(b"x-forwarded-for", b"192.0.2.9, 10.0.0.9"), Some(&b"192.0.2.9, 10.0.0.9"[..]));
    }

    #[test]
    fn of_synonyms_the_last_listed_one_that_was_sent_counts_and_the_others_are_withheld() {
        let headers = [("X-Forwarded-For", "192.0.2.1"), ("X-Client-IP", "192.0.2.2")];
        let request = Request::from_proxy(&["X-Forwarded-For", "X-Client-IP", "X-Real-IP"], &headers);
        assert_eq!(request.forwarded().client, Some(&b"192.0.2.2"[..]));
        assert_eq!(request.seen(), ["X-Client-IP"]);
        let request = Request::from_proxy(&["X-Client-IP", "X-Forwarded-For"], &headers);
        assert_eq!(request.forwarded().client, Some(&b"192.0.2.1"[..]));
        assert_eq!(request.seen(), ["X-Forwarded-For"]);
    }

    #[test]
    fn a_header_that_is_not_listed_is_never_believed() {
        let headers = [("X-Real-IP", "1.1.1.1"), ("Forwarded", "for=1.1.1.1")];
        let request = Request::from_proxy(&["X-Forwarded-For"], &headers);
        assert_eq!(request.forwarded().client, None);
        assert!(request.seen().is_empty());
    }

    #[test]
    fn garbage_changes_nothing_and_is_withheld() {
        for (name, value) in [
            ("X-Forwarded-For", "garbage"),
            ("X-Forwarded-For", ""),
            ("X-Real-IP", "1.1.1.1, 2.2.2.2"),
            ("X-Client-IP", "a.test"),
            ("X-Forwarded-Host", "a b"),
            ("X-Host", ""),
            ("X-Forwarded-Server", "a:80"),
            ("X-Forwarded-Port", "http"),
            ("X-Script-Name", "mount"),
            ("X-Forwarded-Proto", "ftp"),
            ("X-HTTPS", "https"),
            ("Forwarded", "for=\""),
        ] {
            let (listed, headers) = ([name], [(name, value)]);
            let request = Request::from_proxy(&listed, &headers);
            let nothing = Forwarded { withheld: request.forwarded().withheld, ..Forwarded::default() };
            let forwarded = Forwarded { elements: None, ..request.forwarded() };
            assert_eq!(forwarded, nothing, "{name}: {value}");
            assert!(request.seen().is_empty(), "{name}: {value}");
        }
    }

    #[test]
    fn garbage_in_the_header_that_counts_does_not_bring_another_one_to_the_fore() {
        let headers = [("X-Forwarded-For", "192.0.2.1"), ("X-Real-IP", "garbage")];
        let request = Request::from_proxy(&["X-Forwarded-For", "X-Real-IP"], &headers);
        assert_eq!(request.forwarded().client, None);
        assert!(request.seen().is_empty());
    }

    #[test]
    fn of_a_list_of_hosts_or_schemes_the_last_is_believed() {
        let headers = [("X-Forwarded-Host", "evil.test, real.test"), ("X-Forwarded-Proto", "https, http")];
        let forwarded = Request::from_proxy(&["X-Forwarded-Host", "X-Forwarded-Proto"], &headers).forwarded();
        assert_eq!((forwarded.host, forwarded.is_https), (Some(&b"real.test"[..]), Some(false)));
    }

    #[test]
    fn forwarded_says_client_host_and_scheme_and_is_cut_to_what_can_be_believed() {
        let header = "for=6.6.6.6;host=evil.test, for=192.0.2.9;host=www.test;proto=https, for=10.0.0.2";
        let headers = [("Forwarded", header), ("X-Forwarded-For", "1.1.1.1"), ("X-Scheme", "http")];
        let request = Request::from_proxy(&["Forwarded"], &headers);
        let forwarded = request.forwarded();
        assert_eq!(forwarded.client, Some(&b"192.0.2.9"[..]));
        assert_eq!((forwarded.host, forwarded.is_https), (Some(&b"www.test"[..]), Some(true)));
        assert_eq!(request.seen(), ["Forwarded"]);
        let seen = forwarded.variable(b"HTTP_FORWARDED", header.as_bytes());
        assert_eq!(seen, Some(&b"for=192.0.2.9;host=www.test;proto=https, for=10.0.0.2"[..]));
    }

    #[test]
    fn forwarded_without_a_word_about_something_leaves_it_to_its_synonyms() {
        let headers = [("Forwarded", "for=192.0.2.9"), ("X-Forwarded-Proto", "https")];
        let request = Request::from_proxy(&["X-Forwarded-Proto", "Forwarded"], &headers);
        assert_eq!(request.forwarded().is_https, Some(true));
        assert_eq!(request.seen(), ["Forwarded", "X-Forwarded-Proto"]);
    }

    #[test]
    fn an_obfuscated_client_leaves_the_peers_address() {
        let headers = [("Forwarded", "for=_hidden;proto=https")];
        let forwarded = Request::from_proxy(&["Forwarded"], &headers).forwarded();
        assert_eq!((forwarded.client, forwarded.is_https), (None, Some(true)));
    }

    #[test]
    fn peers_of_ipv6_are_compared_too() {
        let headers = [("X-Real-IP", "2001:db8::9")];
        for (peer, client) in [
            ("fe80::1", Some(&b"2001:db8::9"[..])),
            ("fe80::1%eth0", Some(&b"2001:db8::9"[..])),
            ("2001:db8::2%eth0", None),
            ("2001:db8::2", None),
            ("::ffff:10.0.0.1", Some(&b"2001:db8::9"[..])),
        ] {
            let request = Request { listed: &["X-Real-IP"], peer, has_list: true, headers: &headers };
            assert_eq!(request.forwarded().client, client, "{peer}");
        }
    }
}
