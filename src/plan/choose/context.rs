//! What a walk may look at beside itself, as the plan has it.

use crate::plan::planner::{PlanContext, Planner};
use crate::plan::region::RegionPlan;
use crate::plan::walk::WalkContext;
use crate::plan::walk::step::{BoundsKept, NewestRows, Pages, RowOrder, Short};

impl Planner {
    pub(in crate::plan) fn walk_context<'a>(&self, plan: &'a RegionPlan, context: &PlanContext) -> WalkContext<'a> {
        let profile = &self.profile;
        WalkContext {
            now: context.now,
            tuning: context.tuning,
            pages: Pages {
                cap: profile.last_page(),
                deepest: profile.ends.deepest_page,
                shifted: profile.shifts.shifted,
                are_counted: profile.pages_are_counted(),
            },
            short: Short {
                is_habit: profile.short_is_habit(),
                followed: profile.short.followed,
                is_hopeless: profile.short_is_hopeless(),
                pages_hide: profile.short_pages_hide(),
                service_hides: profile.service_hides(),
            },
            order: RowOrder { is_proven: profile.order_is_proven(), sort_ignored: profile.order.sort_ignored },
            bounds: BoundsKept {
                min_is_loose: profile.bounds.min_is_loose,
                min_seems_loose: profile.min_seems_loose(),
                may_read_early: profile.may_read_early(),
                proves_anchor: !profile.bounds.anchor_came,
                min_is_inclusive: profile.bounds.min_inclusive,
                max_is_inclusive: profile.bounds.max_inclusive,
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
