//! What a run that begins keeps of the seconds that the output holds already. Pure.

use crate::api::contract::Region;
use crate::sink::manifest::Manifest;
use crate::units::{EpochSeconds, TimeRange};

/// What a run keeps of the seconds that the output holds already, from the least to the most; it reads the rest of what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keeps {
    /// None of them.
    Nothing,
    /// Those that the manifest's last run has read: it is gone on with under another name, since its state is lost.
    WhatItsRunRead,
    /// All of them.
    All,
}

impl Keeps {
    /// The seconds of a region that are kept. What `lost` parts held is not, nor are gaps, nor what is unproven and brought no row: to ask
    /// for that again costs a few requests. What ends before `settled_before` is always kept.
    pub(super) fn of(
        self,
        region: &Region,
        (manifest, lost): (&Manifest, &[TimeRange]),
        settled_before: Option<EpochSeconds>,
    ) -> Vec<TimeRange> {
        let account = manifest.account.kept_from(settled_before);
        let sound = account.sound(region, lost);
        let within = |kept: &[TimeRange]| -> Vec<TimeRange> {
            let pairs = sound.iter().flat_map(|sound| kept.iter().map(|kept| kept.intersection(*sound)));
            pairs.filter(|both| !both.is_empty()).collect()
        };
        let old = settled_before.map(|end| TimeRange::new(EpochSeconds::new(i64::MIN), end));
        let old = within(old.as_slice());
        let holds_rows = |range: TimeRange| {
            let mut parts = manifest.parts.iter().filter(|part| part.region == *region);
            parts.any(|part| part.range.overlaps(range))
        };
        let unproven = account.unproven.iter().filter(|lack| lack.region == *region).map(|lack| lack.range);
        let empty: Vec<TimeRange> = unproven.filter(|range| !holds_rows(*range)).collect();
        let kept = match self {
            Self::Nothing => Vec::new(),
            Self::WhatItsRunRead => within(&account.coverage.of_run(region, &manifest.run)),
            Self::All => sound,
        };
        old.into_iter().chain(kept.into_iter().flat_map(|range| range.without(&empty))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::PartRecord;
    use crate::sink::account::{Account, Lack, Share};
    use crate::sink::coverage::Reader;
    use crate::sink::testing::{self, part, range};
    use crate::units::{ByteCount, RowCount};

    fn us() -> Region {
        "US".parse().unwrap()
    }

    /// A former run has read the first minute, and the manifest's own the second one half.
    fn manifest() -> Manifest {
        let mut manifest = testing::manifest(range(0, 120), vec![]);
        let share = |read: TimeRange| Share {
            region: us(),
            range: read,
            read: vec![read],
            gaps: vec![],
            unproven: vec![],
            rejected: RowCount::ZERO,
        };
        let by = |run| Reader { run, at: EpochSeconds::new(1) };
        let former = Account::default().after(by("former"), &[share(range(0, 60))]);
        manifest.account = former.after(by(&manifest.run), &[share(range(40, 90))]);
        manifest
    }

    fn kept(keeps: Keeps, lost: &[TimeRange], settled_before: Option<i64>) -> Vec<TimeRange> {
        let settled_before = settled_before.map(|second| range(0, second).end);
        TimeRange::merged(&keeps.of(&us(), (&manifest(), lost), settled_before))
    }

    #[test]
    fn a_run_keeps_all_or_nothing_or_what_the_run_before_it_had_read() {
        assert_eq!(kept(Keeps::Nothing, &[], None), []);
        assert_eq!(kept(Keeps::All, &[], None), [range(0, 90)]);
        assert_eq!(kept(Keeps::WhatItsRunRead, &[], None), [range(40, 90)]);
    }

    #[test]
    fn what_a_lost_part_held_is_not_kept() {
        assert_eq!(kept(Keeps::All, &[range(50, 60)], None), [range(0, 50), range(60, 90)]);
        assert_eq!(kept(Keeps::WhatItsRunRead, &[range(50, 60)], None), [range(40, 50), range(60, 90)]);
    }

    #[test]
    fn what_is_unproven_and_brought_no_row_is_not_kept() {
        let mut manifest = manifest();
        let why = "its code may be wrong".to_owned();
        let doubt =
            |start, end| Lack { region: us(), range: range(start, end), why: why.clone(), fault: None, lacks: None };
        manifest.account.unproven = vec![doubt(0, 10), doubt(50, 60)];
        manifest.parts = vec![PartRecord {
            rows: RowCount::new(1),
            bytes: ByteCount::new(1),
            ..part("data/query_region=US/part", range(45, 52))
        }];
        let kept = |keeps: Keeps, old| TimeRange::merged(&keeps.of(&us(), (&manifest, &[]), old));
        assert_eq!(kept(Keeps::All, None), [range(10, 90)]);
        assert_eq!(kept(Keeps::All, Some(range(0, 5).end)), [range(0, 5), range(10, 90)]);
    }

    #[test]
    fn what_is_older_than_it_must_be_is_always_kept() {
        assert_eq!(kept(Keeps::Nothing, &[], Some(20)), [range(0, 20)]);
        assert_eq!(kept(Keeps::WhatItsRunRead, &[], Some(20)), [range(0, 20), range(40, 90)]);
        assert_eq!(kept(Keeps::Nothing, &[], Some(100)), [range(0, 90)]);
    }
}
