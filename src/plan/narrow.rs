//! What cannot be read: a window whose pages fail is tried again, then cut down to the smallest range and listed. Pure.

use super::event::{Ending, PlanEvent, ScanReason};
use super::fact::{Purpose, WindowId};
use super::planner::{Decision, PlanContext, Planner, Task};
use super::walk::Walk;
use super::window::Window;
use crate::api::contract::SOURCE;
use crate::units::EpochSeconds;

/// How often a window is parked before it is narrowed down.
const PARKED_TIMES: u32 = 2;
/// No cut around a page that cannot be read leaves off less than one part in so many.
const MOST_CUTS: i64 = 32;
/// How often a question about the bounds may fail before a window goes on without its answer: it may meet the row that cannot be read.
const BOUNDS_FAILURES: u32 = 2;
/// Rows that the first cut around a page that cannot be read should hold.
const NARROW_ROWS: f64 = 20.0;

impl Planner {
    /// A last round for what could not be read; then it is narrowed down to the smallest range and listed.
    pub(super) fn retry_parked(&self, context: &PlanContext) -> Option<Decision> {
        // One that waits for another, or for later, holds up none.
        self.parked().find_map(|(id, window)| self.retry((id, window), context).unless_idle())
    }

    /// The windows that are set aside, in the order of time.
    pub(super) fn parked(&self) -> impl Iterator<Item = (WindowId, &Window)> {
        self.in_order().filter(|(_, window)| !window.is_assigned() && window.parked > 0 && !window.is_over())
    }

    /// What is to be done next about one that is set aside.
    pub(super) fn retry(&self, (id, window): (WindowId, &Window), context: &PlanContext) -> Decision {
        match window.walk() {
            _ if window.parked < PARKED_TIMES => self.try_again(id, window, context),
            // What cannot be read from its end is given up there, and not read a third time.
            Some(walk) if walk.scan().why == ScanReason::FromEnd => {
                let why = "it holds more rows than the service serves pages of, and its last ones could not be had";
                self.act((id, window), walk, walk.past_second(walk.scan().anchor, why), context)
            }
            _ => self.narrow((id, window), context),
        }
    }

    /// The page that failed may be too deep for the service, so the walk begins anew where it stands.
    fn try_again(&self, id: WindowId, window: &Window, context: &PlanContext) -> Decision {
        let stands_at = window.walk().filter(|walk| walk.scan_pages() > 0).and_then(Walk::frontier);
        let deep = stands_at.filter(|at| window.walk().is_some_and(|walk| *at > walk.scan().anchor));
        match deep.filter(|at| *at < window.range.end) {
            Some(at) => Decision::Record(vec![self.scan((id, window), at, ScanReason::Scheduled, context)]),
            None => self.next_of(id, window, context),
        }
    }

    fn narrow(&self, (id, window): (WindowId, &Window), context: &PlanContext) -> Decision {
        let new = WindowId(self.next_window);
        if let Some((walk, watermark)) = self.proven_within(window) {
            let mut events = vec![PlanEvent::WindowSplit { window: id, at: watermark, new }];
            events.extend(self.settle_believed(window, walk));
            events.extend(self.counted_until(window, walk, watermark));
            events.push(self.finished(id, Ending::RowBeyond, walk));
            events.push(PlanEvent::WindowParked { window: new, times: PARKED_TIMES });
            return Decision::Record(events);
        }
        let may_ask = window.bounded && window.parked < PARKED_TIMES + BOUNDS_FAILURES;
        if let Some(question) = self.bounds_task(id, window).filter(|_| may_ask) {
            return Decision::Ask(Box::new(question));
        }
        if !window.bounded && (window.range.seconds() <= 1 || self.fits(window, context)) {
            // What fails may lie beyond its end, where its pages reach: within its own bounds it may be whole.
            return Decision::Record(vec![
                PlanEvent::WindowBounded { window: id },
                PlanEvent::WindowParked { window: id, times: 1 },
            ]);
        }
        let Some(near) = self.near(window, window.range.start) else {
            let why = "the service failed on every attempt to read it".to_owned();
            return Decision::Record(vec![PlanEvent::GapListed { window: id, why }]);
        };
        // What its pages have shown can be had, also where they settle nothing.
        let stands_at = window.walk().and_then(Walk::frontier).filter(|at| window.range.contains(*at));
        let at = stands_at.map_or(near, |at| at.max(near));
        // The near part must be read within its own bounds: the page that reaches beyond it is the one that fails.
        Decision::Record(vec![
            PlanEvent::WindowSplit { window: id, at, new },
            PlanEvent::WindowBounded { window: id },
            PlanEvent::WindowParked { window: id, times: 1 },
            PlanEvent::WindowParked { window: new, times: 1 },
        ])
    }

    /// Whether a window is small enough to be read whole within its own bounds.
    fn fits(&self, window: &Window, context: &PlanContext) -> bool {
        let density = self.region(&window.region).map_or(f64::INFINITY, |plan| self.density(plan));
        let pages = density * window.range.seconds() as f64 / f64::from(SOURCE.page_size);
        window.range.end < self.range_of(&window.region).end && pages <= f64::from(context.tuning.window_pages)
    }

    /// Where a window begins is read within its own bounds, since rows about there come in no order.
    pub(super) fn bound_near(&self, (id, window): (WindowId, &Window), walk: &Walk) -> Vec<PlanEvent> {
        let mut events = Vec::new();
        let mut next = self.next_window;
        let (mut near, mut start) = (id, window.range.start);
        if let Some((_, watermark)) = self.proven_within(window) {
            events.push(PlanEvent::WindowSplit { window: id, at: watermark, new: WindowId(next) });
            events.extend(self.settle_believed(window, walk));
            events.extend(self.counted_until(window, walk, watermark));
            events.push(self.finished(id, Ending::RowBeyond, walk));
            (near, start) = (WindowId(next), watermark);
            next += 1;
        }
        if let Some(at) = self.near(window, start) {
            events.push(PlanEvent::WindowSplit { window: near, at, new: WindowId(next) });
        }
        events.push(PlanEvent::WindowBounded { window: near });
        events
    }

    /// Some rows after `start`: half of what is left where that is less; none where it is a single second.
    fn near(&self, window: &Window, start: EpochSeconds) -> Option<EpochSeconds> {
        let seconds = window.range.end.since(start);
        if seconds <= 1 {
            return None;
        }
        let density = self.region(&window.region).map_or(1.0, |plan| self.density(plan)).max(f64::MIN_POSITIVE);
        let near = (NARROW_ROWS / density).min(1e15) as i64;
        // A density that is far too high must not peel a window second by second.
        let least = (seconds / MOST_CUTS).max(1);
        Some(start.shifted(near.clamp(least, seconds / 2)))
    }

    /// A question about the bounds, where they are not known: a bound that takes its second in would make the neighbours of
    /// a second that cannot be read look as if they could not either.
    fn bounds_task(&self, id: WindowId, window: &Window) -> Option<Task> {
        let asks = |other: &Window| other.is_assigned() && other.bounded && other.parked >= PARKED_TIMES;
        if self.in_order().any(|(_, other)| asks(other)) {
            return None;
        }
        self.region(&window.region).and_then(|plan| self.probe((id, plan), Purpose::Bounds))
    }
}

#[cfg(test)]
mod tests;
