//! Folds events into the numbers that a display shows. Pure: the time since the start comes in as an argument.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::api::contract::Region;
use crate::progress::{AttemptOutcome, Event};
use crate::units::{ByteCount, Credits, EpochSeconds, RowCount, TimeRange};

/// Samples that the rate is measured over; with one a second, the last minute.
const MOST_SAMPLES: usize = 60;
/// The least time between two samples.
const BETWEEN_SAMPLES: Duration = Duration::from_secs(1);
/// A rate over less time than this is chance.
const LEAST_RATE_SPAN: Duration = Duration::from_secs(3);
/// A forecast from less time, or from less than this share of the range, is chance.
const LEAST_FORECAST_SPAN: Duration = Duration::from_secs(10);
const LEAST_FORECAST_SHARE: f64 = 0.01;

/// Everything that the events of this start add up to. Bounded: one entry for each region and each open window.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    range: Option<TimeRange>,
    regions: BTreeMap<Region, RegionTally>,
    attempts: Credits,
    throttled: u64,
    failed: u64,
    answered: u64,
    parts: u64,
    part_bytes: ByteCount,
    published_rows: RowCount,
    last_page: Option<Duration>,
    gaps: u64,
    unproven: u64,
    permitted_per_second: Option<f64>,
    held: Option<(Duration, String)>,
    first: Option<Sample>,
    samples: VecDeque<Sample>,
}

#[derive(Clone, Debug, Default)]
struct RegionTally {
    rows: RowCount,
    range_seconds: i64,
    finished_seconds: i64,
    open: BTreeMap<EpochSeconds, EpochSeconds>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    answered: u64,
    settled_seconds: i64,
}

/// The numbers at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// The regions, by code.
    pub regions: Vec<RegionView>,
    /// Rows of all regions that are durable.
    pub rows: RowCount,
    /// Attempts of the run over all its starts.
    pub attempts: Credits,
    /// Attempts of this start that were throttled.
    pub throttled: u64,
    /// Attempts of this start that failed otherwise.
    pub failed: u64,
    /// Parts that this start published.
    pub parts: u64,
    /// Their size.
    pub part_bytes: ByteCount,
    /// Rows of the run's parts, those of former starts included.
    pub published_rows: RowCount,
    /// How long ago the last page of this start became durable; none before the first.
    pub last_page_ago: Option<Duration>,
    /// Gaps listed by this start.
    pub gaps: u64,
    /// Unproven ranges listed by this start.
    pub unproven: u64,
    /// Pages a second over the last minute; none before it is measured.
    pub pages_per_second: Option<f64>,
    /// Requests a second that are admitted.
    pub permitted_per_second: Option<f64>,
    /// How long all requests still wait, and why.
    pub held: Option<(Duration, String)>,
    /// The share of the range that is settled, over all regions, 0 to 1.
    pub settled_share: f64,
    /// How long the rest may take at the speed so far; none before it is measured.
    pub remaining: Option<Duration>,
}

/// One region at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionView {
    /// The region.
    pub region: Region,
    /// Rows that are durable.
    pub rows: RowCount,
    /// Seconds of the range that are settled.
    pub settled_seconds: i64,
    /// Seconds of the range.
    pub range_seconds: i64,
}

impl Tally {
    /// Folds one event, which happened `now` after the start.
    pub fn apply(&mut self, event: &Event, now: Duration) {
        match event {
            Event::RunStarted { range, regions, attempts } => {
                self.range = Some(*range);
                self.attempts = *attempts;
                self.published_rows = RowCount::ZERO;
                for start in regions {
                    self.published_rows = self.published_rows.plus(start.rows);
                    let tally = self.regions.entry(start.region.clone()).or_default();
                    (tally.rows, tally.range_seconds) = (start.rows, start.range_seconds);
                }
            }
            Event::WindowResumed { region, window, position } => self.region(region).reach(*window, *position),
            Event::Attempt(outcome) => self.count(*outcome),
            Event::PageDurable { region, rows, window, position } => {
                self.last_page = Some(now);
                let tally = self.region(region);
                tally.rows = tally.rows.plus(*rows);
                if let Some(position) = position {
                    tally.reach(*window, *position);
                }
            }
            Event::RateChanged { per_second } => self.permitted_per_second = Some(*per_second),
            Event::Held { wait, why } => self.held = Some((now.saturating_add(*wait), why.clone())),
            Event::WindowFinished { region, window } => self.region(region).finish(*window),
            Event::PartPublished { bytes, rows, .. } => {
                self.published_rows = self.published_rows.plus(*rows);
                self.parts += 1;
                self.part_bytes = self.part_bytes.plus(*bytes);
            }
            Event::GapListed { .. } => self.gaps += 1,
            Event::UnprovenListed { .. } => self.unproven += 1,
            Event::StageFinished { .. } => {}
        }
    }

