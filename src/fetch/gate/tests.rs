//! The gate against models of limited services, in virtual time: what share of a permit it uses, and what it is refused.
//!
//! Each is tried from several moments of the service's second. What is asserted is counted in virtual time and is the same at
//! every run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::super::throttle::{LearnedRate, Rate};
use super::{Gate, Permit};

/// How a service counts.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Unlimited,
    Bucket {
        burst: f64,
    },
    /// The rate times so many seconds, anew in each stretch of so many seconds.
    Window {
        seconds: f64,
    },
    RefusesAll,
}

#[derive(Clone, Copy, Debug)]
struct Service {
    kind: Kind,
    /// Requests a second; from the stated second on, the other rate.
    rate: f64,
    then: Option<(f64, f64)>,
    latency: f64,
    in_flight: usize,
}

/// What the service remembers.
#[derive(Debug, Default)]
struct Memory {
    taken: f64,
    last: f64,
    window: f64,
}

/// What came, in seconds.
#[derive(Debug, Default)]
struct Seen {
    served: Vec<f64>,
    refused: Vec<f64>,
    rate: f64,
}

/// Chance from a seed, the same at every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1_u64 << 31) as f64
    }

    /// How late a request arrives: up to half a millisecond, one in a hundred up to 4 more.
    fn late(&mut self) -> f64 {
        0.0005 * self.next() + if self.next() < 0.01 { 0.004 * self.next() } else { 0.0 }
    }
}

impl Service {
    fn of(kind: Kind, rate: f64, latency: f64, in_flight: usize) -> Self {
        Self { kind, rate, then: None, latency, in_flight }
    }

    fn serves(&self, memory: &mut Memory, at: f64) -> bool {
        let rate = self.then.filter(|(since, _)| at >= *since).map_or(self.rate, |(_, rate)| rate);
        let passed = at - std::mem::replace(&mut memory.last, at);
        let most = match self.kind {
            Kind::Unlimited => return true,
            Kind::RefusesAll => return false,
            Kind::Bucket { burst } => {
                memory.taken = (memory.taken - passed * rate).max(0.0);
                burst
            }
            Kind::Window { seconds } => {
                let window = (at / seconds).floor();
                if window > memory.window {
                    (memory.window, memory.taken) = (window, 0.0);
                }
                rate * seconds
            }
        };
        let is_served = memory.taken + 1.0 <= most + 1e-6;
        memory.taken += f64::from(u8::from(is_served));
        is_served
    }

    /// Sends as fast as the gate lets it until `is_over`. Timers are late by up to 1.2 ms.
    fn run(&self, seed: u64, is_over: impl Fn(&Seen, f64) -> bool) -> Seen {
        let mut gate = Gate::new(Rate::Auto, LearnedRate::default(), self.in_flight);
        let (mut seen, mut memory, mut chance) = (Seen::default(), Memory::default(), Chance(seed));
        let mut coming: BinaryHeap<Reverse<(Duration, u64, bool)>> = BinaryHeap::new();
        let mut now = Duration::from_millis(30 + 170 * (seed % 6));
        loop {
            let at = now.as_secs_f64();
            while let Some(Reverse((_, sent_at, is_served))) = coming.pop_if_due(now) {
                let permit = Permit { sent_at: Duration::from_nanos(sent_at) };
                if is_served {
                    seen.served.push(at);
                    gate.answered(now, permit);
                } else {
                    seen.refused.push(at);
                    gate.throttled(now, permit, None, chance.next());
                }
            }
            seen.rate = gate.rate();
            if is_over(&seen, at) {
                return seen;
            }
            let is_heard = !seen.served.is_empty() || !seen.refused.is_empty();
            let places = if is_heard { self.in_flight } else { 1 };
            let mut wake = None;
            while wake.is_none() && coming.len() < places {
                match gate.admit(now) {
                    Ok(permit) => {
                        let arrives = (at + self.latency / 2.0 + chance.late()).max(memory.last);
                        let is_served = self.serves(&mut memory, arrives);
                        let back = Duration::from_secs_f64(arrives + self.latency / 2.0);
                        coming.push(Reverse((back, permit.sent_at.as_nanos() as u64, is_served)));
                    }
                    Err(at) => wake = Some(at + Duration::from_secs_f64(0.0012 * chance.next())),
                }
            }
            let answer = coming.peek().map(|Reverse((at, ..))| *at);
            now = wake.into_iter().chain(answer).min().unwrap().max(now + Duration::from_nanos(1));
        }
    }

