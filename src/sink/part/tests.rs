//! What a part holds, in which order and encoding, and what its pages let readers skip.

use std::fs::File;
use std::path::Path;

use parquet::basic::{Compression, Encoding, LogicalType, Type as PhysicalType};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use proptest::prelude::*;

use super::*;
use crate::sink::columns::{CREATE_TIME, Encodings};
use crate::sink::staging::sha256_of;
use crate::sink::testing::{EXAMPLE, NEW_YEAR, given, page, parts, range, row, slice, triples};

fn staged(pages: Vec<StoredPage>, wanted: TimeRange) -> (Option<PartRecord>, Vec<(i64, String, i64)>) {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    let record = parts.stage(&slice(wanted), given(pages)).unwrap();
    let rows = record.as_ref().map(|record| triples(&parts.staging.file(&record.path))).unwrap_or_default();
    (record, rows)
}

#[test]
fn a_part_holds_its_slice_in_order_and_nothing_else() {
    let pages = vec![
        page(1, &[row(-1, "1", 0), row(0, "20", 0), row(0, "10", 0)]),
        page(2, &[row(59, "3", 0), row(60, "4", 0)]),
    ];
    let (record, rows) = staged(pages, range(0, 60));
    let ids: Vec<&str> = rows.iter().map(|(_, id, _)| id.as_str()).collect();
    assert_eq!(ids, ["10", "20", "3"]);
    let record = record.unwrap();
    assert_eq!((record.rows.get(), record.duplicates), (3, 0));
    assert_eq!(record.path, "data/query_region=US/date=2026-01-01/part-20260101T000000Z-20260101T000100Z-r1.parquet");
}

#[test]
fn a_slice_without_rows_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    let pages = given(vec![page(1, &[row(100, "1", 0)]), page(2, &[])]);
    assert_eq!(parts.stage(&slice(range(0, 60)), pages).unwrap(), None);
    assert_eq!(std::fs::read_dir(folder.path().join(".staging")).unwrap().count(), 0);
}

#[test]
fn of_a_video_that_came_twice_the_later_fetch_stands() {
    let later = page(9, &[row(5, "7", 90), row(8, "8", 90)]);
    let earlier = page(2, &[row(5, "7", 20), row(9, "9", 20)]);
    let (record, rows) = staged(vec![later, earlier], range(0, 60));
    assert_eq!(rows[0], (5, "7".to_owned(), 90));
    assert_eq!((rows.len(), record.unwrap().duplicates), (3, 1));
}

#[test]
fn a_video_whose_time_changed_stands_once() {
    let pages = vec![page(1, &[row(5, "7", 1)]), page(2, &[row(30, "7", 2), row(31, "8", 2)])];
    let (record, rows) = staged(pages, range(0, 60));
    assert_eq!(rows, [(5, "7".to_owned(), 1), (31, "8".to_owned(), 2)]);
    assert_eq!(record.unwrap().duplicates, 1);
}

#[test]
fn the_record_has_the_files_size_and_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    let record = parts.stage(&slice(range(0, 60)), given(vec![page(1, &[row(5, "7", 1)])])).unwrap().unwrap();
    let file = parts.staging.file(&record.path);
    assert_eq!(record.bytes.get(), std::fs::metadata(&file).unwrap().len());
    assert_eq!(record.sha256, sha256_of(File::open(&file).unwrap()).unwrap());
    let again = parts.stage(&slice(range(0, 60)), given(vec![page(1, &[row(5, "7", 1)])])).unwrap().unwrap();
    assert_eq!(again, record);
}

/// As two threads do it.
fn in_halves(
    parts: &Parts,
    wanted: TimeRange,
    pages: Vec<StoredPage>,
) -> (Result<(), PartError>, Result<Option<PartRecord>, PartError>) {
    in_halves_with(Leave::given(), parts, wanted, pages)
}

fn in_halves_with(
    leave: Leave,
    parts: &Parts,
    wanted: TimeRange,
    pages: Vec<StoredPage>,
) -> (Result<(), PartError>, Result<Option<PartRecord>, PartError>) {
    let slice = slice(wanted);
    let (send, receive) = std::sync::mpsc::sync_channel(0);
    std::thread::scope(|scope| {
        let pages = pages.into_iter().map(Ok::<_, std::io::Error>);
        let decoding = scope.spawn(|| Parts::decode(&slice, pages, send));
        let encoded = parts.encode(&slice, &receive, leave);
        drop(receive);
        (decoding.join().unwrap(), encoded)
    })
}

