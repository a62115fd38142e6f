//! Where a part lies below the output folder, and how time is cut so that a part lies in one place.
//!
//! ```text
//! data / query_region=US / [snapshot=2026-01-08 /] date=2026-01-01 / part-<from>-<to>-<run>.parquet
//! data / query_region=US / [snapshot=2026-01-08 /] month=2026-01   / part-<from>-<to>-<run>.parquet
//! data / query_region=US / [snapshot=2026-01-08 /] part-<from>-<to>-<run>.parquet
//! ```
//! [`DATA`] is the root of the table: it holds parts and nothing else, so a reader may be given the folder. `<from>` and `<to>`
//! are the half-open range of the slice, as `20260101T000000Z`. In a bucket the name goes on with the first 16 digits of the file's
//! SHA-256, `…-<run>.<digest>.parquet`, so that no two files ever share a name. No level is called like a column, because some readers fail
//! where one is: so the level is `query_region`, beside the columns `region` and `_query_region`. Pure.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::api::contract::Region;
use crate::units::{DAY_SECONDS, EpochSeconds, TimeRange};

pub use crate::choices::Partition;

/// The folder of the table, below the output folder. What the output says of itself lies beside it.
pub const DATA: &str = "data";
/// The longest name of a run that a file name takes.
const RUN_CHARACTERS: usize = 64;

impl Partition {
    /// The folder that holds `second`; none where there are no such folders.
    pub fn partition_value(self, second: EpochSeconds) -> Option<String> {
        let date = date_of(second);
        match self {
            Self::Day => Some(format!("date={date}")),
            Self::Month => Some(format!("month={}", date.strftime("%Y-%m"))),
            Self::None => None,
        }
    }

    /// The first second after the folder that holds `second`; [`EpochSeconds::MAX`] where there are no folders.
    pub fn partition_end(self, second: EpochSeconds) -> EpochSeconds {
        match self {
            Self::Day => second.day_start().shifted(DAY_SECONDS),
            Self::Month => month_end(second).unwrap_or(EpochSeconds::MAX),
            Self::None => EpochSeconds::MAX,
        }
    }

    /// The first second of the folder that holds `second`; `second` itself where there are no folders.
    pub fn partition_start(self, second: EpochSeconds) -> EpochSeconds {
        match self {
            Self::Day => second.day_start(),
            Self::Month => second_of(date_of(second).first_of_month()).unwrap_or(second),
            Self::None => second,
        }
    }

    /// `range` in pieces that each lie in one folder, in order; nothing where it is empty.
    pub fn cut(self, range: TimeRange) -> Vec<TimeRange> {
        let mut pieces = Vec::new();
        let mut rest = range;
        while !rest.is_empty() {
            let end = self.partition_end(rest.start);
            let end = if end > rest.start { end.min(rest.end) } else { rest.end };
            pieces.push(TimeRange::new(rest.start, end));
            rest.start = end;
        }
        pieces
    }
}

/// A level of the folders, which readers take for a column of their rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: LevelKind,
    /// What it means, for a person.
    pub meaning: &'static str,
}

/// What the values of a level are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelKind {
    /// Text.
    Text,
    /// A day.
    Date,
}

const REGION_LEVEL: Level =
    Level { name: "query_region", kind: LevelKind::Text, meaning: "the region that was asked for, as a folder" };
const SNAPSHOT_LEVEL: Level =
    Level { name: "snapshot", kind: LevelKind::Date, meaning: "the day of the run that read the row, as a folder" };
const DAY_LEVEL: Level =
    Level { name: "date", kind: LevelKind::Date, meaning: "the day of create_time in UTC, as a folder" };
const MONTH_LEVEL: Level =
    Level { name: "month", kind: LevelKind::Text, meaning: "the month of create_time in UTC, as a folder" };

impl Level {
    /// The level of this name; none where there is no such level.
    pub fn named(name: &str) -> Option<Self> {
        [REGION_LEVEL, SNAPSHOT_LEVEL, DAY_LEVEL, MONTH_LEVEL].into_iter().find(|level| level.name == name)
    }
}

