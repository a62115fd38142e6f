//! What of the shards' accounts makes the account of a whole output, and whether they may be merged at all. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::record::PartRecord;
use crate::sink::account::Account;
use crate::sink::manifest::{Manifest, Status};
use crate::sink::shard::{Merged, ShardName, ShardPart, Tile};
use crate::units::{RowCount, TimeRange};

/// Why the accounts cannot be merged. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// No shard has ever begun there.
    #[error("the output {output} holds no account of a shard")]
    NoShards {
        /// The output folder.
        output: String,
    },
    /// Shards were asked different things.
    #[error("shard {one} was asked something else than shard {other}: {differences}")]
    Different {
        /// One of them.
        one: ShardName,
        /// Another one.
        other: ShardName,
        /// In what they differ, for a person.
        differences: String,
    },
    /// Shards have not begun, or have not come to their end.
    #[error("not all of {of} shards are done: {missing}")]
    Missing {
        /// How many there are.
        of: u32,
        /// Which are missing, and what of them, for a person.
        missing: String,
    },
    /// Their tiles are not the question.
    #[error("the shards do not read each second once: {0} is read by none of them, or by several")]
    NotTiled(String),
    /// The output is not what they began from.
    #[error("the manifest of the output {output} has generation {found}, and shard {shard} began from {base}")]
    Changed {
        /// The output folder.
        output: String,
        /// The shard.
        shard: ShardName,
        /// From what it began.
        base: u64,
        /// What is there.
        found: u64,
    },
}

/// An account, and what it says of its shard.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) account: &'a Manifest,
    pub(super) shard: &'a ShardPart,
}

impl<'a> Told<'a> {
    fn of(account: &'a Manifest) -> Option<Self> {
        Some(Self { account, shard: account.shard.as_ref()? })
    }

    /// Parts that are of the shard, and not of the output as it was.
    fn own_parts(self, base: &BTreeSet<String>) -> impl Iterator<Item = &'a PartRecord> {
        self.account.parts.iter().filter(|part| !base.contains(&part.path)).collect::<Vec<_>>().into_iter()
    }
}

/// The accounts that are to be merged, at least one, and those of the same question that were before.
pub(super) struct Group<'a> {
    pub(super) first: Told<'a>,
    pub(super) open: Vec<Told<'a>>,
    merged: Vec<Told<'a>>,
}

impl<'a> Group<'a> {
    /// The accounts that a manifest has not taken in; none where it has taken in all of them.
    pub(super) fn of(accounts: &'a [Manifest], manifest: Option<&Manifest>) -> Option<Self> {
        let has_merged = |told: &Told<'_>| manifest.is_some_and(|manifest| manifest.has_merged(told.account));
        let (merged, open): (Vec<_>, Vec<_>) = accounts.iter().filter_map(Told::of).partition(has_merged);
        let first = *open.first()?;
        let merged = merged.into_iter().filter(|told| differences(&first, told).is_empty());
        let merged = merged.filter(|told| open.iter().all(|open| open.shard.name != told.shard.name)).collect();
        Some(Self { first, open, merged })
    }

    /// Whether they are one question, whole.
    ///
    /// # Errors
    /// Where they are not, by name.
    pub(super) fn check(&self, output: &str, manifest: Option<&Manifest>) -> Result<(), MergeError> {
        self.refuse_different()?;
        self.refuse_missing()?;
        self.refuse_holes()?;
        self.refuse_changed(output, manifest)
    }

    fn refuse_different(&self) -> Result<(), MergeError> {
        let first = &self.first;
        for other in &self.open {
            let differences = differences(first, other);
            if !differences.is_empty() {
                let (one, other) = (other.shard.name, first.shard.name);
                return Err(MergeError::Different { one, other, differences: differences.join("; ") });
            }
        }
        Ok(())
    }

    /// Names every shard that is not done.
    fn refuse_missing(&self) -> Result<(), MergeError> {
        let of = self.first.shard.name.of();
        let is_there = |name: ShardName| self.open.iter().chain(&self.merged).any(|told| told.shard.name == name);
        let absent =
            ShardName::all(of).filter(|name| !is_there(*name)).map(|name| format!("shard {name} has no account"));
        let unfinished = self.open.iter().filter_map(|told| {
            let name = told.shard.name;
            let unread: i64 = told.account.lacking().unread.iter().map(|(_, range)| range.seconds()).sum();
            match (told.account.status, unread) {
                (Status::Running, _) => Some(format!("shard {name} has not ended")),
                (_, 0) => None,
                (_, seconds) => Some(format!("shard {name} has {seconds} seconds of its time left to read")),
            }
        });
        let missing = absent.chain(unfinished).collect::<Vec<_>>().join("; ");
        if missing.is_empty() { Ok(()) } else { Err(MergeError::Missing { of, missing }) }
    }

    /// The tiles of all shards are the question, each second once.
    fn refuse_holes(&self) -> Result<(), MergeError> {
        let first = self.first;
        let all: Vec<&Tile> = self.open.iter().chain(&self.merged).flat_map(|told| &told.shard.tiles).collect();
        for region in &first.account.regions {
            let mut ranges: Vec<TimeRange> =
                all.iter().filter(|tile| tile.region == *region).map(|tile| tile.range).collect();
            ranges.sort();
            let mut at = first.account.range.start;
            for range in ranges {
                if range.start != at {
                    return Err(MergeError::NotTiled(format!("{region} at {}", at.min(range.start))));
                }
                at = range.end;
            }
            if at != first.account.range.end {
                return Err(MergeError::NotTiled(format!("{region} at {at}")));
            }
        }
        Ok(())
    }

