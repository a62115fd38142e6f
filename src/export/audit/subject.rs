//! The output, as far as an audit looks at it: its seconds and rows, and what its parts say of pages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::asking::Asked;
use super::compare::{Held, Neighbours, Page, ScopedRow, gaps};
use super::frame::{Census, Frame, Place, Scope, Start};
use super::places::{Extents, Finder, question};
use crate::api::contract::{Filters, Region};
use crate::export::ExportError;
use crate::export::opening::Opened;
use crate::journal::record::PartRecord;
use crate::plan::answer::RegionHabit;
use crate::sink::part::PartError;
use crate::sink::reading::{each_second, own_region, rows_held, rows_within, videos_held};
use crate::sink::store::LocalFile;
use crate::units::{EpochSeconds, TimeRange};

/// The output, as far as it is looked at.
pub(super) struct Subject {
    filters: Filters,
    pub(super) scopes: Vec<Scope>,
    /// For each scope its parts and where they lie, in the order of time.
    parts: Vec<Vec<(PartRecord, LocalFile)>>,
    /// For each scope, when its seconds were read.
    read: Vec<Vec<(TimeRange, EpochSeconds)>>,
}

impl Subject {
    /// All seconds that the output says it holds, but for what it lists as missing or unproven, and for what may be gone because of its age.
    pub(super) async fn of(opened: &Opened, now: EpochSeconds) -> Result<Self, ExportError> {
        let Opened { manifest, output, .. } = opened;
        let account = manifest.account.kept_from(None);
        let expired = manifest.retained_from(now).map(|from| TimeRange::new(EpochSeconds::new(i64::MIN), from));
        let is_snapshot = manifest.identity.snapshot;
        let mut subject = Self {
            filters: serde_json::from_value(manifest.identity.filters.clone())?,
            scopes: Vec::new(),
            parts: Vec::new(),
            read: Vec::new(),
        };
        for region in account.coverage.regions() {
            let unproven = account.unproven.iter().filter(|lack| lack.region == *region).map(|lack| lack.range);
            let others = if is_snapshot { account.coverage.of_others(region, &manifest.run) } else { Vec::new() };
            let left_out: Vec<TimeRange> = unproven.chain(expired).chain(others).collect();
            let ranges: Vec<TimeRange> =
                account.sound(region, &[]).into_iter().flat_map(|range| range.without(&left_out)).collect();
            let ranges = TimeRange::merged(&ranges);
            if ranges.is_empty() {
                continue;
            }
            let is_own = |part: &&PartRecord| part.region == *region && (!is_snapshot || part.run == manifest.run);
            let mut parts = Vec::new();
            for part in manifest.parts.iter().filter(is_own) {
                parts.push((part.clone(), output.local(part).await?));
            }
            parts.sort_by_key(|(part, _)| part.range);
            let read = account.coverage.stretches(region).iter().map(|stretch| (stretch.range(), stretch.read_at));
            subject.read.push(read.collect());
            subject.parts.push(parts);
            subject.scopes.push(Scope { region: region.clone(), ranges });
        }
        Ok(subject)
    }

