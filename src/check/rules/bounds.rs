//! `min_bound` and `max_bound`: whether a bound takes its own second in.
//!
//! A row at exactly the asked second shows that it does, where the next second leaves that row out. A known row that does not come
//! while its neighbours do, although it comes again a second wider afterwards, shows that it does not. Either counts where two stretches
//! of time agree, so that a bound that is rounded is not taken for one that is kept.

use super::base::{Base, base};
use super::windows::{Window, windows};
use super::{Rule, Scope};
use crate::api::contract::SOURCE;
use crate::check::answer::{Page, Row};
use crate::check::finding::RuleVerdict;
use crate::check::question::Question;
use crate::check::seen::{Halt, Seen, Sight};

/// One of the two rules.
pub(in crate::check) struct Bound {
    name: &'static str,
    side: Side,
}

/// The lower bound.
pub(in crate::check) const MIN: Bound = Bound { name: "min_bound", side: Side::Lower };
/// The upper bound.
pub(in crate::check) const MAX: Bound = Bound { name: "max_bound", side: Side::Upper };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Lower,
    Upper,
}

/// What one stretch shows of a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shown {
    /// The row at the asked second came, and did not where the next second was asked.
    Came,
    /// It did not come, and was there before and after.
    Missed,
    /// Nothing, and why.
    Nothing(&'static str),
}

const LOOSE: &str = "rows beyond the bound came";

impl Rule for Bound {
    fn name(&self) -> &'static str {
        self.name
    }

    fn judge(&self, seen: &Seen, scope: &Scope) -> Result<RuleVerdict, Halt> {
        let base = base(seen, scope)?;
        if seen.ignores_time() {
            return Halt::unknown("rows outside the asked time come: the bound is not kept to");
        }
        let windows = windows(seen, &base)?;
        let mut rests_on = Vec::new();
        let mut shown = Vec::new();
        for window in &windows {
            let trial = Trial { seen, base: &base, window: *window };
            let (told, answers) = trial.shown(self.side)?;
            rests_on.extend(answers);
            shown.push(told);
        }
        Ok(self.verdict(&shown, rests_on))
    }
}

impl Bound {
    fn verdict(&self, shown: &[Shown], rests_on: Vec<usize>) -> RuleVerdict {
        let all = |what: &Shown| shown.len() > 1 && shown.iter().all(|told| told == what);
        if all(&Shown::Came) {
            return RuleVerdict::new(
                "inclusive",
                rests_on,
                "rows at exactly the asked second came, in two stretches of time",
            );
        }
        if all(&Shown::Missed) {
            let why = "rows at exactly the asked second did not come while their neighbours did, twice; a second wider they came";
            return RuleVerdict::new("exclusive", rests_on, why);
        }
        let nothing = shown.iter().find_map(|told| if let Shown::Nothing(why) = told { Some(*why) } else { None });
        let why = match nothing {
            Some(why) => why,
            None if shown.len() < 2 => "no two stretches of time with known rows at both ends were found",
            None => "one stretch of time shows one thing, and another one the other",
        };
        RuleVerdict::unknown(rests_on, why)
    }
}

/// A stretch asked from its first to its last second.
struct Trial<'a> {
    seen: &'a Seen,
    base: &'a Base,
    window: Window,
}

impl<'a> Trial<'a> {
    /// What the stretch shows of one bound, and the answers that do.
    fn shown(&self, side: Side) -> Result<(Shown, Vec<usize>), Halt> {
        let Window { first, last, .. } = self.window;
        let exactly = self.base.within(first, last);
        let upwards = self.seen.page(&exactly)?;
        let mut rests_on = vec![upwards.number];
        if self.is_loose(side, upwards.page) {
            return Ok((Shown::Nothing(LOOSE), rests_on));
        }
        // One question asks both bounds; only where a row lacks is it asked from the other end too.
        let is_clear = |side| self.is_there(side, upwards.page);
        if is_clear(side) {
            return self.left_out_beyond(side, rests_on);
        }
        let downwards = self.seen.page(&exactly.newest_first())?;
        rests_on.push(downwards.number);
        if self.is_loose(side, downwards.page) {
            return Ok((Shown::Nothing(LOOSE), rests_on));
        }
        if self.is_there(side, downwards.page) {
            return self.left_out_beyond(side, rests_on);
        }
        self.there_all_the_time(side, (upwards, downwards), rests_on)
    }

    /// The row came: where the next second is asked it must not, or the bound is rounded.
    fn left_out_beyond(&self, side: Side, mut rests_on: Vec<usize>) -> Result<(Shown, Vec<usize>), Halt> {
        let Window { first, last, .. } = self.window;
        if last - first < 2 {
            return Ok((Shown::Nothing("too little time lies between known rows"), rests_on));
        }
        let within = self.end_of(side, first + 1, last - 1);
        let within = self.seen.page(&within)?;
        rests_on.push(within.number);
        let beyond = match side {
            Side::Lower => within.page.rows.iter().any(|row| row.second <= first && self.base.holds(row)),
            Side::Upper => within.page.rows.iter().any(|row| row.second >= last && self.base.holds(row)),
        };
        Ok((if beyond { Shown::Nothing(LOOSE) } else { Shown::Came }, rests_on))
    }

    /// The row did not come: it must come a second wider, now, and rows beside it must have come.
    fn there_all_the_time(
        &self,
        side: Side,
        (upwards, downwards): (Sight<'a>, Sight<'a>),
        mut rests_on: Vec<usize>,
    ) -> Result<(Shown, Vec<usize>), Halt> {
        let Window { first, last, is_whole } = self.window;
        let wider = self.end_of(side, first - 1, last + 1);
        let witness = self.seen.heard_after(&wider, downwards.number)?.page()?;
        rests_on.push(witness.number);
        let between = |row: &&Row| first < row.second && row.second < last;
        let telling = if side == Side::Lower { upwards.page } else { downwards.page };
        let nothing = |why| Ok((Shown::Nothing(why), rests_on.clone()));
        if !self.is_there(side, witness.page) {
            return nothing("the known row went away meanwhile");
        }
        if !telling.rows.iter().any(|row| between(&row)) {
            return nothing("no row beside the bound came either");
        }
        let leaves_out = |page: &Page| witness.page.rows.iter().filter(between).any(|row| !page.has(row));
        if is_whole && (leaves_out(upwards.page) || leaves_out(downwards.page)) {
            return nothing("pages leave out rows in the middle too, so one that lacks at an end shows nothing");
        }
        if !is_whole && telling.len() < SOURCE.page_size as usize {
            return nothing("a page that should be full is not, so a row that lacks shows nothing");
        }
        Ok((Shown::Missed, rests_on))
    }

    /// A question whose first page shows this bound's end: any does, where all rows stand on one page.
    fn end_of(&self, side: Side, min: i64, max: i64) -> Question {
        let question = self.base.within(min, max);
        if self.window.is_whole || side == Side::Lower { question } else { question.newest_first() }
    }

    fn is_there(&self, side: Side, page: &Page) -> bool {
        page.has_second(if side == Side::Lower { self.window.first } else { self.window.last })
    }

    fn is_loose(&self, side: Side, page: &Page) -> bool {
        let Window { first, last, .. } = self.window;
        let beyond = |row: &&Row| if side == Side::Lower { row.second < first } else { row.second > last };
        page.rows.iter().filter(|row| self.base.holds(row)).any(|row| beyond(&row))
    }
}
