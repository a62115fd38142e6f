//! What a seed means: rows, a service and a way to drive the run.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::behaviour::{Behaviour, Drift, Limit, PastCap, Short, Sort, Ties};
use super::drive::{Drive, Stops};
use super::model::{Service, Shown, range_of};
use super::outcome::SimulationOutcome;
use super::virtual_time::VirtualTime;
use crate::api::contract::Region;
use crate::fetch::throttle::Rate;
use crate::plan::walk::step::{Consistency, Tuning};

/// A rate that lets all workers work at once.
const QUICK: Rate = Rate::Fixed(20_000.0);

/// 2025-12-01T00:00:00Z.
pub(super) const START: i64 = 1_764_547_200;

pub(super) fn region(name: &str) -> Region {
    name.parse().unwrap()
}

/// Seconds of rows, counted from 0.
pub(super) fn uniform(rows: usize, seconds: i64, seed: u64) -> Vec<i64> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..rows).map(|_| random.random_range(0..seconds)).collect()
}

pub(super) fn daily(rows: usize, seconds: i64, seed: u64) -> Vec<i64> {
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

/// Single rows, and every fiftieth time a burst of 20 to 200 within a second or within some minutes.
pub(super) fn bursty(rows: usize, seconds: i64, seed: u64) -> Vec<i64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut list = Vec::with_capacity(rows);
    while list.len() < rows {
        let second = random.random_range(0..seconds);
        let is_burst = random.random::<f64>() < 0.02;
        let width = if random.random() { 1 } else { 300 };
        for _ in 0..if is_burst { random.random_range(20..200) } else { 1 } {
            list.push((second + random.random_range(0..width)).min(seconds - 1));
        }
    }
    list.truncate(rows);
    list
}

/// A scenario: everything that a run needs.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) service: Service,
    pub(super) drive: Drive,
    pub(super) seed: u64,
}

impl Scenario {
    /// One region with rows at these seconds after [`START`], an honest service and 4 workers.
    pub(super) fn of(seconds: Vec<i64>, range_seconds: i64) -> Self {
        Self::with(Behaviour::default(), vec![("US", seconds)], range_seconds, 1)
    }

    pub(super) fn with(behaviour: Behaviour, regions: Vec<(&str, Vec<i64>)>, range_seconds: i64, seed: u64) -> Self {
        let moved = |seconds: Vec<i64>| seconds.into_iter().map(|second| second + START).collect::<Vec<_>>();
        let regions: Vec<_> = regions.into_iter().map(|(name, seconds)| (region(name), moved(seconds))).collect();
        let rows: usize = regions.iter().map(|(_, seconds)| seconds.len()).sum();
        let drive = Drive {
            range: range_of(START, range_seconds),
            workers: 4,
            tuning: Tuning::default(),
            has_filters: false,
            rate: QUICK,
            give_up_after: Duration::from_secs(900),
            latency: (50, 300),
            restarts: 0.0,
            slices: 0.05,
            backlog: 0.0,
            stops: Stops::Never,
            commit: (0, 0),
            most_requests: 6_000 + rows as u64 * 8,
            extends: 0,
        };
        Self { service: Service::new(behaviour, regions, seed), drive, seed }
    }

    pub(super) fn run(self) -> SimulationOutcome {
        VirtualTime::new(self.drive, self.service, self.seed).run()
    }

    /// Whatever the seed says.
    pub(super) fn from_seed(seed: u64) -> Self {
        let mut scenario = Self::undisturbed(seed);
        disturb(&mut StdRng::seed_from_u64(seed ^ 0x0d15_7035), &mut scenario.drive);
        scenario
    }

    /// Whatever the seed says of the service and of deaths; the journal takes no time, and nothing else ends a start.
    pub(super) fn undisturbed(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let random = &mut random;
        let range_seconds = *pick(random, &[1, 10, 3_000, 100_000, 2_000_000]);
        let names = if random.random_range(0..5) == 0 { vec!["US", "GB", "DE"] } else { vec!["US"] };
        let regions = names.into_iter().map(|name| (name, some_rows(random, range_seconds))).collect();
        let behaviour = some_behaviour(random, range_seconds);
        let mut scenario = Self::with(behaviour, regions, range_seconds, seed);
        spoil_rows(random, &mut scenario.service, range_seconds);
        let drive = &mut scenario.drive;
        drive.workers = *pick(random, &[1, 2, 3, 7, 16, 128]);
        drive.tuning.window_pages = *pick(random, &[5, 20, 100, 2_000]);
        drive.tuning.anchor_pages = *pick(random, &[3, 10, 30, 300]);
        drive.tuning.stretch_age = *pick(random, &[2, 60, 600]);
        drive.tuning.consistency =
            *pick(random, &[Consistency::Anchored, Consistency::Anchored, Consistency::Atomic, Consistency::Deep]);
        drive.has_filters = random.random_range(0..4) == 0;
        drive.restarts = *pick(random, &[0.0, 0.0, 0.01, 0.2]);
        drive.slices = *pick(random, &[0.0, 0.05, 1.0]);
        drive.backlog = *pick(random, &[0.0, 0.0, 0.3]);
        // A sequence of its own, so that what a seed means otherwise stays what it was.
        limit_rate(&mut StdRng::seed_from_u64(seed ^ 0x11_417), &mut scenario);
        scenario
    }

