//! What is the matter with a region that the service does not answer, as journal, manifest and summary keep it. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a whole region cannot be had while others can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum RegionFault {
    /// The service refuses it.
    Refused {
        /// The status, or the `code` inside a 200.
        code: u16,
        /// The service's words.
        message: String,
    },
    /// The service fails on everything that is asked of it.
    Unwell {
        /// The last failure, for a person.
        why: String,
    },
}

impl fmt::Display for RegionFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, message } => {
                write!(formatter, "the service refuses this region with {code}, and answers others: {message}")
            }
            Self::Unwell { why } => {
                write!(formatter, "the service failed on every request for this region, and answers others: {why}")
            }
        }
    }
}
