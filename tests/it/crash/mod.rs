//! The crash proof: the same rows, no page bought twice and nothing to clean up, wherever a run dies and however often.
//!
//! `scene` is a run that has everything a crash can meet; `steps` dies at every named step, and again while the next start
//! recovers; `random` kills at moments that nobody chose. `disk` is a disk that fills up, fails to sync, and forgets what was
//! not synced: `faults` and `power` run on it.
//!
//! `cargo test` runs short forms. The long ones are run by hand, each with its variable (`-- --nocapture` shows the figures):
//!
//! ```console
//! $ CRASH_KILLS=1000 cargo test --test it crash::random
//! $ CRASH_PAIRS=all cargo test --test it crash::steps
//! $ DISK_MOMENTS=1000000 cargo test --test it crash::faults
//! $ POWER_LOSSES=200 cargo test --test it crash::power
//! ```

mod disk;
mod faults;
mod model;
mod power;
mod random;
mod scene;
mod steps;

/// A number of the environment in place of the short form's.
fn amount(variable: &str, short: usize) -> usize {
    std::env::var(variable).map_or(short, |text| text.parse().unwrap())
}
