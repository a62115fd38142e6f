//! How the service of a simulation behaves: every unknown of the contract is a setting.

use std::collections::BTreeSet;
use std::time::Duration;

/// What comes for a page beyond the cap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PastCap {
    Empty,
    Refused,
    LastPageAgain,
    /// 403.
    Forbidden,
    /// A 5xx, as a search engine answers beyond its window.
    Broken,
}

/// The order of rows of one second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ties {
    /// Always the same, and the other way round in descending order.
    Mirrored,
    /// Always the same, in both orders.
    Stable,
    /// Another on every request.
    Fresh,
}

/// What becomes of the asked sort.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sort {
    Honoured,
    /// Ascending whatever is asked.
    AlwaysAscending,
    /// Descending whatever is asked.
    AlwaysDescending,
    /// By something that has nothing to do with time.
    Ignored,
}

/// Rows that a page leaves out although they were counted into it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Short {
    Never,
    /// These rows are never shown: one in so many.
    Filtered(u64),
    /// The last rows of every page, one page in so many.
    AtTheEnd(u64),
    /// Any one row of a page, one request in so many.
    Anywhere(u64),
}

/// Rows that come and go, in shares of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Drift {
    pub(super) inserts: f64,
    pub(super) deletes: f64,
    /// How many rows come or go at once.
    pub(super) burst: usize,
}

/// How fast it may be asked: a bucket of tokens, of which the program knows nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit {
    pub(super) per_second: f64,
    /// Requests that may come at once.
    pub(super) burst: f64,
    pub(super) retry_after: Option<Duration>,
}

/// Whose answer comes in place of the asked one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Other {
    /// The next region's.
    Region,
    /// That without a time.
    Time,
    /// The next page's.
    NextPage,
    /// That to the question before.
    Stale,
}

/// What every answer is while the service is in trouble, whoever asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Trouble {
    /// An empty page.
    Empty,
    /// That to another question.
    Another(Other),
    /// The page without the rows of this share of the store.
    Part(f64),
    /// The page with a row before the others that was not asked for, in the place of the last where it is full.
    Advertised,
    /// The page with its first row in the place of the last as well.
    Twice,
    /// A 5xx to every page of this number or a later one.
    LaterFail(u32),
    /// The page as if pages had so many places; where a time is given, on and off, each for so long.
    FewerPlaces(usize, Option<Duration>),
    /// The answer that a cache has kept for so many seconds, whose key leaves a setting of the question out.
    Cached(Unkeyed, u64),
}

impl Trouble {
    /// Whether it is there, so long after it began.
    pub(super) fn is_on(self, since: Duration) -> bool {
        match self {
            Self::FewerPlaces(_, Some(turn)) => (since.as_millis() / turn.as_millis()).is_multiple_of(2),
            _ => true,
        }
    }
}

/// What a cache does not tell questions by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unkeyed {
    Region,
    Min,
    Max,
    Page,
    Order,
}

/// How the service behaves.
#[derive(Clone, Debug)]
pub(super) struct Behaviour {
    pub(super) cap: u32,
    pub(super) past_cap: PastCap,
    pub(super) min_inclusive: bool,
    pub(super) max_inclusive: bool,
    pub(super) ties: Ties,
    pub(super) sort: Sort,
    pub(super) short: Short,
    pub(super) drift: Drift,
    /// The share of attempts that fail by themselves.
    pub(super) flaky: f64,
    /// The share of pages that come empty although they hold rows.
    pub(super) falsely_empty: f64,
    /// Seconds whose rows make every page fail that holds one.
    pub(super) poison: BTreeSet<i64>,
    /// Requests, counted from the start, between which everything fails.
    pub(super) outage: std::ops::Range<u64>,
    /// `page_num` counts rows.
    pub(super) counts_rows: bool,
    /// `page_num` counts pages from 0.
    pub(super) counts_from_zero: bool,
    /// Every question is answered with the first page of all.
    pub(super) answers_the_same: bool,
    /// What `min_create_time` is rounded down to, seconds; 1 rounds nothing.
    pub(super) min_rounded_to: i64,
    /// The share of answers that are those to another question, and to which.
    pub(super) another: Option<(f64, Other)>,
    /// Trouble that begins and ends, and when.
    pub(super) trouble: Option<(std::ops::Range<Duration>, Trouble)>,
    /// Above this rate every page comes empty.
    pub(super) soft_limit: Option<Limit>,
    /// None where it takes as much as comes.
    pub(super) limit: Option<Limit>,
    /// Requests, counted from the start, 429s among them, between which everything is refused with 429.
    pub(super) closed: std::ops::Range<u64>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            cap: 100_000,
            past_cap: PastCap::Empty,
            min_inclusive: true,
            max_inclusive: true,
            ties: Ties::Mirrored,
            sort: Sort::Honoured,
            short: Short::Never,
            drift: Drift::default(),
            flaky: 0.0,
            falsely_empty: 0.0,
            poison: BTreeSet::new(),
            outage: 0..0,
            counts_rows: false,
            counts_from_zero: false,
            answers_the_same: false,
            min_rounded_to: 1,
            another: None,
            trouble: None,
            soft_limit: None,
            limit: None,
            closed: 0..0,
        }
    }
}
