//! All worlds to four rows, each with every order of ties on every request.

use std::collections::BTreeSet;

use super::Tally;
use super::world::{Fault, List, Request, Row, SECONDS, Scenario};
use crate::plan::evidence::observation::{Observation, Rules};
use crate::plan::evidence::premise::Rule;

const MOST_ROWS: usize = 4;
/// Seconds between two requests that follow each other, and between two that are two witnesses.
const SOON: i64 = 1;
const LATER: i64 = 100;

/// What is asked: the lists, and of each in turn so many pages, newest requests last.
fn asked(lists: &[(bool, i64, i64, u32)]) -> (Vec<List>, Vec<Request>) {
    let all = lists
        .iter()
        .map(|&(is_newest_first, min, end, _)| List { is_newest_first, min, end, lacks_first: false })
        .collect();
    let mut requests = Vec::new();
    let mut at = LATER;
    for (list, &(_, _, _, pages)) in lists.iter().enumerate() {
        for page in 1..=pages {
            requests.push(Request::plain(list, page, at));
            at += SOON;
        }
        at += LATER;
    }
    (all, requests)
}

fn scenario(rows: Vec<Row>, (lists, requests): (Vec<List>, Vec<Request>)) -> Scenario {
    Scenario { rows, lists, requests, cap: u32::MAX, page_size: 2, confirm_after: LATER }
}

fn rules(witnesses: usize, leap: i64) -> Rules {
    Rules { page_size: 2, confirm_after: LATER, witnesses, leap, looks: 1, is_habit: false }
}

/// Every number of rows in every second.
fn all_rows() -> Vec<Vec<Row>> {
    let mut all = vec![Vec::new()];
    let mut last: Vec<Vec<i64>> = vec![Vec::new()];
    for _ in 0..MOST_ROWS {
        let longer = last.iter().flat_map(|keys| {
            let from = keys.last().copied().unwrap_or(0);
            (from..SECONDS).map(|key| keys.iter().copied().chain([key]).collect::<Vec<i64>>())
        });
        last = longer.collect();
        all.extend(last.iter().map(|keys| keys.iter().map(|key| Row::plain(*key)).collect::<Vec<Row>>()));
    }
    all
}

/// The rows with right dates, and with each one of them showing each wrong second.
fn one_wrong_date(rows: &[Row]) -> Vec<Vec<Row>> {
    let mut all = vec![rows.to_vec()];
    for index in 0..rows.len() {
        for shown in (0..SECONDS).filter(|shown| *shown != rows[index].key) {
            let mut wrong = rows.to_vec();
            wrong[index].shown = shown;
            all.push(wrong);
        }
    }
    all
}

/// Every second that every row may show.
fn any_dates(rows: &[Row]) -> Vec<Vec<Row>> {
    let mut all: Vec<Vec<Row>> = vec![Vec::new()];
    for row in rows {
        let longer = all.iter().flat_map(|before| {
            (0..SECONDS).map(|shown| before.iter().copied().chain([Row { shown, ..*row }]).collect::<Vec<Row>>())
        });
        all = longer.collect();
    }
    all
}

/// Tries a world with every order of ties on every request.
fn try_all_ties(tally: &mut Tally, mut scenario: Scenario, rules: Rules) {
    let orders = orders(scenario.rows.len());
    go_on(tally, (&mut scenario, &mut Vec::new()), (&orders, rules));
}

fn go_on(
    tally: &mut Tally,
    (scenario, answers): (&mut Scenario, &mut Vec<Observation>),
    (orders, rules): (&[Vec<usize>], Rules),
) {
    let index = answers.len();
    if index == scenario.requests.len() {
        tally.try_answers((scenario, answers), rules, None);
        return;
    }
    let mut tried: BTreeSet<Observation> = BTreeSet::new();
    for order in orders {
        scenario.requests[index].ties.clone_from(order);
        let answer = scenario.answer(index);
        if tried.insert(answer.clone()) {
            answers.push(answer);
            go_on(tally, (scenario, answers), (orders, rules));
            answers.pop();
        }
    }
}

