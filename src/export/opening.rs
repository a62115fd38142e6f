//! Opening a state and its output: whether they belong together, what the last process left half-done, and what of the output is
//! really there.
//!
//! The manifest is what counts: what it lists is published, whatever the journal had got to, and what it does not list any more is
//! superseded. Where it is gone, or older than the state, the journal's own record of it is taken, and of an older one whatever is nowhere else.

use std::sync::Arc;

use crate::api::contract::Region;
use crate::failpoint::{self, CrashStep};
use crate::journal::record::{Change, PartRecord, PartState, StoredQuestion};
use crate::journal::{Journal, JournalError};
use crate::sink::address::Address;
use crate::sink::identity::Identity;
use crate::sink::manifest::Manifest;
use crate::sink::publish::{Output, Standing, Target};
use crate::units::TimeRange;

use super::commits::KeptAccount;
use super::learned::{VOID_RUN, is_planned_only, tell_of_a_planned_run};
use super::repair::lost_altogether;
use super::table::{refuse_another_table, vacuum};
use super::wanted::{Wanted, blank};
use super::{ExportError, KEPT_ACCOUNT, Start, shards};

mod recovery;
mod restored;
mod unlisted;

pub(super) use recovery::take_held_of_others_back;
use recovery::{recover, take_over};
pub(super) use restored::give_missing_up;

/// Where a state keeps by what its writes are known in a bucket.
const WRITER: &str = "writer";

/// A state and its output, opened.
pub(super) struct Opened {
    pub(super) output: Arc<Output>,
    /// The manifest that is there, or the one that should be.
    pub(super) manifest: Manifest,
    /// Live parts that are not what they should be, and that must be there.
    pub(super) lost: Vec<PartRecord>,
    /// Whether the output is further than the state: other runs were made with another one.
    pub(super) is_ahead_of_state: bool,
    /// Whether the output is older than the state: it was restored from a copy.
    pub(super) is_restored: bool,
}

impl Opened {
    /// The seconds of a region that lost parts held and that are covered all the same. Of a restored output the account has none such.
    pub(super) fn lost_of(&self, region: &Region) -> Vec<TimeRange> {
        let lost = self.lost.iter().filter(|part| part.region == *region && !self.is_restored);
        lost.map(|part| part.range).collect()
    }
}

/// How far the manifest that is there is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// It is the last one, or later than the last that the state has heard of.
    Current,
    /// It is older than the state, or not there.
    Former,
}

impl Wanted {
    /// What is not in a bucket yet lies in the state's folder, which the journal has made and locked.
    async fn target(&self, journal: &Journal) -> Result<Target, ExportError> {
        let writer = match &self.output {
            Address::Folder(_) => String::new(),
            Address::Bucket(_) => writer_of(journal).await?,
        };
        Ok(Target { address: self.output.clone(), local: self.state.clone(), writers: self.writers, writer })
    }
}

/// By what the writes of a state are known in a bucket.
async fn writer_of(journal: &Journal) -> Result<String, JournalError> {
    if let Some(known) = journal.learned(WRITER)? {
        return Ok(known);
    }
    let new = format!("{:016x}", rand::random::<u64>());
    journal.learn(WRITER, &new).await?;
    Ok(new)
}

/// An identity as a state keeps it.
pub(super) fn question_of(identity: &Identity) -> StoredQuestion {
    StoredQuestion { fingerprint: identity.fingerprint(), json: identity.to_string() }
}

