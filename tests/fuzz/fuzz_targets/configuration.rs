//! A settings file and environment variables, loaded as a start loads them.

#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "the targets share the bodies, and each uses its own")]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::configuration(bytes));
