//! What reverse proxies say of a request in headers, and how much of it is believed
//! (`WSGITrustedProxies`, `WSGITrustedProxyHeaders`).
//!
//! Addresses are literal ones only: no name is ever looked up, since clients write these headers too. What cannot be
//! read changes nothing, so a request then has the address, host and scheme of the connection.
//!
//! In reading order: [`Network`] is who is trusted, [`ProxyHeader`] what may be listed, `node` one address of a chain,
//! `element` the header of RFC 7239, [`Policy`] decides, [`Forwarded`] is what it comes to.

mod chain;
mod element;
mod forwarded;
mod header;
mod network;
mod node;
mod policy;
mod value;

pub use forwarded::Forwarded;
pub use header::{PROXY_HEADERS, ProxyHeader};
pub use network::Network;
pub use policy::Policy;
