//! Frames of a kept connection, as each side reads them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mod_wsgi_rs_fuzz::{block, properties};

fuzz_target!(|data: &[u8]| {
    properties::frames(data);
    if let Some((kind, body)) = data.split_first() {
        properties::frames(&block(u16::from(*kind), body));
    }
});
