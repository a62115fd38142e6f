//! The proof of what is decided: the real planner, walks, retries and rate against a model of the service, in virtual time,
//! from one seed.
//!
//! `model` is the service and its truth, `driver` the coordinator with a journal and slices, `errands` the buyers and their
//! waiting, `scenario` what a seed means. `watch` holds at every request what retries and rate promise, `outcome` compares with
//! the truth, and `tests`, `promises`, `limits`, `levels` and `scale` are the tests. Nothing here reads a clock or the network, and what decides is
//! the program's own code. `PLAN_SEEDS=1000000 cargo test --lib whatever_the_service` runs more seeds than the usual ones,
//! `PLAN_FIRST_SEED` says from where on, `PLAN_SEED=123` replays one, and `PLAN_TRACE=1` prints what it decides and reads.

mod driver;
mod errands;
mod levels;
mod limits;
mod model;
mod outcome;
mod promises;
mod scale;
mod scenario;
mod tests;
mod watch;
