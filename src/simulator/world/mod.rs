//! The rows that the service has, and the truth about them.
//!
//! A row is eight bytes; its texts and counts are hashes of seed and serial number, told on demand. So a world of
//! millions is small, and the same on every machine. Only drift changes it.

mod density;
mod moment;
mod odd;
mod row;
mod rows;
mod words;

use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

pub(super) use rows::{Direction, Row, Selection, SortKey, Ties};
use serde::Serialize;

use self::odd::Nature;
use self::row::Teller;
use self::rows::{Judge, RegionRows};
use crate::api::contract::{Filters, Region};
use crate::simulator::chance::{Dice, Purpose, hash_text};
use crate::simulator::settings::{ShortPages, SimulatorSettings};
use crate::units::{EpochSeconds, RowCount, TimeRange};

/// Slots in which a short page loses one.
const GHOST_BLOCK: u32 = 10;
/// The stretch at the world's end in which late rows appear, seconds.
const LATE_STRETCH: u64 = 3_600;

/// One row of the truth.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TruthRow {
    /// The row's `create_time`.
    #[serde(rename = "create_time")]
    pub second: EpochSeconds,
    /// The row's `video_id`, as text.
    pub video_id: String,
    /// Whether it was there all the time.
    pub presence: Presence,
}

/// Whether a row existed during the whole life of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// From the start until now: an export must hold it.
    Always,
    /// It appeared while the service ran: an export may hold it.
    Appeared,
    /// It vanished while the service ran: an export may hold it.
    Vanished,
}

/// All regions of the service.
pub struct World {
    settings: SimulatorSettings,
    regions: Vec<RegionWorld>,
    drift: Mutex<DriftDone>,
}

struct RegionWorld {
    region: Region,
    teller: Teller,
    /// Generated when the region is first asked for.
    rows: OnceLock<RwLock<RegionRows>>,
}

/// How far drift has come.
#[derive(Default)]
struct DriftDone {
    inserts: u64,
    deletes: u64,
    late_rows: u64,
    shows_all: bool,
}

impl World {
    /// The world of these settings. No row is made before its region is asked for.
    pub fn new(settings: &SimulatorSettings) -> Self {
        let rows = u64::from(settings.world.rows);
        let tell = |region: &Region| RegionWorld {
            region: region.clone(),
            teller: Teller {
                seed: settings.seed,
                salt: hash_text(region.as_str()),
                region: region.to_string(),
                start: settings.world.from.0,
                as_of: settings.world.as_of.map(|moment| moment.0),
                users: rows / 12 + 1,
                products: rows / 400 + 8,
            },
            rows: OnceLock::new(),
        };
        let regions = settings.world.regions.iter().map(tell).collect();
        Self { settings: settings.clone(), regions, drift: Mutex::default() }
    }

    /// The seconds that may hold rows.
    pub fn range(&self) -> TimeRange {
        self.settings.world.range()
    }

    /// Every row with a usable identity that passes `filters` in `range`, by second and id, including rows that appeared
    /// or vanished while the service ran. An unknown region has none.
    pub fn truth(&self, region: &Region, filters: &Filters, range: TimeRange) -> Vec<TruthRow> {
        let Some(place) = self.region(region.as_str()) else { return Vec::new() };
        self.with_rows(place, |rows| {
            let hidden = rows.hidden().iter().filter(|row| range.contains(self.second(**row)));
            let here = rows.within(&self.offsets(range)).iter().chain(hidden).map(|row| match rows.is_late(*row) {
                false => (*row, Presence::Always),
                true => (*row, Presence::Appeared),
            });
            let gone = rows.deleted().iter().filter(|row| range.contains(self.second(**row)));
            let all = here.chain(gone.map(|row| (*row, Presence::Vanished)));
            let sound = all.filter(|(row, _)| self.is_served_as(place, *row, filters, Nature::Sound));
            let mut truth: Vec<TruthRow> = sound.map(|(row, presence)| self.truth_row(place, row, presence)).collect();
            truth.sort_unstable();
            truth
        })
    }

    /// How many rows that pass `filters` in `range` have no usable `video_id` or `create_time` now.
    pub fn garbage_rows(&self, region: &Region, filters: &Filters, range: TimeRange) -> RowCount {
        self.count(region, filters, range, Nature::Garbage)
    }

    /// How many rows that pass `filters` in `range` claim a `create_time` outside the world now.
    pub fn wrong_dates(&self, region: &Region, filters: &Filters, range: TimeRange) -> RowCount {
        self.count(region, filters, range, Nature::WrongDate)
    }

