use super::*;
use crate::plan::fact::PageAddress;
use crate::plan::testing::{page_of, range, us};
use crate::units::PageNumber;

fn at(second: i64) -> EpochSeconds {
    EpochSeconds::new(second)
}

fn one(skipped: std::ops::Range<i64>) -> [std::ops::Range<i64>; 1] {
    [skipped]
}

/// So many rows came of these seconds, one of them in the last second that has any.
fn count(places: &mut Places, range: TimeRange, rows: u64, last: Option<i64>) {
    let last_rows = u64::from(last.is_some());
    places.count(range, &[CountedRows { range, rows, last: last.map(at), last_rows, is_unsure: false }]);
}

/// A region with a row a second from 0 to `rows`, of which those in `skipped` did not come; counted in stretches of `step` seconds.
fn counted(rows: i64, skipped: &[std::ops::Range<i64>], step: usize) -> Places {
    let mut places = Places::default();
    for start in (0..rows).step_by(step) {
        let end = (start + step as i64).min(rows);
        let came = || (start..end).filter(|second| !skipped.iter().any(|skipped| skipped.contains(second)));
        count(&mut places, range(start, end), came().count() as u64, came().next_back());
    }
    places
}

/// The answer of a service that has a row a second up to `rows`.
fn answer(places: &mut Places, question: PlaceQuestion, rows: i64, now: i64) {
    let page = PageNumber::new(question.page).unwrap();
    let purpose = question.purpose();
    let first = question.anchor.get() + i64::from(question.page - 1) * 10;
    let mut page = page_of(PageAddress { region: us(), purpose, page }, at(now), (first..rows).take(10));
    page.check.print = first.unsigned_abs() + 1;
    places.take(question.anchor, &page);
}

/// Asks until nothing is to be asked; how often, and what was skipped.
fn asked(places: &mut Places, rows: i64) -> (u32, Vec<TimeRange>) {
    for questions in 0..100 {
        match places.stands(telling(100_000, false), 20) {
            Stands::Ask(question) => answer(places, question, rows, 1_000),
            Stands::Whole => return (questions, Vec::new()),
            Stands::Missed(missed) => return (questions, missed),
        }
    }
    panic!("it asks without end")
}

fn telling(last_page: u32, is_odd: bool) -> Telling {
    Telling { last_page, is_odd, is_mixed: false, only_from: None, may_be_more: false }
}

#[test]
fn no_two_questions_have_the_same_upper_bound_but_those_about_the_last_seconds() {
    let mut places = counted(1_000, &one(500..520), 20);
    let mut bounds = Vec::new();
    while let Stands::Ask(question) = places.stands(telling(100_000, false), 20) {
        assert!(question.ends <= at(1_000), "{question:?}");
        bounds.push(question.max_of_its_own(at(10_000)).get());
        // A row of the last seconds may not be asked away.
        assert_eq!(question.max_of_its_own(question.ends), question.ends);
        assert_eq!(question.max_of_its_own(question.ends.shifted(50)), question.ends.shifted(50));
        answer(&mut places, question, 1_000, 1_000);
    }
    assert!(bounds.len() > 2 && bounds.iter().all(|bound| *bound < 10_000), "{bounds:?}");
    let all = bounds.len();
    bounds.dedup();
    assert_eq!(bounds.len(), all);
}

#[test]
fn one_question_tells_that_as_many_rows_came_as_lie_there() {
    for rows in [20, 40, 200, 205, 4_321, 10_000] {
        assert_eq!(asked(&mut counted(rows, &[], 20), rows), (1, vec![]), "{rows}");
    }
    assert_eq!(asked(&mut counted(19, &[], 20), 19).0, 0, "its ends show so few");
}

