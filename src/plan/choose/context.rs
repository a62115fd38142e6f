//! What a walk may look at beside itself, as the plan has it.

use crate::plan::planner::{PlanContext, Planner};
use crate::plan::region::RegionPlan;
use crate::plan::step::{BoundsKept, NewestRows, Pages, RowOrder, Short};
use crate::plan::walk::WalkContext;

impl Planner {
    pub(in crate::plan) fn walk_context<'a>(&self, plan: &'a RegionPlan, context: &PlanContext) -> WalkContext<'a> {
        let learned = &self.learned;
        WalkContext {
            now: context.now,
            tuning: context.tuning,
            pages: Pages {
                cap: learned.last_page(),
                deepest: learned.ends.deepest_page,
                shifted: learned.shifts.shifted,
                are_counted: learned.pages_are_counted(),
            },
            short: Short {
                is_habit: learned.short_is_habit(),
                followed: learned.short.followed,
                is_hopeless: learned.short_is_hopeless(),
                pages_hide: learned.short_pages_hide(),
                service_hides: learned.service_hides(),
            },
            order: RowOrder { is_proven: learned.order_is_proven(), sort_ignored: learned.order.sort_ignored },
            bounds: BoundsKept {
                min_is_loose: learned.bounds.min_is_loose,
                min_seems_loose: learned.min_seems_loose(),
                may_read_early: learned.may_read_early(),
                proves_anchor: !learned.bounds.anchor_came,
                min_is_inclusive: learned.bounds.min_inclusive,
                max_is_inclusive: learned.bounds.max_inclusive,
            },
            run_end: plan.range.end,
            newest: NewestRows {
                known: plan.extent.newest,
                // What is gone is not expected any more.
                probed: plan.newest_page.last_second.min(plan.extent.newest).filter(|_| !plan.newest_page.is_unknown),
                rows: if plan.newest_page.is_unknown { &[] } else { &plan.newest_page.rows },
                confirmed_rows: plan.ends.newest_page(),
            },
        }
    }
}
