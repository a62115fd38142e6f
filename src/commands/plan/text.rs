//! A forecast for a person: readable at 80 columns, without colours. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::{FormattedDuration, HumanBytes, HumanCount};

use crate::plan::walk::step::Consistency;

use super::told::{Amount, Pace, Told, Whole};

/// The whole text, a line each.
pub(super) fn text(told: &Told) -> String {
    let mut text = String::new();
    if told.regions.is_empty() {
        line(&mut text, "range", &range(told));
        line(&mut text, "credits", "0: the output holds all of it already, so `run` would send no request");
        return text;
    }
    let regions: Vec<&str> = told.regions.iter().map(|region| region.region.as_str()).collect();
    line(&mut text, "range", &format!("{}, {}", range(told), regions.join(" ")));
    line(&mut text, "rows", &rows(&told.rows, told.exact));
    if told.regions.len() > 1 {
        for region in &told.regions {
            line(&mut text, "", &format!("{} {}", region.region, rows(&region.rows, region.exact)));
        }
    }
    write_credits(&mut text, told);
    line(&mut text, "time", &format!("{}, {}", times(&told.seconds), in_words(&told.rate)));
    write_output(&mut text, told);
    write_exposure(&mut text, told);
    line(&mut text, "next", "`run` with the same settings goes on from here, and buys no page again");
    text
}

fn line(text: &mut String, name: &str, told: &str) {
    let _ = writeln!(text, "{}", format!("{name:<9} {told}").trim_end());
}

fn range(told: &Told) -> String {
    format!("{} up to {}", told.range.start, told.range.end)
}

fn rows(rows: &Whole, is_exact: bool) -> String {
    if is_exact { format!("{}, counted", HumanCount(rows.estimate)) } else { counts(rows) }
}

/// An estimate with its interval.
fn counts(of: &Whole) -> String {
    format!("about {} ({} to {})", HumanCount(of.estimate), HumanCount(of.low), HumanCount(of.high))
}

fn times(of: &Whole) -> String {
    let told = |seconds: u64| FormattedDuration(Duration::from_secs(seconds)).to_string();
    format!("about {} ({} to {})", told(of.estimate), told(of.low), told(of.high))
}

fn write_credits(text: &mut String, told: &Told) {
    let spent = HumanCount(told.requests_spent);
    line(text, "credits", &format!("{}, of which this forecast spent {spent}", counts(&told.credits)));
    if told.requests_spent_before > 0 {
        line(text, "", &format!("and {} before it, which are paid", HumanCount(told.requests_spent_before)));
    }
    if let Some(price) = &told.price {
        line(text, "price", &money(price));
    }
    if let Some(share) = &told.quota_share {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let of =
            format!("{} ({} to {}) of budget.quota", percent(share.estimate), percent(share.low), percent(share.high));
        line(text, "quota", &of);
    }
    if let Some(max) = told.max_credits.filter(|max| told.requests_spent_before + told.credits.high > *max) {
        line(text, "", &format!("the run may end at max_credits, {}, before it is complete", HumanCount(max)));
    }
}

fn money(price: &Amount) -> String {
    format!("about {:.2} ({:.2} to {:.2})", price.estimate, price.low, price.high)
}

fn in_words(rate: &Pace) -> String {
    let told = |rate: f64| if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") };
    match rate.source {
        "given" => format!("at the given {} requests/s", told(rate.high)),
        "learned" => format!("at the learned {} requests/s", told((rate.low * rate.high).sqrt())),
        _ => format!("at {} to {} requests/s: the limit is not known", told(rate.low), told(rate.high)),
    }
}

fn write_output(text: &mut String, told: &Told) {
    let (bytes, files, shape) = (&told.bytes, &told.files, &told.output);
    let size = |bytes: u64| HumanBytes(bytes).to_string();
    line(text, "output", &format!("about {} ({} to {})", size(bytes.estimate), size(bytes.low), size(bytes.high)));
    let a_day = format!("{:.1} a day and region, {} each", shape.files_a_day, size(shape.bytes_a_file));
    line(text, "files", &format!("about {}, {a_day}, by {}", HumanCount(files.estimate), name(&shape.partition)));
    if let (Some(better), Some(files)) = (&shape.better_partition, shape.files_then) {
        let better = name(better);
        line(
            text,
            "",
            &format!("--partition {better} makes about {} of them, which suits readers better", HumanCount(files)),
        );
    }
}

