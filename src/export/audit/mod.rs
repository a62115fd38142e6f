//! Reading random pages of a finished output again: how much of what the service has can be missing, at most.
//!
//! `subject` is that output; `frame` says where pages are placed, `places` how they are asked, `asking` asks within the credits, `compare`
//! holds what came against the output, `bound` says what so many pages prove. Nothing is changed before the end; then what was missed, and
//! came again when it was asked once more, becomes a gap in the manifest, which the next run reads.

mod asking;
mod bound;
mod compare;
mod frame;
mod places;
mod subject;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::client::Client;
use crate::api::contract::{Region, SOURCE};
use crate::api::reply::PageAnswer;
use crate::fetch::pool::Pool;
use crate::fetch::throttle::Rate;
use crate::journal::Journal;
use crate::journal::record::RunOutcome;
use crate::replica::Away;
use crate::sink::account::Lack;
use crate::sink::address::Address;
use crate::sink::manifest::{Manifest, Status};
use crate::sink::publish::Output;
use crate::sink::store::Writers;
use crate::units::{Credits, EpochSeconds, TimeRange};

pub use asking::Stopped;
pub use bound::{CONFIDENCE, TARGET};
pub use compare::REFRESH_SECONDS;

use asking::{Asked, Asker, Question};
use bound::{at_most, pages_for};
use compare::{Compared, Page, ScopedRow, compare};
use frame::Place;
use subject::Subject;

use super::commits::Commits;
use super::learned::LEARNED_RATE;
use super::opening::{self, Opened};
use super::state::OpenState;
use super::wanted::Wanted;
use super::{DamagedState, ExportError};

/// Where what audits cost is kept: the last one's [`Bill`].
pub const AUDIT: &str = "audit";
/// One credit of so many is kept back, to ask pages that differ once more.
const KEPT_BACK: u64 = 10;
/// One page of so many may prove nothing.
const MOST_POOR: u64 = 10;

/// What a person asked for.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The state folder.
    pub state: PathBuf,
    /// Where the state is kept, if that is a bucket; the folder is then the one that is worked in.
    pub away: Option<Away>,
    /// The output.
    pub output: Address,
    /// Who else may write into it, where it is in a bucket.
    pub writers: Writers,
    /// This moment.
    pub now: EpochSeconds,
    /// What it may spend; none takes what finding [`TARGET`] costs.
    pub credits: Option<Credits>,
    /// How fast.
    pub rate: Rate,
    /// Requests on their way at once, at least 1.
    pub max_in_flight: usize,
    /// How long to go on without a page.
    pub give_up_after: Duration,
}

/// What the last audit of a state cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// When it began.
    pub began_at: EpochSeconds,
    /// What it might spend.
    pub credits: Credits,
    /// What it spent; none where it died before it could tell, so that up to `credits` may have been charged.
    pub spent: Option<Credits>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Audited {
    /// Pages that were placed at random and came.
    pub pages: u64,
    /// Pages of these that lack a row, refuted ones left out.
    pub differ: u64,
    /// Pages that were to be read and did not come.
    pub unread: u64,
    /// Pages that held fewer rows than the output has there, also when they were asked once more: they prove nothing.
    pub poor: u64,
    /// Rows that were looked for.
    pub rows_checked: u64,
    /// Different rows that should be there, and came again when asked once more.
    pub rows_missing: u64,
    /// Different rows that should be there, whose page could not be asked once more.
    pub rows_unconfirmed: u64,
    /// Different rows that may have come after their second was read.
    pub rows_came_later: u64,
    /// Rows that the output holds in another second.
    pub rows_moved: u64,
    /// Rows of the output that the service does not show any more.
    pub rows_deleted: u64,
    /// The share of the range that may lack a row, at most, with [`CONFIDENCE`].
    pub missing_at_most: f64,
    /// Rows of the output that were open to be looked at.
    pub rows: u64,
    /// What might be spent.
    pub credits: Credits,
    /// What finding [`TARGET`] costs.
    pub suggested: Credits,
    /// What was spent: attempts.
    pub spent: Credits,
    /// Why the service gave no more pages; none where it did.
    pub stopped: Option<Stopped>,
    /// What the next run reads again.
    pub gaps: Vec<(Region, TimeRange)>,
    /// Whether some of that lies outside what the last run was asked.
    pub is_elsewhere: bool,
}

/// Reads random pages again.
///
/// # Errors
/// Where it cannot; the output is then as it was, and what was spent is in the state.
pub async fn audit(request: &Audit, client: Client) -> Result<Audited, ExportError> {
    let told = request.output.to_string();
    let found = Output::look(&request.output).await?.ok_or(ExportError::NoOutput { output: told })?;
    let state = OpenState::open(&request.state, request.away.as_ref(), DamagedState::Refused).await?;
    let result = look_again(request, client, &state.journal, &found).await;
    // What it has to say matters more than a journal that could not be put away, unless there is nothing else to say.
    let closed = state.close().await;
    let audited = result?;
    closed?;
    Ok(audited)
}

