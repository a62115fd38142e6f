//! An output that is older than its state: it was restored from a copy. Each part that its manifest lists and the state does not know is
//! live again, where what took its place is not there, or goes once a manifest stands without it.
//!
//! Nothing is committed here, so until the run commits the next start finds the same and decides the same.

use std::collections::BTreeSet;

use super::published;
use crate::api::contract::Region;
use crate::export::ExportError;
use crate::export::commits::KeptAccount;
use crate::journal::Journal;
use crate::journal::record::{Change, PartRecord};
use crate::sink::account::Account;
use crate::sink::layout::{are_of_one_snapshot, snapshot_of};
use crate::sink::manifest::Manifest;
use crate::sink::publish::{Output, Standing};
use crate::sink::shard::Tile;
use crate::units::TimeRange;

/// The state's published parts, as the copy holds them.
#[derive(Debug, Default)]
struct Known {
    whole: Vec<PartRecord>,
    missing: Vec<PartRecord>,
}

/// Brings state and copy to the same. `manifest` holds the state's account; what goes with the next commit is in its `superseded`. Parts
/// that `latest` has read itself stay lost, so that it reads them again; any other that is missing is given up.
pub(super) async fn bring_together(
    (journal, output): (&Journal, &Output),
    (manifest, copy): (&mut Manifest, &Manifest),
    latest: Option<&str>,
) -> Result<(), ExportError> {
    let known = Known::find(journal, output).await?;
    let (again, superseded) = brought_back((journal, output), copy, &known, &manifest.account).await?;
    manifest.account = known.account(&manifest.account, &again, &copy.account);
    manifest.superseded = superseded;
    KeptAccount::of(manifest).keep(journal).await?;
    let is_read_again = |part: &PartRecord| !part.carried && Some(part.run.as_str()) == latest;
    let given_up: Vec<PartRecord> = known.missing.into_iter().filter(|part| !is_read_again(part)).collect();
    give_up((journal, output), &given_up, again).await
}

/// Gives up what of these parts is not there. Their seconds are covered no more already.
pub(in crate::export) async fn give_missing_up(
    journal: &Journal,
    output: &Output,
    lost: &[PartRecord],
) -> Result<(), ExportError> {
    let paths: BTreeSet<&String> = lost.iter().map(|part| &part.path).collect();
    let Known { mut missing, .. } = Known::find(journal, output).await?;
    missing.retain(|part| paths.contains(&part.path));
    give_up((journal, output), &missing, Vec::new()).await
}

async fn give_up(
    (journal, output): (&Journal, &Output),
    parts: &[PartRecord],
    taken_over: Vec<PartRecord>,
) -> Result<(), ExportError> {
    for part in parts {
        output.set_aside(&part.path).await?;
    }
    let paths: Vec<String> = parts.iter().map(|part| part.path.clone()).collect();
    journal.commit_change(Change { superseded: paths.clone(), taken_over, ..Change::default() }).await?;
    for path in &paths {
        journal.forget_part(path).await?;
    }
    Ok(())
}

/// What the copy brought back and the state does not know: parts that are live again, and files that go. A damaged one is moved aside.
async fn brought_back(
    (journal, output): (&Journal, &Output),
    copy: &Manifest,
    known: &Known,
    account: &Account,
) -> Result<(Vec<PartRecord>, Vec<String>), ExportError> {
    let paths: BTreeSet<String> = journal.parts()?.into_iter().map(|(part, _)| part.path).collect();
    let unknown: Vec<PartRecord> = copy.parts.iter().filter(|part| !paths.contains(&part.path)).cloned().collect();
    let mut again = Vec::new();
    let mut superseded: Vec<String> = copy.superseded.iter().filter(|path| !paths.contains(*path)).cloned().collect();
    for (part, standing) in unknown.iter().zip(output.standings(&unknown).await?) {
        match standing {
            Standing::Whole if known.lacks(part, account) => again.push(part.clone()),
            Standing::Whole | Standing::Missing => superseded.push(part.path.clone()),
            Standing::Damaged { .. } => drop(output.set_aside(&part.path).await?),
        }
    }
    Ok((again, superseded))
}

