//! A status line and headers, as an application may give them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mod_wsgi_rs_fuzz::properties;

fuzz_target!(|data: &[u8]| {
    properties::status_and_headers(data);
});
