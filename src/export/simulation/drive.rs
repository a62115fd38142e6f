//! How a run in virtual time is driven: what was asked, how fast, and what ends its starts.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::contract::Filters;
use crate::export::machine::Settings;
use crate::export::regions::Regions;
use crate::fetch::throttle::Rate;
use crate::plan::walk::step::Tuning;
use crate::units::TimeRange;

/// How the run is driven.
#[derive(Clone, Debug)]
pub(super) struct Drive {
    pub(super) range: TimeRange,
    pub(super) workers: usize,
    pub(super) tuning: Tuning,
    pub(super) has_filters: bool,
    /// How fast requests are to go.
    pub(super) rate: Rate,
    /// How long to go on without a durable page.
    pub(super) give_up_after: Duration,
    /// Milliseconds that an answer takes at least, and at most.
    pub(super) latency: (u64, u64),
    /// The share of moments at which the process dies and starts again.
    pub(super) restarts: f64,
    /// The share of steps at which slices are cut of what is settled.
    pub(super) slices: f64,
    /// The share of moments that find too much unpublished.
    pub(super) backlog: f64,
    /// What else ends a start.
    pub(super) stops: Stops,
    /// Milliseconds that the journal takes at least, and at most, to make something durable.
    pub(super) commit: (u64, u64),
    /// More requests than this are a walk without end.
    pub(super) most_requests: u64,
    /// By how many seconds at most each start ends the range later than the one before it; none where it stays.
    pub(super) extends: i64,
}

/// What ends a start before it is done, as a share of moments, requests or attempts; the next start goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stops {
    Never,
    Signals(f64),
    Credits(f64),
    Quota(f64),
    Time(Duration),
}

impl Drive {
    pub(super) fn filters(&self) -> Filters {
        Filters { sales_flag: self.has_filters.then_some(1), ..Filters::default() }
    }

    pub(super) fn regions(&self) -> Regions {
        Regions::new(self.give_up_after, BTreeSet::new())
    }

    pub(super) fn settings(&self, stops: Stops) -> Settings {
        Settings {
            filters: self.filters(),
            tuning: self.tuning,
            rate: self.rate,
            max_in_flight: self.workers,
            give_up_after: self.give_up_after,
            time: if let Stops::Time(time) = stops { Some(time) } else { None },
            probing: None,
        }
    }
}
