//! The bars of a terminal: one for each region along its axis of time, and a line of totals below.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{FormattedDuration, HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressStyle};

use crate::api::contract::Region;
use crate::progress::View;
use crate::progress::tally::RegionView;

/// Bars that follow one run; regions get theirs when they first appear.
pub(super) struct Bars {
    screen: MultiProgress,
    regions: BTreeMap<Region, ProgressBar>,
    totals: ProgressBar,
}

impl Bars {
    /// Bars on `screen`, nothing drawn yet.
    pub(super) fn new(screen: MultiProgress) -> Self {
        let totals = screen.add(ProgressBar::new(0).with_style(style("{wide_msg}")));
        Self { screen, regions: BTreeMap::new(), totals }
    }

    /// Shows the numbers of one moment.
    pub(super) fn draw(&mut self, view: &View) {
        for region in &view.regions {
            let bar = self.regions.entry(region.region.clone()).or_insert_with(|| {
                let bar = ProgressBar::new(length(region.range_seconds)).with_prefix(region.region.to_string());
                let bar = bar.with_style(style("{prefix:>6} {wide_bar} {percent:>3} %  {msg}"));
                self.screen.insert_before(&self.totals, bar)
            });
            show(bar, region);
        }
        self.totals.set_message(totals(view));
        self.totals.tick();
    }

    /// Takes the bars off the terminal; what remains to be said is the summary's.
    pub(super) fn clear(self) {
        self.regions.values().for_each(ProgressBar::finish_and_clear);
        self.totals.finish_and_clear();
        // A terminal that is gone has nothing to be cleared from.
        let _gone = self.screen.clear();
    }
}

fn show(bar: &ProgressBar, region: &RegionView) {
    bar.set_length(length(region.range_seconds));
    bar.set_position(length(region.settled_seconds));
    bar.set_message(format!("{:>11} rows", HumanCount(region.rows.get()).to_string()));
}

/// The totals of a moment in one line; what is not measured is left out.
fn totals(view: &View) -> String {
    let mut words =
        vec![format!("{} rows", HumanCount(view.rows.get())), format!("{} credits", HumanCount(view.attempts.get()))];
    match (view.pages_per_second, view.permitted_per_second) {
        (Some(rate), Some(permitted)) => words.push(format!("{rate:.1} of {permitted:.1} pages/s")),
        (Some(rate), None) => words.push(format!("{rate:.1} pages/s")),
        _ => {}
    }
    if view.parts > 0 {
        words.push(format!("{} parts, {}", HumanCount(view.parts), HumanBytes(view.part_bytes.get())));
    }
    for (count, name) in [(view.throttled, "throttled"), (view.failed, "failed"), (view.gaps, "gaps")] {
        if count > 0 {
            words.push(format!("{} {name}", HumanCount(count)));
        }
    }
    match (&view.held, view.remaining) {
        (Some((left, why)), _) => words.push(format!("waiting {} s: {why}", left.as_secs() + 1)),
        (None, Some(left)) => words.push(format!("about {} left", FormattedDuration(whole_seconds(left)))),
        (None, None) => {}
    }
    format!("       {}", words.join(" · "))
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━━─")
}

fn length(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or_default()
}

fn whole_seconds(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs())
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;
    use crate::units::{ByteCount, Credits, RowCount};

    fn view() -> View {
        let region = |code: &str, settled_seconds| RegionView {
            region: code.parse().unwrap(),
            rows: RowCount::new(1_234_567),
            settled_seconds,
            range_seconds: 1_000,
        };
        View {
            regions: vec![region("GB", 250), region("US", 1_000)],
            rows: RowCount::new(2_469_134),
            attempts: Credits::new(246_950),
            throttled: 3,
            parts: 4,
            part_bytes: ByteCount::new(300 << 20),
            pages_per_second: Some(98.46),
            permitted_per_second: Some(100.0),
            remaining: Some(Duration::from_millis(3_725_400)),
            ..View::default()
        }
    }

    #[test]
    fn the_totals_are_told_in_one_line() {
        assert_eq!(
            totals(&view()),
            "       2,469,134 rows · 246,950 credits · 98.5 of 100.0 pages/s · 4 parts, 300.00 MiB · 3 throttled · about \
             01:02:05 left"
        );
    }

    #[test]
    fn each_region_has_one_bar_along_its_time() {
        let hidden = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let mut bars = Bars::new(hidden);
        bars.draw(&view());
        bars.draw(&view());
        let shown: Vec<_> = bars.regions.values().map(|bar| (bar.prefix(), bar.position(), bar.length())).collect();
        assert_eq!(shown, [("GB".to_owned(), 250, Some(1_000)), ("US".to_owned(), 1_000, Some(1_000))]);
        assert_eq!(bars.regions.values().next().unwrap().message(), "  1,234,567 rows");
        bars.clear();
    }

    #[test]
    fn a_forecast_gives_way_to_a_wait_and_is_absent_before_it_is_measured() {
        let held = View { held: Some((Duration::from_millis(1_500), "429".to_owned())), ..view() };
        assert!(totals(&held).ends_with("waiting 2 s: 429"));
        let fresh = View { rows: RowCount::ZERO, attempts: Credits::new(1), ..View::default() };
        assert_eq!(totals(&fresh), "       0 rows · 1 credits");
    }
}
