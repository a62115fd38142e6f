//! One list of pages that a walk reads. Pure.

use crate::api::contract::TimeOrder;
use crate::plan::event::ScanReason;
use crate::units::EpochSeconds;

/// How a scan asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Counts from 0 within the window.
    pub number: u32,
    /// The first wanted second.
    pub anchor: EpochSeconds,
    /// `min_create_time` as sent.
    pub asked_min: EpochSeconds,
    /// `max_create_time` as sent.
    pub asked_max: EpochSeconds,
    /// When it began.
    pub started_at: EpochSeconds,
    /// Why it began.
    pub why: ScanReason,
}

impl Scan {
    /// In which order it asks.
    pub fn order(&self) -> TimeOrder {
        if self.why == ScanReason::FromEnd { TimeOrder::NewestFirst } else { TimeOrder::OldestFirst }
    }
}