/// Opens the output for a state, and brings both to the same.
pub(super) async fn open(request: &Wanted, journal: &Journal) -> Result<Opened, ExportError> {
    let identity = &request.identity;
    let question = question_of(identity);
    let stored = journal.question()?.filter(|stored| stored.fingerprint != question.fingerprint);
    if let Some(stored) = &stored {
        // Refused before the output is touched.
        let found = Output::look(&request.output).await?;
        if !gives_way((stored, identity), journal, found.as_ref()).await? {
            refuse_another_question((stored, &question), identity, found.as_ref())?;
        }
    }
    let (output, found, is_anew) = match &request.shard {
        None => {
            let known: Vec<String> = journal.parts()?.into_iter().map(|(part, _)| part.path).collect();
            let (output, found) = Output::open(request.target(journal).await?, identity, &known).await?;
            (output, found, false)
        }
        Some(shard) => shards::open((request, shard), journal).await?,
    };
    failpoint::pass(CrashStep::OutputOpened);
    let kept = journal.learned(KEPT_ACCOUNT)?.map(|text| serde_json::from_str::<KeptAccount>(&text)).transpose()?;
    // What a shard begins from is told by the output, whatever its state remembers of a former question.
    let kept = kept.filter(|_| !is_anew);
    let latest = journal.latest_run()?;
    let kept = match found {
        None => unless_all_is_lost(request, journal, &output, kept).await?,
        Some(_) => kept,
    };
    refuse_another_output(request, kept.as_ref(), found.as_ref())?;
    refuse_another_table(request, found.as_ref())?;
    // What the output refuses, a new state must not remember.
    match stored {
        Some(_) => journal.replace_question(question).await?,
        None => journal.remember_question(question).await?,
    }
    let copy = found.clone().filter(|found| request.shard.is_none() && is_former(found, kept.as_ref()));
    let (mut manifest, age) = believed(request, kept.as_ref(), found);
    manifest.table = request.table.map(|_| output.table());
    let is_later = kept.as_ref().is_some_and(|kept| manifest.generation > kept.generation);
    let is_ahead_of_state = is_later && latest.as_ref().is_some_and(|run| run.begun.id != manifest.run);
    let latest_id = latest.as_ref().map(|run| run.begun.id.as_str());
    recover((journal, &output), &mut manifest, age, latest_id).await?;
    // A state that is later than the manifest knows every live part; others that are listed were superseded since, and may still lie there.
    if age == Age::Current {
        take_over(journal, &manifest).await?;
    }
    if let Some(copy) = &copy {
        restored::bring_together((journal, &output), (&mut manifest, copy), latest_id).await?;
    }
    manifest.parts = published(journal)?;
    vacuum(request, &output, &manifest.parts).await?;
    let (output, is_restored) = (Arc::new(output), copy.is_some());
    let mut opened = Opened { output, manifest, lost: Vec::new(), is_ahead_of_state, is_restored };
    look_for_parts(request, journal, &mut opened).await?;
    Ok(opened)
}

/// A state that holds nothing but a forecast takes on another question: nothing was promised to anybody yet. What the forecast bought is
/// kept where only the layout differs.
async fn gives_way(
    (stored, asked): (&StoredQuestion, &Identity),
    journal: &Journal,
    found: Option<&Manifest>,
) -> Result<bool, ExportError> {
    let Some(run) = journal.latest_run()?.filter(|_| found.is_none()) else { return Ok(false) };
    if !is_planned_only(journal, &run)? || !journal.parts()?.is_empty() {
        return Ok(false);
    }
    let was = serde_json::from_str::<Identity>(&stored.json).ok();
    if !was.is_some_and(|was| was.is_only_laid_out_otherwise(asked)) {
        tell_of_a_planned_run(journal, &run);
        journal.learn(VOID_RUN, &run.begun.id).await?;
    }
    Ok(true)
}

/// A state follows its output where that was laid out anew and a `rebuild` died before it could tell the state: the manifest is what counts.
/// That it is the state's own output is looked at once it is open.
fn refuse_another_question(
    (stored, asked): (&StoredQuestion, &StoredQuestion),
    identity: &Identity,
    found: Option<&Manifest>,
) -> Result<(), JournalError> {
    let was = serde_json::from_str::<Identity>(&stored.json).ok();
    let is_laid_out_anew = was.is_some_and(|was| was.is_only_laid_out_otherwise(identity))
        && found.is_some_and(|found| found.identity == *identity);
    if is_laid_out_anew {
        return Ok(());
    }
    Err(JournalError::OtherQuestion { stored: stored.json.clone(), asked: asked.json.clone() })
}

