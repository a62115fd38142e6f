//! Whether a manifest accounts for every second of its range once: covered, or a gap, or not there yet. Pure.

use std::collections::BTreeSet;

use crate::api::contract::Region;
use crate::journal::record::PartRecord;
use crate::sink::manifest::{Lack, MANIFEST, Manifest};
use crate::units::TimeRange;

/// Where a manifest contradicts itself about time, a sentence each.
pub(super) fn contradictions(manifest: &Manifest) -> Vec<String> {
    let mut problems = unknown_regions(manifest);
    for (region, covered) in &manifest.covered {
        let gaps: Vec<TimeRange> = of_region(&manifest.gaps, region);
        let unproven: Vec<TimeRange> = of_region(&manifest.unproven, region);
        for (name, ranges) in [("covered time", covered), ("a gap", &gaps), ("an unproven range", &unproven)] {
            let outside = ranges.iter().filter(|range| !manifest.range.covers(**range));
            problems.extend(outside.map(|range| format!("region {region}: {name}, {range}, lies outside the range")));
        }
        for (name, ranges) in [("covered", covered), ("listed as gaps", &gaps)] {
            let twice = overlaps(ranges);
            problems.extend(twice.iter().map(|range| format!("region {region}: {range} is {name} twice")));
        }
        for gap in &gaps {
            let both = covered.iter().map(|range| range.intersection(*gap)).filter(|range| !range.is_empty());
            problems.extend(both.map(|range| format!("region {region}: {range} is both covered and a gap")));
        }
    }
    let torn = own_parts(manifest).filter_map(|part| {
        let unknown = unaccounted(manifest, part);
        let is_whole = unknown == [part.range.intersection(manifest.range)];
        unknown
            .first()
            .filter(|_| !is_whole)
            .map(|range| format!("{} holds {range}, which is neither covered nor a gap", part.path))
    });
    problems.extend(torn);
    problems
}

/// Parts of the manifest's run that it does not count as covered yet, a sentence each: it was stopped just after they were published.
pub(super) fn uncounted(manifest: &Manifest) -> Vec<String> {
    let whole =
        own_parts(manifest).filter(|part| unaccounted(manifest, part) == [part.range.intersection(manifest.range)]);
    whole.map(|part| format!("{} is not counted as covered yet", part.path)).collect()
}

/// Whether every second that a part of the manifest's run holds is covered.
pub(super) fn is_covered(manifest: &Manifest, part: &PartRecord) -> bool {
    let covered = manifest.covered.get(&part.region).map_or(&[][..], Vec::as_slice);
    part.range.intersection(manifest.range).without(covered).is_empty()
}

fn own_parts(manifest: &Manifest) -> impl Iterator<Item = &PartRecord> {
    manifest.parts.iter().filter(|part| part.run == manifest.run && part.range.overlaps(manifest.range))
}

fn unaccounted(manifest: &Manifest, part: &PartRecord) -> Vec<TimeRange> {
    let mut known = of_region(&manifest.gaps, &part.region);
    known.extend(manifest.covered.get(&part.region).into_iter().flatten());
    part.range.intersection(manifest.range).without(&known)
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

/// Regions that were asked and of which the manifest does not speak, or the other way round.
fn unknown_regions(manifest: &Manifest) -> Vec<String> {
    let asked = manifest.question.get("regions").and_then(|regions| regions.as_array());
    let Some(asked) = asked else { return vec![format!("{MANIFEST} does not say which regions were asked")] };
    let asked: BTreeSet<&str> = asked.iter().filter_map(|region| region.as_str()).collect();
    let told: BTreeSet<&str> = manifest.covered.keys().map(Region::as_str).collect();
    let mut listed: BTreeSet<&str> =
        manifest.gaps.iter().chain(&manifest.unproven).map(|lack| lack.region.as_str()).collect();
    listed.extend(own_parts(manifest).map(|part| part.region.as_str()));
    let silent =
        asked.difference(&told).map(|region| format!("{MANIFEST} does not say what is covered of region {region}"));
    let strange = told.union(&listed).filter(|region| !asked.contains(**region));
    silent.chain(strange.map(|region| format!("region {region} was not asked, but {MANIFEST} speaks of it"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::{manifest, range};
    use crate::units::{ByteCount, RowCount};

    fn us() -> Region {
        "US".parse().unwrap()
    }

    fn lack(range: TimeRange) -> Lack {
        Lack { region: us(), range, why: "HTTP 500".to_owned(), fault: None }
    }

    fn part(range: TimeRange) -> PartRecord {
        PartRecord {
            path: "p".to_owned(),
            region: us(),
            range,
            run: "r1".to_owned(),
            rows: RowCount::ZERO,
            bytes: ByteCount::ZERO,
            sha256: String::new(),
            duplicates: 0,
            kept_in_extra: 0,
            extra_fields: Default::default(),
        }
    }

    /// A manifest over two minutes with a gap in the middle, and its parts.
    fn sound() -> Manifest {
        let mut manifest = manifest(range(0, 120), vec![part(range(0, 60)), part(range(70, 120))]);
        manifest.covered.insert(us(), vec![range(0, 60), range(70, 120)]);
        manifest.gaps = vec![lack(range(60, 70))];
        manifest.unproven = vec![lack(range(80, 81))];
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
        assert_eq!(uncounted(&sound()), Vec::<String>::new());
    }

    #[test]
    fn time_that_is_counted_twice_or_outside_is_found() {
        assert!(problem(|it| it.covered.get_mut(&us()).unwrap().push(range(50, 55))).ends_with("is covered twice"));
        assert!(problem(|it| it.gaps.push(lack(range(65, 66)))).ends_with("is listed as gaps twice"));
        assert!(problem(|it| it.gaps.push(lack(range(30, 31)))).ends_with("is both covered and a gap"));
        let text = problem(|it| it.unproven.push(lack(range(500, 501))));
        assert!(
            text.starts_with("region US: an unproven range, [") && text.ends_with("lies outside the range"),
            "{text}"
        );
    }

    #[test]
    fn a_part_that_reaches_into_time_that_is_not_accounted_for_is_found() {
        let text = problem(|it| {
            it.covered.insert(us(), vec![range(0, 60), range(70, 100)]);
        });
        assert!(text.starts_with("p holds [") && text.ends_with("which is neither covered nor a gap"), "{text}");
        let mut stopped = sound();
        stopped.covered.insert(us(), vec![range(0, 60)]);
        assert_eq!(contradictions(&stopped), Vec::<String>::new());
        assert_eq!(uncounted(&stopped), ["p is not counted as covered yet"]);
    }

    #[test]
    fn regions_that_are_forgotten_or_strange_are_found() {
        let asked = serde_json::json!({"regions": ["US", "GB"]});
        assert_eq!(problem(|it| it.question = asked), "_manifest.json does not say what is covered of region GB");
        let gb: Region = "GB".parse().unwrap();
        let text = problem(|it| it.gaps.push(Lack { region: gb, ..lack(range(0, 1)) }));
        assert_eq!(text, "region GB was not asked, but _manifest.json speaks of it");
        assert_eq!(problem(|it| it.question = 1.into()), "_manifest.json does not say which regions were asked");
    }
}