fn name(word: &impl serde::Serialize) -> String {
    serde_json::to_value(word).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn write_exposure(text: &mut String, told: &Told) {
    let exposure = &told.exposure;
    let level = name(&exposure.level);
    if exposure.level == Consistency::Atomic {
        return line(
            text,
            "level",
            &format!("{level}: a deletion hides nothing but within a second that fills a page"),
        );
    }
    let (low, high) = (exposure.hidden_low, exposure.hidden_high);
    line(
        text,
        "level",
        &format!("{level}: a row that is deleted meanwhile may hide {low} to {high} others, if it falls"),
    );
    let of =
        format!("into a scan of {} pages that is being read, about {} s", exposure.scan_pages, exposure.scan_seconds);
    line(text, "", &of);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::places::Places;
    use crate::commands::run;
    use crate::config::Settings;
    use crate::export::{DamagedState, Ending, Forecast, Start};
    use crate::fetch::throttle::LearnedRate;
    use crate::plan::probing::RegionForecast;
    use crate::plan::tally::Interval;
    use crate::sink::layout::Partition;
    use crate::units::{Credits, DAY_SECONDS, EpochSeconds, TimeRange};

    fn days(many: i64) -> TimeRange {
        let start = EpochSeconds::new(1_764_547_200);
        TimeRange::new(start, start.shifted(many * DAY_SECONDS))
    }

    fn region(code: &str, rows: Interval, is_exact: bool) -> RegionForecast {
        let (region, span) = (code.parse().unwrap(), Some(days(31)));
        RegionForecast { region, rows, is_exact, bought: 10, span, shared_rows: 1.2, is_unknown: false }
    }

    fn forecast(regions: Vec<RegionForecast>) -> Forecast {
        Forecast {
            run: Some("6b08".to_owned()),
            range: days(31),
            regions,
            windows: 0,
            spent: 9,
            spent_before: 0,
            attempts_a_page: 1.0,
            rate: LearnedRate { limit: Some(50.0), used: None },
            latency_seconds: Some(0.1),
            sample: None,
            ending: Ending::Probed,
        }
    }

    fn told(forecast: &Forecast, change: impl FnOnce(&mut Settings)) -> Told {
        let mut settings = Settings::default();
        settings.question.from = Some("2025-12-01".parse().unwrap());
        settings.question.regions = forecast.regions.iter().map(|region| region.region.clone()).collect();
        settings.pace.max_in_flight = 16;
        change(&mut settings);
        let request =
            run::request(&settings, (Places::of(&settings, None).unwrap(), None), (Start::GoOn, DamagedState::Refused))
                .unwrap();
        Told::of(forecast, &settings, &request)
    }

    #[test]
    fn a_forecast_reads_on_a_terminal() {
        let counted = forecast(vec![region("US", Interval::exactly(400_000.0), true)]);
        let about = Interval { low: 2.0e6, estimate: 2.5e6, high: 3.1e6 };
        let estimated = forecast(vec![region("US", about, false), region("GB", Interval::exactly(90.0), true)]);
        let priced = |settings: &mut Settings| {
            settings.budget.credit_price = Some(0.002);
            settings.budget.quota = Some(Credits::new(500_000));
            settings.budget.max_credits = Some(Credits::new(50_000));
            settings.output.partition = Partition::Month;
        };
        let texts =
            [text(&told(&counted, |_| {})), text(&told(&estimated, priced)), text(&told(&forecast(vec![]), |_| {}))];
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn a_rate_is_given_or_learned_or_unknown() {
        let counted = forecast(vec![region("US", Interval::exactly(400_000.0), true)]);
        let of = |forecast: &Forecast, qps: &str| {
            let told = told(forecast, |settings| settings.pace.qps = qps.parse().unwrap());
            (told.rate.source, told.seconds)
        };
        let (source, seconds) = of(&counted, "100");
        assert!(source == "given" && (399..=410).contains(&seconds.estimate), "{seconds:?}");
        let (source, seconds) = of(&counted, "auto");
        assert!(source == "learned" && (790..=820).contains(&seconds.estimate), "{seconds:?}");
        let unknown = Forecast { rate: LearnedRate::default(), ..counted.clone() };
        let (source, seconds) = of(&unknown, "auto");
        assert!(source == "unknown" && seconds.low < 300 && seconds.high > 20_000, "{seconds:?}");
        let (_, seconds) = of(&counted, "100000");
        assert!(seconds.estimate >= 250, "16 requests at once of a tenth of a second are 160 a second: {seconds:?}");
    }

    #[test]
    fn the_price_is_that_of_the_level_and_of_trouble() {
        let counted = forecast(vec![region("US", Interval::exactly(400_000.0), true)]);
        let credits = |forecast: &Forecast, level: Consistency| {
            told(forecast, |settings| settings.plan.consistency = level).credits
        };
        let anchored = credits(&counted, Consistency::Anchored);
        assert!(anchored.low >= 40_000 && anchored.estimate <= 40_100 && anchored.high <= 40_400, "{anchored:?}");
        let atomic = credits(&counted, Consistency::Atomic);
        assert!((45_000..47_000).contains(&atomic.estimate) && atomic.high >= 80_000, "{atomic:?}");
        let troubled = Forecast { attempts_a_page: 1.5, ..counted };
        assert!(credits(&troubled, Consistency::Anchored).high >= 60_000);
    }

    #[test]
    fn a_better_partition_is_named_where_files_would_be_tiny() {
        let of = |rows: f64, partition: Partition| {
            let counted = forecast(vec![region("US", Interval::exactly(rows), true)]);
            told(&counted, |settings| settings.output.partition = partition).output
        };
        assert_eq!(of(20_000.0, Partition::Day).better_partition, Some(Partition::None));
        assert_eq!(of(200_000.0, Partition::Day).better_partition, Some(Partition::Month));
        assert_eq!(of(2_000_000.0, Partition::Day).better_partition, None);
        assert_eq!(of(20_000.0, Partition::None).better_partition, None);
        assert_eq!(of(3.0e9, Partition::None).better_partition, Some(Partition::Month), "a folder of hundreds of GiB");
    }

    #[test]
    fn regions_that_nobody_could_ask_for_are_taken_to_be_like_the_others() {
        let unknown = RegionForecast { is_unknown: true, ..region("GB", Interval::default(), false) };
        let told = told(&forecast(vec![region("US", Interval::exactly(1_000.0), true), unknown]), |_| {});
        assert_eq!((told.rows.low, told.rows.estimate, told.exact), (1_000, 2_000, false));
    }
}
