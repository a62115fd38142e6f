use super::*;
use crate::api::contract::{Filters, PageQuery, TimeOrder};
use crate::plan::event::PlanEvent;
use crate::plan::fact::{PageAddress, Purpose, WindowId};
use crate::plan::planner::{Decision, PlanContext, Planner};
use crate::plan::testing::{page_of, range, read_to_the_end, served, served_in_places, us};
use crate::units::PageNumber;

const NEWEST: Option<EpochSeconds> = Some(EpochSeconds::new(1_000));

/// Seconds whose rows are lacking while the service is in trouble: one in three.
fn is_lacking(second: i64) -> bool {
    second % 12 == 8
}

/// Reads 100 rows by one worker. Of the pages that are asked before `until` and hold a second that is `troubled`, a third of the rows are
/// lacking. Tells what was asked, and the rows of the pages that may reach the output.
fn read(until: i64, troubled: impl Fn(i64) -> bool) -> (Planner, Vec<Purpose>, BTreeSet<i64>) {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 400));
    let (mut asked, mut shown) = (Vec::new(), BTreeSet::new());
    read_to_the_end(&mut plan, |task, now| {
        let keeps = |second| now.get() >= until || !is_lacking(second) || !troubled(second);
        let page = served(task, 396, now, keeps);
        shown.extend(page.rows.iter().map(|row| row.second.get()));
        asked.push(task.address.purpose);
        Some(page)
    });
    (plan, asked, shown)
}

fn rechecks(asked: &[Purpose]) -> usize {
    asked.iter().filter(|purpose| matches!(purpose, Purpose::Recheck { .. })).count()
}

#[test]
fn rows_that_all_looks_lacked_for_a_while_are_found_and_read() {
    for troubled in [0..400, 0..120, 100..200, 240..300] {
        let (plan, asked, shown) = read(1_010, |second| troubled.contains(&second));
        assert!(plan.is_done() && plan.unproven().is_empty(), "{troubled:?}: {:?}", plan.unproven());
        assert_eq!(shown.len(), 100, "{troubled:?}: {asked:?}");
        assert!(rechecks(&asked) > 0, "{troubled:?}: {asked:?}");
    }
}

#[test]
fn a_service_whose_short_pages_are_its_way_is_asked_once_more_and_believed() {
    let (plan, asked, shown) = read(i64::MAX, |_| true);
    assert!(plan.is_done() && plan.unproven().is_empty(), "{:?}", plan.unproven());
    assert_eq!((shown.len(), rechecks(&asked)), (67, 1), "{asked:?}");
    let (_, asked, _) = read(0, |_| true);
    assert_eq!(rechecks(&asked), 0, "full pages are not asked again");
}

/// An advertisement stood before the rows of each page for a while, in the place of the last of them: nothing else was odd, and one row of ten was
/// missing.
#[test]
fn rows_whose_places_others_had_for_a_while_are_read() {
    for (from, until) in [(0, 40), (3, 5), (5, 6)] {
        let mut plan = Planner::new(&[us()], Filters::default(), range(0, 400));
        let (mut asked, mut shown) = (Vec::new(), BTreeSet::new());
        read_to_the_end(&mut plan, |task, now| {
            let mut page = served(task, 396, now, |_| true);
            if (from..until).contains(&asked.len()) && now.get() < 1_010 && page.slots == 10 {
                page.rows.pop();
            }
            shown.extend(page.rows.iter().map(|row| row.second.get()));
            asked.push(task.address.purpose);
            Some(page)
        });
        assert!(plan.is_done() && plan.unproven().is_empty(), "{from}: {:?}", plan.unproven());
        assert_eq!(shown.len(), 100, "{from}: {asked:?}");
    }
}

#[test]
fn a_service_some_of_whose_rows_can_never_be_placed_is_asked_once_more_and_believed() {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 400));
    let mut asked = Vec::new();
    read_to_the_end(&mut plan, |task, now| {
        let slots = served(task, 396, now, |_| true).slots;
        asked.push(task.address.purpose);
        Some(PageFact { slots, ..served(task, 396, now, |second| second % 28 != 8) })
    });
    assert!(plan.is_done() && plan.unproven().is_empty(), "{:?}", plan.unproven());
    let walked = asked.iter().filter(|purpose| matches!(purpose, Purpose::Walk { .. })).count();
    assert_eq!((rechecks(&asked), walked), (1, 12), "{asked:?}");
}

