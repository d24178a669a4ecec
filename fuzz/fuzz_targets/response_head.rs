//! The head of a response, as httpd's side reads it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mod_wsgi_rs_fuzz::{block, properties};

fuzz_target!(|data: &[u8]| {
    properties::response_head(data);
    properties::response_head(&block(1, data));
});
