//! Short pages in a whole plan: what they left out is found, and a last page that is proven whole is not listed.

use super::{Follows, Place, ShortDoubt};
use crate::api::contract::Filters;
use crate::plan::event::PlanEvent;
use crate::plan::fact::{Purpose, RowKey, VideoKey};
use crate::plan::planner::{Decision, PlanContext, Planner, Task};
use crate::plan::testing::{range, served, us};
use crate::units::EpochSeconds;

/// A plan of [0, 1000) against rows at every fourth second up to 400.
struct Reading {
    plan: Planner,
    seen: Vec<i64>,
    asked: usize,
    now: i64,
}

impl Reading {
    fn begin() -> Self {
        let mut plan = Planner::new(&[us()], Filters::default(), range(0, 1_000));
        let opening = plan.opening();
        opening.iter().for_each(|event| plan.apply_event(event));
        Self { plan, seen: Vec::new(), asked: 0, now: 5_000 }
    }

    fn fold(&mut self, events: &[PlanEvent]) {
        events.iter().for_each(|event| self.plan.apply_event(event));
    }

    /// Reads to the end; `keeps` tells which seconds of the question of this number and purpose are left on its page.
    fn read_all(&mut self, keeps: impl Fn(&Task, usize, i64) -> bool) {
        for _ in 0..300 {
            let now = EpochSeconds::new(self.now);
            let context = PlanContext { now, idle_workers: 1, ..PlanContext::usual().confirming(20) };
            match self.plan.next(None, &context) {
                Decision::Record(events) => self.fold(&events),
                Decision::Wait(until) => self.now = until.get(),
                Decision::Ask(task) => {
                    self.asked += 1;
                    self.plan.set_out(&task);
                    self.plan.came_back(&task);
                    let (number, at) = (self.asked, self.now);
                    let page = served(&task, 400, EpochSeconds::new(at), |second| keeps(&task, number, second));
                    if matches!(task.address.purpose, Purpose::Walk { .. }) {
                        self.seen.extend(page.rows.iter().map(|row| row.second.get()));
                    }
                    self.plan.apply_page(&page);
                }
                _ => break,
            }
        }
    }

    fn missing(&self) -> Vec<i64> {
        (0..=400).step_by(4).filter(|second| !self.seen.contains(second)).collect()
    }
}

/// Two of ten rows came of a page, both further on than those of a page before them lie apart. Nothing doubted it.
#[test]
fn a_short_page_whose_rows_all_leap_ahead_has_left_rows_out() {
    for left in [1, 2, 3] {
        let mut reading = Reading::begin();
        let is_hit = |task: &Task, number| number < 20 && task.query.page.get() == 4 && is_walk(task);
        reading.read_all(|task, number, second| {
            let place = (second - task.query.min_create_time.unwrap().get()).max(0) / 4 % 10;
            !is_hit(task, number) || place >= 10 - left
        });
        assert!(reading.plan.is_done());
        let unproven = reading.plan.unproven();
        let silent = |second: &i64| !unproven.iter().any(|listed| listed.range.contains(EpochSeconds::new(*second)));
        assert_eq!(reading.missing().into_iter().filter(silent).collect::<Vec<_>>(), Vec::<i64>::new(), "{left} left");
    }
}

/// How much of the region's newest page comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Newest {
    Whole,
    /// All of it once the end is confirmed, and a part before.
    WholeInTheEnd,
    /// The same, and none of the last rows before: the walk goes on to look for the end from its last second.
    LateAndWhole,
    /// Never the row before the last, as on all pages.
    Short,
    /// The same, and none of the last rows before the end is confirmed.
    ShortAndLate,
}

