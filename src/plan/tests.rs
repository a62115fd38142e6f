//! The real planner and walks against a model of the service, page by page, from a seed. No network and no time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::event::PlanEvent;
use super::fact::{PageAddress, PageFact, Purpose, RowKey, VideoKey, WindowId};
use super::planner::{Assigned, Backlog, Decision, PlanContext, Planner, Task};
use super::walk::Consistency;
use crate::api::contract::{Filters, Region, TimeOrder};
use crate::units::{EpochSeconds, TimeRange};

const START: i64 = 1_764_547_200;

#[derive(Clone, Copy, Debug, PartialEq)]
enum PastCap {
    Empty,
    Refused,
    LastPageAgain,
}

#[derive(Clone, Debug)]
struct Model {
    rows: Vec<RowKey>,
    cap: u32,
    past_cap: PastCap,
    min_inclusive: bool,
    max_inclusive: bool,
    fresh_ties: bool,
    sorted: bool,
    short: bool,
    broken: Option<i64>,
    requests: u64,
}

enum Answer {
    Rows(Vec<RowKey>),
    Refused,
    Broken,
}

impl Model {
    fn new(seconds: Vec<i64>) -> Self {
        let mut sorted = seconds;
        sorted.sort_unstable();
        let keyed = sorted.into_iter().zip(1_u64..);
        Self {
            rows: keyed
                .map(|(second, id)| RowKey { second: EpochSeconds::new(START + second), video: VideoKey(id) })
                .collect(),
            cap: 100_000,
            past_cap: PastCap::Empty,
            min_inclusive: true,
            max_inclusive: true,
            fresh_ties: false,
            sorted: true,
            short: false,
            broken: None,
            requests: 0,
        }
    }

    fn answer(&mut self, task: &Task) -> Answer {
        self.requests += 1;
        let query = &task.query;
        let after = |second: EpochSeconds| {
            query.min_create_time.is_none_or(|min| second > min || (self.min_inclusive && second == min))
        };
        let before = |second: EpochSeconds| {
            query.max_create_time.is_none_or(|max| second < max || (self.max_inclusive && second == max))
        };
        let low = self.rows.partition_point(|row| !after(row.second));
        let high = self.rows.partition_point(|row| before(row.second));
        let all = self.rows.get(low..high.max(low)).unwrap_or_default();
        let page = query.page.get().min(if self.past_cap == PastCap::LastPageAgain { self.cap } else { u32::MAX });
        if page > self.cap {
            return if self.past_cap == PastCap::Refused { Answer::Refused } else { Answer::Rows(vec![]) };
        }
        let from = (page as usize - 1) * 10;
        let mut rows: Vec<RowKey> = match query.order {
            TimeOrder::OldestFirst if !self.sorted => {
                let mut mixed = all.to_vec();
                mixed.sort_by_key(|row| row.video.0.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                mixed.into_iter().skip(from).take(10).collect()
            }
            TimeOrder::OldestFirst if self.fresh_ties => {
                self.with_fresh_ties(all).into_iter().skip(from).take(10).collect()
            }
            TimeOrder::OldestFirst => all.iter().skip(from).take(10).copied().collect(),
            TimeOrder::NewestFirst => all.iter().rev().skip(from).take(10).copied().collect(),
        };
        if self.broken.is_some_and(|second| rows.iter().any(|row| row.second.get() == START + second)) {
            return Answer::Broken;
        }
        if self.short {
            rows.retain(|row| row.video.0 % 10 != 0);
        }
        Answer::Rows(rows)
    }

    fn with_fresh_ties(&self, all: &[RowKey]) -> Vec<RowKey> {
        let mut random = StdRng::seed_from_u64(self.requests);
        let mut keyed: Vec<(EpochSeconds, u64, RowKey)> =
            all.iter().map(|row| (row.second, random.random(), *row)).collect();
        keyed.sort_unstable_by_key(|(second, tie, _)| (*second, *tie));
        keyed.into_iter().map(|(_, _, row)| row).collect()
    }
}

struct Outcome {
    requests: u64,
    rows: BTreeSet<RowKey>,
    planner: Planner,
    stopped: Option<String>,
    log: Vec<Entry>,
}

#[derive(Clone)]
enum Entry {
    Event(PlanEvent),
    Page(PageFact),
}

struct Driver<'m> {
    model: &'m mut Model,
    planner: Planner,
    workers: usize,
    log: Vec<Entry>,
    rows: BTreeSet<RowKey>,
    consistency: Consistency,
    window_pages: u32,
    steps_left: u64,
}

