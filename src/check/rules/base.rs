//! What every other rule builds on: where rows are, the unit of time, the first page, and pages in the order of time.

use super::{Rule, Scope};
use crate::api::contract::SOURCE;
use crate::check::answer::{Page, Row, Shape};
use crate::check::finding::RuleVerdict;
use crate::check::question::{Question, Unit};
use crate::check::seen::{Halt, Heard, Seen, Sight};

/// How far around the newest row is looked where the asked range holds none, seconds.
const AROUND_THE_NEWEST: i64 = 86_400;
/// How far beside a lone second it is looked whether its bounds are kept to, seconds.
const BESIDE: i64 = 3_600;

/// A page without rows.
static NO_ROWS: Page = Page { rows: Vec::new(), unusable: 0, shape: Shape::List };

/// Where rows are and how they are asked for.
#[derive(Clone, Debug)]
pub(in crate::check) struct Base {
    scope: Scope,
    /// The unit in which bounds bring rows.
    pub(super) unit: Unit,
    /// The bounds of the widest question.
    pub(super) bounds: (i64, i64),
    /// The number of the first page: 1 as documented, or 0.
    pub(super) first_page: u32,
    /// A second that has a row, and the answer to a question for it alone.
    pub(super) anchor: (i64, Option<usize>),
}

impl Base {
    /// The widest question, oldest first, on its first page.
    pub(super) fn whole(&self) -> Question {
        self.within(self.bounds.0, self.bounds.1)
    }

    /// The same of these seconds.
    pub(super) fn within(&self, min: i64, max: i64) -> Question {
        Question::new(&self.scope.region, self.unit, (Some(min), Some(max))).on_page(self.first_page)
    }

    /// The question for one known second alone, with those beside it.
    pub(super) fn alone(&self) -> Question {
        self.within(self.anchor.0 - 1, self.anchor.0 + 1)
    }

    /// The page of the widest question that comes so many pages after its first; without rows where it is refused.
    pub(super) fn later_page<'a>(&self, seen: &'a Seen, pages: u32) -> Result<Sight<'a>, Halt> {
        match seen.heard(&self.whole().on_page(self.first_page + pages))? {
            Heard::Refused { number, .. } if pages > 0 => Ok(Sight { number, page: &NO_ROWS }),
            heard => heard.page(),
        }
    }

    /// Whether a row lies where the widest question asks: one that does not has a wrong date.
    pub(super) fn holds(&self, row: &Row) -> bool {
        (self.bounds.0..=self.bounds.1).contains(&row.second)
    }
}

/// Finds where rows are.
pub(in crate::check) fn base(seen: &Seen, scope: &Scope) -> Result<Base, Halt> {
    let asked = (scope.from - 1, scope.to);
    let (unit, bounds, first) = match with_rows(seen, scope, asked)? {
        Some((unit, sight)) => (unit, asked, sight),
        None => {
            let anywhere = Question::new(&scope.region, Unit::Seconds, (None, None)).newest_first();
            let Some(newest) = middle(seen.page(&anywhere)?) else {
                return Halt::unknown("no row of this region came, with or without a time");
            };
            let around = (newest - AROUND_THE_NEWEST, newest + AROUND_THE_NEWEST);
            match with_rows(seen, scope, around)? {
                Some((unit, sight)) => (unit, around, sight),
                None => return Halt::unknown("rows come without a time, but none for the time of a known row"),
            }
        }
    };
    let Some(second) = middle(first) else { return Halt::unknown("no row with a usable time came") };
    let base = Base { scope: scope.clone(), unit, bounds, first_page: 1, anchor: (second, None) };
    anchored(seen, base)
}

/// The unit in which these bounds bring rows, and the page.
fn with_rows<'a>(seen: &'a Seen, scope: &Scope, (min, max): (i64, i64)) -> Result<Option<(Unit, Sight<'a>)>, Halt> {
    let asked = |unit| Question::new(&scope.region, unit, (Some(min), Some(max)));
    let first = seen.page(&asked(Unit::Seconds))?;
    if !first.page.rows.is_empty() {
        return Ok(Some((Unit::Seconds, first)));
    }
    match seen.heard(&asked(Unit::Milliseconds))? {
        Heard::Page(sight) if !sight.page.rows.is_empty() => Ok(Some((Unit::Milliseconds, sight))),
        _ => Ok(None),
    }
}

/// The second in the middle of a page: a single wrong date does not move it far.
fn middle(sight: Sight<'_>) -> Option<i64> {
    let mut seconds: Vec<i64> = sight.page.rows.iter().map(|row| row.second).collect();
    seconds.sort_unstable();
    seconds.get(seconds.len() / 2).copied()
}

/// Asks for one known second alone: its row must stand on the first page, whichever number that has. A page that is full, or that holds other
/// seconds too, may be a later one all the same, so then page 0 is asked too.
fn anchored(seen: &Seen, base: Base) -> Result<Base, Halt> {
    let second = base.anchor.0;
    let alone = base.alone();
    let first = seen.heard(&alone)?;
    let page = if let Heard::Page(sight) = first { sight.page } else { &NO_ROWS };
    let shown = page.has_second(second).then_some(first.number());
    let is_alone = page.rows.iter().all(|row| alone.covers(row.second));
    if shown.is_some() && page.len() < SOURCE.page_size as usize && is_alone {
        return Ok(Base { anchor: (second, shown), ..base });
    }
    let is_another = |zero: &Page| zero.rows.first().is_some_and(|row| !page.has(row));
    match seen.heard(&alone.on_page(0))? {
        Heard::Page(zero) if is_another(zero.page) => {
            let shown = zero.page.has_second(second).then_some(zero.number);
            Ok(Base { first_page: 0, anchor: (second, shown), ..base })
        }
        _ => Ok(Base { anchor: (second, shown), ..base }),
    }
}

/// `time_unit`: shown by a question for one second alone that brings its rows and leaves others out.
pub(in crate::check) struct TimeUnit;

impl Rule for TimeUnit {
    fn name(&self) -> &'static str {
        "time_unit"
    }

    fn judge(&self, seen: &Seen, scope: &Scope) -> Result<RuleVerdict, Halt> {
        let base = base(seen, scope)?;
        let whole = seen.page(&base.whole().on_page(1))?;
        let (second, Some(number)) = base.anchor else {
            return Halt::unknown("the row of a known second did not come where that second alone was asked");
        };
        let alone = base.alone();
        let is_beside = |row: &Row| !alone.covers(row.second);
        let narrowed = seen.page(&alone)?;
        if narrowed.page.rows.iter().any(|row| is_beside(row) && base.holds(row)) {
            return Halt::unknown("rows outside the asked time come, so its unit does not show");
        }
        let mut rests_on = vec![whole.number, number];
        if !whole.page.rows.iter().any(is_beside) {
            let beside = seen.page(&base.within(second + 2, second + BESIDE))?;
            rests_on.push(beside.number);
            if beside.page.has_second(second) {
                return Halt::unknown("rows outside the asked time come, so its unit does not show");
            }
        }
        let (word, name) = match base.unit {
            Unit::Seconds => ("seconds", "seconds"),
            Unit::Milliseconds => ("milliseconds", "milliseconds, and none with seconds"),
        };
        Ok(RuleVerdict::new(
            word,
            rests_on,
            format!("bounds in epoch {name} bring the rows of the second they name, and no others"),
        ))
    }
}
