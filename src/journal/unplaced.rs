//! Pages of which rows could not be placed, and what came of their seconds since.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Row;

use super::error::JournalError;
use super::job::{address_text, purpose_from};
use super::reader::Reader;
use super::schema::BETWEEN_PAGES;
use crate::api::contract::Region;
use crate::plan::fact::UNPLACED_ROWS;
use crate::plan::fact::{PageAddress, Purpose, WindowId};
use crate::units::{EpochSeconds, PageNumber};

/// Such pages that are looked at: a service that answers more of them has other troubles.
const MOST_PAGES: u32 = 10_000;

/// A page of which rows could not be placed, whose seconds another page has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownSince {
    /// The page, as rejected rows name it.
    pub page: String,
    /// Its region.
    pub region: Region,
    /// Where its walk stood.
    pub position: EpochSeconds,
}

/// Where pages with rejected rows stand to the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Those whose seconds another page has shown.
    pub pages: Vec<ShownSince>,
    /// Regions in which a page held a row outside what was asked whose seconds none has.
    pub open: BTreeSet<Region>,
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
    /// Whether it held rows outside what was asked.
    has_outside: bool,
}

impl Reader {
    /// The pages of the current run of which rows could not be placed and whose seconds another page of a walk has shown. Only walks
    /// deliver: what another page holds comes on one of theirs as well.
    pub(super) fn shown_since(&self) -> Result<Shown, JournalError> {
        let unplaced = self.pages_where(&format!(
            "first IS NULL AND standing = 'answers' AND slots >= {UNPLACED_ROWS} LIMIT {MOST_PAGES}"
        ))?;
        let rejecting = self.pages_with_rejected_rows()?;
        if unplaced.is_empty() && rejecting.as_ref().is_none_or(BTreeSet::is_empty) {
            return Ok(Shown::default());
        }
        let is_of_walk = |page: &Page| matches!(page.address.purpose, Purpose::Walk { .. });
        let (walked, beside): (Vec<Page>, Vec<Page>) = unplaced.into_iter().partition(is_of_walk);
        let mut shown = Vec::new();
        let others = self.pages_where("first IS NOT NULL AND purpose = 'walk'")?;
        let (around, odd) =
            rejecting.map_or_else(|| (Vec::new(), others.iter().collect()), |odd| shown_around(&odd, &others));
        let of = |page: &Page| page.address.region.clone();
        let still_open = odd.iter().filter(|page| page.has_outside).map(|page| of(page)).collect();
        let odd: BTreeSet<Region> = odd.iter().map(|page| of(page)).chain(walked.iter().map(of)).collect();
        let mut told: Vec<ShownSince> = around.into_iter().map(ShownSince::of).collect();
        // Where walks have shown all, they have shown what stood on a page beside them.
        let asked_beside = self.pages_where("first IS NOT NULL AND purpose <> 'walk'")?;
        told.extend(asked_beside.iter().filter(|page| !odd.contains(&page.address.region)).map(ShownSince::of));
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
        told.extend(shown.iter().map(ShownSince::of));
        Ok(Shown { pages: told, open: still_open })
    }

    /// The addresses of the current run's pages that rejected rows came on; none where there are too many.
    fn pages_with_rejected_rows(&self) -> Result<Option<BTreeSet<String>>, JournalError> {
        let failed = self.failed("looking for pages with rejected rows");
        let sql = format!("SELECT page FROM rejected WHERE run = (SELECT max(number) FROM runs) LIMIT {MOST_PAGES}");
        let mut statement = self.connection.prepare(&sql).map_err(&failed)?;
        let pages = statement.query_map([], |row| row.get::<_, String>(0)).map_err(&failed)?;
        let pages: Vec<String> = pages.collect::<rusqlite::Result<_>>().map_err(failed)?;
        let all = pages.iter().flat_map(|pages| pages.split(BETWEEN_PAGES)).map(ToOwned::to_owned).collect();
        Ok(Some(all).filter(|_| pages.len() < MOST_PAGES as usize))
    }

    fn pages_where(&self, condition: &str) -> Result<Vec<Page>, JournalError> {
        let failed = self.failed("looking for pages without a usable row");
        let sql = format!(
            "SELECT region, purpose, window, scan, page, position, first, last, outside FROM pages \
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
            let has_outside = row.get::<_, i64>(8)? > 0;
            Ok(address.map(|address| Page { address, position, span, has_outside }))
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

impl ShownSince {
    fn of(page: &Page) -> Self {
        Self { page: address_text(&page.address), region: page.address.region.clone(), position: page.position }
    }
}

/// The pages of walks with rejected rows beside others: those around which another list has shown all, and the rest. Of such a list no page has a
/// rejected row, and it reaches from a second before the page to one behind it.
fn shown_around<'a>(rejecting: &BTreeSet<String>, others: &'a [Page]) -> (Vec<&'a Page>, Vec<&'a Page>) {
    let mut lists: BTreeMap<List, Option<Shows>> = BTreeMap::new();
    let mut odd = Vec::new();
    for page in others {
        let (Some(list), Some(shows)) = (page.list(), page.shows()) else { continue };
        let is_odd = page.has_outside || rejecting.contains(&address_text(&page.address));
        odd.extend(is_odd.then_some(page));
        let all = lists.entry(list).or_insert_with(|| Some(shows.clone()));
        // Each of its pages goes on from the one before.
        *all = all.take().filter(|_| !is_odd).map(|all| Shows {
            from: all.from.min(shows.from),
            last: all.last.max(shows.last),
            region: all.region,
        });
    }
    let clean: Vec<Shows> = lists.into_values().flatten().collect();
    let mut newest: BTreeMap<&Region, EpochSeconds> = BTreeMap::new();
    for (page, (_, last)) in others.iter().filter_map(|page| Some((page, page.span?))) {
        let newest = newest.entry(&page.address.region).or_insert(last);
        *newest = last.max(*newest);
    }
    odd.into_iter().partition(|page| {
        let (first, last) = page.span.unwrap_or((page.position, page.position));
        // Nothing stands behind a region's last page.
        let is_last = newest.get(&page.address.region) == Some(&last);
        let reaches = |shows: &Shows| shows.last > last || (is_last && shows.last == last);
        let is_around = |shows: &&Shows| shows.from <= page.position.min(first) && reaches(shows);
        clean.iter().filter(is_around).any(|shows| shows.region == page.address.region)
    })
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
