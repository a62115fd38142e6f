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

use std::collections::BTreeMap;

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
    /// What the plan learns from: the rows that were asked for; where all lie outside the asked time, those.
    pub rows: Vec<RowKey>,
    /// The places of the rows that the sink delivers.
    pub delivered: Vec<u32>,
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
    let tied = tie_rows(question, expected.habit, &rows, unplaced);
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
    habit: RegionHabit,
    rows: &[Candidate<'_>],
    unplaced: impl IntoIterator<Item = &'a str>,
) -> Tied {
    let (inside, outside): (Vec<&Candidate<'_>>, Vec<_>) =
        rows.iter().partition(|row| is_asked(question, row.key.second));
    let print = print(rows).wrapping_add(print_of_texts(unplaced));
    let mut check = Check { outside: count(outside.len()), print, ..count_regions(question, rows) };
    let is_foreign = check.own_region == 0 && check.other_region > 0;
    let is_outside = outside.len() > inside.len();
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
        _ if is_outside => Some(Doubt::AnotherQuestion(outside_doubt(question, rows.len(), &outside))),
        RegionHabit::Own if is_foreign => Some(of_region(Doubt::AnotherQuestion)),
        RegionHabit::Unknown if is_foreign => Some(of_region(Doubt::UnknownRegion)),
        _ => None,
    };
    let kept = |rows: &[&Candidate<'_>]| rows.iter().map(|row| row.key).collect();
    let (believed, delivered) = match check.standing {
        Standing::OtherRegion => (Vec::new(), Vec::new()),
        _ if inside.is_empty() => (kept(&outside), Vec::new()),
        _ => (kept(&inside), inside.iter().map(|row| row.index).collect()),
    };
    // A whole page outside is other time, which other questions ask for; a few such rows are wrong dates.
    let apart = if check.is_astray() { &[][..] } else { &outside };
    let set_aside = apart.iter().map(|row| (row.index, astray(row.key.second))).collect();
    Tied { rows: believed, delivered, set_aside, check, doubt }
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
mod tests {
    use super::*;
    use crate::api::contract::{Filters, TimeOrder};
    use crate::units::PageNumber;

    /// Seconds 100 to 200 of US, oldest first.
    fn question() -> PageQuery {
        PageQuery {
            region: "US".parse().unwrap(),
            filters: Filters::default(),
            min_create_time: Some(EpochSeconds::new(100)),
            max_create_time: Some(EpochSeconds::new(200)),
            order: TimeOrder::OldestFirst,
            page: PageNumber::FIRST,
        }
    }

    fn tied(habit: RegionHabit, rows: &[(i64, Option<&str>)]) -> Tied {
        let candidate = |(&(second, region), index)| {
            let key = RowKey { second: EpochSeconds::new(second), video: VideoKey(u64::from(index) + 1) };
            Candidate { index, key, region }
        };
        tie_rows(&question(), habit, &rows.iter().zip(0..).map(candidate).collect::<Vec<_>>(), [])
    }

    fn of_times(seconds: &[i64]) -> Tied {
        tied(RegionHabit::Own, &seconds.iter().map(|second| (*second, Some("US"))).collect::<Vec<_>>())
    }

    fn of_regions(habit: RegionHabit, regions: &[&'static str]) -> Tied {
        let rows: Vec<_> = regions.iter().zip(100..).map(|(region, second)| (second, Some(*region))).collect();
        tied(habit, &rows)
    }

    #[test]
    fn rows_within_the_bounds_in_their_widest_meaning_are_delivered() {
        let tied = of_times(&[100, 150, 200]);
        assert_eq!((tied.delivered, tied.set_aside, tied.doubt), (vec![0, 1, 2], vec![], None));
        assert_eq!((tied.check.standing, tied.check.own_region), (Standing::Answers, 3));
    }

    #[test]
    fn single_rows_outside_are_kept_apart_and_prove_nothing() {
        let tied = of_times(&[100, 7, 200]);
        assert_eq!((tied.rows.len(), tied.delivered, tied.doubt), (2, vec![0, 2], None));
        let why = "`create_time` 1970-01-01T00:00:07Z lies outside what was asked, so it cannot be believed";
        assert_eq!(tied.set_aside, [(1, why.to_owned())]);
    }

    #[test]
    fn a_page_mostly_outside_is_doubted_and_what_lies_inside_is_kept_where_it_stays_so() {
        let tied = of_times(&[97, 98, 100]);
        assert_eq!((tied.rows.len(), tied.delivered, tied.set_aside.len()), (1, vec![2], 2));
        let why = "the answer is that to another question: 2 of its 3 rows lie outside the asked time, from \
                   1970-01-01T00:01:40Z to 1970-01-01T00:03:20Z; the first of them is of 1970-01-01T00:01:37Z";
        assert_eq!(tied.doubt.map(|doubt| doubt.to_string()).as_deref(), Some(why));
    }

    #[test]
    fn a_page_wholly_outside_is_the_evidence_of_that_and_nothing_of_it_is_delivered() {
        let many = of_times(&[1, 2, 3, 4, 5]);
        assert_eq!((many.check.standing, many.rows.len(), many.delivered.len()), (Standing::Outside, 5, 0));
        assert!(many.doubt.is_some() && many.set_aside.is_empty());
        // Fewer may be wrong dates, so that they are kept.
        let few = of_times(&[1, 2, 3, 4]);
        assert_eq!((few.check.standing, few.set_aside.len(), few.delivered.len()), (Standing::Answers, 4, 0));
    }

    #[test]
    fn a_page_of_another_region_is_doubted_until_the_region_is_known_to_be_something_else() {
        let foreign = ["GB", "GB", "GB"];
        let standing = |habit| of_regions(habit, &foreign).check.standing;
        assert_eq!(standing(RegionHabit::Own), Standing::OtherRegion);
        assert_eq!(standing(RegionHabit::Unknown), Standing::Answers);
        assert!(of_regions(RegionHabit::Own, &foreign).rows.is_empty());
        assert_eq!(
            of_regions(RegionHabit::Unknown, &foreign).doubt.map(|doubt| doubt.to_string()).as_deref(),
            Some("the answer is that to another question: its rows are of region GB, and US was asked")
        );
        let other = of_regions(RegionHabit::Another, &foreign);
        assert_eq!((other.doubt, other.delivered), (None, vec![0, 1, 2]));
    }

    #[test]
    fn single_rows_of_another_region_are_delivered_and_counted() {
        let mixed = of_regions(RegionHabit::Own, &["GB", "us", "GB", "GB"]);
        assert_eq!((mixed.doubt, mixed.delivered.len()), (None, 4));
        assert_eq!((mixed.check.own_region, mixed.check.other_region), (1, 3));
        // One row alone may be such a row: the page is asked again, and delivered where it stays so.
        let alone = of_regions(RegionHabit::Own, &["GB"]);
        assert_eq!((alone.doubt.is_some(), alone.delivered), (true, vec![0]));
    }

    #[test]
    fn rows_that_name_no_region_say_nothing() {
        let tied = tied(RegionHabit::Own, &[(100, None), (101, None), (102, None)]);
        assert_eq!((tied.doubt, tied.delivered.len()), (None, 3));
    }

    #[test]
    fn an_empty_answer_is_doubted_where_a_row_is_known_that_it_should_show() {
        let due = Some(EpochSeconds::new(150));
        let empty = |row| {
            tied(RegionHabit::Own, &[]).empty(Expected { habit: RegionHabit::Own, row, is_unplaced: false }).doubt
        };
        assert_eq!((empty(None), empty(due)), (None, Some(Doubt::KnownRowMissing(EpochSeconds::new(150)))));
    }

    #[test]
    fn the_print_is_that_of_the_rows_in_any_order() {
        let print = |rows: &[(i64, u64)]| {
            let row = |&(second, id): &(i64, u64)| {
                let key = RowKey { second: EpochSeconds::new(second), video: VideoKey(id) };
                Candidate { index: 0, key, region: None }
            };
            super::print(&rows.iter().map(row).collect::<Vec<_>>())
        };
        assert_eq!(print(&[(1, 7), (2, 8)]), print(&[(2, 8), (1, 7)]));
        assert_ne!(print(&[(1, 7), (2, 8)]), print(&[(1, 7), (2, 9)]));
        assert_eq!(print(&[]), 0);
    }

    /// A last page of rows that nobody can place, which came again in place of every page beyond it, was another page each time: 80 such rows, and
    /// the run was refused with 6.
    #[test]
    fn the_print_holds_the_rows_that_cannot_be_placed_where_they_tell_themselves_apart() {
        let page = |texts: &[&str]| {
            let row = |text: &&str| Row::Unusable { why: String::new(), text: (*text).to_owned() };
            let answer = PageAnswer { rows: texts.iter().map(row).collect(), ..PageAnswer::default() };
            tie(&question(), Expected::default(), &answer).check.print
        };
        let (one, other) = (r#"{"create_time":1764547200}"#, r#"{"create_time":1764547201}"#);
        assert_eq!(page(&[one, other, "null"]), page(&["null", other, one]));
        assert_ne!(page(&[one]), page(&[other]));
        assert_ne!(page(&[one]), 0);
        // Pages of rows that are all alike are not one page for that.
        assert_eq!((page(&[]), page(&["null"]), page(&["{}", "[]"]), page(&[one, one])), (0, 0, 0, 0));
    }

    /// Ids that are made of their second alone once gave every page the same print, and the run was refused with 6.
    #[test]
    fn pages_of_other_rows_have_other_prints_also_where_ids_hold_their_seconds() {
        let page_from = |first: u64| {
            let rows: Vec<Candidate<'_>> = (first..first + 10)
                .zip(0..)
                .map(|(second, index)| {
                    let at = EpochSeconds::new(i64::try_from(second).unwrap());
                    Candidate { index, key: RowKey { second: at, video: VideoKey((second << 32) + 7) }, region: None }
                })
                .collect();
            (print(&rows), print(&rows.into_iter().rev().collect::<Vec<_>>()))
        };
        let prints: std::collections::BTreeSet<u64> =
            (0..1_000).map(|page| page_from(1_764_547_200 + page).0).collect();
        assert_eq!(prints.len(), 1_000);
        let (forwards, backwards) = page_from(1_764_547_200);
        assert_eq!(forwards, backwards, "the order is no matter");
    }
}
