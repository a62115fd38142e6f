//! The proof of what is decided: the program's own loop, plan, walks, retries and rate against a model of the service, in
//! virtual time, from one seed.
//!
//! `virtual_time` drives the machine as `driver` does in the program, `drive` says how, `model` is the service and its truth,
//! `behaviour` what it is told to do, `journal` what is durable, `scenario` what a seed means. `watch` holds at every request what retries and rate promise, `outcome` compares with
//! the truth, `checker` with what follows from the pages (`plan/evidence`), and `tests`, `promises`, `limits`, `levels`, `later_ends` and `scale`
//! are the tests. Nothing here reads a clock or the network, and what decides is the program's own code.
//!
//! `PLAN_SEEDS=1000000 cargo test --lib whatever_the_service` runs more seeds than the usual ones, `PLAN_FIRST_SEED` says from where on, `PLAN_SEED=123` replays one, and `PLAN_TRACE=1` prints what it decides and reads.

mod behaviour;
mod checker;
mod drive;
mod forecast;
mod journal;
mod later_ends;
mod levels;
mod limits;
mod loose_minimum;
mod model;
mod outcome;
mod promises;
mod scale;
mod scenario;
mod tests;
mod troubles;
mod virtual_time;
mod watch;
