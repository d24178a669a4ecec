//! The headers that can be trusted, and what each of them is about.

use std::ffi::CStr;

/// What a header says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aspect {
    /// The client's address.
    Client,
    /// The host that the client asked for.
    Host,
    /// The server's name.
    Server,
    /// The server's port.
    Port,
    /// Where the application is mounted.
    ScriptName,
    /// `http` or `https`.
    Scheme,
}

pub(super) const ASPECTS: [Aspect; 6] =
    [Aspect::Client, Aspect::Host, Aspect::Server, Aspect::Port, Aspect::ScriptName, Aspect::Scheme];

macro_rules! headers {
    ($($variant:ident: $name:literal, $environ:literal, $aspects:expr;)*) => {
        /// A header by which proxies say something of a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is named after its header")]
        pub enum ProxyHeader { $($variant,)* }

        /// Every header, in the order of docs/directives/WSGITrustedProxyHeaders.md.
        pub const PROXY_HEADERS: &[ProxyHeader] = &[$(ProxyHeader::$variant,)*];

        const TABLE: &[(&CStr, &CStr, &[Aspect])] = &[$(($name, $environ, $aspects),)*];
    };
}

headers! {
    XForwardedFor: c"X-Forwarded-For", c"HTTP_X_FORWARDED_FOR", &[Aspect::Client];
    XClientIp: c"X-Client-IP", c"HTTP_X_CLIENT_IP", &[Aspect::Client];
    XRealIp: c"X-Real-IP", c"HTTP_X_REAL_IP", &[Aspect::Client];
    XForwardedHost: c"X-Forwarded-Host", c"HTTP_X_FORWARDED_HOST", &[Aspect::Host];
    XHost: c"X-Host", c"HTTP_X_HOST", &[Aspect::Host];
    XForwardedServer: c"X-Forwarded-Server", c"HTTP_X_FORWARDED_SERVER", &[Aspect::Server];
    XForwardedPort: c"X-Forwarded-Port", c"HTTP_X_FORWARDED_PORT", &[Aspect::Port];
    XScriptName: c"X-Script-Name", c"HTTP_X_SCRIPT_NAME", &[Aspect::ScriptName];
    XForwardedScriptName: c"X-Forwarded-Script-Name", c"HTTP_X_FORWARDED_SCRIPT_NAME", &[Aspect::ScriptName];
    XForwardedProto: c"X-Forwarded-Proto", c"HTTP_X_FORWARDED_PROTO", &[Aspect::Scheme];
    XForwardedScheme: c"X-Forwarded-Scheme", c"HTTP_X_FORWARDED_SCHEME", &[Aspect::Scheme];
    XScheme: c"X-Scheme", c"HTTP_X_SCHEME", &[Aspect::Scheme];
    XForwardedHttps: c"X-Forwarded-HTTPS", c"HTTP_X_FORWARDED_HTTPS", &[Aspect::Scheme];
    XForwardedSsl: c"X-Forwarded-SSL", c"HTTP_X_FORWARDED_SSL", &[Aspect::Scheme];
    XHttps: c"X-HTTPS", c"HTTP_X_HTTPS", &[Aspect::Scheme];
    Forwarded: c"Forwarded", c"HTTP_FORWARDED", &[Aspect::Client, Aspect::Host, Aspect::Scheme];
}

impl ProxyHeader {
    /// The header of this name, in any case.
    pub fn named(name: &[u8]) -> Option<ProxyHeader> {
        PROXY_HEADERS.iter().copied().find(|header| header.name().to_bytes().eq_ignore_ascii_case(name))
    }

    /// The header whose environ variable has this name.
    pub fn of_variable(name: &[u8]) -> Option<ProxyHeader> {
        PROXY_HEADERS.iter().copied().find(|header| header.variable().to_bytes() == name)
    }

    /// As it is usually spelt.
    pub fn name(self) -> &'static CStr {
        self.row().0
    }

    /// Its name in the environ.
    pub fn variable(self) -> &'static CStr {
        self.row().1
    }

    pub(super) fn is_about(self, aspect: Aspect) -> bool {
        self.row().2.contains(&aspect)
    }

    /// A set of this header alone, as bits.
    pub(super) fn bit(self) -> u32 {
        1 << self as u8
    }

    fn row(self) -> (&'static CStr, &'static CStr, &'static [Aspect]) {
        TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::environ::{Variable, header_variable};
    use super::*;

    #[test]
    fn each_headers_variable_is_the_one_that_its_name_becomes() {
        for header in PROXY_HEADERS {
            let mut scratch = Vec::new();
            let variable = match header_variable(header.name().to_bytes(), &mut scratch) {
                Some(Variable::Known(key)) => key.name().as_bytes(),
                Some(Variable::Named(name)) => name,
                None => b"",
            };
            assert_eq!(variable, header.variable().to_bytes());
            assert_eq!(ProxyHeader::of_variable(variable), Some(*header));
        }
    }

    #[test]
    fn a_header_is_known_in_any_case_and_by_its_own_name_only() {
        assert_eq!(ProxyHeader::named(b"x-forwarded-FOR"), Some(ProxyHeader::XForwardedFor));
        assert_eq!(ProxyHeader::named(b"FORWARDED"), Some(ProxyHeader::Forwarded));
        for name in ["X_Forwarded_For", "X-Forwarded", "", "Host", "X-Forwarded-For "] {
            assert_eq!(ProxyHeader::named(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn every_header_has_a_bit_of_its_own() {
        let all = PROXY_HEADERS.iter().fold(0, |bits, header| bits | header.bit());
        assert_eq!(all.count_ones() as usize, PROXY_HEADERS.len());
    }
}
