use std::collections::BTreeSet;

use super::refutations;
use crate::plan::evidence::certificate::Kernel;
use crate::plan::evidence::observation::{Observation, Rules};
use crate::plan::evidence::premise::Refutation;
use crate::plan::evidence::testing::{made, page, second, series};

const RULES: Rules = Rules { page_size: 3, confirm_after: 100, witnesses: 1, leap: 99, looks: 1, is_habit: false };

fn found(pages: &[Observation]) -> Vec<Refutation> {
    refutations(&Kernel::new(pages, RULES, &BTreeSet::new())).into_iter().collect()
}

/// A look at second 5 at a moment, which shows these rows of it.
fn look(list: u32, at: i64, ids: &[u64]) -> Observation {
    let mut rows = vec![(4, 1)];
    rows.extend(ids.iter().map(|id| (5, *id)));
    rows.extend([(6, 8), (7, 9)].iter().take(3 - rows.len().min(3)));
    made(at, page(&series(list), 1, &rows))
}

#[test]
fn looks_that_agree_refute_nothing() {
    assert_eq!(found(&[look(0, 10, &[2]), look(1, 50, &[2])]), []);
}

#[test]
fn a_poorer_look_refutes_the_time_between_the_agreements_around_it() {
    let pages = [look(0, 10, &[2]), look(1, 20, &[2]), look(2, 50, &[]), look(3, 80, &[2])];
    assert_eq!(found(&pages), [Refutation::Answers(second(21), second(79))]);
}

#[test]
fn without_an_agreement_before_or_after_nothing_bounds_the_time() {
    let (before, after) = (second(i64::MIN), second(i64::MAX));
    assert_eq!(found(&[look(0, 10, &[2]), look(1, 50, &[])]), [Refutation::Answers(before, after)]);
}

#[test]
fn a_row_that_two_looks_apart_in_time_lack_came_or_went() {
    // Gone between 10 and 50.
    assert_eq!(found(&[look(0, 10, &[2]), look(1, 50, &[]), look(2, 150, &[])]), []);
    // Come between 150 and 160.
    assert_eq!(found(&[look(0, 10, &[]), look(1, 150, &[]), look(2, 160, &[2])]), []);
}
