//! A number as it is spelled in JSON, exactly: nothing passes through a float. Pure.

/// The number that `text` spells, as `[-]digits[.digits][e[+-]digits]`, in units of ten to the minus `places`: `19.9` with 4 places is
/// 199000, and `1.7e3` with none is 1700. None where it is spelled otherwise, is no whole number of such units, or has more than
/// `most_digits` digits in them (at most 38).
#[must_use]
pub fn scaled(text: &str, places: i8, most_digits: usize) -> Option<i128> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (is_negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if ![before, after, exponent.strip_prefix(['+', '-']).unwrap_or(exponent)].into_iter().all(is_plain) {
        return None;
    }
    let digits = format!("{before}{after}");
    let significant = digits.trim_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    // How many zeros follow the significant digits; fewer than none is a place that the unit does not have.
    let shift = i128::from(places) + exponent.parse::<i128>().ok()?;
    let zeros = shift.checked_sub(i128::try_from(after.len()).ok()?)?.checked_add(i128::try_from(trailing).ok()?)?;
    let zeros = usize::try_from(zeros).ok().filter(|zeros| zeros.saturating_add(significant.len()) <= most_digits)?;
    let amount: i128 = format!("{significant}{}", "0".repeat(zeros)).parse().ok()?;
    Some(if is_negative { -amount } else { amount })
}

/// The whole number of at most 64 bits that `text` spells: `15`, `15.0` and `1.5e1` are the same.
#[must_use]
pub fn whole(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| !text.starts_with('+')).or_else(|| i64::try_from(scaled(text, 0, 19)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_be_spelled_in_many_ways() {
        for spelling in
            ["15", "015", "15.0", "15.00", "1.5e1", "1.5E+1", "0.15e2", "150e-1", "1500000000000000000000e-20"]
        {
            assert_eq!(whole(spelling), Some(15), "{spelling}");
        }
        assert_eq!(whole("1.7645472E9"), Some(1_764_547_200));
        assert_eq!(whole("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(whole("-0.0"), Some(0));
        for odd in ["", "-", "+5", " 5", "5.", ".5", "1.5", "15e-1", "1e19", "1e", "NaN", "-Infinity", "0x5", "1_000"] {
            assert_eq!(whole(odd), None, "{odd}");
        }
    }

    #[test]
    fn units_are_counted_exactly() {
        assert_eq!(scaled("19.9", 4, 18), Some(199_000));
        assert_eq!(scaled("0.00001", 4, 18), None);
        assert_eq!(scaled("99999999999999.9999", 4, 18), Some(999_999_999_999_999_999));
        assert_eq!(scaled("100000000000000", 4, 18), None);
    }
}