/// For a while each page had five places. All looks agreed, so short pages were taken for the service's habit; then a page came whose number counts ten
/// rows for each page before it, and what it leapt over was missing with exit 0.
#[test]
fn rows_that_were_leapt_over_once_pages_had_all_their_places_again_are_read() {
    let mut is_whole = false;
    for small in [20, 40, 60, 100, 150] {
        let mut plan = Planner::new(&[us()], Filters::default(), range(0, 4_000));
        let (mut asked, mut shown) = (0, BTreeSet::new());
        read_to_the_end(&mut plan, |task, now| {
            asked += 1;
            let places = if asked <= small { 5 } else { 10 };
            let page = served_in_places(places, (task, 3_996, now), |_| true);
            shown.extend(page.rows.iter().map(|row| row.second.get()));
            Some(page)
        });
        let listed = |second: &i64| plan.unproven().iter().any(|one| one.range.contains(EpochSeconds::new(*second)));
        let lacking: Vec<i64> = (0..4_000).step_by(4).filter(|second| !shown.contains(second)).collect();
        assert!(plan.is_done() && lacking.iter().all(listed), "{small}: {lacking:?} after {asked} requests");
        is_whole |= lacking.is_empty() && plan.unproven().is_empty();
    }
    assert!(is_whole, "each time something was listed");
}

/// The region's rows lie right behind the range, where a bound that takes its own second in shows them. Asked again exactly, they did not come,
/// and the range was read anew for them and listed in the end.
#[test]
fn rows_behind_the_range_are_not_asked_for_again() {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 10));
    let mut asked = Vec::new();
    read_to_the_end(&mut plan, |task, now| {
        asked.push(task.address.purpose);
        let (min, max) = (task.query.min_create_time, task.query.max_create_time);
        let comes = |second: &i64| {
            let second = EpochSeconds::new(*second);
            min.is_none_or(|min| min <= second) && max.is_none_or(|max| second <= max)
        };
        let page = usize::try_from(task.query.page.get() - 1).unwrap();
        Some(page_of(task.address.clone(), now, [10].into_iter().filter(comes).skip(page * 10)))
    });
    assert!(plan.is_done() && plan.unproven().is_empty(), "{:?}", plan.unproven());
    assert_eq!(rechecks(&asked), 0, "{asked:?}");
}

fn short(seconds: std::ops::Range<i64>, slots: u32) -> ShortPage {
    let ends = EpochSeconds::new(seconds.end - 1);
    let rows = seconds.clone().step_by(4).map(|second| VideoKey(second as u64)).collect();
    ShortPage {
        range: range(seconds.start, seconds.end),
        amid: None,
        rows,
        slots,
        ends,
        at: EpochSeconds::new(1_000),
        leap: None,
    }
}

fn answer(seconds: impl IntoIterator<Item = i64>) -> PageFact {
    let purpose = Purpose::Recheck { from: EpochSeconds::new(40) };
    page_of(PageAddress { region: us(), purpose, page: PageNumber::FIRST }, EpochSeconds::new(1_020), seconds)
}

/// Whether a page with rows at 40, 44 and 48 is refuted by this answer, and when it is asked again, if ever.
fn answered(seconds: impl IntoIterator<Item = i64>) -> (bool, Option<i64>) {
    let mut recheck = Recheck::default();
    recheck.believe(&short(40..52, 3));
    assert_eq!(recheck.due(20), Some(EpochSeconds::new(1_020)));
    let is_refuted = recheck.take(&answer(seconds), NEWEST);
    (is_refuted, recheck.due(20).map(EpochSeconds::get))
}

#[test]
fn what_comes_again_tells_whether_a_short_page_left_rows_out() {
    assert_eq!(answered([40, 44, 48, 60]), (false, None), "it came as it was");
    assert_eq!(answered([40, 48, 60]), (false, None), "a row is gone");
    assert_eq!(answered(20..30), (false, None), "full of rows before it, as always");
    let unplaced = PageFact { slots: 8, ..answer([]) };
    let mut recheck = Recheck::default();
    recheck.believe(&short(40..52, 3));
    assert!(!recheck.take(&unplaced, NEWEST) && recheck.due(20).is_none(), "none of its rows can be placed");
    assert!(answered([40, 44, 46, 48]).0, "another row");
    assert_eq!(answered([]), (false, Some(1_040)), "nothing of it came");
    assert_eq!(answered([60, 64]), (false, Some(1_040)));
}

#[test]
fn a_page_of_which_nothing_comes_again_is_not_believed_for_ever() {
    let mut recheck = Recheck::default();
    recheck.believe(&short(40..52, 3));
    let refuted: Vec<bool> = (0..MOST_ASKED).map(|_| recheck.take(&answer([]), NEWEST)).collect();
    assert_eq!(refuted, [false, false, false, true]);
    assert_eq!(recheck.question(), Some((EpochSeconds::new(40), MOST_ASKED + 1)), "no question is asked twice");
}

