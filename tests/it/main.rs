//! Everything that is tested from outside: one binary, so that it is linked once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; clippy spares only functions that are tests themselves"
)]

mod bounds;
mod clocks;
mod answers;
mod audit;
#[cfg(feature = "cloud")]
mod away;
mod check;
mod command_line;
mod completions;
mod config_files;
mod crash;
mod daily;
mod disk;
mod docs;
mod drift;
mod echoes;
mod endings;
mod exactness;
mod final_errors;
mod hostile;
mod imports;
mod kills;
#[cfg(feature = "cloud")]
mod lake;
mod meanings;
mod metrics;
mod mutations;
mod output;
mod plan;
mod process;
mod proxies;
mod rebuild;
mod recipes;
mod refusals;
mod regions;
mod repairs;
mod report;
mod secrecy;
mod shards;
mod status;
mod storms;
mod streams;
mod support;
mod table;
mod texts;
mod troubles;
mod years;
