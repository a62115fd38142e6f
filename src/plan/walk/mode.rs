//! How a scan reads: in the order of time, or one of three other ways, each with what it knows. Pure.

use super::bounded::Bounded;
use super::from_end::FromEnd;
use super::seam::SeamReading;
use super::{Scan, Walk};
use crate::plan::event::ScanReason;

/// How a walk reads.
#[derive(Clone, Debug)]
pub(super) enum Mode {
    /// In the order of time, from the anchor on.
    Ordered,
    /// Within the window's own bounds, trusting no order.
    Bounded(Bounded),
    /// One second above the cap, from its last row on.
    FromEnd(Box<FromEnd>),
    /// Seconds beyond the window's own end, again before it finishes.
    Seam(SeamReading),
}

impl Mode {
    pub(super) fn new(bounded: Option<Bounded>) -> Self {
        bounded.map_or(Self::Ordered, Self::Bounded)
    }

    pub(super) const fn bounded(&self) -> Option<&Bounded> {
        match self {
            Self::Bounded(reading) => Some(reading),
            _ => None,
        }
    }

    pub(super) const fn other_end(&self) -> Option<&FromEnd> {
        match self {
            Self::FromEnd(reading) => Some(reading),
            _ => None,
        }
    }

    pub(super) const fn seam(&self) -> Option<&SeamReading> {
        match self {
            Self::Seam(reading) => Some(reading),
            _ => None,
        }
    }

    /// Whether it reads in the order of time.
    pub(super) const fn is_ordered(&self) -> bool {
        matches!(self, Self::Ordered)
    }

    /// Whether it reads seconds apart from the walk's course, of which it then says nothing.
    pub(super) const fn is_apart(&self) -> bool {
        matches!(self, Self::FromEnd(_) | Self::Seam(_))
    }
}

impl Walk {
    /// How a scan reads that is about to begin. A reading that goes on keeps what it knows.
    pub(super) fn mode_of(&mut self, scan: &Scan, bounded: Option<Bounded>) -> Mode {
        if let Some(second) = self.read_from_end().filter(|_| scan.why != ScanReason::FromEnd) {
            self.totals.seen.read_from_end(second);
        }
        let before = std::mem::replace(&mut self.mode, Mode::Ordered);
        match (scan.why, before) {
            (ScanReason::FromEnd, before) => {
                let before = if let Mode::FromEnd(reading) = before { Some(reading) } else { None };
                Mode::FromEnd(Box::new(self.turn_to_the_end(scan.anchor, before)))
            }
            (ScanReason::Seam { until }, before) if scan.anchor >= self.range.end => {
                let before = if let Mode::Seam(reading) = before { Some(reading) } else { None };
                Mode::Seam(self.read_seam(scan.anchor, until, before))
            }
            (why, Mode::Bounded(reading)) if bounded.is_some() => Mode::Bounded(reading.again(why)),
            _ => Mode::new(bounded),
        }
    }
}
