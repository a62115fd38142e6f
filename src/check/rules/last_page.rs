//! `last_page`: the last page that the service serves, where rows go on behind it.
//!
//! Where rows lie in time says about how many pages there are, so pages are asked where rows must be. That none came somewhere is a cap
//! only where the page before it came, ends before the newest rows, and the same is heard again. Where the rows end first, the cap stays
//! unknown.

use super::base::{Base, base};
use super::ends::told;
use super::order::{is_sorted, newest};
use super::overlap::PageOverlap;
use super::{Rule, Scope};
use crate::check::answer::Page;
use crate::check::finding::RuleVerdict;
use crate::check::question::Question;
use crate::check::seen::{Halt, Heard, Seen, Sight};
use crate::units::LAST_PAGE;

/// The page after the last documented one.
const BEYOND: u32 = LAST_PAGE + 1;
/// Pages that are known to be there before the search.
const FIRST_LOOK: u32 = 2;
/// How much deeper each look may go than the one before, where nothing stops it.
const STEP: u32 = 20;
/// How much of the estimated pages is asked for: the rows are not spread evenly.
const SAFE: f64 = 0.9;
/// The share of the time that may lie behind the deepest page to say that the rows end about there.
const REST: f64 = 0.15;
/// The same where a later page came without rows, and about so many pages are expected.
const HALF: f64 = 0.5;
/// The share of a page's rows that must be another page's to say that it is that page again.
const SAME: f64 = 0.8;
/// Pages that a service may be made to end at.
const ROUND: [u32; 15] = [5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000];
/// Looks that the search may take: gallop and bisection over all documented pages.
const MOST_LOOKS: usize = 24;

/// The rule.
pub(in crate::check) struct LastPage;

impl Rule for LastPage {
    fn name(&self) -> &'static str {
        "last_page"
    }

    fn judge(&self, seen: &Seen, scope: &Scope) -> Result<RuleVerdict, Halt> {
        let base = base(seen, scope)?;
        if !is_sorted(seen, &base)? {
            return Halt::unknown("rows come in no order of time, so how deep they go does not show");
        }
        let overlap = PageOverlap.judge(seen, scope)?;
        if matches!(overlap.word.as_str(), "row_offset" | "same_rows") {
            return Halt::unknown("`page_num` does not count pages");
        }
        Search::new(seen, &base)?.run()
    }
}

/// What is known of the depth.
struct Search<'a> {
    seen: &'a Seen,
    base: &'a Base,
    newest: Sight<'a>,
    /// The seconds of the first and of the last row.
    ends: (i64, i64),
    /// Pages with rows of their own, ascending.
    own: Vec<(u32, Sight<'a>)>,
    /// The first page that is known to have none.
    beyond: Option<u32>,
    /// The rows of pages that have none of their own, where rows come there.
    repeated: Option<&'a Page>,
    rests_on: Vec<usize>,
}

