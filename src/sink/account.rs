//! What an output holds and lacks, over all runs; and what a run adds to that. Pure.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::api::contract::Region;
use crate::plan::event::Lacks;
use crate::plan::event::RegionFault;
use crate::sink::coverage::{Coverage, Reader};
use crate::sink::shard::Tile;
use crate::units::{EpochSeconds, RowCount, TimeRange};

/// A stretch of time that lacks something, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// The queried region.
    pub region: Region,
    /// The seconds.
    pub range: TimeRange,
    /// What is the matter, for a person.
    pub why: String,
    /// Where it is the whole region that could not be had: why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<RegionFault>,
    /// Where pages do not prove it: what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<Lacks>,
}

/// Rows that a run could not place in any part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The queried region.
    pub region: Region,
    /// From the first second that the run read of it to the last.
    pub range: TimeRange,
    /// The run, as the file under `_rejected` is named.
    pub run: String,
    /// How many.
    pub rows: RowCount,
}

/// What an output holds and lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The output's own name, given when it was begun, whatever folder it lies in.
    pub id: String,
    /// The seconds that were read, and when.
    pub coverage: Coverage,
    /// What could not be read. Where it is covered all the same, an earlier run had read it, and its rows stand.
    pub gaps: Vec<Lack>,
    /// What was read and is not proven to be all.
    pub unproven: Vec<Lack>,
    /// Rows that no column can take.
    pub rejected: Vec<Rejected>,
    /// What is covered and of which no rows are there any more, since its parts were given up because of their age.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expired: Vec<Lack>,
}

/// What one run says of one region, as far as readers may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The region.
    pub region: Region,
    /// From the first second that the run reads of it to the last.
    pub range: TimeRange,
    /// The seconds whose rows by this run are in parts that readers may see.
    pub read: Vec<TimeRange>,
    /// What it could not read, or is reading again.
    pub gaps: Vec<Lack>,
    /// What it could not prove.
    pub unproven: Vec<Lack>,
    /// Rows that no column can take.
    pub rejected: RowCount,
}

/// What of a question's seconds is not there as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lacking {
    /// Seconds that nobody has read, and that are no gap.
    pub unread: Vec<(Region, TimeRange)>,
    /// Gaps.
    pub gaps: Vec<Lack>,
    /// What is not proven.
    pub unproven: Vec<Lack>,
    /// Rows that no column can take.
    pub rejected: RowCount,
}

impl Lacking {
    /// Whether every second is covered and proven; rows that were rejected apart.
    pub fn is_nothing(&self) -> bool {
        self.unread.is_empty() && self.gaps.is_empty() && self.unproven.is_empty()
    }
}

impl Account {
    /// The account with what a run has done; saying the same again changes nothing.
    pub fn after(&self, reader: Reader<'_>, shares: &[Share]) -> Self {
        let mut account = self.clone();
        shares.iter().for_each(|share| account.take(reader, share));
        account
    }

    fn take(&mut self, reader: Reader<'_>, share: &Share) {
        let Share { region, range, read, gaps, unproven, rejected } = share;
        self.coverage.ask(region);
        let lost: Vec<TimeRange> = gaps.iter().map(|gap| gap.range).collect();
        self.coverage.lose_of(region, &lost, reader.run);
        let read = &self.but_expired_since(region, read, reader.run);
        self.coverage.read(region, read, reader);
        self.expired = without(&self.expired, region, read);
        let told = [read.as_slice(), &lost].concat();
        self.gaps = sorted(without(&self.gaps, region, &told), gaps);
        self.unproven = sorted(without(&self.unproven, region, read), unproven);
        // A second look at what is unproven does not list it twice.
        self.unproven.dedup();
        self.rejected.retain(|one| one.region != *region || (one.run != reader.run && !one.is_read_again(read)));
        // A row that was rejected lay somewhere in its run's seconds, and not in those that have been read again since.
        for one in self.rejected.iter_mut().filter(|one| one.region == *region) {
            one.range = one.range_left(read);
        }
        if *rejected > RowCount::ZERO {
            let run = reader.run.to_owned();
            self.rejected.push(Rejected { region: region.clone(), range: *range, run, rows: *rejected });
        }
    }

