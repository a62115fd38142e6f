//! Getting one page: when a request may go out, what is made of its answer, and when to ask again.
//!
//! `throttle` (with `belief`, `holds` and `served`), `gate`, `reach`, `retry`, `silence`, `job` and `pool` decide; `attempt` sends. Nothing
//! here knows why a page is asked.

pub mod attempt;
mod belief;
pub mod gate;
mod holds;
pub mod job;
pub mod pool;
pub mod reach;
pub mod retry;
mod served;
mod silence;
pub mod throttle;
