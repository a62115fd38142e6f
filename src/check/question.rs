//! One question of a check, and how it is sent. Pure.

use std::fmt;

use crate::api::contract::{Region, SOURCE, TimeOrder};

/// The unit in which both bounds are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Epoch seconds, as a reseller reports it.
    Seconds,
    /// Epoch milliseconds.
    Milliseconds,
}

/// One page, asked in full. The contract's bounds do not hold here: what lies beyond them is asked on purpose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// `region`.
    pub region: Region,
    /// `min_create_time`, in epoch seconds; sent in the unit.
    pub min: Option<i64>,
    /// `max_create_time`, in epoch seconds; sent in the unit.
    pub max: Option<i64>,
    /// The unit of both.
    pub unit: Unit,
    /// Whether the newest row comes first.
    pub newest_first: bool,
    /// Filters, by their documented names.
    pub filters: Vec<(&'static str, String)>,
    /// `page_num`; 0 and 100,001 may be asked.
    pub page: u32,
    /// `page_size`; more than 10 may be asked.
    pub page_size: u32,
}

impl Question {
    /// The first documented page of the seconds from `min` to `max`, oldest first.
    pub fn new(region: &Region, unit: Unit, (min, max): (Option<i64>, Option<i64>)) -> Self {
        Self {
            region: region.clone(),
            min,
            max,
            unit,
            newest_first: false,
            filters: Vec::new(),
            page: 1,
            page_size: SOURCE.page_size,
        }
    }

    /// The same, newest first.
    pub fn newest_first(self) -> Self {
        Self { newest_first: true, ..self }
    }

    /// The same, on this page.
    pub fn on_page(self, page: u32) -> Self {
        Self { page, ..self }
    }

    /// The same, with pages of this size.
    pub fn sized(self, page_size: u32) -> Self {
        Self { page_size, ..self }
    }

    /// The same, with these filters.
    pub fn filtered(self, filters: Vec<(&'static str, String)>) -> Self {
        Self { filters, ..self }
    }

    /// Whether a row of this second is asked for, where each bound takes its own second in.
    pub fn covers(&self, second: i64) -> bool {
        self.min.is_none_or(|min| min <= second) && self.max.is_none_or(|max| second <= max)
    }

    /// The order that is asked for.
    pub fn order(&self) -> TimeOrder {
        if self.newest_first { TimeOrder::NewestFirst } else { TimeOrder::OldestFirst }
    }

    /// The parameters as they are sent, absent ones left out.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let sent = |second: i64| match self.unit {
            Unit::Seconds => second.to_string(),
            Unit::Milliseconds => second.saturating_mul(1_000).to_string(),
        };
        let mut pairs = vec![("region", self.region.to_string())];
        pairs.extend(self.filters.iter().cloned());
        pairs.extend(self.min.map(|second| ("min_create_time", sent(second))));
        pairs.extend(self.max.map(|second| ("max_create_time", sent(second))));
        pairs.push(("video_sort_field", "2".to_owned()));
        pairs.push(("sort_type", if self.newest_first { "1" } else { "0" }.to_owned()));
        pairs.push(("page_num", self.page.to_string()));
        pairs.push(("page_size", self.page_size.to_string()));
        pairs
    }
}

impl fmt::Display for Question {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.pairs().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        formatter.write_str(&pairs.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_sent_in_its_unit_and_beyond_the_contracts_bounds() {
        let region = "US".parse().unwrap();
        let question = Question::new(&region, Unit::Milliseconds, (Some(5), None)).newest_first().on_page(0).sized(20);
        let question = question.filtered(vec![("is_ad", "1".to_owned())]);
        assert_eq!(
            question.to_string(),
            "region=US&is_ad=1&min_create_time=5000&video_sort_field=2&sort_type=1&page_num=0&page_size=20"
        );
        assert!(question.covers(5) && !question.covers(4));
    }
}