#[test]
fn where_a_page_of_rows_was_skipped_its_seconds_are_found() {
    for skipped in [0..10, 990..1_000, 500..510, 515..525, 300..310] {
        let mut places = counted(1_000, std::slice::from_ref(&skipped), 20);
        let (questions, missed) = asked(&mut places, 1_000);
        assert!(questions <= MOST_QUESTIONS as u32, "{skipped:?}: {questions}");
        let is_found = |second: i64| missed.iter().any(|missed| missed.contains(at(second)));
        assert!(skipped.clone().any(is_found), "{skipped:?}: {missed:?}");
        assert!(missed.iter().map(|missed| missed.seconds()).sum::<i64>() <= 60, "{skipped:?}: {missed:?}");
    }
}

#[test]
fn what_was_skipped_in_many_places_lies_in_the_seconds_that_are_read_again() {
    let skipped: Vec<_> = (0..16).map(|place| place * 250 + 60..place * 250 + 70).collect();
    let mut places = counted(4_000, &skipped, 30);
    let (questions, missed) = asked(&mut places, 4_000);
    assert!(questions <= MOST_QUESTIONS as u32, "{questions}");
    let is_found = |skipped: &std::ops::Range<i64>| missed.iter().any(|missed| missed.contains(at(skipped.start)));
    assert!(skipped.iter().all(is_found), "{missed:?}");
    // All of it is read again.
    for missed in missed {
        let (rows, last) = (missed.seconds().unsigned_abs(), Some(missed.end.get() - 1));
        places.forget(missed);
        count(&mut places, missed, rows, last);
    }
    assert_eq!(asked(&mut places, 4_000), (1, vec![]));
}

#[test]
fn fewer_rows_than_came_are_believed_to_be_gone_once_that_is_so_again_later() {
    let mut places = counted(205, &[], 20);
    let Stands::Ask(first) = places.stands(telling(100_000, false), 20) else { panic!() };
    assert_eq!((first.page, first.due), (21, None));
    // What comes is the page behind it, which is empty, and then one of later rows.
    answer(&mut places, first, 150, 1_000);
    let Stands::Ask(again) = places.stands(telling(100_000, false), 20) else { panic!() };
    assert_eq!((again.page, again.number, again.due), (21, 2, Some(at(1_020))));
    answer(&mut places, again, 150, 1_020);
    let Stands::Ask(again) = places.stands(telling(100_000, false), 20) else { panic!() };
    answer(&mut places, again, 150, 1_040);
    // Or it is that so many pages are not served: half as many tell of the rows before them.
    let Stands::Ask(half) = places.stands(telling(100_000, false), 20) else { panic!() };
    assert_eq!((half.page, half.ends), (9, at(80)));
    answer(&mut places, half, 150, 1_060);
    let mut asked = 4;
    while let Stands::Ask(question) = places.stands(telling(100_000, false), 20) {
        answer(&mut places, question, 150, 1_060 + i64::from(asked) * 20);
        asked += 1;
    }
    assert_eq!((places.stands(telling(100_000, false), 20), asked <= 8), (Stands::Whole, true), "{asked}");
}

#[test]
fn what_nobody_counted_parts_what_is_asked_and_a_few_rows_more_are_looked_for() {
    let mut places = counted(1_000, &one(400..404), 20);
    assert_eq!(asked(&mut places, 1_000), (11, vec![range(380, 420)]));
    let mut places = counted(1_000, &one(400..410), 20);
    places.forget(range(600, 601));
    let (_, missed) = asked(&mut places, 1_000);
    assert_eq!(missed, [range(400, 440)], "the other questions are spent on what lies behind the gap");
    // A service that serves 20 pages of a question is asked from later seconds.
    let mut places = counted(350, &one(300..310), 20);
    let mut anchors = Vec::new();
    while let Stands::Ask(question) = places.stands(telling(20, false), 20) {
        anchors.push(question.anchor.get());
        answer(&mut places, question, 350, 1_000);
    }
    assert!(anchors.contains(&0) && anchors.contains(&180), "{anchors:?}");
    let Stands::Missed(missed) = places.stands(telling(20, false), 20) else { panic!() };
    assert!(missed.iter().any(|missed| missed.contains(at(300))), "{missed:?}");
    assert!(missed.iter().map(|missed| missed.seconds()).sum::<i64>() <= 40, "{missed:?}");
}

