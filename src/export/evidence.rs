//! What a page proves, and which of its rows are kept apart.

use crate::api::client::Reply;
use crate::api::reply::{PageAnswer, Row, envelope, readable};
use crate::journal::record::{NewPage, RejectedRow};
use crate::plan::fact::{PageFact, RowKey, VideoKey};
use crate::plan::planner::Task;
use crate::units::EpochSeconds;

pub(super) fn new_page(task: &Task, answer: PageAnswer, reply: Reply) -> NewPage {
    let slots = u32::try_from(answer.rows.len()).unwrap_or(u32::MAX);
    let mut rows = Vec::with_capacity(answer.rows.len());
    let mut rejected = Vec::new();
    for (row, index) in answer.rows.into_iter().zip(0..) {
        match row {
            Row::Usable(identity) => {
                let key = RowKey { second: identity.second, video: video_key(&identity.video_id) };
                rows.push((index, key));
            }
            Row::Unusable { why, text } => rejected.push(RejectedRow { index, why, text }),
        }
    }
    let (inside, outside): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, row)| was_asked(task, row.second));
    // Rows outside what was asked are no evidence of anything, unless they are all there is: then that is the evidence.
    let believed = if inside.is_empty() { &rows } else { &inside };
    if !inside.is_empty() {
        rejected.extend(astray(&reply.body, &outside));
    }
    let fact = PageFact {
        address: task.address.clone(),
        fetched_at: EpochSeconds::new(reply.received_at_ms.div_euclid(1_000)),
        slots,
        rows: believed.iter().map(|(_, row)| *row).collect(),
    };
    NewPage {
        fact,
        fetched_at_ms: reply.received_at_ms,
        request_id: answer.request_id,
        body: reply.body,
        rejected,
        position: task.position,
    }
}

fn was_asked(task: &Task, second: EpochSeconds) -> bool {
    task.query.min_create_time.is_none_or(|min| min <= second)
        && task.query.max_create_time.is_none_or(|max| second <= max)
}

/// Rows whose time contradicts the question that they answer: their true time is unknown, so they are kept whole.
fn astray(body: &[u8], outside: &[(u32, RowKey)]) -> Vec<RejectedRow> {
    if outside.is_empty() {
        return Vec::new();
    }
    let text = readable(body);
    let Ok(read) = envelope(&text) else { return Vec::new() };
    let kept = outside.iter().filter_map(|(index, row)| {
        let text = read.data.get(usize::try_from(*index).ok()?)?.get().to_owned();
        let why = format!("`create_time` {} lies outside what was asked, so it cannot be believed", row.second);
        Some(RejectedRow { index: *index, why, text })
    });
    kept.collect()
}

/// A video's key in the plan: its id where that is a plain number below 2^63, else a hash with the top bit set (FNV-1a).
fn video_key(id: &str) -> VideoKey {
    let plain = id.parse::<u64>().ok().filter(|number| number.leading_zeros() > 0 && number.to_string() == id);
    let hash = || {
        let mixed = id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        mixed | (1 << 63)
    };
    VideoKey(plain.unwrap_or_else(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::contract::{Filters, PageQuery, TimeOrder};
    use crate::api::reply::{Verdict, judge};
    use crate::api::signals::Signals;
    use crate::plan::fact::{PageAddress, Purpose, WindowId};
    use crate::units::PageNumber;

    fn page_of(create_times: &[i64]) -> NewPage {
        let query = PageQuery {
            region: "US".parse().unwrap(),
            filters: Filters::default(),
            min_create_time: Some(EpochSeconds::new(100)),
            max_create_time: Some(EpochSeconds::new(200)),
            order: TimeOrder::OldestFirst,
            page: PageNumber::FIRST,
        };
        let address = PageAddress { region: query.region.clone(), purpose: Purpose::Newest, page: query.page };
        let task = Task { address, query, window: WindowId(0), position: EpochSeconds::new(100) };
        let rows: Vec<String> = create_times
            .iter()
            .zip(1..)
            .map(|(time, id)| format!(r#"{{"create_time":{time},"video_id":{id}}}"#))
            .collect();
        let body = format!(r#"{{"code":0,"data":[{}]}}"#, rows.join(",")).into_bytes();
        let reply = Reply { status: 200, signals: Signals::default(), body, broken: None, received_at_ms: 5_000 };
        let Verdict::Page(answer) = judge(reply.heard()) else { panic!("no page") };
        new_page(&task, answer, reply)
    }

    #[test]
    fn a_row_that_was_not_asked_for_is_kept_apart_and_proves_nothing() {
        let page = page_of(&[100, 7, 200]);
        assert_eq!(page.fact.rows.len(), 2);
        assert_eq!(page.fact.slots, 3);
        assert_eq!(page.rejected[0].text, r#"{"create_time":7,"video_id":2}"#);
        assert_eq!(page.rejected[0].index, 1);
    }

    #[test]
    fn rows_that_all_were_not_asked_for_are_the_evidence_of_that() {
        let page = page_of(&[7, 8]);
        assert_eq!((page.fact.rows.len(), page.rejected.len()), (2, 0));
    }

    #[test]
    fn a_video_key_is_its_number_or_a_hash_apart_from_all_numbers() {
        assert_eq!(video_key("7590123280372190477"), VideoKey(7_590_123_280_372_190_477));
        for odd in ["007", "abc", "18446744073709551615", "-1"] {
            assert!(video_key(odd).0 >> 63 == 1, "{odd}");
        }
        assert_ne!(video_key("abc"), video_key("abd"));
    }
}
