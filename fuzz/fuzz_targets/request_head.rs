//! The head of a request, as the host reads it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mod_wsgi_rs_fuzz::{block, properties};

fuzz_target!(|data: &[u8]| {
    properties::request_head(data);
    properties::request_head(&block(0, data));
});
