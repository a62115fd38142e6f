//! Small worlds: a few rows, a few requests, and everything that a service may do to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::evidence::observation::{Observation, Series, Turn};
use crate::plan::evidence::premise::{Certificate, Premise};
use crate::plan::fact::{Purpose, RowKey, VideoKey, WindowId};
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// Seconds of a world: rows have the keys 0 up to, not including, this.
pub(super) const SECONDS: i64 = 3;

/// What a row looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// It takes a place and is never shown: a free slot that hides nothing.
    Free,
    /// It takes a place and is never shown, though it is owed: a free slot that hides a row.
    Hidden,
    /// It is shown without a usable time.
    Unplaced,
}

/// A row: the service sorts by `key` and shows `shown`. It is there from the request `comes` up to before the request `goes`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) key: i64,
    pub(super) shown: i64,
    pub(super) kind: Kind,
    pub(super) comes: usize,
    pub(super) goes: usize,
}

impl Row {
    pub(super) fn plain(key: i64) -> Self {
        Self { key, shown: key, kind: Kind::Plain, comes: 0, goes: usize::MAX }
    }
}

/// What is wrong with one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// No row at all, though some are there: for a while, or always.
    Empty,
    AlwaysEmpty,
    /// As if these rows, by index, were not there: for a while.
    Poor(BTreeSet<usize>),
    /// This place of the page is left out.
    Hides(usize),
    /// The last row of the list comes first.
    Disorder,
}

/// One list that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) is_newest_first: bool,
    pub(super) min: i64,
    pub(super) end: i64,
    /// Its bounds are not honoured: its first row never comes.
    pub(super) lacks_first: bool,
}

/// One request; requests are answered in the order of the scenario, and each at a moment of its own.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) list: usize,
    pub(super) page: u32,
    pub(super) at: i64,
    pub(super) fault: Fault,
    /// The place of each row among those of its second; as they are numbered where the service's order is stable.
    pub(super) ties: Vec<usize>,
}

impl Request {
    pub(super) fn plain(list: usize, page: u32, at: i64) -> Self {
        Self { list, page, at, fault: Fault::None, ties: Vec::new() }
    }
}

/// A world and what is asked of it.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) rows: Vec<Row>,
    pub(super) lists: Vec<List>,
    pub(super) requests: Vec<Request>,
    /// The last page that the service serves.
    pub(super) cap: u32,
    pub(super) page_size: usize,
    pub(super) confirm_after: i64,
}

impl Scenario {
    /// The rows that hold the places of a page, shown or not, by the index of its request.
    fn places(&self, index: usize) -> Vec<usize> {
        let request = &self.requests[index];
        let list = self.lists[request.list];
        let tie = |row: usize| request.ties.get(row).copied().unwrap_or(row);
        let mut rows: Vec<usize> = (0..self.rows.len()).filter(|row| self.is_listed(*row, list, index)).collect();
        rows.sort_by_key(|row| (self.rows[*row].key, tie(*row)));
        if list.is_newest_first {
            rows.reverse();
        }
        if list.lacks_first && !rows.is_empty() {
            rows.remove(0);
        }
        if request.fault == Fault::Disorder && !rows.is_empty() {
            rows.rotate_right(1);
        }
        let is_empty = matches!(request.fault, Fault::Empty | Fault::AlwaysEmpty) || request.page > self.cap;
        let from = self.page_size * (request.page as usize - 1);
        rows.into_iter().skip(if is_empty { usize::MAX } else { from }).take(self.page_size).collect()
    }

    /// What the service answers to a request, by its index.
    pub(super) fn answer(&self, index: usize) -> Observation {
        let request = &self.requests[index];
        let list = self.lists[request.list];
        let page = self.places(index);
        let is_hidden = |place: usize| matches!(request.fault, Fault::Hides(hidden) if hidden == place);
        let shown = page.iter().enumerate().filter(|(place, _)| !is_hidden(*place)).map(|(_, row)| *row);
        let shown: Vec<usize> =
            shown.filter(|row| !matches!(self.rows[*row].kind, Kind::Free | Kind::Hidden)).collect();
        let is_placed = |row: &&usize| self.rows[**row].kind == Kind::Plain;
        let before =
            self.requests[..index].iter().any(|other| other.list == request.list && other.page + 1 == request.page);
        Observation {
            series: Series {
                region: "US".parse().unwrap(),
                purpose: Purpose::Walk { window: WindowId(0), scan: u32::try_from(request.list).unwrap() },
                question: 1,
                is_newest_first: list.is_newest_first,
                sure: TimeRange::new(EpochSeconds::new(list.min), EpochSeconds::new(list.end)),
            },
            page: PageNumber::new(request.page).unwrap(),
            turn: if before || request.page == 1 { Turn::InTurn } else { Turn::Early },
            made: EpochSeconds::new(request.at),
            rows: shown.iter().filter(is_placed).map(|row| self.row_key(*row)).collect(),
            unplaced: shown.iter().filter(|row| self.rows[**row].kind == Kind::Unplaced).count() as u32,
        }
    }

