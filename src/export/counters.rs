//! What a manifest counts of its last run, by name. Pure.

use std::collections::BTreeMap;

use crate::journal::Ledger;
use crate::plan::planner::Planner;

use super::Delivered;

/// The counters of a run over all its starts.
pub(super) fn counters(planner: &Planner, ledger: &Ledger, delivered: &Delivered) -> BTreeMap<String, u64> {
    let (counts, profile) = (ledger.counts(), planner.profile());
    let named = [
        ("attempts", counts.attempts),
        ("answered_pages", counts.answered_pages),
        ("pages_with_rows", counts.pages_with_rows),
        ("retries", counts.retries),
        ("throttled", counts.throttled),
        ("answers_of_another_question", counts.astray),
        ("possibly_charged", counts.possibly_charged),
        ("rows_read_more_than_once", delivered.duplicates),
        ("values_kept_in_extra", delivered.extra_fields.total()),
        ("rejected_rows", delivered.rejected),
        ("pages_that_repeated_rows", profile.order.repeats),
        ("short_pages_that_hid_rows", profile.short.hiding),
        ("window_seams_that_differed", profile.seams),
        ("rows_outside_the_question", delivered.outside),
        ("rows_of_another_region", delivered.other_region),
    ];
    let by_field = delivered.extra_fields.by_name().iter();
    let by_field = by_field.map(|(field, count)| (format!("values_kept_in_extra.{field}"), *count));
    named.into_iter().map(|(name, count)| (name.to_owned(), count)).chain(by_field).collect()
}