    /// How many slots the pages of this query have now: sound, garbage and filtered ones. The fewest requests that can
    /// read them all are this by ten, rounded up.
    pub fn slots(&self, region: &Region, filters: &Filters, range: TimeRange) -> RowCount {
        let offsets = self.offsets(range);
        let selection =
            Selection { filters: filters.clone(), offsets, sort: SortKey::Time, direction: Direction::Ascending };
        let Some(place) = self.region(region.as_str()) else { return RowCount::ZERO };
        RowCount::new(self.prepared(place, &selection, |rows| rows.slots(&selection)) as u64)
    }

    /// The JSON text of the row with this id exactly as it is served, odd values included; none where there is no such
    /// row. A vanished row is still known.
    pub fn row_json(&self, region: &Region, video_id: &str) -> Option<String> {
        let place = self.region(region.as_str())?;
        let (second, serial) = place.teller.row_of(video_id.parse().ok()?);
        let offset = u32::try_from(second.since(self.range().start)).ok()?;
        let row = Row { offset, serial };
        self.with_rows(place, |rows| rows.knows(row)).then(|| {
            let mut out = String::new();
            self.write_row(region.as_str(), row, &mut out);
            out
        })
    }

    /// The rows in `slots` of a query, filtered ones included; none for an unknown region.
    pub(super) fn page(&self, region: &str, query: (&Selection, Ties), slots: std::ops::Range<u64>) -> Vec<Row> {
        let Some(place) = self.region(region) else { return Vec::new() };
        let (selection, ties) = query;
        self.prepared(place, selection, |rows| rows.page(selection, slots, ties))
    }

    /// Writes the row's JSON as it is served.
    pub(super) fn write_row(&self, region: &str, row: Row, out: &mut String) {
        if let Some(place) = self.region(region) {
            let fields = place.teller.fields(self.second(row), row.serial);
            odd::write_row(&self.settings.odd, fields, self.odd_key(place, row), out);
        }
    }

    /// Whether the service drops the row after paging, for everyone.
    pub(super) fn is_ghost(&self, region: &str, row: Row) -> bool {
        self.region(region).is_some_and(|place| self.haunts(place, row))
    }

    /// The row's `create_time`.
    pub(super) fn second(&self, row: Row) -> EpochSeconds {
        self.range().start.shifted(i64::from(row.offset))
    }

    /// The offsets of the seconds in `range` that lie inside the world.
    pub(super) fn offsets(&self, range: TimeRange) -> std::ops::Range<u32> {
        let offset = |second: EpochSeconds| second.since(self.range().start).clamp(0, self.range().seconds()) as u32;
        offset(range.start)..offset(range.end)
    }

    /// Makes the changes that are due once `requests` have been admitted.
    pub(super) fn advance(&self, requests: u64) {
        let drift = &self.settings.drift;
        let late_due = if requests > drift.late_after_requests { u64::from(drift.late_rows) } else { 0 };
        let due = |per_1000: f64| (requests as f64 * per_1000 / 1_000.0) as u64;
        let (inserts, deletes) = (due(drift.inserts_per_1000), due(drift.deletes_per_1000));
        let shows_all = drift.hidden > 0.0 && requests > drift.hidden_for_requests;
        if inserts + deletes + late_due == 0 && !shows_all {
            return;
        }
        let seconds = self.seconds_so_far();
        if seconds == 0 {
            return;
        }
        let mut done = self.drift.lock().unwrap_or_else(PoisonError::into_inner);
        if shows_all && !done.shows_all {
            let rows = |place| self.rows(place).write().unwrap_or_else(PoisonError::into_inner);
            self.regions.iter().for_each(|place| rows(place).show());
            done.shows_all = true;
        }
        while done.late_rows < late_due {
            let key = (3 << 60) | done.late_rows;
            let stretch = seconds.min(LATE_STRETCH);
            let places = self.regions.iter();
            places.for_each(|place| self.insert(place, (key, seconds - stretch), stretch));
            done.late_rows += 1;
        }
        while done.inserts < inserts {
            let key = (1 << 60) | done.inserts;
            self.drift_region(key).into_iter().for_each(|place| self.insert(place, (key, 0), seconds));
            done.inserts += 1;
        }
        while done.deletes < deletes {
            let key = (2 << 60) | done.deletes;
            self.drift_region(key).into_iter().for_each(|place| self.delete(place, key));
            done.deletes += 1;
        }
    }

    /// How many of the world's seconds have come at its moment.
    fn seconds_so_far(&self) -> u64 {
        let range = self.range();
        let until = self.settings.world.as_of.map_or(range.end, |moment| range.end.min(moment.0.shifted(1)));
        u64::try_from(until.since(range.start)).unwrap_or(0)
    }

    fn drift_region(&self, key: u64) -> Option<&RegionWorld> {
        let number = Dice::new(self.settings.seed, Purpose::Drift, key).below(self.regions.len() as u64);
        self.regions.get(number as usize)
    }

