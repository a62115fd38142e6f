//! What must hold whatever bytes come from outside: one function for each place where they come in, and inputs to begin with.
//!
//! The fuzz targets and the short form in `cargo test` share these. Each function panics where a property is broken:
//! nothing panics, nothing is believed that cannot be, and what is not understood is an error that names its place.

mod configuration;
mod journal;
mod page;
mod verify;

use std::path::PathBuf;

use tempfile::TempDir;

pub(crate) use configuration::configuration;
pub(crate) use journal::journal;
pub(crate) use page::page;
pub(crate) use verify::verify;

/// One place where bytes come in.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Holds the properties against some bytes.
    pub(crate) hold: fn(&[u8]),
    /// Inputs that are understood.
    pub(crate) good: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub(crate) const TARGETS: [Target; 4] = [
    Target { name: "page", hold: page, good: page::good },
    Target { name: "configuration", hold: configuration, good: configuration::good },
    Target { name: "journal", hold: journal, good: journal::good },
    Target { name: "verify", hold: verify, good: verify::good },
];

/// A folder for the files of one input, in memory where the system offers that: a fuzzer writes very many.
fn folder() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::tempdir_in(place).expect("a folder of its own")
}

/// Runs what is asynchronous to its end.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
}
