//! Which videos were seen, in little memory. Pure.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The bit that tells hashes from plain numbers.
const HASHED: u64 = 1 << 63;

/// A set of video ids: eight bytes each for the plain numbers that real ids are, the text for any other. Exact.
#[derive(Clone, Debug, Default)]
pub(super) struct Videos {
    numbers: HashSet<u64>,
    texts: HashSet<Box<str>>,
}

impl Videos {
    /// Whether `video_id` was not there before.
    pub(super) fn insert(&mut self, video_id: &str) -> bool {
        match plain_number(video_id) {
            Some(number) => self.numbers.insert(number),
            None => self.texts.insert(video_id.into()),
        }
    }

    /// Whether `video_id` is one of them.
    pub(super) fn contains(&self, video_id: &str) -> bool {
        match plain_number(video_id) {
            Some(number) => self.numbers.contains(&number),
            None => self.texts.contains(video_id),
        }
    }
}

/// A video id in 64 bits: the number itself, or a hash with the top bit set.
pub(super) fn key(video_id: &str) -> u64 {
    plain_number(video_id).unwrap_or_else(|| {
        let mut hasher = DefaultHasher::new();
        video_id.hash(&mut hasher);
        hasher.finish() | HASHED
    })
}

/// The number below 2^63 that prints as exactly this text.
fn plain_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|number| canonical && *number < HASHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_differ_as_text_are_different_videos() {
        let mut videos = Videos::default();
        for id in ["7", "07", "+7", "", "7590123280372190477", "99999999999999999999", "abc"] {
            assert!(videos.insert(id), "{id}");
            assert!(!videos.insert(id), "{id}");
        }
    }

    #[test]
    fn a_real_id_is_its_own_key() {
        assert_eq!(key("7590123280372190477"), 7_590_123_280_372_190_477);
        assert!(key("07") & HASHED != 0);
        assert_ne!(key("07"), key("007"));
    }
}
