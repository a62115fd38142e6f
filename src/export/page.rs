//! What the journal keeps of an answer: its fact, its body, and the rows that are kept apart.

use crate::api::client::Reply;
use crate::api::reply::{PageAnswer, Row, with_envelope};
use crate::journal::record::{NewPage, RejectedRow};
use crate::plan::answer::Tied;
use crate::plan::fact::PageFact;
use crate::plan::planner::Task;
use crate::units::EpochSeconds;

/// The page of a task as it is kept, once its answer is tied to its question.
pub(super) fn new_page(task: &Task, answer: PageAnswer, tied: Tied, reply: Reply) -> NewPage {
    let slots = u32::try_from(answer.rows.len()).unwrap_or(u32::MAX) - tied.twins;
    let mut rejected: Vec<RejectedRow> = answer
        .rows
        .into_iter()
        .zip(0..)
        .filter_map(|(row, index)| match row {
            Row::Usable(_) => None,
            Row::Unusable { why, text } => Some(RejectedRow { index, why, text }),
        })
        .collect();
    rejected.extend(set_aside(&reply.body, tied.set_aside));
    let fact = PageFact {
        address: task.address.clone(),
        fetched_at: EpochSeconds::new(reply.received_at_ms.div_euclid(1_000)),
        slots,
        rows: tied.rows,
        check: tied.check,
    };
    NewPage {
        fact,
        fetched_at_ms: reply.received_at_ms,
        request_id: answer.request_id,
        body: answer.packed.encode(&tied.delivered),
        delivers: !tied.delivered.is_empty(),
        rejected,
        position: task.position,
    }
}

/// The text of each usable row that is kept apart.
fn set_aside(body: &[u8], rows: Vec<(u32, String)>) -> Vec<RejectedRow> {
    if rows.is_empty() {
        return Vec::new();
    }
    with_envelope(body, |_, read| {
        let Ok(read) = read else { return Vec::new() };
        let kept = rows.into_iter().filter_map(|(index, why)| {
            let text = read.data.get(usize::try_from(index).ok()?)?.text.to_owned();
            Some(RejectedRow { index, why, text })
        });
        kept.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::contract::{Filters, PageQuery, TimeOrder};
    use crate::api::packed::PackedRows;
    use crate::api::reply::{ReplyVerdict, judge};
    use crate::api::signals::Signals;
    use crate::plan::answer::{Expected, RegionHabit, tie};
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
        let habit = RegionHabit::Unknown;
        let expected = Expected { habit, ..Expected::default() };
        let task = Task { address, query, expected, window: WindowId(0), position: EpochSeconds::new(100) };
        let rows: Vec<String> = create_times
            .iter()
            .zip(1..)
            .map(|(time, id)| format!(r#"{{"create_time":{time},"video_id":{id}}}"#))
            .collect();
        let body = format!(r#"{{"code":0,"data":[{}]}}"#, rows.join(",")).into_bytes();
        let reply = Reply { status: 200, signals: Signals::default(), body, broken: None, received_at_ms: 5_000 };
        let ReplyVerdict::Page(answer) = judge(reply.heard()) else { panic!("no page") };
        let tied = tie(&task.query, expected, &answer);
        new_page(&task, answer, tied, reply)
    }

    #[test]
    fn a_row_that_was_not_asked_for_is_kept_apart_and_proves_nothing() {
        let page = page_of(&[100, 7, 200]);
        assert_eq!(page.fact.rows.len(), 2);
        let kept = PackedRows::decode(&page.body).unwrap();
        let seconds: Vec<i64> = (0..kept.len()).map(|place| kept.get(place).unwrap().second.get()).collect();
        assert_eq!((page.fact.slots, page.delivers, seconds), (3, true, vec![100, 200]));
        assert_eq!(page.rejected[0].text, r#"{"create_time":7,"video_id":2}"#);
        assert_eq!(page.rejected[0].index, 1);
    }
}
