use super::*;
use crate::plan::fact::{PageAddress, Purpose, RowKey, VideoKey};
use crate::plan::testing::{at, page_of, range, us};
use crate::units::PageNumber;

/// Rows that a service has, and how it serves them.
struct Service {
    seconds: Vec<i64>,
    /// The last page that it serves of a question.
    cap: u32,
    /// Whether it refuses what lies beyond, or answers with an empty page.
    refuses: bool,
    /// What becomes of a page on its way.
    spoil: fn(u32, PageFact) -> PageFact,
}

fn service(seconds: impl IntoIterator<Item = i64>) -> Service {
    Service { seconds: seconds.into_iter().collect(), cap: 1_000, refuses: false, spoil: |_, page| page }
}

impl Service {
    fn page(&self, anchor: EpochSeconds, number: u32) -> Option<PageFact> {
        let places = SOURCE.page_size as usize;
        let numbered = self.seconds.iter().enumerate().filter(|(_, second)| **second >= anchor.get() - 1);
        let rows = numbered.skip((number as usize - 1) * places).take(places);
        let rows: Vec<RowKey> =
            rows.map(|(video, second)| RowKey { second: at(*second), video: VideoKey(video as u64) }).collect();
        let page = PageNumber::new(number).unwrap();
        let address = PageAddress { region: us(), purpose: Purpose::Count { anchor }, page };
        let fact = PageFact { slots: rows.len() as u32, rows, ..page_of(address, at(1_000), []) };
        let is_served = number <= self.cap;
        let nothing = PageFact { slots: 0, rows: Vec::new(), ..fact.clone() };
        let is_refused = self.refuses && (!is_served || fact.rows.is_empty());
        (!is_refused).then(|| if is_served { (self.spoil)(number, fact) } else { nothing })
    }

    /// The newest row, as the newest page shows it.
    fn newest(&self) -> Option<Newest> {
        let second = *self.seconds.last()?;
        let places = SOURCE.page_size as usize;
        let first = self.seconds.len().saturating_sub(places);
        let page = &self.seconds[first..];
        let rows = page.iter().filter(|other| **other == second).count();
        let density = page.len() as f64 / (second - page[0] + 1) as f64;
        Some(Newest { second: at(second), rows: (rows < places).then_some(rows), density })
    }

    /// Counts the rows from 0 to 100,000, with credits for so many pages.
    fn count(&self, credits: u32) -> (Count, usize) {
        let (mut pages, mut refused) = (CountedPages::new(), BTreeSet::new());
        for asked in 0.. {
            let left = credits - asked as u32;
            let count = Tally {
                range: range(0, 100_000),
                pages: &pages,
                refused: &refused,
                newest: self.newest(),
                newest_is_known: true,
                cap: 1_000,
                credits: left,
                seed: 0.3,
            }
            .count();
            let Some((anchor, number)) = count.ask else { return (count, asked) };
            assert!(
                pages.get(&anchor).is_none_or(|pages| !pages.contains_key(&number)),
                "page {number} is asked twice"
            );
            match self.page(anchor, number) {
                Some(page) => drop(pages.entry(anchor).or_default().insert(number, page)),
                None => assert!(refused.insert((anchor, number)), "page {number} is asked twice"),
            }
        }
        unreachable!()
    }
}

/// Rows that come faster and faster.
fn faster() -> impl Iterator<Item = i64> {
    (1..=3_000).map(|row| 99_999 - 90_000 / row)
}

#[test]
fn rows_are_counted_exactly_in_few_pages_whatever_their_shape() {
    let shapes: [(&str, Service, usize); 8] = [
        ("evenly", service((0..50_000).step_by(7)), 10),
        ("one page", service((0..9_000).step_by(1_000)), 2),
        ("a page and nothing more", service((0..10_000).step_by(1_000)), 3),
        ("most of them at the beginning", service((0..3_000).chain((3_000..99_000).step_by(500))), 20),
        ("most of them at the end", service((0..90_000).step_by(500).chain(90_000..95_000)), 20),
        ("faster and faster", service(faster()), 25),
        ("five in each second", service((0..400).flat_map(|second| [second * 200; 5])), 10),
        ("one row", service([40_000]), 2),
    ];
    for (shape, mut service, most) in shapes {
        for refuses in [false, true] {
            service.refuses = refuses;
            let (count, asked) = service.count(200);
            let rows = service.seconds.len() as f64;
            assert_eq!((count.rows, count.is_exact), (Interval::exactly(rows), true), "{shape}, refused: {refuses}");
            assert!(asked <= most, "{shape}, refused: {refuses}: {asked} pages");
        }
    }
}

