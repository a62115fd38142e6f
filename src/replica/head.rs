//! The head of a state in a bucket: who holds it, and what it is made of. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::segment::{Digest, Number, told};
use crate::journal::VERSION as JOURNAL_VERSION;

/// The format that this program reads and writes.
const FORMAT: u32 = 1;
/// Intervals without a change after which a lease is over for everybody.
pub(super) const MISSED: u32 = 3;
/// Intervals after the last renewal began, from which on its holder sends nothing.
pub(super) const SENDS_FOR: u32 = 2;
/// What part of an interval is left to a request that was admitted before: then it is given up, and no connection takes longer to open.
pub const GRACE: u32 = 2;
/// Segments from which on it may be worth to write the whole journal in place of them.
const MANY_SEGMENTS: u64 = 64;
/// Segments from which on it is in any case: each is fetched by a request of its own.
const MOST_SEGMENTS: u64 = 4_000;
/// How much larger than the whole journal they must be together.
const TIMES_THE_WHOLE: u64 = 2;

/// The head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The version of this format, and that of the journal's tables.
    pub format: u32,
    /// The version of the journal's tables.
    pub journal: i64,
    /// Counts the holders.
    pub epoch: u64,
    /// Who holds the state; none where it was given back.
    pub holder: Option<Holder>,
    /// Larger each time that the head is replaced by the same holder.
    pub renewals: u64,
    /// Segments of this epoch and those before belong to states that were left aside, and stay; none where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside_until: Option<u64>,
    /// What the state is made of, in order; numbers follow each other.
    pub spans: Vec<Span>,
    /// SHA-256 of the last segment, lower-case hexadecimal; zeros where there is none.
    pub sha256: String,
    /// Bytes of all segments, and of the first ones, which held the whole journal.
    pub bytes: u64,
    /// Bytes of the segments that held the whole journal.
    pub whole_bytes: u64,
}

/// Segments of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The epoch.
    pub epoch: u64,
    /// The number of the first.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
}

/// A process that holds a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// A word that no other process has.
    pub id: String,
    /// What a person knows it by.
    pub name: String,
    /// When it took the state, by its clock; epoch seconds.
    pub since: i64,
    /// When it replaced the head last, by its clock; epoch seconds. For people alone.
    pub renewed_at: i64,
    /// How often it renews its lease, in milliseconds.
    pub interval_ms: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, since {}", self.name, crate::units::EpochSeconds::new(self.since))
    }
}

impl Holder {
    /// How often it renews its lease.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }

    /// How long others wait that see nothing of it.
    pub fn lasts(&self) -> Duration {
        self.interval().saturating_mul(MISSED)
    }

    /// Whether it seems to be at work, by its clock and a reader's: for people alone.
    pub fn seems_alive(&self, now: i64) -> bool {
        // Both clocks tell whole seconds, so what lasts less than one may be a second old.
        let lasts = self.lasts().as_millis().div_ceil(1000);
        now.saturating_sub(self.renewed_at) <= i64::try_from(lasts).unwrap_or(i64::MAX)
    }
}

impl Head {
    /// That of a state which holds nothing.
    pub(super) fn empty(epoch: u64) -> Self {
        let sha256 = told(&Digest::default());
        Self {
            format: FORMAT,
            journal: JOURNAL_VERSION,
            epoch,
            holder: None,
            renewals: 0,
            aside_until: None,
            spans: Vec::new(),
            sha256,
            bytes: 0,
            whole_bytes: 0,
        }
    }

    /// Reads its text.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versions {
            format: u32,
            journal: i64,
        }
        let versions: Versions = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if versions.format != FORMAT || versions.journal != JOURNAL_VERSION {
            let Versions { format, journal } = versions;
            return Err(format!(
                "its format is version {format} with a journal of version {journal}, this program knows version {FORMAT} with {JOURNAL_VERSION}"
            ));
        }
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }

    /// The same, held by another process, which has the next epoch.
    pub(super) fn taken_by(&self, holder: Holder) -> Self {
        Self { epoch: self.epoch + 1, holder: Some(holder), renewals: 1, ..self.clone() }
    }

    /// One that holds nothing, in its place.
    pub(super) fn left_aside(&self) -> Self {
        Self { aside_until: Some(self.epoch), ..Self::empty(self.epoch) }
    }

    /// What of the bucket's segments is kept.
    pub(super) fn kept(&self) -> Kept {
        Kept { aside_until: self.aside_until, names: self.numbers().map(Number::name).collect() }
    }

    /// Whether it is the one of this holder and epoch.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        let id = |head: &Self| head.holder.as_ref().map(|holder| holder.id.clone());
        self.epoch == other.epoch && id(self).is_some() && id(self) == id(other)
    }

    /// The number that comes next.
    pub(super) fn next_number(&self) -> u64 {
        self.spans.last().map_or(0, |span| span.last + 1)
    }

    /// Every segment, in order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = Number> + use<> {
        let numbers = |span: Span| (span.first..=span.last).map(move |number| Number { epoch: span.epoch, number });
        self.spans.clone().into_iter().flat_map(numbers)
    }

    /// The same with segments of its own epoch behind those that are there, or in their place.
    pub(super) fn with(&self, added: &Added) -> Self {
        let mut next = self.clone();
        if added.is_whole {
            (next.spans, next.bytes, next.whole_bytes) = (Vec::new(), 0, added.bytes);
        }
        match next.spans.last_mut() {
            Some(span) if span.epoch == self.epoch => span.last = added.last,
            _ => next.spans.push(Span { epoch: self.epoch, first: added.first, last: added.last }),
        }
        next.bytes += added.bytes;
        next.sha256.clone_from(&added.sha256);
        next
    }

    /// Whether the whole journal is worth to be written in place of the segments.
    pub(super) fn has_grown(&self) -> bool {
        let segments: u64 = self.spans.iter().map(|span| span.last - span.first + 1).sum();
        let is_larger = self.bytes >= self.whole_bytes.saturating_mul(TIMES_THE_WHOLE);
        segments >= MOST_SEGMENTS || (segments >= MANY_SEGMENTS && is_larger)
    }
}

