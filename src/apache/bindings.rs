//! httpd, APR and the shim as bindgen reads them from the installed headers (build.rs).

#![allow(warnings, clippy::all, unsafe_code, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
