//! Scale on paper: a year of one region, far more rows than fit in memory, walked page by page in virtual time.
//!
//! The rows are computed, not stored: each hour has its share of them by the time of day, evenly spread within the hour.
//! `PLAN_ROWS=1000000000 PLAN_RATE=1000 cargo test --release --lib scale -- --ignored --nocapture` is the whole of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::api::contract::{Filters, PageQuery, Region, SOURCE, TimeOrder};
use crate::plan::event::PlanEvent;
use crate::plan::fact::{PageFact, RowKey, VideoKey, WindowId};
use crate::plan::planner::{Decision, PlanContext, Planner, Task};
use crate::units::{EpochSeconds, TimeRange};

use super::scenario::{START, region};

const HOUR: u64 = 3_600;
const HOURS: usize = 365 * 24;
/// Milliseconds from a permit to its answer.
const LATENCY_MS: u64 = 250;
/// Durable pages between two looks at what may be published.
const SLICE_EVERY: u64 = 1_000;

/// A year of rows: how many lie before each hour.
struct Year {
    before: Vec<u64>,
}

impl Year {
    fn of(rows: u64) -> Self {
        let weight = |hour: usize| 100 + 90 * ((hour % 24) as i64 - 12).unsigned_abs() / 12;
        let total: u64 = (0..HOURS).map(weight).sum();
        let mut sum = 0;
        let mut before = vec![0];
        for hour in 0..HOURS {
            sum += weight(hour);
            before.push((u128::from(rows) * u128::from(sum) / u128::from(total)) as u64);
        }
        Self { before }
    }

    fn rows(&self) -> u64 {
        *self.before.last().unwrap()
    }

    /// The second of a row, counted from 0.
    fn second(&self, row: u64) -> u64 {
        let hour = self.before.partition_point(|before| *before <= row) - 1;
        let (first, next) = (self.before[hour], self.before[hour + 1]);
        hour as u64 * HOUR + (row - first) * HOUR / (next - first)
    }

    /// The first row at or after a second.
    fn row_at(&self, second: u64) -> u64 {
        let hour = (second / HOUR) as usize;
        if hour >= HOURS {
            return self.rows();
        }
        let (first, rows) = (self.before[hour], self.before[hour + 1] - self.before[hour]);
        first + ((second % HOUR) * rows).div_ceil(HOUR)
    }

    fn page(&self, query: &PageQuery) -> Vec<RowKey> {
        let from_start = |second: EpochSeconds| u64::try_from(second.get() - START).unwrap_or(0);
        let low = query.min_create_time.map_or(0, |min| self.row_at(from_start(min)));
        let high = query.max_create_time.map_or(self.rows(), |max| self.row_at(from_start(max) + 1));
        let skip = u64::from(query.page.get() - 1) * u64::from(SOURCE.page_size);
        let many = high.saturating_sub(low).saturating_sub(skip).min(u64::from(SOURCE.page_size));
        let row = |place: u64| match query.order {
            TimeOrder::OldestFirst | TimeOrder::MostViewedFirst => low + skip + place,
            TimeOrder::NewestFirst => high - 1 - skip - place,
        };
        let key = |row: u64| RowKey {
            second: EpochSeconds::new(START + i64::try_from(self.second(row)).unwrap()),
            video: VideoKey(row + 1),
        };
        (0..many).map(row).map(key).collect()
    }
}

/// What a run came to.
#[derive(Debug, Default)]
struct Sums {
    requests: u64,
    slots: u64,
    splits: u64,
    scans: BTreeMap<String, u64>,
    most_windows: usize,
    most_held_pages: usize,
    seconds: u64,
}

struct Scale {
    year: Year,
    planner: Planner,
    region: Region,
    workers: usize,
    gap_us: u64,
    now_us: u64,
    next_permit_us: u64,
    arrivals: BinaryHeap<Reverse<(u64, u64)>>,
    flights: BTreeMap<u64, Task>,
    held: BinaryHeap<Reverse<EpochSeconds>>,
    sums: Sums,
}

impl Scale {
    fn new(rows: u64, rate: u64, workers: usize) -> Self {
        let range = TimeRange::new(EpochSeconds::new(START), EpochSeconds::new(START + (HOURS as u64 * HOUR) as i64));
        let region = region("US");
        Self {
            year: Year::of(rows),
            planner: Planner::new(std::slice::from_ref(&region), Filters::default(), range),
            region,
            workers,
            gap_us: 1_000_000 / rate,
            now_us: 0,
            next_permit_us: 0,
            arrivals: BinaryHeap::new(),
            flights: BTreeMap::new(),
            held: BinaryHeap::new(),
            sums: Sums::default(),
        }
    }