/// Segments that are not to be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    aside_until: Option<u64>,
    names: BTreeSet<String>,
}

impl Kept {
    /// Whether the object of this name is one of them.
    pub(super) fn has(&self, name: &str) -> bool {
        let is_aside = |until: u64| Number::epoch_of(name).is_none_or(|epoch| epoch <= until);
        self.names.contains(name) || self.aside_until.is_some_and(is_aside)
    }
}

/// Segments that were put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) sha256: String,
    pub(super) bytes: u64,
    /// Whether they hold the whole journal.
    pub(super) is_whole: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(in crate::replica) fn holder(id: &str) -> Holder {
        Holder { id: id.to_owned(), name: format!("process {id}"), since: 0, renewed_at: 0, interval_ms: 10_000 }
    }

    fn added(first: u64, last: u64, is_whole: bool) -> Added {
        Added { first, last, sha256: format!("{last}"), bytes: 10 * (last - first + 1), is_whole }
    }

    #[test]
    fn segments_follow_each_other_over_all_holders_until_the_whole_takes_their_place() {
        let first = Head::empty(0).taken_by(holder("a"));
        assert_eq!((first.epoch, first.next_number()), (1, 0));
        let first = first.with(&added(0, 1, false)).with(&added(2, 2, false));
        let second = first.taken_by(holder("b")).with(&added(3, 4, false));
        let names: Vec<(u64, u64)> = second.numbers().map(|number| (number.epoch, number.number)).collect();
        assert_eq!(names, [(1, 0), (1, 1), (1, 2), (2, 3), (2, 4)]);
        assert_eq!((second.bytes, second.sha256.as_str()), (50, "4"));
        assert!(!first.is_of(&second) && second.is_of(&second.with(&added(5, 5, false))));
        let whole = second.with(&added(5, 6, true));
        assert_eq!(whole.numbers().map(|number| number.number).collect::<Vec<_>>(), [5, 6]);
        assert_eq!((whole.bytes, whole.whole_bytes), (20, 20));
    }

    #[test]
    fn the_whole_is_written_anew_once_the_rest_is_larger() {
        let whole = Head::empty(0).taken_by(holder("a")).with(&added(0, 99, true));
        assert!(!whole.has_grown());
        assert!(!whole.with(&added(100, 150, false)).has_grown());
        assert!(whole.with(&added(100, 199, false)).has_grown());
        assert!(!Head::empty(0).taken_by(holder("a")).with(&added(0, 10, false)).has_grown(), "few are no matter");
        let many = Head { whole_bytes: u64::MAX, ..whole.with(&added(100, 3_999, false)) };
        assert!(many.has_grown());
    }

    #[test]
    fn a_head_is_read_back_and_another_version_is_refused_by_name() {
        let head = Head::empty(0).taken_by(holder("a"));
        let json = serde_json::to_vec(&head).unwrap();
        assert_eq!(Head::parse(&json).unwrap(), head);
        assert!(
            Head::parse(&serde_json::to_vec(&Head { format: 9, ..head }).unwrap()).unwrap_err().contains("version 9")
        );
        assert!(Head::parse(b"{}").is_err());
    }

    #[test]
    fn a_holder_stops_before_anybody_may_take_its_place() {
        // In halves of an interval: the last admission, its grace, and the first moment of another.
        const { assert!(2 * SENDS_FOR + 2 / GRACE < 2 * MISSED) };
        assert_eq!(holder("a").lasts(), Duration::from_secs(30));
        assert!(holder("a").seems_alive(30) && !holder("a").seems_alive(31));
    }
}
