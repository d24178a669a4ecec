//! An answer of a script, as httpd's child reads it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mod_wsgi_rs_fuzz::{block, properties};

fuzz_target!(|data: &[u8]| {
    properties::answer(data);
    properties::answer(&block(13, data));
});