/// A row that was not asked for took a place on more pages than are remembered, for a while.
#[test]
fn full_pages_that_come_without_the_odd_row_later_speak_against_those_that_are_not_asked_again() {
    for (rows_later, is_refuted) in [(10, true), (9, false)] {
        let mut recheck = Recheck::default();
        for start in (100..380).step_by(40) {
            recheck.believe(&short(start..start + 40, 10));
        }
        let mut refuted = false;
        while let (Some((from, _)), Some(_), false) = (recheck.question(), recheck.due(20), refuted) {
            let seconds = (from.get()..from.get() + 40).step_by(4).take(rows_later);
            refuted = recheck.take(&PageFact { slots: 10, ..answer(seconds) }, NEWEST);
        }
        assert_eq!(refuted, is_refuted, "{rows_later}");
    }
}

/// Pages had fewer places for a while, and the first one with all of its own leapt over rows. The short page before it, asked again, came full, with
/// rows that were all known; what stands behind them was not asked for, and ten rows were missing with exit 0.
#[test]
fn what_a_full_answer_does_not_reach_is_asked_for_too() {
    let asked = |seconds: &[i64]| {
        let mut recheck = Recheck::default();
        recheck.believe(&short(40..88, 5));
        assert!(!recheck.take(&answer((40..80).step_by(4)), NEWEST));
        let question = recheck.question().map(|(from, number)| (from.get(), number));
        assert_eq!(
            (question, recheck.due(20)),
            (Some((76, 2)), Some(EpochSeconds::new(1_020))),
            "it has waited already"
        );
        (recheck.take(&answer(seconds.iter().copied()), NEWEST), recheck.due(20).map(EpochSeconds::get))
    };
    assert_eq!(asked(&[76, 80, 84, 90]), (false, None), "nothing stands between");
    assert_eq!(asked(&[76, 78, 80, 84]), (true, Some(1_040)), "a row that was leapt over");
    assert_eq!(asked(&[]), (false, Some(1_040)), "nothing of it came");
}

/// Pages had fewer places for longer than is waited, so the short page came as it was; thirty rows that the first full one leapt over were missing with
/// exit 0.
#[test]
fn behind_the_widest_leap_from_a_short_page_to_a_full_one_the_next_rows_are_asked_for() {
    let leap = |seconds, times| ShortPage { leap: Some(times), ..short(seconds, 5) };
    let asked = |seconds: &[i64]| {
        let mut recheck = Recheck::default();
        recheck.believe(&leap(80..88, 3));
        recheck.believe(&short(40..52, 3));
        recheck.believe(&leap(60..68, 9));
        assert!(!recheck.take(&answer([40, 44, 48]), NEWEST));
        assert_eq!(
            (recheck.question(), recheck.due(20)),
            (Some((EpochSeconds::new(60), 2)), Some(EpochSeconds::new(1_020)))
        );
        (recheck.take(&answer(seconds.iter().copied()), NEWEST), recheck.due(20).map(EpochSeconds::get))
    };
    assert_eq!(asked(&[60, 64, 90]), (false, None), "the rows after it are those that came");
    assert_eq!(asked(&[64, 90]), (false, None), "the last one before it is gone");
    assert!(asked(&[60, 61]).0, "one that was leapt over");
    assert_eq!(asked(&[]), (false, Some(1_040)), "nothing of it came");
}

#[test]
fn what_is_believed_meanwhile_is_asked_again_once_what_was_refuted_is_read() {
    let mut recheck = Recheck::default();
    recheck.refute([range(0, 20)].into_iter());
    recheck.believe(&short(40..52, 3));
    assert_eq!((recheck.due(20), recheck.refuted()), (None, &[range(0, 20)][..]));
    recheck.is_settled();
    assert_eq!((recheck.due(20), recheck.refuted()), (Some(EpochSeconds::new(1_020)), &[][..]));
    recheck.is_settled();
    assert_eq!(recheck.due(20), None, "it could not be had");
}

