//! Who a row is, and when.

use crate::units::EpochSeconds;

/// What makes a row a row: who and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `create_time`.
    pub second: EpochSeconds,
    /// `video_id`, as text: it is beyond what a float holds.
    pub video_id: String,
    /// The row's own `region`; none where it is missing, empty or no text.
    pub region: Option<String>,
}
