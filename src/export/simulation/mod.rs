//! The proof of the plan: the real planner and walks against a model of the service, in virtual time, from one seed.
//!
//! `model` is the service and its truth, `driver` the workers, the journal and the slices, `scenario` what a seed means,
//! `tests` the promises. Nothing here reads a clock or the network. `PLAN_SEEDS=10000 cargo test simulation` runs
//! more seeds than the usual few, `PLAN_SEED=123` replays one.

mod driver;
mod model;
mod promises;
mod scale;
mod scenario;
mod tests;