/// Short pages hid rows for a while, so that none is believed any more; the region's last page is short by nature.
#[test]
fn a_last_page_that_the_newest_page_shows_whole_is_no_doubt() {
    use Newest::{LateAndWhole, Short, ShortAndLate, Whole, WholeInTheEnd};
    for newest in [Whole, WholeInTheEnd, LateAndWhole, Short, ShortAndLate] {
        let is_short = matches!(newest, Short | ShortAndLate);
        let mut reading = Reading::begin();
        reading.read_all(|task, number, second| {
            let is_hit = is_walk(task) && number < 20 && task.query.page.get() == 4 && second % 8 == 0;
            let is_partial = newest == WholeInTheEnd && task.address.purpose == Purpose::Newest;
            let comes_late = matches!(newest, LateAndWhole | ShortAndLate);
            let is_late = comes_late && task.address.purpose == Purpose::Newest && second > 380;
            let is_hidden = is_late || (is_short && second == 396);
            !(is_hit || is_hidden || (is_partial && second % 12 != 4))
        });
        assert!(reading.plan.is_done() && reading.plan.profile().short_pages_hide());
        let listed: Vec<_> = reading.plan.unproven().iter().map(|listed| listed.range).collect();
        let is_listed = listed.iter().any(|range| range.contains(EpochSeconds::new(396)));
        assert_eq!(is_listed, is_short, "{newest:?}: {listed:?}");
    }
}

fn is_walk(task: &Task) -> bool {
    matches!(task.address.purpose, Purpose::Walk { .. })
}

/// A run that goes on to a later end asks for rows that the page could not have held: such a region's last page was listed.
#[test]
fn what_was_not_asked_for_with_a_short_page_does_not_follow_it() {
    use super::{Follows, Place, ShortDoubt};
    use crate::plan::fact::{RowKey, VideoKey};
    let at = EpochSeconds::new;
    let row = |second: i64| RowKey { second: at(second), video: VideoKey(second as u64) };
    let place = Place {
        look_from: at(10),
        from: at(20),
        amid: None,
        first_video: VideoKey(20),
        last_video: VideoKey(30),
        first: at(20),
        last: at(30),
        ends: at(30),
        slots: 2,
        asked_max: at(35),
    };
    let mut doubt = ShortDoubt::new(place, [VideoKey(20), VideoKey(30)].into(), None);
    doubt.followed_by(&[row(20), row(30), row(36)], Follows::Anchored(at(20)));
    assert!(doubt.is_pending() && !doubt.is_followed());
    doubt.followed_by(&[row(30), row(35)], Follows::NextPage);
    assert!(doubt.is_followed());
}

/// No more pages were served, so the look began anew at the page's own second and saw the page as it had come: two rows were believed not to be there.
#[test]
fn a_look_that_comes_to_the_page_by_beginning_anew_there_sees_it_as_it_was() {
    let row = |second: i64, video: u64| RowKey { second: EpochSeconds::new(second), video: VideoKey(video) };
    let rows = |second: i64, videos: std::ops::Range<u64>| videos.map(|video| row(second, video)).collect::<Vec<_>>();
    let opens = |rows: &[RowKey]| rows.first().map(|row| row.second);
    let settles = |look: &[Vec<RowKey>]| {
        let place = Place {
            look_from: EpochSeconds::new(3),
            from: EpochSeconds::new(4),
            amid: None,
            first_video: VideoKey(70),
            last_video: VideoKey(77),
            first: EpochSeconds::new(4),
            last: EpochSeconds::new(4),
            ends: EpochSeconds::new(4),
            slots: 8,
            asked_max: EpochSeconds::new(10),
        };
        let mut doubt = ShortDoubt::new(place, rows(4, 70..78).iter().map(|row| row.video).collect(), None);
        let after = [rows(4, 80..89), vec![row(5, 89), row(6, 90)]].concat();
        doubt.followed_by(&after, Follows::NextPage);
        for (from, pages) in [(4, &[rows(4, 70..78)][..]), (3, look)] {
            doubt.begin_look(EpochSeconds::new(from));
            for page in pages.iter().chain([&after]) {
                doubt.look(page, opens(page), page.len() >= 10);
            }
        }
        doubt.is_settled()
    };
    let anew = [rows(3, 60..70), rows(4, 70..78)];
    let otherwise = [[rows(3, 62..70), rows(4, 70..72)].concat(), rows(4, 72..78)];
    assert!(!settles(&anew) && settles(&otherwise));
}
