//! Exports a whole paged, paid, rate-limited API query to Parquet.

pub mod units;

pub mod api;
pub mod journal;
pub mod plan;
pub mod sink;
