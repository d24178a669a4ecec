//! Control messages, and the settings of a worker, as httpd's parent and the supervisor read them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mod_wsgi_rs_fuzz::{block, properties};

fuzz_target!(|data: &[u8]| {
    let framed = block(2, data);
    for message in [data, &framed] {
        properties::control(message);
        properties::worker_settings(message);
    }
});
