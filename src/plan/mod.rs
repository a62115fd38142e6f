//! Deciding what to ask next, and what is proven by what came back. Pure: no I/O, clock, randomness or logging.

pub mod ahead;
pub mod alignment;
pub mod answer;
pub mod choose;
pub mod confirm;
pub mod ends;
pub mod event;
pub mod evidence;
pub mod fact;
pub mod gate;
pub mod given_up;
pub mod heal;
pub mod profile;
pub mod moved_on;
pub mod narrow;
pub mod page;
pub mod places;
pub mod planner;
pub mod probing;
pub mod reads;
pub mod recheck;
pub mod region;
pub mod reopen;
pub mod request;
pub mod seam;
pub mod short;
pub mod tally;
#[cfg(test)]
mod testing;
mod ties;
pub mod unplaced;
pub mod walk;
pub mod window;
