//! An answer and its question: which of its rows were asked for, and whether it answers this question at all. Pure.
//!
//! Decided here once, before the page is stored. What was decided is stored with the page, so that neither a replay nor the
//! sink decides it again: `rows` is what the plan learns from, `delivered` what the sink writes, `set_aside` what is kept apart.
//!
//! Two signs say that an answer belongs to another question: most of its rows lie outside the asked time, or all of them name another
//! region as their own. Such a page is asked again, and so is one of which no row can be placed, [`ANSWERS_ASKED`] times. What stays so is how this service answers that question:
//! it is kept with its standing, and the walk decides what follows. Another region's rows, while the region has shown none of its own,
//! are believed on two answers apart in time alone: the service may be in trouble since before the region was first asked for. So is a
//! page of which no row can be placed, unless the region's last page was such a one.

use std::collections::{BTreeMap, BTreeSet};

use super::fact::{Check, RowKey, Standing, VideoKey};
use crate::api::contract::PageQuery;
use crate::api::reply::{Identity, PageAnswer, Row, says_something};
use crate::units::EpochSeconds;

/// How often a page is asked, by one fetch job, whose answers belong to another question. Each is counted and paid for.
pub const ANSWERS_ASKED: u32 = 4;
/// Rows of another region, and none of its own, from which on a page is another region's; fewer are single rows.
const OTHER_REGION_ROWS: u32 = 3;
/// Rows that all lie outside the asked time, from which on a page is outside; fewer are wrong dates.
pub const OUTSIDE_ROWS: usize = 5;

/// What a region's earlier durable pages have shown of the `region` field of its rows. Nothing documents that it is the asked one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegionHabit {
    /// None has shown anything.
    #[default]
    Unknown,
    /// It is the asked region.
    Own,
    /// Pages were of another region, also when asked again: here the field is something else.
    Another,
}

/// What the plan knows that an answer is measured by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// What the region's earlier pages have shown of its rows' own region.
    pub habit: RegionHabit,
    /// A known row of this second stands on the asked page or after it, so that an empty page contradicts what is known.
    pub row: Option<EpochSeconds>,
    /// The region's last page held no row that can be placed, also when it was asked again long enough after.
    pub is_unplaced: bool,
    /// The service is known not to keep to the lower bound: rows older than it may stand before the others, all of them in order of time. Where
    /// that is not known they are wrong dates, or the answer to another question.
    pub may_begin_early: bool,
}

/// Why an answer is not believed before it has come several times.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// It is that to another question.
    #[error("the answer is that to another question: {0}")]
    AnotherQuestion(String),
    /// It is of another region, and no page has shown yet what this region's rows name as theirs: believed on answers apart in time.
    #[error("the answer is that to another question: {0}")]
    UnknownRegion(String),
    /// None of its rows says who and when it is.
    #[error("none of its {0} rows has a `video_id` and a `create_time` that can be read")]
    Unplaced(usize),
    /// It is empty, though a row that it should not lie behind is known: the row is gone, or the service is in trouble, or asked too fast.
    #[error("the page is empty, though a row of {0} is known that should stand on it or follow it")]
    KnownRowMissing(EpochSeconds),
}

/// A usable row of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its place on the page, from 0.
    pub index: u32,
    /// Who and when.
    pub key: RowKey,
    /// The row's own `region`, where it has one.
    pub region: Option<&'a str>,
}

/// An answer, tied to its question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tied {
    /// What the plan learns from: the rows that were asked for; those outside the asked time where all are, or where older ones may stand before
    /// the others.
    pub rows: Vec<RowKey>,
    /// The places of the rows that the sink delivers.
    pub delivered: Vec<u32>,
    /// Places whose row stands on the page before them already: what should stand there is not known, so they are as good as free.
    pub twins: u32,
    /// The places of usable rows that are kept apart, and why.
    pub set_aside: Vec<(u32, String)>,
    /// How the page stands to its question.
    pub check: Check,
    /// Why the page is to be asked again; none where there is no doubt.
    pub doubt: Option<Doubt>,
}

/// Ties an answer to its question.
pub fn tie(question: &PageQuery, expected: Expected, answer: &PageAnswer) -> Tied {
    let candidate = |(row, index)| match row {
        &Row::Usable(Identity { second, ref video_id, ref region }) => {
            let key = RowKey { second, video: VideoKey::of(video_id) };
            Some(Candidate { index, key, region: region.as_deref() })
        }
        Row::Unusable { .. } => None,
    };
    let rows: Vec<Candidate<'_>> = answer.rows.iter().zip(0..).filter_map(candidate).collect();
    let unplaced = answer.rows.iter().filter_map(|row| match row {
        Row::Usable(_) => None,
        Row::Unusable { text, .. } => Some(text.as_str()),
    });
    let tied = tie_rows(question, expected, &rows, unplaced);
    match answer.rows.len() {
        0 => tied.empty(expected),
        slots if rows.is_empty() && !expected.is_unplaced => Tied { doubt: Some(Doubt::Unplaced(slots)), ..tied },
        _ => tied,
    }
}

impl Tied {
    /// The same of an answer that holds no row slot at all.
    pub fn empty(self, expected: Expected) -> Self {
        Self { doubt: self.doubt.or(expected.row.map(Doubt::KnownRowMissing)), ..self }
    }
}

