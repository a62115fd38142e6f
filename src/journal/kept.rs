//! How many values a part keeps beside its columns, field by field: a new field or a new type shows here first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Fields that are counted by name, at most.
const MOST_FIELDS: usize = 64;
/// Characters of a name, at most; a longer one is no field's name, and is counted with the others.
const LONGEST_NAME: usize = 64;
/// Under which all further names are counted.
const OTHERS: &str = "(other fields)";

/// Kept values by the name of their field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeptFields(BTreeMap<String, u64>);

impl KeptFields {
    /// So many more values of this field.
    pub fn add(&mut self, name: &str, values: u64) {
        if let Some(count) = self.0.get_mut(name) {
            *count += values;
            return;
        }
        let is_named = self.0.len() < MOST_FIELDS && name.chars().count() <= LONGEST_NAME;
        *self.0.entry(if is_named { name } else { OTHERS }.to_owned()).or_default() += values;
    }

    /// All of `others` too.
    pub fn merge(&mut self, others: &Self) {
        others.0.iter().for_each(|(name, values)| self.add(name, *values));
    }

    /// Values of all fields.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Each field with its values, by name.
    pub const fn by_name(&self) -> &BTreeMap<String, u64> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_end_are_counted_and_not_kept() {
        let mut kept = KeptFields::default();
        (0..1_000).for_each(|number| kept.add(&format!("field_{number}"), 1));
        kept.add(&"x".repeat(100), 2);
        kept.add("field_3", 5);
        assert_eq!((kept.total(), kept.by_name().len()), (1_007, MOST_FIELDS + 1));
        assert_eq!((kept.by_name()["field_3"], kept.by_name()[OTHERS]), (6, 1_000 - 64 + 2));
        let mut all = KeptFields::default();
        all.merge(&kept);
        all.merge(&kept);
        assert_eq!(all.total(), 2 * kept.total());
    }
}