    /// Of the seconds that a run says it has read, those whose rows were not given up since.
    fn but_expired_since(&self, region: &Region, read: &[TimeRange], run: &str) -> Vec<TimeRange> {
        let own = self.coverage.of_run(region, run);
        let expired = self.expired.iter().filter(|lack| lack.region == *region);
        let gone: Vec<TimeRange> =
            expired.flat_map(|lack| own.iter().map(|own| own.intersection(lack.range))).collect();
        read.iter().flat_map(|range| range.without(&gone)).collect()
    }

    /// A part was given up because of its age; `alone` are its seconds that no other part holds.
    pub fn expire(&mut self, region: &Region, alone: &[TimeRange]) {
        let why = "its part was older than output.retain, and is gone".to_owned();
        let lack = |range| Lack { region: region.clone(), range, why: why.clone(), fault: None, lacks: None };
        let lacks: Vec<Lack> = alone.iter().copied().map(lack).collect();
        self.expired = sorted(without(&self.expired, region, alone), &lacks);
    }

    /// The account for who keeps parts from a moment on, or all of them: what was given up and should be there is not covered.
    pub fn kept_from(&self, moment: Option<EpochSeconds>) -> Cow<'_, Self> {
        let is_missed = |lack: &&Lack| moment.is_none_or(|moment| lack.range.end > moment);
        let missed: Vec<&Lack> = self.expired.iter().filter(is_missed).collect();
        if missed.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut account = self.clone();
        missed.iter().for_each(|lack| account.coverage.lose(&lack.region, &[lack.range]));
        Cow::Owned(account)
    }

    /// The account with more gaps, which somebody found: what is listed within them already is not listed twice.
    #[must_use]
    pub fn lacking_also(&self, lacks: &[Lack]) -> Self {
        let mut account = self.clone();
        for lack in lacks {
            account.gaps = without(&account.gaps, &lack.region, &[lack.range]);
        }
        account.gaps = sorted(account.gaps, lacks);
        account
    }

    /// The seconds of a region that need not be read: those that are covered, without gaps and what `lost` parts held.
    pub fn sound(&self, region: &Region, lost: &[TimeRange]) -> Vec<TimeRange> {
        let gaps = self.gaps.iter().filter(|gap| gap.region == *region).map(|gap| gap.range);
        let missing: Vec<TimeRange> = lost.iter().copied().chain(gaps).collect();
        self.coverage.of(region).into_iter().flat_map(|range| range.without(&missing)).collect()
    }

    /// What of a question's seconds is not there.
    pub fn lacking(&self, regions: &[Region], range: TimeRange) -> Lacking {
        let within =
            |lacks: &[Lack]| clipped(lacks, |region| if regions.contains(region) { vec![range] } else { vec![] });
        let gaps = within(&self.gaps);
        let unread = regions.iter().flat_map(|region| {
            let mut known = self.coverage.of(region);
            known.extend(gaps.iter().filter(|gap| gap.region == *region).map(|gap| gap.range));
            range.without(&known).into_iter().map(|range| (region.clone(), range))
        });
        let rejected = self.rejected.iter().filter(|one| regions.contains(&one.region) && one.range.overlaps(range));
        let rejected = rejected.fold(RowCount::ZERO, |sum, one| sum.plus(one.rows));
        Lacking { unread: unread.collect(), unproven: within(&self.unproven), gaps, rejected }
    }

    /// The same of the seconds of some tiles, at most one of a region.
    pub fn lacking_of(&self, tiles: &[Tile]) -> Lacking {
        let mut sum = Lacking::default();
        for Tile { region, range } in tiles {
            let Lacking { unread, gaps, unproven, rejected } = self.lacking(std::slice::from_ref(region), *range);
            sum.unread.extend(unread);
            sum.gaps.extend(gaps);
            sum.unproven.extend(unproven);
            sum.rejected = sum.rejected.plus(rejected);
        }
        sum
    }

    /// What it says of the seconds of some tiles; of rows that were rejected nothing, since they are of no second.
    pub fn within(&self, tiles: &[Tile]) -> Self {
        let mut within = Self { id: self.id.clone(), ..Self::default() };
        within.take_in(tiles, self);
        within
    }

    /// Takes in what another account says of the seconds of some tiles, in place of what this one says of them, and its rejected rows.
    pub fn merge(&mut self, tiles: &[Tile], other: &Self) {
        self.take_in(tiles, other);
        let is_known =
            |one: &Rejected, known: &[Rejected]| known.iter().any(|had| had.run == one.run && had.region == one.region);
        let new = other.rejected.iter().filter(|one| !is_known(one, &self.rejected)).cloned();
        let clipped = |one: Rejected| {
            let tile = tiles.iter().find(|tile| tile.region == one.region);
            Rejected { range: tile.map_or(one.range, |tile| tile.range.intersection(one.range)), ..one }
        };
        let new: Vec<Rejected> = new.map(clipped).collect();
        self.rejected.extend(new);
    }

    /// Rejected rows of earlier runs count no more where every second of theirs is read again.
    pub fn drop_rejected_before(&mut self, tiles: &[Tile], is_former: impl Fn(&str) -> bool) {
        let of = |region: &Region| -> Vec<TimeRange> {
            tiles.iter().filter(|tile| tile.region == *region).map(|tile| tile.range).collect()
        };
        self.rejected.retain(|one| !is_former(&one.run) || !one.is_read_again(&of(&one.region)));
    }

    /// Of the seconds of some tiles, what another account says counts.
    pub fn take_in(&mut self, tiles: &[Tile], other: &Self) {
        for Tile { region, range } in tiles {
            self.coverage.take_in(region, *range, &other.coverage);
            let of_tile = |lacks: &[Lack]| clipped(lacks, |of| if of == region { vec![*range] } else { vec![] });
            self.gaps = sorted(without(&self.gaps, region, &[*range]), &of_tile(&other.gaps));
            self.unproven = sorted(without(&self.unproven, region, &[*range]), &of_tile(&other.unproven));
            self.expired = sorted(without(&self.expired, region, &[*range]), &of_tile(&other.expired));
        }
    }

    /// Holes and gaps of all regions outside a question's seconds, between the first second of each region and its last.
    pub fn elsewhere(&self, regions: &[Region], range: TimeRange) -> Vec<Lack> {
        let outside = |region: &Region| {
            let ever = TimeRange::EVER;
            if regions.contains(region) { ever.without(&[range]) } else { vec![ever] }
        };
        let gaps = clipped(&self.gaps, outside);
        let holes = self.coverage.regions().flat_map(|region| {
            let listed: Vec<TimeRange> = gaps.iter().filter(|gap| gap.region == *region).map(|gap| gap.range).collect();
            let holes = self.coverage.holes(region).into_iter().flat_map(move |hole| hole.without(&listed));
            holes.map(|range| Lack {
                region: region.clone(),
                range,
                why: "no run has read it".to_owned(),
                fault: None,
                lacks: None,
            })
        });
        let holes: Vec<Lack> = holes.collect();
        sorted(clipped(&holes, outside), &gaps)
    }
}