    /// Whatever the seed says, with a service that does what its contract says, at a level that trusts it.
    pub(super) fn honest(seed: u64) -> Self {
        let mut scenario = Self::from_seed(seed);
        let is_torn_often = scenario.drive.tuning.consistency == Consistency::Atomic;
        if is_torn_often {
            scenario.drive.tuning.consistency = Consistency::Anchored;
        }
        let behaviour = &mut scenario.service.behaviour;
        let (min_inclusive, max_inclusive, limit) = (behaviour.min_inclusive, behaviour.max_inclusive, behaviour.limit);
        *behaviour = Behaviour { min_inclusive, max_inclusive, limit, ..Behaviour::default() };
        for (_, rows) in &mut scenario.service.regions {
            rows.iter_mut().for_each(|row| row.shown = Shown::Right);
        }
        scenario
    }

    /// Whether every answer holds the rows that were asked for, in order and with their own seconds, and nothing changes. Bounds, ties and
    /// the last page may be what they like, and answers may fail.
    pub(super) fn shows_what_it_holds(&self) -> bool {
        let Behaviour { sort, short, drift, falsely_empty, .. } = &self.service.behaviour;
        let is_whole = (*short, *falsely_empty) == (Short::Never, 0.0) && *drift == Drift::default();
        let mut rows = self.service.regions.iter().flat_map(|(_, rows)| rows);
        is_whole && *sort == Sort::Honoured && rows.all(|row| row.shown == Shown::Right)
    }

    /// Whether a row may be missing without a word: a page shifted back unseen, which only `atomic` excludes, or a page
    /// left out rows that no reading ever showed.
    pub(super) fn is_exposed(&self) -> bool {
        let behaviour = &self.service.behaviour;
        behaviour.drift.deletes > 0.0 && self.drive.tuning.consistency != Consistency::Atomic
    }
}

fn pick<'a, T>(random: &mut StdRng, list: &'a [T]) -> &'a T {
    &list[random.random_range(0..list.len())]
}

fn some_rows(random: &mut StdRng, range_seconds: i64) -> Vec<i64> {
    let most = *pick(random, &[0, 1, 9, 10, 11, 100, 400, 1_500]);
    let rows = if most < 12 { most } else { random.random_range(0..most) };
    let seed = random.random();
    let wide = range_seconds + range_seconds / 10 + 2;
    let mut seconds = match random.random_range(0..6) {
        0 => uniform(rows, wide, seed),
        1 => daily(rows, wide, seed),
        2 | 3 => bursty(rows, wide, seed),
        4 => {
            let at = random.random_range(0..range_seconds);
            uniform(rows, 3_600, seed).into_iter().map(|second| second + at).collect()
        }
        _ => {
            let at = random.random_range(0..range_seconds);
            let mut list = vec![at; rows / 2];
            list.extend(uniform(rows / 2, wide, seed));
            list
        }
    };
    // Some lie before the range.
    seconds.iter_mut().for_each(|second| *second -= range_seconds / 20);
    seconds
}