/// A run that was closed before it had read them again asked for nothing, and never came to its end.
#[test]
fn what_was_refuted_is_listed_where_the_run_is_closed_before_it_is_read_again() {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 400));
    let opening = plan.opening();
    opening.iter().for_each(|event| plan.apply_event(event));
    let walk =
        PageAddress { region: us(), purpose: Purpose::Walk { window: WindowId(0), scan: 0 }, page: PageNumber::FIRST };
    plan.apply_page(&page_of(walk, EpochSeconds::new(1_000), [0, 300]));
    let (region, least) = (us(), Some(short(40..52, 3)));
    plan.apply_event(&PlanEvent::ShortPagesBelieved { region, range: range(40, 60), least, others: vec![] });
    plan.apply_page(&answer([40, 44, 46, 48]));
    plan.closing().iter().for_each(|event| plan.apply_event(event));
    assert!(plan.has_left() && !plan.is_done());
    match plan.next(None, &PlanContext::usual()) {
        Decision::Record(events) => events.iter().for_each(|event| plan.apply_event(event)),
        other => panic!("{other:?}"),
    }
    let listed: Vec<TimeRange> = plan.unproven().iter().map(|listed| listed.range).collect();
    assert_eq!((plan.is_done(), listed), (true, vec![range(40, 60)]));
}

#[test]
fn the_page_that_showed_least_is_asked_again() {
    let mut recheck = Recheck::default();
    let from = |recheck: &Recheck| recheck.question().map(|(from, _)| from.get());
    for (page, asked) in [(short(40..52, 5), 40), (short(80..92, 7), 40), (short(120..132, 2), 120)] {
        recheck.believe(&page);
        assert_eq!(from(&recheck), Some(asked));
    }
}

#[test]
fn believed_pages_that_touch_are_one_and_there_are_never_many() {
    let of = |seconds: std::ops::Range<i64>, slots| Believed {
        range: range(seconds.start, seconds.end),
        least: vec![short(seconds, slots)],
    };
    let joined = apart([of(20..40, 4), of(0..20, 7), of(90..100, 2)].into_iter());
    let told = joined.iter().map(|one| (one.range, one.least.first().map(|page| page.slots)));
    assert_eq!(told.collect::<Vec<_>>(), [(range(0, 40), Some(4)), (range(90, 100), Some(2))]);
    let many = apart((0..50).map(|place: i64| of(place * place * 10..place * place * 10 + 5, 3)));
    assert_eq!((many.len(), many[0].range.start.get(), many[MOST_APART - 1].range.end.get()), (MOST_APART, 0, 24_015));
}

/// A second of 100 rows is read in ten pages, of which one leaves a row out for a while.
#[test]
fn a_page_amid_a_second_is_asked_again_by_its_number() {
    let seconds = || (0..20).chain(std::iter::repeat_n(30, 100)).chain(40..60);
    let lacking = VideoKey(67);
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 400));
    let (mut rechecked, mut came) = (Vec::new(), BTreeSet::new());
    read_to_the_end(&mut plan, |task, now| {
        let PageQuery { min_create_time, max_create_time, page, order, .. } = task.query;
        let asked = |row: &RowKey| Some(row.second) >= min_create_time && Some(row.second) <= max_create_time;
        let keys =
            seconds().zip(0..).map(|(second, id)| RowKey { second: EpochSeconds::new(second), video: VideoKey(id) });
        let mut rows: Vec<RowKey> = keys.filter(asked).collect();
        if order == TimeOrder::NewestFirst {
            rows.reverse();
        }
        let comes = |row: &RowKey| now.get() >= 1_010 || row.video != lacking;
        let rows: Vec<RowKey> = rows.into_iter().skip(page.get() as usize * 10 - 10).take(10).filter(comes).collect();
        if let Purpose::Recheck { from } = task.address.purpose {
            rechecked.push((from.get(), page.get()));
        }
        came.extend(rows.iter().map(|row| row.video));
        let slots = u32::try_from(rows.len()).unwrap();
        Some(PageFact { rows, slots, ..page_of(task.address.clone(), now, []) })
    });
    assert!(plan.is_done() && plan.unproven().is_empty(), "{:?}", plan.unproven());
    assert_eq!(came.len(), seconds().count(), "{rechecked:?}");
    assert!(rechecked.iter().any(|(_, page)| *page > 1), "{rechecked:?}");
}

/// A cache that leaves the lower bound out of its key answered it with a page of another question, and what was asked again seemed to be so.
#[test]
fn each_question_has_an_upper_bound_that_no_other_has_where_the_page_ends_before_it() {
    let mut recheck = Recheck::default();
    recheck.believe(&short(40..52, 3));
    let max_of = |recheck: &Recheck, max| recheck.max_of_its_own(EpochSeconds::new(max)).get();
    assert_eq!((max_of(&recheck, 400), max_of(&recheck, 54)), (399, 53));
    assert_eq!([max_of(&recheck, 53), max_of(&recheck, 50)], [53, 50], "it would cut the page off");
    recheck.take(&answer([]), NEWEST);
    assert_eq!(max_of(&recheck, 400), 398, "asked again");
}
