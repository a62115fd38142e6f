//! One of several copies of the store lacks some seconds, so that an answer has them or not by who gave it.

use std::borrow::Cow;
use std::ops::Range;

use rand::RngExt;

use super::{Row, Service};
use crate::export::simulation::behaviour::{Asked, Trouble};

impl Service {
    /// The seconds of which this answer has no row.
    pub(super) fn lacks(&mut self) -> Option<Range<i64>> {
        let Some(Trouble::Replica(asked, (from, until))) = self.trouble() else { return None };
        let is_poor = match asked {
            Asked::Each(times) => self.requests.is_multiple_of(times),
            Asked::Share(share) => self.others.random::<f64>() < share,
        };
        is_poor.then_some(from..until)
    }
}

/// The rows of these that are not of the seconds that lack.
pub(super) fn without(rows: &[Row], lacking: Option<Range<i64>>) -> Cow<'_, [Row]> {
    let there = |lacking: Range<i64>| rows.iter().filter(|row| !lacking.contains(&row.second)).copied().collect();
    lacking.map_or(Cow::Borrowed(rows), there)
}