    /// All answers.
    pub(super) fn answers(&self) -> Vec<Observation> {
        (0..self.requests.len()).map(|index| self.answer(index)).collect()
    }

    fn row_key(&self, row: usize) -> RowKey {
        RowKey { second: EpochSeconds::new(self.rows[row].shown), video: VideoKey(row as u64) }
    }

    fn is_listed(&self, row: usize, list: List, at: usize) -> bool {
        let Row { key, comes, goes, .. } = self.rows[row];
        let is_lost = matches!(&self.requests[at].fault, Fault::Poor(lost) if lost.contains(&row));
        comes <= at && at < goes && list.min <= key && key < list.end && !is_lost
    }

    /// The rows of a second that were there throughout. One of a wrong date is owed by none.
    pub(super) fn owed(&self, second: i64) -> BTreeSet<VideoKey> {
        let is_row = |row: &Row| matches!(row.kind, Kind::Plain | Kind::Hidden);
        let is_owed = |row: &Row| is_row(row) && row.key == second && row.shown == second && row.comes == 0;
        let rows = self.rows.iter().enumerate().filter(|(_, row)| is_owed(row) && row.goes >= self.requests.len());
        rows.map(|(row, _)| VideoKey(row as u64)).collect()
    }

    /// Whether a premise of a certificate holds in this world.
    pub(super) fn holds(&self, premise: Premise, certificate: &Certificate) -> bool {
        let at: BTreeMap<i64, usize> =
            self.requests.iter().enumerate().map(|(index, request)| (request.at, index)).collect();
        let used: Vec<usize> = certificate.observations.iter().map(|(made, _)| at[&made.get()]).collect();
        let (first, last) = (*used.iter().min().unwrap(), *used.iter().max().unwrap());
        let faults = || used.iter().map(|index| &self.requests[*index].fault);
        let is_meanwhile = |moment: usize| first < moment && moment <= last;
        match premise {
            Premise::Order => faults().all(|fault| *fault != Fault::Disorder),
            Premise::Bounds => used.iter().all(|index| !self.lists[self.requests[*index].list].lacks_first),
            Premise::Dates => certificate.dated.iter().all(|group| group.iter().any(|video| self.is_right(*video))),
            Premise::NoDeletion => !self.rows.iter().any(|row| is_meanwhile(row.goes)),
            Premise::NoInsertion => !self.rows.iter().any(|row| is_meanwhile(row.comes)),
            Premise::EmptyIsEnd => {
                // The service's last page deceives one witness, trouble another: both at once is more than two witnesses exclude.
                let is_troubled = faults().any(|fault| matches!(fault, Fault::Empty | Fault::Poor(_)));
                used.iter().all(|index| !self.is_false_end(*index, is_troubled))
            }
            Premise::StableTies | Premise::MirroredTies => used.iter().all(|index| self.is_canonical(*index)),
            Premise::ShortHidesNothing => {
                let hides = |index: &usize| self.places(*index).iter().any(|row| self.rows[*row].kind == Kind::Hidden);
                !used.iter().any(hides) && faults().all(|fault| !matches!(fault, Fault::Hides(_)))
            }
            Premise::AnswersWhole => {
                // Where an end has two witnesses, one of them may be wrong for a while.
                let tolerates = certificate.premises.contains(&Premise::TroublePasses);
                faults().all(|fault| !matches!(fault, Fault::Poor(_)) && (tolerates || *fault != Fault::Empty))
            }
            Premise::TroublePasses => {
                let is_trouble = |request: &&Request| matches!(request.fault, Fault::Empty | Fault::Poor(_));
                let moments = || self.requests.iter().filter(is_trouble).map(|request| request.at);
                moments().max().unwrap_or(0) - moments().min().unwrap_or(0) < self.confirm_after
            }
        }
    }

    /// Whether a page is empty though the list goes on, and not for a while; whether one beyond the service's last counts.
    fn is_false_end(&self, index: usize, counts_cap: bool) -> bool {
        let request = &self.requests[index];
        let list = self.lists[request.list];
        let rows = (0..self.rows.len()).filter(|row| self.is_listed(*row, list, index)).count();
        let goes_on = rows > self.page_size * (request.page as usize - 1) + usize::from(list.lacks_first);
        goes_on
            && request.fault != Fault::Empty
            && (counts_cap || request.page <= self.cap)
            && self.answer(index).is_empty()
    }

    fn is_right(&self, video: VideoKey) -> bool {
        let row = self.rows[video.0 as usize];
        row.key == row.shown
    }

    fn is_canonical(&self, index: usize) -> bool {
        let mut stable = self.clone();
        stable.requests[index].ties = Vec::new();
        self.answer(index).rows == stable.answer(index).rows
    }
}
