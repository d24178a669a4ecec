//! The settings block, as the host reads it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mod_wsgi_rs_fuzz::{block, properties};

fuzz_target!(|data: &[u8]| {
    properties::settings(data);
    properties::settings(&block(2, data));
});
