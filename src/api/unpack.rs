//! Compression undone, as it comes in practice: gzip in several members one after the other, with padding behind them, twice, or
//! without a word of it; deflate, though nobody asked for it, with its envelope or bare; or nothing where something was said.
//!
//! Pure. The HTTP library stops at the first member, and what follows it would be missing without a word.

use std::io::Read as _;

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};

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

/// How often a body may be packed.
const MOST_LAYERS: usize = 3;

/// How a body is said to be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// As its first bytes show: what begins as gzip can be no text.
    AsItBegins,
    /// With deflate, which has no such beginning.
    Deflate,
}

/// Unpacks a body, to at most `limit` bytes.
pub(super) fn unpack(packed: Vec<u8>, packing: Packing, limit: usize) -> Result<Vec<u8>, UnpackError> {
    let mut body = match packing {
        Packing::Deflate if !packed.starts_with(&MAGIC) && !begins_as_json(&packed) => inflate(&packed, limit)?,
        _ => packed,
    };
    for _ in 0..MOST_LAYERS {
        if !body.starts_with(&MAGIC) {
            break;
        }
        body = gunzip(body, limit)?;
    }
    Ok(body)
}

fn begins_as_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first().is_none_or(|first| matches!(first, b'{' | b'['))
}

/// Deflate in its envelope, or bare, as some services send it against the standard.
fn inflate(packed: &[u8], limit: usize) -> Result<Vec<u8>, UnpackError> {
    let read = |decoder: &mut dyn std::io::Read| {
        let mut unpacked = Vec::new();
        let room = limit.saturating_add(1) as u64;
        decoder.take(room).read_to_end(&mut unpacked).map_err(UnpackError::Damaged)?;
        if unpacked.len() > limit { Err(UnpackError::TooLarge) } else { Ok(unpacked) }
    };
    match read(&mut ZlibDecoder::new(packed)) {
        Err(UnpackError::Damaged(_)) => read(&mut DeflateDecoder::new(packed)),
        read => read,
    }
}

/// Unpacks every member. A body that does not begin as gzip was only said to be, and is given back; what stands behind the last
/// member and is none is padding.
fn gunzip(packed: Vec<u8>, limit: usize) -> Result<Vec<u8>, UnpackError> {
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
    fn what_is_packed_otherwise_than_asked_is_unpacked_all_the_same() {
        let text = br#"{"code":0}"#;
        let zlib = {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let bare = &zlib[2..zlib.len() - 4];
        for (packed, packing) in [
            (text.to_vec(), Packing::AsItBegins),
            (text.to_vec(), Packing::Deflate),
            (member(r#"{"code":0}"#), Packing::AsItBegins),
            (member(r#"{"code":0}"#), Packing::Deflate),
            (zlib.clone(), Packing::Deflate),
            (bare.to_vec(), Packing::Deflate),
        ] {
            assert_eq!(unpack(packed, packing, 100).unwrap(), text, "{packing:?}");
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&member(r#"{"code":0}"#)).unwrap();
        assert_eq!(unpack(encoder.finish().unwrap(), Packing::AsItBegins, 100).unwrap(), text);
        assert!(unpack(zlib, Packing::Deflate, 5).is_err());
        assert!(unpack(b"no deflate".to_vec(), Packing::Deflate, 100).is_err());
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
