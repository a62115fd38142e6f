//! What the walks taught about the service as a whole. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::event::Ending;
use super::fact::{PageFact, RowKey, VideoKey};
use super::page::PROVEN_AFTER;
use super::walk::Lesson;
use crate::api::contract::Region;
use crate::units::{EpochSeconds, LAST_PAGE};

mod bounds;
mod rounding;
mod unplaced;

use bounds::LOST_ANCHORS;
pub use bounds::{BoundQuestion, Bounds, MOST_EARLY_PAGES, MinimumQuestion};
#[cfg(test)]
pub(super) use unplaced::UNPLACED_IN_A_ROW;
pub use unplaced::Unplaced;

/// Rows that must have stood at exactly the asked lower bound before it counts as inclusive: one may be a wrong date.
const ROWS_AT_A_BOUND: usize = 2;
/// Short pages that must have hidden nothing before they count as the service's habit.
const HABIT_AFTER: u32 = 20;
/// How often rows must have followed what looked like an end, after the same number of pages, to be taken for a cap.
const CAP_AFTER: u32 = 2;
/// Pages of a question that one trouble may leave: a last page no later than this is not relied upon where nothing asks beyond it.
const PAGES_IN_TROUBLE: u32 = 10;
/// Later pages that must not have been their predecessor without the first row to show that `page_num` counts pages.
const COUNTED_AFTER: u32 = 3;
/// Seconds that have gone up so often are not put in question by one page out of order.
const BEYOND_QUESTION: u32 = 100;
/// Short pages that hide rows and whose surroundings did not show them all, after which nothing more is spent on others.
const HOPELESS_AFTER: u32 = 40;

/// What the walks taught about the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceProfile {
    /// How the asked bounds are kept to.
    pub bounds: Bounds,
    /// Where pages end.
    pub ends: PageEnds,
    /// What short pages have shown.
    pub short: ShortPages,
    /// Whether `page_num` counts pages or rows.
    pub shifts: Shifts,
    /// In which order rows come.
    pub order: OrderHabits,
    /// Ends of windows at which the neighbour's first page lacked a row that the walk saw.
    pub seams: u64,
    /// Regions whose pages hold no row that can be placed.
    pub unplaced: Unplaced,
    answers: SameAnswer,
    verified: Verified,
}

/// Where the service's pages end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageEnds {
    /// The last page that the service serves, where it is lower than documented.
    pub cap: Option<u32>,
    /// Empty or refused pages in front of rows.
    pub false_ends: u64,
    /// What is journalled of those: the last page that explained them.
    told_end: Option<Option<u32>>,
    /// The largest number of a page that held rows.
    pub deepest_page: u32,
    cap_suspects: BTreeMap<u32, u32>,
}

/// What short pages have shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortPages {
    /// Short pages that hid nothing, since the last that hid something.
    pub harmless: u32,
    /// Short pages that hid rows.
    pub hiding: u64,
    /// Short pages whose surroundings did not show whether something is missing.
    pub open: u32,
    /// It is journalled that short pages hide rows here.
    pub is_told: bool,
    /// Short pages that rows have followed.
    pub followed: u32,
}

/// Whether `page_num` counts pages or rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shifts {
    /// Pages in a row, of all walks, that were their predecessor without the first row.
    pub shifted: u32,
    /// Later pages that were not their predecessor without the first row.
    not_shifted: u32,
}

/// In which order rows come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderHabits {
    /// Rows of one second came in another order than before.
    pub ties_move: bool,
    /// Whether that is told, so that a later start knows it.
    pub(super) is_told: bool,
    /// Pages that showed a row again.
    pub repeats: u64,
    /// When the first of them came.
    repeated: Option<EpochSeconds>,
    /// Whether rows come while the run reads: those that were read before came again, more than once, and not of one trouble.
    pub rows_come: bool,
    /// Rows whose date does not fit the order of the others.
    pub strays: u64,
    /// Rows come in no order.
    pub sort_ignored: bool,
    /// Pages that lay before rows which had come, where rows came in order until then: the times of either may be wrong.
    pub went_back: u64,
    ascents: u32,
}

