//! Deciding what to ask next, and what is proven by what came back. Pure: no I/O, clock, randomness or logging.

pub mod ahead;
pub mod answer;
pub mod bounded;
pub mod choose;
pub mod ending;
pub mod event;
pub mod evidence;
pub mod fact;
pub mod fold;
pub mod from_end;
pub mod given_up;
pub mod heal;
pub mod learned;
pub mod narrow;
pub mod page;
pub mod planner;
pub mod region;
pub mod reopen;
pub mod request;
pub mod restart;
pub mod seam;
pub mod short;
pub mod step;
pub mod torn;
pub mod walk;
pub mod window;