    /// Remembers where the run stands `now`, at most once a second, so that speed can be measured.
    pub fn sample(&mut self, now: Duration) {
        let due = self.samples.back().is_none_or(|last| now >= last.at + BETWEEN_SAMPLES);
        if self.range.is_none() || !due {
            return;
        }
        let sample = Sample { at: now, answered: self.answered, settled_seconds: self.settled_seconds() };
        self.first.get_or_insert(sample);
        self.samples.push_back(sample);
        if self.samples.len() > MOST_SAMPLES {
            self.samples.pop_front();
        }
    }

    /// The numbers as they are `now`.
    pub fn view(&self, now: Duration) -> View {
        let region_view = |(region, tally): (&Region, &RegionTally)| RegionView {
            region: region.clone(),
            rows: tally.rows,
            settled_seconds: tally.settled_seconds().min(tally.range_seconds),
            range_seconds: tally.range_seconds,
        };
        let held = self.held.as_ref().and_then(|(until, why)| Some((until.checked_sub(now)?, why.clone())));
        View {
            regions: self.regions.iter().map(region_view).collect(),
            rows: self.regions.values().fold(RowCount::ZERO, |sum, tally| sum.plus(tally.rows)),
            attempts: self.attempts,
            throttled: self.throttled,
            failed: self.failed,
            parts: self.parts,
            part_bytes: self.part_bytes,
            published_rows: self.published_rows,
            last_page_ago: self.last_page.map(|at| now.saturating_sub(at)),
            gaps: self.gaps,
            unproven: self.unproven,
            pages_per_second: self.pages_per_second(),
            permitted_per_second: self.permitted_per_second,
            held: held.filter(|(left, _)| !left.is_zero()),
            settled_share: share(self.settled_seconds(), self.all_seconds()),
            remaining: self.remaining(),
        }
    }

    fn region(&mut self, region: &Region) -> &mut RegionTally {
        self.regions.entry(region.clone()).or_default()
    }

    fn count(&mut self, outcome: AttemptOutcome) {
        self.attempts = self.attempts.plus(Credits::new(1));
        match outcome {
            AttemptOutcome::Answered => self.answered += 1,
            AttemptOutcome::Throttled => self.throttled += 1,
            AttemptOutcome::Failed => self.failed += 1,
        }
    }

    fn all_seconds(&self) -> i64 {
        self.regions.values().map(|tally| tally.range_seconds).sum()
    }

    fn settled_seconds(&self) -> i64 {
        self.regions.values().map(RegionTally::settled_seconds).sum::<i64>().min(self.all_seconds())
    }

    fn pages_per_second(&self) -> Option<f64> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let span = last.at.checked_sub(first.at).filter(|span| *span >= LEAST_RATE_SPAN)?;
        let pages = u32::try_from(last.answered - first.answered).unwrap_or(u32::MAX);
        Some(f64::from(pages) / span.as_secs_f64())
    }

    fn remaining(&self) -> Option<Duration> {
        let (first, last) = (self.first?, self.samples.back()?);
        let span = last.at.checked_sub(first.at).filter(|span| *span >= LEAST_FORECAST_SPAN)?;
        let won = share(last.settled_seconds - first.settled_seconds, self.all_seconds());
        if won < LEAST_FORECAST_SHARE {
            return None;
        }
        let left = 1.0 - share(last.settled_seconds, self.all_seconds());
        Duration::try_from_secs_f64(span.as_secs_f64() * left / won).ok()
    }
}

impl RegionTally {
    fn reach(&mut self, window: TimeRange, position: EpochSeconds) {
        self.open.insert(window.start, position.min(window.end).max(window.start));
    }

    fn finish(&mut self, window: TimeRange) {
        self.open.remove(&window.start);
        self.finished_seconds = self.finished_seconds.saturating_add(window.seconds());
    }

