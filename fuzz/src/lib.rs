//! The properties that the fuzz targets ask for. They live beside the tests of `wire`, which ask for
//! the same on any toolchain (`crates/wire/tests/robustness.rs`).
//!
//! A run: `cargo +nightly fuzz run request_head -- -max_total_time=30`.

#[path = "../../crates/wire/tests/properties/mod.rs"]
pub mod properties;

/// Puts the header of a block before `body`, since a fuzzer would rarely guess its length.
pub fn block(kind: u16, body: &[u8]) -> Vec<u8> {
    let total = 8 + body.len() as u32;
    [&total.to_le_bytes(), &wire::VERSION.to_le_bytes()[..], &kind.to_le_bytes(), body].concat()
}