/// What was found out about the service before the run. It spares requests and is never evidence: what is asked for stays as wide as
/// without it, so that a fact that is wrong loses nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Whether the lower bound takes its own second in.
    pub min_inclusive: Option<bool>,
    /// Whether the upper bound does.
    pub max_inclusive: Option<bool>,
    /// The last page that the service serves.
    pub last_page: Option<u32>,
}

/// Whether every answer so far held the same rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SameAnswer {
    print: u64,
    region: Option<Region>,
    pages: u32,
    /// Whether one of them was no first page, and whether the rows were not what another asked for.
    is_later: bool,
    is_astray: bool,
    is_over: bool,
}

/// Seconds between odd pages from which on they are not taken to be of one trouble.
const ONE_TROUBLE: i64 = 20;

/// Pages of the same rows to different questions after which the service answers everything alike.
const SAME_ANSWERS: u32 = 4;

impl ServiceProfile {
    /// The last page that the service serves.
    pub fn last_page(&self) -> u32 {
        // A page that came beyond what was verified shows that it is not so.
        let verified = self.verified.last_page.filter(|last| *last >= self.ends.deepest_page);
        self.ends.cap.or(verified).unwrap_or(LAST_PAGE)
    }

    /// The same for what the last page would do without: a few pages may end so in one trouble.
    pub fn last_page_at_least(&self) -> u32 {
        self.last_page().max(PAGES_IN_TROUBLE)
    }

    /// A later start reads again what could not be proven. A last page that one trouble may have left is forgotten then: nobody would ask beyond it
    /// any more, and what it cut off would stay unproven for ever. A service that has it shows it again.
    pub fn doubt_last_page(&mut self) {
        if self.ends.cap.is_some_and(|cap| cap <= PAGES_IN_TROUBLE) {
            (self.ends.cap, self.ends.told_end) = (None, None);
            self.ends.cap_suspects.clear();
        }
    }

    /// Takes what was found out before the run.
    pub fn take_verified(&mut self, verified: Verified) {
        self.verified = verified;
    }

