//! mod_wsgi_rs, the Apache half: the rooms in the order in which a request walks through them.
//!
//! httpd calls the hooks of [`module`]; each goes through a trampoline of [`apache`], the safe wrapper,
//! into [`front`], which decides; what it decides by is in [`config`]. From there a request goes on to
//! the host library, which holds Python. `docs/request.md` tells the walk with file names.

mod apache;
mod codes;
mod config;
mod front;
mod module;

// A test binary is no httpd: its ap_* symbols are stubs (apache-headers/stub.c), APR's are real.
#[cfg(test)]
#[allow(unsafe_code, reason = "only names libraries to link")]
mod test_libraries {
    #[link(name = "ap_stubs", kind = "static")]
    #[link(name = "aprutil-1")]
    #[link(name = "apr-1")]
    unsafe extern "C" {}
}
