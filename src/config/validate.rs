//! The bounds of the settings, and what a run needs beyond them. Pure: the moment of the run comes in as an argument.

use std::fmt::Display;
use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::redact::quoted;
use crate::config::token::require_tls;
use crate::config::{HumanDuration, QuestionSettings, Settings, TimeSpec};
use crate::units::{EpochSeconds, LAST_PAGE, TimeRange};

/// The most requests that may be on their way at once.
pub const MAX_IN_FLIGHT: u32 = 1_024;
/// What a whole number may be, for each key that bounds it more than its type does: the least, and the most where there is one.
const WHOLE_NUMBERS: [(&str, u64, Option<u64>); 9] = [
    ("pace.max_in_flight", 1, Some(MAX_IN_FLIGHT as u64)),
    ("plan.window_pages", 1, Some(LAST_PAGE as u64)),
    ("plan.anchor_pages", 1, Some(LAST_PAGE as u64)),
    ("verified.last_page", 1, Some(LAST_PAGE as u64)),
    ("budget.max_credits", 1, None),
    ("budget.quota", 1, None),
    ("output.row_group_rows", 1, Some(u32::MAX as u64)),
    ("output.part_rows", 1, None),
    ("output.zstd_level", 1, Some(22)),
];
/// Headers that say how a request is sent: a key in one of them would break it.
const RESERVED_HEADERS: [&str; 13] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "accept-encoding",
    "upgrade",
    "trailer",
    "te",
    "expect",
    "proxy-authorization",
];
/// The smallest answer limit that surely holds a page of ten rows with long descriptions, bytes.
const LEAST_BODY_LIMIT: u64 = 64 << 10;
/// 0000-01-01T00:00:00Z: earlier moments are told in words.
const FIRST_NAMED_SECOND: i64 = -62_167_219_200;
/// Each request on its way may hold an answer of this size, and a column of one answer must fit what Parquet's writer takes.
const MOST_BODY_LIMIT: u64 = 256 << 20;
/// How often a lease may be renewed.
const LEAST_LEASE: Duration = Duration::from_millis(100);
/// How seldom.
const MOST_LEASE: Duration = Duration::from_secs(600);
/// The longest wait before an end is confirmed.
const MOST_CONFIRM_AFTER: Duration = Duration::from_secs(3_600);

impl Settings {
    /// Checks every value against its bounds. What only `run` needs is checked by [`QuestionSettings::range`] and
    /// [`Settings::require_regions`].
    ///
    /// # Errors
    /// The first value that is out of its bounds, filters that exclude each other, an address that cannot be asked.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.question.filters.validate()?;
        self.validate_service()?;
        self.validate_plan()?;
        self.validate_output()?;
        self.validate_state()
    }

    /// Checks that at least one region is asked.
    ///
    /// # Errors
    /// [`ConfigError::Missing`].
    pub fn require_regions(&self) -> Result<(), ConfigError> {
        if self.question.regions.is_empty() {
            return Err(ConfigError::Missing { key: "question.regions", flag: "--region US" });
        }
        Ok(())
    }

    fn validate_service(&self) -> Result<(), ConfigError> {
        let service = &self.service;
        require_tls(&service.base_url)?;
        let is_path = service.path.starts_with('/') && service.path.bytes().all(is_path_byte);
        bound("service.path", &service.path, is_path, "a path begins with / and holds no space, ?, # or backslash")?;
        let header_fits = !service.auth_header.is_empty() && service.auth_header.bytes().all(is_header_name_byte);
        let name = untold(&service.auth_header);
        bound(
            "service.auth_header",
            &name,
            header_fits,
            "a header's name is letters, digits and -, without its value",
        )?;
        let is_free = !RESERVED_HEADERS.iter().any(|reserved| service.auth_header.eq_ignore_ascii_case(reserved));
        bound(
            "service.auth_header",
            name,
            is_free,
            "this header is the connection's own; a key's is Authorization or X-Api-Key",
        )?;
        let scheme_fits = service.auth_scheme.bytes().all(|byte| byte.is_ascii_graphic());
        let scheme = untold(&service.auth_scheme);
        bound("service.auth_scheme", scheme, scheme_fits, "a scheme is one word, such as Bearer, without the key")?;
        some_time("service.connect_timeout", service.connect_timeout)?;
        some_time("service.request_timeout", service.request_timeout)?;
        let limit_fits = (LEAST_BODY_LIMIT..=MOST_BODY_LIMIT).contains(&service.body_limit.get().get());
        bound("service.body_limit", service.body_limit, limit_fits, "it is 64KiB to 256MiB")
    }

    fn validate_plan(&self) -> Result<(), ConfigError> {
        whole("pace.max_in_flight", self.pace.max_in_flight.into())?;
        some_time("pace.give_up_after", self.pace.give_up_after)?;
        let plan = &self.plan;
        whole("plan.window_pages", plan.window_pages.into())?;
        whole("plan.anchor_pages", plan.anchor_pages.into())?;
        some_time("plan.stretch_age", plan.stretch_age)?;
        let may_wait = plan.confirm_after.get() <= MOST_CONFIRM_AFTER;
        bound("plan.confirm_after", plan.confirm_after, may_wait, "it is 0s to 1h")?;
        if let Some(page) = self.verified.last_page {
            whole("verified.last_page", page.into())?;
        }
        if let Some(rate) = self.verified.requests_per_second {
            let fits = rate.is_finite() && rate > 0.0;
            bound("verified.requests_per_second", rate, fits, "it is more than 0")?;
        }
        if let Some(credits) = self.budget.max_credits {
            whole("budget.max_credits", credits.get())?;
        }
        if let Some(price) = self.budget.credit_price {
            bound(
                "budget.credit_price",
                price,
                price.is_finite() && price > 0.0,
                "it is a price above 0, such as 0.002",
            )?;
        }
        if let Some(quota) = self.budget.quota {
            whole("budget.quota", quota.get())?;
        }
        self.budget.time_budget.map_or(Ok(()), |length| some_time("budget.time_budget", length))
    }

    fn validate_state(&self) -> Result<(), ConfigError> {
        let state = &self.state;
        let at_risk = state.requests_at_risk;
        bound("state.requests_at_risk", at_risk, at_risk > 0, "it is at least 1")?;
        some_time("state.ship_every", state.ship_every)?;
        let lease = LEAST_LEASE..=MOST_LEASE;
        let is_one = lease.contains(&state.lease_interval.get());
        bound("state.lease_interval", state.lease_interval, is_one, "it is 100ms to 10m")
    }

    fn validate_output(&self) -> Result<(), ConfigError> {
        let output = &self.output;
        let named = !output.folder.as_os_str().is_empty();
        bound("output.folder", output.folder.display(), named, "it is the path of a folder")?;
        whole("output.row_group_rows", output.row_group_rows.into())?;
        whole("output.part_rows", output.part_rows)?;
        bound("output.part_bytes", output.part_bytes, output.part_bytes.get().get() > 0, "it is at least 1B")?;
        output.retain.map_or(Ok(()), |length| some_time("output.retain", length))?;
        whole("output.zstd_level", output.zstd_level.into())
    }
}

