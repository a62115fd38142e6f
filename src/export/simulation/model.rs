//! The service, as a model: it knows the truth, and behaves as it is told.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::behaviour::{Behaviour, Limit, Other, PastCap, Short, Sort, Ties, Trouble};
use crate::api::contract::{PageQuery, Region, SOURCE, TimeOrder};
use crate::plan::answer::{Candidate, Tied, tie_rows};
use crate::plan::fact::{RowKey, VideoKey};
use crate::plan::planner::Task;
use crate::units::{EpochSeconds, PageNumber, TimeRange};

mod bucket;
mod cache;
mod drift;
mod spoilt;

use bucket::Bucket;
use cache::Cache;

/// Rows that a page holds.
const PLACES: usize = SOURCE.page_size as usize;
/// Rows that a page leaves out at its end.
const LEFT_OUT: usize = 2;

/// What a row shows of its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shown {
    /// Its second.
    Right,
    /// Nothing usable.
    Garbage,
    /// Another second.
    Wrong(i64),
}

/// A row of the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) second: i64,
    pub(super) id: u64,
    pub(super) shown: Shown,
    /// Whether it was there from the start.
    pub(super) is_first: bool,
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The rows of a page: those that are usable and all ids, in order.
    Page { rows: Vec<RowKey>, ids: Vec<u64>, region: Region },
    /// 400 or 404.
    Refused,
    /// 403.
    Forbidden,
    /// A 5xx, a timeout, a cut body.
    Broken,
    /// 429, and what `Retry-After` says.
    Throttled(Option<Duration>),
}

/// The service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) behaviour: Behaviour,
    pub(super) regions: Vec<(Region, Vec<Row>)>,
    /// Requests that were let in.
    pub(super) requests: u64,
    /// Requests that were answered with 429.
    pub(super) throttled: u64,
    bucket: Bucket,
    soft_bucket: Bucket,
    /// The moment that it is asked at.
    pub(super) now: Duration,
    pub(super) deleted: BTreeSet<u64>,
    pub(super) inserted: u64,
    /// Rows that any answer has shown that arrived.
    shown: BTreeSet<u64>,
    random: StdRng,
    /// Which answers are those to another question: a sequence of its own.
    others: StdRng,
    asked_before: Option<PageQuery>,
    cached: Cache,
    next_id: u64,
}

impl Service {
    pub(super) fn new(behaviour: Behaviour, regions: Vec<(Region, Vec<i64>)>, seed: u64) -> Self {
        let mut next_id = 1;
        let mut table = |mut seconds: Vec<i64>| {
            seconds.sort_unstable();
            let ids = next_id..;
            next_id += seconds.len() as u64;
            seconds
                .into_iter()
                .zip(ids)
                .map(|(second, id)| Row { second, id, shown: Shown::Right, is_first: true })
                .collect()
        };
        let regions = regions.into_iter().map(|(region, seconds)| (region, table(seconds))).collect();
        let random = StdRng::seed_from_u64(seed);
        let (others, asked_before) = (StdRng::seed_from_u64(seed ^ 0x07_4e5), None);
        let full =
            |limit: Option<Limit>| Bucket { tokens: limit.map_or(0.0, |limit| limit.burst), filled_at: Duration::ZERO };
        let (bucket, soft_bucket) = (full(behaviour.limit), full(behaviour.soft_limit));
        let (deleted, shown) = (BTreeSet::new(), BTreeSet::new());
        Self {
            behaviour,
            regions,
            requests: 0,
            throttled: 0,
            bucket,
            soft_bucket,
            now: Duration::ZERO,
            deleted,
            inserted: 0,
            shown,
            random,
            others,
            asked_before,
            cached: Cache::default(),
            next_id,
        }
    }

    /// From the start on it takes no more than this.
    pub(super) fn limit(&mut self, limit: Limit) {
        self.behaviour.limit = Some(limit);
        self.bucket.tokens = limit.burst;
    }