    /// What the run has seen that contradicts what was found out before it, for a person.
    pub fn contradicted(&self) -> Option<&'static str> {
        let Verified { min_inclusive, max_inclusive, last_page } = self.verified;
        if (self.bounds.min_inclusive && min_inclusive == Some(false))
            || (self.bounds.max_inclusive && max_inclusive == Some(false))
        {
            return Some("a row came at exactly an asked bound, which is said to be exclusive");
        }
        let cap = self.ends.cap.filter(|cap| last_page.is_some_and(|last| *cap < last));
        cap.map(|_| "rows ended at an earlier page than verified.last_page says")
    }

    /// Whether short pages are this service's habit and prove nothing.
    pub fn short_is_habit(&self) -> bool {
        self.short.harmless >= HABIT_AFTER && !self.short_pages_hide()
    }

    /// Whether a short page has ever hidden a row, or may have: rows of one second that move about can fall into the place of
    /// one that is left out, and nothing shows it. Then no short page is believed that is not proven whole.
    pub fn short_pages_hide(&self) -> bool {
        self.short.is_told || self.short.hiding > 0 || (self.order.ties_move && self.short.harmless > 0)
    }

    /// Whether looking around short pages is given up: they are listed at once.
    pub fn short_is_hopeless(&self) -> bool {
        self.short_pages_hide() && self.short.open >= HOPELESS_AFTER
    }

    /// Whether short or empty pages have hidden rows.
    pub fn service_hides(&self) -> bool {
        self.short_pages_hide() || (self.ends.false_ends > 0 && self.ends.cap.is_none())
    }

    /// Whether `page_num` has been seen to count pages: then rows that come in numbers may shift a page by all but one row.
    pub fn pages_are_counted(&self) -> bool {
        self.shifts.not_shifted >= COUNTED_AFTER
    }

    /// What is to be journalled of false ends, where it is not: the last page that explains them.
    pub fn untold_end(&self) -> Option<Option<u32>> {
        (self.ends.false_ends > 0 && self.ends.told_end != Some(self.ends.cap)).then_some(self.ends.cap)
    }

    /// Takes what is journalled of false ends.
    pub fn take_end(&mut self, last_page: Option<u32>) {
        self.ends.told_end = Some(last_page);
        self.ends.false_ends = self.ends.false_ends.max(1);
        self.ends.cap = last_page.filter(|cap| *cap >= self.ends.deepest_page);
    }

    /// Whether pages have shown that rows come in ascending order.
    pub fn order_is_proven(&self) -> bool {
        self.order.ascents >= PROVEN_AFTER
    }

    /// Whether so many have that one out of order does not put it in question.
    pub fn order_is_beyond_question(&self) -> bool {
        self.order.ascents >= BEYOND_QUESTION
    }

    /// Whether different questions are all answered with the same rows.
    pub fn answers_are_the_same(&self) -> bool {
        let same = &self.answers;
        !same.is_over && same.pages >= SAME_ANSWERS && same.is_later && same.is_astray
    }

    /// Compares an answer with those before it.
    pub fn take_answer(&mut self, page: &PageFact) {
        let same = &mut self.answers;
        if same.pages == 0 {
            (same.print, same.region) = (page.check.print, Some(page.address.region.clone()));
        }
        same.is_over |= page.check.print != same.print || same.print == 0;
        same.pages = same.pages.saturating_add(1);
        same.is_later |= page.address.page.get() > 1;
        // Where all rows lie outside, they are the page's rows.
        let inside = page.rows.len() as u32;
        let is_elsewhere = same.region.as_ref().is_some_and(|region| *region != page.address.region);
        same.is_astray |=
            page.check.is_astray() || (page.check.outside > 0 && page.check.outside >= inside) || is_elsewhere;
    }

    /// What contradicted the contract is asked anew.
    pub fn ask_anew(&mut self) {
        self.shifts.shifted = 0;
        self.bounds.anchors_lost.clear();
        self.bounds.forget_minimums();
        self.answers = SameAnswer::default();
    }

    /// A page that was asked newest first and came so shows that the sort is honoured.
    pub fn take_newest(&mut self, page: &PageFact) {
        let falls = |pair: &[RowKey]| pair.first().map(|row| row.second) > pair.last().map(|row| row.second);
        if page.rows.iter().rev().is_sorted_by_key(|row| row.second) {
            let falls = page.rows.windows(2).filter(|pair| falls(pair)).count();
            self.take(Lesson::Ascents(u32::try_from(falls).unwrap_or(u32::MAX)));
        }
    }

    /// A window that ended at a row beyond it shows an order, also once its pages are forgotten.
    pub fn take_ending(&mut self, ending: Ending) {
        if ending == Ending::RowBeyond {
            self.order.ascents = self.order.ascents.max(PROVEN_AFTER);
        }
    }

    /// Takes one lesson.
    pub fn take(&mut self, lesson: Lesson) {
        match lesson {
            Lesson::AtMin(video) => self.bounds.min_inclusive |= is_enough(&mut self.bounds.at_min, video),
            Lesson::AtMax => self.bounds.max_inclusive = true,
            Lesson::ShortPageFollowed => self.short.followed += 1,
            Lesson::ShortPageHidNothing => self.short.harmless += 1,
            Lesson::ShortPageHidRows => {
                self.short.hiding += 1;
                self.short.harmless = 0;
            }
            Lesson::Repeat(at) => {
                self.order.repeats += 1;
                self.order.rows_come |= at.since(*self.order.repeated.get_or_insert(at)) >= ONE_TROUBLE;
            }
            Lesson::Strays(rows) => self.order.strays += u64::from(rows),
            Lesson::Ascents(times) => self.order.ascents = self.order.ascents.saturating_add(times),
            Lesson::Shifted => self.shifts.shifted += 1,
            Lesson::NotShifted => {
                self.shifts.shifted = 0;
                self.shifts.not_shifted = self.shifts.not_shifted.saturating_add(1);
            }
            Lesson::TiesMove => self.order.ties_move = true,
            Lesson::ShortPageStaysOpen => self.short.open += 1,
            Lesson::Disorder if !self.order_is_beyond_question() => self.order.ascents = 0,
            Lesson::Disorder => self.order.went_back += 1,
            Lesson::Served(page) => {
                self.ends.deepest_page = self.ends.deepest_page.max(page);
                self.bounds.fitting_pages = self.bounds.fitting_pages.saturating_add(1);
                self.ends.cap = self.ends.cap.filter(|cap| *cap >= self.ends.deepest_page);
            }
            Lesson::MoreAfter { pages } => self.suspect_cap(pages),
            Lesson::Early { opens, at } => {
                self.bounds.early_openings += u32::from(opens);
                self.bounds.early_apart |= at.since(*self.bounds.early_since.get_or_insert(at)) >= ONE_TROUBLE;
                self.bounds.early_pages += 1;
            }
            Lesson::AnchorCame => self.bounds.anchor_came = true,
            Lesson::MinKept => {
                (self.bounds.early_openings, self.bounds.min_is_loose) = (0, false);
                (self.bounds.early_since, self.bounds.early_apart) = (None, false);
                self.bounds.minimum.min_is_kept();
            }
            Lesson::AnchorLost(second) if self.bounds.anchors_lost.len() < LOST_ANCHORS => {
                self.bounds.anchors_lost.insert(second);
            }
            Lesson::AnchorLost(_) => {}
        }
    }

    fn suspect_cap(&mut self, pages: u32) {
        self.ends.false_ends += 1;
        let times = self.ends.cap_suspects.entry(pages).or_insert(0);
        *times += 1;
        if *times >= CAP_AFTER && pages > 0 && pages >= self.ends.deepest_page {
            self.ends.cap = Some(pages);
        }
    }
}

