//! The bytes of a manifest and of a part, verified.

#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "the targets share the bodies, and each uses its own")]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::verify(bytes));