/// The page of the last row of the first half is also that of the last row that came of both.
#[test]
fn what_a_next_page_told_is_not_taken_back_by_the_page_before_it() {
    let mut places = Places::default();
    for (start, end, rows) in [(0, 255, 245), (255, 260, 5)] {
        count(&mut places, range(start, end), rows, Some(end - 1));
    }
    assert_eq!(asked(&mut places, 260).1, [range(0, 255)]);
}

#[test]
fn beside_what_is_forgotten_rows_stay_counted_that_are_remembered() {
    let told = |beside: TimeRange| Some((beside.seconds().unsigned_abs(), Some((beside.end.shifted(-1), 1))));
    let mut places = counted(100, &[], 20);
    places.forget_but(range(30, 50), told);
    let left: Vec<(TimeRange, u64)> = places.of(range(0, 100)).map(|one| (one.range, one.rows)).collect();
    assert_eq!(left[1..3], [(range(20, 30), 10), (range(50, 60), 10)]);
    places.forget(range(25, 55));
    let left: Vec<(TimeRange, u64)> = places.of(range(0, 100)).map(|one| (one.range, one.rows)).collect();
    assert_eq!(left.iter().map(|(range, _)| range.seconds()).sum::<i64>(), 60, "{left:?}");
}

#[test]
fn where_answers_were_odd_each_stretch_is_held_against_its_places() {
    // Ten stretches that touch none of the others; the one that lacks rows is the shortest.
    let alone = |skipped: std::ops::Range<i64>| {
        let mut places = counted(1_000, std::slice::from_ref(&skipped), 20);
        (0..10).for_each(|place| places.forget(range(place * 100 + 80, place * 100 + 100)));
        places
    };
    let skipped_is_found = |is_odd: bool| {
        let mut places = alone(945..955);
        for _ in 0..100 {
            match places.stands(telling(100_000, is_odd), 20) {
                Stands::Ask(question) => answer(&mut places, question, 1_000, 1_000),
                Stands::Whole => return false,
                Stands::Missed(missed) => return missed.iter().any(|missed| missed.contains(at(945))),
            }
        }
        panic!("it asks without end")
    };
    assert_eq!((skipped_is_found(false), skipped_is_found(true)), (false, true));
}

/// Beyond the last page that it serves, the service answers with that one: half as many pages are asked for, until they are too few.
#[test]
fn the_same_page_to_two_questions_tells_nothing() {
    let mut places = counted(1_000, &[], 20);
    let mut pages = Vec::new();
    while let Stands::Ask(question) = places.stands(telling(100_000, false), 20) {
        pages.push(question.page);
        let address =
            PageAddress { region: us(), purpose: question.purpose(), page: PageNumber::new(question.page).unwrap() };
        let mut page = page_of(address, at(1_000), 100..110);
        page.check.print = 7;
        places.take(question.anchor, &page);
        assert!(pages.len() < 20, "it asks without end: {pages:?}");
    }
    assert!(pages.windows(2).all(|pair| pair[1] <= pair[0] + 1) && pages.last() < Some(&25), "{pages:?}");
    assert_eq!(places.stands(telling(100_000, false), 20), Stands::Whole);
}

