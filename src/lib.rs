//! Exports a whole paged, paid, rate-limited API query to Parquet.

pub mod units;

pub mod api;
pub mod fetch;
pub mod journal;
pub mod plan;

pub mod cli;
pub mod commands;
pub mod config;
pub mod failure;
pub mod progress;
pub mod summary;
pub mod telemetry;
