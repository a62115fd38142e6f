#![doc = include_str!("ARCHITECTURE.md")]

// The order is the way of a page; imports point up this list.
pub mod units;
pub mod api;
pub mod plan;
pub mod fetch;
pub mod check;
pub mod journal;
pub mod sink;
pub mod replica;

pub mod choices;
pub mod failpoint;
pub mod folder;
pub mod replaced;
pub mod recording;
pub mod limits;
pub mod stderr;
pub mod failure;
pub mod config;
pub mod progress;
pub mod summary;
pub mod metrics;
pub mod telemetry;
pub mod notify;
pub mod export;
pub mod cli;
pub mod commands;

pub mod simulator;
