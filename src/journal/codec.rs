//! How row keys, bodies and checksums look in the tables. Pure.

use std::fmt::Write as _;

use lz4_flex::block::{CompressError, CompressTable, compress_into_with_table, get_maximum_output_size};

use super::job::purpose_columns;
use super::record::StoredPage;
use super::schema::checksum;
use crate::api::contract::Region;
use crate::plan::fact::{Check, PageFact, RowKey, Standing, VideoKey};
use crate::units::EpochSeconds;

/// Bytes of one row key: a second and a video key, both little-endian.
const KEY_BYTES: usize = 16;
/// Bytes of the text that a page's checksums begin with, about: more only cost another allocation.
const FACT_BYTES: usize = 160;

/// Bytes of room that are kept from one body to the next, at most: a usual one takes a dozen KiB of it.
const MOST_ROOM: usize = 256 << 10;

/// Packs bodies, each in the memory of the one before it.
#[derive(Default)]
pub(super) struct Packer {
    table: CompressTable,
    room: Vec<u8>,
}

impl Packer {
    /// The body as its table keeps it: one LZ4 block.
    ///
    /// # Errors
    /// Where the block has no room, which it has.
    pub(super) fn pack(&mut self, body: &[u8]) -> Result<&[u8], CompressError> {
        let most = get_maximum_output_size(body.len());
        if self.room.len() > MOST_ROOM {
            *self = Self::default();
        }
        if self.room.len() < most {
            self.room.resize(most, 0);
        }
        let length = compress_into_with_table(body, &mut self.room, &mut self.table)?;
        Ok(self.room.get(..length).unwrap_or_default())
    }
}

/// The row keys of a page in its order.
pub(super) fn encode_keys(rows: &[RowKey]) -> Vec<u8> {
    let mut keys = Vec::with_capacity(rows.len() * KEY_BYTES);
    for row in rows {
        keys.extend_from_slice(&row.second.get().to_le_bytes());
        keys.extend_from_slice(&row.video.0.to_le_bytes());
    }
    keys
}

/// Reads row keys back; none when the bytes are not whole keys.
pub(super) fn decode_keys(bytes: &[u8]) -> Option<Vec<RowKey>> {
    let keys = bytes.chunks_exact(KEY_BYTES);
    if !keys.remainder().is_empty() {
        return None;
    }
    keys.map(decode_key).collect()
}

fn decode_key(bytes: &[u8]) -> Option<RowKey> {
    let second = EpochSeconds::new(i64::from_le_bytes(*bytes.first_chunk()?));
    let video = VideoKey(u64::from_le_bytes(*bytes.last_chunk()?));
    Some(RowKey { second, video })
}

/// A standing's name in its table.
pub(super) const fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::Answers => "answers",
        Standing::Outside => "outside",
        Standing::OtherRegion => "other_region",
    }
}

/// The standing of that name.
pub(super) fn standing_from(name: &str) -> Option<Standing> {
    let all = [Standing::Answers, Standing::Outside, Standing::OtherRegion];
    all.into_iter().find(|standing| standing_name(*standing) == name)
}

/// The checksum of a page's fact; `keys` are its row keys, encoded.
pub(super) fn keys_checksum(sequence: i64, fact: &PageFact, (position, keys): (EpochSeconds, &[u8])) -> [u8; 8] {
    let (purpose, window, scan) = purpose_columns(fact.address.purpose);
    let Check { standing, outside, own_region, other_region, print } = fact.check;
    let mut text = String::with_capacity(FACT_BYTES);
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "{sequence} {} {purpose} {window} {scan} {} {} {} {} {} {outside} {own_region} {other_region} {print}",
        fact.address.region,
        fact.address.page.get(),
        fact.fetched_at.get(),
        fact.slots,
        position.get(),
        standing_name(standing)
    );
    checksum(&[text.as_bytes(), keys])
}

/// The checksum of a page's rows; `body` is passed apart from `page`, whose own is not read.
pub(super) fn body_checksum(region: &Region, page: &StoredPage, body: &[u8]) -> [u8; 8] {
    let StoredPage { sequence, fetched_at_ms, request_id, span, .. } = page;
    let mut text = String::with_capacity(FACT_BYTES);
    // Writing into a String cannot fail.
    let _ = write!(text, "{sequence} {region} {} {} {fetched_at_ms}", span.start.get(), span.end.get());
    let numbers = text.len();
    let _ = match request_id {
        Some(id) => write!(text, "some {id}"),
        None => write!(text, "none"),
    };
    let (text, request_id) = text.split_at(numbers);
    checksum(&[text.as_bytes(), request_id.as_bytes(), body])
}

/// The checksum of a planner's decision.
pub(super) fn event_checksum(sequence: i64, json: &str) -> [u8; 8] {
    checksum(&[&sequence.to_le_bytes(), json.as_bytes()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn row_keys_come_back_as_they_were(rows in prop::collection::vec((any::<i64>(), any::<u64>()), 0..12)) {
            let rows: Vec<RowKey> = rows
                .into_iter()
                .map(|(second, video)| RowKey { second: EpochSeconds::new(second), video: VideoKey(video) })
                .collect();
            let bytes = encode_keys(&rows);
            prop_assert_eq!(bytes.len(), rows.len() * KEY_BYTES);
            prop_assert_eq!(decode_keys(&bytes), Some(rows));
        }
    }

    #[test]
    fn a_body_is_packed_whole_whatever_was_packed_before_it() {
        let mut packer = Packer::default();
        let sizes = [10, 0, 30_000, 7, 70_000, 400_000, 12, 100_000, 9_000];
        for size in sizes {
            let body: Vec<u8> = (0..size).map(|place: u32| (place / 7 % 251) as u8).collect();
            let packed = packer.pack(&body).unwrap().to_vec();
            assert_eq!(lz4_flex::block::decompress(&packed, body.len()).unwrap(), body, "{size}");
            assert!(packed.len() <= body.len() / 2 + 20, "{size}");
        }
        assert!(packer.room.len() <= get_maximum_output_size(100_000));
    }

    #[test]
    fn bytes_that_are_no_whole_key_are_refused() {
        assert_eq!(decode_keys(&[0; KEY_BYTES + 1]), None);
    }
}