#[test]
fn two_halves_write_the_file_that_one_writes() {
    let pages = |rows: i64| -> Vec<StoredPage> {
        let of_page = |page: i64| {
            (page * 10..(page * 10 + 10).min(rows)).map(|n| row(n / 10, &format!("{n:06}"), n)).collect::<Vec<_>>()
        };
        (0..(rows + 9) / 10).map(|at| page(at, &of_page(at))).collect()
    };
    let full = BATCH_ROWS as i64;
    for rows in [0, 1, full - 1, full, full + 1, 2 * full, 2 * full + 500] {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let whole = parts(one.path()).stage(&slice(range(0, 3600)), given(pages(rows))).unwrap();
        let (decoded, encoded) = in_halves(&parts(two.path()), range(0, 3600), pages(rows));
        decoded.unwrap();
        assert_eq!(encoded.unwrap(), whole, "{rows}");
        assert_eq!(whole.map_or(0, |part| part.rows.get()), rows as u64);
    }
}

#[test]
fn a_part_that_is_not_wanted_ends_at_its_next_rows() {
    let folder = tempfile::tempdir().unwrap();
    let leave = Leave::default();
    leave.refuse();
    let of_page = |page: i64| (0..10).map(|n| row(page, &format!("{page:04}{n}"), n)).collect::<Vec<_>>();
    let pages = (0..900).map(|at| page(at, &of_page(at))).collect();
    let (decoded, encoded) = in_halves_with(leave, &parts(folder.path()), range(0, 3600), pages);
    assert!(decoded.is_ok() && matches!(encoded, Err(PartError::Unfinished(_))), "{decoded:?} {encoded:?}");
}

#[test]
fn where_one_half_fails_the_other_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (decoded, encoded) =
        in_halves(&parts(folder.path()), range(0, 60), vec![page(1, &[row(9, "9", 0)]), page(2, &[row(3, "3", 0)])]);
    assert!(matches!(decoded, Err(PartError::Order { .. })), "{decoded:?}");
    assert!(matches!(encoded, Err(PartError::Unfinished(_))), "{encoded:?}");
    let of_page = |page: i64| (0..10).map(|n| row(page, &format!("{page:04}{n}"), n)).collect::<Vec<_>>();
    let pages = (0..900).map(|at| page(at, &of_page(at))).collect();
    let nowhere = parts(folder.path());
    std::fs::remove_dir_all(folder.path().join(".staging")).unwrap();
    let (decoded, encoded) = in_halves(&nowhere, range(0, 3600), pages);
    assert!(decoded.is_ok() && matches!(encoded, Err(PartError::Staging(_))), "{decoded:?} {encoded:?}");
}

#[test]
fn pages_out_of_order_are_refused_before_a_row_is_misplaced() {
    let folder = tempfile::tempdir().unwrap();
    let pages = [page(1, &[row(9, "9", 0)]), page(2, &[row(3, "3", 0)])];
    let failed = parts(folder.path()).stage(&slice(range(0, 60)), pages.into_iter().map(Ok::<_, std::io::Error>));
    let text = failed.unwrap_err().to_string();
    assert!(text.starts_with("stored page 2 holds 2026-01-01T00:00:03Z, but rows before"), "{text}");
}

#[test]
fn a_journal_that_fails_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let pages = std::iter::once(Err(std::io::Error::other("page 4 is damaged")));
    let text = parts(folder.path()).stage(&slice(range(0, 60)), pages).unwrap_err().to_string();
    assert!(text.ends_with("back failed: page 4 is damaged"), "{text}");
}

#[test]
fn row_groups_end_at_their_rows_or_at_their_memory() {
    let groups = |packaging| {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts { packaging, ..parts(folder.path()) };
        let many = |from: i64| (from..from + 10).map(|n| row(n / 100, &format!("{n:06}"), n)).collect::<Vec<_>>();
        let pages = (0..900).map(|number| page(number, &many(number * 10))).collect();
        let record = parts.stage(&slice(range(0, 3600)), given(pages)).unwrap().unwrap();
        assert_eq!(record.rows.get(), 9000);
        let reader = SerializedFileReader::new(File::open(parts.staging.file(&record.path)).unwrap()).unwrap();
        reader.metadata().num_row_groups()
    };
    assert_eq!(groups(Packaging { row_group_rows: 2000, ..Packaging::default() }), 5);
    assert_eq!(groups(Packaging { row_group_bytes: 1, ..Packaging::default() }), 3);
}

/// Rows of more than one batch, so that the part is not small.
const OF_EVERY_COLUMN: i64 = 5_000;

