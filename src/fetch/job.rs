//! A fetch job: one page, asked until it comes, cannot be had, or the run ends. Pure; time is a duration since the process
//! began, and dice are handed in.
//!
//! It knows its own attempts alone. Whose turn it is among all jobs is for [`super::pool`] to say.

use std::sync::Arc;
use std::time::Duration;

use crate::api::client::InVain;
use crate::api::contract::PageQuery;
use crate::plan::answer::{ANSWERS_ASKED, Doubt};
use crate::plan::planner::Task;
use crate::units::{Credits, PageNumber};

use super::gate::Permit;
use super::retry::{Next, Patience, Retry, RetryToken, Trouble};

/// Refusals in words of the rate that one question gets while others are answered, each at a lower pace, before it is refused for good.
const MOST_SLOWED: u32 = 6;

/// A fetch job's number, unique within a process; a later job has a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What is fetched. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Work {
    /// A page of the plan, which becomes durable.
    Page(Arc<Task>),
    /// A harmless page, asked once to learn whether the service is well; its rows are not kept.
    HealthProbe(Arc<PageQuery>),
}

impl Work {
    /// What is asked.
    pub fn query(&self) -> &PageQuery {
        match self {
            Self::Page(task) => &task.query,
            Self::HealthProbe(query) => query,
        }
    }

    /// Whether nothing of it is kept.
    pub fn is_probe(&self) -> bool {
        matches!(self, Self::HealthProbe(_))
    }
}

/// Whether a page was asked for before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// It was not.
    First,
    /// It was, by this job or by one that failed.
    Again,
    /// It was refused, and is asked again after this rest; nobody else may send anything meanwhile.
    Confirming(Duration),
}

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A page.
    Page {
        /// Why it seems to answer another question, for a person; none where it does not.
        doubt: Option<Doubt>,
    },
    /// Requests come too fast.
    Throttled {
        /// What came, for a person.
        why: String,
        /// How long the service asks to wait.
        wait: Option<Duration>,
    },
    /// It is refused in words of the rate alone: requests come too fast, or it is refused for good.
    Slowed {
        /// The status or code.
        code: u16,
        /// The service's words.
        message: String,
        /// What came, for a person.
        why: String,
    },
    /// The key has nothing left to spend.
    Quota {
        /// The service's words.
        message: String,
    },
    /// Asking again changes nothing.
    Refused {
        /// The status or code.
        code: u16,
        /// The service's words.
        message: String,
        /// How long the service asks to wait.
        wait: Option<Duration>,
    },
    /// The service answered, and asking again may help.
    Failed {
        /// What came, for a person.
        why: String,
        /// How long the service asks to wait.
        wait: Option<Duration>,
    },
    /// No answer came, and asking again may help.
    Unanswered {
        /// What is wrong, for a person.
        why: String,
    },
    /// No answer came, and the trouble lies in how the service is addressed.
    Unreached {
        /// In what about it.
        what: InVain,
        /// What is wrong, for a person.
        why: String,
    },
    /// Nothing was sent: the run may spend no more.
    OutOfCredits {
        /// What was spent.
        spent: Credits,
        /// What may be spent.
        max: Credits,
    },
}

impl Heard {
    /// Why a page seems to answer another question.
    pub fn doubt(&self) -> Option<&Doubt> {
        if let Self::Page { doubt } = self { doubt.as_ref() } else { None }
    }

    /// What stood in the way of a page that may come all the same, for a person.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Throttled { why, .. }
            | Self::Slowed { why, .. }
            | Self::Failed { why, .. }
            | Self::Unanswered { why }
            | Self::Unreached { why, .. } => Some(why),
            Self::Page { .. } | Self::Quota { .. } | Self::Refused { .. } | Self::OutOfCredits { .. } => None,
        }
    }
}

/// Random numbers in `0..1` for what follows from one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Dice {
    /// Keeps the holds of many processes apart.
    pub spread: f64,
    /// Where in its range a page's backoff lies.
    pub jitter: f64,
}