    /// Until so many were served, from six moments of a second, twice each.
    fn runs(&self, requests: usize) -> Vec<Seen> {
        (1..=12).map(|seed| self.run(seed, |seen, at| seen.served.len() >= requests || at > 4_000.0)).collect()
    }
}

trait PopIfDue {
    fn pop_if_due(&mut self, now: Duration) -> Option<Reverse<(Duration, u64, bool)>>;
}

impl PopIfDue for BinaryHeap<Reverse<(Duration, u64, bool)>> {
    fn pop_if_due(&mut self, now: Duration) -> Option<Reverse<(Duration, u64, bool)>> {
        if self.peek().is_some_and(|Reverse((at, ..))| *at <= now) { self.pop() } else { None }
    }
}

impl Seen {
    /// Requests a second that were served after the first `skipped`.
    fn served_rate(&self, skipped: usize) -> f64 {
        let from = if skipped == 0 { 0.0 } else { self.served[skipped - 1] };
        (self.served.len() - skipped) as f64 / (self.served.last().unwrap() - from)
    }

    /// Requests a second that were served in these seconds.
    fn served_in(&self, from: f64, to: f64) -> f64 {
        self.served.iter().filter(|at| (from..to).contains(*at)).count() as f64 / (to - from)
    }

    fn refused_share(&self) -> f64 {
        self.refused.len() as f64 / (self.served.len() + self.refused.len()) as f64
    }
}

/// The worst (first) and the middle one.
fn worst_and_median(mut of: Vec<f64>) -> (f64, f64) {
    of.sort_by(f64::total_cmp);
    (of[0], of[of.len() / 2])
}

/// The share of the permit that was used over all, the same after the first third, and the share that was refused with a minus;
/// of each the worst and the median.
fn figures(service: &Service, requests: usize) -> [(f64, f64); 3] {
    let runs = service.runs(requests);
    let each = |of: &dyn Fn(&Seen) -> f64| worst_and_median(runs.iter().map(of).collect());
    let all = each(&|seen| seen.served_rate(0) / service.rate);
    let last = each(&|seen| seen.served_rate(requests / 3) / service.rate);
    let refused = each(&|seen| -seen.refused_share());
    println!("{service:?}: all {all:.3?}, last {last:.3?}, refused {refused:.4?}");
    [all, last, refused]
}

const KINDS: [Kind; 3] = [Kind::Bucket { burst: 10.0 }, Kind::Bucket { burst: 100.0 }, Kind::Window { seconds: 1.0 }];

#[test]
fn nine_tenths_of_an_unknown_permit_are_used_from_the_start_and_nearly_all_of_it_later() {
    for kind in KINDS {
        for (latency, in_flight) in [(0.005, 16), (0.02, 16)] {
            let [all, last, refused] = figures(&Service::of(kind, 100.0, latency, in_flight), 6_000);
            assert!(all.1 >= 0.9 && last.1 >= 0.97 && refused.1 >= -0.005, "{kind:?} {latency}");
            assert!(all.0 >= 0.87 && last.0 >= 0.93 && refused.0 >= -0.01, "{kind:?} {latency}");
        }
    }
}

/// What is on its way when the limit is met is refused as well: a rate times a latency, a few times.
#[test]
fn long_ways_cost_refusals_and_hardly_any_permits() {
    for kind in KINDS {
        for latency in [0.05, 0.3] {
            let [all, last, refused] = figures(&Service::of(kind, 100.0, latency, 64), 6_000);
            assert!(all.1 >= 0.9 && last.1 >= 0.97 && all.0 >= 0.85 && last.0 >= 0.93, "{kind:?} {latency}");
            assert!(refused.0 >= -0.035 && refused.1 >= -0.018, "{kind:?} {latency}");
        }
    }
}