    fn run(mut self) -> Sums {
        let opening = self.planner.opening();
        self.record(&opening);
        while !self.planner.is_done() {
            while self.flights.len() < self.workers && self.employ(None) {}
            let Some(Reverse((at, number))) = self.arrivals.pop() else {
                assert!(self.planner.is_done(), "nothing to do and not done");
                break;
            };
            self.now_us = self.now_us.max(at);
            let task = self.flights.remove(&number).unwrap();
            self.land(task);
        }
        assert_eq!((self.planner.gaps().len(), self.planner.unproven().len()), (0, 0));
        self.sums.seconds = self.now_us / 1_000_000;
        self.sums
    }

    fn employ(&mut self, reads: Option<WindowId>) -> bool {
        loop {
            let context = PlanContext {
                now: EpochSeconds::new(1_790_000_000 + (self.now_us / 1_000_000) as i64),
                idle_workers: self.workers.saturating_sub(self.flights.len()).max(1),
                ..PlanContext::usual()
            };
            match self.planner.next(reads, &context) {
                Decision::Record(events) => self.record(&events),
                Decision::Idle | Decision::Wait(_) => return false,
                Decision::Stop(why) => panic!("{why}"),
                Decision::Ask(task) => {
                    self.send(*task);
                    return true;
                }
            }
        }
    }

    fn send(&mut self, task: Task) {
        self.planner.set_out(&task);
        self.next_permit_us = self.next_permit_us.max(self.now_us) + self.gap_us;
        self.arrivals.push(Reverse((self.next_permit_us + LATENCY_MS * 1_000, self.sums.requests)));
        self.flights.insert(self.sums.requests, task);
        self.sums.requests += 1;
    }

    fn record(&mut self, events: &[PlanEvent]) {
        for event in events {
            self.sums.splits += u64::from(matches!(event, PlanEvent::WindowSplit { .. }));
            if let PlanEvent::ScanStarted { why, .. } = event {
                *self.sums.scans.entry(format!("{why:?}")).or_default() += 1;
            }
            self.planner.apply_event(event);
        }
    }

    fn land(&mut self, task: Task) {
        let rows = self.year.page(&task.query);
        self.held.extend(rows.last().map(|row| Reverse(row.second)));
        self.sums.slots += rows.len() as u64;
        let fetched_at = EpochSeconds::new(1_790_000_000 + (self.now_us / 1_000_000) as i64);
        let window = task.window;
        self.planner.came_back(&task);
        self.planner.apply_page(&PageFact {
            address: task.address,
            fetched_at,
            slots: rows.len() as u32,
            rows,
            check: Default::default(),
        });
        if self.sums.requests.is_multiple_of(SLICE_EVERY) {
            self.release();
        }
        self.employ(Some(window));
    }

    /// What is settled is published, and its pages leave the journal.
    fn release(&mut self) {
        let windows = self.planner.regions().iter().map(|plan| plan.windows.len()).sum();
        self.sums.most_windows = self.sums.most_windows.max(windows);
        self.sums.most_held_pages = self.sums.most_held_pages.max(self.held.len());
        let until = self.planner.watermark(&self.region);
        while self.held.peek().is_some_and(|Reverse(second)| *second < until) {
            self.held.pop();
        }
    }
}

/// The process's largest memory so far, where the system tells it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown").to_owned()
}

fn walked(rows: u64, rate: u64, workers: usize) -> f64 {
    let sums = Scale::new(rows, rate, workers).run();
    let floor = rows.div_ceil(u64::from(SOURCE.page_size));
    let over = sums.requests as f64 / floor as f64 - 1.0;
    let read_twice = sums.slots as f64 / rows as f64 - 1.0;
    println!(
        "{rows} rows at {rate}/s, {workers} workers: {:.4} % over the floor, {:.4} % of rows twice, {:.2} days, {:.4} times \
         what the rate allows; {sums:?}; {}",
        over * 100.0,
        read_twice * 100.0,
        sums.seconds as f64 / 86_400.0,
        sums.seconds as f64 * rate as f64 / sums.requests as f64,
        peak_memory()
    );
    assert!(sums.slots >= rows, "{} of {rows} rows came", sums.slots);
    over
}

/// The longest walk that every run of the tests can afford.
#[test]
fn a_year_of_three_million_rows_costs_little_over_the_floor() {
    for (rate, workers) in [(20, 16), (1_000, 300)] {
        let over = walked(3_000_000, rate, workers);
        assert!(over <= 0.005, "{over}");
    }
}

#[test]
#[ignore = "takes minutes; the figures in docs/cost.md come from here"]
fn a_year_of_a_billion_rows_is_walked_in_virtual_time() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rows = number("PLAN_ROWS").unwrap_or(100_000_000);
    let rates = number("PLAN_RATE").map_or(vec![20, 100, 1_000], |rate| vec![rate]);
    for rate in rates {
        let workers = (rate * LATENCY_MS * 5 / 4 / 1_000).max(16) as usize;
        assert!(walked(rows, rate, workers) <= 0.001);
    }
}
