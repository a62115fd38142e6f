//! Pages of which no row could be placed, and what came of their seconds since.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Row;

use super::error::JournalError;
use super::job::{address_text, purpose_from};
use super::reader::Reader;
use crate::api::contract::Region;
use crate::plan::fact::UNPLACED_ROWS;
use crate::plan::fact::{PageAddress, Purpose, WindowId};
use crate::units::{EpochSeconds, PageNumber};

/// Such pages that are looked at: a service that answers more of them has other troubles.
const MOST_PAGES: u32 = 10_000;

/// A page of which no row could be placed, whose seconds another page has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownSince {
    /// The page, as rejected rows name it.
    pub page: String,
    /// Its region.
    pub region: Region,
    /// Where its walk stood.
    pub position: EpochSeconds,
}

/// A scan of a window.
type List = (WindowId, u32);

/// Seconds of which a page, or several that follow each other, show all.
#[derive(Clone)]
struct Shows {
    region: Region,
    from: EpochSeconds,
    last: EpochSeconds,
}

/// One page of the run.
struct Page {
    address: PageAddress,
    position: EpochSeconds,
    /// Its first and last second; none where it has no row.
    span: Option<(EpochSeconds, EpochSeconds)>,
}

impl Reader {
    /// The pages of the current run of which no row could be placed and whose seconds another page of a walk has shown. Only walks
    /// deliver: what another page holds comes on one of theirs as well.
    pub(super) fn shown_since(&self) -> Result<Vec<ShownSince>, JournalError> {
        let unplaced = self.pages_where(&format!(
            "first IS NULL AND standing = 'answers' AND slots >= {UNPLACED_ROWS} LIMIT {MOST_PAGES}"
        ))?;
        if unplaced.is_empty() {
            return Ok(Vec::new());
        }
        let is_of_walk = |page: &Page| matches!(page.address.purpose, Purpose::Walk { .. });
        let (walked, beside): (Vec<Page>, Vec<Page>) = unplaced.into_iter().partition(is_of_walk);
        let mut shown = Vec::new();
        let others = self.pages_where("first IS NOT NULL AND purpose = 'walk'")?;
        let mut open = follow(walked, &others);
        let broken: BTreeSet<List> = open.values().flatten().filter_map(Page::list).collect();
        let mut lists: BTreeMap<List, Shows> = BTreeMap::new();
        for other in others {
            let (Some(list), Some(shows)) = (other.list(), other.shows()) else { continue };
            if broken.contains(&list) {
                take_shown(&mut open, &shows, Some(list), &mut shown);
                continue;
            }
            // Each of its pages goes on from the one before.
            let all = lists.entry(list).or_insert_with(|| shows.clone());
            (all.from, all.last) = (all.from.min(shows.from), all.last.max(shows.last));
        }
        lists.values().for_each(|shows| take_shown(&mut open, shows, None, &mut shown));
        // A row that such a page of a walk holds as well is kept with whichever came first.
        let is_open = |page: &Page| open.keys().any(|(region, _)| *region == page.address.region);
        shown.extend(beside.into_iter().filter(|page| !is_open(page)));
        let told = |page: Page| ShownSince {
            page: address_text(&page.address),
            region: page.address.region,
            position: page.position,
        };
        Ok(shown.into_iter().map(told).collect())
    }

    fn pages_where(&self, condition: &str) -> Result<Vec<Page>, JournalError> {
        let failed = self.failed("looking for pages without a usable row");
        let sql = format!(
            "SELECT region, purpose, window, scan, page, position, first, last FROM pages \
             WHERE run = (SELECT max(number) FROM runs) AND {condition}"
        );
        let mut statement = self.connection.prepare(&sql).map_err(&failed)?;
        let read = |row: &Row<'_>| {
            let (region, purpose): (String, String) = (row.get(0)?, row.get(1)?);
            let address = (|| {
                let purpose = purpose_from(&purpose, row.get(2).ok()?, row.get(3).ok()?)?;
                let page = PageNumber::new(row.get(4).ok()?).ok()?;
                Some(PageAddress { region: Region::try_from(region).ok()?, purpose, page })
            })();
            let second = |at: usize| row.get::<_, Option<i64>>(at).map(|second| second.map(EpochSeconds::new));
            let position = EpochSeconds::new(row.get(5)?);
            let span = second(6)?.zip(second(7)?);
            Ok(address.map(|address| Page { address, position, span }))
        };
        let pages = statement.query_map([], read).map_err(&failed)?;
        pages.filter_map(Result::transpose).collect::<rusqlite::Result<_>>().map_err(failed)
    }
}

impl Page {
    fn list(&self) -> Option<List> {
        match self.address.purpose {
            Purpose::Walk { window, scan } => Some((window, scan)),
            _ => None,
        }
    }

    /// What it shows whole: a scan's first page all from where it was asked on.
    fn shows(&self) -> Option<Shows> {
        let (first, last) = self.span?;
        let is_first = self.address.page == PageNumber::FIRST;
        let from = if is_first { first.min(self.position.shifted(-1)) } else { first };
        Some(Shows { region: self.address.region.clone(), from, last })
    }
}

/// Pages by their region and the second that they follow.
type Open = BTreeMap<(Region, EpochSeconds), Vec<Page>>;

/// By the second that they follow: what stands before a page of a list lies before what is on it, and where its walk stood may lie before that.
fn follow(unplaced: Vec<Page>, others: &[Page]) -> Open {
    let mut lasts: BTreeMap<List, BTreeMap<PageNumber, EpochSeconds>> =
        unplaced.iter().filter_map(|page| Some((page.list()?, BTreeMap::new()))).collect();
    for other in others {
        let last = other.list().and_then(|list| lasts.get_mut(&list)).zip(other.span);
        last.and_then(|(lasts, (_, last))| lasts.insert(other.address.page, last));
    }
    let mut open = Open::new();
    for page in unplaced {
        let before =
            page.list().and_then(|list| lasts.get(&list)?.range(..page.address.page).map(|(_, last)| *last).max());
        let from = before.map_or(page.position, |last| last.max(page.position));
        open.entry((page.address.region.clone(), from)).or_default().push(page);
    }
    open
}

/// Takes what these seconds show out of what is open: of pages of other lists, since of its own a page follows what is open. They may
/// have come before it, where a walk read again what was known.
fn take_shown(open: &mut Open, shows: &Shows, list: Option<List>, shown: &mut Vec<Page>) {
    let Shows { region, from, last } = shows;
    for (_, pages) in open.range_mut((region.clone(), *from)..(region.clone(), *last.max(from))) {
        shown.extend(pages.extract_if(.., |page| list.is_none() || page.list() != list));
    }
    open.retain(|_, pages| !pages.is_empty());
}
