//! One second that no reading holds whole: its first rows from one end, its last from the other. Pure.
//!
//! Where its rows stand in one order whichever way they are asked, the rows before one that both readings show are in the first, and
//! the rows after it in the other. That all rows of the first reading's last page come again, one by one, is what is asked for.

use std::collections::BTreeSet;

use super::{Claim, Kernel};
use crate::plan::evidence::placement::{Edge, Reading, Side};
use crate::plan::evidence::premise::{Certificate, Premise, Rule};
use crate::plan::fact::VideoKey;
use crate::units::{EpochSeconds, TimeRange};

/// What pairs of readings say of the second.
pub(super) fn claims(kernel: &Kernel<'_>, second: EpochSeconds) -> Vec<Claim> {
    let is_newest_first =
        |reading: &&Reading<'_>| reading.pages.first().is_some_and(|page| page.series.is_newest_first);
    let at = TimeRange::new(second, second.shifted(1));
    let holds = |reading: &&Reading<'_>| {
        reading.asked(second) && reading.spans(second) && reading.rows_within(at).next().is_some()
    };
    let newest: Vec<&Reading<'_>> = kernel.readings.iter().filter(is_newest_first).filter(holds).collect();
    if newest.is_empty() {
        return Vec::new();
    }
    let oldest: Vec<&Reading<'_>> =
        kernel.readings.iter().filter(|reading| !is_newest_first(reading)).filter(holds).collect();
    let both = oldest.iter().flat_map(|one| newest.iter().map(move |other| (*one, *other)));
    both.filter_map(|(one, other)| claim(kernel, (one, other), second)).collect()
}

fn claim(kernel: &Kernel<'_>, (one, other): (&Reading<'_>, &Reading<'_>), second: EpochSeconds) -> Option<Claim> {
    let rules = &kernel.rules;
    let (_, from, older) = one.older_side(second, rules.witnesses)?;
    let (to, newer) = other.newer_side((second, other.newer_than(second)), rules.witnesses)?;
    let first: Vec<VideoKey> = one.rows().skip(from).map(|row| row.video).collect();
    let last: Vec<VideoKey> = other.rows().take(to).map(|row| row.video).collect();
    let is_within = one.rows().next_back().is_some_and(|row| row.second == second);
    let meet: Vec<VideoKey> = one.rows_on(one.pages.len() - 1).map(|row| row.video).collect();
    let at = last.windows(meet.len().max(1)).position(|run| run == meet)?;
    let is_full =
        |reading: &Reading<'_>| reading.pages.iter().all(|page| page.free(rules.page_size) == 0 && page.unplaced == 0);
    let all: BTreeSet<VideoKey> = first.iter().chain(last.iter().skip(at + meet.len())).copied().collect();
    let is_once = all.len() == first.len() + last.len().saturating_sub(at + meet.len());
    let is_proven =
        is_within && is_once && is_full(one) && is_full(other) && !matches!(newer, Side::Edge(Edge::End, _));
    is_proven.then(|| {
        let seconds = TimeRange::new(second, second.shifted(1));
        let mut premises =
            BTreeSet::from([Premise::Order, Premise::AnswersWhole, Premise::MirroredTies, Premise::NoDeletion]);
        let mut dated = BTreeSet::new();
        for side in [&older, &newer] {
            match side {
                Side::Rows(rows, _) => {
                    premises.insert(Premise::Dates);
                    dated.insert(rows.clone());
                }
                Side::Edge(..) => {
                    premises.insert(Premise::Bounds);
                }
            }
        }
        let whole = |reading: &Reading<'_>| (0, reading.pages.len() - 1);
        let is_in_turn = one.is_in_turn(whole(one)) && other.is_in_turn(whole(other));
        premises.extend((!is_in_turn).then_some(Premise::NoInsertion));
        let pages = one.pages.iter().chain(&other.pages);
        let observations = pages.map(|page| (page.made, page.id())).collect();
        let shown = one.rows().chain(other.rows());
        let ids = shown.filter(|row| row.second == second).map(|row| row.video).collect();
        let certificate = Certificate { seconds, rule: Rule::BothEnds, premises, dated, observations };
        Claim { certificate, ids, leaps: false, empty_page: None }
    })
}
