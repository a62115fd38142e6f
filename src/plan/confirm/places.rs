//! Before a region is done, one page tells by its number whether as many rows came as lie before it.

use super::Due;
use crate::api::contract::Region;
use crate::plan::choose::doubted;
use crate::plan::event::PlanEvent;
use crate::plan::fact::WindowId;
use crate::plan::places::{Beginning, PlaceQuestion, Stands, Telling};
use crate::plan::planner::{Decision, PlanContext, Planner};
use crate::plan::profile::ServiceProfile;
use crate::plan::region::RegionPlan;
use crate::plan::reopen::Reopening;
use crate::plan::walk::Walk;
use crate::plan::window::Window;
use crate::units::{EpochSeconds, TimeRange};

impl Planner {
    /// A page that tells how many rows lie before it is asked for before its region is done.
    pub(super) fn ask_place(
        &self,
        (id, window): (WindowId, &Window),
        plan: &RegionPlan,
        context: &PlanContext,
    ) -> Option<Due> {
        let Stands::Ask(question) = self.stands(plan, context.tuning.confirm_after) else { return None };
        let due = question.due.unwrap_or(context.now);
        Some(self.when_due((id, window), plan, (question.purpose(), due), context))
    }

    /// A page whose number tells that no row lies before the first that came is as good as the region's oldest page, and tells of the
    /// rows between as well. It is asked right after the newest page has come as it was, since trouble may last. What is to be done
    /// before it tells, or whether it does.
    pub(super) fn begins_whole(
        &self,
        (id, window): (WindowId, &Window),
        (plan, walk): (&RegionPlan, &Walk),
        finishing: &[PlanEvent],
        context: &PlanContext,
    ) -> Result<bool, Decision> {
        // How many rows came is known before it is held against their places.
        if let Some(counted) = self.counted(window, walk, (&self.uncounted_of(window, finishing), &[])) {
            return Err(Decision::Record(vec![counted]));
        }
        let question = match self.beginning(plan) {
            Beginning::Ask(question) => question,
            told => return Ok(told == Beginning::Whole),
        };
        match self.when_due((id, window), plan, (question.purpose(), context.now), context) {
            Due::Now(decision) => Err(decision),
            Due::Later(_) => Ok(false),
        }
    }

    /// What a page that is asked from this second would tell.
    pub(in crate::plan) fn place_question(&self, plan: &RegionPlan, anchor: EpochSeconds) -> Option<PlaceQuestion> {
        match (self.beginning(plan), self.stands(plan, 0)) {
            (Beginning::Ask(question), _) if question.anchor == anchor => Some(question),
            (_, Stands::Ask(question)) if question.anchor == anchor => Some(question),
            _ => None,
        }
    }

    fn beginning(&self, plan: &RegionPlan) -> Beginning {
        match self.places_tell(plan) {
            Some(telling) => plan.again.places.beginning(plan.range.start, telling.last_page),
            None => Beginning::Untold,
        }
    }

    /// What pages tell of a region; none where rows come while the run reads: more of them lie there than came, and that is how it is. But
    /// where answers to other questions come at times, those may be what came again. Where more rows may lie before a page than were asked
    /// for, only pages tell that are counted from the region's first second, if its first page showed that nothing lies before.
    fn places_tell(&self, plan: &RegionPlan) -> Option<Telling> {
        let ServiceProfile { bounds, order, .. } = &self.profile;
        let is_mixed = self.profile.answers_are_mixed();
        let min_is_loose = self.min_may_be_loose() && (bounds.early_apart || self.profile.min_stays_loose());
        let rows_come = order.rows_come && !is_mixed;
        let tell = !order.sort_ignored && !rows_come && (!min_is_loose || plan.again.places.opens_clean);
        tell.then(|| Telling {
            last_page: self.profile.last_page_at_least(),
            is_odd: self.is_odd() || self.min_may_be_loose(),
            is_mixed,
            only_from: min_is_loose.then_some(plan.range.start),
            may_be_more: order.repeats > 0 || self.min_may_be_loose(),
        })
    }

    /// Whether more rows may lie before a page than were asked for.
    fn min_may_be_loose(&self) -> bool {
        self.profile.bounds.min_is_loose || self.profile.min_seems_loose()
    }

    /// Whether some answers of the run were odd, so that others may have come to other questions as well.
    fn is_odd(&self) -> bool {
        let ServiceProfile { order, seams, ends, .. } = &self.profile;
        self.profile.answers_are_mixed() || order.repeats > 0 || order.strays > 0 || *seams > 0 || ends.false_ends > 0
    }