/// A folder without a manifest, in which not one of the state's parts is, is more likely another folder than a lost one: a disk
/// that is not mounted, or an output that was moved. Buying everything again is for a person to decide; then nothing is kept of it.
async fn unless_all_is_lost(
    request: &Wanted,
    journal: &Journal,
    output: &Output,
    kept: Option<KeptAccount>,
) -> Result<Option<KeptAccount>, ExportError> {
    let Some(parts) = lost_altogether(journal, output).await? else { return Ok(kept) };
    if request.start == Start::GoOn {
        return Err(ExportError::NothingThere { parts, output: output.told() });
    }
    let all: Vec<String> = journal.parts()?.into_iter().map(|(part, _)| part.path).collect();
    for path in &all {
        journal.give_part_up(path).await?;
    }
    Ok(None)
}

/// A state belongs to one output, wherever both lie.
fn refuse_another_output(
    request: &Wanted,
    kept: Option<&KeptAccount>,
    found: Option<&Manifest>,
) -> Result<(), ExportError> {
    match (kept, found) {
        (Some(kept), Some(found)) if kept.account.id != found.account.id => Err(ExportError::OtherOutput {
            state: request.state.display().to_string(),
            was: kept.account.id.clone(),
            output: request.output.to_string(),
            now: found.account.id.clone(),
        }),
        _ => Ok(()),
    }
}

/// Whether a manifest is older than the state.
fn is_former(found: &Manifest, kept: Option<&KeptAccount>) -> bool {
    kept.is_some_and(|kept| found.generation < kept.generation)
}

/// The manifest to go on from.
fn believed(request: &Wanted, kept: Option<&KeptAccount>, found: Option<Manifest>) -> (Manifest, Age) {
    match (found, kept) {
        (Some(found), Some(kept)) if is_former(&found, Some(kept)) => {
            tracing::warn!(
                "the output's manifest is older than the state, which is gone by: was it restored from a copy?"
            );
            let account = kept.account.clone();
            (Manifest { generation: kept.generation, account, ..found }, Age::Former)
        }
        (Some(found), _) => (found, Age::Current),
        (None, Some(kept)) => {
            let account = kept.account.clone();
            (Manifest { generation: kept.generation, account, ..blank(request) }, Age::Former)
        }
        (None, None) => (blank(request), Age::Former),
    }
}

fn published(journal: &Journal) -> Result<Vec<PartRecord>, JournalError> {
    let live = journal.parts()?.into_iter().filter(|(_, state)| *state == PartState::Published);
    Ok(live.map(|(part, _)| part).collect())
}

/// What the account says of parts that were given up because of their age.
fn tell_expired(manifest: &mut Manifest, gone: Vec<PartRecord>) {
    for part in gone {
        let live = manifest.parts.iter().filter(|live| live.region == part.region).map(|live| live.range);
        let alone = part.range.without(&live.collect::<Vec<_>>());
        manifest.account.expire(&part.region, &alone);
    }
}

/// Looks where every part should be. One that may be gone because of its age is given up; any other is lost.
async fn look_for_parts(request: &Wanted, journal: &Journal, opened: &mut Opened) -> Result<(), ExportError> {
    let retained_from = request.retain_seconds.map(|seconds| request.now.shifted(-seconds));
    let mut expired = Vec::new();
    let standings = opened.output.standings(&opened.manifest.parts).await?;
    for (part, standing) in opened.manifest.parts.iter().zip(standings) {
        match standing {
            Standing::Whole => {}
            Standing::Missing if retained_from.is_some_and(|from| part.range.end <= from) => {
                expired.push(part.path.clone());
            }
            Standing::Missing | Standing::Damaged { .. } => opened.lost.push(part.clone()),
        }
    }
    if !expired.is_empty() {
        tracing::info!(
            parts = expired.len(),
            "parts that are older than output.retain are gone; they are not read again"
        );
        journal.commit_change(Change { superseded: expired.clone(), ..Change::default() }).await?;
        for path in &expired {
            journal.forget_part(path).await?;
        }
        let (gone, live) = opened.manifest.parts.drain(..).partition(|part| expired.contains(&part.path));
        opened.manifest.parts = live;
        tell_expired(&mut opened.manifest, gone);
    }
    Ok(())
}