#[test]
fn where_too_few_pages_are_served_it_is_counted_on_from_the_last_second() {
    let capped = Service { cap: 40, ..service((0..20_000).step_by(10)) };
    let (count, asked) = capped.count(200);
    assert_eq!((count.rows, count.is_exact), (Interval::exactly(2_000.0), true));
    assert!(asked > 10, "{asked} pages cannot tell of five legs");
    // A second that fills all that is served may hold more rows than came.
    let full_second = Service { cap: 4, ..service((0..30).chain([100; 60]).chain(200..230)) };
    assert!(!full_second.count(200).0.is_exact);
}

#[test]
fn what_is_not_sound_is_not_called_exact() {
    fn short(number: u32, page: PageFact) -> PageFact {
        let lacks = number == 1 && page.rows.len() == 10;
        let rows = if lacks { page.rows[..8].to_vec() } else { page.rows.clone() };
        PageFact { slots: rows.len() as u32, rows, ..page }
    }
    fn disordered(number: u32, mut page: PageFact) -> PageFact {
        if number == 1 {
            page.rows.reverse();
        }
        page
    }
    fn repeated(number: u32, mut page: PageFact) -> PageFact {
        if number > 1 && page.rows.len() == 10 {
            page.rows[0] = RowKey { second: page.rows[0].second, video: VideoKey(3) };
        }
        page
    }
    type Spoil = fn(u32, PageFact) -> PageFact;
    let cases: [(&str, Spoil); 3] =
        [("a page that was not full", short), ("rows in no order", disordered), ("a row on two pages", repeated)];
    for (why, spoil) in cases {
        let spoiled = Service { spoil, ..service((0..50_000).step_by(7)) };
        let (count, _) = spoiled.count(200);
        assert!(!count.is_exact, "{why}");
        assert!(
            count.rows.low < count.rows.estimate && count.rows.estimate < count.rows.high,
            "{why}: {:?}",
            count.rows
        );
    }
}

#[test]
fn with_few_credits_the_number_is_a_range_that_holds_the_truth_and_gets_narrower() {
    let evenly = service((0..50_000).step_by(7));
    let rows = evenly.seconds.len() as f64;
    let width = |credits| {
        let (count, asked) = evenly.count(credits);
        assert_eq!((count.ask, count.is_exact, asked), (None, false, credits as usize));
        let Interval { low, high, .. } = count.rows;
        assert!(low <= rows && rows <= high, "{rows} by {credits} credits: {:?}", count.rows);
        high - low
    };
    let widths = [0, 1, 2, 3].map(width);
    assert!(widths.is_sorted_by(|one, next| one >= next) && widths[3] < widths[0], "{widths:?}");
}

/// Legs enough to count all would cost more than there is to spend.
#[test]
fn time_that_is_too_long_is_sampled_evenly() {
    let long = Service { cap: 20, ..service((0..100_000).step_by(2)) };
    let (count, asked) = long.count(30);
    let rows = long.seconds.len() as f64;
    assert_eq!((count.ask, count.is_exact, asked), (None, false, 30));
    assert!(count.rows.low <= rows && rows <= count.rows.high, "{:?}", count.rows);
    assert!(count.rows.high < 1.5 * rows, "{:?}", count.rows);
}

#[test]
fn samples_say_as_much_as_they_agree() {
    let of = |densities: &[f64]| {
        let length = 1_000 / densities.len() as i64;
        let samples =
            densities.iter().enumerate().map(|(place, density)| (at(place as i64 * length + length / 2), *density));
        Sampled { open: range(0, 1_000), samples: samples.collect(), guess: 500.0, spread: 3.0 }.rows()
    };
    let guessed = Interval { low: 500.0 / 3.0, estimate: 500.0, high: 1_510.0 };
    assert_eq!(of(&[9.0, 9.0]), guessed, "two samples say nothing");
    assert_eq!(of(&[2.0; 4]), Interval { low: 1_900.0, estimate: 2_000.0, high: 2_100.0 });
    let apart = of(&[1.0, 3.0, 1.0, 3.0]);
    assert!(apart.estimate == 2_000.0 && apart.low < 500.0 && apart.high > 3_500.0, "{apart:?}");
}