    fn settled_seconds(&self) -> i64 {
        self.open.iter().fold(self.finished_seconds, |sum, (start, position)| sum + position.since(*start))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for a display; seconds of a range are far below 2^52")]
fn share(part: i64, whole: i64) -> f64 {
    if whole <= 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::RegionStart;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    fn region(code: &str) -> Region {
        code.parse().unwrap()
    }

    fn started(codes: &[&str]) -> Tally {
        let regions = codes
            .iter()
            .map(|code| RegionStart { region: region(code), rows: RowCount::new(5), range_seconds: 1_000 })
            .collect();
        let mut tally = Tally::default();
        tally.apply(&Event::RunStarted { range: range(0, 1_000), regions, attempts: Credits::new(7) }, Duration::ZERO);
        tally
    }

    fn page(position: i64, window: TimeRange) -> Event {
        Event::PageDurable {
            region: region("US"),
            rows: RowCount::new(10),
            window,
            position: Some(EpochSeconds::new(position)),
        }
    }

    fn settled(tally: &Tally) -> i64 {
        tally.view(Duration::ZERO).regions[0].settled_seconds
    }

    #[test]
    fn settled_time_follows_positions_splits_and_ends() {
        let mut tally = started(&["US"]);
        tally.apply(&page(300, range(0, 1_000)), Duration::ZERO);
        assert_eq!(settled(&tally), 300);
        // The later half is stolen; both halves are read on, the first beyond its new end.
        tally.apply(&page(700, range(600, 1_000)), Duration::ZERO);
        tally.apply(&page(605, range(0, 600)), Duration::ZERO);
        assert_eq!(settled(&tally), 700);
        tally.apply(&Event::WindowFinished { region: region("US"), window: range(0, 600) }, Duration::ZERO);
        assert_eq!(settled(&tally), 700);
        assert_eq!(tally.view(Duration::ZERO).rows, RowCount::new(35));
    }

    /// A region's newest page, asked before any walk, moved its bar to the end at once.
    #[test]
    fn a_page_that_no_walk_asked_for_moves_nothing() {
        let mut tally = started(&["US"]);
        let newest = Event::PageDurable {
            region: region("US"),
            rows: RowCount::new(10),
            window: range(0, 1_000),
            position: None,
        };
        tally.apply(&newest, Duration::ZERO);
        assert_eq!(settled(&tally), 0);
        tally.apply(&page(300, range(0, 1_000)), Duration::ZERO);
        tally.apply(&newest, Duration::ZERO);
        assert_eq!(settled(&tally), 300);
        assert_eq!(tally.view(Duration::ZERO).rows, RowCount::new(35));
    }

    #[test]
    fn a_resumed_start_counts_on_from_the_former_ones() {
        let mut tally = started(&["GB", "US"]);
        let resumed =
            Event::WindowResumed { region: region("GB"), window: range(0, 1_000), position: EpochSeconds::new(500) };
        tally.apply(&resumed, Duration::ZERO);
        tally.apply(&Event::Attempt(AttemptOutcome::Throttled), Duration::ZERO);
        let view = tally.view(Duration::ZERO);
        assert_eq!((view.attempts, view.throttled), (Credits::new(8), 1));
        assert!((view.settled_share - 0.25).abs() < 1e-9);
    }

    #[test]
    fn a_hold_is_over_when_its_time_is() {
        let mut tally = started(&["US"]);
        tally.apply(&Event::Held { wait: Duration::from_secs(4), why: "429".to_owned() }, Duration::from_secs(1));
        assert_eq!(tally.view(Duration::from_secs(3)).held, Some((Duration::from_secs(2), "429".to_owned())));
        assert_eq!(tally.view(Duration::from_secs(5)).held, None);
    }

    #[test]
    fn speed_and_forecast_are_told_only_once_they_are_measured() {
        let mut tally = started(&["US"]);
        for second in 0..=20_i64 {
            let now = Duration::from_secs(second.unsigned_abs());
            tally.apply(&page(second * 10, range(0, 1_000)), now);
            tally.apply(&Event::Attempt(AttemptOutcome::Answered), now);
            tally.sample(now);
            let view = tally.view(now);
            assert_eq!(view.pages_per_second.is_some(), second >= 3, "{second}");
            assert_eq!(view.remaining.is_some(), second >= 10, "{second}");
        }
        let view = tally.view(Duration::from_secs(20));
        assert!((view.pages_per_second.unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(view.remaining.unwrap().as_secs(), 80);
    }

    #[test]
    fn the_rate_forgets_what_is_older_than_a_minute() {
        let mut tally = started(&["US"]);
        for second in 0..500_u64 {
            if second < 300 {
                tally.apply(&Event::Attempt(AttemptOutcome::Answered), Duration::from_secs(second));
            }
            tally.sample(Duration::from_secs(second));
        }
        assert_eq!(tally.view(Duration::from_secs(500)).pages_per_second, Some(0.0));
        assert_eq!(tally.samples.len(), MOST_SAMPLES);
    }
}
