//! Rows and pages for the tests of rules.

use super::answer::{Page, Row, Traits};

/// A row of this second; its id is the second's.
pub(super) fn row(second: i64) -> Row {
    Row { second, video_id: second.to_string(), region: Some("US".to_owned()), traits: Traits::default() }
}

/// A page with a row at each of these seconds; a second that stands twice has two rows.
pub(super) fn page(seconds: &[i64]) -> Page {
    let id = |place: usize, second: i64| {
        let before = seconds.iter().take(place).filter(|other| **other == second).count();
        if before == 0 { second.to_string() } else { format!("{second}.{before}") }
    };
    let rows = seconds.iter().enumerate().map(|(place, second)| Row { video_id: id(place, *second), ..row(*second) });
    Page { rows: rows.collect(), ..Page::default() }
}
