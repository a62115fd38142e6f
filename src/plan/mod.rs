//! Deciding what to ask next, and what is proven by what came back. Pure: no I/O, clock, randomness or logging.

pub mod fact;
