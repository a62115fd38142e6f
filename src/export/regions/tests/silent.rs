//! Regions from which nothing comes, neither a page nor a failure.

use super::*;

/// A request that hangs, or pages that come empty, are no failures that are counted: what shows that it is the region is that another answers.
#[test]
fn a_region_that_is_silent_once_the_others_are_done_is_given_up_where_one_of_those_answers() {
    let mut run = Run::of(&["US", "GB", "FR"]);
    assert!(!run.regions.are_silent(&run.standing, "hangs", at(900.0)), "none is done, so nobody can tell");
    run.came("US", 0.0, 0.5);
    run.is_done("US");
    run.is_done("FR");
    run.on_way.insert(region("GB"));
    assert!(run.regions.are_silent(&run.standing, "hangs", at(900.0)));
    assert!(!run.regions.are_silent(&run.standing, "hangs", at(900.0)), "once is enough");
    assert!(matches!(run.next(900.0), Next::Prove(..)));
    run.regions.came(&region("US"), None, (at(900.1), at(900.2)));
    run.regions.proved(None);
    assert_eq!(run.next(900.2), Next::Nothing, "its request is still on the way");
    run.on_way.clear();
    let fault = RegionFault::Unwell { why: "hangs".to_owned() };
    assert_eq!(run.next(910.0), Next::GiveUp(region("GB"), fault.clone()));
    assert!(run.regions.are_silent(&run.standing, "hangs", at(920.0)));
    for _ in 0..MOST_PROOFS {
        assert!(matches!(run.next(920.0), Next::Prove(..)));
        run.regions.proved(Some(fault.clone()));
    }
    assert_eq!(run.next(920.0), Next::Unwell { why: "hangs".to_owned() }, "nobody answers, so it is the service");
}