/// How a fetch job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// A health probe was answered with a page.
    Well,
    /// A health probe came too early.
    TooEarly,
    /// The service will not answer this question.
    Refused {
        /// The status or code.
        code: u16,
        /// The service's words.
        message: String,
    },
    /// The key has nothing left to spend.
    Quota {
        /// The service's words.
        message: String,
    },
    /// Every attempt failed; the last one like this.
    Failed {
        /// What came, for a person.
        why: String,
    },
    /// Nothing was ever heard from the service, and as it is addressed nothing will be.
    Unreachable {
        /// What is wrong with the way to it, for a person.
        why: String,
    },
    /// The run may spend no more.
    OutOfCredits {
        /// What was spent.
        spent: Credits,
        /// What may be spent.
        max: Credits,
    },
    /// The run ends; nothing is on its way.
    Stopped,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stands {
    /// Its page failed; it waits until the budget of all retries lets it be asked again.
    WantsToken {
        /// From when on.
        since: Duration,
    },
    /// It waits for a permit.
    WantsPermit,
    /// A request is on its way.
    OnItsWay(Permit),
    /// It waits between two attempts.
    Rests(RetryToken),
    /// Its page came and is becoming durable.
    Keeps {
        /// Since when.
        since: Duration,
    },
}

/// What a job does after an attempt.
#[derive(Debug)]
pub(super) enum Then {
    /// Its page is kept.
    Keep,
    /// It asks again as soon as there is a permit.
    AskAgain,
    /// It rests so long.
    Rest(Duration, RetryToken),
    /// It is over.
    End(Fetched),
}

/// Whether a page seems to answer another question.
#[derive(Debug)]
enum Astray {
    /// It does not, or it stays so and is believed.
    No,
    /// It does, and is asked again.
    AskAgain(Doubt),
    /// It does, time and again; it is asked once more at this moment, and believed then.
    Until(Duration),
}

/// One page's attempts.
#[derive(Debug)]
pub(super) struct FetchJob {
    pub(super) work: Work,
    pub(super) began: Duration,
    pub(super) asks: Asks,
    pub(super) stands: Stands,
    retry: Retry,
    /// Answers that seemed to belong to another question.
    astray: u32,
    /// Those of them that were empty, though a row is known that should stand there or follow.
    missing: u32,
    /// When the first of them came.
    astray_since: Option<Duration>,
    /// How often it was refused in words of the rate, and since when.
    slowed: (u32, Duration),
    /// Whether an attempt failed.
    pub(super) has_failed: bool,
}

impl FetchJob {
    /// A job that begins at `now`. One whose page failed before needs a retry token first.
    pub(super) fn new(work: Work, (asks, patience): (Asks, Patience), now: Duration) -> Self {
        let stands = match asks {
            Asks::First => Stands::WantsPermit,
            Asks::Again => Stands::WantsToken { since: now },
            Asks::Confirming(_) => Stands::Rests(RetryToken::Wanted),
        };
        Self {
            work,
            began: now,
            asks,
            stands,
            retry: Retry::new(patience),
            astray: 0,
            missing: 0,
            astray_since: None,
            slowed: (0, now),
            has_failed: false,
        }
    }

