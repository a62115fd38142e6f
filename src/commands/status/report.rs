//! What the facts mean: the object that `status --json` prints. Pure.
//!
//! It has a version: a field that is renamed or changes its meaning raises it, a new field does not. Moments are epoch seconds, ranges
//! half-open, as in the summary. What is not known is null, never a guess.

use serde::Serialize;

use crate::api::contract::{Region, SOURCE};
use crate::export::standing::{RegionStanding, Standing, Walking};
use crate::journal::record::{FormerRun, PartRecord};
use crate::plan::event::Lacks;
use crate::sink::account::{Account, Lack, Share};
use crate::sink::coverage::Reader;
use crate::sink::publish::TableStanding;
use crate::summary::{Requests, Shortfall};
use crate::units::{ByteCount, EpochSeconds, RowCount, TimeRange};

use super::facts::{Facts, Run};
use crate::commands::requests;

/// The version of the JSON form.
const STATUS_VERSION: u32 = 1;
/// What the process said of its speed counts for so long, seconds: it says so every two seconds.
const FRESH_S: i64 = 15;

/// How a run is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::commands) struct Status {
    version: u32,
    /// The moment of the look.
    pub(in crate::commands) at: EpochSeconds,
    /// The run's name; none where none has begun.
    pub(in crate::commands) run: Option<String>,
    /// `running`, `unfinished`, `complete`, `incomplete` or `closed`.
    pub(in crate::commands) outcome: Option<&'static str>,
    /// Whether a process holds the state.
    pub(in crate::commands) running: bool,
    pub(in crate::commands) began_at: Option<EpochSeconds>,
    /// The asked range.
    pub(in crate::commands) range: Option<TimeRange>,
    /// Where the output lay when the run began, and how it is laid out.
    pub(in crate::commands) output: Option<String>,
    pub(in crate::commands) partition: Option<String>,
    pub(in crate::commands) regions: Vec<RegionStatus>,
    /// Requests of the run that were sent and ended, over all its starts.
    pub(in crate::commands) credits: Option<u64>,
    pub(in crate::commands) requests: Option<Requests>,
    /// Pages a second over the last minute.
    pub(in crate::commands) rate: Option<f64>,
    /// Requests a second that the run allows itself.
    pub(in crate::commands) permitted_rate: Option<f64>,
    /// How long the rest may take.
    pub(in crate::commands) eta_seconds: Option<u64>,
    /// When the process said last how far it is, where that is what is told.
    pub(in crate::commands) said_at: Option<EpochSeconds>,
    /// Live parts of all runs, with their rows and bytes.
    pub(in crate::commands) parts: u64,
    pub(in crate::commands) rows: RowCount,
    pub(in crate::commands) bytes: ByteCount,
    /// How the table stands; left out where the output has none, or where that is not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) table: Option<TableStanding>,
    /// Pages that were bought and wait to be published.
    pub(in crate::commands) waiting_pages: Option<u64>,
    /// Rows of the range that no column can take; none while the run is unfinished.
    pub(in crate::commands) rejected: Option<RowCount>,
    /// Gaps and unproven ranges of an unfinished run beyond the first thousand of each.
    pub(in crate::commands) unlisted: u64,
    /// Holes and gaps of the output outside what the run was asked for.
    pub(in crate::commands) elsewhere: Vec<Shortfall>,
    /// The last runs, the latest first.
    pub(in crate::commands) runs: Vec<RunStatus>,
}

/// How a region of the run is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::commands) struct RegionStatus {
    pub(in crate::commands) region: Region,
    /// The seconds of the range that readers of the output have, without gaps.
    pub(in crate::commands) covered: Vec<TimeRange>,
    pub(in crate::commands) covered_share: f64,
    /// The seconds that are read or need not be, without gaps; none where the process has said nothing yet.
    pub(in crate::commands) read: Option<Vec<TimeRange>>,
    pub(in crate::commands) read_share: Option<f64>,
    /// The windows that are being read, and how far.
    pub(in crate::commands) reading: Vec<Walking>,
    pub(in crate::commands) gaps: Vec<Shortfall>,
    pub(in crate::commands) unproven: Vec<Shortfall>,
    /// When the runs began that read what is covered: the first of them, and the last.
    pub(in crate::commands) oldest_read_at: Option<EpochSeconds>,
    pub(in crate::commands) newest_read_at: Option<EpochSeconds>,
    /// Its live parts, over all time.
    pub(in crate::commands) parts: u64,
    pub(in crate::commands) rows: RowCount,
    /// For the picture.
    #[serde(skip)]
    pub(in crate::commands) densities: Vec<(TimeRange, RowCount)>,
}

