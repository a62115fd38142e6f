//! The proof of the kernel: in small worlds every claim is true whose premises hold there.
//!
//! `exhaustive` tries all worlds to four rows with every order of ties on every request, `sampled` worlds to six rows with
//! several troubles at once, `premises` shows that no premise can be left out.

mod world;

mod exhaustive;
mod premises;
mod sampled;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use self::world::Scenario;
use super::certificate::Kernel;
use super::observation::{Observation, Rules};
use super::premise::{Certificate, Premise, Rule};
use crate::plan::fact::VideoKey;
use crate::units::EpochSeconds;

/// How the claims of many worlds came out.
#[derive(Default)]
struct Tally {
    worlds: u64,
    /// Claims whose premises all hold, for each rule.
    claims: BTreeMap<Rule, u64>,
    /// The smallest world with a false one.
    refuted: Option<(usize, String)>,
}

impl Tally {
    /// Tries every claim of a world, with one premise left out where one is given.
    fn try_world(&mut self, scenario: &Scenario, rules: Rules, dropped: Option<Premise>) {
        let answers = scenario.answers();
        self.try_answers((scenario, &answers), rules, dropped);
    }

    fn try_answers(
        &mut self,
        (scenario, answers): (&Scenario, &[Observation]),
        rules: Rules,
        dropped: Option<Premise>,
    ) {
        self.worlds += 1;
        let kernel = Kernel::new(answers, rules, &BTreeSet::new());
        let seen: BTreeSet<VideoKey> = answers.iter().flat_map(|page| &page.rows).map(|row| row.video).collect();
        for second in 0..world::SECONDS {
            let at = EpochSeconds::new(second);
            let plain = kernel.plain_pages().into_iter().filter(|certificate| certificate.seconds.contains(at));
            for certificate in kernel.certificates(at).into_iter().chain(plain) {
                assert!(certificate.seconds.contains(at), "{certificate:?} is not of {second}");
                let mut premises = certificate.premises.iter().filter(|premise| Some(**premise) != dropped);
                if !premises.all(|premise| scenario.holds(*premise, &certificate)) {
                    continue;
                }
                *self.claims.entry(certificate.rule).or_default() += 1;
                let claimed =
                    (0..world::SECONDS).filter(|other| certificate.seconds.contains(EpochSeconds::new(*other)));
                for lost in claimed.filter(|other| !scenario.owed(*other).is_subset(&seen)) {
                    self.refute(scenario, answers, (&certificate, lost));
                }
            }
        }
    }

    fn refute(&mut self, scenario: &Scenario, answers: &[Observation], (certificate, second): (&Certificate, i64)) {
        let size = 10 * scenario.rows.len() + answers.len();
        if self.refuted.as_ref().is_none_or(|(smallest, _)| size < *smallest) {
            self.refuted = Some((size, describe(scenario, answers, certificate, second)));
        }
    }

    fn assert_sound(&self) {
        if let Some((_, text)) = &self.refuted {
            panic!("a false claim among {:?} in {} worlds\n{text}", self.claims, self.worlds);
        }
    }
}

fn describe(scenario: &Scenario, answers: &[Observation], certificate: &Certificate, second: i64) -> String {
    let mut text = format!("{:?} claims second {second}, resting on {:?}\n", certificate.rule, certificate.premises);
    for (index, row) in scenario.rows.iter().enumerate() {
        let world::Row { key, shown, kind, comes, goes } = row;
        let goes = if *goes == usize::MAX { String::new() } else { format!(", goes before request {goes}") };
        let comes = if *comes == 0 { String::new() } else { format!(", comes before request {comes}") };
        writeln!(text, "  row {index}: second {key}, shows {shown}, {kind:?}{comes}{goes}").unwrap();
    }
    for (request, page) in scenario.requests.iter().zip(answers) {
        let rows: Vec<(u64, i64)> = page.rows.iter().map(|row| (row.video.0, row.second.get())).collect();
        let list = scenario.lists[request.list];
        let way = if list.is_newest_first { "newest first" } else { "oldest first" };
        let (min, end, number, at) = (list.min, list.end, request.page, request.at);
        let unplaced = page.unplaced;
        writeln!(
            text,
            "  at {at}: [{min}, {end}) {way}, page {number}: {rows:?} and {unplaced} unplaced, {:?}",
            request.fault
        )
        .unwrap();
    }
    text
}
