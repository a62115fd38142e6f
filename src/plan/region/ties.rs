//! What a region's pages tell of the order in which rows of one second stand. Pure.

use std::collections::BTreeMap;

use crate::plan::evidence::disagreement::changes_places;
use crate::plan::fact::{PageFact, Purpose, VideoKey};
use crate::units::{EpochSeconds, TimeRange};

/// Seconds of a region of which an order is kept, about 0.1 KB each; beyond that, the earliest are forgotten.
const MOST_SECONDS: usize = 10_000;
/// Rows of one second whose order is kept, the first ones: each page is compared with all of them.
const MOST_ROWS: usize = 100;
/// Orders of one second that are kept.
const MOST_ORDERS: usize = 3;

/// What a region's pages tell of the order in which rows of one second stand.
#[derive(Clone, Debug, Default)]
pub(in crate::plan) struct Ties {
    /// By the direction and the second: the orders in which its rows came, the last one last. Rows of one second alone tell nothing, but
    /// where they end a page.
    orders: BTreeMap<(IsNewestFirst, EpochSeconds), Vec<Order>>,
    /// Seconds that are believed because rows of one second keep their order.
    believed: Vec<TimeRange>,
}

type IsNewestFirst = bool;

/// The rows of one second as the pages of one question showed them.
#[derive(Clone, Debug)]
struct Order {
    of: Purpose,
    page: u32,
    rows: Vec<VideoKey>,
}

impl Ties {
    /// Takes a page in; whether rows of one second stand in another order than before.
    pub(in crate::plan) fn take(&mut self, page: &PageFact, is_newest_first: IsNewestFirst) -> bool {
        let (of, number) = (page.address.purpose, page.address.page.get());
        let runs: Vec<_> = page.rows.chunk_by(|one, next| one.second == next.second).collect();
        let mut has_moved = false;
        for (place, run) in runs.iter().enumerate() {
            let Some(second) = run.first().map(|row| row.second) else { continue };
            let is_last = place + 1 == runs.len();
            let known = self.orders.get(&(is_newest_first, second));
            if run.len() < 2 && !is_last && known.is_none() {
                continue;
            }
            let orders = self.orders.entry((is_newest_first, second)).or_default();
            let rows = run.iter().map(|row| row.video);
            match orders.last_mut().filter(|last| last.of == of && last.page + 1 == number && place == 0) {
                Some(last) => {
                    last.rows.extend(rows.take(MOST_ROWS.saturating_sub(last.rows.len())));
                    last.page = number;
                }
                None => orders.push(Order { of, page: number, rows: rows.collect() }),
            }
            if let Some((last, others)) = orders.split_last() {
                has_moved |= others.iter().any(|other| changes_places(&other.rows, &last.rows));
            }
            if orders.len() > MOST_ORDERS {
                orders.remove(1);
            }
        }
        while self.orders.len() > MOST_SECONDS {
            self.orders.pop_first();
        }
        has_moved
    }

    /// The seconds that are believed because rows of one second keep their order.
    pub(in crate::plan) fn believed(&self) -> &[TimeRange] {
        &self.believed
    }

    /// These seconds are believed so.
    pub(in crate::plan) fn believe(&mut self, ranges: &[TimeRange]) {
        self.believed.extend(ranges);
    }

    /// These seconds are listed, or what is believed of them is told anew.
    pub(in crate::plan) fn believe_no_more(&mut self, range: TimeRange) {
        self.believed = self.believed.iter().flat_map(|believed| believed.without(&[range])).collect();
    }
}

#[cfg(test)]
mod tests;
