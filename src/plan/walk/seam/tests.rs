use super::*;
use crate::plan::testing::range;

/// What is read again here: ten seconds, of which rows 100 to 104 are known.
fn reading() -> SeamReading {
    SeamReading::new(range(100, 110), &keys(&[98, 99, 100, 101, 102, 103, 104, 110, 111]))
}

fn keys(seconds: &[i64]) -> Vec<RowKey> {
    seconds
        .iter()
        .map(|second| RowKey { second: EpochSeconds::new(*second), video: VideoKey(*second as u64) })
        .collect()
}

/// A page of so many places and these rows.
type Page<'a> = (u32, &'a [i64]);

/// What follows from the pages of one reading.
fn after(mut reading: SeamReading, pages: &[Page<'_>]) -> (SeamReading, WalkStep) {
    for (number, (slots, seconds)) in (1..).zip(pages) {
        reading.read(number, *slots, &keys(seconds));
    }
    let step = reading.step(u32::try_from(pages.len()).unwrap());
    (reading, step)
}

fn again() -> WalkStep {
    anchor(EpochSeconds::new(100), ScanReason::Seam { until: EpochSeconds::new(110) })
}

fn ask(page: u32) -> WalkStep {
    WalkStep::Ask(PageNumber::new(page).unwrap())
}

#[test]
fn what_follows_from_a_reading_of_a_seam() {
    let past: Page<'_> = (10, &[100, 101, 102, 103, 104, 110]);
    let new: Page<'_> = (10, &[100, 101, 102, 103, 104, 105, 110]);
    let open: Page<'_> = (10, &[100, 101, 102]);
    let torn: Page<'_> = (10, &[104, 101, 103, 100]);
    let rules: [(&str, &[Page<'_>], WalkStep); 8] = [
        ("past the seconds, and nothing new", &[past], finish(Vec::new())),
        ("past the seconds on its second page", &[open, past], finish(Vec::new())),
        ("a row that nobody has seen", &[new], again()),
        ("not yet past the seconds", &[open], ask(2)),
        ("an empty page behind others is the end of all rows", &[open, (0, &[])], finish(Vec::new())),
        ("an empty first page says nothing", &[(0, &[])], again()),
        ("rows in no order", &[torn], again()),
        ("rows of which none can be placed", &[(10, &[])], again()),
    ];
    for (rule, pages, wanted) in rules {
        assert_eq!(after(reading(), pages).1, wanted, "{rule}");
    }
    // A new row outside the seconds is not what is looked for.
    assert_eq!(after(reading(), &[(10, &[90, 100, 104, 110, 112])]).1, finish(Vec::new()));
}

#[test]
fn readings_that_do_not_agree_are_listed_after_three() {
    let listed = reading().give_up();
    assert!(matches!(&listed, WalkStep::Finish { unproven, .. } if unproven[0].0 == range(100, 110)), "{listed:?}");
    let (first, step) = after(reading(), &[(10, &[100, 105, 110])]);
    assert_eq!(step, again());
    let (second, step) = after(first.again(), &[(10, &[100, 106, 110])]);
    assert_eq!(step, again());
    assert_eq!(after(second.clone().again(), &[(10, &[100, 107, 110])]).1, listed, "the third shows another row, too");
    assert_eq!(after(second.again(), &[(10, &[105, 106, 110])]).1, finish(Vec::new()), "the third shows no other");
}

#[test]
fn a_seam_is_given_up_after_ten_pages() {
    let page: Page<'_> = (10, &[100, 101]);
    assert_eq!(after(reading(), &[page; 9]).1, ask(10));
    assert_eq!(after(reading(), &[page; 10]).1, reading().give_up());
}