    /// Whether a request at `now` is let in.
    ///
    /// # Errors
    /// What `Retry-After` says, where it is answered with 429.
    pub(super) fn admits(&mut self, now: Duration) -> Result<(), Option<Duration>> {
        let is_closed = self.behaviour.closed.contains(&(self.requests + self.throttled));
        let limit = self.behaviour.limit;
        if !is_closed && limit.is_none_or(|limit| self.bucket.take(limit, now)) {
            return Ok(());
        }
        self.throttled += 1;
        Err(limit.and_then(|limit| limit.retry_after))
    }

    /// Whether the page that is asked to see whether the service is well holds a poisoned second: then nobody can tell that
    /// from a service that is unwell.
    pub(super) fn is_poisoned_at_the_end(&self) -> bool {
        let ends = |rows: &[Row]| rows.iter().rev().take(PLACES).map(|row| row.second).collect::<Vec<_>>();
        let mut last = self.regions.iter().flat_map(|(_, rows)| ends(rows));
        last.any(|second| self.behaviour.poison.contains(&second))
    }

    /// The rows that were there from the start to the end and that the service can show.
    pub(super) fn unchanged(&self) -> impl Iterator<Item = (&Region, &Row)> {
        let rows = self.regions.iter().flat_map(|(region, rows)| rows.iter().map(move |row| (region, row)));
        rows.filter(|(_, row)| row.is_first && !self.is_filtered(row))
    }

    /// Whether the row stands on the last page of what can be asked for and no answer has shown it: that page may be short, so
    /// nothing tells that a row was left out of it.
    pub(super) fn is_never_shown(&self, region: &Region, row: &Row, range: TimeRange) -> bool {
        let Some((_, rows)) = self.regions.iter().find(|(of, _)| of == region) else { return false };
        let end = rows.partition_point(|row| row.second < range.end.get());
        let last = rows.get(end.saturating_sub(PLACES)..end).unwrap_or_default();
        let hides = matches!(self.behaviour.short, Short::AtTheEnd(_) | Short::Anywhere(_));
        hides && !self.shown.contains(&row.id) && last.iter().any(|last| last.id == row.id)
    }

    /// Whether no answer has shown the row, and its second holds another that is never shown, while ties come in fresh order: the other may have
    /// taken its place on one page and left its own on the next, and nothing tells the two from each other.
    pub(super) fn is_hidden_by_a_twin(&self, region: &Region, row: &Row) -> bool {
        if self.behaviour.ties != Ties::Fresh || self.shown.contains(&row.id) {
            return false;
        }
        let Some((_, rows)) = self.regions.iter().find(|(of, _)| of == region) else { return false };
        let ties = rows.iter().filter(|other| other.second == row.second);
        let (twins, others): (Vec<&Row>, Vec<&Row>) = ties.partition(|other| self.is_filtered(other));
        let unseen = others.iter().filter(|other| !self.shown.contains(&other.id)).count();
        unseen <= twins.len()
    }

    /// An answer with these rows has arrived.
    pub(super) fn arrived(&mut self, ids: &[u64]) {
        self.shown.extend(ids);
    }

    fn is_filtered(&self, row: &Row) -> bool {
        matches!(self.behaviour.short, Short::Filtered(every) if mix(row.id).is_multiple_of(every))
    }

    pub(super) fn answer(&mut self, query: &PageQuery) -> Answer {
        self.requests += 1;
        self.drift(query);
        let trouble = self.trouble();
        let Some(Trouble::Cached(unkeyed, seconds)) = trouble else { return self.own_answer(query, trouble) };
        if let Some(answer) = self.cached.get(query, unkeyed, self.now) {
            return answer;
        }
        let answer = self.own_answer(query, trouble);
        self.cached.keep(query, &answer, self.now + Duration::from_secs(seconds));
        answer
    }

