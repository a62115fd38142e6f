use proptest::prelude::*;

use super::{Ledger, Uncovered};
use crate::plan::evidence::observation::{Observation, Rules, Series};
use crate::plan::evidence::premise::{Certificate, Missing, Premise, Refutation};
use crate::plan::evidence::testing::{made, page, second, series};
use crate::plan::fact::VideoKey;
use crate::units::TimeRange;

const RULES: Rules = Rules { page_size: 3, confirm_after: 100, witnesses: 1, leap: 99, looks: 1, is_habit: false };

fn ledger(pages: &[Observation]) -> Ledger {
    let mut ledger = Ledger::new(RULES, TimeRange::new(second(0), second(100)));
    pages.iter().cloned().for_each(|page| ledger.fold(page));
    ledger
}

/// An honest walk of so many full pages, one row a second, with the empty page after them, and the newest page long before.
fn honest(pages: u32) -> Vec<Observation> {
    let last = i64::from(pages) * 3;
    let newest = Series { is_newest_first: true, ..series(9) };
    let rows = |from: i64| [from, from + 1, from + 2].map(|at| (at, at as u64));
    let mut all = vec![made(-200, page(&newest, 1, &[last - 1, last - 2, last - 3].map(|at| (at, at as u64))))];
    all.extend((1..=pages).map(|number| page(&series(0), number, &rows(i64::from(number - 1) * 3))));
    all.push(page(&series(0), pages + 1, &[]));
    all
}

#[test]
fn an_honest_walk_covers_everything() {
    let mut ledger = ledger(&honest(5));
    assert_eq!(ledger.settle(), []);
    let premises = ledger.premises();
    assert!(!premises.contains(&Premise::NoInsertion) && premises.contains(&Premise::EmptyIsEnd));
}

#[test]
fn what_is_missing_has_a_name() {
    let pages = honest(5);
    // Without the newest page nothing confirms the end, and without the empty page nothing shows it.
    let end = |seconds: (i64, i64), missing| Uncovered {
        seconds: TimeRange::new(second(seconds.0), second(seconds.1)),
        missing,
    };
    assert_eq!(ledger(&pages[1..]).settle(), [end((14, 100), Missing::EndWitness(100))]);
    assert_eq!(ledger(&pages[1..6]).settle(), [end((14, 100), Missing::NewerBracket)]);
    assert_eq!(ledger(&pages[2..3]).settle().first(), Some(&end((0, 4), Missing::OlderBracket)));
    assert_eq!(ledger(&[]).settle(), [end((0, 100), Missing::Reading)]);
}

#[test]
fn a_row_that_came_twice_leaves_an_id_missing() {
    let pages = [page(&series(0), 1, &[(1, 1), (2, 2), (2, 3)]), page(&series(0), 2, &[(2, 3), (3, 5), (4, 6)])];
    let mut ledger = ledger(&pages);
    assert!(
        ledger
            .settle()
            .contains(&Uncovered { seconds: TimeRange::new(second(2), second(3)), missing: Missing::Ids(1) })
    );
    // Another reading that shows the fourth row, before this one was made, fills the place.
    ledger.fold(made(-50, page(&series(1), 5, &[(1, 1), (2, 2), (2, 4)])));
    assert!(!ledger.settle().iter().any(|open| open.seconds.contains(second(2))));
}

#[test]
fn what_is_covered_is_forgotten_and_covered_still() {
    let mut ledger = ledger(&honest(8));
    ledger.settle();
    ledger.forget();
    assert!(ledger.open_observations() <= 2, "{}", ledger.open_observations());
    assert_eq!(ledger.settle(), []);
    ledger.refute(Refutation::Premise(Premise::Order));
    assert!(!ledger.settle().is_empty());
}

#[test]
fn a_disagreement_takes_back_what_was_read_in_its_time() {
    let mut pages = honest(5);
    // Seconds 3 to 5 without the row of second 4, in between.
    pages.push(made(3, page(&series(1), 2, &[(2, 2), (3, 3), (5, 5)])));
    let mut ledger = ledger(&pages);
    assert!(
        ledger
            .settle()
            .iter()
            .any(|open| open.seconds.contains(second(7)) && open.missing == Missing::Withdrawn(Premise::AnswersWhole))
    );
}

/// Of two certificates that were taken back the first was told of, though the other lacked no more than another look.
#[test]
fn of_what_is_taken_back_that_is_told_of_which_takes_no_more_than_another_look() {
    let short = [page(&series(0), 1, &[(1, 1), (2, 2)]), page(&series(0), 2, &[(3, 3), (4, 4), (5, 5)])];
    let full = made(50, page(&series(1), 1, &[(1, 1), (2, 2), (3, 3)]));
    let lacks = |pages: &[Observation]| {
        let mut ledger = Ledger::new(Rules { is_habit: true, ..RULES }, TimeRange::new(second(2), second(3)));
        pages.iter().cloned().for_each(|page| ledger.fold(page));
        ledger.refute(Refutation::Premise(Premise::ShortHidesNothing));
        ledger.refute(Refutation::Answers(second(40), second(60)));
        ledger.settle_as_told().first().map(|open| open.missing)
    };
    assert_eq!(lacks(&short), Some(Missing::Withdrawn(Premise::ShortHidesNothing)));
    assert_eq!(lacks(&[short.to_vec(), vec![full]].concat()), Some(Missing::Withdrawn(Premise::AnswersWhole)));
}

