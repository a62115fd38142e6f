//! `--rate`: how many requests a second the service takes. Doing: the run's own controller looks for the limit, with its own bound of
//! credits, by one question that is known to bring rows.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde::Serialize;

use super::answer::AnswerOutcome;
use super::exchange::Exchange;
use super::finding::RuleVerdict;
use super::question::Question;
use super::sender::{Heard, Sender, Stop};
use crate::fetch::gate::Gate;
use crate::fetch::throttle::{LearnedRate, Rate};

/// Requests that may be on their way at once.
const IN_FLIGHT: usize = 64;

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RateReport {
    /// The limit that was met, requests a second; none where none was.
    pub requests_per_second: Option<f64>,
    /// The fastest rate that was used whole without meeting one, requests a second.
    pub used: Option<f64>,
    /// Requests that were sent for it.
    pub requests: u64,
    /// Those of them that came too fast.
    pub throttled: u64,
    /// Headers that spoke of a rate.
    pub headers: Vec<(String, String)>,
}

/// Answers that were enough to say how many come in a second.
const TELLING: u32 = 20;

/// What was served since a limit was met first: what was saved up until then is spent.
#[derive(Clone, Copy, Debug, Default)]
struct Served {
    since: Option<Duration>,
    last: Duration,
    answers: u32,
}

impl Served {
    fn begin(&mut self, now: Duration) {
        self.since.get_or_insert(now);
    }

    fn count(&mut self, now: Duration) {
        self.answers += u32::from(self.since.is_some());
        self.last = now;
    }

    /// Answers a second; none where too few came.
    fn rate(&self) -> Option<f64> {
        let seconds = self.last.saturating_sub(self.since?).as_secs_f64();
        (self.answers >= TELLING && seconds > 0.0).then(|| f64::from(self.answers) / seconds)
    }
}

impl RateReport {
    /// What it rests on: of so many answers no single one shows it.
    pub fn evidence(&self) -> String {
        format!("{} requests, {} too fast", self.requests, self.throttled)
    }
}

impl Sender<'_> {
    /// Looks for the limit with at most so many requests.
    ///
    /// # Errors
    /// What ended it: the quota, a service that cannot be reached.
    pub async fn measure_rate(&mut self, question: &Question, credits: u64) -> Result<RateReport, Stop> {
        let (spent_before, throttled_before) = (self.spent(), self.throttled);
        self.gate = Gate::new(Rate::Auto, LearnedRate::default(), IN_FLIGHT);
        let client = self.client;
        let (mut sent, mut on_their_way) = (0, FuturesUnordered::new());
        let mut served = Served::default();
        while sent < credits || !on_their_way.is_empty() {
            let now = self.began.elapsed();
            let mut until = None;
            if sent < credits && on_their_way.len() < IN_FLIGHT {
                match self.gate.admit(now) {
                    Ok(permit) => {
                        sent += 1;
                        self.sent += 1;
                        on_their_way.push(async move {
                            let began = Instant::now();
                            (permit, client.ask(&question.pairs()).await, began.elapsed())
                        });
                        continue;
                    }
                    Err(later) => until = Some(later.saturating_sub(now).max(Duration::from_millis(1))),
                }
            }
            if until.is_some_and(|wait| wait > self.pace.give_up_after) {
                break;
            }
            let answered = tokio::select! {
                answered = on_their_way.next(), if !on_their_way.is_empty() => answered,
                () = tokio::time::sleep(until.unwrap_or(Duration::MAX)), if until.is_some() => None,
            };
            let Some((permit, reply, took)) = answered else { continue };
            self.exchanges.push(Exchange::of(question, &reply, u64::try_from(took.as_millis()).unwrap_or(u64::MAX)));
            match self.heed(&reply, permit) {
                Heard::Lost(why) => return Err(Stop::Unreachable(why)),
                Heard::Answered(AnswerOutcome::Quota { message }, _) => return Err(Stop::Quota(message)),
                // The question has rows, so an empty page is a refusal in disguise.
                Heard::Answered(AnswerOutcome::Page(page), _) if page.is_empty() => {
                    self.throttled += 1;
                    self.gate.throttled(self.began.elapsed(), permit, None, rand::random());
                }
                Heard::Answered(..) => served.count(self.began.elapsed()),
                Heard::Trouble(..) => {}
            }
            if self.throttled > throttled_before {
                served.begin(self.began.elapsed());
            }
        }
        let LearnedRate { limit, used } = self.gate.learned();
        let throttled = self.throttled - throttled_before;
        Ok(RateReport {
            requests_per_second: limit
                .filter(|_| throttled > 0)
                .map(|limit| served.rate().map_or(limit, |rate| rate.min(limit))),
            used,
            requests: self.spent() - spent_before,
            throttled,
            headers: self.rate_headers.clone(),
        })
    }

    /// The verdict on the rate limit.
    pub fn rate_limit(&self, report: Option<&RateReport>) -> RuleVerdict {
        let headers: Vec<String> = self.rate_headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let told = if headers.is_empty() {
            "no header speaks of it".to_owned()
        } else {
            format!("headers: {}", headers.join(", "))
        };
        match report {
            None if self.throttled > 0 => RuleVerdict::unknown(
                [],
                format!("{} requests came too fast, but the limit was not looked for; {told}", self.throttled),
            ),
            None => RuleVerdict::unknown([], format!("it was not looked for; {told}")),
            Some(report) => match (report.requests_per_second, report.used) {
                (Some(limit), _) => RuleVerdict::new(
                    "limited",
                    [],
                    format!(
                        "about {limit:.1} requests a second are served; {} of {} came too fast; {told}",
                        report.throttled, report.requests
                    ),
                ),
                (None, used) => RuleVerdict::new(
                    "not_met",
                    [],
                    format!("none was met at up to {:.1} requests a second; {told}", used.unwrap_or_default()),
                ),
            },
        }
    }
}
