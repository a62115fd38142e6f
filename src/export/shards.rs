//! A shard's beginning: from what it begins, whether the other shards were asked the same, and whether it is merged already.
//!
//! A shard is a run whose account is a file of its own. It begins from what the output's manifest says of its own seconds, so that it
//! keeps or replaces them as a run of the whole question would; but nothing that readers are shown changes before `merge`.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::api::contract::Region;
use crate::journal::Journal;
use crate::journal::record::{Change, PartState};
use crate::sink::address::Address;
use crate::sink::manifest::{Manifest, Status};
use crate::sink::publish::{Output, OutputError, accounts, described_at};
use crate::sink::shard::{ShardName, ShardPart};

use super::commits::KeptAccount;
use super::delivery::listed;
use super::table::refuse_another_table;
use super::wanted::{Wanted, blank};
use super::{Delivered, Ending, ExportError, ExportOutcome, ExportRequest, KEPT_ACCOUNT, Kept, Shard, Start, Work};
use crate::journal::Counts;
use crate::units::TimeRange;

/// Opens the output for one shard. Gives its account too, and whether that is one to begin anew from.
pub(super) async fn open(
    (request, shard): (&Wanted, &Shard),
    journal: &Journal,
) -> Result<(Output, Option<Manifest>, bool), ExportError> {
    let folder = folder_of(&request.output)?;
    let shown = Output::look(&request.output).await?;
    if let Some(shown) = &shown {
        refuse_another_identity(request, shown)?;
        refuse_another_table(request, Some(shown))?;
    }
    refuse_other_questions((request, folder), shard, shown.as_ref()).await?;
    let known: Vec<String> = journal.parts()?.into_iter().map(|(part, _)| part.path).collect();
    let (output, account) = Output::open_shard(folder, shard.name, shown.as_ref(), &known).await?;
    let is_merged = |account: &Manifest| shown.as_ref().is_some_and(|shown| shown.has_merged(account));
    match account {
        Some(account) if !is_merged(&account) => Ok((output, Some(account), false)),
        // Its account went, and its state is there: the state is gone on from.
        None if tells_of_it((request, shard), journal, shown.as_ref())? => {
            Ok((output, Some(seed((request, shard), shown.as_ref(), 0)?), false))
        }
        former => {
            if former.is_none() {
                set_unshown_aside(&output, journal, shown.as_ref()).await?;
            }
            forget_all(journal).await?;
            let generation = former.map_or(0, |former| former.generation);
            Ok((output, Some(seed((request, shard), shown.as_ref(), generation)?), true))
        }
    }
}

/// Whether the state of a shard without an account tells what that should: of a run that has not ended, or of one of this question
/// and these seconds that `merge` has not taken in.
fn tells_of_it(
    (request, shard): (&Wanted, &Shard),
    journal: &Journal,
    shown: Option<&Manifest>,
) -> Result<bool, ExportError> {
    let Some(run) = journal.latest_run()? else { return Ok(false) };
    if run.outcome.is_none() {
        return Ok(true);
    }
    let is_merged = shown.is_some_and(|shown| shown.merged.iter().any(|merged| merged.run == run.begun.id));
    let kept = journal.learned(KEPT_ACCOUNT)?.map(|text| serde_json::from_str::<KeptAccount>(&text)).transpose()?;
    let Some(kept) = kept.filter(|_| !is_merged && run.begun.range == request.range) else { return Ok(false) };
    let of_shard = |region: &Region| -> Vec<TimeRange> {
        shard.tiles.iter().filter(|tile| tile.region == *region).map(|tile| tile.range).collect()
    };
    let coverage = &kept.account.coverage;
    let is_inside =
        |region: &Region| coverage.of(region).into_iter().all(|range| range.without(&of_shard(region)).is_empty());
    Ok(coverage.regions().all(is_inside))
}

/// Parts that the state wrote for another question, and that no account lists any more: nobody would ever show or remove them.
async fn set_unshown_aside(output: &Output, journal: &Journal, shown: Option<&Manifest>) -> Result<(), ExportError> {
    for (part, _) in journal.parts()? {
        if !shown.is_some_and(|shown| shown.parts.iter().any(|listed| listed.path == part.path)) {
            output.set_aside(&part.path).await?;
        }
    }
    Ok(())
}

/// What the state remembers of parts is the output's to say from here on; the files are left as they are.
async fn forget_all(journal: &Journal) -> Result<(), ExportError> {
    let parts = journal.parts()?;
    let published = parts.iter().filter(|(_, state)| *state == PartState::Published);
    let superseded: Vec<String> = published.map(|(part, _)| part.path.clone()).collect();
    if !superseded.is_empty() {
        journal.commit_change(Change { superseded, ..Change::default() }).await?;
    }
    for (part, _) in parts {
        journal.forget_part(&part.path).await?;
    }
    Ok(())
}