/// A part of the vendor's row under many ids, which do not follow time, with text that no dictionary holds to its end.
fn of_every_column(folder: &Path, encodings: Encodings) -> SerializedFileReader<File> {
    packed_with(folder, Packaging { encodings, ..Packaging::default() })
}

fn packed_with(folder: &Path, packaging: Packaging) -> SerializedFileReader<File> {
    let parts = Parts { packaging, ..parts(folder) };
    let example: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap();
    let row = |number: i64| {
        let mut row = example["data"][0].clone();
        row["create_time"] = (NEW_YEAR + number / 10).into();
        row["video_id"] = (number * 617 % OF_EVERY_COLUMN).to_string().into();
        row["unknown"] = format!("{number:02000}").into();
        row["video_desc"] = format!("{number:0500}").into();
        row.to_string()
    };
    let pages = (0..OF_EVERY_COLUMN / 10).map(|at| page(at, &(at * 10..at * 10 + 10).map(row).collect::<Vec<_>>()));
    let record = parts.stage(&slice(range(0, 3600)), given(pages.collect())).unwrap().unwrap();
    assert_eq!(record.rows.get(), OF_EVERY_COLUMN as u64);
    let filters = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let options = ReadOptionsBuilder::new().with_reader_properties(filters).build();
    let file = File::open(parts.staging.file(&record.path)).unwrap();
    SerializedFileReader::new_with_options(file, options).unwrap()
}

#[test]
fn a_reader_skips_row_groups_by_times_and_by_the_filter_of_ids() {
    let folder = tempfile::tempdir().unwrap();
    let reader = packed_with(folder.path(), Packaging { row_group_rows: 500, ..Packaging::default() });
    let groups = reader.metadata().row_groups();
    assert_eq!(groups.len(), 10);
    let place = |name: &str| groups[0].columns().iter().position(|one| one.column_path().string() == name).unwrap();
    let (time, id) = (place(CREATE_TIME), place(VIDEO_ID));
    let bounds = |group: &RowGroupMetaData, column: usize| {
        let statistics = group.column(column).statistics().unwrap().clone();
        (statistics.min_bytes_opt().unwrap().to_vec(), statistics.max_bytes_opt().unwrap().to_vec())
    };
    // Ten rows a second: a second is in one row group, and is asked for in one alone.
    let may_hold = |second: i64| {
        let moment = (NEW_YEAR + second) * 1000;
        let milliseconds = |bytes: Vec<u8>| i64::from_le_bytes(bytes.try_into().unwrap());
        let holds = |(least, greatest)| (milliseconds(least)..=milliseconds(greatest)).contains(&moment);
        groups.iter().filter(|group| holds(bounds(group, time))).count()
    };
    assert!((0..500).all(|second| may_hold(second) == 1));
    assert_eq!(may_hold(500), 0);
    // An id may be anywhere by its bounds. Of the nine groups that lack it the filter leaves one in a hundred.
    let (mut by_bounds, mut by_filter) = (0, 0);
    for number in (0..OF_EVERY_COLUMN).step_by(50) {
        let wanted = number.to_string();
        let maybe = |group: &RowGroupMetaData| {
            let (least, greatest) = bounds(group, id);
            (least.as_slice()..=greatest.as_slice()).contains(&wanted.as_bytes())
        };
        by_bounds += groups.iter().filter(|group| maybe(group)).count();
        let filter = |at| reader.get_row_group(at).unwrap().get_column_bloom_filter(id).unwrap().clone();
        by_filter += (0..groups.len()).filter(|at| filter(*at).check(&wanted.as_str())).count();
    }
    assert!(by_bounds > 900, "{by_bounds}");
    assert!((100..=118).contains(&by_filter), "{by_filter}");
}

#[test]
fn a_file_has_nothing_that_a_reader_of_two_years_ago_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let reader = of_every_column(folder.path(), Encodings::Compatible);
    for column in reader.metadata().row_group(0).columns() {
        let path = column.column_path().string();
        for encoding in column.encodings() {
            let is_known = match encoding {
                Encoding::PLAIN | Encoding::RLE | Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => true,
                Encoding::DELTA_BINARY_PACKED => [CREATE_TIME, "data_size"].contains(&path.as_str()),
                _ => false,
            };
            assert!(is_known, "{path} has {encoding}");
        }
        let known = [PhysicalType::BOOLEAN, PhysicalType::INT32, PhysicalType::INT64, PhysicalType::BYTE_ARRAY];
        assert!(known.contains(&column.column_type()), "{path} is {}", column.column_type());
    }
    let file = reader.metadata().file_metadata();
    let keys: Vec<&str> = file.key_value_metadata().unwrap().iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(keys, [columns::SCHEMA_VERSION_KEY]);
    let schema = file.schema_descr();
    let amount = schema.columns().iter().find(|column| column.name() == "total_video_sale_gmv_amt").unwrap();
    assert_eq!(amount.logical_type_ref(), Some(&LogicalType::decimal(4, 18)));
}