/// What a page is.
enum Look<'a> {
    Rows(Sight<'a>),
    /// It holds the rows of an earlier page, of this number.
    Repeats(Sight<'a>, u32),
    Nothing(usize),
}

impl<'a> Search<'a> {
    fn new(seen: &'a Seen, base: &'a Base) -> Result<Self, Halt> {
        let newest = newest(seen, base)?;
        let first = base.later_page(seen, 0)?;
        let Some(ends) = least(first.page, base).zip(greatest(newest.page, base)) else {
            return Halt::unknown("no rows with usable times came");
        };
        let own = vec![(base.first_page, first)];
        let mut search =
            Self { seen, base, newest, ends, own, beyond: None, repeated: None, rests_on: vec![newest.number] };
        for pages in 1..=FIRST_LOOK {
            if search.beyond.is_none() {
                search.learn(base.first_page + pages)?;
            }
        }
        Ok(search)
    }

    fn run(mut self) -> Result<RuleVerdict, Halt> {
        for _ in 0..MOST_LOOKS {
            if self.reaches_the_end() {
                return Ok(self.ends_before());
            }
            let Some(page) = self.next_page() else { break };
            self.learn(page)?;
        }
        self.concluded()
    }

    fn question(&self, page: u32) -> Question {
        self.base.whole().on_page(page)
    }

    fn deepest(&self) -> (u32, Option<Sight<'a>>) {
        self.own.last().map_or((self.base.first_page, None), |(page, sight)| (*page, Some(*sight)))
    }

    /// Looks at a page.
    fn learn(&mut self, page: u32) -> Result<(), Halt> {
        match self.look(page)? {
            Look::Rows(sight) => self.own.push((page, sight)),
            Look::Nothing(number) => {
                self.rests_on.push(number);
                self.beyond = Some(page);
            }
            Look::Repeats(sight, of) => {
                self.rests_on.push(sight.number);
                self.repeated = Some(sight.page);
                self.own.retain(|(other, _)| *other < of);
                self.beyond = Some(of);
            }
        }
        Ok(())
    }

    fn look(&self, page: u32) -> Result<Look<'a>, Halt> {
        let heard = self.seen.glanced(&self.question(page))?;
        let Heard::Page(sight) = heard else { return Ok(Look::Nothing(heard.number())) };
        if sight.page.rows.is_empty() {
            return Ok(Look::Nothing(sight.number));
        }
        if self.repeated.is_some_and(|rows| is_same(sight.page, rows)) {
            return Ok(Look::Repeats(sight, page));
        }
        let of = self.own.iter().find(|(_, other)| is_same(sight.page, other.page));
        Ok(of.map_or(Look::Rows(sight), |(of, _)| Look::Repeats(sight, *of)))
    }

    /// The second that the deepest page ends at.
    fn reached(&self) -> i64 {
        self.deepest().1.and_then(|sight| greatest(sight.page, self.base)).unwrap_or(self.ends.0)
    }

    /// Pages, as far as the seconds of the deepest one tell.
    fn estimate(&self) -> f64 {
        let (oldest, latest) = self.ends;
        let share = (self.reached() - oldest).max(1) as f64 / (latest - oldest).max(1) as f64;
        f64::from(self.deepest().0) / share
    }

    fn reaches_the_end(&self) -> bool {
        let (page, sight) = self.deepest();
        let rest = (self.ends.1 - self.reached()) as f64 / (self.ends.1 - self.ends.0).max(1) as f64;
        let shows_the_end = sight.is_some_and(|sight| sight.page.shared_with(self.newest.page) > 0);
        // Where rows are expected to have ended, that none came shows no cap.
        let is_explained = match self.beyond {
            None => rest < REST && page < LAST_PAGE,
            Some(beyond) => rest < HALF && self.estimate() * SAFE < f64::from(beyond),
        };
        shows_the_end || is_explained
    }

    /// A page between the deepest with rows and the first without: where rows must be, or in the middle.
    fn next_page(&self) -> Option<u32> {
        let low = self.deepest().0;
        let guess = (self.estimate() * SAFE).clamp(0.0, f64::from(BEYOND)) as u32;
        let Some(high) = self.beyond else {
            return (low < BEYOND).then_some(guess.min(low.saturating_mul(STEP)).clamp(low + 1, BEYOND));
        };
        if high <= low + 1 {
            return None;
        }
        let is_between = guess > low && guess < high;
        Some(if is_between { guess } else { between(low, high) })
    }

    fn ends_before(mut self) -> RuleVerdict {
        let (page, sight) = self.deepest();
        self.rests_on.extend(sight.map(|sight| sight.number));
        RuleVerdict::unknown(self.rests_on, format!("the rows end at about page {page}, before any cap"))
    }

    /// The deepest page with rows stands right before one without: what that one is, heard again.
    fn concluded(mut self) -> Result<RuleVerdict, Halt> {
        let (deepest, sight) = self.deepest();
        let (Some(sight), Some(beyond)) = (sight, self.beyond.filter(|beyond| *beyond == deepest + 1)) else {
            let why = format!("page {deepest} came with rows, and none without was found");
            return Ok(RuleVerdict::unknown(self.rests_on, why));
        };
        self.rests_on.push(sight.number);
        // A page that comes again for every later number is the last one.
        let (last, rows) = self.repeated.map_or((deepest, sight.page), |rows| (beyond, rows));
        if greatest(rows, self.base) >= least(self.newest.page, self.base) {
            return Ok(self.ends_before());
        }
        if self.seen.flickers() {
            return Ok(RuleVerdict::unknown(
                self.rests_on,
                "pages come empty now and then, so one that does shows nothing",
            ));
        }
        let after = self.question(last + 1);
        let first = self.seen.glanced(&after)?;
        // The last page comes for every later number. Where the next page came in place of another once, the one after it does not.
        let (number, again) = match self.repeated {
            Some(_) => (last + 2, self.seen.glanced(&self.question(last + 2))?),
            None => (last + 1, self.seen.heard_after(&after, first.number())?),
        };
        self.rests_on.push(again.number());
        let what = match again {
            Heard::Refused { code, .. } => format!("is refused with {code}"),
            Heard::Page(sight) if sight.page.rows.is_empty() => format!("comes with {}", told(sight.page.shape).1),
            Heard::Page(sight) if is_same(sight.page, rows) => format!("is page {last} again"),
            Heard::Page(_) => {
                let why = "a page came without rows of its own, and then one with such rows where none should be";
                return Ok(RuleVerdict::unknown(self.rests_on, why));
            }
        };
        let why = format!("page {last} is the last with rows although later ones exist; page {number} {what}");
        Ok(RuleVerdict::new(last.to_string(), self.rests_on, why))
    }
}

/// A page between the two. A cap is somebody's choice, so it is most likely a round number: those are tried first, and the page after one.
fn between(low: u32, high: u32) -> u32 {
    let round: Vec<u32> = ROUND.into_iter().filter(|page| *page > low && *page < high).collect();
    match round.get(round.len() / 2) {
        Some(page) => *page,
        None if ROUND.contains(&low) => low + 1,
        None => low + (high - low) / 2,
    }
}

/// Whether a page holds the rows of another one.
fn is_same(page: &Page, other: &Page) -> bool {
    page.shared_with(other) as f64 >= SAME * page.rows.len() as f64
}

fn least(page: &Page, base: &Base) -> Option<i64> {
    page.rows.iter().filter(|row| base.holds(row)).map(|row| row.second).min()
}

fn greatest(page: &Page, base: &Base) -> Option<i64> {
    page.rows.iter().filter(|row| base.holds(row)).map(|row| row.second).max()
}
