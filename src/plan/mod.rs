//! Deciding what to ask next, and what is proven by what came back. Pure: no I/O, clock, randomness or logging.

pub mod ahead;
pub mod answer;
pub mod bounded;
pub mod choose;
pub mod confirm;
pub mod ending;
pub mod ends;
pub mod event;
pub mod evidence;
pub mod fact;
pub mod fold;
pub mod from_end;
pub mod gate;
pub mod given_up;
pub mod heal;
pub mod learned;
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
pub mod restart;
pub mod seam;
pub mod short;
pub mod step;
pub mod tally;
#[cfg(test)]
mod testing;
pub mod torn;
pub mod walk;
pub mod window;