    /// What the service itself answers.
    fn own_answer(&mut self, query: &PageQuery, trouble: Option<Trouble>) -> Answer {
        let query = &self.taken(query);
        let behaviour = &self.behaviour;
        if self.random.random::<f64>() < behaviour.flaky || behaviour.outage.contains(&self.requests) {
            return Answer::Broken;
        }
        let clamped = behaviour.past_cap == PastCap::LastPageAgain;
        let page = if clamped { query.page.get().min(behaviour.cap) } else { query.page.get() };
        if page > behaviour.cap {
            return match behaviour.past_cap {
                PastCap::Refused => Answer::Refused,
                PastCap::Forbidden => Answer::Forbidden,
                PastCap::Broken => Answer::Broken,
                PastCap::Empty | PastCap::LastPageAgain => nothing(query),
            };
        }
        if matches!(trouble, Some(Trouble::LaterFail(from)) if page >= from) {
            return Answer::Broken;
        }
        let falsely_empty = self.random.random::<f64>() < behaviour.falsely_empty;
        let places = if let Some(Trouble::FewerPlaces(places, _)) = trouble { places } else { PLACES };
        let rows = self.page(query, (page, places));
        if rows.iter().any(|row| self.behaviour.poison.contains(&row.second)) {
            return Answer::Broken;
        }
        if falsely_empty || trouble == Some(Trouble::Empty) || self.is_too_fast() {
            return nothing(query);
        }
        let mut rows = self.shortened(query, rows);
        if let Some(trouble) = trouble {
            spoilt::spoil(&mut rows, trouble);
        }
        let ids = rows.iter().map(|row| row.id).collect();
        Answer::Page { ids, rows: rows.iter().filter_map(Row::key).collect(), region: query.region.clone() }
    }

    fn trouble(&self) -> Option<Trouble> {
        let (when, trouble) = self.behaviour.trouble.as_ref()?;
        (when.contains(&self.now) && trouble.is_on(self.now.saturating_sub(when.start))).then_some(*trouble)
    }

    fn is_too_fast(&mut self) -> bool {
        let now = self.now;
        self.behaviour.soft_limit.is_some_and(|limit| !self.soft_bucket.take(limit, now))
    }

    /// The question as it is taken: another one, where the behaviour says so.
    fn taken(&mut self, asked: &PageQuery) -> PageQuery {
        let mut taken = asked.clone();
        if self.behaviour.answers_the_same {
            taken.page = PageNumber::FIRST;
            (taken.min_create_time, taken.max_create_time, taken.order) = (None, None, TimeOrder::OldestFirst);
        }
        let rounded = self.behaviour.min_rounded_to;
        taken.min_create_time = taken.min_create_time.map(|min| min.shifted(-min.get().rem_euclid(rounded)));
        let before = self.asked_before.replace(asked.clone());
        let always = match self.trouble() {
            Some(Trouble::Another(other)) => Some((1.0, other)),
            _ => None,
        };
        let Some((share, other)) = always.or(self.behaviour.another) else { return taken };
        if self.others.random::<f64>() >= share {
            return taken;
        }
        match other {
            Other::Region => {
                let here = self.regions.iter().position(|(region, _)| *region == taken.region).unwrap_or(0);
                taken.region = self.regions[(here + 1) % self.regions.len()].0.clone();
            }
            Other::Time => (taken.min_create_time, taken.max_create_time) = (None, None),
            Other::NextPage => taken.page = taken.page.next().unwrap_or(taken.page),
            Other::Stale => taken = before.unwrap_or(taken),
        }
        taken
    }

