//! Whether a manifest accounts for the seconds of its parts once: read, or a gap. Pure.

use crate::api::contract::Region;
use crate::journal::record::PartRecord;
use crate::sink::account::Lack;
use crate::sink::coverage::Stretch;
use crate::sink::manifest::{MANIFEST, Manifest};
use crate::units::TimeRange;

/// Where a manifest contradicts itself about time, a sentence each.
pub(super) fn contradictions(manifest: &Manifest) -> Vec<String> {
    let account = &manifest.account;
    let mut problems = Vec::new();
    let is_told = |region: &&Region| account.coverage.regions().any(|told| told == *region);
    let silent = manifest.regions.iter().filter(|region| !is_told(region));
    problems.extend(silent.map(|region| format!("{MANIFEST} does not say what is covered of region {region}")));
    for region in account.coverage.regions() {
        let read: Vec<TimeRange> = account.coverage.stretches(region).iter().map(Stretch::range).collect();
        for (name, ranges) in [("covered", read), ("listed as gaps", of_region(&account.gaps, region))] {
            let twice = overlaps(&ranges);
            problems.extend(twice.iter().map(|range| format!("region {region}: {range} is {name} twice")));
        }
    }
    let unknown = |part: &PartRecord| unaccounted(manifest, part).first().copied();
    let torn = manifest.parts.iter().filter_map(|part| Some((part, unknown(part)?)));
    problems
        .extend(torn.map(|(part, range)| format!("{} holds {range}, which is neither covered nor a gap", part.path)));
    problems
}

/// Whether every second that a part holds is covered, and no gap.
pub(super) fn is_covered(manifest: &Manifest, part: &PartRecord) -> bool {
    part.range.without(&manifest.account.sound(&part.region, &[])).is_empty()
}

fn unaccounted(manifest: &Manifest, part: &PartRecord) -> Vec<TimeRange> {
    let mut known = of_region(&manifest.account.gaps, &part.region);
    known.extend(manifest.account.coverage.of(&part.region));
    part.range.without(&known)
}

fn of_region(lacks: &[Lack], region: &Region) -> Vec<TimeRange> {
    lacks.iter().filter(|lack| lack.region == *region).map(|lack| lack.range).collect()
}

/// Seconds that two of the ranges hold.
fn overlaps(ranges: &[TimeRange]) -> Vec<TimeRange> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let pairs = sorted.iter().zip(sorted.iter().skip(1));
    pairs.map(|(one, other)| one.intersection(*other)).filter(|range| !range.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::{manifest, part, range};

    fn us() -> Region {
        "US".parse().unwrap()
    }

    fn lack(range: TimeRange) -> Lack {
        Lack { region: us(), range, why: "HTTP 500".to_owned(), fault: None, lacks: None }
    }

    /// A manifest over two minutes with a gap in the middle, and its parts.
    fn sound() -> Manifest {
        let mut manifest = manifest(range(0, 120), vec![part("p", range(0, 60)), part("p", range(70, 120))]);
        manifest.account.coverage.lose(&us(), &[range(60, 70)]);
        manifest.account.gaps = vec![lack(range(60, 70))];
        manifest.account.unproven = vec![lack(range(80, 81))];
        manifest
    }

    fn problem(change: impl FnOnce(&mut Manifest)) -> String {
        let mut manifest = sound();
        change(&mut manifest);
        let problems = contradictions(&manifest);
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        problem.clone()
    }

    #[test]
    fn a_manifest_that_accounts_for_every_second_is_sound() {
        assert_eq!(contradictions(&sound()), Vec::<String>::new());
        let (whole, torn) = (part("p", range(0, 60)), part("p", range(55, 65)));
        assert_eq!((is_covered(&sound(), &whole), is_covered(&sound(), &torn)), (true, false));
    }

    #[test]
    fn time_that_is_counted_twice_is_found() {
        let text = serde_json::to_string(&sound()).unwrap();
        let stretch = |start: i64, end: i64| {
            let range = range(start, end);
            format!(r#"{{"start":{},"end":{},"read_at":1,"run":"r9"}},"#, range.start.get(), range.end.get())
        };
        let twice = text.replacen(r#""US":["#, &format!(r#""US":[{}"#, stretch(50, 55)), 1);
        let problems = contradictions(&serde_json::from_str(&twice).unwrap());
        assert!(matches!(problems.as_slice(), [one] if one.ends_with("is covered twice")), "{problems:?}");
        assert!(problem(|it| it.account.gaps.push(lack(range(65, 66)))).ends_with("is listed as gaps twice"));
    }

    #[test]
    fn a_part_that_reaches_into_time_that_is_not_accounted_for_is_found() {
        let text = problem(|it| it.account.coverage.lose(&us(), &[range(100, 120)]));
        assert!(text.starts_with("p holds [") && text.ends_with("which is neither covered nor a gap"), "{text}");
    }

    #[test]
    fn regions_that_are_forgotten_are_found() {
        let text = problem(|it| it.regions.push("GB".parse().unwrap()));
        assert_eq!(text, "_manifest.json does not say what is covered of region GB");
    }
}
