//! What a person may choose of how an export is read and written, in one place for the settings, the flags and those who act on it. A leaf: it
//! imports nothing of this program.

use std::time::Duration;

use clap::ValueEnum;

/// What a person may set of how time is cut and walked. One struct from the settings to the deciding files, so a new setting is a field of
/// it and nothing in between. May change between two starts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Pages that a window should hold, 1 to 100,000.
    pub window_pages: u32,
    /// The least pages of a scan before a scheduled anchor, 1 to 100,000.
    pub anchor_pages: u32,
    /// The age in seconds at which a scan is left.
    pub stretch_age: i64,
    /// How credits are traded for immunity to rows that come and go.
    pub consistency: Consistency,
    /// How far apart two answers must be to be two witnesses, seconds, 0 to 3,600; with 0 nothing is confirmed.
    pub confirm_after: i64,
}

impl Tuning {
    /// How far apart two answers must be to be two witnesses.
    pub fn confirming(&self) -> Duration {
        Duration::from_secs(self.confirm_after.max(0).unsigned_abs())
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            window_pages: 2_000,
            anchor_pages: 300,
            stretch_age: 600,
            consistency: Consistency::Anchored,
            confirm_after: 20,
        }
    }
}

/// How well a walk resists rows that come and go while it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Consistency {
    /// Begins anew where that costs next to nothing.
    #[default]
    Anchored,
    /// Begins anew after every page: from 12 % more credits up to twice as many.
    Atomic,
    /// Never begins anew below the service's cap: the fewest credits.
    Deep,
}

/// What becomes of time that the output holds already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reread {
    /// It is kept, and only what is missing is read.
    Missing,
    /// It is read again, and replaced.
    All,
}

/// The stretch of create-time, in UTC, that shares a folder of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Partition {
    /// `date=2026-01-31`.
    #[default]
    Day,
    /// `month=2026-01`.
    Month,
    /// No folder for time.
    None,
}

/// Which readers the encodings are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Encodings {
    /// Those of two years ago too.
    #[default]
    Compatible,
    /// The newest alone: files are about a twentieth smaller.
    Compact,
}