    /// How a region's rows stand to their places, where those tell.
    pub(in crate::plan) fn stands(&self, plan: &RegionPlan, confirm_after: i64) -> Stands {
        self.places_tell(plan).map_or(Stands::Whole, |telling| plan.again.places.stands(telling, confirm_after))
    }

    /// How many rows a window has shown, without what is listed of it; none where that is known.
    pub(in crate::plan) fn counted(
        &self,
        window: &Window,
        walk: &Walk,
        (listed, again): (&[TimeRange], &[TimeRange]),
    ) -> Option<PlanEvent> {
        self.counted_in((window, window.range), walk, (listed, again))
    }

    /// The same of a window that is over where its walk has settled, and is read on otherwise.
    pub(in crate::plan) fn counted_until(
        &self,
        window: &Window,
        walk: &Walk,
        watermark: EpochSeconds,
    ) -> Option<PlanEvent> {
        let range = TimeRange::new(window.range.start, watermark);
        self.counted_in((window, range), walk, (&self.uncounted_of(window, &[]), &[]))
    }

    fn counted_in(
        &self,
        (window, range): (&Window, TimeRange),
        walk: &Walk,
        (listed, again): (&[TimeRange], &[TimeRange]),
    ) -> Option<PlanEvent> {
        let region = window.region.clone();
        let plan = self.region(&region)?;
        // How many rows came beside what is read again is told apart, so that it stays known. What may be read again is not known yet where
        // the window is over before its region is, but that begins among the outermost rows.
        let unseen = self.unseen_at_the_ends(plan).map(|(_, unseen)| unseen);
        // What is believed of short pages may be read again by itself as well.
        let believed = self.believed.iter().filter(|(of, _)| *of == region).map(|(_, range)| *range);
        let believed = believed.chain(walk.believed().into_iter().map(|one| one.range));
        let believed = believed.flat_map(|range| [range.start, range.end]).filter(|cut| Some(*cut) <= walk.frontier());
        let cuts: Vec<EpochSeconds> = listed
            .iter()
            .chain(again)
            .copied()
            .chain(unseen)
            .flat_map(|cut| [cut.start, cut.end])
            .chain(believed)
            .chain(plan.ends.remembered())
            .chain([range.end])
            .collect();
        let mut counted = walk.counted(&cuts, self.profile.last_page_at_least());
        counted.retain(|one| range.covers(one.range) && !listed.iter().any(|listed| listed.overlaps(one.range)));
        let is_known = plan.again.places.holds(range, &counted);
        (!is_known).then_some(PlanEvent::RowsCounted { region, range, counted })
    }

    /// Seconds of which rows were skipped are read again once their region is done; what has been read again often enough is listed, and so
    /// is all of a run that was closed.
    pub(in crate::plan) fn read_missed_again(&self) -> Option<Decision> {
        let missed = |plan: &RegionPlan| Some(self.missed(plan)).filter(|missed| !missed.is_empty());
        let (plan, missed) = self.regions.iter().find_map(|plan| Some((plan, missed(plan)?)))?;
        let reads = !plan.again.places.is_spent() && !self.has_left();
        let why = "by the numbers of its pages it holds more rows than came";
        let mut next = self.next_window;
        let mut events = Vec::new();
        for range in missed {
            let opened = self.reopening_from(&mut next, &plan.region, range, &Reopening::Places).ok();
            events.extend(opened.filter(|_| reads).unwrap_or_else(|| vec![doubted(&plan.region, range, why)]));
        }
        events.push(PlanEvent::RowsMissed { region: plan.region.clone() });
        Some(Decision::Record(events))
    }

    /// Where answers to other questions come at times, a region is in doubt whose rows no page told to be all. Where ends are believed at once,
    /// no page is asked for that.
    pub(in crate::plan) fn list_mixed_answers(&self, confirm_after: i64) -> Option<Decision> {
        if !self.profile.answers_are_mixed() || self.has_left() || confirm_after <= 0 {
            return None;
        }
        let why = "answers to other questions came at times: the service kept to the lower bound and did not; and no page told by its number \
                   that all its rows came";
        let in_doubt = |plan: &&RegionPlan| plan.is_done() && !plan.again.places.prove(plan.range);
        let events = self.regions.iter().filter(in_doubt).flat_map(|plan| {
            let listed = self.gaps.iter().chain(&self.unproven).filter(|listed| listed.region == plan.region);
            let known: Vec<TimeRange> = listed.map(|listed| listed.range).chain(plan.kept.iter().copied()).collect();
            plan.range.without(&known).into_iter().map(|range| doubted(&plan.region, range, why))
        });
        let events: Vec<PlanEvent> = events.collect();
        (!events.is_empty()).then_some(Decision::Record(events))
    }

