//! The bytes of a journal's database, opened and read back as a start does.

#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "the targets share the bodies, and each uses its own")]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::journal(bytes));