/// Ties the usable rows of an answer to its question; `unplaced` are the texts of the others.
pub fn tie_rows<'a>(
    question: &PageQuery,
    Expected { habit, may_begin_early, .. }: Expected,
    rows: &[Candidate<'_>],
    unplaced: impl IntoIterator<Item = &'a str>,
) -> Tied {
    let (inside, outside): (Vec<&Candidate<'_>>, Vec<_>) =
        rows.iter().partition(|row| is_asked(question, row.key.second));
    let print = print(rows).wrapping_add(print_of_texts(unplaced));
    let mut check = Check { outside: count(outside.len()), print, ..count_regions(question, rows) };
    let is_foreign = check.own_region == 0 && check.other_region > 0;
    let is_outside = outside.len() > inside.len();
    let goes_up = rows.is_sorted_by_key(|row| row.key.second);
    let are_early =
        goes_up && outside.iter().all(|row| question.min_create_time.is_some_and(|min| row.key.second < min));
    let is_explained = may_begin_early && are_early && (!inside.is_empty() || outside.len() >= OUTSIDE_ROWS);
    check.standing = match habit {
        _ if inside.is_empty() && outside.len() >= OUTSIDE_ROWS => Standing::Outside,
        RegionHabit::Own if is_foreign && check.other_region >= OTHER_REGION_ROWS => Standing::OtherRegion,
        _ => Standing::Answers,
    };
    let of_region = |doubt: fn(String) -> Doubt| {
        let other = rows.iter().find_map(|row| row.region).unwrap_or_default();
        doubt(format!("its rows are of region {}, and {} was asked", other.escape_debug(), question.region))
    };
    let doubt = match habit {
        _ if is_outside && !is_explained => Some(Doubt::AnotherQuestion(outside_doubt(question, rows.len(), &outside))),
        RegionHabit::Own if is_foreign => Some(of_region(Doubt::AnotherQuestion)),
        RegionHabit::Unknown if is_foreign => Some(of_region(Doubt::UnknownRegion)),
        _ => None,
    };
    let kept = |rows: &[&Candidate<'_>]| rows.iter().map(|row| row.key).collect();
    let (mut believed, delivered): (Vec<RowKey>, _) = match check.standing {
        Standing::OtherRegion => (Vec::new(), Vec::new()),
        _ if inside.is_empty() => (kept(&outside), Vec::new()),
        // They stand where they belong, so that nothing can be missing in their places.
        _ if is_explained => (rows.iter().map(|row| row.key).collect(), inside.iter().map(|row| row.index).collect()),
        _ => (kept(&inside), inside.iter().map(|row| row.index).collect()),
    };
    // A whole page outside is other time, which other questions ask for; a few such rows are wrong dates.
    let apart = if check.is_astray() || is_explained { &[][..] } else { &outside };
    let set_aside = apart.iter().map(|row| (row.index, astray(row.key.second))).collect();
    // A page has so few rows that looking through them is quickest.
    let came =
        |(place, row): &(usize, &Candidate<'_>)| rows.iter().take(*place).any(|one| one.key.video == row.key.video);
    let twins = count(rows.iter().enumerate().filter(came).count());
    if twins > 0 {
        let mut seen = BTreeSet::new();
        believed.retain(|row| seen.insert(row.video));
    }
    Tied { rows: believed, delivered, twins, set_aside, check, doubt }
}

/// Whether a second lies within the asked bounds, in their widest meaning.
fn is_asked(question: &PageQuery, second: EpochSeconds) -> bool {
    question.min_create_time.is_none_or(|min| min <= second) && question.max_create_time.is_none_or(|max| second <= max)
}

fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

fn count_regions(question: &PageQuery, rows: &[Candidate<'_>]) -> Check {
    let named = rows.iter().filter_map(|row| row.region);
    let (own, other): (Vec<&str>, Vec<&str>) =
        named.partition(|region| region.eq_ignore_ascii_case(question.region.as_str()));
    Check { own_region: count(own.len()), other_region: count(other.len()), ..Check::default() }
}

/// The same for the same rows in any order, in this and every later version: it is stored.
fn print(rows: &[Candidate<'_>]) -> u64 {
    // A video's id holds its second in the upper half, so the two are mixed one after the other: together they would cancel out.
    let hash = |row: &Candidate<'_>| mixed(mixed(row.key.video.0) ^ row.key.second.get().unsigned_abs());
    rows.iter().map(hash).fold(0, u64::wrapping_add)
}

/// The same of rows that cannot be placed. A text that says nothing of its own, or that comes more than once, tells no row from another.
fn print_of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    texts.into_iter().for_each(|text| *times.entry(text).or_default() += 1);
    let told_apart = times.into_iter().filter(|(text, times)| *times == 1 && says_something(text));
    told_apart.map(|(text, _)| mixed(mixed(VideoKey::of(text).0))).fold(0, u64::wrapping_add)
}

/// The finisher of SplitMix64: every bit of the number counts for every bit of the result.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn outside_doubt(question: &PageQuery, rows: usize, outside: &[&Candidate<'_>]) -> String {
    let bound = |bound: Option<EpochSeconds>| bound.map_or_else(|| "any time".to_owned(), |second| second.to_string());
    let seen = outside.first().map(|row| row.key.second.to_string()).unwrap_or_default();
    format!(
        "{} of its {rows} rows lie outside the asked time, from {} to {}; the first of them is of {seen}",
        outside.len(),
        bound(question.min_create_time),
        bound(question.max_create_time),
    )
}

/// Why a row whose time contradicts the question is kept apart: its true time is unknown.
fn astray(second: EpochSeconds) -> String {
    format!("`create_time` {second} lies outside what was asked, so it cannot be believed")
}

#[cfg(test)]
mod tests;