async fn look_again(
    request: &Audit,
    client: Client,
    journal: &Journal,
    found: &Manifest,
) -> Result<Audited, ExportError> {
    request.refuse_unfinished(journal, found)?;
    let opened = opening::open(&request.wanted(found), journal).await?;
    if let Some(example) = opened.lost.first() {
        return Err(ExportError::PartsNotWhole { count: opened.lost.len(), example: example.path.clone() });
    }
    let subject = Arc::new(Subject::of(&opened, request.now).await?);
    let frame = subject.blocking(Subject::frame).await?;
    let needed =
        pages_for(TARGET / frame.inflation()).min(frame.rows().div_ceil(SOURCE.page_size as u64) * 2 + KEPT_BACK);
    let suggested = Credits::new(needed + needed.div_ceil(KEPT_BACK - 1));
    let credits = request.credits.unwrap_or(suggested);
    let placed = credits.get() - credits.get() / KEPT_BACK - u64::from((2..KEPT_BACK).contains(&credits.get()));
    let places: Vec<Place> = (0..placed).filter_map(|_| frame.place(rand::random)).collect();
    if places.is_empty() {
        return Err(ExportError::NothingToAudit { output: request.output.to_string() });
    }
    let questions = subject.blocking(move |subject| subject.questions(&places)).await?;
    let mut bill = Bill { began_at: request.now, credits, spent: None };
    journal.learn(AUDIT, &serde_json::to_string(&bill)?).await?;
    let mut asker = request.asker(client, journal, credits)?;
    let (findings, poor, unread) = read(&subject, &mut asker, &questions).await?;
    bill.spent = Some(asker.spent());
    journal.learn(AUDIT, &serde_json::to_string(&bill)?).await?;
    let Findings { pages, differ, compared, confirmed, unconfirmed } = findings;
    let seconds = Arc::clone(&confirmed);
    let gaps = subject.blocking(move |subject| subject.gaps(&seconds)).await?;
    let is_elsewhere = tell(&opened, journal, &gaps).await?;
    Ok(Audited {
        pages,
        differ,
        unread,
        poor,
        rows_checked: compared.checked,
        rows_missing: confirmed.len() as u64,
        rows_unconfirmed: unconfirmed,
        rows_came_later: compared.later.len() as u64,
        rows_moved: compared.moved,
        rows_deleted: compared.gone.len() as u64,
        missing_at_most: (at_most(differ, pages) * frame.inflation()).min(1.0),
        rows: frame.rows(),
        credits,
        suggested,
        spent: asker.spent(),
        stopped: asker
            .stopped()
            .cloned()
            .or_else(|| is_too_poor(poor, pages).then_some(Stopped::Poor(poor, pages + poor))),
        gaps,
        is_elsewhere,
    })
}

impl Audit {
    /// An unfinished run knows better than anybody what is missing.
    fn refuse_unfinished(&self, journal: &Journal, found: &Manifest) -> Result<(), ExportError> {
        let output = || self.output.to_string();
        match journal.latest_run()? {
            Some(run) if run.outcome.is_none() => Err(ExportError::NotAudited { output: output(), run: run.begun.id }),
            _ if found.status == Status::Running => {
                Err(ExportError::NotAudited { output: output(), run: found.run.clone() })
            }
            _ => Ok(()),
        }
    }

    fn wanted(&self, found: &Manifest) -> Wanted {
        Wanted::as_found(found, (&self.state, &self.output), self.writers, self.now)
    }

    fn asker(&self, client: Client, journal: &Journal, credits: Credits) -> Result<Asker, ExportError> {
        let learned = journal.learned(LEARNED_RATE)?.and_then(|text| serde_json::from_str(&text).ok());
        let pool = Pool::new(self.rate, learned.unwrap_or_default(), self.max_in_flight);
        Ok(Asker::new((client, journal.clone()), pool, credits, self.give_up_after))
    }
}

/// What pages have shown.
struct Findings {
    pages: u64,
    differ: u64,
    compared: Compared,
    confirmed: Arc<BTreeSet<ScopedRow>>,
    unconfirmed: u64,
}

/// Whether so many pages that prove nothing say that the service is unwell, and so the others too are no proof: more than one in ten. A few
/// may be those of rows at an end that were deleted.
const fn is_too_poor(poor: u64, pages: u64) -> bool {
    poor > 0 && poor.saturating_mul(MOST_POOR) > pages
}