impl QuestionSettings {
    /// The half-open range that a run which begins at `now` asks for, its end not after `now`.
    ///
    /// # Errors
    /// A missing `from`; a range that holds no second.
    pub fn range(&self, now: EpochSeconds) -> Result<TimeRange, ConfigError> {
        let missing = ConfigError::Missing { key: "question.from", flag: "--from 2026-01-01" };
        let from = self.from.as_ref().ok_or(missing)?;
        for (end, spec) in [("from", from), ("to", &self.to)] {
            let moment = spec.resolve(now);
            if moment < EpochSeconds::new(0) {
                let (text, moment) = (quoted(spec.as_str()), told(moment));
                return Err(ConfigError::BeforeEpoch { end, text, moment });
            }
        }
        let range = TimeRange::new(from.resolve(now), self.to.resolve(now).min(now));
        if range.is_empty() {
            let (from, to) = (quoted(from.as_str()), quoted(self.to.as_str()));
            return Err(ConfigError::EmptyRange { from, to, range });
        }
        Ok(range)
    }

    /// Whether the clock decides about an end of that range: one is relative, or the end would lie after `now`.
    pub fn depends_on(&self, now: EpochSeconds) -> bool {
        self.from.as_ref().is_some_and(TimeSpec::is_relative) || self.to.is_relative() || self.to.resolve(now) > now
    }
}

/// A moment, or words for one that no calendar has.
fn told(moment: EpochSeconds) -> String {
    if moment.get() < FIRST_NAMED_SECOND { "long before the year 0".to_owned() } else { moment.to_string() }
}

/// What stands beside the key is often the key itself, so an error tells only its length.
fn untold(value: &str) -> String {
    format!("({} characters)", value.chars().count())
}

/// What a URL's path holds as it is; the query is ours.
const fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\')
}

const fn is_header_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn some_time(key: &'static str, length: HumanDuration) -> Result<(), ConfigError> {
    bound(key, length, !length.get().is_zero(), "it must be longer than nothing")
}

fn bound(key: &'static str, value: impl Display, fits: bool, why: &str) -> Result<(), ConfigError> {
    let refusal =
        || ConfigError::OutOfBounds { key, value: quoted(&value.to_string()), place: None, why: why.to_owned() };
    if fits { Ok(()) } else { Err(refusal()) }
}

fn whole(key: &'static str, number: u64) -> Result<(), ConfigError> {
    let Some((least, most)) = bounds_of(key) else { return Ok(()) };
    let fits = number >= least && most.is_none_or(|most| number <= most);
    bound(key, number, fits, &format!("it is {}", told_bounds(least, most)))
}

