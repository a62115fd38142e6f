//! A key that one region says is spent.

use super::*;

fn said(run: &mut Run, code: &str, now: f64) {
    run.regions.spent(&region(code), "no credits".to_owned(), at(now));
}

fn spent() -> Next {
    Next::Refused { code: account::SPENT, message: "no credits".to_owned() }
}

#[test]
fn one_region_alone_has_a_key_that_is_spent() {
    let mut run = Run::of(&["US"]);
    run.came("US", 0.0, 1.0);
    said(&mut run, "US", 2.0);
    assert_eq!(run.next(2.0), spent());
}

/// A 402 for one region ended the run, and every run after it.
#[test]
fn a_region_that_another_one_refutes_is_given_up() {
    let mut run = Run::of(&["US", "GB", "DE"]);
    run.came("US", 0.0, 1.0);
    said(&mut run, "GB", 2.0);
    assert!(run.regions.is_aside(&region("GB")) && run.regions.doubts_the_key());
    assert_eq!(run.next(2.0), Next::Nothing, "the others are asked");
    run.came("US", 1.5, 2.5);
    assert_eq!(run.next(2.5), Next::Nothing, "what was sent before says nothing");
    assert!(run.regions.doubts_the_key());
    run.came("US", 2.1, 3.0);
    let fault = RegionFault::Refused { code: account::SPENT, message: "no credits".to_owned() };
    assert_eq!(run.next(3.0), Next::GiveUp(region("GB"), fault));
    assert!(!run.regions.doubts_the_key());
}

#[test]
fn where_a_region_that_has_answered_says_so_too_nobody_else_is_asked() {
    let mut run = Run::of(&["US", "GB", "DE"]);
    run.came("US", 0.0, 1.0);
    said(&mut run, "GB", 2.0);
    said(&mut run, "US", 3.0);
    assert_eq!(run.next(3.0), spent());
}

#[test]
fn where_none_has_answered_each_is_asked_before_it_is_the_key() {
    let mut run = Run::of(&["US", "GB", "DE"]);
    for (code, now) in [("US", 1.0), ("GB", 2.0)] {
        said(&mut run, code, now);
        assert_eq!(run.next(now), Next::Nothing);
    }
    said(&mut run, "DE", 3.0);
    assert_eq!(run.next(3.0), spent());
}

#[test]
fn regions_that_are_read_are_asked_where_no_other_is_left() {
    let mut run = Run::of(&["US", "GB"]);
    run.came("US", 0.0, 1.0);
    run.is_done("US");
    said(&mut run, "GB", 2.0);
    assert_eq!(run.next(2.0), Next::Prove(region("US"), Duration::ZERO));
    run.regions.came(&region("US"), None, (at(2.0), at(3.0)));
    run.regions.proved(None);
    assert!(matches!(run.next(3.0), Next::GiveUp(gone, _) if gone == region("GB")));
}

/// Two regions that say so beside one that answers: the second waited for what the first one showed, and nobody asked it again.
#[test]
fn a_region_that_waits_is_asked_again_once_the_first_is_given_up() {
    let mut run = Run::of(&["US", "GB", "DE"]);
    said(&mut run, "GB", 2.0);
    said(&mut run, "DE", 5.0);
    run.came("US", 3.0, 4.0);
    assert!(matches!(run.next(6.0), Next::GiveUp(gone, _) if gone == region("GB")));
    assert!(!run.regions.is_aside(&region("DE")));
    said(&mut run, "DE", 7.0);
    run.came("US", 8.0, 9.0);
    assert!(matches!(run.next(9.0), Next::GiveUp(gone, _) if gone == region("DE")));
}
