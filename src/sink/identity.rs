//! What an output holds the answer to: by this two questions are the same. Pure.
//!
//! Regions and ranges are what a run asks; a base URL and folders on a disk are where; none of them tells one output from another.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::sink::layout::Partition;

/// The endpoint, the filters, and how the answer is laid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The endpoint's path.
    pub path: String,
    /// The filters that were asked with, as they are sent.
    pub filters: serde_json::Value,
    /// The stretch of create-time that shares a folder.
    pub partition: Partition,
    /// Whether each run keeps its own snapshot.
    pub snapshot: bool,
    /// The settings of the embedded service, where that is asked in place of the real one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulator: Option<serde_json::Value>,
}

impl Identity {
    /// What tells identities apart: lower-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        Sha256::digest(self.to_string().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// In what `asked` differs from this one, for a person; nothing where they are the same. An output that has no part yet is laid out
    /// by whoever writes the first one.
    pub fn differences(&self, asked: &Self, is_laid_out: bool) -> Vec<String> {
        let layout = |one: &Self| (one.partition, one.snapshot);
        let mut differences = Vec::new();
        if self.path != asked.path {
            differences.push(format!("it holds answers of {}, and {} is asked now", self.path, asked.path));
        }
        if self.filters != asked.filters {
            differences.push(format!("its filters are {}, and now they are {}", self.filters, asked.filters));
        }
        if self.simulator != asked.simulator {
            differences.push("it holds answers of another service: one of the two is simulated".to_owned());
        }
        if is_laid_out && layout(self) != layout(asked) {
            differences.push(format!("it is laid out {}, and not {}", self.layout_text(), asked.layout_text()));
        }
        differences
    }

    /// Whether another identity is that of the same output, laid out in another partition: what `rebuild` changes.
    pub fn is_only_laid_out_otherwise(&self, other: &Self) -> bool {
        self.partition != other.partition && *self == Self { partition: self.partition, ..other.clone() }
    }

    /// How the output is cut into folders, for a person.
    pub fn layout_text(&self) -> String {
        format!("by {}{}", self.partition, if self.snapshot { ", with snapshots" } else { "" })
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            path: "/v1/videos".to_owned(),
            filters: serde_json::json!({}),
            partition: Partition::Day,
            snapshot: false,
            simulator: None,
        }
    }

    #[test]
    fn an_identity_tells_in_what_another_one_differs() {
        assert_eq!(identity().differences(&identity(), true), Vec::<String>::new());
        let month = Identity { partition: Partition::Month, ..identity() };
        let text = identity().differences(&month, true).join("; ");
        assert_eq!(text, "it is laid out by day, and not by month");
        assert_eq!(identity().differences(&month, false), Vec::<String>::new());
        let filtered = Identity { filters: serde_json::json!({"is_ad": true}), snapshot: true, ..identity() };
        assert_eq!(identity().differences(&filtered, true).len(), 2);
        assert_ne!(identity().fingerprint(), filtered.fingerprint());
        assert_eq!(identity().fingerprint().len(), 64);
        assert!(identity().is_only_laid_out_otherwise(&month) && !identity().is_only_laid_out_otherwise(&identity()));
        assert!(!identity().is_only_laid_out_otherwise(&Identity { snapshot: true, ..month }));
    }
}