#[test]
fn slow_and_fast_limits_are_found_as_well() {
    for (rate, requests) in [(1.0, 900), (5.0, 3_000), (20.0, 6_000), (1_000.0, 60_000)] {
        for kind in [Kind::Bucket { burst: f64::max(rate / 10.0, 1.0) }, Kind::Bucket { burst: rate }, KINDS[2]] {
            let [all, last, refused] = figures(&Service::of(kind, rate, 0.03, 64), requests);
            assert!(all.1 >= 0.85 && last.0 >= 0.9 && refused.0 >= -0.03, "{kind:?} {rate}");
        }
    }
}

/// Where no request may follow on another sooner than the rate says, what is late on its way makes the next one early: nobody comes
/// near the rate without being refused, and a burst after each hold would cost half of it.
#[test]
fn a_limit_without_any_burst_is_used_as_far_as_requests_come_evenly() {
    for (latency, in_flight) in [(0.005, 16), (0.05, 64)] {
        let [all, last, refused] = figures(&Service::of(Kind::Bucket { burst: 1.0 }, 100.0, latency, in_flight), 6_000);
        assert!(all.0 >= 0.6 && last.0 >= 0.6 && refused.0 >= -0.01, "{latency}");
    }
}

/// The window lets all of its permits through at once, and then nothing: they are used, and waited for with few requests.
#[test]
fn a_window_of_a_minute_is_used_up_and_waited_for() {
    let service = Service::of(Kind::Window { seconds: 60.0 }, 100.0, 0.005, 16);
    for seed in 1..=3 {
        let seen = service.run(seed, |_, at| at >= 600.0);
        println!("{} served, {} refused", seen.served.len(), seen.refused.len());
        assert!(seen.served.len() >= 59_000, "{} of 60,000", seen.served.len());
        assert!(seen.refused_share() <= 0.01, "{} refused", seen.refused.len());
    }
}

#[test]
fn a_limit_that_changes_is_followed() {
    for kind in KINDS {
        for (to, soon, later) in [(5.0, 0.5, 0.9), (50.0, 0.8, 0.9), (90.0, 0.9, 0.9), (200.0, 0.45, 0.55)] {
            let service = Service { then: Some((60.0, to)), ..Service::of(kind, 100.0, 0.03, 64) };
            let seen = service.run(1, |_, at| at >= 180.0);
            let shares =
                [seen.served_in(60.0, 80.0) / to, seen.served_in(80.0, 120.0) / to, seen.served_in(120.0, 180.0) / to];
            let refused = seen.refused.iter().filter(|at| **at >= 60.0).count();
            println!("{kind:?} to {to}: {shares:.3?}, {refused} refused");
            assert!(shares[0] >= soon && shares[1] >= later && shares[2] >= 0.9, "{kind:?} to {to}: {shares:?}");
            assert!(refused <= 100, "{kind:?} to {to}: {refused} refused");
        }
    }
}

#[test]
fn without_a_limit_what_is_in_flight_bounds_the_rate() {
    let seen = Service::of(Kind::Unlimited, 0.0, 0.01, 64).run(1, |_, at| at >= 30.0);
    assert!(seen.served_in(10.0, 30.0) >= 0.95 * 64.0 / 0.0115, "{}", seen.served_in(10.0, 30.0));
}

#[test]
fn a_service_that_refuses_everything_is_asked_once_a_minute() {
    let seen = Service::of(Kind::RefusesAll, 0.0, 0.01, 64).run(1, |_, at| at >= 1_200.0);
    let within = |from: f64, to: f64| seen.refused.iter().filter(|at| (from..to).contains(*at)).count();
    println!("{} in the first minute, {} in all", within(0.0, 60.0), seen.refused.len());
    assert!(within(0.0, 60.0) <= 12 && within(60.0, 1_200.0) <= 20, "{:?}", seen.refused);
    // As much from one that served before.
    let service = Service { then: Some((60.0, 0.0)), ..Service::of(KINDS[1], 100.0, 0.01, 64) };
    let seen = service.run(1, |_, at| at >= 660.0);
    let refused = seen.refused.iter().filter(|at| **at >= 62.0).count();
    assert!(refused <= 40, "{refused} refused in ten minutes");
    assert!(seen.rate < 1.0, "{}", seen.rate);
}