/// The outcome of a shard that `merge` has taken in, where it is asked the same again: nothing is left for it to do.
pub(super) async fn merged_already(
    request: &ExportRequest,
    shard: &Shard,
) -> Result<Option<ExportOutcome>, ExportError> {
    let Some(shown) = Output::look(&request.output).await?.filter(|_| request.start == Start::GoOn) else {
        return Ok(None);
    };
    let accounts = accounts(folder_of(&request.output)?).await?;
    let own = accounts.into_iter().find(|account| name_of(account) == Some(shard.name));
    let is_asked = |account: &Manifest| differences(&request.wanted(), shard.name, account).is_empty();
    let Some(account) = own.filter(|account| shown.has_merged(account) && is_asked(account)) else { return Ok(None) };
    let lacking = request.lacking(&shown.account, request.range);
    let is_whole = lacking.is_nothing();
    let own = || account.parts.iter().filter(|part| part.run == account.run && !part.carried);
    let delivered = Delivered {
        parts: own().count() as u64,
        rows: own().map(|part| part.rows.get()).sum(),
        bytes: own().map(|part| part.bytes.get()).sum(),
        ..Delivered::default()
    };
    Ok(Some(ExportOutcome {
        ending: if is_whole { Ending::Complete } else { Ending::Incomplete },
        run: account.run.clone(),
        range: request.range,
        work: Work::NothingLeft,
        counts: Counts::default(),
        attempts_before: 0,
        delivered,
        former: (0, 0),
        kept: Kept::default(),
        gaps: listed(lacking.gaps),
        unproven: listed(lacking.unproven),
        elsewhere: Vec::new(),
        newest: Default::default(),
        unusual: Vec::new(),
    }))
}

/// The folder that shards write into: their locks are there.
fn folder_of(output: &Address) -> Result<&Path, OutputError> {
    output.folder().ok_or_else(|| OutputError::NoShards { output: output.to_string() })
}

fn name_of(account: &Manifest) -> Option<ShardName> {
    account.shard.as_ref().map(|shard| shard.name)
}

fn refuse_another_identity(request: &Wanted, shown: &Manifest) -> Result<(), ExportError> {
    let differences = shown.identity.differences(&request.identity, !shown.parts.is_empty());
    if differences.is_empty() {
        return Ok(());
    }
    Err(ExportError::Output(OutputError::AnotherQuestion {
        output: described_at(&request.output),
        differences: differences.join("; "),
        is_layout_alone: shown.identity.is_only_laid_out_otherwise(&request.identity),
    }))
}

/// What is not merged yet was asked the same, and cut the same.
async fn refuse_other_questions(
    (request, folder): (&Wanted, &Path),
    shard: &Shard,
    shown: Option<&Manifest>,
) -> Result<(), ExportError> {
    let open = accounts(folder).await?.into_iter();
    for account in open.filter(|account| !shown.is_some_and(|shown| shown.has_merged(account))) {
        let (Some(theirs), differences) = (name_of(&account), differences(request, shard.name, &account)) else {
            continue;
        };
        if differences.is_empty() {
            continue;
        }
        return Err(ExportError::OtherShards {
            output: request.output.to_string(),
            shard: shard.name,
            theirs,
            differences: differences.join("; "),
        });
    }
    Ok(())
}

/// In what a shard's account differs from what is asked now, for a person.
fn differences(request: &Wanted, name: ShardName, account: &Manifest) -> Vec<String> {
    let mut differences = account.identity.differences(&request.identity, true);
    let (mut theirs, mut asked) = (account.regions.clone(), request.regions.clone());
    theirs.sort();
    asked.sort();
    let codes = |regions: &[crate::api::contract::Region]| {
        regions.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    if theirs != asked {
        differences.push(format!("its regions are {}, and now they are {}", codes(&theirs), codes(&asked)));
    }
    if account.range != request.range {
        differences.push(format!("its range is {}, and now it is {}", account.range, request.range));
    }
    let of = name_of(account).map_or(0, ShardName::of);
    if of != name.of() {
        differences.push(format!("it is one of {of}, and now there are {}", name.of()));
    }
    differences
}

/// What a shard that begins knows: what the output's manifest says of its own seconds.
fn seed(
    (request, shard): (&Wanted, &Shard),
    shown: Option<&Manifest>,
    generation: u64,
) -> Result<Manifest, ExportError> {
    let mut seed = blank(request);
    seed.generation = generation;
    seed.regions.clone_from(&request.regions);
    let base = shown.map_or(0, |shown| shown.generation);
    seed.shard = Some(ShardPart { name: shard.name, tiles: shard.tiles.clone(), base, seams: Vec::new() });
    seed.status = Status::Incomplete;
    match shown {
        Some(shown) => {
            seed.account = shown.account.within(&shard.tiles);
            for tile in &shard.tiles {
                let here =
                    shown.parts.iter().filter(|part| part.region == tile.region && part.range.overlaps(tile.range));
                for part in here {
                    let seams = [tile.range.start, tile.range.end];
                    let is_inner = |at: &&_| request.range.start < **at && **at < request.range.end;
                    let across = |at: &&_| part.range.start < **at && **at < part.range.end;
                    if let Some(boundary) = seams.iter().filter(is_inner).find(across) {
                        return Err(ExportError::PartAcross { part: part.path.clone(), boundary: *boundary });
                    }
                    seed.parts.push(part.clone());
                }
            }
        }
        // All shards name the output alike, and need not ask each other how.
        None => seed.account.id = id_of(request),
    }
    Ok(seed)
}

/// The name of an output that shards begin.
fn id_of(request: &Wanted) -> String {
    let mut regions: Vec<String> = request.regions.iter().map(ToString::to_string).collect();
    regions.sort();
    let asked = format!("{} {} {}", request.identity, regions.join(","), request.range);
    let digest = Sha256::digest(asked.as_bytes());
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("shards-{digits}")
}