fn region() -> Region {
    "US".parse().unwrap()
}

fn range(seconds: i64) -> TimeRange {
    TimeRange::new(EpochSeconds::new(START), EpochSeconds::new(START + seconds))
}

impl Driver<'_> {
    fn context(&self, idle: usize) -> PlanContext {
        PlanContext {
            now: EpochSeconds::new(START),
            idle_workers: idle,
            window_pages: self.window_pages,
            anchor_pages: 300,
            stretch_age: 600,
            consistency: self.consistency,
            backlog: Backlog::Small,
        }
    }

    fn record(&mut self, events: Vec<PlanEvent>) {
        for event in events {
            let text = serde_json::to_string(&event).unwrap();
            let event: PlanEvent = serde_json::from_str(&text).unwrap();
            self.planner.apply_event(&event);
            self.log.push(Entry::Event(event));
        }
    }

    /// Runs to the end, or until the steps are used up; answers come back in the order of the requests.
    fn run(mut self) -> Outcome {
        let opening = self.planner.opening();
        self.record(opening);
        let mut flying: VecDeque<(Option<WindowId>, Task)> = VecDeque::new();
        let mut stopped = None;
        'run: while !self.planner.is_done() && self.steps_left > 0 {
            while flying.len() < self.workers {
                match self.decide(None, self.workers - flying.len()) {
                    Ok(Some(task)) => flying.push_back(task),
                    Ok(None) => break,
                    Err(why) => {
                        stopped = Some(why);
                        break 'run;
                    }
                }
            }
            if self.planner.is_done() {
                break;
            }
            let Some((reads, task)) = flying.pop_front() else {
                panic!("nothing to do and not done: {:?}", self.planner)
            };
            self.steps_left -= 1;
            match self.land(reads, task, self.workers - flying.len()) {
                Ok(Some(task)) => flying.push_back(task),
                Ok(None) => {}
                Err(why) => {
                    stopped = Some(why);
                    break 'run;
                }
            }
        }
        let requests = self.model.requests;
        Outcome { requests, rows: self.rows, planner: self.planner, stopped, log: self.log }
    }

    fn decide(&mut self, reads: Option<WindowId>, idle: usize) -> Result<Option<(Option<WindowId>, Task)>, String> {
        for _ in 0..50 {
            match self.planner.next(reads, &self.context(idle)) {
                Decision::Record(events) => self.record(events),
                Decision::Idle => return Ok(None),
                Decision::Stop(why) => return Err(why.to_string()),
                Decision::Ask(task) => return Ok(Some(self.take(reads, *task))),
            }
        }
        panic!("the planner decides without end: {:?}", self.planner.next(reads, &self.context(idle)));
    }

    fn take(&mut self, reads: Option<WindowId>, task: Task) -> (Option<WindowId>, Task) {
        let reads = match task.address.purpose {
            Purpose::Walk { window, .. } => Some(window),
            _ => reads,
        };
        self.planner.set_assigned(reads.unwrap(), Assigned::ToAWorker);
        (reads, task)
    }

    fn land(
        &mut self,
        reads: Option<WindowId>,
        task: Task,
        idle: usize,
    ) -> Result<Option<(Option<WindowId>, Task)>, String> {
        match self.model.answer(&task) {
            Answer::Rows(rows) => {
                let range = range(i64::MAX / 4);
                self.rows.extend(rows.iter().copied().filter(|row| range.contains(row.second)));
                let fact = PageFact {
                    address: PageAddress { ..task.address.clone() },
                    fetched_at: EpochSeconds::new(START),
                    slots: rows.len() as u32,
                    rows,
                };
                self.planner.apply_page(&fact);
                self.log.push(Entry::Page(fact));
                self.decide(reads, idle)
            }
            Answer::Refused => {
                let decision = self.planner.after_refusal(reads.unwrap(), &self.context(idle));
                match decision {
                    Some(Decision::Record(events)) => self.record(events),
                    other => return Err(format!("refused: {other:?}")),
                }
                self.decide(reads, idle)
            }
            Answer::Broken => {
                let window = reads.unwrap();
                let events = self.planner.park(window);
                self.record(events);
                self.planner.set_assigned(window, Assigned::ToNobody);
                Ok(None)
            }
        }
    }
}