fn bounds_of(key: &str) -> Option<(u64, Option<u64>)> {
    WHOLE_NUMBERS.iter().find(|(name, ..)| *name == key).map(|(_, least, most)| (*least, *most))
}

fn told_bounds(least: u64, most: Option<u64>) -> String {
    most.map_or_else(|| format!("at least {least}"), |most| format!("{least} to {most}"))
}

/// `1 to 1024`: what the whole number of a key may be, where the key bounds it more than its type does.
pub(crate) fn bounds_in_words(key: &str) -> Option<String> {
    bounds_of(key).map(|(least, most)| told_bounds(least, most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HumanBytes;

    const NOW: EpochSeconds = EpochSeconds::new(1_773_156_030);

    fn question(from: &str, to: &str) -> QuestionSettings {
        QuestionSettings { from: Some(from.parse().unwrap()), to: to.parse().unwrap(), ..QuestionSettings::default() }
    }

    #[test]
    fn the_defaults_are_within_their_own_bounds() {
        Settings::default().validate().unwrap();
    }

    #[test]
    fn a_range_ends_at_the_runs_beginning_at_the_latest() {
        let range = question("-1d", "2099-01-01").range(NOW).unwrap();
        assert_eq!(range.to_string(), "[2026-03-09T00:00:00Z, 2026-03-10T15:20:30Z)");
    }

    #[test]
    fn a_range_that_begins_before_1970_is_refused() {
        for (from, to) in [("-4294967295d", "now"), ("-60d", "-40000d"), ("now-999999h", "now")] {
            let error = question(from, to).range(NOW).unwrap_err();
            assert!(matches!(error, ConfigError::BeforeEpoch { .. }), "{error}");
        }
        let text = question("-20523d", "now").range(NOW).unwrap_err().to_string();
        assert_eq!(
            text,
            "`question.from = -20523d` is not possible: it is 1969-12-31T00:00:00Z, and no video is older than 1970"
        );
        assert!(question("1970-01-01", "now").range(NOW).is_ok());
    }

    #[test]
    fn what_stands_beside_the_key_is_not_told() {
        let mut settings = Settings::default();
        settings.service.auth_scheme = "Bearer tellnobody".to_owned();
        assert!(!settings.validate().unwrap_err().to_string().contains("tellnobody"));
        settings = Settings::default();
        settings.service.auth_header = "X-Key: tellnobody".to_owned();
        assert!(!settings.validate().unwrap_err().to_string().contains("tellnobody"));
    }

    #[test]
    fn a_range_depends_on_the_clock_where_an_end_moves_with_it() {
        let depends = |from: &str, to: &str| question(from, to).depends_on(NOW);
        assert!(depends("-7d", "2026-03-01") && depends("2026-03-01", "now") && depends("2026-03-01", "-0d"));
        assert!(depends("2026-03-01", "2099-01-01"), "clamped to now");
        assert!(!depends("2026-03-01", "2026-03-02") && !depends("0", "1773156030"));
    }

    #[test]
    fn a_range_without_a_second_is_refused_as_written_and_as_meant() {
        let text = question("now", "-1d").range(NOW).unwrap_err().to_string();
        assert_eq!(
            text,
            "the range from `now` to `-1d` holds no second: it is [2026-03-10T15:20:30Z, 2026-03-09T00:00:00Z)"
        );
        let missing = QuestionSettings::default().range(NOW).unwrap_err().to_string();
        assert_eq!(missing, "`question.from` is not set, and there is no default for it");
    }

    #[test]
    fn a_value_outside_its_bounds_is_named_with_them() {
        let refused = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.validate().unwrap_err().to_string()
        };
        assert_eq!(
            refused(|settings| settings.pace.max_in_flight = 0),
            "`pace.max_in_flight = 0` is not possible: it is 1 to 1024"
        );
        assert!(refused(|settings| settings.output.zstd_level = 23).contains("1 to 22"));
        assert!(refused(|settings| settings.plan.anchor_pages = 0).contains("plan.anchor_pages"));
        assert!(refused(|settings| settings.service.path = "v1".to_owned()).contains("begins with /"));
        assert!(refused(|settings| settings.service.auth_header = "X Key".to_owned()).contains("auth_header"));
        let own = refused(|settings| settings.service.auth_header = "Content-Length".to_owned());
        assert!(own.contains("the connection's own"), "{own}");
        let small: HumanBytes = "1KiB".parse().unwrap();
        let mut settings = Settings::default();
        settings.service.body_limit = small;
        assert!(settings.validate().unwrap_err().to_string().contains("64KiB"));
        settings.service.body_limit = "1GiB".parse().unwrap();
        assert!(settings.validate().unwrap_err().to_string().contains("256MiB"));
    }
}
