//! Whose word about a request is taken: `WSGITrustedProxies` and `WSGITrustedProxyHeaders`.

use gateway::proxy::{Network, PROXY_HEADERS, ProxyHeader};

use super::directive::Place;
use super::value::{Refusal, shown};
use super::word::Words;
use crate::codes;

/// `WSGITrustedProxies address …`
pub(super) fn trusted_proxies(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    let mut proxies = place.scope().trusted_proxies.take().map_or_else(Vec::new, |list| list.to_vec());
    for word in words(place, line) {
        proxies.push(Network::parse(&word).ok_or_else(|| refuse_address(&word))?);
    }
    place.scope().trusted_proxies = Some(proxies.into());
    Ok(())
}

/// `WSGITrustedProxyHeaders name …`
pub(super) fn trusted_proxy_headers(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    let mut headers = place.scope().trusted_proxy_headers.take().map_or_else(Vec::new, |list| list.to_vec());
    for word in words(place, line) {
        if word.is_empty() || !word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            return Err(refuse_name(&word));
        }
        match ProxyHeader::named(&word) {
            Some(header) => headers.push(header),
            None => remark_unknown(place, &word),
        }
    }
    place.scope().trusted_proxy_headers = Some(headers.into());
    Ok(())
}

fn words(place: &mut Place<'_>, line: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Words::of(line);
    let all = std::iter::from_fn(|| words.word()).collect();
    if words.has_open_quote() {
        place.remark_open_quote();
    }
    all
}

fn refuse_address(word: &[u8]) -> Refusal {
    Refusal::new(format!(
        "Unable to parse trusted proxy IP address/subnet of \"{}\"; WSGITrustedProxies takes addresses (192.0.2.1, \
         2001:db8::1), networks (10.0.0.0/8, fe80::/10) and the beginnings of IPv4 addresses (10.0), and no names of hosts",
        shown(word)
    ))
}

fn refuse_name(word: &[u8]) -> Refusal {
    Refusal::new(format!(
        "Invalid name of a header: '{}'; WSGITrustedProxyHeaders takes names of letters, digits and hyphens (no header \
         with another name reaches an application)",
        shown(word)
    ))
}

fn remark_unknown(place: &mut Place<'_>, word: &[u8]) {
    let known: Vec<_> = PROXY_HEADERS.iter().map(|header| header.name().to_string_lossy()).collect();
    let text = format!(
        "'{}' is no header that anything is taken from, so it has no effect; take it out, or write one of {}",
        shown(word),
        known.join(", ")
    );
    place.remark(codes::UNKNOWN_PROXY_HEADER, &text, None);
}

#[cfg(test)]
mod tests {
    use super::super::sample::{refusal, section, server};
    use super::super::{DirectoryWritten, ServerWritten, Settled};
    use super::*;

    fn headers(server: &ServerWritten, directory: &DirectoryWritten) -> Option<Vec<ProxyHeader>> {
        Settled::of(server, directory).trusted_proxies().map(|policy| policy.headers.to_vec())
    }

    fn proxies(server: &ServerWritten, directory: &DirectoryWritten) -> Option<Vec<Network>> {
        let policy = Settled::of(server, directory).trusted_proxies().expect("headers are listed");
        policy.proxies.map(<[Network]>::to_vec)
    }

    fn network(text: &str) -> Network {
        Network::parse(text.as_bytes()).expect(text)
    }

    #[test]
    fn nothing_is_taken_from_headers_unless_some_are_listed() {
        let nothing = DirectoryWritten::default();
        assert_eq!(headers(&ServerWritten::default(), &nothing), None);
        assert_eq!(headers(&server(&["WSGITrustedProxies 10.0.0.1"]), &nothing), None);
        let server = server(&["WSGITrustedProxyHeaders X-Forwarded-For"]);
        assert_eq!(headers(&server, &nothing), Some(vec![ProxyHeader::XForwardedFor]));
        assert_eq!(proxies(&server, &nothing), None);
    }

    #[test]
    fn lists_of_one_place_add_up_and_an_inner_one_replaces_the_outer_one() {
        let names = "WSGITrustedProxyHeaders X-Real-IP";
        let server = server(&[names, "WSGITrustedProxies 10.0.0.1 ::1", "WSGITrustedProxies 10.0.0.2"]);
        let nothing = DirectoryWritten::default();
        assert_eq!(proxies(&server, &nothing), Some(vec![network("10.0.0.1"), network("::1"), network("10.0.0.2")]));
        let outer = section(&["WSGITrustedProxies 10.0.0.3", "WSGITrustedProxyHeaders X-Host", names]);
        assert_eq!(proxies(&server, &outer), Some(vec![network("10.0.0.3")]));
        assert_eq!(headers(&server, &outer), Some(vec![ProxyHeader::XHost, ProxyHeader::XRealIp]));
        let inner = DirectoryWritten::merge(&outer, &section(&["WSGITrustedProxies 10.0.0.4"]));
        assert_eq!(proxies(&server, &inner), Some(vec![network("10.0.0.4")]));
        assert_eq!(headers(&server, &inner), Some(vec![ProxyHeader::XHost, ProxyHeader::XRealIp]));
    }

    #[test]
    fn an_empty_list_replaces_too() {
        let server = server(&["WSGITrustedProxyHeaders X-Real-IP", "WSGITrustedProxies 10.0.0.1"]);
        assert_eq!(proxies(&server, &section(&["WSGITrustedProxies"])), Some(vec![]));
        assert_eq!(headers(&server, &section(&["WSGITrustedProxyHeaders"])), None);
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_is() {
        for word in ["host", "1.2.3.400", "example.com", "10.0.0.0/33", "\"\""] {
            let refused = refusal(&format!("WSGITrustedProxies 10.0.0.1 {word}"));
            let given = word.trim_matches('"');
            assert!(
                refused.starts_with(&format!("Unable to parse trusted proxy IP address/subnet of \"{given}\"")),
                "{refused}"
            );
        }
    }

    #[test]
    fn what_is_no_name_of_a_header_is_refused() {
        for word in ["X_Foo", "X-Real-IP,X-Host", "X-R\u{e9}al", "\"\"", "\"X-Real-IP X-Host\""] {
            let refused = refusal(&format!("WSGITrustedProxyHeaders X-Real-IP {word}"));
            assert!(refused.starts_with("Invalid name of a header"), "{refused}");
        }
    }

    #[test]
    fn a_name_that_does_nothing_is_accepted_and_said() {
        let server = server(&["WSGITrustedProxyHeaders X-Real-IP X-Nothing"]);
        assert_eq!(headers(&server, &DirectoryWritten::default()), Some(vec![ProxyHeader::XRealIp]));
        let [remark] = server.remarks() else { unreachable!("one remark") };
        assert!(remark.text.contains("'X-Nothing' is no header that anything is taken from"), "{}", remark.text);
    }
}
