//! The only room with Python's C API. Plain `pyo3::ffi` over the stable ABI: everything here may run in
//! a sub-interpreter, where PyO3's safe API deadlocks or mixes interpreters up (docs/interpreters.md).
//!
//! [`Attached`](attach::Attached) is the proof that the calling thread holds the GIL of an interpreter;
//! [`Ref`](object::Ref) is an owned reference. With them the rest is safe Rust.

#![allow(unsafe_code, reason = "the wrapper room; every block names the fact that makes it sound")]

mod active;
mod adopt;
mod ask;
mod attach;
mod baton;
mod capsule;
mod context;
mod course;
mod delivery;
mod embedded;
mod environ;
mod events;
mod exception;
mod exits;
mod figures;
mod input_type;
mod instance;
mod interpreter;
mod memory;
mod meter;
mod module;
mod object;
mod own_gil;
mod process;
mod recording;
mod registry;
mod reporter;
mod request_type;
mod script;
mod serve;
mod slow;
mod start_response;
mod turn;
mod verdict;
mod worker;