/// Whether enough rows have stood at a bound, with this one.
fn is_enough(rows: &mut BTreeSet<VideoKey>, video: VideoKey) -> bool {
    if rows.len() < ROWS_AT_A_BOUND {
        rows.insert(video);
    }
    rows.len() >= ROWS_AT_A_BOUND
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lessons: &[Lesson]) -> ServiceProfile {
        let mut profile = ServiceProfile::default();
        lessons.iter().for_each(|lesson| profile.take(*lesson));
        profile
    }

    #[test]
    fn rows_come_while_the_run_reads_where_pages_apart_in_time_show_some_again() {
        for (seconds, rows_come) in
            [(vec![5], false), (vec![5, 6, 24], false), (vec![5, 25], true), (vec![5, 6, 40], true)]
        {
            let lessons: Vec<Lesson> = seconds.iter().map(|at| Lesson::Repeat(EpochSeconds::new(*at))).collect();
            assert_eq!(after(&lessons).order.rows_come, rows_come, "{seconds:?}");
        }
    }

    #[test]
    fn a_lower_bound_is_surely_not_kept_to_where_pages_apart_in_time_lay_before_it() {
        let early = |at: i64| Lesson::Early { opens: true, at: EpochSeconds::new(at) };
        let three = after(&[early(0), early(1), early(19)]);
        assert!(three.min_seems_loose() && !three.bounds.early_apart);
        let apart = [early(0), early(1), early(2), Lesson::Early { opens: false, at: EpochSeconds::new(20) }];
        assert!(after(&apart).bounds.early_apart);
        let kept = after(&[apart.as_slice(), &[Lesson::MinKept, early(30)]].concat());
        assert!(!kept.min_seems_loose() && !kept.bounds.early_apart);
    }

    /// Two pages of one trouble that end alike tell no last page that anything rests on: what is held against its place lies far beyond.
    #[test]
    fn a_last_page_that_one_trouble_may_leave_is_not_relied_upon() {
        let more = |pages| [Lesson::MoreAfter { pages }; CAP_AFTER as usize];
        let short = after(&more(1));
        assert_eq!((short.last_page(), short.last_page_at_least()), (1, PAGES_IN_TROUBLE));
        let mut long = after(&more(50));
        assert_eq!((long.last_page(), long.last_page_at_least()), (50, 50));
        let mut doubted = short;
        doubted.doubt_last_page();
        long.doubt_last_page();
        assert_eq!((doubted.last_page(), long.last_page()), (LAST_PAGE, 50));
        doubted.take(Lesson::MoreAfter { pages: 1 });
        assert_eq!(doubted.last_page(), LAST_PAGE, "it is to be shown as often as at first");
    }
}
