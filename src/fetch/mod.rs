//! Getting one page: when a request may go out, what is made of its answer, and when to ask again.
//!
//! [`throttle`], [`gate`], [`reach`] and [`retry`] decide; [`pace`] and `again` wait, [`attempt`] sends. Nothing here knows why a page is asked.

mod again;
pub mod attempt;
pub mod gate;
pub mod pace;
pub mod reach;
pub mod retry;
pub mod throttle;
