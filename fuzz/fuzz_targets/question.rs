//! A question to a script, as a worker reads it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mod_wsgi_rs_fuzz::{block, properties};

fuzz_target!(|data: &[u8]| {
    properties::question(data);
    properties::question(&block(12, data));
});