fn some_behaviour(random: &mut StdRng, range_seconds: i64) -> Behaviour {
    let mut behaviour = Behaviour {
        cap: *pick(random, &[5, 50, 500, 100_000, 100_000]),
        past_cap: *pick(random, &[PastCap::Empty, PastCap::Refused, PastCap::LastPageAgain]),
        min_inclusive: random.random(),
        max_inclusive: random.random(),
        ties: *pick(random, &[Ties::Mirrored, Ties::Stable, Ties::Fresh]),
        ..Behaviour::default()
    };
    match random.random_range(0..12) {
        0 => behaviour.sort = *pick(random, &[Sort::AlwaysAscending, Sort::AlwaysDescending, Sort::Ignored]),
        1 => behaviour.short = *pick(random, &[Short::Filtered(10), Short::Filtered(100), Short::Filtered(3)]),
        2 => behaviour.short = *pick(random, &[Short::AtTheEnd(1), Short::AtTheEnd(20)]),
        3 => behaviour.short = *pick(random, &[Short::Anywhere(10), Short::Anywhere(100)]),
        4 => {
            behaviour.drift =
                Drift { inserts: *pick(random, &[0.01, 0.2]), deletes: 0.0, burst: *pick(random, &[1, 3, 15]) }
        }
        5 => behaviour.drift = Drift { inserts: 0.02, deletes: 0.02, burst: *pick(random, &[1, 3, 15]) },
        6 => behaviour.flaky = *pick(random, &[0.05, 0.3]),
        7 => {
            behaviour.poison =
                (0..*pick(random, &[1, 3])).map(|_| START + random.random_range(0..range_seconds)).collect()
        }
        8 => behaviour.falsely_empty = *pick(random, &[0.002, 0.05]),
        9 => behaviour.outage = random.random_range(0..50)..random.random_range(50..300),
        _ => {}
    }
    if random.random_range(0..20) == 0 {
        behaviour.flaky = 0.2;
    }
    behaviour
}

/// How fast requests may go and how fast they are to go; most services take whatever comes.
fn limit_rate(random: &mut StdRng, scenario: &mut Scenario) {
    let Scenario { service, drive, .. } = scenario;
    drive.give_up_after = Duration::from_secs(*pick(random, &[900, 900, 900, 300]));
    // A service that fails as it grows would be asked without end.
    if random.random_range(0..25) == 0 && service.behaviour.drift == Drift::default() {
        service.behaviour.flaky = 0.6;
    }
    match random.random_range(0..6) {
        0 => drive.rate = Rate::Auto,
        1 => {
            let per_second = *pick(random, &[3.0, 20.0, 200.0]);
            let burst = *pick(random, &[1.0, 5.0, per_second]);
            let retry_after = *pick(random, &[None, None, Some(0), Some(1), Some(20)]);
            drive.rate = *pick(random, &[Rate::Auto, Rate::Fixed(per_second * 2.0), QUICK]);
            service.limit(Limit { per_second, burst, retry_after: retry_after.map(Duration::from_secs) });
        }
        2 => {
            let from = random.random_range(0..100);
            service.behaviour.closed = from..from + random.random_range(1..40);
        }
        _ => {}
    }
}

/// Starts that end early, and a journal that takes its time.
fn disturb(random: &mut StdRng, drive: &mut Drive) {
    let share = *pick(random, &[0.005, 0.02, 0.1]);
    drive.stops = match random.random_range(0..16) {
        0 => Stops::Signals(share),
        1 => Stops::Credits(share),
        2 => Stops::Quota(share),
        3 => Stops::Time(Duration::from_secs(*pick(random, &[1, 5, 60]))),
        _ => Stops::Never,
    };
    if random.random_range(0..4) == 0 {
        drive.commit = *pick(random, &[(1, 5), (1, 50), (20, 400)]);
    }
}

/// Garbage rows and wrong dates.
fn spoil_rows(random: &mut StdRng, service: &mut Service, range_seconds: i64) {
    let kind = random.random_range(0..10);
    let share = *pick(random, &[0.01, 0.1]);
    // A row without a usable id cannot be told from its twin, so nothing can show that one was skipped for the other.
    if matches!(kind, 0 | 2) && service.behaviour.ties == Ties::Fresh {
        service.behaviour.ties = Ties::Stable;
    }
    // A poisoned second should hold a row.
    if let Some((_, rows)) = service.regions.first()
        && !service.behaviour.poison.is_empty()
        && !rows.is_empty()
    {
        service.behaviour.poison = (0..service.behaviour.poison.len()).map(|_| pick(random, rows).second).collect();
    }
    let is_fresh = service.behaviour.ties == Ties::Fresh;
    for (_, rows) in &mut service.regions {
        let all = kind == 2 && random.random_range(0..4) == 0;
        for (index, row) in rows.iter_mut().enumerate() {
            let hit = random.random::<f64>() < share;
            // A row that shows a time which was not asked for is no evidence, so that its twin could be skipped for it.
            let earliest = if is_fresh { (row.second - START).clamp(-5, range_seconds) } else { -5 };
            row.shown = match kind {
                0 if hit => Shown::Garbage,
                1 if hit && share < 0.05 => Shown::Wrong(START + random.random_range(earliest..range_seconds + 5)),
                2 if index < 30 || all => Shown::Garbage,
                _ => Shown::Right,
            };
        }
    }
}