    fn refuse_changed(&self, output: &str, manifest: Option<&Manifest>) -> Result<(), MergeError> {
        let found = manifest.map_or(0, |manifest| manifest.generation);
        match self.open.iter().find(|told| told.shard.base != found) {
            None => Ok(()),
            Some(told) => {
                let (shard, base) = (told.shard.name, told.shard.base);
                Err(MergeError::Changed { output: output.to_owned(), shard, base, found })
            }
        }
    }

    /// The manifest that lists everything, and the shards' parts.
    pub(super) fn merged(&self, manifest: Option<Manifest>) -> (Manifest, Waiting) {
        let open = &self.open;
        let base: BTreeSet<String> =
            manifest.iter().flat_map(|manifest| manifest.parts.iter().map(|part| part.path.clone())).collect();
        let former = manifest.unwrap_or_else(|| blank(self.first.account));
        let mut next = former.clone();
        let tiles: Vec<Tile> = open.iter().flat_map(|told| told.shard.tiles.clone()).collect();
        let runs: BTreeSet<&str> = former.account.rejected.iter().map(|one| one.run.as_str()).collect();
        next.account.drop_rejected_before(&tiles, |run| runs.contains(run));
        let mut waiting = Waiting::new();
        for told in open {
            next.account.merge(&told.shard.tiles, &told.account.account);
            let listed: BTreeSet<&String> = told.account.parts.iter().map(|part| &part.path).collect();
            let is_here = |part: &PartRecord| {
                let mut tiles = told.shard.tiles.iter();
                tiles.any(|tile| tile.region == part.region && tile.range.overlaps(part.range))
            };
            next.parts.retain(|part| !base.contains(&part.path) || !is_here(part) || listed.contains(&part.path));
            let own: Vec<PartRecord> = told.own_parts(&base).cloned().collect();
            next.parts.extend(own.iter().cloned());
            waiting.extend(own.into_iter().map(|part| (told.shard.name, part)));
        }
        let kept: BTreeSet<&String> = next.parts.iter().map(|part| &part.path).collect();
        next.superseded = base.iter().filter(|path| !kept.contains(path)).cloned().collect();
        next.parts.sort_by(|one, other| one.path.cmp(&other.path));
        describe(&mut next, self.first.account, open);
        (next, waiting)
    }
}

/// Parts that may still wait for their names, with the shard that wrote them.
pub(super) type Waiting = Vec<(ShardName, PartRecord)>;

/// In what the question of one shard differs from that of another, for a person.
fn differences(other: &Told<'_>, one: &Told<'_>) -> Vec<String> {
    let mut differences = Vec::new();
    if one.shard.name.of() != other.shard.name.of() {
        differences.push(format!("it is one of {}, and that one of {}", one.shard.name.of(), other.shard.name.of()));
    }
    if one.account.range != other.account.range {
        differences.push(format!("its range is {}, and that one's {}", one.account.range, other.account.range));
    }
    if sorted(&one.account.regions) != sorted(&other.account.regions) {
        differences.push("their regions are not the same".to_owned());
    }
    if one.account.identity != other.account.identity {
        differences.extend(other.account.identity.differences(&one.account.identity, true));
    }
    differences
}

fn sorted<T: Ord + Clone>(list: &[T]) -> Vec<T> {
    let mut sorted = list.to_vec();
    sorted.sort();
    sorted
}

/// What the merged manifest says beside parts and account: the question as one run would have asked it.
fn describe(next: &mut Manifest, first: &Manifest, open: &[Told<'_>]) {
    let accounts = || open.iter().map(|told| told.account);
    next.manifest_version = first.manifest_version;
    next.tool_version.clone_from(&first.tool_version);
    next.schema_version = first.schema_version;
    next.identity.clone_from(&first.identity);
    next.regions.clone_from(&first.regions);
    next.range = first.range;
    next.began_at = accounts().map(|account| account.began_at).min().unwrap_or(first.began_at);
    next.max_rejected = accounts().map(|account| account.max_rejected).min().unwrap_or(0);
    next.confirm_after_seconds = accounts().map(|account| account.confirm_after_seconds).min().unwrap_or(0);
    // The shards were asked for a table: the manifest that lists their parts begins it.
    next.table = next.table.take().or_else(|| first.table.clone());
    next.retain_seconds = accounts().filter_map(|account| account.retain_seconds).max();
    next.rejected_rows = accounts().fold(RowCount::ZERO, |sum, account| sum.plus(account.rejected_rows));
    let mut counters: BTreeMap<String, u64> = BTreeMap::new();
    for (name, count) in accounts().flat_map(|account| &account.counters) {
        *counters.entry(name.clone()).or_default() += count;
    }
    next.counters = counters;
    // Runs are named by their beginning; what follows tells it from one of a shard and from one of the whole.
    let total: u64 = accounts().map(|account| account.generation).sum();
    next.run = format!("{:x}{:04x}-merged", next.began_at.get(), total % 0x1_0000);
    let of = first.shard.as_ref().map_or(0, |shard| shard.name.of());
    let merged = |told: &Told<'_>| Merged {
        name: told.shard.name,
        run: told.account.run.clone(),
        generation: told.account.generation,
    };
    let now: Vec<Merged> = open.iter().map(merged).collect();
    // Accounts of another cut lie there too: they stay what they are, taken in.
    next.merged.retain(|one| one.name.of() != of || now.iter().all(|new| new.name != one.name));
    next.merged.extend(now);
    next.merged.sort_by_key(|one| (one.name.of(), one.name.index()));
}

/// The manifest of an output that holds nothing yet but what shards wrote.
fn blank(first: &Manifest) -> Manifest {
    Manifest {
        generation: 0,
        shard: None,
        merged: Vec::new(),
        parts: Vec::new(),
        superseded: Vec::new(),
        account: Account { id: first.account.id.clone(), ..Account::default() },
        ..first.clone()
    }
}
