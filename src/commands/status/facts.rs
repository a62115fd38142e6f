//! What `status` reads: a few rows of the journal, never its pages; or the manifest of an output without a state.

use crate::api::contract::Region;
use crate::export::KEPT_ACCOUNT;
use crate::export::standing::{STANDING, Standing};
use crate::failure::{ExitCode, Failure};
use crate::journal::record::{FormerRun, PartRecord, PartState, RunOutcome, RunRecord};
use crate::journal::{Counts, JournalError, JournalView};
use crate::plan::reads::Reads;
use crate::sink::account::Account;
use crate::sink::address::Address;
use crate::sink::identity::Identity;
use crate::sink::manifest::{MANIFEST, Manifest, Status};
use crate::sink::publish::{Output, OutputError, TableStanding};
use crate::units::{EpochSeconds, TimeRange};

use super::Places;
use crate::commands::look::Look;
use crate::commands::{BUCKET_HINT, unreadable_manifest};

/// Runs that are told beside the one at hand.
const MOST_RUNS: usize = 5;

/// The run that is told.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Run {
    pub(in crate::commands) id: String,
    pub(in crate::commands) range: TimeRange,
    pub(in crate::commands) regions: Vec<Region>,
    /// What it reads of them; none where only the manifest tells of it.
    pub(in crate::commands) reads: Option<Vec<Reads>>,
    pub(in crate::commands) began_at: EpochSeconds,
    /// How it ended; none while it is unfinished.
    pub(in crate::commands) outcome: Option<RunOutcome>,
    pub(in crate::commands) output: String,
    pub(in crate::commands) partition: String,
}

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub(in crate::commands) struct Facts {
    pub(in crate::commands) run: Option<Run>,
    /// Whether a process is at work; none where the system does not tell.
    pub(in crate::commands) is_held: Option<bool>,
    /// What the run has asked; none where only the manifest tells of it.
    pub(in crate::commands) counts: Option<Counts>,
    /// The last runs, the latest first.
    pub(in crate::commands) runs: Vec<FormerRun>,
    /// Live parts of all runs.
    pub(in crate::commands) parts: Vec<PartRecord>,
    pub(in crate::commands) account: Account,
    /// What the process said last of an unfinished run.
    pub(in crate::commands) standing: Option<Standing>,
    /// How the output's table stands; none where it has none, or where that is not looked at.
    pub(in crate::commands) table: Option<TableStanding>,
}

impl Facts {
    /// Reads the state, or where there is none the manifest.
    ///
    /// # Errors
    /// Neither is there, or the one that is cannot be read.
    pub(in crate::commands) async fn read(places: &Places) -> Result<Self, Failure> {
        let Some(there) = Look::at(places).await? else { return Self::of_output(places).await };
        match JournalView::open(there.folder()).map_err(unreadable)? {
            Some(view) => {
                let facts = Self::of_state(&view).map_err(unreadable)?;
                Ok(Self { table: table_of(places).await, is_held: there.is_held().or(facts.is_held), ..facts })
            }
            None => Self::of_output(places).await,
        }
    }

    fn of_state(view: &JournalView) -> Result<Self, JournalError> {
        // The lock first: what a run that ends meanwhile writes is then read with the rest.
        let is_held = view.is_held();
        let learned = |name: &str| view.learned(name);
        // What another version kept is passed over.
        let account: Option<Account> = learned(KEPT_ACCOUNT)?.and_then(|text| serde_json::from_str(&text).ok());
        let standing: Option<Standing> = learned(STANDING)?.and_then(|text| serde_json::from_str(&text).ok());
        let Some(run) = view.latest_run()? else { return Ok(Self { is_held, ..Self::default() }) };
        let question = view.question()?;
        let identity = question.and_then(|question| serde_json::from_str::<Identity>(&question.json).ok());
        let parts = view.parts()?.into_iter().filter(|(_, state)| *state == PartState::Published);
        let standing = standing.filter(|said| said.run == run.begun.id && run.outcome.is_none());
        Ok(Self {
            is_held,
            counts: Some(view.counts()?),
            runs: view.runs(MOST_RUNS)?,
            parts: parts.map(|(part, _)| part).collect(),
            account: account.unwrap_or_default(),
            standing,
            table: None,
            run: Some(Run::of_state(run, identity.as_ref())),
        })
    }

    async fn of_output(places: &Places) -> Result<Self, Failure> {
        let manifest = match Output::look(&places.output).await {
            Ok(manifest) => manifest.ok_or_else(|| nothing(places))?,
            Err(OutputError::Manifest { source, .. }) => return Err(unreadable_manifest(&source)),
            Err(error) => {
                let hint = match &places.output {
                    Address::Folder(_) => "make it readable for this user, then ask again",
                    Address::Bucket(_) => BUCKET_HINT,
                };
                return Err(Failure::from_error(ExitCode::LocalDamage, &error).with_hint(hint));
            }
        };
        Ok(Self {
            run: Some(Run::of_manifest(&manifest, places)),
            table: TableStanding::look(&places.output).await.ok().flatten(),
            parts: manifest.parts,
            account: manifest.account,
            ..Self::default()
        })
    }
}

/// Of a folder alone: a state is told without asking a bucket. What cannot be read is for `verify` to tell.
async fn table_of(places: &Places) -> Option<TableStanding> {
    places.output.folder()?;
    TableStanding::look(&places.output).await.ok().flatten()
}

impl Run {
    fn of_state(run: RunRecord, identity: Option<&Identity>) -> Self {
        let begun = run.begun;
        // The output may have been laid out anew since the run began.
        let partition = identity.map_or_else(|| begun.partition.clone(), Identity::layout_text);
        Self {
            regions: begun.regions(),
            id: begun.id,
            range: begun.range,
            reads: Some(begun.reads),
            began_at: begun.began_at,
            outcome: run.outcome,
            output: begun.output,
            partition,
        }
    }

    fn of_manifest(manifest: &Manifest, places: &Places) -> Self {
        Self {
            id: manifest.run.clone(),
            range: manifest.range,
            regions: manifest.regions.clone(),
            reads: None,
            began_at: manifest.began_at,
            outcome: match manifest.status {
                Status::Running => None,
                Status::Complete => Some(RunOutcome::Complete),
                Status::Incomplete => Some(RunOutcome::Incomplete),
            },
            output: places.output.to_string(),
            partition: manifest.identity.layout_text(),
        }
    }
}

fn nothing(places: &Places) -> Failure {
    let (state, output) = (places.told_state(), &places.output);
    let state = state.display();
    Failure::new(ExitCode::Usage, format!("{state} holds no state, and {output} no {MANIFEST}"))
        .with_hint("name the folder that `run` used: --state, or the --out that it lies beside")
}

fn unreadable(error: JournalError) -> Failure {
    let hint = match error {
        JournalError::Version { .. } => {
            "ask with the version of this program that wrote it, or see what `run --adopt` would do"
        }
        _ if error.is_about_a_bad_state() => {
            "restore the state from a copy; `run --adopt` moves it aside and goes on from the output's manifest"
        }
        _ => "look whether this user may read the folder, and whether its disk answers",
    };
    Failure::from_error(ExitCode::LocalDamage, &error).with_hint(hint)
}
