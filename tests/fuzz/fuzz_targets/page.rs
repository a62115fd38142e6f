//! An HTTP status and the bytes of an answer: judged, and decoded where it is a page.

#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "the targets share the bodies, and each uses its own")]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::page(bytes));
