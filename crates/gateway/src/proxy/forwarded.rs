//! What the headers of trusted proxies come to in one request.

use super::header::ProxyHeader;

/// What takes the place of the connection's own values in the environ; `None` leaves them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded<'h> {
    /// `REMOTE_ADDR`: a literal address.
    pub client: Option<&'h [u8]>,
    /// `HTTP_HOST`.
    pub host: Option<&'h [u8]>,
    /// `SERVER_NAME`.
    pub server: Option<&'h [u8]>,
    /// `SERVER_PORT`.
    pub port: Option<&'h [u8]>,
    /// `SCRIPT_NAME` and `mod_wsgi.mount_point`.
    pub script_name: Option<&'h [u8]>,
    /// `wsgi.url_scheme`.
    pub is_https: Option<bool>,
    /// Headers of which the application sees nothing, as bits.
    pub(super) withheld: u32,
    /// What is left of `X-Forwarded-For`.
    pub(super) forwarded_for: Option<Vec<u8>>,
    /// What is left of `Forwarded`.
    pub(super) elements: Option<Vec<u8>>,
}

impl Forwarded<'_> {
    /// What the application sees of a request header whose value is `value`; `None` if nothing.
    pub fn header<'v>(&'v self, name: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
        self.seen(ProxyHeader::named(name), value)
    }

    /// The same for a variable of httpd's environment, which may stand in for a header.
    pub fn variable<'v>(&'v self, name: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
        self.seen(ProxyHeader::of_variable(name), value)
    }

    fn seen<'v>(&'v self, header: Option<ProxyHeader>, value: &'v [u8]) -> Option<&'v [u8]> {
        let Some(header) = header else { return Some(value) };
        if self.withheld & header.bit() != 0 {
            return None;
        }
        let left = match header {
            ProxyHeader::XForwardedFor => &self.forwarded_for,
            ProxyHeader::Forwarded => &self.elements,
            _ => &None,
        };
        Some(left.as_deref().unwrap_or(value))
    }
}
