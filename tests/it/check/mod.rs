//! `check` finds out what a service is like: of services of every kind, with a few credits, and from a recording as from the service.

mod http;
mod worlds;

use std::collections::BTreeMap;

use keyapi_export::simulator::SimulatorSettings;

use self::worlds::{KINDS, Kind, checked, healthy, right, wrong};

/// The credits of a check where nobody says otherwise.
const CREDITS: u64 = 40;

/// The property that a kind is about, where the kind is all that is wrong.
fn property(setting: &str, value: &str) -> Option<String> {
    let name = match setting {
        "tie_order" => "ties",
        "page_num" => "page_overlap",
        "oversized_page" => "page_size",
        "empty_page" => "past_the_end",
        "ignored_filters" => return Some(format!("filter_{value}")),
        "min_bound" | "max_bound" | "time_unit" | "sort" | "last_page" => setting,
        _ => return None,
    };
    Some(name.to_owned())
}

fn changed(kinds: &[&Kind]) -> SimulatorSettings {
    let mut settings = healthy();
    kinds.iter().for_each(|(_, _, change)| change(&mut settings));
    settings
}

#[test]
fn a_healthy_service_is_known_with_forty_credits() {
    let settings = healthy();
    let (said, spent) = checked(&settings, CREDITS);
    assert!(spent <= CREDITS, "{spent}");
    let mut wanted: BTreeMap<String, String> =
        right(&settings).into_iter().map(|(name, right)| (name, right[0].clone())).collect();
    wanted.insert("last_page".to_owned(), "unknown".to_owned());
    assert_eq!(said, wanted);
}

#[test]
fn each_kind_of_service_is_told_for_what_it_is() {
    let mut failures = Vec::new();
    for kind @ (setting, value, _) in KINDS {
        let settings = changed(&[kind]);
        let (said, spent) = checked(&settings, CREDITS);
        assert!(spent <= CREDITS, "{setting} = {value}: {spent} credits");
        failures.extend(wrong(&settings, &said).into_iter().map(|wrong| format!("{setting} = {value}: {wrong}")));
        if let Some(name) = property(setting, value).filter(|name| said[name] == "unknown") {
            failures.push(format!("{setting} = {value}: nothing is known of {name}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Few credits buy the first verdicts, and none that is wrong.
#[test]
fn what_does_not_fit_the_credits_is_unknown() {
    let settings = changed(&[&KINDS[0], &KINDS[1]]);
    let known = |credits| {
        let (said, spent) = checked(&settings, credits);
        assert!(spent <= credits, "{spent} of {credits}");
        assert_eq!(wrong(&settings, &said), [""; 0]);
        said.values().filter(|verdict| *verdict != "unknown").count()
    };
    let counts: Vec<usize> = [0, 1, 2, 5, 10, 20, 30].map(known).to_vec();
    assert!(counts.is_sorted() && counts[0] == 0 && counts[6] > counts[3], "{counts:?}");
}

/// Every two kinds together, and a few seeds of each: a pair may leave more unknown, and makes nothing wrong.
#[test]
#[ignore = "takes minutes; every two kinds, for CHECK_SEEDS worlds from seed CHECK_SEED on"]
fn no_two_kinds_together_make_a_verdict_wrong() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (first, seeds): (u64, u64) = (number("CHECK_SEED", 1), number("CHECK_SEEDS", 1));
    let (mut failures, mut pairs, mut known) = (Vec::new(), 0, 0);
    for seed in first..first + seeds {
        for (place, one) in KINDS.iter().enumerate() {
            for other in KINDS[place..].iter().filter(|other| other.0 != one.0 || other.1 == one.1) {
                let settings = SimulatorSettings { seed, ..changed(&[one, other]) };
                let (said, spent) = checked(&settings, CREDITS);
                assert!(spent <= CREDITS);
                pairs += 1;
                known += said.values().filter(|verdict| *verdict != "unknown").count();
                let name = format!("seed {seed}, {} = {}, {} = {}", one.0, one.1, other.0, other.1);
                for wrong in wrong(&settings, &said) {
                    println!("{pairs} {name}: {wrong}");
                    failures.push(format!("{name}: {wrong}"));
                }
            }
        }
    }
    println!("{pairs} pairs, {known} verdicts, {} wrong", failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
}