#[test]
fn the_file_is_packed_as_the_table_of_columns_says() {
    let folder = tempfile::tempdir().unwrap();
    let reader = of_every_column(folder.path(), Encodings::Compatible);
    let group = reader.metadata().row_group(0);
    let column = |name: &str| group.columns().iter().find(|column| column.column_path().string() == name).unwrap();
    let encoded = |name: &str, encoding| column(name).encodings().any(|used| used == encoding);
    assert!(encoded(CREATE_TIME, Encoding::DELTA_BINARY_PACKED));
    assert!(encoded("height", Encoding::RLE_DICTIONARY));
    assert!(!encoded("total_digg_cnt", Encoding::RLE_DICTIONARY) && !encoded("video_desc", Encoding::RLE_DICTIONARY));
    assert!(group.columns().iter().all(|column| matches!(column.compression(), Compression::ZSTD(_))));
    assert!(column(VIDEO_ID).bloom_filter_offset().is_some());
    assert!(group.columns().iter().all(|column| column.offset_index_offset().is_some()));
    assert_eq!(group.sorting_columns().unwrap().len(), 2);
    let versions = reader.metadata().file_metadata().key_value_metadata().unwrap();
    assert!(versions.iter().any(|pair| pair.key == columns::SCHEMA_VERSION_KEY && pair.value.as_deref() == Some("2")));
}

#[test]
fn compact_is_what_only_the_newest_readers_take() {
    let folder = tempfile::tempdir().unwrap();
    let reader = of_every_column(folder.path(), Encodings::Compact);
    let group = reader.metadata().row_group(0);
    let used = |name: &str, encoding| {
        let column = group.columns().iter().find(|column| column.column_path().string() == name).unwrap();
        column.encodings().any(|used| used == encoding)
    };
    assert!(used("total_digg_cnt", Encoding::BYTE_STREAM_SPLIT) && used(VIDEO_ID, Encoding::DELTA_BYTE_ARRAY));
}

#[test]
fn a_part_of_few_rows_has_no_index_and_ids_that_follow_time_no_filter() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    let rows: Vec<String> = (0..10).map(|n| row(n, &format!("{n:03}"), n)).collect();
    let record = parts.stage(&slice(range(0, 60)), given(vec![page(1, &rows)])).unwrap().unwrap();
    let reader = SerializedFileReader::new(File::open(parts.staging.file(&record.path)).unwrap()).unwrap();
    let id = reader.metadata().row_group(0).columns().iter().find(|column| column.column_path().string() == VIDEO_ID);
    let id = id.unwrap();
    assert!(id.bloom_filter_offset().is_none() && id.offset_index_offset().is_none());
    assert_eq!(id.statistics().unwrap().min_bytes_opt().unwrap(), b"000");
    assert_eq!(id.statistics().unwrap().max_bytes_opt().unwrap(), b"009");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn however_pages_overlap_each_video_stands_once_in_order_as_last_fetched(
        fetched in prop::collection::vec(prop::collection::vec((0..40_i64, 0..30_i64), 0..10), 0..12),
    ) {
        // A video keeps its second: the second is part of the id.
        let id = |(second, number): (i64, i64)| format!("{second:02}{number:02}");
        let pages: Vec<StoredPage> = fetched.iter().zip(1..).map(|(keys, sequence)| {
            page(sequence, &keys.iter().map(|key| row(key.0, &id(*key), sequence)).collect::<Vec<_>>())
        }).collect();
        let mut expected = BTreeMap::new();
        let mut inside = 0;
        for (keys, sequence) in fetched.iter().zip(1..) {
            for key in keys.iter().filter(|key| (5..30).contains(&key.0)) {
                expected.insert((key.0, id(*key)), sequence);
                inside += 1;
            }
        }
        let (record, rows) = staged(pages, range(5, 30));
        let duplicates = record.map_or(0, |record| record.duplicates);
        prop_assert_eq!(duplicates, inside - expected.len() as u64);
        let expected: Vec<_> = expected.into_iter().map(|((second, id), likes)| (second, id, likes)).collect();
        prop_assert_eq!(rows, expected);
    }
}
