//! Rows that come and go while they are read.

use rand::RngExt;

use super::{Row, Service, Shown};
use crate::api::contract::PageQuery;
use crate::units::EpochSeconds;

/// Rows that come while a run reads: a second that grows as fast as it is read would never end.
const MOST_INSERTED: u64 = 3_000;

impl Service {
    /// Rows come and go, half of them near what is asked.
    pub(super) fn drift(&mut self, query: &PageQuery) {
        let drift = self.behaviour.drift;
        let near = query.min_create_time.map_or(0, EpochSeconds::get);
        let Some(at) = self.regions.iter().position(|(region, _)| *region == query.region) else { return };
        if self.random.random::<f64>() < drift.inserts && self.inserted < MOST_INSERTED {
            let second = self.place(at, near);
            for _ in 0..self.random.random_range(1..=drift.burst.max(1)) {
                let row = Row { second, id: self.next_id, shown: Shown::Right, is_first: false };
                self.next_id += 1;
                self.inserted += 1;
                let rows = &mut self.regions[at].1;
                let ties =
                    rows.partition_point(|row| row.second < second)..rows.partition_point(|row| row.second <= second);
                let place = self.random.random_range(ties.start..=ties.end);
                rows.insert(place, row);
            }
        }
        if self.random.random::<f64>() < drift.deletes && !self.regions[at].1.is_empty() {
            let second = self.place(at, near);
            for _ in 0..self.random.random_range(1..=drift.burst.max(1)) {
                let rows = &mut self.regions[at].1;
                let place = rows.partition_point(|row| row.second < second);
                if place < rows.len() {
                    let gone = rows.remove(place);
                    self.deleted.insert(gone.id);
                }
            }
        }
    }

    /// A second near the walk, or that of any row.
    fn place(&mut self, at: usize, near: i64) -> i64 {
        let rows = &self.regions[at].1;
        if rows.is_empty() {
            return near;
        }
        let any = self.random.random_range(0..rows.len());
        let from = rows.partition_point(|row| row.second < near);
        let close = (from + self.random.random_range(0..60)).min(rows.len() - 1);
        let index = if self.random.random() { any } else { close };
        rows[index].second + self.random.random_range(0..2)
    }
}