    /// Seconds in which rows stand that stand in others of the same region as well: what of them has the wrong time is not known, and what lies between
    /// was skipped. What is listed already is not listed again.
    pub fn list_moved<'a>(&self, moved: impl Iterator<Item = (&'a Region, TimeRange)>) -> Vec<PlanEvent> {
        let why = "videos in it came with another `create_time` at times";
        let listed = moved.flat_map(|(region, range)| {
            let known = self.gaps.iter().chain(&self.unproven).filter(|listed| listed.region == *region);
            let known: Vec<TimeRange> = known.map(|listed| listed.range).collect();
            let range = self.region(region).map(|plan| plan.range.intersection(range));
            let open = range.filter(|range| !range.is_empty()).map(|range| range.without(&known)).unwrap_or_default();
            open.into_iter().map(|range| doubted(region, range, why))
        });
        listed.collect()
    }

    /// Seconds without a row, far wider than the rows before them explain, are read once more where some answers of the run were odd: one to
    /// another question may have come there.
    pub(in crate::plan) fn read_leaps_again(&self) -> Option<Decision> {
        if !self.is_odd() || self.profile.order.sort_ignored || self.has_left() {
            return None;
        }
        self.read_done_again(&Reopening::Leap, |plan| {
            let mut leaps = plan.again.places.leaps();
            leaps.retain(|leap| !plan.again.ranges.iter().any(|read| read.overlaps(*leap)));
            leaps
        })
    }

    /// Seconds of a region that is done of which rows were skipped.
    pub(in crate::plan) fn missed(&self, plan: &RegionPlan) -> Vec<TimeRange> {
        match plan.is_done().then(|| self.stands(plan, 0)) {
            Some(Stands::Missed(missed)) => missed,
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::contract::Filters;
    use crate::plan::fact::Purpose;
    use crate::plan::reads::{Beside, Reads};
    use crate::plan::testing::{range, read_to_the_end, served, us};
    use crate::units::PageNumber;

    /// Reads a region of so many rows; of the first walk, this page and those behind it come in place of the ones before them. Gives what
    /// was asked beside walks, and the rows that came.
    fn read(rows: i64, other_from: u32) -> (Planner, Vec<Purpose>, BTreeSet<i64>) {
        let mut plan = Planner::new(&[us()], Filters::default(), range(0, 1_000));
        let (mut asked, mut came) = (Vec::new(), BTreeSet::new());
        read_to_the_end(&mut plan, |task, now| {
            let (is_walk, number) = (matches!(task.address.purpose, Purpose::Walk { .. }), task.address.page.get());
            let mut other = task.clone();
            if is_walk && asked.len() < 2 && number >= other_from {
                other.query.page = PageNumber::new(number + 1).unwrap();
            }
            asked.extend(Some(task.address.purpose).filter(|_| !is_walk));
            let page = served(&other, 4 * (rows - 1), now, |_| true);
            came.extend(page.rows.iter().map(|row| row.second.get()));
            Some(page)
        });
        (plan, asked, came)
    }

    #[test]
    fn a_page_far_behind_is_asked_in_place_of_the_oldest() {
        for rows in 20..52 {
            let (plan, asked, came) = read(rows, 1_000);
            assert!(plan.is_done() && plan.unproven().is_empty() && came.len() == rows as usize, "{rows}");
            let place = Purpose::Place { anchor: EpochSeconds::new(0), question: 1 };
            assert_eq!(asked, [Purpose::Newest, Purpose::ConfirmNewest, place], "{rows}");
        }
        assert_eq!(read(19, 1_000).1, [Purpose::Newest, Purpose::ConfirmNewest, Purpose::ConfirmOldest]);
    }

    #[test]
    fn rows_that_were_skipped_are_read_once_a_page_tells_of_them() {
        let mut told = 0;
        for rows in 41..82 {
            let (plan, asked, came) = read(rows, 2);
            let is_listed = !plan.unproven().is_empty();
            assert!(plan.is_done() && (is_listed || came.len() == rows as usize), "{rows}: {asked:?} {came:?}");
            told += u32::from(!is_listed && asked.contains(&Purpose::ConfirmOldest));
        }
        assert!(told > 10, "{told}");
    }

    /// Rows were skipped, and then rows came in no order for a moment, so that the rest of the window was read within its own bounds. What it had
    /// settled until then was held against no place, and the skipped rows were missing with exit 0.
    #[test]
    fn what_a_window_had_settled_before_it_was_read_within_bounds_is_held_against_its_places() {
        let mut plan = Planner::new(&[us()], Filters::default(), range(0, 2_000));
        let (mut came, mut walked) = (BTreeSet::new(), 0);
        read_to_the_end(&mut plan, |task, now| {
            walked += u32::from(matches!(task.address.purpose, Purpose::Walk { .. }));
            let mut other = task.clone();
            if (6..20).contains(&walked) {
                other.query.page = PageNumber::new(task.query.page.get() + 1).unwrap();
            }
            let mut page = served(&other, 1_596, now, |_| true);
            if (20..24).contains(&walked) {
                page.rows.reverse();
            }
            came.extend(page.rows.iter().map(|row| row.second.get()));
            Some(page)
        });
        let listed = |second: &i64| plan.unproven().iter().any(|one| one.range.contains(EpochSeconds::new(*second)));
        let lacking: Vec<i64> = (0..1_600).step_by(4).filter(|second| !came.contains(second)).collect();
        assert!(plan.is_done() && lacking.iter().all(listed), "{lacking:?}: {:?}", plan.unproven());
        assert!(walked > 40, "{walked}");
    }

    /// A bound that was kept to and was not: what no page proves is listed whole.
    #[test]
    fn a_region_that_no_page_proves_is_in_doubt_where_answers_to_other_questions_came() {
        let (mut plan, ..) = read(100, 1_000);
        assert_eq!(plan.list_mixed_answers(20), None);
        let minimums = &mut plan.profile.bounds.minimums;
        minimums.is_mixed = true;
        assert_eq!(plan.list_mixed_answers(20), None, "its page told that all its rows came");
        plan.region_mut(&us()).unwrap().again.places.forget(range(0, 10));
        assert_eq!(plan.list_mixed_answers(0), None, "ends are believed at once");
        let Some(Decision::Record(events)) = plan.list_mixed_answers(20) else { panic!() };
        let listed = |event: &PlanEvent| matches!(event, PlanEvent::UnprovenListed { range: all, .. } if *all == range(0, 1_000));
        assert!(events.len() == 1 && events.iter().all(listed), "{events:?}");
        events.iter().for_each(|event| plan.apply_event(event));
        assert_eq!(plan.list_mixed_answers(20), None, "it is listed once");
    }

    #[test]
    fn seconds_in_which_videos_stand_twice_are_in_doubt_once() {
        let (mut plan, ..) = read(100, 1_000);
        let region = us();
        let moved = [(&region, range(900, 1_200)), (&region, range(10, 20))];
        let events = plan.list_moved(moved.into_iter());
        events.iter().for_each(|event| plan.apply_event(event));
        let listed: Vec<TimeRange> = plan.unproven().iter().map(|one| one.range).collect();
        assert_eq!(listed, [range(900, 1_000), range(10, 20)]);
        assert!(plan.unproven().iter().all(|one| one.may_pass), "the next start reads them again");
        assert_eq!(plan.list_moved(moved.into_iter()), []);
    }

    /// The third page is the answer to another's question, of rows far behind the window's end.
    #[test]
    fn a_leap_over_a_windows_end_is_read_again_where_answers_were_odd() {
        // Where rows come twice, places tell nothing.
        let beside = Beside { before: false, after: Some(EpochSeconds::new(1_000)) };
        let reads = Reads { region: us(), ranges: vec![range(0, 400)], beside };
        let mut plan = Planner::reading(&[reads], Filters::default(), range(0, 1_000));
        plan.profile.order.repeats = 1;
        let (mut came, mut walked) = (BTreeSet::new(), 0);
        read_to_the_end(&mut plan, |task, now| {
            walked += u32::from(matches!(task.address.purpose, Purpose::Walk { .. }));
            let mut other = task.clone();
            if walked == 3 {
                other.query.min_create_time = Some(EpochSeconds::new(800));
                other.query.page = PageNumber::FIRST;
            }
            let page = served(&other, 996, now, |_| true);
            came.extend(page.rows.iter().map(|row| row.second.get()).filter(|second| *second < 400));
            Some(page)
        });
        assert!(plan.is_done() && plan.unproven().is_empty(), "{:?}", plan.unproven());
        assert_eq!(came.len(), 100);
    }
}
