//! The bytes of a manifest and of a part, verified.

#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "the targets share the bodies, and each uses its own")]
mod bodies;

/// Crates whose panics on damaged files are caught and told; every other panic ends the search.
const CAUGHT: [&str; 2] = ["/arrow-", "/parquet-"];

libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|panic| {
        let file = panic.location().map_or("", |place| place.file());
        if !CAUGHT.iter().any(|name| file.contains(name)) {
            eprintln!("{panic}");
            std::process::abort();
        }
    })),
    |bytes: &[u8]| bodies::verify(bytes)
);
