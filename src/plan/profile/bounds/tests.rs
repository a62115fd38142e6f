use super::*;
use crate::plan::fact::{PageAddress, Purpose};
use crate::plan::page::PROVEN_AFTER;
use crate::plan::profile::Verified;
use crate::plan::testing::{page_of, us};
use crate::plan::walk::Lesson;
use crate::units::PageNumber;

/// A row of second 100, by which the bounds are asked.
const KNOWN: EpochSeconds = EpochSeconds::new(100);

/// The questions about the bounds that a service gets of which both are inclusive or not, and what is known then.
fn asked(verified: Verified, (min, max): (bool, bool)) -> (Vec<u32>, (bool, bool)) {
    let mut profile = ServiceProfile::default();
    profile.take_verified(verified);
    let mut questions = Vec::new();
    while let Some((number, question)) = profile.bound_question() {
        questions.push(number);
        let is_answered = match question {
            BoundQuestion::Both => min && max,
            BoundQuestion::Lower => min,
            BoundQuestion::Upper => max,
        };
        let rows = is_answered.then_some(KNOWN.get());
        let address = PageAddress { region: us(), purpose: Purpose::Bounds, page: PageNumber::new(number).unwrap() };
        profile.answer_bounds(&page_of(address, EpochSeconds::new(1_000), rows), Some(KNOWN));
    }
    (questions, (profile.bounds.min_inclusive, profile.bounds.max_inclusive))
}

#[test]
fn the_bounds_are_known_after_at_most_three_questions() {
    let nothing = Verified::default();
    assert_eq!(asked(nothing, (true, true)), (vec![1], (true, true)));
    assert_eq!(asked(nothing, (true, false)), (vec![1, 2], (true, false)));
    assert_eq!(asked(nothing, (false, true)), (vec![1, 2, 3], (false, true)));
    assert_eq!(asked(nothing, (false, false)), (vec![1, 2, 3], (false, false)));
}

/// Only a row that comes tells anything, and none does where a bound is exclusive.
#[test]
fn what_is_said_to_be_exclusive_is_not_asked() {
    let said = |min_inclusive, max_inclusive| Verified { min_inclusive, max_inclusive, ..Verified::default() };
    assert_eq!(asked(said(Some(false), None), (false, true)), (vec![3], (false, true)));
    assert_eq!(asked(said(None, Some(false)), (true, false)), (vec![2], (true, false)));
    assert_eq!(asked(said(Some(false), Some(false)), (false, false)), (vec![], (false, false)));
    assert_eq!(
        asked(said(Some(true), Some(true)), (true, true)),
        (vec![1], (true, true)),
        "what is said to come is seen"
    );
}

#[test]
fn an_answer_to_an_earlier_question_or_without_the_known_row_teaches_nothing() {
    let answer = |profile: &mut ServiceProfile, number, rows: &[i64]| {
        let address = PageAddress { region: us(), purpose: Purpose::Bounds, page: PageNumber::new(number).unwrap() };
        let page = page_of(address, EpochSeconds::new(1_000), rows.iter().copied());
        profile.answer_bounds(&page, Some(KNOWN));
        (profile.bounds.min_inclusive, profile.bounds.max_inclusive)
    };
    let mut profile = ServiceProfile::default();
    assert_eq!(answer(&mut profile, 2, &[99, 101]), (false, false), "other rows");
    assert_eq!(answer(&mut profile, 1, &[100]), (false, false), "a question that is over");
    assert_eq!(answer(&mut profile, 3, &[100]), (false, true));
}

