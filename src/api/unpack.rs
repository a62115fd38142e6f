//! Compression undone, as it comes in practice: gzip in several members one after the other, with padding behind them, twice, or
//! without a word of it; deflate, though nobody asked for it, with its envelope or bare; Brotli and Zstandard; or nothing, or something else,
//! where one of them was said.
//!
//! Pure. The HTTP library goes by what was said alone, and stops at the first member of gzip, so that what follows it would be missing without a
//! word.

use std::io::{self, Read};

use brotli_decompressor::Decompressor as BrotliDecoder;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};

/// How every gzip member begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// How every frame of Zstandard begins.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The mark that some put before their text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Bytes that an empty text takes by Brotli, at most.
const LONGEST_NOTHING: usize = 4;
/// Bytes that Brotli is read in.
const BROTLI_BUFFER: usize = 4 << 10;

/// Why a body could not be unpacked.
#[derive(Debug)]
pub(super) enum UnpackError {
    /// It is cut or damaged, or packed in a way that is not known.
    Damaged { coding: String, why: io::Error },
    /// It is larger than the limit.
    TooLarge,
}

/// How often a body may be packed.
const MOST_LAYERS: usize = 3;

/// Unpacks a body, to at most `limit` bytes. `said` is how it is said to be packed, in the words of `Content-Encoding`. What it shows itself counts
/// more: what reads as text is none of it, and what begins as gzip or Zstandard is that.
pub(super) fn unpack(packed: Vec<u8>, said: &str, limit: usize) -> Result<Vec<u8>, UnpackError> {
    let codings: Vec<String> = said.split(',').map(|coding| coding.trim().to_ascii_lowercase()).collect();
    let mut body = packed;
    // What was done last is undone first.
    for coding in codings.iter().rev().filter(|coding| !matches!(coding.as_str(), "" | "identity")).take(MOST_LAYERS) {
        body = undo(coding, body, limit)?;
    }
    for _ in 0..MOST_LAYERS {
        match () {
            () if body.starts_with(&GZIP) => body = gunzip(body, limit)?,
            () if body.starts_with(&ZSTD) => body = unzstd(&body, limit)?,
            () => break,
        }
    }
    Ok(body)
}

/// Undoes one coding, unless the body shows that it was not applied.
fn undo(coding: &str, body: Vec<u8>, limit: usize) -> Result<Vec<u8>, UnpackError> {
    match coding {
        "gzip" | "x-gzip" if body.starts_with(&GZIP) => return gunzip(body, limit),
        "zstd" if body.starts_with(&ZSTD) => return unzstd(&body, limit),
        _ => {}
    }
    if body.starts_with(&GZIP) && (coding != "br" || gunzip(body.clone(), limit).is_ok()) || body.starts_with(&ZSTD) {
        return Ok(body);
    }
    let undone = match coding {
        "deflate" if !begins_as_json(&body) => inflate(&body, limit),
        // Its first byte may be that of a list.
        "br" if !body.starts_with(b"{") => unbrotli(&body, limit),
        _ if begins_as_json(&body) => return Ok(body),
        _ => Err(damaged(coding)(io::Error::new(io::ErrorKind::InvalidData, "it does not begin so"))),
    };
    match undone {
        Err(UnpackError::Damaged { .. }) if begins_as_json(&body) || is_text(&body) => Ok(body),
        undone => undone,
    }
}

fn damaged(coding: &str) -> impl Fn(io::Error) -> UnpackError {
    move |why| UnpackError::Damaged { coding: coding.to_owned(), why }
}

fn begins_as_json(body: &[u8]) -> bool {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    text.trim_ascii_start().first().is_none_or(|first| matches!(first, b'{' | b'['))
}

/// Whether it can be read as it is: words of a gateway, as a rule.
fn is_text(body: &[u8]) -> bool {
    let is_packed = |character: char| character.is_control() && !character.is_whitespace();
    std::str::from_utf8(body).is_ok_and(|text| !text.contains(is_packed))
}

/// Reads all of it, if that is not more than the limit.
fn read_all(decoder: impl Read, coding: &str, limit: usize) -> Result<Vec<u8>, UnpackError> {
    let mut unpacked = Vec::new();
    let room = limit.saturating_add(1) as u64;
    decoder.take(room).read_to_end(&mut unpacked).map_err(damaged(coding))?;
    if unpacked.len() > limit { Err(UnpackError::TooLarge) } else { Ok(unpacked) }
}

/// Deflate in its envelope, or bare, as some services send it against the standard.
fn inflate(packed: &[u8], limit: usize) -> Result<Vec<u8>, UnpackError> {
    match read_all(ZlibDecoder::new(packed), "deflate", limit) {
        Err(UnpackError::Damaged { .. }) => read_all(DeflateDecoder::new(packed), "deflate", limit),
        read => read,
    }
}