impl Known {
    async fn find(journal: &Journal, output: &Output) -> Result<Self, ExportError> {
        let live = published(journal)?;
        let mut known = Self::default();
        for (part, standing) in live.iter().zip(output.standings(&live).await?) {
            let those = if standing == Standing::Whole { &mut known.whole } else { &mut known.missing };
            those.push(part.clone());
        }
        Ok(known)
    }

    /// Whether a part that the state does not know holds something that is nowhere else: nothing that is there takes its place, and of
    /// some of its seconds the state has no part, or one that is missing. What a snapshot holds is in no other one.
    fn lacks(&self, part: &PartRecord, account: &Account) -> bool {
        let takes_its_place = |other: &PartRecord| {
            other.region == part.region
                && other.range.overlaps(part.range)
                && are_of_one_snapshot(&other.path, &part.path)
        };
        if self.whole.iter().any(takes_its_place) {
            return false;
        }
        if snapshot_of(&part.path).is_some() {
            return true;
        }
        let gone = ranges(&self.missing, &part.region);
        let there =
            account.kept_from(None).coverage.of(&part.region).into_iter().flat_map(|range| range.without(&gone));
        !part.range.without(&there.collect::<Vec<_>>()).is_empty()
    }

    /// The state's account without the seconds that only missing parts held; of those that the copy holds, as the copy has them.
    fn account(&self, account: &Account, again: &[PartRecord], copy: &Account) -> Account {
        let mut account = account.clone();
        for part in &self.missing {
            let lost = part.range.without(&ranges(&self.whole, &part.region));
            account.coverage.lose(&part.region, &lost);
        }
        let tiles = again.iter().map(|part| Tile { region: part.region.clone(), range: part.range });
        account.take_in(&tiles.collect::<Vec<_>>(), copy);
        account
    }
}

fn ranges(parts: &[PartRecord], region: &Region) -> Vec<TimeRange> {
    parts.iter().filter(|part| part.region == *region).map(|part| part.range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::account::Share;
    use crate::sink::coverage::Reader;
    use crate::sink::testing::{part, range};
    use crate::units::{EpochSeconds, RowCount};

    fn us() -> Region {
        "US".parse().unwrap()
    }

    /// What a run has read.
    fn account(run: &str, read: TimeRange) -> Account {
        let share = Share {
            region: us(),
            range: read,
            read: vec![read],
            gaps: vec![],
            unproven: vec![],
            rejected: RowCount::ZERO,
        };
        Account::default().after(Reader { run, at: EpochSeconds::new(1) }, &[share])
    }

    /// A state with a part that is there, one that is missing, and a minute without rows.
    fn known() -> (Known, Account) {
        let known = Known { whole: vec![part("b1", range(0, 60))], missing: vec![part("b2", range(60, 120))] };
        (known, account("r2", range(0, 180)))
    }

    #[test]
    fn what_is_nowhere_else_is_live_again_and_nothing_else() {
        let (known, account) = known();
        let lacks = |from, to| known.lacks(&part("a", range(from, to)), &account);
        assert!(lacks(60, 120) && lacks(90, 100) && lacks(100, 150), "what took its place is missing");
        assert!(!lacks(0, 60) && !lacks(50, 120), "what took its place is there");
        assert!(!lacks(120, 180), "it is known to hold no rows any more");
        assert!(lacks(150, 200) && lacks(200, 260), "the state has never read all of it");
        let other = part("data/query_region=US/snapshot=2026-01-08/a", range(0, 60));
        assert!(known.lacks(&other, &account), "a snapshot that the state does not know");
    }

    #[test]
    fn missing_seconds_are_covered_no_more_but_where_the_copy_holds_them() {
        let (known, of_state) = known();
        let copy = account("r1", range(0, 120));
        let covered = |again: &[PartRecord]| known.account(&of_state, again, &copy).coverage.of(&us());
        assert_eq!(covered(&[]), [range(0, 60), range(120, 180)]);
        let again = [part("a", range(60, 90))];
        assert_eq!(covered(&again), [range(0, 90), range(120, 180)]);
        let account = known.account(&of_state, &again, &copy);
        assert_eq!(account.coverage.of_run(&us(), "r1"), [range(60, 90)]);
    }
}