    fn insert(&self, place: &RegionWorld, (key, start): (u64, u64), length: u64) {
        let offset = start + Dice::new(self.settings.seed ^ place.teller.salt, Purpose::Drift, key).below(length);
        let mut rows = self.rows(place).write().unwrap_or_else(PoisonError::into_inner);
        rows.insert(offset as u32, &place.teller);
    }

    fn delete(&self, place: &RegionWorld, key: u64) {
        let mut dice = Dice::new(self.settings.seed ^ place.teller.salt, Purpose::Drift, key);
        let mut rows = self.rows(place).write().unwrap_or_else(PoisonError::into_inner);
        rows.delete(|count| dice.below(count));
    }

    fn count(&self, region: &Region, filters: &Filters, range: TimeRange, nature: Nature) -> RowCount {
        let Some(place) = self.region(region.as_str()) else { return RowCount::ZERO };
        self.with_rows(place, |rows| {
            let rows = rows.within(&self.offsets(range)).iter();
            RowCount::new(rows.filter(|row| self.is_served_as(place, **row, filters, nature)).count() as u64)
        })
    }

    fn is_served_as(&self, place: &RegionWorld, row: Row, filters: &Filters, nature: Nature) -> bool {
        let (seed, key) = self.odd_key(place, row);
        !self.haunts(place, row)
            && place.teller.passes(row.serial, filters)
            && odd::nature(&self.settings.odd, seed, key) == nature
    }

    fn truth_row(&self, place: &RegionWorld, row: Row, presence: Presence) -> TruthRow {
        let second = self.second(row);
        TruthRow { second, video_id: place.teller.video_id(second, row.serial).to_string(), presence }
    }

    /// Of every ten neighbours at most one is a ghost, and exactly one where every page is to be short.
    fn haunts(&self, place: &RegionWorld, row: Row) -> bool {
        let contract = &self.settings.contract;
        if contract.short_pages != ShortPages::Filtered {
            return false;
        }
        if contract.short_fraction >= 1.0 {
            return row.serial % GHOST_BLOCK == GHOST_BLOCK - 1;
        }
        let block = u64::from(row.serial / GHOST_BLOCK);
        let mut dice = Dice::new(self.settings.seed ^ place.teller.salt, Purpose::Ghost, block);
        dice.hits(contract.short_fraction) && dice.below(u64::from(GHOST_BLOCK)) == u64::from(row.serial % GHOST_BLOCK)
    }

    fn odd_key(&self, place: &RegionWorld, row: Row) -> (u64, u64) {
        (self.settings.seed ^ place.teller.salt, u64::from(row.serial))
    }

    fn region(&self, region: &str) -> Option<&RegionWorld> {
        self.regions.iter().find(|place| place.region.as_str() == region)
    }

    fn rows<'a>(&self, place: &'a RegionWorld) -> &'a RwLock<RegionRows> {
        let make = || density::offsets(&self.settings.world, self.settings.seed, place.teller.salt);
        place.rows.get_or_init(|| {
            let mut rows = RegionRows::new(&make());
            rows.keep(|row| place.teller.holds(row));
            rows.hide(|row| self.is_hidden(place, row));
            RwLock::new(rows)
        })
    }

    /// Whether the service keeps a row to itself at first.
    fn is_hidden(&self, place: &RegionWorld, row: Row) -> bool {
        let drift = &self.settings.drift;
        let block = u64::from(row.serial / drift.hidden_in_a_row);
        let key = (4 << 60) | block;
        drift.hidden > 0.0 && Dice::new(self.settings.seed ^ place.teller.salt, Purpose::Drift, key).hits(drift.hidden)
    }

    fn with_rows<T>(&self, place: &RegionWorld, read: impl FnOnce(&RegionRows) -> T) -> T {
        read(&self.rows(place).read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads under a shared lock where the selection is ready, else prepares it first under an exclusive one.
    fn prepared<T>(&self, place: &RegionWorld, selection: &Selection, read: impl FnOnce(&RegionRows) -> T) -> T {
        let lock = self.rows(place);
        let rows = lock.read().unwrap_or_else(PoisonError::into_inner);
        if rows.is_ready(selection) {
            return read(&rows);
        }
        drop(rows);
        let mut rows = lock.write().unwrap_or_else(PoisonError::into_inner);
        rows.prepare(selection, &place.teller);
        read(&rows)
    }
}

impl Judge for Teller {
    fn passes(&self, row: Row, filters: &Filters) -> bool {
        self.passes(row.serial, filters)
    }

    fn rank(&self, row: Row, sort: SortKey) -> i64 {
        match sort {
            SortKey::Time => i64::from(row.offset),
            SortKey::Likes => self.popularity(self.second(row), row.serial).1,
            SortKey::Views => self.popularity(self.second(row), row.serial).0,
            SortKey::Arbitrary => {
                (Dice::new(self.seed ^ self.salt, Purpose::Arrangement, u64::from(row.serial)).next() >> 1) as i64
            }
        }
    }
}
