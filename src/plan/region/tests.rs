use super::*;
use crate::plan::event::Contradiction;
use crate::plan::fact::PageAddress;
use crate::plan::fact::VideoKey;
use crate::units::PageNumber;

fn answered(is_known: bool, has_filters: bool) -> Result<Emptiness, Contradiction> {
    let region: Region = "US".parse().unwrap();
    let range = TimeRange::new(EpochSeconds::new(0), EpochSeconds::new(100));
    let mut plan = RegionPlan::reading(&Reads::whole(region.clone(), range), range);
    plan.answers.is_known = is_known;
    let mut asked = vec![];
    while let Ok(Emptiness::Ask(purpose)) = plan.emptiness(has_filters) {
        asked.push(purpose);
        let address = PageAddress { region: region.clone(), purpose, page: PageNumber::FIRST };
        let page =
            PageFact { address, fetched_at: EpochSeconds::new(1), slots: 0, rows: vec![], check: Default::default() };
        plan.apply(&page, false);
    }
    assert_eq!(asked.len(), if has_filters { 2 } else { 1 }, "{asked:?}");
    plan.emptiness(has_filters)
}

/// A page of a region that was asked for its seconds 0 to 100, with rows of these seconds, as they came.
fn page_of(plan: &RegionPlan, purpose: Purpose, seconds: &[i64]) -> PageFact {
    let row = |second: &i64| RowKey { second: EpochSeconds::new(*second), video: VideoKey(*second as u64) };
    let address = PageAddress { region: plan.region.clone(), purpose, page: PageNumber::FIRST };
    let (rows, slots) = (seconds.iter().map(row).collect(), seconds.len() as u32);
    PageFact { address, fetched_at: EpochSeconds::new(1), slots, rows, check: Default::default() }
}

/// Two rows stood out of order, and the one of the wrong date alone was looked for: the run ended with "epoch seconds are not understood".
#[test]
fn where_a_known_row_is_not_found_another_is_looked_for() {
    let region: Region = "US".parse().unwrap();
    let mut plan = RegionPlan::reading(&Reads::whole(region, range(200, 300)), range(200, 300));
    let known = |plan: &RegionPlan| plan.known_row().map(EpochSeconds::get);
    let (without_range, known_second) = (Purpose::WithoutRange, Purpose::KnownSecond);
    let mut answer = |purpose, seconds: &[i64]| {
        let page = page_of(&plan, purpose, seconds);
        plan.apply(&page, false);
        known(&plan)
    };
    let first = answer(without_range, &[150, 400]).unwrap();
    assert_eq!(answer(known_second, &[]), Some(first));
    let other = answer(without_range, &[150, 400]).unwrap();
    assert_eq!((first.min(other), first.max(other)), (150, 400));
    // Where there is no other, the same is looked for again.
    assert_eq!(answer(without_range, &[other]), Some(other));
    answer(known_second, &[]);
    assert_eq!(answer(without_range, &[other]), Some(other));
    // One that was found is known.
    answer(known_second, &[other]);
    assert_eq!(answer(without_range, &[150, 400]), Some(first));
}

/// The newest rows went, and others came after them: page 1 began behind the newest page, and the run ended since pages seemed to count from 0.
#[test]
fn a_region_that_has_begun_in_time_does_not_count_from_zero() {
    let region: Region = "US".parse().unwrap();
    let walk = Purpose::Walk { window: WindowId(0), scan: 0 };
    let opens_late = |openings: &[i64], newest_comes_after: usize| {
        let mut plan = RegionPlan::reading(&Reads::whole(region.clone(), range(0, 100)), range(0, 100));
        for (index, opening) in openings.iter().enumerate() {
            if index == newest_comes_after {
                plan.apply(&page_of(&plan, Purpose::Newest, &[50]), false);
            }
            let page = page_of(&plan, walk, &[*opening]);
            plan.apply(&page, true);
            plan.learn_opening(&page);
        }
        (plan.opens_after_the_newest(), plan.newest_is_second())
    };
    assert_eq!(opens_late(&[60, 60, 60], 1), (true, true), "it never began in time");
    assert_eq!(opens_late(&[50, 60, 60], 1), (false, false), "it did before the newest page came");
    assert_eq!(opens_late(&[50, 60, 60], 0), (false, false), "it did after that");
}

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
}

/// Where rows are known from second 10 through 19.
fn with_rows(range: TimeRange) -> RegionPlan {
    let reads = Reads::whole("US".parse().unwrap(), range);
    let (oldest, newest) = (Some(EpochSeconds::new(10)), Some(EpochSeconds::new(19)));
    let mut plan = RegionPlan::reading(&reads, range);
    (plan.extent.oldest, plan.extent.newest) = (oldest, newest);
    plan
}

/// Windows beside the known rows counted their rows and no second, so the density rose until each window was a second long.
#[test]
fn a_finished_window_counts_the_seconds_that_its_rows_may_lie_in() {
    type Finished<'a> = &'a [(TimeRange, u64)];
    let cases: [(&str, Finished<'_>, f64); 5] = [
        ("between the known rows", &[(range(0, 100), 500)], 50.0),
        ("a part of these", &[(range(15, 100), 500)], 100.0),
        ("beside them, with rows", &[(range(50, 150), 500)], 5.0),
        ("beside them, with rows, twice", &[(range(50, 150), 500), (range(150, 250), 300)], 4.0),
        ("beside them, without", &[(range(0, 20), 500), (range(50, 150), 0)], 50.0),
    ];
    for (what, finished, density) in cases {
        let mut plan = with_rows(range(0, 1_000));
        finished.iter().for_each(|(range, rows)| plan.count_finished(*range, *rows));
        assert_eq!(plan.density((0, 0)), density, "{what}");
    }
}

/// A run that goes on to a later end forgot that windows had taken an end for that of all rows.
#[test]
fn what_was_taken_for_the_end_is_remembered_until_all_is_read() {
    for (done_until, newest, refuted) in [
        (30, 50, Some(range(20, 40))),
        (100, 19, None),
        // Rows that came beyond are still to be looked for.
        (100, 50, Some(range(20, 40))),
    ] {
        let mut plan = with_rows(range(0, 100));
        plan.ends.nothing_follows(range(20, 40));
        (plan.done_until, plan.extent.newest) = (EpochSeconds::new(done_until), Some(EpochSeconds::new(newest)));
        plan.extend(range(100, 200));
        assert_eq!(plan.ends.refuted(Some(EpochSeconds::new(150))), refuted, "{done_until} {newest}");
    }
}

#[test]
fn a_region_without_any_row_is_believed_to_be_empty_only_where_the_output_has_held_rows_of_it() {
    for has_filters in [false, true] {
        assert_eq!(answered(true, has_filters), Ok(Emptiness::Believed));
        assert_eq!(answered(false, has_filters), Ok(Emptiness::Unproven));
    }
}