impl Rejected {
    fn is_read_again(&self, read: &[TimeRange]) -> bool {
        self.range.without(read).is_empty()
    }

    /// From the first of its seconds that have not been read again to the last.
    fn range_left(&self, read: &[TimeRange]) -> TimeRange {
        let left = self.range.without(read);
        left.first().zip(left.last()).map_or(self.range, |(first, last)| TimeRange::new(first.start, last.end))
    }
}

/// What is listed within the seconds that are given for each region.
fn clipped(lacks: &[Lack], within: impl Fn(&Region) -> Vec<TimeRange>) -> Vec<Lack> {
    let pieces = lacks.iter().flat_map(|lack| {
        let pieces = within(&lack.region).into_iter().map(|range| lack.range.intersection(range));
        pieces.filter(|piece| !piece.is_empty()).map(|range| Lack { range, ..lack.clone() }).collect::<Vec<_>>()
    });
    pieces.collect()
}

/// What is listed of a region outside these ranges, and of all others.
fn without(lacks: &[Lack], region: &Region, ranges: &[TimeRange]) -> Vec<Lack> {
    let left = |lack: &Lack| match lack.region == *region {
        true => lack.range.without(ranges),
        false => vec![lack.range],
    };
    lacks.iter().flat_map(|lack| left(lack).into_iter().map(|range| Lack { range, ..lack.clone() })).collect()
}

