//! Pages that show nothing odd, each at one go. Pure.

use std::collections::BTreeSet;

use super::certificate::Kernel;
use super::placement::Reading;
use super::premise::{Certificate, Premise, Refutation, Rule};
use crate::units::TimeRange;

impl Kernel<'_> {
    /// The seconds between the first and the last row of each page that shows nothing odd, at one go: each of them is certified by
    /// OnePage or Between. Nothing else is needed of it; where it is given, it saves asking for each second.
    pub fn plain_pages(&self) -> Vec<Certificate> {
        let is_plain = self.rules.witnesses <= 1 && !self.refuted.contains(&Refutation::Premise(Premise::Order));
        let mut certificates = Vec::new();
        for reading in self.readings.iter().filter(|_| is_plain) {
            let pages = 0..reading.pages.len();
            certificates.extend(pages.filter_map(|index| self.plain_page(reading, index)));
        }
        certificates.retain(|certificate| certificate.stands(&self.refuted));
        certificates.sort_unstable();
        certificates
    }

    fn plain_page(&self, reading: &Reading<'_>, index: usize) -> Option<Certificate> {
        let page = reading.pages.get(index)?;
        if page.free(self.rules.page_size) > 0 || page.unplaced > 0 {
            return None;
        }
        let rows = reading.bracketing(index)?;
        let (first, last) = (rows.first()?.second, rows.last()?.second);
        let seconds = TimeRange::new(first.shifted(1), last).intersection(page.series.sure);
        let mean = reading.mean_distance((index, index));
        let mut distances = rows.iter().zip(rows.iter().skip(1)).map(|(one, next)| next.second.since(one.second));
        let is_even = !distances.any(|distance| self.is_leap(distance, || mean));
        (is_even && !seconds.is_empty()).then(|| Certificate {
            seconds,
            rule: Rule::OnePage,
            premises: BTreeSet::from([Premise::Order, Premise::AnswersWhole, Premise::Dates]),
            dated: rows.iter().map(|row| BTreeSet::from([row.video])).collect(),
            observations: BTreeSet::from([(page.made, page.id())]),
        })
    }
}