/// The last page that is served came in place of the next one, with another row of the second that it begins in: its rows seemed to go back in
/// time, and nothing was held to be proven by them.
#[test]
fn a_page_that_comes_once_more_in_another_order_takes_nothing_back() {
    let pages = |again: [(i64, u64); 3]| {
        let list = [[(1, 1), (2, 2), (3, 3)], [(3, 4), (4, 5), (5, 6)], again];
        list.iter().zip(1..).map(|(rows, number)| page(&series(0), number, rows)).collect::<Vec<_>>()
    };
    let is_open = |again| ledger(&pages(again)).settle().iter().any(|open| open.seconds.contains(second(3)));
    assert!(!is_open([(3, 3), (4, 5), (5, 6)]));
    assert!(is_open([(3, 3), (4, 5), (6, 7)]), "another page that goes back");
}

/// Pages of a few lists over few rows: not all consistent, so that they disagree, repeat and stray.
fn any_pages() -> impl Strategy<Value = Vec<Observation>> {
    let rows = proptest::collection::vec((0_i64..6, 0_u64..8), 0..=3);
    let any_page = (0_u32..3, 1_u32..4, 0_i64..400, rows).prop_map(|(list, number, at, mut rows)| {
        rows.sort_unstable();
        rows.dedup();
        let series = Series { is_newest_first: false, ..series(list) };
        // A row shows one second wherever it comes, and mostly its own.
        let rows: Vec<(i64, u64)> = rows.into_iter().map(|(second, id)| (second, id + 10 * second as u64)).collect();
        made(at, page(&series, number, &rows))
    });
    proptest::collection::vec(any_page, 0..9).prop_map(|pages| {
        let mut seen = std::collections::BTreeSet::new();
        pages.into_iter().filter(|page| seen.insert(page.id())).collect()
    })
}

fn any_refutation() -> impl Strategy<Value = Refutation> {
    let premises = [Premise::Order, Premise::Bounds, Premise::NoDeletion, Premise::NoInsertion, Premise::TroublePasses];
    prop_oneof![
        proptest::sample::select(premises.to_vec()).prop_map(Refutation::Premise),
        (0_u64..60).prop_map(|id| Refutation::Date(VideoKey(id))),
        (0_i64..400, 0_i64..100).prop_map(|(from, long)| Refutation::Answers(second(from), second(from + long))),
    ]
}

proptest! {
    #[test]
    fn the_order_of_pages_and_a_second_folding_change_nothing(pages in any_pages(), seed in any::<u64>()) {
        let mut other = pages.clone();
        other.sort_by_key(|page| (u64::from(page.page.get()) * 31 + page.made.get() as u64).wrapping_mul(seed | 1));
        let (mut one, mut other) = (ledger(&pages), ledger(&[other.clone(), other].concat()));
        prop_assert_eq!(one.settle(), other.settle());
        prop_assert_eq!(&one, &other);
        let settled = one.clone();
        one.settle();
        prop_assert_eq!(one, settled);
    }

    #[test]
    fn a_refutation_takes_back_what_rests_on_it_and_nothing_else(pages in any_pages(), refutation in any_refutation()) {
        let mut ledger = ledger(&pages);
        ledger.settle();
        let before: Vec<Certificate> = ledger.certificates().cloned().collect();
        ledger.refute(refutation.clone());
        let after: Vec<Certificate> = ledger.certificates().cloned().collect();
        for certificate in before {
            let rests = match &refutation {
                Refutation::Premise(premise) => certificate.premises.contains(premise),
                Refutation::Date(video) => certificate.dated.iter().any(|group| group.iter().all(|dated| dated == video)),
                Refutation::Answers(from, until) => {
                    let is_within = certificate.observations.iter().any(|(made, _)| from <= made && made <= until);
                    certificate.premises.contains(&Premise::AnswersWhole) && is_within
                }
            };
            prop_assert_eq!(after.contains(&certificate), !rests);
        }
        // What is refuted certifies nothing from then on.
        ledger.settle();
        let wrong = |certificate: &Certificate| match &refutation {
            Refutation::Premise(premise) => certificate.premises.contains(premise),
            _ => false,
        };
        prop_assert!(!ledger.certificates().any(wrong));
    }

    #[test]
    fn forgetting_changes_nothing_of_what_is_covered(pages in any_pages(), more in any_pages()) {
        let mut ledger = ledger(&pages);
        ledger.settle();
        let covered = ledger.covered();
        ledger.forget();
        prop_assert_eq!(ledger.covered(), covered.clone());
        more.into_iter().for_each(|page| ledger.fold(page));
        ledger.settle();
        // A refutation that a new page brings takes some back; nothing else does.
        prop_assert!(!ledger.refuted.is_empty() || covered.iter().all(|range| ledger.covered().contains(range)));
    }
}