/// The first came while each page came in place of the one before it, and the second after that: its number was taken for one that is not
/// served, nothing more was asked, and the run ended with exit code 0 without seventy rows.
#[test]
fn the_same_page_to_two_questions_far_apart_is_asked_anew() {
    let mut places = counted(1_000, &one(400..420), 20);
    let Stands::Ask(first) = places.stands(telling(100_000, false), 20) else { panic!() };
    // The next page comes in place of the first one, and then, long after, by its own number.
    for (number, now) in [(first.page, 1_000), (first.page + 1, 1_020)] {
        let page = PageNumber::new(number).unwrap();
        let rows = i64::from(first.page) * 10..i64::from(first.page + 1) * 10;
        let mut came = page_of(PageAddress { region: us(), purpose: first.purpose(), page }, at(now), rows);
        came.check.print = 7;
        places.take(first.anchor, &came);
    }
    let Stands::Ask(third) = places.stands(telling(100_000, false), 20) else { panic!("{places:?}") };
    assert_eq!((third.page, third.due), (first.page, None));
    let (questions, missed) = asked(&mut places, 1_000);
    assert!(questions < 20 && missed.iter().any(|one| one.overlaps(range(400, 420))), "{questions} {missed:?}");
    // Where the service answers so for good, nothing is asked for ever.
    let mut capped = counted(1_000, &[], 20);
    let mut now = 1_000;
    while let Stands::Ask(question) = capped.stands(telling(100_000, false), 20) {
        let page = PageNumber::new(question.page).unwrap();
        let mut last = page_of(PageAddress { region: us(), purpose: question.purpose(), page }, at(now), 100..110);
        last.check.print = 7;
        capped.take(question.anchor, &last);
        now += 20;
        assert!(now < 1_400, "it asks without end");
    }
    assert_eq!(capped.stands(telling(100_000, false), 20), Stands::Whole);
}

#[test]
fn a_page_that_cannot_be_had_and_one_that_cannot_be_placed_end_the_asking() {
    let mut places = counted(1_000, &one(400..410), 20);
    places.not_served(LEAST_SERVED);
    assert_eq!(places.stands(telling(100_000, false), 20), Stands::Whole);
    let mut places = counted(1_000, &one(400..410), 20);
    for _ in 0..MOST_POOR {
        let Stands::Ask(question) = places.stands(telling(100_000, false), 20) else { panic!() };
        let address =
            PageAddress { region: us(), purpose: question.purpose(), page: PageNumber::new(question.page).unwrap() };
        places.take(question.anchor, &PageFact { slots: 10, ..page_of(address, at(1_000), []) });
    }
    assert_eq!(places.stands(telling(100_000, false), 20), Stands::Whole);
}

#[test]
fn seconds_without_a_row_are_a_leap_where_the_rows_before_them_do_not_explain_it() {
    let mut places = counted(200, &one(110..150), 50);
    assert_eq!(places.leaps(), [range(109, 150)], "rows of the last second may be missing, too");
    // What lies before is known all the same, and so is that they were read again.
    places.forget(range(110, 150));
    assert_eq!((places.leaps(), places.of(range(100, 110)).map(|one| one.rows).sum::<u64>()), (vec![], 10));
    count(&mut places, range(110, 150), 0, None);
    assert_eq!(places.leaps(), [range(110, 150)], "a window without rows is one whole");
    assert_eq!(counted(200, &one(110..115), 50).leaps(), []);
    assert_eq!(counted(200, &one(145..150), 50).leaps(), []);
}

#[test]
fn a_single_row_that_came_too_few_is_looked_for_and_never_listed() {
    for skipped in [400..401, 400..402, 995..999] {
        let mut places = counted(1_000, &one(skipped.clone()), 20);
        for _ in 0..MOST_MISSED {
            let (questions, missed) = asked(&mut places, 1_000);
            assert!(missed.iter().any(|missed| missed.contains(at(skipped.start))), "{skipped:?}: {missed:?}");
            assert!(missed.iter().map(|missed| missed.seconds()).sum::<i64>() <= 60, "{skipped:?}: {missed:?}");
            assert!(questions <= 11, "{questions}");
            places.is_missed();
        }
        // No service is read again for ever because of a few rows.
        assert_eq!(asked(&mut places, 1_000).1, []);
    }
}

#[test]
fn of_seconds_without_a_row_both_sides_of_what_is_read_again_stay_known() {
    let mut places = counted(200, &one(100..150), 50);
    places.forget(range(110, 120));
    let known: Vec<_> = places.of(range(100, 150)).map(|one| (one.range, one.rows)).collect();
    assert_eq!(known, [(range(100, 110), 0), (range(120, 150), 0)]);
    // Of seconds with rows behind it nobody knows how many stand beside it.
    places.forget(range(160, 170));
    assert_eq!(places.of(range(150, 200)).count(), 0);
}