fn export(model: &mut Model, seconds: i64, workers: usize) -> Outcome {
    export_with(model, seconds, workers, 2_000)
}

fn export_with(model: &mut Model, seconds: i64, workers: usize, window_pages: u32) -> Outcome {
    let planner = Planner::new(&[region()], Filters::default(), range(seconds));
    let driver = Driver {
        model,
        planner,
        workers,
        log: vec![],
        rows: BTreeSet::new(),
        consistency: Consistency::Anchored,
        window_pages,
        steps_left: 3_000_000,
    };
    driver.run()
}

/// Every row of the range is there, or lies in something listed.
fn assert_truth(model: &Model, outcome: &Outcome, seconds: i64) {
    let range = range(seconds);
    let listed = |row: &RowKey| {
        let lists = outcome.planner.gaps().iter().chain(outcome.planner.unproven());
        lists.into_iter().any(|listed| listed.range.contains(row.second))
    };
    let missing: Vec<&RowKey> = model
        .rows
        .iter()
        .filter(|row| range.contains(row.second) && !outcome.rows.contains(row) && !listed(row))
        .take(5)
        .collect();
    assert!(outcome.stopped.is_none(), "stopped: {:?}", outcome.stopped);
    assert!(outcome.planner.is_done());
    assert!(missing.is_empty(), "missing without a word: {missing:?}");
}

fn assert_exact(model: &Model, outcome: &Outcome, seconds: i64) {
    assert_truth(model, outcome, seconds);
    assert!(outcome.planner.gaps().is_empty(), "{:?}", outcome.planner.gaps());
    assert!(outcome.planner.unproven().is_empty(), "{:?}", outcome.planner.unproven());
}

fn uniform(rows: usize, seconds: i64, seed: u64) -> Vec<i64> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..rows).map(|_| random.random_range(0..seconds)).collect()
}

fn daily(rows: usize, seconds: i64, seed: u64) -> Vec<i64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut list = Vec::with_capacity(rows);
    while list.len() < rows {
        let second = random.random_range(0..seconds);
        let phase = (second % 86_400) as f64 / 86_400.0 * std::f64::consts::TAU;
        if random.random::<f64>() < 0.5 + 0.45 * phase.sin() {
            list.push(second);
        }
    }
    list
}

fn bursty(rows: usize, seconds: i64, seed: u64) -> Vec<i64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut list = Vec::with_capacity(rows);
    while list.len() < rows {
        let second = random.random_range(0..seconds);
        let size = if random.random::<f64>() < 0.02 { random.random_range(20..200) } else { 1 };
        list.extend(std::iter::repeat_n(second, size));
    }
    list.truncate(rows);
    list
}

const MONTH: i64 = 31 * 86_400;

#[test]
fn two_hundred_thousand_rows_cost_little_over_the_floor() {
    for (name, seconds) in [
        ("uniform", uniform(200_000, MONTH, 1)),
        ("daily", daily(200_000, MONTH, 2)),
        ("bursty", bursty(200_000, MONTH, 3)),
    ] {
        let mut model = Model::new(seconds);
        let outcome = export(&mut model, MONTH, 16);
        assert_exact(&model, &outcome, MONTH);
        let ratio = outcome.requests as f64 / 20_000.0;
        println!("{name}: {ratio:.5}");
        assert!(ratio <= 1.004, "{name}: {ratio}");
    }
}

#[test]
fn a_low_cap_costs_nothing_and_loses_nothing_however_it_shows() {
    for past_cap in [PastCap::Empty, PastCap::Refused, PastCap::LastPageAgain] {
        for cap in [5, 50, 500] {
            let mut model = Model { cap, past_cap, ..Model::new(uniform(20_000, MONTH, 4)) };
            let outcome = export(&mut model, MONTH, 4);
            assert_exact(&model, &outcome, MONTH);
            if cap < 500 {
                assert_eq!(outcome.planner.learned().cap, Some(cap), "{past_cap:?}");
            }
        }
    }
}