impl Partition {
    /// The levels of the folders, from the outermost; `has_snapshots` where each run has a folder of its own.
    pub fn levels(self, has_snapshots: bool) -> Vec<Level> {
        let stretch = match self {
            Self::Day => Some(DAY_LEVEL),
            Self::Month => Some(MONTH_LEVEL),
            Self::None => None,
        };
        [Some(REGION_LEVEL), has_snapshots.then_some(SNAPSHOT_LEVEL), stretch].into_iter().flatten().collect()
    }
}

fn date_of(second: EpochSeconds) -> Date {
    let moment = Timestamp::from_second(second.get());
    moment.unwrap_or(if second.get() < 0 { Timestamp::MIN } else { Timestamp::MAX }).to_zoned(TimeZone::UTC).date()
}

fn month_end(second: EpochSeconds) -> Option<EpochSeconds> {
    let next = date_of(second).first_of_month().checked_add(1.month()).ok()?;
    second_of(next)
}

fn second_of(date: Date) -> Option<EpochSeconds> {
    date.to_zoned(TimeZone::UTC).ok().map(|midnight| EpochSeconds::new(midnight.timestamp().as_second()))
}

/// A finished stretch of time, to be written as one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The queried region.
    pub region: Region,
    /// The seconds that the part holds whole.
    pub range: TimeRange,
    /// The run that writes it.
    pub run: String,
}

/// Where parts go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// How the output is cut into folders.
    pub partition: Partition,
    /// Where history is kept: any second of the day that names this snapshot.
    pub snapshot: Option<EpochSeconds>,
}

/// A slice that has no place.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// It holds no second.
    #[error("the slice {0} is empty")]
    Empty(TimeRange),
    /// Its seconds belong to several folders.
    #[error("the slice {range} crosses from one {partition} into another")]
    Crosses {
        /// Its seconds.
        range: TimeRange,
        /// How the output is cut.
        partition: Partition,
    },
    /// The run's name cannot stand in a file name.
    #[error("the run `{0}` is not a name of 1 to {RUN_CHARACTERS} letters, digits, `-` or `_`")]
    Run(String),
}

impl Layout {
    /// The slice's path below the output folder, with `/` between its levels.
    ///
    /// # Errors
    /// Where the slice is empty, crosses into another folder, or its run's name cannot stand in a file name.
    pub fn path(&self, slice: &Slice) -> Result<String, LayoutError> {
        let Slice { region, range, run } = slice;
        if range.is_empty() {
            return Err(LayoutError::Empty(*range));
        }
        if self.partition.partition_end(range.start) < range.end {
            return Err(LayoutError::Crosses { range: *range, partition: self.partition });
        }
        if run.is_empty() || run.len() > RUN_CHARACTERS || !run.bytes().all(names_a_run) {
            return Err(LayoutError::Run(run.clone()));
        }
        let levels = [
            Some(DATA.to_owned()),
            Some(format!("query_region={region}")),
            self.snapshot.map(|second| format!("{SNAPSHOT}{}", date_of(second))),
            self.partition.partition_value(range.start),
            Some(format!("part-{}-{}-{run}{PARQUET}", stamp(range.start), stamp(range.end))),
        ];
        Ok(levels.into_iter().flatten().collect::<Vec<_>>().join("/"))
    }

    /// Whether some layout gives `slice` this path.
    pub fn explains(path: &str, slice: &Slice) -> bool {
        let (snapshot, path) = (snapshot_second(path), without_digest(path));
        [Partition::Day, Partition::Month, Partition::None]
            .into_iter()
            .any(|partition| Self { partition, snapshot }.path(slice).is_ok_and(|expected| expected == path))
    }
}

/// How a part's name tells a moment.
const STAMP: &str = "%Y%m%dT%H%M%SZ";
/// How the name of a part ends.
const PARQUET: &str = ".parquet";
/// Digits of a file's SHA-256 in its name.
const DIGEST_DIGITS: usize = 16;

/// The path of a part in a bucket: that of its slice, with the beginning of its SHA-256.
pub fn with_digest(path: &str, sha256: &str) -> String {
    let digest = sha256.get(..DIGEST_DIGITS).unwrap_or(sha256);
    format!("{}.{digest}{PARQUET}", path.strip_suffix(PARQUET).unwrap_or(path))
}

