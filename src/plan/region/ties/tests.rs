use super::*;
use crate::plan::fact::{PageAddress, RowKey, WindowId};
use crate::plan::testing::us;
use crate::units::PageNumber;

#[test]
fn the_order_of_a_second_goes_on_from_page_to_page_of_one_question_alone() {
    let page = |window: u32, number: u32, ids: &[u64]| {
        let purpose = Purpose::Walk { window: WindowId(window), scan: 0 };
        let address = PageAddress { region: us(), purpose, page: PageNumber::new(number).unwrap() };
        let row = |id: &u64| RowKey { second: EpochSeconds::new(60), video: VideoKey(*id) };
        let (rows, slots) = (ids.iter().map(row).collect(), ids.len() as u32);
        PageFact { address, fetched_at: EpochSeconds::new(1_000), slots, rows, check: Default::default() }
    };
    let mut ties = Ties::default();
    assert!(!ties.take(&page(0, 1, &[1, 2]), false) && !ties.take(&page(0, 2, &[3]), false));
    assert!(!ties.take(&page(1, 1, &[2, 3]), false), "as before");
    assert!(!ties.take(&page(2, 1, &[3, 1]), true), "newest first is another order");
    assert!(ties.take(&page(3, 1, &[3, 1]), false));
}

/// A second that fills page after page is compared with itself on each of them.
#[test]
fn of_a_second_of_many_rows_the_first_ones_are_compared() {
    let page = |window: u32, number: u32, ids: Vec<u64>| {
        let purpose = Purpose::Walk { window: WindowId(window), scan: 0 };
        let address = PageAddress { region: us(), purpose, page: PageNumber::new(number).unwrap() };
        let row = |id: u64| RowKey { second: EpochSeconds::new(60), video: VideoKey(id) };
        let (slots, rows) = (ids.len() as u32, ids.into_iter().map(row).collect());
        PageFact { address, fetched_at: EpochSeconds::new(1_000), slots, rows, check: Default::default() }
    };
    let ids = |number: u32| (u64::from(number) * 10..u64::from(number) * 10 + 10).collect::<Vec<u64>>();
    let mut ties = Ties::default();
    assert!((1..=50).all(|number| !ties.take(&page(0, number, ids(number)), false)));
    assert!((1..=50).all(|number| !ties.take(&page(1, number, ids(number)), false)));
    let kept: Vec<usize> = ties.orders.values().flatten().map(|order| order.rows.len()).collect();
    assert_eq!(kept, [MOST_ROWS, MOST_ROWS]);
    assert!(ties.take(&page(2, 1, ids(1).into_iter().rev().collect()), false));
}
