//! A segment: a piece of a journal as it lies in the bucket, which says whose it is and what comes before it. Pure.
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 4 | `KXS1`: the format's name and version |
//! | 8, 8 | the epoch of its holder, and its number, which counts on over all epochs; little-endian |
//! | 32 | SHA-256 of the segment before it, as it lies in the bucket; zeros before the first |
//! | … | the piece: see `journal::changes` |
//! | 32 | SHA-256 of everything before |

use sha2::{Digest as _, Sha256};

const FORMAT: &[u8; 4] = b"KXS1";
const HEADER_BYTES: usize = 4 + 8 + 8 + DIGEST_BYTES;
const DIGEST_BYTES: usize = 32;

/// SHA-256 of a segment.
pub(super) type Digest = [u8; DIGEST_BYTES];

/// A place in the order of all segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) epoch: u64,
    pub(super) number: u64,
}

impl Number {
    /// The object's name, below the state's prefix.
    pub(super) fn name(self) -> String {
        format!("segments/{:08}-{:08}.seg", self.epoch, self.number)
    }
}

impl Number {
    /// The epoch of the segment of this name.
    pub(super) fn epoch_of(name: &str) -> Option<u64> {
        name.strip_prefix("segments/")?.split_once('-')?.0.parse().ok()
    }
}

/// A segment as it is put.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) number: Number,
    pub(super) bytes: bytes::Bytes,
    pub(super) digest: Digest,
}

impl Segment {
    /// The segment of a piece.
    pub(super) fn seal(number: Number, before: &Digest, piece: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + piece.len() + DIGEST_BYTES);
        bytes.extend_from_slice(FORMAT);
        bytes.extend_from_slice(&number.epoch.to_le_bytes());
        bytes.extend_from_slice(&number.number.to_le_bytes());
        bytes.extend_from_slice(before);
        bytes.extend_from_slice(piece);
        let sum: Digest = Sha256::digest(&bytes).into();
        bytes.extend_from_slice(&sum);
        let digest = Sha256::digest(&bytes).into();
        Self { number, bytes: bytes.into(), digest }
    }

    /// The piece of a segment, and the digest of the segment.
    ///
    /// # Errors
    /// What is wrong, where it is not the one of this number that follows the one before.
    pub(super) fn open(number: Number, before: &Digest, bytes: &[u8]) -> Result<(Vec<u8>, Digest), &'static str> {
        let (said, sum) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or("it is too short")?;
        if Sha256::digest(said).as_slice() != sum {
            return Err("its checksum does not fit");
        }
        let (header, piece) = said.split_at_checked(HEADER_BYTES).ok_or("it is too short")?;
        let expected = [FORMAT.as_slice(), &number.epoch.to_le_bytes(), &number.number.to_le_bytes(), before].concat();
        match header {
            header if header == expected => Ok((piece.to_vec(), Sha256::digest(bytes).into())),
            header if !header.starts_with(FORMAT) => Err("its format is none that this program knows"),
            _ => Err("it is another one than the state says, or does not follow the one before it"),
        }
    }
}

/// A digest as a head tells it.
pub(super) fn told(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_known_by_its_place_and_by_what_comes_before_it() {
        let number = Number { epoch: 3, number: 41 };
        assert_eq!(number.name(), "segments/00000003-00000041.seg");
        assert_eq!((Number::epoch_of(&number.name()), Number::epoch_of("state.json")), (Some(3), None));
        let segment = Segment::seal(number, &[7; 32], b"a piece");
        let opened = Segment::open(number, &[7; 32], &segment.bytes).unwrap();
        assert_eq!(opened, (b"a piece".to_vec(), segment.digest));
        let other = Number { epoch: 4, ..number };
        assert!(Segment::open(other, &[7; 32], &segment.bytes).is_err());
        assert!(Segment::open(number, &[8; 32], &segment.bytes).is_err());
    }

    #[test]
    fn no_changed_byte_goes_unseen() {
        let number = Number { epoch: 0, number: 0 };
        let segment = Segment::seal(number, &[0; 32], b"a piece");
        for at in 0..segment.bytes.len() {
            let mut changed = segment.bytes.to_vec();
            changed[at] ^= 1;
            assert!(Segment::open(number, &[0; 32], &changed).is_err(), "byte {at}");
            assert!(Segment::open(number, &[0; 32], &segment.bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