fn unbrotli(packed: &[u8], limit: usize) -> Result<Vec<u8>, UnpackError> {
    let unpacked = read_all(BrotliDecoder::new(packed, BROTLI_BUFFER), "br", limit)?;
    // Noise may say in its first bits that nothing follows.
    if unpacked.is_empty() && packed.len() > LONGEST_NOTHING {
        return Err(damaged("br")(io::Error::new(io::ErrorKind::InvalidData, "it ends before its first byte")));
    }
    Ok(unpacked)
}

fn unzstd(packed: &[u8], limit: usize) -> Result<Vec<u8>, UnpackError> {
    let decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(damaged("zstd"))?;
    read_all(decoder, "zstd", limit)
}

/// Unpacks every member. What stands behind the last member and is none is padding.
fn gunzip(packed: Vec<u8>, limit: usize) -> Result<Vec<u8>, UnpackError> {
    let mut unpacked = Vec::new();
    let mut rest = packed.as_slice();
    // Each member takes bytes away, so the loop ends.
    while rest.starts_with(&GZIP) {
        let room = limit.saturating_sub(unpacked.len()).saturating_add(1);
        let mut member = GzDecoder::new(rest).take(room as u64);
        member.read_to_end(&mut unpacked).map_err(damaged("gzip"))?;
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

    /// `{"code":0}` by Brotli.
    const BROTLI: [u8; 14] = [139, 4, 128, 123, 34, 99, 111, 100, 101, 34, 58, 48, 125, 3];

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 1).unwrap()
    }

    #[test]
    fn every_member_is_unpacked_and_padding_is_not() {
        let packed = [member("one "), member(""), member("two"), vec![0; 20]].concat();
        assert_eq!(unpack(packed, "gzip", 100).unwrap(), b"one two");
        assert_eq!(unpack(b"plain".to_vec(), "gzip", 100).unwrap(), b"plain");
        assert_eq!(unpack(Vec::new(), "gzip", 100).unwrap(), b"");
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
        for (packed, said) in [
            (text.to_vec(), ""),
            (text.to_vec(), "deflate"),
            (member(r#"{"code":0}"#), ""),
            (member(r#"{"code":0}"#), "deflate"),
            (zlib.clone(), "deflate"),
            (bare.to_vec(), "Deflate"),
            (BROTLI.to_vec(), "br"),
            (zstd(text), "zstd"),
            (zstd(text), ""),
            (zstd(&BROTLI), "br, zstd"),
            (member(r#"{"code":0}"#), "identity, gzip"),
        ] {
            assert_eq!(unpack(packed, said, 100).unwrap(), text, "{said}");
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&member(r#"{"code":0}"#)).unwrap();
        assert_eq!(unpack(encoder.finish().unwrap(), "", 100).unwrap(), text);
        assert!(unpack(zlib, "deflate", 5).is_err());
        assert!(matches!(unpack(BROTLI.to_vec(), "br", 5), Err(UnpackError::TooLarge)));
        assert!(matches!(unpack(zstd(text), "zstd", 5), Err(UnpackError::TooLarge)));
    }

    /// A gateway that unpacks an answer, or packs it anew, and leaves the former word in the header.
    #[test]
    fn what_is_said_to_be_packed_in_any_way_and_is_not_is_read_as_it_is() {
        let list = "\u{feff} [1]";
        for said in ["gzip", "br", "zstd", "deflate", "compress", "utf-8", "br, gzip"] {
            for body in [r#"{"code":0}"#, "[{}]", list, "too many requests", "<html>\n</html>", ""] {
                assert_eq!(unpack(body.as_bytes().to_vec(), said, 100).unwrap(), body.as_bytes(), "{said}: {body}");
            }
            for packed in [member("[1]"), zstd(b"[1]")] {
                assert_eq!(unpack(packed, said, 100).unwrap(), b"[1]", "{said}");
            }
        }
    }

    #[test]
    fn what_cannot_be_unpacked_is_told_by_its_coding() {
        let noise: Vec<u8> = (0..200_u8).map(|number| number.wrapping_mul(197) | 0x80).collect();
        let ends_at_once: Vec<u8> = [0x3b].into_iter().chain(noise.clone()).collect();
        assert!(unpack(ends_at_once, "br", 1_000).is_err());
        for said in ["br", "zstd", "deflate", "gzip", "compress"] {
            let refused = unpack(noise.clone(), said, 1_000).unwrap_err();
            assert!(matches!(&refused, UnpackError::Damaged { coding, .. } if coding == said), "{said}: {refused:?}");
        }
        for (packed, said) in [(BROTLI.to_vec(), "br"), (zstd(br#"{"code":0}"#), "zstd")] {
            for end in 5..packed.len() {
                let cut = unpack(packed[..end].to_vec(), said, 100);
                assert!(matches!(cut, Err(UnpackError::Damaged { .. })), "{said} {end}: {cut:?}");
            }
        }
    }

    #[test]
    fn what_is_cut_or_damaged_is_no_body() {
        let packed = member("a text that is long enough to be cut");
        for end in 2..packed.len() {
            assert!(matches!(gunzip(packed[..end].to_vec(), 100), Err(UnpackError::Damaged { .. })), "{end}");
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