fn sorted(mut lacks: Vec<Lack>, more: &[Lack]) -> Vec<Lack> {
    lacks.extend(more.iter().cloned());
    lacks.sort_by(|one, other| (&one.region, one.range).cmp(&(&other.region, other.range)));
    lacks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us() -> Region {
        "US".parse().unwrap()
    }

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    fn lack(start: i64, end: i64, why: &str) -> Lack {
        Lack { region: us(), range: range(start, end), why: why.to_owned(), fault: None, lacks: None }
    }

    fn share(within: TimeRange, read: &[TimeRange]) -> Share {
        let (read, rejected) = (read.to_vec(), RowCount::ZERO);
        Share { region: us(), range: within, read, gaps: vec![], unproven: vec![], rejected }
    }

    fn after(account: &Account, number: i64, share: &Share) -> Account {
        let run = format!("r{number}");
        account.after(Reader { run: &run, at: EpochSeconds::new(number) }, std::slice::from_ref(share))
    }

    fn ranges(lacks: &[Lack]) -> Vec<TimeRange> {
        lacks.iter().map(|lack| lack.range).collect()
    }

    #[test]
    fn a_gap_stands_until_somebody_has_read_it() {
        let gap = Share { gaps: vec![lack(10, 20, "HTTP 500")], ..share(range(0, 50), &[range(0, 10), range(20, 50)]) };
        let first = after(&Account::default(), 1, &gap);
        let lacking = first.lacking(&[us()], range(0, 50));
        assert_eq!((ranges(&lacking.gaps), lacking.unread), (vec![range(10, 20)], vec![]));
        assert_eq!(first.sound(&us(), &[]), [range(0, 10), range(20, 50)]);
        let other = after(&first, 2, &share(range(60, 70), &[range(60, 70)]));
        assert_eq!(ranges(&other.gaps), [range(10, 20)]);
        assert_eq!(ranges(&other.elsewhere(&[us()], range(60, 70))), [range(10, 20), range(50, 60)]);
        let half = after(&other, 3, &share(range(0, 15), &[range(0, 15)]));
        assert_eq!(ranges(&half.gaps), [range(15, 20)]);
        let whole = after(&half, 4, &share(range(15, 20), &[range(15, 20)]));
        assert_eq!(whole.gaps, []);
        assert!(whole.lacking(&[us()], range(0, 50)).is_nothing());
    }

    #[test]
    fn what_could_not_be_read_again_is_a_gap_though_an_earlier_run_had_it() {
        let first = after(&Account::default(), 1, &share(range(0, 50), &[range(0, 50)]));
        let gap = Share { gaps: vec![lack(10, 20, "HTTP 500")], ..share(range(0, 50), &[range(0, 10), range(20, 50)]) };
        let second = after(&first, 2, &gap);
        assert_eq!(second.coverage.of(&us()), [range(0, 50)]);
        assert_eq!(second.sound(&us(), &[range(30, 35)]), [range(0, 10), range(20, 30), range(35, 50)]);
        assert_eq!(ranges(&second.lacking(&[us()], range(0, 50)).gaps), [range(10, 20)]);
    }

    #[test]
    fn saying_the_same_again_changes_nothing_and_what_is_reopened_is_covered_no_more() {
        let told = Share {
            unproven: vec![lack(5, 6, "it fills pages")],
            rejected: RowCount::new(2),
            ..share(range(0, 50), &[range(0, 50)])
        };
        let once = after(&Account::default(), 1, &told);
        assert_eq!(after(&once, 1, &told), once);
        let reopened =
            Share { gaps: vec![lack(20, 30, "a part is lost")], ..share(range(0, 50), &[range(0, 20), range(30, 50)]) };
        let reopened = after(&once, 1, &reopened);
        assert_eq!(reopened.coverage.of(&us()), [range(0, 20), range(30, 50)]);
        assert_eq!((reopened.unproven, reopened.rejected), (vec![], vec![]), "a run speaks for itself");
    }

    #[test]
    fn what_is_unproven_or_rejected_counts_until_it_is_read_again() {
        let told = Share {
            unproven: vec![lack(5, 6, "it fills pages")],
            rejected: RowCount::new(2),
            ..share(range(0, 50), &[range(0, 50)])
        };
        let first = after(&Account::default(), 1, &told);
        let elsewhere = after(&first, 2, &share(range(50, 60), &[range(50, 60)]));
        let lacking = elsewhere.lacking(&[us()], range(0, 60));
        assert_eq!((ranges(&lacking.unproven), lacking.rejected), (vec![range(5, 6)], RowCount::new(2)));
        assert!(elsewhere.lacking(&[us()], range(50, 60)).is_nothing());
        let again = after(&elsewhere, 3, &share(range(0, 60), &[range(0, 60)]));
        let lacking = again.lacking(&[us()], range(0, 60));
        assert_eq!((lacking.is_nothing(), lacking.rejected), (true, RowCount::ZERO));
    }

    /// A night's rejected row is counted by no later night that has read its seconds again, or does not ask for the rest of them.
    #[test]
    fn a_rejected_row_counts_in_the_seconds_that_were_not_read_again() {
        let night = |start: i64, rows| Share {
            rejected: RowCount::new(rows),
            ..share(range(start, start + 7), &[range(start, start + 7)])
        };
        let mut account = after(&Account::default(), 1, &night(0, 2));
        for start in 1..4 {
            account = after(&account, 1 + start, &night(start, 0));
            assert!(account.lacking(&[us()], range(start, start + 7)).is_nothing(), "{start}");
        }
        assert_eq!(account.lacking(&[us()], range(0, 7)).rejected, RowCount::new(2), "its first second is what it was");
        let middle = after(&after(&Account::default(), 1, &night(0, 2)), 2, &share(range(2, 4), &[range(2, 4)]));
        assert_eq!(middle.lacking(&[us()], range(2, 4)).rejected, RowCount::new(2), "before and after it");
    }

    #[test]
    fn what_somebody_found_missing_is_a_gap_until_it_is_read() {
        let first = after(&Account::default(), 1, &share(range(0, 50), &[range(0, 50)]));
        let found = first.lacking_also(&[lack(10, 20, "an audit")]).lacking_also(&[lack(15, 30, "an audit")]);
        assert_eq!(ranges(&found.gaps), [range(10, 15), range(15, 30)]);
        assert_eq!(found.sound(&us(), &[]), [range(0, 10), range(30, 50)]);
        assert_eq!(found.coverage, first.coverage, "its rows stand meanwhile");
        let filled = after(&found, 2, &share(range(10, 30), &[range(10, 30)]));
        assert!(filled.lacking(&[us()], range(0, 50)).is_nothing());
    }

    #[test]
    fn a_region_that_nobody_has_asked_for_is_unread() {
        let gb: Region = "GB".parse().unwrap();
        let first = after(&Account::default(), 1, &share(range(0, 50), &[range(0, 50)]));
        assert_eq!(first.lacking(&[us(), gb.clone()], range(0, 50)).unread, [(gb, range(0, 50))]);
        assert_eq!(first.elsewhere(&[], range(0, 0)), []);
    }

    #[test]
    fn what_was_given_up_because_of_its_age_is_missing_for_who_keeps_it_longer() {
        let second = EpochSeconds::new;
        let mut account = after(&Account::default(), 1, &share(range(0, 50), &[range(0, 50)]));
        account.expire(&us(), &[range(0, 20)]);
        let covered = |account: &Account, from: Option<i64>| account.kept_from(from.map(second)).coverage.of(&us());
        assert_eq!(covered(&account, Some(20)), [range(0, 50)]);
        assert_eq!(covered(&account, Some(19)), [range(20, 50)]);
        assert_eq!(covered(&account, None), [range(20, 50)]);
        let again = after(&account, 1, &share(range(0, 50), &[range(0, 50)]));
        assert_eq!(covered(&again, None), [range(20, 50)], "its own run has read nothing of it since");
        let anew = after(&account, 2, &share(range(0, 10), &[range(0, 10)]));
        assert_eq!(covered(&anew, None), [range(0, 10), range(20, 50)]);
    }
}
