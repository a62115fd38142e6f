use super::*;

/// A clock that was wrong when a scan began, and was set right since, kept the scan young for as long as it had been wrong.
#[test]
fn a_scan_from_the_future_is_old_and_not_young() {
    let at = EpochSeconds::new;
    assert_eq!(age(at(1_000), at(1_060)), 60);
    assert_eq!(age(at(1_000), at(1_000)), 0);
    assert_eq!(age(at(1_000), at(999)), i64::MAX);
}
