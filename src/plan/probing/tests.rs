use super::*;
use crate::api::contract::Filters;
use crate::plan::testing::{at, range, served, us};

const NOW: EpochSeconds = EpochSeconds::new(1_000);

fn context() -> PlanContext {
    PlanContext { now: NOW, idle_workers: 0, ..PlanContext::usual() }
}

/// A forecast of the seconds 0 to 100,000, of a service with a row at every fourth second up to `newest`, that may spend so many
/// credits: the plan after it, and what it asked for, one after the other.
fn forecast(newest: i64, credits: u32) -> (Planner, Vec<Purpose>) {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 100_000));
    plan.opening().iter().for_each(|event| plan.apply_event(event));
    let mut asked = Vec::new();
    loop {
        let left = credits - u32::try_from(asked.len()).unwrap();
        match plan.next_probe(left, 0.5, &context()) {
            Decision::Record(events) => events.iter().for_each(|event| plan.apply_event(event)),
            Decision::Ask(task) => {
                asked.push(task.address.purpose);
                plan.apply_page(&served(&task, newest, NOW, |_| true));
            }
            Decision::Idle => return (plan, asked),
            other => panic!("{other:?}"),
        }
    }
}

fn counts(asked: &[Purpose]) -> usize {
    asked.iter().filter(|purpose| matches!(purpose, Purpose::Count { .. })).count()
}

#[test]
fn a_region_of_few_pages_costs_no_more_than_its_pages_and_two() {
    let (plan, asked) = forecast(300, 50);
    let told = &plan.forecast()[0];
    assert!(told.rows.low <= 76.0 && 76.0 <= told.rows.high, "{told:?}");
    assert!(asked.len() <= 10, "{asked:?}");
}

#[test]
fn a_larger_region_is_counted_and_the_interval_holds_its_rows() {
    let (plan, asked) = forecast(80_000, 50);
    assert!(counts(&asked) > 0, "{asked:?}");
    let told = &plan.forecast()[0];
    assert!(told.rows.low <= 20_001.0 && 20_001.0 <= told.rows.high, "{told:?}");
    assert!(asked.len() <= 50);
}

#[test]
fn no_more_credits_are_spent_than_are_given() {
    for credits in [0, 1, 2, 3, 7] {
        let (_, asked) = forecast(80_000, credits);
        assert!(asked.len() <= credits as usize, "{credits}: {asked:?}");
    }
    assert_eq!(forecast(80_000, 2).1, [Purpose::Walk { window: WindowId(0), scan: 0 }, Purpose::Newest]);
}

#[test]
fn a_region_whose_page_cannot_be_had_is_not_counted_any_further() {
    let (mut plan, _) = forecast(80_000, 3);
    assert!(matches!(plan.next_probe(10, 0.5, &context()), Decision::Ask(_)));
    plan.count_failed(&us());
    assert_eq!(plan.next_probe(10, 0.5, &context()), Decision::Idle);
}

/// What a forecast bought is not bought again.
#[test]
fn the_walk_takes_a_page_that_was_counted_by_where_it_asks_the_same() {
    let (plan, _) = forecast(80_000, 30);
    let (window, region) = (&plan.windows[&WindowId(0)], plan.region(&us()).unwrap());
    let walk = window.walk().unwrap();
    let (_, bought) = region.counted.pages.first_key_value().unwrap();
    let is_count = |page: &&PageFact| matches!(page.address.purpose, Purpose::Count { .. });
    let full: Vec<u32> =
        bought.values().filter(is_count).filter(|page| page.slots == 10).map(|page| page.address.page.get()).collect();
    assert!(!full.is_empty());
    for number in &full {
        let taken = plan.counted_already(window, walk, PageNumber::new(*number).unwrap());
        assert_eq!(taken.map(|page| page.address.page.get()), Some(*number));
    }
    let (never, anchor) =
        (PageNumber::new((1..).find(|page| !bought.contains_key(page)).unwrap()).unwrap(), walk.scan().anchor);
    assert_eq!((plan.counted_already(window, walk, never), anchor), (None, at(0)));
    let mut bounded = plan.clone();
    bounded.apply_event(&PlanEvent::WindowBounded { window: WindowId(0) });
    let window = &bounded.windows[&WindowId(0)];
    let taken = window.walk().and_then(|walk| bounded.counted_already(window, walk, PageNumber::new(full[0]).unwrap()));
    assert_eq!(taken, None, "within its own bounds it asks for something else");
}

#[test]
fn what_is_read_again_is_forecast_by_the_density_of_the_whole() {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 1_000));
    plan.opening().iter().for_each(|event| plan.apply_event(event));
    plan.region_mut(&us()).unwrap().count_finished(range(0, 1_000), 2_000);
    let told = plan.forecast_again(&[(us(), range(100, 200)), ("GB".parse().unwrap(), range(0, 900))]);
    assert_eq!(told.iter().map(|region| (region.rows.estimate, region.is_exact)).collect::<Vec<_>>(), [(200.0, false)]);
    assert!(told[0].rows.high >= 1_000.0, "they are read again since something was odd there");
    assert_eq!(plan.forecast_again(&[]), []);
}
