//! What an answer's headers say of its meaning. Pure: the clock's reading is handed in.
//!
//! None of these headers is documented by the vendor; each is honoured when it comes.

use std::time::{Duration, UNIX_EPOCH};

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};

use super::words::quoted;

/// The headers of one answer, as far as they count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
    /// Whether a header says that no request is left for now, as `X-RateLimit-Remaining: 0` does.
    pub is_rate_spent: bool,
    /// Whether the body is said to be HTML.
    pub is_html: bool,
    /// Where a redirect points, without its user, its query and its fragment.
    pub location: Option<String>,
    /// Headers that speak of a rate, as they came: a bounded number of them. None of them is documented.
    pub rate: Vec<(String, String)>,
}

/// Headers of a rate that are kept of one answer.
const MOST_RATE_HEADERS: usize = 8;
/// Bytes of such a header's value that are kept.
const LONGEST_RATE_HEADER: usize = 100;

impl Signals {
    /// What `headers` say at `now_ms`, milliseconds since the epoch. What is kept of them for a person goes through `clean` before it is cut,
    /// since half a key is found by nobody.
    pub fn read(headers: &HeaderMap, now_ms: i64, clean: impl Fn(&str) -> String) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            retry_after: retry_after(headers, now_ms),
            is_rate_spent: headers.iter().any(|(name, value)| {
                value.to_str().is_ok_and(|value| says_nothing_left(name.as_str(), &value.to_ascii_lowercase()))
            }),
            is_html: text(CONTENT_TYPE)
                .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html")),
            location: text(LOCATION).map(|location| quoted(&clean(&place(&clean(location))))),
            rate: rate_headers(headers, clean),
        }
    }
}

fn rate_headers(headers: &HeaderMap, clean: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let is_of_rate = |name: &str| name.contains("ratelimit") || name.contains("rate-limit") || name == "retry-after";
    let told = headers.iter().filter(|(name, _)| is_of_rate(name.as_str()));
    let short = |value: &str| clean(value).chars().take(LONGEST_RATE_HEADER).collect();
    let pairs = told.filter_map(|(name, value)| Some((clean(name.as_str()), short(value.to_str().ok()?))));
    pairs.take(MOST_RATE_HEADERS).collect()
}

/// The longest wait that the header names, as seconds or as an HTTP date; a date that is past asks for none.
fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    headers.get_all(RETRY_AFTER).iter().filter_map(|value| wait(value.to_str().ok()?.trim(), now_ms)).max()
}

fn wait(text: &str, now_ms: i64) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        // What no duration can hold is cut to a year by way of the bound; whoever waits has a bound of his own.
        return (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(LONGEST_SECONDS)));
    }
    u64::try_from(moment_ms(text)? - now_ms).ok().map(Duration::from_millis)
}

/// A moment in milliseconds since the epoch: in one of HTTP's three forms (RFC 9110, 5.6.7), or as mail writes it, with an offset.
pub(super) fn moment_ms(text: &str) -> Option<i64> {
    let by_mail = || Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond());
    let by_http = || {
        let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    };
    by_http().or_else(by_mail)
}

/// A year: beyond it a wait is a typing error.
const LONGEST_SECONDS: f64 = 31_536_000.0;

/// `X-RateLimit-Remaining: 0` and its spellings, and the draft standard's `RateLimit: limit=100, remaining=0`.
fn says_nothing_left(name: &str, value: &str) -> bool {
    let is_remaining = name.contains("ratelimit-remaining") || name.contains("rate-limit-remaining");
    let is_draft = name == "ratelimit" || name == "x-ratelimit";
    let spent = |part: &str| {
        let part: String = part.split_whitespace().collect();
        part == "remaining=0" || part == "r=0"
    };
    (is_remaining && value.trim() == "0") || (is_draft && value.split([',', ';']).any(spent))
}

/// A redirect's target for a person: what could be a secret in it is left out.
fn place(location: &str) -> String {
    let cut = location.split(['?', '#']).next().unwrap_or_default();
    let Ok(mut url) = Url::parse(cut) else { return cut.to_owned() };
    // Only a URL without a host refuses these, and it has neither.
    let _no_name = url.set_username("");
    let _no_password = url.set_password(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn read(headers: &[(&'static str, &'static str)]) -> Signals {
        let named =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Signals::read(&HeaderMap::from_iter(named), 1_767_213_318_000, str::to_owned)
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let of = |text: &'static str| read(&[("retry-after", text)]).retry_after;
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of(" 1.5 "), Some(Duration::from_millis(1_500)));
        assert_eq!(of("0"), Some(Duration::ZERO));
        assert_eq!(of("Wed, 31 Dec 2025 20:35:20 GMT"), Some(Duration::from_secs(2)));
        assert_eq!(of("Wednesday, 31-Dec-25 20:35:20 GMT"), Some(Duration::from_secs(2)));
        assert_eq!(of("Wed Dec 31 20:35:20 2025"), Some(Duration::from_secs(2)));
        assert_eq!(of("Wed, 31 Dec 2025 22:35:20 +0200"), Some(Duration::from_secs(2)));
        assert_eq!(of("99999999999999999999"), Some(Duration::from_secs_f64(LONGEST_SECONDS)));
        for nothing in ["Wed, 31 Dec 2025 20:35:00 GMT", "soon", "-3", "", "NaN"] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_spent_rate_is_seen_in_each_spelling() {
        for (name, value) in [
            ("x-ratelimit-remaining", "0"),
            ("x-rate-limit-remaining", " 0 "),
            ("ratelimit-remaining", "0"),
            ("x-ratelimit-remaining-second", "0"),
            ("ratelimit", "limit=100, remaining=0, reset=5"),
            ("ratelimit", "\"default\";r=0;t=30"),
        ] {
            assert!(read(&[(name, value)]).is_rate_spent, "{name}: {value}");
        }
        for (name, value) in
            [("x-ratelimit-remaining", "10"), ("x-ratelimit-limit", "0"), ("ratelimit", "remaining=05")]
        {
            assert!(!read(&[(name, value)]).is_rate_spent, "{name}: {value}");
        }
    }

    #[test]
    fn a_redirects_target_is_told_without_what_could_be_a_secret() {
        let of = |text: &'static str| read(&[("location", text)]).location;
        assert_eq!(of("https://me:pass@new.example/v2/x?key=1#a").as_deref(), Some("https://new.example/v2/x"));
        assert_eq!(of("/login?next=%2F").as_deref(), Some("/login"));
    }

    /// A target was cut to 300 characters first, so that the key's first letters stood at its end.
    #[test]
    fn what_is_a_secret_is_taken_out_before_the_rest_is_cut() {
        let clean = |text: &str| text.replace("sk_live_1", "[key removed]");
        for length in 270..330 {
            let location = format!("https://new.example/{}/sk_live_1/x", "a".repeat(length));
            let rate = format!("{}sk_live_1", "1".repeat(length - 200));
            let named = [("location", location), ("x-ratelimit-limit", rate)]
                .map(|(name, text)| (HeaderName::from_static(name), HeaderValue::from_str(&text).unwrap()));
            let signals = Signals::read(&HeaderMap::from_iter(named), 0, clean);
            let told = format!("{} {}", signals.location.unwrap(), signals.rate[0].1);
            assert!(!told.contains("sk_"), "{length}: {told}");
        }
    }

    #[test]
    fn html_is_what_is_said_to_be_html() {
        assert!(read(&[("content-type", "text/HTML; charset=utf-8")]).is_html);
        assert!(!read(&[("content-type", "application/json")]).is_html);
    }
}
