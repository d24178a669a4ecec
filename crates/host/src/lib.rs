//! mod_wsgi_rs, the Python half: the extension module `_wsgi_host`, built once for CPython 3.10 and later
//! (stable ABI).
//!
//! [`reply`] and [`input`] are PEP 3333's rules for the two directions of a body, over any [`gateway::Exchange`],
//! [`measure`] counts what passes them and [`metrics`] adds it up, and [`daemon`] is such an exchange over a connection;
//! they know no Python. [`python`] is the only room with the C API: it attaches threads, builds the environ, calls the
//! application, and is called by httpd or by Python. What can as well be written in Python stands in
//! `crates/host/python/wsgi_host`.

mod daemon;
mod input;
mod mean;
mod measure;
mod metrics;
mod python;
mod reply;
mod telemetry;

#[cfg(test)]
mod memory;