fn without_digest(path: &str) -> String {
    let is_digest = |digest: &str| {
        digest.len() == DIGEST_DIGITS && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match path.strip_suffix(PARQUET).and_then(|stem| stem.rsplit_once('.')) {
        Some((stem, digest)) if is_digest(digest) => format!("{stem}{PARQUET}"),
        _ => path.to_owned(),
    }
}

/// Whether a path, whatever somebody has written, is of a file below the table's folder.
pub fn lies_in_the_table(path: &str) -> bool {
    let is_level = |level: &str| !matches!(level, "" | "." | "..") && !level.contains(['\\', '\0']);
    path.strip_prefix(DATA).and_then(|rest| rest.strip_prefix('/')).is_some_and(|rest| rest.split('/').all(is_level))
}

/// The slice whose path this is; none where it is no part's.
pub fn slice_of(path: &str) -> Option<Slice> {
    let plain = without_digest(path);
    let region = plain.split('/').find_map(|level| level.strip_prefix("query_region="))?.parse().ok()?;
    let (_, name) = plain.strip_suffix(PARQUET)?.rsplit_once("/part-")?;
    let mut words = name.splitn(3, '-');
    let (start, end, run) = (second_of_stamp(words.next()?)?, second_of_stamp(words.next()?)?, words.next()?);
    let slice = Slice { region, range: TimeRange::new(start, end), run: run.to_owned() };
    Layout::explains(path, &slice).then_some(slice)
}

fn second_of_stamp(stamp: &str) -> Option<EpochSeconds> {
    let moment = jiff::civil::DateTime::strptime(STAMP, stamp).ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(EpochSeconds::new(moment.timestamp().as_second()))
}

/// Whether a part's name says that this run wrote it.
pub fn is_of_run(path: &str, run: &str) -> bool {
    without_digest(path).ends_with(&format!("-{run}{PARQUET}"))
}

/// How a folder's name begins that holds a snapshot.
pub(super) const SNAPSHOT: &str = "snapshot=";

/// The day of the snapshot that a part's path names.
pub fn snapshot_of(path: &str) -> Option<&str> {
    path.split('/').find_map(|level| level.strip_prefix(SNAPSHOT))
}

/// Whether two parts, by their paths, are of the same snapshot, or both of none.
pub fn are_of_one_snapshot(one: &str, other: &str) -> bool {
    snapshot_of(one) == snapshot_of(other)
}

/// A second of that day.
pub fn snapshot_second(path: &str) -> Option<EpochSeconds> {
    snapshot_of(path).and_then(|day| day.parse().ok()).and_then(second_of)
}

const fn names_a_run(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn stamp(second: EpochSeconds) -> String {
    match Timestamp::from_second(second.get()) {
        Ok(moment) => moment.strftime(STAMP).to_string(),
        Err(_) => second.get().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-01-01T00:00:00Z.
    const NEW_YEAR: i64 = 1_767_225_600;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    fn slice(range: TimeRange) -> Slice {
        Slice { region: "US".parse().unwrap(), range, run: "r1".to_owned() }
    }

    #[test]
    fn a_path_names_region_folder_and_range() {
        let day = slice(range(NEW_YEAR, NEW_YEAR + DAY_SECONDS));
        let path = |partition, snapshot| Layout { partition, snapshot }.path(&day).unwrap();
        let name = "part-20260101T000000Z-20260102T000000Z-r1.parquet";
        assert_eq!(path(Partition::Day, None), format!("data/query_region=US/date=2026-01-01/{name}"));
        assert_eq!(path(Partition::Month, None), format!("data/query_region=US/month=2026-01/{name}"));
        assert_eq!(path(Partition::None, None), format!("data/query_region=US/{name}"));
        let later = Some(EpochSeconds::new(NEW_YEAR + 7 * DAY_SECONDS + 5));
        assert_eq!(
            path(Partition::Day, later),
            format!("data/query_region=US/snapshot=2026-01-08/date=2026-01-01/{name}")
        );
        for (partition, snapshot) in [(Partition::Day, None), (Partition::Month, later), (Partition::None, later)] {
            assert!(Layout::explains(&path(partition, snapshot), &day));
        }
        assert!(!Layout::explains(&path(Partition::Day, None), &slice(range(NEW_YEAR, NEW_YEAR + 1))));
    }

    #[test]
    fn a_name_with_a_digest_is_that_of_the_same_slice() {
        let day = slice(range(NEW_YEAR, NEW_YEAR + DAY_SECONDS));
        let path = Layout::default().path(&day).unwrap();
        let named = with_digest(&path, "0123456789abcdef0123456789abcdef");
        assert!(named.ends_with("-r1.0123456789abcdef.parquet"), "{named}");
        assert!(Layout::explains(&named, &day) && is_of_run(&named, "r1") && is_of_run(&path, "r1"));
        let odd = named.replace("cdef.", "cdeg.");
        assert!(!Layout::explains(&odd, &day) && !is_of_run(&odd, "r1") && !is_of_run(&named, "r2"));
    }

    #[test]
    fn a_slice_that_has_no_place_says_why() {
        let text = |slice: &Slice| Layout::default().path(slice).unwrap_err().to_string();
        let crossing = slice(range(NEW_YEAR - 1, NEW_YEAR + 1));
        assert_eq!(
            text(&crossing),
            "the slice [2025-12-31T23:59:59Z, 2026-01-01T00:00:01Z) crosses from one day into another"
        );
        assert!(Layout { partition: Partition::None, snapshot: None }.path(&crossing).is_ok());
        assert!(text(&slice(range(5, 5))).ends_with("is empty"));
        let climbing = Slice { run: "../x".to_owned(), ..slice(range(5, 6)) };
        assert!(text(&climbing).starts_with("the run `../x` is not a name"));
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let end = Partition::Month.partition_end(EpochSeconds::new(NEW_YEAR + 5));
        assert_eq!(end.to_string(), "2026-02-01T00:00:00Z");
        let december = Partition::Month.partition_end(EpochSeconds::new(NEW_YEAR - 1));
        assert_eq!(december.get(), NEW_YEAR);
    }

    #[test]
    fn a_partition_is_spelled_the_same_everywhere() {
        for partition in [Partition::Day, Partition::Month, Partition::None] {
            assert_eq!(partition.to_string().parse::<Partition>().unwrap(), partition);
            assert_eq!(serde_json::to_string(&partition).unwrap(), format!("\"{partition}\""));
        }
        assert_eq!("week".parse::<Partition>().unwrap_err().to_string(), "`week` is not one of day, month, none");
    }

    proptest! {
        #[test]
        fn cuts_cover_a_range_once_and_stay_in_one_folder(
            start in 0..4_000_000_000_i64,
            seconds in 0..40_000_000_i64,
            partition in prop::sample::select(vec![Partition::Day, Partition::Month, Partition::None]),
        ) {
            let whole = range(start, start + seconds);
            let pieces = partition.cut(whole);
            let mut next = whole.start;
            for piece in &pieces {
                prop_assert_eq!(piece.start, next);
                prop_assert!(!piece.is_empty());
                let last = piece.end.shifted(-1);
                prop_assert_eq!(partition.partition_value(piece.start), partition.partition_value(last));
                next = piece.end;
            }
            prop_assert_eq!(next, whole.end);
        }

        #[test]
        fn a_path_tells_its_slice(
            start in 0..4_000_000_000_i64,
            snapshot in prop::option::of(0..4_000_000_000_i64),
            run in "[a-z0-9][a-z0-9_-]{0,20}",
        ) {
            let slice = Slice { region: "US".parse().unwrap(), range: range(start, start + 1), run };
            let layout = Layout { partition: Partition::Month, snapshot: snapshot.map(EpochSeconds::new) };
            let path = layout.path(&slice).unwrap();
            prop_assert!(lies_in_the_table(&path));
            prop_assert_eq!(slice_of(&path), Some(slice.clone()));
            prop_assert_eq!(slice_of(&with_digest(&path, "0123456789abcdef00")), Some(slice));
            prop_assert_eq!(slice_of(&path.replace("month=", "month=1")), None);
        }
    }
}
