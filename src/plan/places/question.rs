//! What is asked of pages that tell by their number how many rows lie before them, and what that comes to. Pure.

use crate::plan::fact::Purpose;
use crate::units::{EpochSeconds, TimeRange};

/// Seconds before a region's last from which on questions have upper bounds of their own; those closer to it are of pages that are asked again.
const OWN_FROM: i64 = 100;

/// A page that tells by its number how many rows lie before some second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceQuestion {
    /// The second from which pages are counted.
    pub anchor: EpochSeconds,
    /// The page.
    pub page: u32,
    /// Counts the region's questions from 1.
    pub number: u32,
    /// The last of the seconds that it may tell of: rows from then on do not matter to it.
    pub ends: EpochSeconds,
    /// When it is asked; none for at once.
    pub due: Option<EpochSeconds>,
}

impl PlaceQuestion {
    /// The upper bound that it is asked with, where `max` is the region's: one that no other question has, so that no answer to another can be
    /// taken for this one; the region's where it tells of the last seconds.
    pub(in crate::plan) fn max_of_its_own(&self, max: EpochSeconds) -> EpochSeconds {
        let own = max.shifted(-OWN_FROM - i64::from(self.number));
        if self.ends < own { own } else { max }
    }

    /// What its page is asked for.
    pub(in crate::plan) fn purpose(&self) -> Purpose {
        Purpose::Place { anchor: self.anchor, question: self.number }
    }
}

/// How a region's rows stand to their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands {
    /// As far as is asked, as many came as their places say.
    Whole,
    /// A page would tell.
    Ask(PlaceQuestion),
    /// Rows of these seconds were skipped.
    Missed(Vec<TimeRange>),
}

/// What a page tells of a region's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// As many rows lie before it as came, so none before the first of them.
    Whole,
    /// It is still to be asked.
    Ask(PlaceQuestion),
    /// Nothing.
    Untold,
}

/// What pages may tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Telling {
    /// The last page of a question that the service serves.
    pub(in crate::plan) last_page: u32,
    /// Whether some answers were odd or none, so that rows may have been skipped anywhere.
    pub(in crate::plan) is_odd: bool,
    /// Whether answers to other questions come at times, so that rows which are not counted explain nothing.
    pub(in crate::plan) is_mixed: bool,
    /// The only second from which pages are counted; none where they are from any.
    pub(in crate::plan) only_from: Option<EpochSeconds>,
    /// Whether rows may have come while the run read, or lie before what was asked for.
    pub(in crate::plan) may_be_more: bool,
}
