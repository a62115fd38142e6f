//! What is delivered: durable pages become sorted Parquet parts in a folder that says what it holds.
//!
//! [`columns`] is the one table of the schema, [`dialects`] the same in the words of others; [`value`] and [`decode`] turn a page's JSON into its columns, losing nothing;
//! [`layout`] names parts; [`identity`] is whose an output is, [`coverage`] which seconds it holds, [`account`] what it holds and
//! lacks over all runs, [`chains`] which parts may become one, [`sizes`] whether they are of a good size, [`table`] what they are to readers of tables, and [`manifest`] what the folder says of itself. These decide. [`part`], [`carry`] and [`rewrite`] write files into
//! the hidden staging folder ([`staging`]), [`publish`] moves them to where readers look ([`store`]), and [`verify`] re-reads
//! everything. Nothing here knows the planner, or asks or tells the journal: the order between the two is the exporter's.
//!
//! The invariant: a file that a reader's `*.parquet` pattern can find is whole and synced.

pub mod account;
pub mod address;
pub mod carry;
pub mod chains;
pub mod columns;
pub mod copies;
pub mod coverage;
pub mod decode;
pub mod dialects;
mod former;
pub mod history;
pub mod identity;
pub mod layout;
pub mod manifest;
pub mod nulls;
pub mod part;
pub mod publish;
pub mod reading;
pub mod rejected;
pub mod rewrite;
pub mod shard;
pub mod sizes;
pub mod staging;
pub mod store;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
pub mod value;
pub mod verify;
pub mod union;
mod videos;