#[test]
fn page_1_is_not_the_first_where_known_rows_never_come_where_their_second_is_asked() {
    let missing = |anchors: &[i64], anchor_came, is_ordered: bool, newest: Option<i64>| {
        let mut profile = ServiceProfile::default();
        profile.bounds.anchors_lost = anchors.iter().copied().map(EpochSeconds::new).collect();
        profile.bounds.anchor_came = anchor_came;
        profile.order.ascents = if is_ordered { PROVEN_AFTER } else { 0 };
        profile.first_pages_are_missing(newest.map(EpochSeconds::new))
    };
    assert!(missing(&[10, 20, 30], false, true, None), "three anchors");
    assert!(!missing(&[10, 20], false, true, None), "two may have gone");
    assert!(!missing(&[10, 20, 30], true, true, None), "one came elsewhere");
    assert!(!missing(&[10, 20, 30], false, false, None), "rows in no order may come later");
    assert!(missing(&[90], false, false, Some(90)), "the newest row, where the newest page leaves no room");
    assert!(!missing(&[80], false, false, Some(90)), "another than the newest");
}

#[test]
fn pages_before_what_was_asked_are_read_while_they_are_few_against_those_that_fit() {
    let may = |early_pages, fitting_pages| {
        let mut profile = ServiceProfile::default();
        (profile.bounds.early_pages, profile.bounds.fitting_pages) = (early_pages, fitting_pages);
        profile.may_read_early()
    };
    let at_most = [may(0, 0), may(300, 0), may(301, 0), may(320, 10), may(321, 10)];
    assert_eq!(at_most, [true, true, false, true, false]);
}

/// Three scans began early, and such answers came to questions about the lower bound, each at a time and with rows of these seconds.
fn stays_loose(answers: &[(i64, &[i64])]) -> (bool, usize) {
    let mut profile = ServiceProfile::default();
    (0..LOOSE_AFTER).for_each(|_| profile.take(Lesson::Early { opens: true, at: EpochSeconds::new(0) }));
    profile.bounds.min_is_loose = true;
    let mut asked = 0;
    for (at, rows) in answers {
        let Some(question) = profile.minimum_question() else { break };
        let page = PageNumber::new(question.number).unwrap();
        let address = PageAddress { region: us(), purpose: Purpose::Bounds, page };
        profile.answer_bounds(&page_of(address, EpochSeconds::new(*at), rows.iter().copied()), Some(KNOWN));
        asked += 1;
    }
    (profile.min_stays_loose(), asked)
}

#[test]
fn the_lower_bound_is_ignored_where_two_questions_apart_in_time_show_older_rows() {
    let (older, kept): (&[i64], &[i64]) = (&[10, 20, 30], &[100, 101]);
    assert_eq!(stays_loose(&[(0, older), (20, older), (40, older)]), (true, 2));
    assert_eq!(stays_loose(&[(0, older), (19, older)]), (false, 2), "of one trouble");
    assert_eq!(stays_loose(&[(0, older), (19, older), (20, older)]), (true, 3));
    assert_eq!(stays_loose(&[(0, kept), (20, older)]), (false, 1), "a cache between has answered the scans");
    assert_eq!(stays_loose(&[(0, older), (20, kept), (40, older)]), (false, 2), "a trouble is over");
    assert_eq!(stays_loose(&[(0, older), (20, &[])]), (false, 2), "an empty answer shows nothing");
    assert_eq!(stays_loose(&[(0, &[30, 20, 10]), (20, older)]), (false, 1), "they do not stand in order");
    assert_eq!(stays_loose(&[(0, &[96, 97]), (20, older)]), (false, 1), "it begins with the second that is asked");
}

#[test]
fn nothing_is_asked_about_the_lower_bound_that_scans_have_kept_to() {
    let mut profile = ServiceProfile::default();
    assert_eq!(profile.minimum_question(), None, "nothing speaks against it");
    (0..LOOSE_AFTER).for_each(|_| profile.take(Lesson::Early { opens: true, at: EpochSeconds::new(0) }));
    assert_eq!(profile.minimum_question().map(|question| question.number), Some(FIRST_MINIMUM_QUESTION));
    profile.take(Lesson::MinKept);
    assert_eq!(profile.minimum_question(), None);
    let mut untold = ServiceProfile::default();
    untold.bounds.min_is_loose = true;
    untold.minimum_is_untold();
    assert_eq!(untold.minimum_question(), None, "it could not be answered");
}