/// Every order of so many rows, the order of their numbers first.
fn orders(rows: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = vec![Vec::new()];
    for next in 0..rows {
        let longer = all.iter().flat_map(|order| {
            (0..=order.len()).rev().map(move |place| {
                let mut longer = order.clone();
                longer.insert(place, next);
                longer
            })
        });
        all = longer.collect();
    }
    all
}

const ASCENDING: (bool, i64, i64, u32) = (false, 0, SECONDS, 3);

#[test]
fn one_reading_with_any_dates() {
    let mut tally = Tally::default();
    for rows in all_rows().iter().flat_map(|rows| any_dates(rows)) {
        for rules in [rules(1, 9), rules(2, 9)] {
            try_all_ties(&mut tally, scenario(rows.clone(), asked(&[ASCENDING])), rules);
        }
    }
    tally.assert_sound();
    assert!(tally.claims[&Rule::Filled] > 0 && tally.claims[&Rule::Between] > 0, "{:?}", tally.claims);
}

#[test]
fn two_readings_with_a_wrong_date() {
    let mut tally = Tally::default();
    let second = [(false, 0, SECONDS, 2), (false, 1, SECONDS, 2), (true, 0, SECONDS, 1)];
    // Four rows with wrong dates in two readings would take minutes; `sampled` has them.
    let dated = |rows: &Vec<Row>| if rows.len() < MOST_ROWS { one_wrong_date(rows) } else { vec![rows.clone()] };
    for rows in all_rows().iter().flat_map(dated) {
        for list in second {
            try_all_ties(&mut tally, scenario(rows.clone(), asked(&[ASCENDING, list])), rules(1, 0));
        }
    }
    tally.assert_sound();
    assert!(tally.claims[&Rule::End] > 0, "{:?}", tally.claims);
}

/// Rows that come or go before every request, in turn and out of turn.
#[test]
fn one_reading_while_a_row_comes_or_goes() {
    let mut tally = Tally::default();
    for rows in all_rows() {
        for (row, at) in (0..rows.len()).flat_map(|row| (1..3).map(move |at| (row, at))) {
            for (comes, goes) in [(at, usize::MAX), (0, at)] {
                let mut rows = rows.clone();
                (rows[row].comes, rows[row].goes) = (comes, goes);
                let (lists, mut requests) = asked(&[ASCENDING]);
                try_all_ties(&mut tally, scenario(rows.clone(), (lists.clone(), requests.clone())), rules(1, 9));
                (requests[0].page, requests[1].page) = (2, 1);
                try_all_ties(&mut tally, scenario(rows, (lists, requests)), rules(1, 9));
            }
        }
    }
    tally.assert_sound();
}

/// One answer that is wrongly empty or lacks rows, before another witness and after it.
#[test]
fn an_end_with_one_poor_answer() {
    let mut tally = Tally::default();
    for rows in all_rows().into_iter().filter(|rows| rows.len() < MOST_ROWS) {
        let lost = (1..1_usize << rows.len()).map(|bits| (0..rows.len()).filter(|row| bits >> row & 1 == 1).collect());
        let faults: Vec<Fault> = lost.map(Fault::Poor).chain([Fault::Empty]).collect();
        for second in [(false, 1, SECONDS, 2), (true, 0, SECONDS, 1)] {
            let (lists, requests) = asked(&[ASCENDING, second]);
            for (fault, at) in faults.iter().flat_map(|fault| (0..requests.len()).map(move |at| (fault, at))) {
                let mut requests = requests.clone();
                requests[at].fault = fault.clone();
                try_all_ties(&mut tally, scenario(rows.clone(), (lists.clone(), requests)), rules(1, 0));
            }
        }
    }
    tally.assert_sound();
    assert!(tally.claims[&Rule::End] > 0, "{:?}", tally.claims);
}

#[test]
fn every_last_page_that_the_service_may_serve() {
    let mut tally = Tally::default();
    for rows in all_rows() {
        for (cap, second) in
            [1, 2].into_iter().flat_map(|cap| [(cap, (false, 1, SECONDS, 3)), (cap, (true, 0, SECONDS, 2))])
        {
            let capped = Scenario { cap, ..scenario(rows.clone(), asked(&[(false, 0, SECONDS, 2), second])) };
            try_all_ties(&mut tally, capped, rules(1, 0));
        }
    }
    tally.assert_sound();
}
