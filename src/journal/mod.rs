//! What was paid for: the durable record of a run.

pub mod record;
