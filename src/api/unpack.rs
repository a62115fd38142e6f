//! gzip undone, as it comes in practice: several members one after the other, padding behind them, or no gzip at all.
//!
//! Pure. The HTTP library stops at the first member, and what follows it would be missing without a word.

use std::io::Read as _;

use flate2::bufread::GzDecoder;

/// How every gzip member begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why a body could not be unpacked.
#[derive(Debug)]
pub(super) enum UnpackError {
    /// It is cut or damaged.
    Damaged(std::io::Error),
    /// It is larger than the limit.
    TooLarge,
}

/// Unpacks every member. A body that does not begin as gzip was only said to be, and is given back; what stands behind the last
/// member and is none is padding.
pub(super) fn gunzip(packed: Vec<u8>, limit: usize) -> Result<Vec<u8>, UnpackError> {
    if !packed.starts_with(&MAGIC) {
        return Ok(packed);
    }
    let mut unpacked = Vec::new();
    let mut rest = packed.as_slice();
    // Each member takes bytes away, so the loop ends.
    while rest.starts_with(&MAGIC) {
        let room = limit.saturating_sub(unpacked.len()).saturating_add(1);
        let mut member = GzDecoder::new(rest).take(room as u64);
        member.read_to_end(&mut unpacked).map_err(UnpackError::Damaged)?;
        if unpacked.len() > limit {
            return Err(UnpackError::TooLarge);
        }
        rest = member.into_inner().into_inner();
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn member(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_member_is_unpacked_and_padding_is_not() {
        let packed = [member("one "), member(""), member("two"), vec![0; 20]].concat();
        assert_eq!(gunzip(packed, 100).unwrap(), b"one two");
        assert_eq!(gunzip(b"plain".to_vec(), 100).unwrap(), b"plain");
        assert_eq!(gunzip(Vec::new(), 100).unwrap(), b"");
    }

    #[test]
    fn what_is_cut_or_damaged_is_no_body() {
        let packed = member("a text that is long enough to be cut");
        for end in 2..packed.len() {
            assert!(matches!(gunzip(packed[..end].to_vec(), 100), Err(UnpackError::Damaged(_))), "{end}");
        }
        let mut damaged = packed;
        damaged[14] ^= 0xff;
        assert!(gunzip(damaged, 100).is_err());
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let packed = [member(&"0".repeat(60)), member(&"0".repeat(1_000_000))].concat();
        assert!(matches!(gunzip(packed.clone(), 1_000), Err(UnpackError::TooLarge)));
        assert_eq!(gunzip(packed, 1_000_060).unwrap().len(), 1_000_060);
    }
}
