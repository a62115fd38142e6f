//! Halves of surrogate pairs, which encoders write as `\ud83d` and no text holds. Pure.

use std::borrow::Cow;

/// A JSON text with every surrogate escape that has no partner replaced by `\ufffd`, which strict parsers demand.
/// Borrowed where there is none.
pub fn repair_surrogates(row: &str) -> Cow<'_, str> {
    let lone = lone_surrogates(row);
    if lone.is_empty() {
        return Cow::Borrowed(row);
    }
    let mut repaired = String::with_capacity(row.len());
    let mut from = 0;
    for at in lone {
        repaired.push_str(row.get(from..at).unwrap_or_default());
        repaired.push_str("\\ufffd");
        from = at + 6;
    }
    repaired.push_str(row.get(from..).unwrap_or_default());
    Cow::Owned(repaired)
}

/// The byte offsets of `\uXXXX` escapes that are half a surrogate pair.
fn lone_surrogates(row: &str) -> Vec<usize> {
    let mut lone = Vec::new();
    let mut at = 0;
    while let Some(found) = row.get(at..).and_then(|rest| rest.find('\\')) {
        let escape = at + found;
        at = match unit_at(row, escape) {
            Some(0xD800..=0xDBFF) if matches!(unit_at(row, escape + 6), Some(0xDC00..=0xDFFF)) => escape + 12,
            Some(0xD800..=0xDFFF) => {
                lone.push(escape);
                escape + 6
            }
            _ => escape + 2,
        };
    }
    lone
}

fn unit_at(row: &str, at: usize) -> Option<u16> {
    let digits = row.get(at..at + 6)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_are_kept() {
        assert_eq!(repair_surrogates(r#""\ud83d\ude00 \ud83d x \ude00""#), r#""\ud83d\ude00 \ufffd x \ufffd""#);
        assert_eq!(repair_surrogates(r#""\\ud83d""#), r#""\\ud83d""#);
        assert_eq!(repair_surrogates(r#""\ud83d"#), r#""\ufffd"#);
        assert!(matches!(repair_surrogates("plain"), Cow::Borrowed(_)));
    }
}
