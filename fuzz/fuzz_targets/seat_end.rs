//! How the process of a seat ended, as httpd's children read it from memory that the group can write to.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mod_wsgi_rs_fuzz::properties;

fuzz_target!(|data: &[u8]| {
    properties::seat_end(data);
});
