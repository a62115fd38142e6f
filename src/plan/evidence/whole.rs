//! A list that was read from its first page to its end, whatever its order. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::certificate::{Claim, Kernel};
use super::observation::Observation;
use super::placement::Reading;
use super::premise::{Certificate, Premise, Rule};
use super::readings::Sighting;
use crate::plan::fact::VideoKey;

impl Kernel<'_> {
    /// The claim of a list that was read from its first page to its end and showed each row once: whatever its order, it lacks none.
    pub(super) fn whole(&self, reading: &Reading<'_>) -> Option<Claim> {
        let (first, end) = (reading.pages.first()?, reading.ended?);
        if first.page.get() != 1 {
            return None;
        }
        let all = (0, reading.pages.len() - 1);
        let unseen = self.unseen(reading, all);
        let mut ids: BTreeSet<VideoKey> = reading.rows().map(|row| row.video).collect();
        let lacking = reading.rows().count() - ids.len();
        let imported = if lacking == 0 { Vec::new() } else { self.seen_before(first, &ids) };
        if unseen.free + unseen.believed > 0 || lacking != imported.len() {
            return None;
        }
        let mut premises = BTreeSet::from([Premise::AnswersWhole, Premise::Bounds]);
        let mut observations: BTreeSet<_> = reading.pages.iter().map(|page| (page.made, page.id())).collect();
        self.rest_on_end(reading, (&mut premises, &mut observations));
        premises.extend((!reading.is_in_turn(all)).then_some(Premise::NoInsertion));
        premises.extend((unseen.at_end > 0).then_some(Premise::ShortHidesNothing));
        premises.extend((unseen.unplaced > 0).then_some(Premise::StableTies));
        let seconds = first.series.sure;
        let mut certificate =
            Certificate { seconds, rule: Rule::Whole, premises, dated: BTreeSet::new(), observations };
        self.rest_on_imported(&mut certificate, &imported, all.1 == 0);
        ids.extend(imported.iter().map(|sighting| sighting.video));
        Some(Claim { certificate, ids, leaps: true, empty_page: Some(end.page) })
    }

    /// The rows of what a list's first page asked that were seen before it and are none of these.
    fn seen_before(&self, first: &Observation, ids: &BTreeSet<VideoKey>) -> Vec<Sighting> {
        let mut seen: BTreeMap<VideoKey, Sighting> = BTreeMap::new();
        let shown = self.shown.range(first.series.sure.start..first.series.sure.end.max(first.series.sure.start));
        let before = shown.flat_map(|(_, sightings)| sightings).filter(|sighting| sighting.is_before(first));
        for sighting in before.filter(|sighting| !ids.contains(&sighting.video)) {
            seen.entry(sighting.video).or_insert(*sighting);
        }
        seen.into_values().collect()
    }
}
