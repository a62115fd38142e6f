//! What is delivered: durable pages become sorted Parquet parts in a folder that says what it holds.
//!
//! [`columns`] is the one table of the schema; [`value`] and [`decode`] turn a page's JSON into its columns, losing nothing;
//! [`layout`] names parts; [`manifest`] is what the folder says of itself. These decide. [`part`] and [`carry`] write files into
//! the hidden staging folder ([`staging`]), [`publish`] moves them to where readers look ([`store`]), and [`verify`] re-reads
//! everything. Nothing here knows the planner, or asks or tells the journal: the order between the two is the exporter's.
//!
//! The invariant: a file that a reader's `*.parquet` pattern can find is whole and synced.

pub mod carry;
pub mod columns;
mod coverage;
pub mod decode;
pub mod layout;
pub mod manifest;
pub mod part;
pub mod publish;
pub mod rejected;
pub mod staging;
pub mod store;
#[cfg(test)]
mod testing;
pub mod value;
pub mod verify;
mod videos;
