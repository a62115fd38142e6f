//! The service: what may be asked of it, what it may answer, and one request over the wire.
//!
//! [`contract`], [`reply`] and `echo` decide and hold no I/O; [`client`] sends. Nothing here knows why a page is asked.

pub mod client;
pub mod contract;
mod echo;
pub mod reply;
