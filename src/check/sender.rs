//! Doing: asks what the check wants to know, through the client, the gate and the retries that a run has.
//!
//! Each request counts as one credit, whatever comes of it, and none is sent beyond the stated ones.

use std::time::{Duration, Instant};

use super::Check;
use super::answer::{Answer, AnswerOutcome, Page};
use super::exchange::Exchange;
use super::question::Question;
use crate::api::client::{Client, InVain, Reply, TransportError};
use crate::api::reply::{PageAnswer, ReplyVerdict, judge};
use crate::fetch::gate::{Gate, Permit};
use crate::fetch::retry::{Next, Patience, Retry, Trouble};
use crate::fetch::throttle::{LearnedRate, Rate};

/// How a check ended before its planner was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// Every stated credit is spent.
    Credits,
    /// The key has nothing left to spend.
    Quota(String),
    /// The service refuses everything.
    Refused(u16, String),
    /// Nothing came for too long.
    Unwell(String),
    /// The service cannot be reached as it is addressed.
    Unreachable(String),
}

/// How fast a check asks, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The rate.
    pub rate: Rate,
    /// The requests that may be sent.
    pub credits: u64,
    /// How long nothing may come before the service counts as unwell.
    pub give_up_after: Duration,
}

/// Sends the requests of one check, one after the other.
pub struct Sender<'a> {
    pub(super) client: &'a Client,
    pub(super) pace: Pace,
    pub(super) gate: Gate,
    pub(super) began: Instant,
    /// When something came last.
    came: Duration,
    pub(super) sent: u64,
    /// What was sent and what came, in order.
    pub exchanges: Vec<Exchange>,
    /// Requests that came too fast for the service.
    pub throttled: u64,
    /// Headers that spoke of a rate, each once.
    pub rate_headers: Vec<(String, String)>,
}

impl<'a> Sender<'a> {
    /// A sender that has sent nothing.
    pub fn new(client: &'a Client, pace: Pace) -> Self {
        Self {
            client,
            pace,
            gate: Gate::new(pace.rate, LearnedRate::default(), 1),
            began: Instant::now(),
            came: Duration::ZERO,
            sent: 0,
            exchanges: Vec::new(),
            throttled: 0,
            rate_headers: Vec::new(),
        }
    }

    /// Requests that were sent.
    pub fn spent(&self) -> u64 {
        self.sent
    }

    /// Asks until every rule has its verdict. `kept` is called after each answer. Cancel safe: what came is in the check and here.
    pub async fn carry_out(&mut self, check: &mut Check, mut kept: impl FnMut(&Self)) -> Option<Stop> {
        while let Some(question) = check.next() {
            match self.ask(&question, &mut kept).await {
                Ok(answer) => {
                    let quota = quota_of(&answer);
                    check.take(answer);
                    if let Some(message) = quota {
                        return Some(Stop::Quota(message));
                    }
                }
                Err(stop) => return Some(stop),
            }
        }
        refused_all(check)
    }

    async fn ask(&mut self, question: &Question, kept: &mut impl FnMut(&Self)) -> Result<Answer, Stop> {
        let mut retry = Retry::new(Patience::Full);
        loop {
            let permit = self.permit().await?;
            let sent = Instant::now();
            let reply = self.client.ask(&question.pairs()).await;
            let took_ms = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.exchanges.push(Exchange::of(question, &reply, took_ms));
            let heard = self.heed(&reply, permit);
            kept(self);
            let (outcome, request_id) = match heard {
                Heard::Answered(outcome, request_id) => (outcome, request_id),
                Heard::Lost(why) => return Err(Stop::Unreachable(why)),
                Heard::Trouble(trouble, why) => match retry.after(trouble, rand::random()) {
                    Next::Permit => continue,
                    Next::Rest(rest, _) => {
                        tokio::time::sleep(rest).await;
                        continue;
                    }
                    Next::Never => (AnswerOutcome::Failed { why }, None),
                },
            };
            return Ok(Answer { question: question.clone(), outcome, request_id, took_ms });
        }
    }

    /// Waits until a request may go out.
    pub(super) async fn permit(&mut self) -> Result<Permit, Stop> {
        if self.spent() >= self.pace.credits {
            return Err(Stop::Credits);
        }
        loop {
            let now = self.began.elapsed();
            let until = match self.gate.admit(now) {
                Ok(permit) => {
                    self.sent += 1;
                    return Ok(permit);
                }
                Err(until) => until,
            };
            if until.saturating_sub(self.came) > self.pace.give_up_after {
                return Err(Stop::Unwell("the service asks to wait for longer than --give-up-after allows".to_owned()));
            }
            tokio::time::sleep(until.saturating_sub(now).max(Duration::from_millis(1))).await;
        }
    }

    /// Tells the gate what came, and says what follows.
    pub(super) fn heed(&mut self, reply: &Result<Reply, TransportError>, permit: Permit) -> Heard {
        let now = self.began.elapsed();
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) if error.in_vain() == Some(InVain::Address) && self.came.is_zero() => {
                return Heard::Lost(error.to_string());
            }
            Err(error) => {
                self.gate.failed(now, rand::random());
                return Heard::Trouble(Trouble::Failed, error.to_string());
            }
        };
        for header in &reply.signals.rate {
            if !self.rate_headers.iter().any(|(name, _)| *name == header.0) {
                self.rate_headers.push(header.clone());
            }
        }
        let wait = reply.signals.retry_after;
        match judge(reply.heard()) {
            ReplyVerdict::Page(PageAnswer { request_id, .. }) => {
                self.answered(now, permit);
                Heard::Answered(AnswerOutcome::Page(Page::read(&reply.body)), request_id)
            }
            ReplyVerdict::Throttled { why, .. } => {
                self.throttled += 1;
                self.gate.throttled(now, permit, wait, rand::random());
                Heard::Trouble(Trouble::Throttled, why)
            }
            ReplyVerdict::Quota { message } => Heard::Answered(AnswerOutcome::Quota { message }, None),
            ReplyVerdict::Refused { code, message } => {
                self.answered(now, permit);
                Heard::Answered(AnswerOutcome::Refused { code, message }, None)
            }
            ReplyVerdict::Transient { why } => {
                self.gate.failed(now, rand::random());
                self.gate.asked_to_wait(now, wait.unwrap_or_default());
                Heard::Trouble(Trouble::Failed, why)
            }
        }
    }

    fn answered(&mut self, now: Duration, permit: Permit) {
        self.came = now.max(Duration::from_nanos(1));
        self.gate.answered(now, permit);
    }
}

/// What one reply comes to.
pub(super) enum Heard {
    /// The question is answered.
    Answered(AnswerOutcome, Option<String>),
    /// Asking again may help.
    Trouble(Trouble, String),
    /// Nothing was ever heard, and as it is addressed nothing will be.
    Lost(String),
}

fn quota_of(answer: &Answer) -> Option<String> {
    if let AnswerOutcome::Quota { message } = &answer.outcome { Some(message.clone()) } else { None }
}

/// Whether nothing but refusals came, or nothing but failures.
fn refused_all(check: &Check) -> Option<Stop> {
    let mut stop = None;
    for (_, answer) in check.seen().answers() {
        match &answer.outcome {
            AnswerOutcome::Refused { code, message } => stop = Some(Stop::Refused(*code, message.clone())),
            AnswerOutcome::Failed { why } => stop = Some(Stop::Unwell(why.clone())),
            AnswerOutcome::Page(_) | AnswerOutcome::Quota { .. } => return None,
        }
    }
    stop
}
