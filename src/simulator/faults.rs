//! What goes wrong with a request and how long it takes: functions of the seed, the question and how often it was asked.

use std::time::Duration;

use super::chance::{Dice, Purpose};
use super::settings::{FaultSettings, LimitSettings};

/// The 99th percentile of the standard normal distribution.
const P99: f64 = 2.326;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// HTTP 500 with the documented JSON.
    ServerError,
    /// HTTP 502 with HTML.
    BadGateway,
    /// This error code in a 200.
    ErrorInside(u32),
    /// A 200 whose body is this, and no JSON.
    NotJson(&'static str),
    /// No answer: the connection is reset.
    Reset,
    /// The body stops halfway.
    CutBody,
    /// The answer hangs.
    Stall,
    /// The answer to another question comes.
    Another(Other),
    /// The rows name their id otherwise.
    WithoutIds,
    /// A row that was not asked for stands before the others, in the place of the tenth.
    Advertised,
    /// A refusal with this status and code.
    Refused(u16),
}

/// Whose answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// That of the world's next region.
    Region,
    /// That without a time.
    Time,
    /// That of the next page.
    NextPage,
    /// That of the question before.
    Stale,
    /// That where pages have half as many places.
    FewerPlaces,
    /// That of a question that nothing answers to.
    Nothing,
}

/// One request among all: the question, and how often it was asked before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) seed: u64,
    /// The hash of the question.
    pub(super) question: u64,
    /// 0 for the first time that it is asked.
    pub(super) number: u32,
}

impl Attempt {
    /// The draws of this attempt for one purpose.
    pub(super) fn dice(self, purpose: Purpose) -> Dice {
        Dice::new(self.seed, purpose, self.key())
    }

    /// A number that only this attempt has.
    pub(super) fn key(self) -> u64 {
        self.question.wrapping_add(u64::from(self.number).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// The fault of this attempt; none for a healthy one.
pub(super) fn fault(faults: &FaultSettings, attempt: Attempt) -> Option<Fault> {
    let mut dice = attempt.dice(Purpose::Fault);
    let mut place = dice.unit();
    let inside = Fault::ErrorInside(dice.pick(&[500, 500, 10_001]));
    let not_json =
        Fault::NotJson(dice.pick(&["", "upstream request timeout", "{\"code\":0,\"message\":\"success\",\"data\":[{"]));
    let choices = [
        (faults.server_error, Fault::ServerError),
        (faults.bad_gateway, Fault::BadGateway),
        (faults.error_inside, inside),
        (faults.not_json, not_json),
        (faults.reset, Fault::Reset),
        (faults.cut_body, Fault::CutBody),
        (faults.stall, Fault::Stall),
        (faults.other_region, Fault::Another(Other::Region)),
        (faults.other_time, Fault::Another(Other::Time)),
        (faults.next_page, Fault::Another(Other::NextPage)),
        (faults.stale, Fault::Another(Other::Stale)),
        (faults.refusal, Fault::Refused(faults.refusal_code)),
    ];
    choices.into_iter().find_map(|(fraction, fault)| {
        let hit = place < fraction;
        place -= fraction;
        hit.then_some(fault)
    })
}

/// How long the answer to this attempt takes, for a page at this depth.
pub(super) fn latency(limits: &LimitSettings, attempt: Attempt, page: u64) -> Duration {
    let tail = (limits.latency_p99_factor.ln() / P99 * attempt.dice(Purpose::Latency).normal()).exp();
    let depth = limits.deep_page_ms * page as f64 / 1_000.0;
    Duration::from_secs_f64((limits.latency_ms * tail + depth).min(600_000.0) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(question: u64, number: u32) -> Attempt {
        Attempt { seed: 9, question, number }
    }

    #[test]
    fn a_fault_strikes_the_same_attempt_again_and_not_the_next_one_for_ever() {
        let faults = FaultSettings { server_error: 0.3, reset: 0.2, ..FaultSettings::default() };
        for question in 0..200 {
            assert_eq!(fault(&faults, attempt(question, 0)), fault(&faults, attempt(question, 0)));
            assert!((0..40).any(|number| fault(&faults, attempt(question, number)).is_none()));
        }
    }

    #[test]
    fn every_fault_comes_as_often_as_it_is_set() {
        let faults = FaultSettings {
            server_error: 0.1,
            bad_gateway: 0.1,
            error_inside: 0.1,
            not_json: 0.1,
            reset: 0.1,
            cut_body: 0.1,
            stall: 0.1,
            ..FaultSettings::default()
        };
        let drawn: Vec<Option<Fault>> = (0..10_000).map(|question| fault(&faults, attempt(question, 0))).collect();
        let count = |wanted: fn(&Fault) -> bool| drawn.iter().flatten().filter(|fault| wanted(fault)).count();
        let counts = [
            count(|fault| *fault == Fault::ServerError),
            count(|fault| *fault == Fault::BadGateway),
            count(|fault| matches!(fault, Fault::ErrorInside(_))),
            count(|fault| matches!(fault, Fault::NotJson(_))),
            count(|fault| *fault == Fault::Reset),
            count(|fault| *fault == Fault::CutBody),
            count(|fault| *fault == Fault::Stall),
        ];
        assert!(counts.iter().all(|count| (880..1_120).contains(count)), "{counts:?}");
        assert!(drawn.iter().filter(|fault| fault.is_none()).count() > 2_800);
    }

    #[test]
    fn latency_has_its_median_its_tail_and_its_depth() {
        let limits = LimitSettings { latency_ms: 50.0, latency_p99_factor: 10.0, ..LimitSettings::default() };
        let mut times: Vec<Duration> = (0..10_000).map(|question| latency(&limits, attempt(question, 0), 1)).collect();
        times.sort_unstable();
        let (median, p99) = (times[5_000].as_millis(), times[9_900].as_millis());
        assert!((47..53).contains(&median) && (430..580).contains(&p99), "{median} {p99}");
        let flat = LimitSettings { latency_ms: 50.0, deep_page_ms: 20.0, ..LimitSettings::default() };
        assert_eq!(latency(&flat, attempt(1, 0), 50_000).as_millis(), 1_050);
    }
}