#[test]
fn each_reading_of_the_bounds_gives_every_row() {
    for (min_inclusive, max_inclusive) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut model = Model { min_inclusive, max_inclusive, ..Model::new(bursty(5_000, 20_000, 5)) };
        let outcome = export(&mut model, 15_000, 8);
        assert_exact(&model, &outcome, 15_000);
        assert_eq!(outcome.planner.learned().min_inclusive, min_inclusive);
    }
}

#[test]
fn few_rows_and_none_are_read_for_few_requests() {
    let mut ten = Model::new(uniform(10, 365 * 86_400, 6));
    let outcome = export(&mut ten, 365 * 86_400, 16);
    assert_exact(&ten, &outcome, 365 * 86_400);
    assert!(outcome.requests <= 4, "{}", outcome.requests);
    let mut elsewhere = Model::new(vec![MONTH + 5]);
    let outcome = export(&mut elsewhere, MONTH, 16);
    assert_exact(&elsewhere, &outcome, MONTH);
    assert!(outcome.requests <= 4, "{}", outcome.requests);
    let mut nothing = Model::new(vec![]);
    let outcome = export(&mut nothing, MONTH, 16);
    assert_eq!(outcome.planner.unproven().len(), 1);
    assert!(outcome.planner.is_done() && outcome.requests <= 4, "{}", outcome.requests);
}

#[test]
fn rows_of_one_hour_and_of_one_second_are_exact() {
    let mut hour = Model::new(uniform(50_000, 3_600, 7).into_iter().map(|second| second + 1_000_000).collect());
    let outcome = export(&mut hour, MONTH, 16);
    assert_exact(&hour, &outcome, MONTH);
    let mut second = Model::new(vec![777; 5_000]);
    let outcome = export(&mut second, MONTH, 16);
    assert_exact(&second, &outcome, MONTH);
    assert!(outcome.requests <= 505, "{}", outcome.requests);
}

#[test]
fn a_second_above_the_cap_is_listed_and_everything_around_it_is_there() {
    let mut seconds = uniform(3_000, 10_000, 8);
    seconds.extend(vec![5_000; 600]);
    let mut model = Model { cap: 50, ..Model::new(seconds) };
    let outcome = export(&mut model, 10_000, 4);
    assert_truth(&model, &outcome, 10_000);
    let listed: i64 = outcome.planner.unproven().iter().map(|listed| listed.range.seconds()).sum();
    assert_eq!(listed, 1, "{:?}", outcome.planner.unproven());
}

#[test]
fn ties_in_fresh_order_are_healed_or_listed() {
    for ties in [8, 35, 200] {
        let mut seconds = uniform(2_000, 100_000, 9);
        for second in [100, 5_000, 50_000] {
            seconds.extend(vec![second; ties]);
        }
        let mut model = Model { fresh_ties: true, ..Model::new(seconds) };
        let outcome = export(&mut model, 100_000, 4);
        assert_truth(&model, &outcome, 100_000);
        println!("{ties} ties: {} requests, {} unproven", outcome.requests, outcome.planner.unproven().len());
        assert!(outcome.planner.unproven().len() <= 3);
    }
}

#[test]
fn short_pages_become_a_habit_that_costs_little() {
    let mut model = Model { short: true, ..Model::new(uniform(30_000, MONTH, 10)) };
    let truth: Vec<RowKey> = model.rows.iter().copied().filter(|row| row.video.0 % 10 != 0).collect();
    let outcome = export(&mut model, MONTH, 4);
    let filtered = Model { rows: truth, ..model.clone() };
    assert_exact(&filtered, &outcome, MONTH);
    assert!(outcome.requests as f64 <= 3_000.0 * 1.03, "{}", outcome.requests);
}

#[test]
fn an_ignored_sort_is_read_within_bounds() {
    let mut model = Model { sorted: false, cap: 300, ..Model::new(uniform(20_000, MONTH, 11)) };
    let outcome = export(&mut model, MONTH, 4);
    assert!(outcome.planner.learned().sort_ignored);
    assert_exact(&model, &outcome, MONTH);
}

#[test]
fn a_second_that_always_fails_is_the_only_gap() {
    let mut seconds = uniform(20_000, MONTH, 12);
    seconds.push(1_000_000);
    let mut model = Model { broken: Some(1_000_000), ..Model::new(seconds) };
    let outcome = export(&mut model, MONTH, 4);
    assert_truth(&model, &outcome, MONTH);
    let second = EpochSeconds::new(START + 1_000_000);
    let lost: i64 = outcome.planner.gaps().iter().map(|gap| gap.range.seconds()).sum();
    assert!(outcome.planner.gaps().iter().any(|gap| gap.range.contains(second)));
    // Its neighbours fail with it while it is unknown whether a bound is inclusive.
    assert!(lost <= 3, "{:?}", outcome.planner.gaps());
}

