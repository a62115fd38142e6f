//! Worlds to six rows from fixed seeds, with several troubles at once.

use super::world::{Fault, Kind, List, Request, Row, SECONDS, Scenario};
use super::{Rules, Tally};
use crate::plan::evidence::premise::Rule;

/// Worlds from one seed.
const WORLDS: u64 = 40_000;
const MOST_ROWS: u64 = 6;

/// Numbers that look random and are the same for each seed (splitmix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn hits(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// How often each trouble comes: one in so many; a world has few kinds of it at once, so that others do not hide it.
struct Troubles {
    date: u64,
    free: u64,
    hidden: u64,
    unplaced: u64,
    comes: u64,
    goes: u64,
    fault: u64,
    unstable: bool,
    /// Whether no row is of the second in the middle.
    parted: bool,
}

impl Troubles {
    fn throw(dice: &mut Dice) -> Self {
        let mut often = |one_in: u64| if dice.hits(3) { one_in } else { u64::MAX };
        let (date, free, hidden, unplaced) = (often(4), often(4), often(8), often(8));
        let (comes, goes, fault) = (often(4), often(6), often(5));
        Self { date, free, hidden, unplaced, comes, goes, fault, unstable: !dice.hits(3), parted: dice.hits(5) }
    }
}

pub(super) fn world(dice: &mut Dice) -> (Scenario, Rules) {
    let troubles = Troubles::throw(dice);
    let count = 1 + dice.below(MOST_ROWS);
    let lists: Vec<List> = (0..1 + dice.below(4)).map(|_| list(dice)).collect();
    let mut requests = Vec::new();
    let mut at = 100;
    for number in 0..lists.len() {
        let pages = 1 + u32::try_from(dice.below(4)).unwrap();
        let from = requests.len();
        for page in 1..=pages {
            at += 1;
            let ties = if troubles.unstable { ties(dice, count) } else { Vec::new() };
            let fault = if dice.hits(troubles.fault) { fault(dice, count) } else { Fault::None };
            requests.push(Request { list: number, page, at, fault, ties });
        }
        if dice.hits(4) && pages > 1 {
            (requests[from].page, requests[from + 1].page) = (2, 1);
        }
        at += if dice.hits(2) { 100 } else { 1 };
    }
    let asked = requests.len() as u64;
    let rows = (0..count).map(|_| row(dice, &troubles, asked)).collect();
    let cap = if dice.hits(6) { 2 } else { u32::MAX };
    let page_size = 2 + usize::from(dice.hits(4));
    let scenario = Scenario { rows, lists, requests, cap, page_size, confirm_after: 100 };
    let leap = if dice.hits(2) { 0 } else { 9 };
    let witnesses = 1 + usize::from(dice.hits(3));
    let rules = Rules {
        page_size: u32::try_from(page_size).unwrap(),
        confirm_after: 100,
        witnesses,
        leap,
        looks: 1,
        is_habit: false,
    };
    (scenario, rules)
}

fn list(dice: &mut Dice) -> List {
    let is_newest_first = dice.hits(3);
    let (min, end) = match dice.below(6) {
        0 => (1, SECONDS),
        1 => (1, 2),
        2 => (0, 2),
        _ => (0, SECONDS),
    };
    List { is_newest_first, min, end, lacks_first: dice.hits(20) }
}

fn row(dice: &mut Dice, troubles: &Troubles, requests: u64) -> Row {
    let key = match (troubles.parted, dice.hits(2)) {
        (true, is_first) => 2 * i64::from(is_first),
        (false, true) => 1,
        (false, false) => i64::try_from(dice.below(SECONDS as u64)).unwrap(),
    };
    let mut row = Row::plain(key);
    if dice.hits(troubles.date) {
        row.shown = i64::try_from(dice.below(SECONDS as u64)).unwrap();
    }
    if dice.hits(troubles.free) {
        row.kind = Kind::Free;
    }
    if dice.hits(troubles.hidden) {
        row.kind = Kind::Hidden;
    }
    if dice.hits(troubles.unplaced) {
        row.kind = Kind::Unplaced;
    }
    if dice.hits(troubles.comes) {
        row.comes = dice.below(requests) as usize;
    } else if dice.hits(troubles.goes) {
        row.goes = 1 + dice.below(requests) as usize;
    }
    row
}

fn ties(dice: &mut Dice, rows: u64) -> Vec<usize> {
    (0..rows).map(|_| dice.below(1_000) as usize).collect()
}

fn fault(dice: &mut Dice, rows: u64) -> Fault {
    match dice.below(8) {
        0 => Fault::Empty,
        1 => Fault::AlwaysEmpty,
        2 => Fault::Hides(dice.below(2) as usize),
        3 => Fault::Disorder,
        4 => Fault::Hides(1),
        _ => Fault::Poor((0..rows as usize).filter(|_| dice.hits(2)).collect()),
    }
}

#[test]
fn every_claim_is_true_whose_premises_hold_and_every_rule_makes_some() {
    for seed in [1, 2, 3] {
        let (mut tally, mut dice) = (Tally::default(), Dice(seed));
        for _ in 0..WORLDS {
            let (scenario, rules) = world(&mut dice);
            tally.try_world(&scenario, rules, None);
        }
        tally.assert_sound();
        for rule in [Rule::OnePage, Rule::Filled, Rule::Between, Rule::End, Rule::BothEnds, Rule::Habit, Rule::Whole] {
            let claims = tally.claims.get(&rule).copied().unwrap_or(0);
            assert!(claims > 0, "{rule:?} made {claims} claims from seed {seed}: {:?}", tally.claims);
        }
    }
}