    fn page(&mut self, query: &PageQuery, (page, size): (u32, usize)) -> Vec<Row> {
        let tie_seed: u64 = self.random.random();
        let behaviour = &self.behaviour;
        let Some((_, rows)) = self.regions.iter().find(|(region, _)| *region == query.region) else { return vec![] };
        let starts = |row: &Row| {
            let min = query.min_create_time.map(EpochSeconds::get);
            min.is_none_or(|min| row.second > min || (behaviour.min_inclusive && row.second == min))
        };
        let ends = |row: &Row| {
            let max = query.max_create_time.map(EpochSeconds::get);
            max.is_none_or(|max| row.second < max || (behaviour.max_inclusive && row.second == max))
        };
        let low = rows.partition_point(|row| !starts(row));
        let high = rows.partition_point(ends).max(low);
        let all = &rows[low..high];
        let skip = match (behaviour.counts_rows, behaviour.counts_from_zero) {
            (true, _) => page as usize,
            (_, true) => page as usize * size,
            _ => (page as usize - 1) * size,
        };
        let descends = match behaviour.sort {
            Sort::Honoured => query.order == TimeOrder::NewestFirst,
            Sort::AlwaysAscending => false,
            Sort::AlwaysDescending => true,
            Sort::Ignored => {
                let mut mixed = all.to_vec();
                mixed.sort_by_key(|row| mix(row.id));
                return mixed.into_iter().skip(skip).take(size).collect();
            }
        };
        let in_order: Vec<usize> = (skip..(skip + size).min(all.len().max(skip))).collect();
        let at = |place: usize| if descends { all.len() - 1 - place } else { place };
        let picked = in_order.into_iter().map(at);
        match behaviour.ties {
            Ties::Mirrored => picked.map(|index| all[index]).collect(),
            Ties::Stable if !descends => picked.map(|index| all[index]).collect(),
            Ties::Stable => picked.map(|index| tied(all, index, |row| u64::MAX - row.id)).collect(),
            Ties::Fresh => picked.map(|index| tied(all, index, |row| mix(row.id ^ tie_seed))).collect(),
        }
    }

    fn shortened(&mut self, query: &PageQuery, mut rows: Vec<Row>) -> Vec<Row> {
        let page_hash = mix(
            query.min_create_time.map_or(0, EpochSeconds::get).unsigned_abs() ^ (u64::from(query.page.get()) << 40)
        );
        match self.behaviour.short {
            Short::Never => {}
            Short::Filtered(every) => rows.retain(|row| !mix(row.id).is_multiple_of(every)),
            Short::AtTheEnd(every) if page_hash.is_multiple_of(every) => {
                rows.truncate(rows.len().saturating_sub(LEFT_OUT).max(1))
            }
            Short::Anywhere(every) if self.random.random_range(0..every) == 0 && rows.len() > 1 => {
                rows.remove(self.random.random_range(0..rows.len()));
            }
            Short::AtTheEnd(_) | Short::Anywhere(_) => {}
        }
        rows
    }
}

impl Row {
    fn key(&self) -> Option<RowKey> {
        let second = match self.shown {
            Shown::Right => self.second,
            Shown::Wrong(second) => second,
            Shown::Garbage => return None,
        };
        Some(RowKey { second: EpochSeconds::new(second), video: VideoKey(self.id) })
    }
}

fn nothing(query: &PageQuery) -> Answer {
    Answer::Page { rows: vec![], ids: vec![], region: query.region.clone() }
}

/// The row at `index` if the rows of its second stood in the order of `key`.
fn tied(all: &[Row], index: usize, key: impl Fn(&Row) -> u64) -> Row {
    let second = all[index].second;
    let low = all.partition_point(|row| row.second < second);
    let high = all.partition_point(|row| row.second <= second);
    if high - low == 1 {
        return all[index];
    }
    let mut ties = all[low..high].to_vec();
    ties.sort_unstable_by_key(key);
    ties[index - low]
}

/// A number that has nothing to do with its argument's order.
pub(super) fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The rows of an answer, tied to their question as the program ties them.
pub(super) fn tied_to(task: &Task, (rows, ids): (&[RowKey], &[u64]), region: &Region) -> Tied {
    let rows: Vec<Candidate<'_>> = rows
        .iter()
        .zip(0..)
        .map(|(key, index)| Candidate { index, key: *key, region: Some(region.as_str()) })
        .collect();
    let is_placed = |id: &&u64| rows.iter().any(|row| row.key.video.0 == **id);
    let texts: Vec<String> = ids.iter().filter(|id| !is_placed(id)).map(|id| format!("{{\"n\":{id:08}}}")).collect();
    let tied = tie_rows(&task.query, task.expected, &rows, texts.iter().map(String::as_str));
    if ids.is_empty() { tied.empty(task.expected) } else { tied }
}

/// The range that the rows of all scenarios are laid into.
pub(super) fn range_of(start: i64, seconds: i64) -> TimeRange {
    TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(start + seconds))
}