#[test]
fn a_page_number_that_counts_rows_is_refused_within_the_first_pages() {
    let planner = Planner::new(&[region()], Filters::default(), range(MONTH));
    let rows = Model::new(uniform(1_000, MONTH, 13)).rows;
    let mut planner = planner;
    planner.opening().iter().for_each(|event| planner.clone_from(&applied(&planner, event)));
    let context = PlanContext {
        now: EpochSeconds::new(START),
        idle_workers: 1,
        window_pages: 2_000,
        anchor_pages: 300,
        stretch_age: 600,
        consistency: Consistency::Anchored,
        backlog: Backlog::Small,
    };
    let mut reads = None;
    for asked in 0..10 {
        match planner.next(reads, &context) {
            Decision::Record(events) => events.iter().for_each(|event| planner.apply_event(event)),
            Decision::Ask(task) => {
                if let Purpose::Walk { window, .. } = task.address.purpose {
                    reads = Some(window);
                }
                let from = task.query.page.get() as usize - 1;
                let rows = rows[from..from + 10].to_vec();
                planner.apply_page(&PageFact { address: task.address, fetched_at: context.now, slots: 10, rows });
            }
            Decision::Stop(why) => {
                assert!(why.to_string().contains("counts rows"), "{why}");
                return;
            }
            Decision::Idle => panic!("idle after {asked}"),
        }
    }
    panic!("never noticed");
}

fn applied(planner: &Planner, event: &PlanEvent) -> Planner {
    let mut planner = planner.clone();
    planner.apply_event(event);
    planner
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_service_is_like_every_row_is_there_or_listed(
        seed in any::<u64>(),
        rows in 0_usize..600,
        span in 1_i64..200_000,
        workers in 1_usize..20,
        cap in prop::sample::select(vec![5_u32, 50, 100_000]),
        past_cap in prop::sample::select(vec![PastCap::Empty, PastCap::Refused, PastCap::LastPageAgain]),
        min_inclusive in any::<bool>(),
        max_inclusive in any::<bool>(),
        fresh_ties in any::<bool>(),
        is_bursty in any::<bool>(),
    ) {
        let seconds = if is_bursty { bursty(rows, span, seed) } else { uniform(rows, span, seed) };
        let mut model = Model { cap, past_cap, min_inclusive, max_inclusive, fresh_ties, ..Model::new(seconds) };
        let outcome = export_with(&mut model, 150_000, workers, 50);
        assert_truth(&model, &outcome, 150_000);
    }

    #[test]
    fn a_replay_of_the_journal_gives_the_same_plan_and_goes_on(
        seed in any::<u64>(),
        rows in 1_usize..1_000,
        steps in 1_u64..300,
        workers in 1_usize..20,
    ) {
        let mut model = Model::new(bursty(rows, 100_000, seed));
        let planner = Planner::new(&[region()], Filters::default(), range(100_000));
        let first = Driver {
            model: &mut model, planner, workers, log: vec![], rows: BTreeSet::new(),
            consistency: Consistency::Anchored, window_pages: 50, steps_left: steps,
        }.run();
        let mut planner = Planner::new(&[region()], Filters::default(), range(100_000));
        for entry in &first.log {
            match entry {
                Entry::Event(event) => planner.apply_event(event),
                Entry::Page(page) => planner.apply_page(page),
            }
        }
        let mut bought: BTreeMap<PageAddress, u32> = BTreeMap::new();
        let outcome = Driver {
            model: &mut model, planner, workers, log: first.log, rows: first.rows,
            consistency: Consistency::Anchored, window_pages: 50, steps_left: 1_000_000,
        }.run();
        assert_truth(&model, &outcome, 100_000);
        for entry in &outcome.log {
            if let Entry::Page(page) = entry {
                *bought.entry(page.address.clone()).or_default() += 1;
            }
        }
        prop_assert!(bought.values().all(|times| *times == 1), "a page was bought twice");
    }
}
