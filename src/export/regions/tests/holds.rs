//! Who may send while a refusal is confirmed.

use super::*;

/// Whether all are held after a refusal at second 5 and another page, for which its job began and which was answered at these moments.
fn is_held_after(status: u16, (began, heard): (f64, f64)) -> bool {
    let mut run = Run::of(&["US"]);
    run.refused("US", status, 5.0);
    assert!(run.regions.holds(), "{status}");
    run.regions.came(&region("US"), Some(WindowId(7)), (at(began), at(heard)));
    run.regions.holds()
}

#[test]
fn a_page_that_was_answered_before_a_refusal_and_is_durable_after_it_lets_nobody_go_on() {
    for status in [400, 401, 403] {
        assert!(is_held_after(status, (1.0, 4.9)), "{status}");
        assert!(!is_held_after(status, (5.1, 5.2)), "{status}");
    }
}

#[test]
fn what_was_sent_before_a_refusal_that_may_be_the_keys_and_came_after_it_lets_nobody_go_on() {
    assert!(is_held_after(401, (1.0, 5.2)));
    assert!(!is_held_after(403, (1.0, 5.2)));
}

#[test]
fn a_page_that_was_answered_before_its_windows_refusal_or_anothers_ends_no_wait() {
    let mut run = Run::of(&["US", "GB"]);
    run.refused("US", 403, 5.0);
    assert_eq!(run.refused("GB", 403, 5.1), OnRefusal::Leave);
    run.came("US", 1.0, 4.9);
    assert!(run.regions.holds() && run.regions.is_aside(&region("GB")));
    run.came("US", 5.0, 5.6);
    assert!(!run.regions.holds() && !run.regions.is_aside(&region("GB")));
}