/// Reads the pages, and those that came poor or differ once more: what came once may have been an accident. Tells also how many stayed poor,
/// which prove nothing, and how many did not come.
async fn read(
    subject: &Arc<Subject>,
    asker: &mut Asker,
    questions: &[Asked],
) -> Result<(Findings, u64, u64), ExportError> {
    let all: Vec<usize> = (0..questions.len()).collect();
    let mut pages = ask(subject, asker, (questions, &all)).await?;
    let unread = (questions.len() - pages.len()) as u64;
    let poor: Vec<usize> = pages.iter().filter(|(_, page)| page.is_poor).map(|(place, _)| *place).collect();
    pages.extend(ask(subject, asker, (questions, &poor)).await?);
    pages.retain(|_, page| !page.is_poor);
    let count = pages.len() as u64;
    let poor = (questions.len() as u64).saturating_sub(unread + count);
    let compared = compare_with(subject, pages.clone()).await?;
    let again: Vec<usize> = compared.differ.iter().copied().collect();
    let seen = ask(subject, asker, (questions, &again)).await?;
    Ok((findings(&pages, compared, &seen, count), poor, unread))
}

/// The pages at these places, as far as they come.
async fn ask(
    subject: &Subject,
    asker: &mut Asker,
    (questions, places): (&[Asked], &[usize]),
) -> Result<BTreeMap<usize, Page>, ExportError> {
    if asker.stopped().is_some() {
        return Ok(BTreeMap::new());
    }
    let wanted: Vec<(usize, &Asked)> =
        places.iter().filter_map(|place| Some((*place, questions.get(*place)?))).collect();
    let asked: Vec<Question> = wanted.iter().map(|(_, asked)| asked.question.clone()).collect();
    let answers = asker.ask(&asked).await?;
    let page = |(number, answer): (usize, PageAnswer)| {
        let (place, Asked { scope, question: (query, _), shows }) = wanted.get(number)?;
        Some((*place, Page::of((*scope, subject.scopes.get(*scope)?), (query, *shows), &answer)))
    };
    Ok(answers.into_iter().filter_map(page).collect())
}

/// What stands after the pages that differ were asked once more; `seen` are those that came.
fn findings(pages: &BTreeMap<usize, Page>, compared: Compared, seen: &BTreeMap<usize, Page>, count: u64) -> Findings {
    let mut confirmed = BTreeSet::new();
    let (mut differ, mut open) = (0, BTreeSet::new());
    for place in &compared.differ {
        let Some(page) = pages.get(place) else { continue };
        let lacks = page.rows.iter().map(|row| (page.scope, row.clone())).filter(|row| compared.missing.contains(row));
        let lacks: Vec<ScopedRow> = lacks.collect();
        match seen.get(place) {
            Some(again) => {
                let came: Vec<ScopedRow> = lacks.into_iter().filter(|(_, row)| again.rows.contains(row)).collect();
                differ += u64::from(!came.is_empty());
                confirmed.extend(came);
            }
            None => {
                differ += 1;
                open.extend(lacks);
            }
        }
    }
    let unconfirmed = open.difference(&confirmed).count() as u64;
    Findings { pages: count, differ, compared, confirmed: Arc::new(confirmed), unconfirmed }
}

async fn compare_with(subject: &Arc<Subject>, pages: BTreeMap<usize, Page>) -> Result<Compared, ExportError> {
    subject
        .blocking(move |subject| {
            let held = subject.held(&pages)?;
            Ok(compare(&pages, &held, |scope, second| subject.read_at(scope, second)))
        })
        .await
}

/// Lists what is missing, so that a run reads it, and withdraws `_SUCCESS` where the last run's range is whole no more. Whether some of it
/// lies outside that range.
async fn tell(opened: &Opened, journal: &Journal, gaps: &[(Region, TimeRange)]) -> Result<bool, ExportError> {
    if gaps.is_empty() {
        return Ok(false);
    }
    // A run that has ended looks only at what it knows itself, so what is missing is read by a run of its own.
    if let Some(run) = journal.latest_run()?
        && matches!(run.outcome, Some(RunOutcome::Complete | RunOutcome::Incomplete))
    {
        journal.finish_run(&run.begun.id, RunOutcome::Closed).await?;
    }
    let commits = Commits::new(journal, Arc::clone(&opened.output), opened.manifest.clone());
    let why = "an audit found rows here that the output lacks".to_owned();
    let lack = |(region, range): &(Region, TimeRange)| Lack {
        region: region.clone(),
        range: *range,
        why: why.clone(),
        fault: None,
        lacks: None,
    };
    let lacks: Vec<Lack> = gaps.iter().map(lack).collect();
    let with_gaps = |manifest: &mut Manifest| {
        manifest.account = manifest.account.lacking_also(&lacks);
        if !manifest.is_whole() {
            manifest.status = Status::Incomplete;
        }
    };
    let mut next = opened.manifest.clone();
    with_gaps(&mut next);
    if !next.is_whole() {
        opened.output.clear_success().await?;
    }
    commits.commit(with_gaps).await?;
    commits.keep_account(journal).await?;
    let is_asked = |(region, range): &(Region, TimeRange)| next.regions.contains(region) && next.range.covers(*range);
    Ok(!gaps.iter().all(is_asked))
}
