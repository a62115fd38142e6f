//! Completeness as evidence: which seconds follow from what was seen, and on what that rests. Pure.

pub mod both_ends;
pub mod certificate;
pub mod disagreement;
pub mod ends;
pub mod habit;
pub mod ledger;
pub mod observation;
pub mod placement;
pub mod premise;
pub mod recording;

#[cfg(test)]
mod proof;
#[cfg(test)]
mod testing;