#[test]
fn seconds_with_rows_that_may_not_be_counted_are_read_again_where_answers_were_odd_and_never_listed() {
    let mut places = counted(100, &one(60..70), 20);
    let unsure = |one: &CountedRows| CountedRows { is_unsure: one.range.start == at(60), ..*one };
    let counted: Vec<CountedRows> = places.of(range(0, 100)).map(unsure).collect();
    places.count(range(0, 100), &counted);
    let missed = |places: &mut Places, is_odd: bool| loop {
        match places.stands(telling(100_000, is_odd), 20) {
            Stands::Ask(question) => answer(places, question, 100, 1_000),
            Stands::Missed(missed) => return missed,
            Stands::Whole => return Vec::new(),
        }
    };
    assert_eq!(missed(&mut places, false), []);
    assert_eq!(missed(&mut places, true), [range(60, 80)]);
    (0..MOST_MISSED).for_each(|_| places.is_missed());
    assert_eq!(missed(&mut places, true), []);
}

/// Ten rows were skipped before a last second of many: the page of the last place is full of that second, too.
#[test]
fn an_earlier_row_of_the_last_second_does_not_stand_for_the_last() {
    for (skipped, beginning) in [(0, Beginning::Whole), (10, Beginning::Untold)] {
        let mut places = counted(100, &[], 20);
        let (range, last) = (range(100, 101), Some(at(100)));
        places.count(range, &[CountedRows { range, rows: 30, last, last_rows: 30, is_unsure: false }]);
        let seconds: Vec<i64> = (0..100).chain(vec![99; skipped]).chain(vec![100; 30]).collect();
        let take = |places: &mut Places, question: PlaceQuestion| {
            let (page, purpose) = (PageNumber::new(question.page).unwrap(), question.purpose());
            let from = seconds.iter().filter(|second| **second < question.anchor.get()).count();
            let rows = seconds.iter().skip(from + (question.page as usize - 1) * 10).take(10).copied();
            let mut page = page_of(PageAddress { region: us(), purpose, page }, at(1_000), rows);
            page.check.print = u64::from(question.page) + 1;
            places.take(question.anchor, &page);
        };
        let mut asked = Vec::new();
        while let Beginning::Ask(question) = places.beginning(at(0), 100_000) {
            asked.push(question.page);
            take(&mut places, question);
        }
        assert_eq!((asked, places.beginning(at(0), 100_000)), (vec![13, 14], beginning), "{skipped}");
        while let Stands::Ask(question) = places.stands(telling(100_000, false), 20) {
            take(&mut places, question);
        }
        let is_missed = matches!(places.stands(telling(100_000, false), 20), Stands::Missed(_));
        assert_eq!(is_missed, skipped > 0);
    }
}

/// A service many of whose seconds filled a page had more stretches than are told apart: what was counted was never taken for known, and a run at
/// `atomic` counted it again without end.
#[test]
fn what_was_counted_is_known_also_where_there_is_more_than_is_told_apart() {
    let stretch = |start: i64| {
        let range = range(start, start + 1);
        CountedRows { range, rows: 3, last: Some(at(start)), last_rows: 3, is_unsure: false }
    };
    let of = |from: i64, until: i64| (from..until).step_by(2).map(stretch).collect::<Vec<_>>();
    let (first, second) = (of(0, 6_000), of(6_000, 9_000));
    let mut places = Places::default();
    places.count(range(0, 6_000), &first);
    places.count(range(6_000, 9_000), &second);
    assert!(places.holds(range(0, 6_000), &first) && places.holds(range(6_000, 9_000), &second));
    assert!(!places.holds(range(0, 6_000), &first[1..]) && !places.holds(range(0, 5_000), &first));
    places.forget(range(10, 11));
    assert!(!places.holds(range(0, 6_000), &first) && places.holds(range(6_000, 9_000), &second));
}