/// One of the last runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::commands) struct RunStatus {
    pub(in crate::commands) run: String,
    pub(in crate::commands) began_at: EpochSeconds,
    pub(in crate::commands) range: TimeRange,
    pub(in crate::commands) outcome: &'static str,
    pub(in crate::commands) credits: u64,
    pub(in crate::commands) requests: Requests,
    /// Rows that it read and that stand; none where it has not ended, or a later run has replaced some.
    pub(in crate::commands) rows: Option<RowCount>,
    /// Its credits over the least that so many rows can cost.
    pub(in crate::commands) price_over_floor: Option<f64>,
}

impl Status {
    /// What the facts mean at this moment.
    pub(in crate::commands) fn of(facts: &Facts, now: EpochSeconds) -> Self {
        let running = facts.is_held.unwrap_or(false);
        let account = account(facts);
        let said = facts.standing.as_ref();
        let fresh = said.filter(|said| running && now.since(said.at) <= FRESH_S);
        let run = facts.run.as_ref();
        let is_unfinished = run.is_some_and(|run| run.outcome.is_none());
        let elsewhere = run.map(|run| account.elsewhere(&run.regions, run.range)).unwrap_or_default();
        let rejected = run.map(|run| account.lacking(&run.regions, run.range).rejected);
        Self {
            version: STATUS_VERSION,
            at: now,
            run: run.map(|run| run.id.clone()),
            outcome: run.map(|run| outcome(run.outcome.map(|outcome| outcome.name()), running)),
            running,
            began_at: run.map(|run| run.began_at),
            range: run.map(|run| run.range),
            output: run.map(|run| run.output.clone()),
            partition: run.map(|run| run.partition.clone()),
            regions: run.map(|run| regions(facts, run, &account)).unwrap_or_default(),
            credits: facts.counts.map(|counts| counts.attempts),
            requests: facts.counts.map(|counts| requests(&counts)),
            rate: fresh.and_then(|said| said.pages_per_second),
            permitted_rate: fresh.and_then(|said| said.permitted_per_second),
            eta_seconds: fresh.and_then(|said| eta(said, now)),
            said_at: said.map(|said| said.at),
            parts: facts.parts.len() as u64,
            rows: rows(&facts.parts),
            bytes: facts.parts.iter().fold(ByteCount::ZERO, |sum, part| sum.plus(part.bytes)),
            table: facts.table,
            waiting_pages: said.map(|said| said.held_pages).or((!is_unfinished).then_some(0)),
            rejected: rejected.filter(|_| !is_unfinished),
            unlisted: said.map_or(0, |said| said.unlisted),
            elsewhere: elsewhere.into_iter().map(shortfall).collect(),
            runs: runs(facts, running, &account),
        }
    }
}

/// What of the time that was left when the process said so is left now.
fn eta(said: &Standing, now: EpochSeconds) -> Option<u64> {
    let passed = u64::try_from(now.since(said.at)).unwrap_or(0);
    said.remaining_s.map(|left| left.saturating_sub(passed))
}