    /// What follows for the job from an attempt that ended `now`. A health probe is asked once, whatever comes. Answers `apart` from each
    /// other confirm each other.
    pub(super) fn after(&mut self, heard: Heard, jitter: f64, (now, apart): (Duration, Duration)) -> Then {
        let is_probe = self.work.is_probe();
        let (trouble, why) = match heard {
            Heard::Page { .. } if is_probe => return Then::End(Fetched::Well),
            Heard::Page { doubt } => match self.astray_because(doubt, (now, apart)) {
                Astray::No => return Then::Keep,
                Astray::Until(moment) => return Then::Rest(moment.saturating_sub(now), RetryToken::Wanted),
                Astray::AskAgain(doubt) => (Trouble::Failed, doubt.to_string()),
            },
            Heard::Quota { message } => return Then::End(Fetched::Quota { message }),
            Heard::Refused { code, message, .. } => return Then::End(Fetched::Refused { code, message }),
            Heard::OutOfCredits { spent, max } => return Then::End(Fetched::OutOfCredits { spent, max }),
            Heard::Throttled { why, .. } | Heard::Slowed { why, .. } => (Trouble::Throttled, why),
            Heard::Failed { why, .. } | Heard::Unanswered { why } | Heard::Unreached { why, .. } => {
                (Trouble::Failed, why)
            }
        };
        self.has_failed |= trouble == Trouble::Failed;
        if is_probe {
            return Then::End(if trouble == Trouble::Throttled { Fetched::TooEarly } else { Fetched::Failed { why } });
        }
        match self.retry.after(trouble, jitter) {
            Next::Permit => Then::AskAgain,
            Next::Rest(rest, token) => Then::Rest(rest, token),
            Next::Never => Then::End(Fetched::Failed { why }),
        }
    }

    /// Whether a refusal in words of the rate is one for good: others are answered, and this question time and again is not; or it is
    /// asked again because it was refused, and nobody else is.
    pub(super) fn is_refused_for_good(&mut self, last_page: Option<Duration>, now: Duration) -> bool {
        let (times, since) = self.slowed;
        self.slowed = if times == 0 { (1, now) } else { (times + 1, since) };
        let is_other_answered = times > 0 && last_page.is_some_and(|page| page > since);
        matches!(self.asks, Asks::Confirming(_)) || (times >= MOST_SLOWED && is_other_answered)
    }

    /// How often it came empty though a known row should stand on it or follow it.
    pub(super) fn times_missing(&self) -> u32 {
        self.missing
    }

    /// Asks no oftener from now on than just often enough to know that it was no accident.
    pub(super) fn shorten(&mut self) {
        self.retry.shorten();
    }

    /// Whether a page is not kept: it seems to answer another question, and may be asked again. What stays so is this service's answer.
    fn astray_because(&mut self, doubt: Option<Doubt>, (now, apart): (Duration, Duration)) -> Astray {
        let Some(doubt) = doubt else { return Astray::No };
        self.astray += 1;
        self.missing += u32::from(matches!(doubt, Doubt::KnownRowMissing(_)));
        let believed = self.astray_since.get_or_insert(now).saturating_add(apart);
        // An empty page beyond the first may be the service's cap as well: the walk asks what follows, which is another question.
        let may_be_a_cap = matches!(doubt, Doubt::KnownRowMissing(_)) && self.work.query().page > PageNumber::FIRST;
        let is_left = self.astray < ANSWERS_ASKED && self.retry.is_left();
        match doubt {
            _ if may_be_a_cap => Astray::No,
            doubt if is_left => Astray::AskAgain(doubt),
            Doubt::UnknownRegion(_) | Doubt::Unplaced(_) if now < believed => Astray::Until(believed),
            _ => Astray::No,
        }
    }

    /// A health probe that begins after a rest.
    pub(super) fn probe(query: Arc<PageQuery>, now: Duration) -> Self {
        let job = Self::new(Work::HealthProbe(query), (Asks::First, Patience::Short), now);
        Self { stands: Stands::Rests(RetryToken::Free), ..job }
    }

    /// Whether a request of it is on its way, or its page is becoming durable: it has a place among those in flight.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.stands, Stands::OnItsWay(_) | Stands::Keeps { .. })
    }

    /// Whether its page is asked just often enough to know that it was no accident.
    #[cfg(test)]
    pub(super) fn is_short(&self) -> bool {
        self.retry.is_short()
    }

    /// Whether it leaves its worker's place to another.
    pub(super) fn is_resting(&self) -> bool {
        matches!(self.stands, Stands::Rests(_) | Stands::WantsToken { .. })
    }
}
