//! The headers of proxies, as anybody may send them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mod_wsgi_rs_fuzz::properties;

fuzz_target!(|data: &[u8]| {
    properties::proxy_headers(data);
});
