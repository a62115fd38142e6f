//! Rows that no column takes.

use super::*;

/// Rows that are null were once counted as one, however many there were.
#[tokio::test]
async fn rejected_rows_that_say_nothing_are_told_apart_by_their_place() {
    let scene = Scene::begin().await;
    let of = |number: u32, seconds: &[i64], texts: &[(u32, &str)]| {
        let row =
            |(index, text): &(u32, &str)| RejectedRow { index: *index, why: "w".into(), text: (*text).to_owned() };
        NewPage { rejected: texts.iter().map(row).collect(), ..page(walk(1, number), seconds) }
    };
    let own = r#"{"video_id":null,"create_time":1767213318}"#;
    scene.buy(of(1, &[5, 6], &[(1, "null"), (2, "null"), (4, own)])).await.unwrap();
    scene.buy(of(2, &[6, 7], &[(1, "null"), (3, own)])).await.unwrap();
    scene.buy(of(3, &[5], &[(1, "null"), (2, "null")])).await.unwrap();
    let kept: Vec<_> = scene.journal.rejected("run-1").unwrap().map(|row| row.unwrap().row).collect();
    let told: Vec<_> = kept.iter().map(|row| (row.index, row.text.as_str())).collect();
    assert_eq!(told, [(1, "null"), (2, "null"), (4, own), (1, "null")]);
}

#[tokio::test]
async fn rejected_rows_are_kept_once_a_run_and_region() {
    let scene = Scene::begin().await;
    let odd = |number: u32| {
        let row = |index, text: &str| RejectedRow { index, why: "no id".to_owned(), text: text.to_owned() };
        NewPage { rejected: vec![row(0, "{}"), row(1, "{}"), row(2, "null")], ..page(walk(1, number), &[5]) }
    };
    scene.buy(odd(1)).await.unwrap();
    scene.buy(odd(2)).await.unwrap();
    let mut elsewhere = odd(3);
    elsewhere.fact.address.region = region("GB");
    scene.buy(elsewhere).await.unwrap();
    let kept: Vec<_> = scene.journal.rejected("run-1").unwrap().map(|row| row.unwrap()).collect();
    let told: Vec<_> = kept
        .iter()
        .map(|kept| format!("{}: {} #{} {}", kept.region, kept.page, kept.row.index, kept.row.text))
        .collect();
    assert_eq!(
        told,
        [
            "US: US window 1 scan 0 page 1 #0 {}",
            "US: US window 1 scan 0 page 1 #1 {}",
            "US: US window 1 scan 0 page 1 #2 null",
            "GB: GB window 1 scan 0 page 3 #0 {}",
            "GB: GB window 1 scan 0 page 3 #1 {}",
            "GB: GB window 1 scan 0 page 3 #2 null",
        ]
    );
    assert_eq!(scene.journal.rejected("run-0").unwrap().count(), 0);
}

/// Whether a row is right on one page is told by all that it came on: those that are kept are bounded, and more of them leave a sign.
#[tokio::test]
async fn a_rejected_row_names_the_pages_that_it_came_on() {
    let scene = Scene::begin().await;
    let odd = |number: u32| {
        let row = RejectedRow { index: 0, why: "no id".to_owned(), text: r#"{"a":1}"#.to_owned() };
        NewPage { rejected: vec![row], ..page(walk(1, number), &[5]) }
    };
    let kept = || scene.journal.rejected("run-1").unwrap().map(|row| row.unwrap()).collect::<Vec<_>>();
    // The address of page 1 is the beginning of page 12's.
    for number in [12, 1, 2] {
        scene.buy(odd(number)).await.unwrap();
    }
    let of = |number: u32| format!("US window 1 scan 0 page {number}");
    assert_eq!((kept()[0].page.clone(), kept()[0].other_pages.clone()), (of(12), vec![of(1), of(2)]));
    for number in 13..90 {
        scene.buy(odd(number)).await.unwrap();
    }
    let all = kept();
    let [row] = &all[..] else { panic!("{all:?}") };
    let more = row.other_pages.iter().filter(|page| *page == "…").count();
    assert_eq!((more, row.other_pages.last().map(String::as_str)), (1, Some("…")));
    assert!(row.other_pages.len() < 50, "{}", row.other_pages.len());
}