    /// Does what reads files apart from the tasks that send.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, PartError> + Send + 'static,
    ) -> Result<T, ExportError> {
        let subject = Arc::clone(self);
        Ok(tokio::task::spawn_blocking(move || work(&subject)).await??)
    }

    pub(super) fn frame(&self) -> Result<Frame, PartError> {
        let mut counted = Vec::new();
        for (number, scope) in self.scopes.iter().enumerate() {
            let mut census = Census::of(scope.clone());
            self.each_row(number, |second| census.row(second))?;
            counted.push(census);
        }
        Ok(Frame::new(counted))
    }

    /// Tells the seconds of a scope's rows that are looked at, in the order of time.
    fn each_row(&self, scope: usize, mut tell: impl FnMut(EpochSeconds)) -> Result<(), PartError> {
        let (Some(own), Some(parts)) = (self.scopes.get(scope), self.parts.get(scope)) else { return Ok(()) };
        parts.iter().try_for_each(|(part, file)| {
            each_second(part, file, |second| {
                if own.range_of(second).is_some() {
                    tell(second);
                }
            })
        })
    }

    /// The pages at these places.
    pub(super) fn questions(&self, places: &[Place]) -> Result<Vec<Asked>, PartError> {
        let mut questions = Vec::new();
        for (number, scope) in self.scopes.iter().enumerate() {
            let here = places.iter().filter(|place| place.scope == number);
            let rows =
                here.clone().filter_map(|place| if let Start::Row(row) = place.start { Some(row) } else { None });
            let (mut finder, mut extents) = (Finder::of(rows), Extents::default());
            self.each_row(number, |second| {
                finder.row(second);
                extents.row(scope, second);
            })?;
            let habit = self.habit(number)?;
            let asked = here.filter_map(|place| {
                let around = if let Start::Row(row) = place.start { finder.found(row) } else { None };
                let query = question((*place, around), scope, &self.filters, rand::random())?;
                let shows = extents.shown_by((*place, around), scope, &query);
                Some(Asked { scope: number, question: (query, habit), shows })
            });
            questions.extend(asked);
        }
        Ok(questions)
    }

    /// What the rows of a scope name as their region: by that a page of another region is known.
    fn habit(&self, scope: usize) -> Result<RegionHabit, PartError> {
        let (Some(own), Some((part, file))) =
            (self.scopes.get(scope), self.parts.get(scope).and_then(|all| all.first()))
        else {
            return Ok(RegionHabit::Unknown);
        };
        Ok(match own_region(part, file)? {
            Some(named) if named == own.region.as_str() => RegionHabit::Own,
            Some(_) => RegionHabit::Another,
            None => RegionHabit::Unknown,
        })
    }

    /// What the output holds around pages.
    pub(super) fn held(&self, pages: &BTreeMap<usize, Page>) -> Result<Held, PartError> {
        let mut held = Held::default();
        for (number, parts) in self.parts.iter().enumerate() {
            let own = || pages.values().filter(|page| page.scope == number);
            let wanted: BTreeSet<_> = own().flat_map(|page| page.rows.iter().cloned()).collect();
            let whole = TimeRange::merged(&own().filter_map(|page| page.whole).collect::<Vec<_>>());
            let mut left: BTreeSet<String> = wanted.iter().map(|(_, video)| video.clone()).collect();
            for (part, file) in parts {
                let here: BTreeSet<_> =
                    wanted.iter().filter(|(second, _)| part.range.contains(*second)).cloned().collect();
                let mut found = if here.is_empty() { here } else { rows_held((part, &**file), &here)? };
                if whole.iter().any(|range| range.overlaps(part.range)) {
                    found.extend(rows_within(part, file, &whole)?);
                }
                found.iter().for_each(|(_, video)| {
                    left.remove(video);
                });
                held.rows.extend(found.into_iter().map(|row| (number, row)));
            }
            for (part, file) in if left.is_empty() { &[] } else { parts.as_slice() } {
                held.elsewhere.extend(videos_held(part, file, &left)?.into_iter().map(|video| (number, video)));
            }
        }
        Ok(held)
    }

    pub(super) fn read_at(&self, scope: usize, second: EpochSeconds) -> EpochSeconds {
        let stretches = self.read.get(scope).map(Vec::as_slice).unwrap_or_default();
        let found = stretches.iter().find(|(range, _)| range.contains(second));
        found.map_or(EpochSeconds::new(i64::MIN), |(_, read_at)| *read_at)
    }

    /// What is read again because of missing rows.
    pub(super) fn gaps(&self, missing: &BTreeSet<ScopedRow>) -> Result<Vec<(Region, TimeRange)>, PartError> {
        let mut all = Vec::new();
        for (number, scope) in self.scopes.iter().enumerate() {
            let here = missing.iter().filter(|(scope, _)| *scope == number);
            let seconds: BTreeSet<EpochSeconds> = here.map(|(_, (second, _))| *second).collect();
            if seconds.is_empty() {
                continue;
            }
            let mut neighbours = Neighbours::of(&seconds);
            self.each_row(number, |second| neighbours.row(second))?;
            let ranges = gaps(&seconds, scope, |second| neighbours.around(second));
            all.extend(ranges.into_iter().map(|range| (scope.region.clone(), range)));
        }
        Ok(all)
    }
}