fn outcome(ended: Option<&'static str>, running: bool) -> &'static str {
    match (ended, running) {
        (Some(name), _) => name,
        (None, true) => "running",
        (None, false) => "unfinished",
    }
}

/// The output's account, with what an unfinished run has said since.
fn account(facts: &Facts) -> Account {
    let (Some(run), Some(said)) = (&facts.run, &facts.standing) else { return facts.account.clone() };
    let shares: Vec<Share> = said.regions.iter().map(|region| region.share.clone()).collect();
    facts.account.after(Reader { run: &run.id, at: run.began_at }, &shares)
}

fn regions(facts: &Facts, run: &Run, account: &Account) -> Vec<RegionStatus> {
    let said =
        |region: &Region| facts.standing.iter().flat_map(|said| &said.regions).find(|one| one.share.region == *region);
    run.regions.iter().map(|one| region(facts, run, account, (one, said(one)))).collect()
}

fn region(
    facts: &Facts,
    run: &Run,
    account: &Account,
    (region, said): (&Region, Option<&RegionStanding>),
) -> RegionStatus {
    let covered = within(&account.sound(region, &[]), run.range);
    let lacking = account.lacking(std::slice::from_ref(region), run.range);
    let read = match (run.outcome, said) {
        (Some(_), _) => Some(covered.clone()),
        (None, Some(said)) => Some(read(run, region, &covered, said)),
        (None, None) => None,
    };
    let stretches = account.coverage.stretches(region).iter().filter(|stretch| stretch.range().overlaps(run.range));
    let read_at: Vec<EpochSeconds> = stretches.map(|stretch| stretch.read_at).collect();
    let parts: Vec<PartRecord> = facts.parts.iter().filter(|part| part.region == *region).cloned().collect();
    RegionStatus {
        region: region.clone(),
        covered_share: share(&covered, run.range),
        covered,
        read_share: read.as_deref().map(|read| share(read, run.range)),
        read,
        reading: said.filter(|_| facts.is_held == Some(true)).map(|said| said.walks.clone()).unwrap_or_default(),
        gaps: lacking.gaps.into_iter().map(shortfall).collect(),
        unproven: lacking.unproven.into_iter().map(shortfall).collect(),
        oldest_read_at: read_at.iter().copied().min(),
        newest_read_at: read_at.iter().copied().max(),
        parts: parts.len() as u64,
        rows: rows(&parts),
        densities: parts.iter().map(|part| (part.range, part.rows)).collect(),
    }
}

/// What the run has read, and what it found there and need not read.
fn read(run: &Run, region: &Region, covered: &[TimeRange], said: &RegionStanding) -> Vec<TimeRange> {
    let to_read =
        run.reads.iter().flatten().filter(|reads| reads.region == *region).flat_map(|reads| reads.ranges.clone());
    let to_read: Vec<TimeRange> = to_read.collect();
    let found = covered.iter().flat_map(|range| range.without(&to_read));
    let gaps: Vec<TimeRange> = said.share.gaps.iter().map(|gap| gap.range).collect();
    let read: Vec<TimeRange> = found.chain(said.read.iter().copied()).collect();
    TimeRange::merged(&within(&read, run.range)).into_iter().flat_map(|range| range.without(&gaps)).collect()
}

fn runs(facts: &Facts, running: bool, account: &Account) -> Vec<RunStatus> {
    let latest = facts.runs.first().map(|run| run.id.clone());
    let told = |run: &FormerRun| {
        let is_latest = latest.as_ref() == Some(&run.id);
        let stands =
            run.outcome.is_some() && (is_latest || stands_whole(run, account)) && !is_written_anew(run, &facts.parts);
        let own: Vec<PartRecord> =
            facts.parts.iter().filter(|part| part.run == run.id && !part.carried).cloned().collect();
        let rows = stands.then(|| rows(&own));
        RunStatus {
            run: run.id.clone(),
            began_at: run.began_at,
            range: run.range,
            outcome: outcome(run.outcome.map(|outcome| outcome.name()), running && is_latest),
            credits: run.counts.attempts,
            requests: requests(&run.counts),
            price_over_floor: rows.and_then(|rows| over_floor(run.counts.attempts, rows)),
            rows,
        }
    };
    facts.runs.iter().map(told).collect()
}

/// Whether no later run has replaced anything of what a former one read.
fn stands_whole(run: &FormerRun, account: &Account) -> bool {
    let Some(reads) = &run.reads else { return false };
    reads.iter().all(|reads| {
        let stands = account.coverage.of_run(&reads.region, &run.id);
        reads.ranges.iter().all(|range| range.without(&stands).is_empty())
    })
}

/// Whether rows that a run read stand in parts of another one, as after `rebuild`: then nobody can say how many they were.
fn is_written_anew(run: &FormerRun, parts: &[PartRecord]) -> bool {
    let is_read = |part: &PartRecord| {
        let mut reads = run.reads.iter().flatten().filter(|reads| reads.region == part.region);
        reads.any(|reads| reads.ranges.iter().any(|range| range.overlaps(part.range)))
    };
    parts.iter().any(|part| (part.run != run.id || part.carried) && is_read(part))
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for a display; counts of credits are far below 2^52")]
fn over_floor(credits: u64, rows: RowCount) -> Option<f64> {
    let floor = rows.get().div_ceil(SOURCE.page_size as u64);
    (floor > 0).then(|| credits as f64 / floor as f64)
}

fn rows(parts: &[PartRecord]) -> RowCount {
    parts.iter().fold(RowCount::ZERO, |sum, part| sum.plus(part.rows))
}

fn within(ranges: &[TimeRange], whole: TimeRange) -> Vec<TimeRange> {
    let clipped = ranges.iter().map(|range| range.intersection(whole));
    clipped.filter(|range| !range.is_empty()).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a share for a display; seconds of a range are far below 2^52")]
fn share(ranges: &[TimeRange], whole: TimeRange) -> f64 {
    let seconds: i64 = ranges.iter().map(|range| range.seconds()).sum();
    seconds as f64 / whole.seconds().max(1) as f64
}

fn shortfall(lack: Lack) -> Shortfall {
    let Lack { region, range, why, fault, lacks } = lack;
    let lacks = lacks.map(Lacks::name);
    Shortfall { region, range, why, fault, lacks }
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

    fn lack(start: i64, end: i64) -> Lack {
        Lack { region: us(), range: range(start, end), why: "HTTP 500".to_owned(), fault: None, lacks: None }
    }

    /// A run over 0 to 100 that has published 0 to 30, read on to 50, and could not read 40 to 41.
    fn at_work() -> Facts {
        let share = Share {
            region: us(),
            range: range(0, 100),
            read: vec![range(0, 30)],
            gaps: vec![lack(40, 41)],
            unproven: vec![],
            rejected: RowCount::ZERO,
        };
        let walks = vec![Walking { window: range(41, 100), position: EpochSeconds::new(50) }];
        let read = vec![range(0, 40), range(41, 50)];
        let standing = Standing {
            run: "r1".to_owned(),
            at: EpochSeconds::new(1_000),
            pages_per_second: Some(9.5),
            permitted_per_second: Some(10.0),
            remaining_s: Some(60),
            held_pages: 7,
            unlisted: 0,
            regions: vec![RegionStanding { share, read, walks }],
        };
        let run = Run {
            id: "r1".to_owned(),
            range: range(0, 100),
            regions: vec![us()],
            reads: Some(vec![crate::plan::reads::Reads::whole(us(), range(0, 100))]),
            began_at: EpochSeconds::new(900),
            outcome: None,
            output: "out".to_owned(),
            partition: "by day".to_owned(),
        };
        Facts { run: Some(run), is_held: Some(true), standing: Some(standing), ..Facts::default() }
    }

    fn at(facts: &Facts, now: i64) -> Status {
        Status::of(facts, EpochSeconds::new(now))
    }

    #[test]
    fn speed_and_forecast_are_told_while_the_process_says_them() {
        let facts = at_work();
        let told = |status: Status| (status.outcome, status.rate, status.permitted_rate, status.eta_seconds);
        assert_eq!(told(at(&facts, 1_000)), (Some("running"), Some(9.5), Some(10.0), Some(60)));
        assert_eq!(told(at(&facts, 1_015)), (Some("running"), Some(9.5), Some(10.0), Some(45)));
        assert_eq!(told(at(&facts, 1_016)), (Some("running"), None, None, None), "it is too long ago");
        assert_eq!(told(at(&facts, 990)).3, Some(60), "a clock that was set back");
        let dead = Facts { is_held: Some(false), ..facts };
        assert_eq!(told(at(&dead, 1_001)), (Some("unfinished"), None, None, None));
        assert_eq!(at(&dead, 1_001).regions[0].reading, []);
    }

    #[test]
    fn what_is_not_measured_yet_is_not_told() {
        let mut facts = at_work();
        let standing = facts.standing.as_mut().unwrap();
        (standing.pages_per_second, standing.remaining_s) = (None, None);
        let status = at(&facts, 1_000);
        assert_eq!((status.rate, status.eta_seconds), (None, None));
        facts.standing = None;
        let silent = at(&facts, 1_000);
        assert_eq!((silent.waiting_pages, &silent.regions[0].read, silent.said_at), (None, &None, None));
    }

    #[test]
    fn a_gap_is_neither_read_nor_covered() {
        let status = at(&at_work(), 1_000);
        let region = &status.regions[0];
        assert_eq!(region.covered, [range(0, 30)]);
        assert_eq!(region.read, Some(vec![range(0, 40), range(41, 50)]));
        assert_eq!((region.covered_share, region.read_share), (0.3, Some(0.49)));
        assert_eq!(region.gaps.iter().map(|gap| gap.range).collect::<Vec<_>>(), [range(40, 41)]);
        assert_eq!((region.reading.len(), status.waiting_pages), (1, Some(7)));
    }

    #[test]
    fn what_a_run_need_not_read_counts_as_read_where_it_is_there() {
        let mut facts = at_work();
        facts.account = facts.account.after(
            Reader { run: "r0", at: EpochSeconds::new(1) },
            &[Share {
                range: range(50, 70),
                read: vec![range(50, 60)],
                gaps: vec![],
                ..facts.standing.clone().unwrap().regions[0].share.clone()
            }],
        );
        let run = facts.run.as_mut().unwrap();
        run.reads = Some(vec![crate::plan::reads::Reads::of(us(), range(0, 100), &[range(50, 60)])]);
        let status = at(&facts, 1_000);
        assert_eq!(status.regions[0].covered, [range(0, 30), range(50, 60)]);
        assert_eq!(status.regions[0].read, Some(vec![range(0, 40), range(41, 60)]));
    }

    #[test]
    fn a_price_is_told_of_runs_that_have_ended_and_stand_whole() {
        let part = PartRecord { rows: RowCount::new(95), ..crate::sink::testing::part("data/p", range(0, 100)) };
        let former = |id: &str, outcome| FormerRun {
            id: id.to_owned(),
            range: range(0, 100),
            reads: Some(vec![crate::plan::reads::Reads::whole(us(), range(0, 100))]),
            began_at: EpochSeconds::new(1),
            outcome,
            counts: crate::journal::Counts { attempts: 12, ..Default::default() },
        };
        let complete = Some(crate::journal::record::RunOutcome::Complete);
        let mut facts =
            Facts { parts: vec![part], runs: vec![former("r1", None), former("r0", complete)], ..at_work() };
        let prices = |facts: &Facts| {
            at(facts, 1_000)
                .runs
                .into_iter()
                .map(|run| (run.rows.map(RowCount::get), run.price_over_floor))
                .collect::<Vec<_>>()
        };
        assert_eq!(prices(&facts), [(None, None), (None, None)], "one is at work, the other was replaced");
        facts.runs[0].outcome = complete;
        assert_eq!(prices(&facts)[0], (Some(95), Some(1.2)));
        let anew = facts.parts.iter().map(|part| PartRecord { run: "r2".to_owned(), carried: true, ..part.clone() });
        facts.parts = anew.collect();
        assert_eq!(prices(&facts)[0], (None, None), "they were written anew, and who read them is not told");
    }

    #[test]
    fn nothing_is_told_of_a_state_without_a_run() {
        let status = at(&Facts { is_held: Some(false), ..Facts::default() }, 5);
        assert_eq!((status.run, status.credits, status.running, status.regions), (None, None, false, vec![]));
    }
}
