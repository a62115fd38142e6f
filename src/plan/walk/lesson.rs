//! What pages teach about the service itself, beside their walk.

use crate::plan::fact::{RowKey, VideoKey};
use crate::units::EpochSeconds;

/// What a page taught about the service itself, beside the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// A row stood at exactly the asked lower bound.
    AtMin(VideoKey),
    /// Rows stood at exactly the asked upper bound.
    AtMax,
    /// Rows came after a short page.
    ShortPageFollowed,
    /// A short page's surroundings showed nothing new.
    ShortPageHidNothing,
    /// A short page's surroundings showed rows that it hid.
    ShortPageHidRows,
    /// A short page's surroundings did not show whether it hid rows.
    ShortPageStaysOpen,
    /// Rows followed an empty, repeated or refused page after this many good ones.
    MoreAfter {
        /// The good pages before it.
        pages: u32,
    },
    /// A row came twice within a scan, then: rows were inserted before it, or ties came in another order.
    Repeat(EpochSeconds),
    /// Rows whose date does not fit the order of the others.
    Strays(u32),
    /// A page whose seconds went up this often and never down.
    Ascents(u32),
    /// A page out of order.
    Disorder,
    /// A page that is its predecessor without the first row.
    Shifted,
    /// A later page that is not.
    NotShifted,
    /// Rows of one second came in another order than before.
    TiesMove,
    /// A page of this number held rows.
    Served(u32),
    /// A page lay before what was asked.
    Early {
        /// Whether it is its scan's first.
        opens: bool,
        /// When it came.
        at: EpochSeconds,
    },
    /// A scan that goes on from known rows began with one of them.
    AnchorCame,
    /// A scan began with a known row, though known rows lie before what it asked: the lower bound is kept to.
    MinKept,
    /// A scan that goes on from known rows of this second began without them.
    AnchorLost(EpochSeconds),
}

/// What pages have shown beside their rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// What they taught about the service.
    pub lessons: Vec<Lesson>,
    /// Rows whose date does not fit the order of the others.
    pub strays: Vec<RowKey>,
}

impl Shown {
    pub(in crate::plan) fn lessons(lessons: Vec<Lesson>) -> Self {
        Self { lessons, strays: Vec::new() }
    }
}
