//! The values that people write in settings: moments, dense seconds and named choices.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::api::contract::Region;
use crate::units::EpochSeconds;

/// A moment as a person writes it: RFC 3339, a date (its midnight UTC), or epoch seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub struct Moment(pub EpochSeconds);

/// A text that is no moment.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no moment; write RFC 3339 (2025-12-01T00:00:00Z), a date (2025-12-01) or epoch seconds (1764547200)")]
pub struct MomentError(String);

/// What a settings file may hold for a moment.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Seconds(i64),
    Text(String),
}

impl TryFrom<Written> for Moment {
    type Error = MomentError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written::Seconds(seconds) => Ok(Self(EpochSeconds::new(seconds))),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = text.parse::<i64>().ok();
        let instant = || text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second);
        let midnight = || {
            let date = text.parse::<jiff::civil::Date>().ok()?;
            Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
        };
        let found = seconds.or_else(instant).or_else(midnight);
        found.map(|second| Self(EpochSeconds::new(second))).ok_or_else(|| MomentError(text.to_owned()))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A second that holds a stated number of rows on top of the density; written `MOMENT=ROWS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DenseSecond {
    /// The second.
    pub second: Moment,
    /// Its rows, in every region.
    pub rows: u32,
}

/// A text that is no dense second.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no dense second; write MOMENT=ROWS, such as 2025-12-05T12:00:00Z=350")]
pub struct DenseSecondError(String);

impl FromStr for DenseSecond {
    type Err = DenseSecondError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (second, rows) = text.rsplit_once('=')?;
            Some(Self { second: second.parse().ok()?, rows: rows.parse().ok()? })
        };
        parse().ok_or_else(|| DenseSecondError(text.to_owned()))
    }
}

impl TryFrom<String> for DenseSecond {
    type Error = DenseSecondError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DenseSecond> for String {
    fn from(dense: DenseSecond) -> Self {
        dense.to_string()
    }
}

impl fmt::Display for DenseSecond {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.second, self.rows)
    }
}

/// A region that is refused, and how; written `REGION=CODE` or `REGION=CODE:WORDS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefusedRegion {
    /// The region.
    pub region: Region,
    /// The HTTP status, and the envelope's code.
    pub code: u16,
    /// What the message says.
    pub words: String,
}

/// A text that is no refused region.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` refuses no region; write REGION=CODE:WORDS, such as GB=403:not in your plan, with a code from 300 to 599"
)]
pub struct RefusedRegionError(String);

impl FromStr for RefusedRegion {
    type Err = RefusedRegionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (region, how) = text.split_once('=')?;
            let (code, words) = how.split_once(':').unwrap_or((how, "this region is not in your plan"));
            let code = code.parse().ok().filter(|code| (300..600).contains(code))?;
            Some(Self { region: region.parse().ok()?, code, words: words.to_owned() })
        };
        parse().ok_or_else(|| RefusedRegionError(text.to_owned()))
    }
}

impl TryFrom<String> for RefusedRegion {
    type Error = RefusedRegionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RefusedRegion> for String {
    fn from(refused: RefusedRegion) -> Self {
        refused.to_string()
    }
}

impl fmt::Display for RefusedRegion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}:{}", self.region, self.code, self.words)
    }
}

/// Declares a named choice, written in `snake_case` in files and flags alike.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
        #[serde(rename_all = "snake_case")]
        #[value(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }
    };
}

choice!(
    /// How a region's rows lie in time.
    Density {
        /// Evenly.
        Uniform,
        /// By the hour of the day: a busy evening, a quiet night.
        #[default]
        Daily,
        /// Half of the rows in bursts: a few seconds hold dozens to hundreds.
        Bursty,
        /// All in the middle hour of the range.
        OneHour,
        /// All in the middle second of the range.
        OneSecond,
    }
);
choice!(
    /// Whether a time bound takes its own second in.
    Bound {
        /// It does.
        #[default]
        Inclusive,
        /// It does not.
        Exclusive,
    }
);
choice!(
    /// The unit of `min_create_time` and `max_create_time`.
    TimeUnit {
        /// Epoch seconds.
        #[default]
        Seconds,
        /// Epoch milliseconds.
        Milliseconds,
    }
);
choice!(
    /// The order of rows that share a second.
    TieOrder {
        /// The same on every request; newest first is exactly oldest first reversed.
        #[default]
        Stable,
        /// The same on every request and in both directions: newest first does not reverse it.
        Unmirrored,
        /// Another one on every request.
        Fresh,
    }
);
choice!(
    /// Whether the asked sort is kept.
    Sort {
        /// It is.
        #[default]
        Honoured,
        /// By what it asks, but always the least first.
        AlwaysAscending,
        /// Rows come in an arbitrary, stable order.
        Ignored,
    }
);
choice!(
    /// What `page_num` counts.
    PageNum {
        /// Pages from 1.
        #[default]
        Pages,
        /// Rows from 0, as one vendor page says.
        RowOffset,
        /// Pages from 0, so that page 1 is the second.
        PagesFromZero,
    }
);
choice!(
    /// What becomes of the question.
    Answering {
        /// Each is answered.
        #[default]
        Each,
        /// Whatever is asked, the first page of the region is answered.
        AlwaysTheSame,
    }
);
choice!(
    /// What becomes of the asked time.
    Bounds {
        /// It is kept to.
        #[default]
        Kept,
        /// It is ignored.
        Ignored,
    }
);
choice!(
    /// What a `page_size` above 10 does.
    OversizedPage {
        /// It is refused with 400.
        #[default]
        Refused,
        /// It is taken as 10.
        Clamped,
        /// So many rows come.
        Honoured,
    }
);
choice!(
    /// A documented filter, by its name.
    FilterName {
        /// `sales_flag`.
        #[default]
        SalesFlag,
        /// `created_by_ai`.
        CreatedByAi,
        /// `min_duration`.
        MinDuration,
        /// `max_duration`.
        MaxDuration,
        /// `product_category_id`.
        ProductCategoryId,
        /// `is_ad`.
        IsAd,
        /// `product_id`.
        ProductId,
    }
);
choice!(
    /// What a page past the last one returns.
    PastLastPage {
        /// HTTP 400.
        #[default]
        BadRequest,
        /// HTTP 404.
        NotFound,
        /// An empty page.
        Empty,
        /// `code` 400 in a 200.
        BadRequestInside,
        /// HTTP 403, as if the key had no access.
        Forbidden,
        /// HTTP 500, as of a search engine whose window of results is too small.
        ServerError,
        /// The last page again.
        RepeatLast,
    }
);
choice!(
    /// Why pages are shorter than asked.
    ShortPages {
        /// They are not.
        #[default]
        None,
        /// Slots that hold no row for the caller are dropped after paging; nothing is lost.
        Filtered,
        /// The last row of a page is left out although it counts; another alignment of pages shows it.
        Hidden,
        /// Any one row of a page is left out although it counts; another alignment of pages shows it.
        HiddenAnywhere,
    }
);
choice!(
    /// What `data` is on a page without rows.
    EmptyPage {
        /// `[]`.
        #[default]
        Brackets,
        /// `null`.
        Null,
        /// Not there.
        Missing,
        /// No body at all: HTTP 204.
        NoContent,
        /// An error: HTTP 404, "No more data".
        NotFound,
    }
);
choice!(
    /// What the key may do.
    Access {
        /// Ask for this endpoint.
        #[default]
        Granted,
        /// Nothing here: every request gets 403.
        Denied,
        /// Nothing as it is asked: every request gets 422.
        Unprocessable,
        /// Nothing here: every request gets 301 to another host.
        Moved,
    }
);
choice!(
    /// Whether error messages repeat the caller's key, which must not reach any log.
    KeyEcho {
        /// They do not.
        #[default]
        Silent,
        /// They do.
        Echoed,
    }
);
choice!(
    /// How the rate limit counts.
    LimitKind {
        /// A bucket of permits that refills steadily.
        #[default]
        Bucket,
        /// So many requests in each second of the wall clock.
        Calendar,
    }
);
choice!(
    /// How a request above the rate limit is answered.
    ThrottleForm {
        /// HTTP 429.
        #[default]
        Status,
        /// `code` 429 in a 200.
        Inside,
        /// A `code` that is documented nowhere in a 200, with words of too many requests.
        Words,
        /// HTTP 403 with words of a rate limit.
        Forbidden,
        /// HTTP 503 with HTML; only `retry_after_s` tells it from trouble.
        Unavailable,
        /// An empty page that looks like success.
        EmptyPage,
    }
);
choice!(
    /// Whether answers tell the rate limit.
    RateHeaders {
        /// They do not.
        #[default]
        Silent,
        /// Each does.
        Told,
    }
);
choice!(
    /// How an exhausted quota is told.
    QuotaForm {
        /// HTTP 402.
        #[default]
        PaymentRequired,
        /// HTTP 403 with words of quota.
        Forbidden,
        /// `code` 402 in a 200.
        Inside,
        /// HTTP 500 with words of a usage limit, as the sister product does.
        ServerError,
        /// A `code` that is documented nowhere in a 200, with words of quota.
        Words,
        /// Words of quota on an empty page that otherwise looks like success.
        Success,
        /// A `code` that is documented nowhere in a 200, with words of credits and not of quota.
        Credits,
    }
);
choice!(
    /// How a region fails that always fails.
    DeadForm {
        /// HTTP 500.
        #[default]
        ServerError,
        /// The answer hangs before its first byte.
        Stall,
    }
);
choice!(
    /// What every answer is during a trouble, whoever asks.
    TroubleForm {
        /// There is no trouble.
        #[default]
        None,
        /// An empty page that looks like success.
        Empty,
        /// The page of the world's next region.
        OtherRegion,
        /// The page as if no time were asked.
        OtherTime,
        /// The page after the asked one.
        NextPage,
        /// The page as if pages had half as many places, so that the rest of their rows move to later pages.
        FewerPlaces,
        /// The asked page, whose rows name their `video_id` otherwise.
        WithoutIds,
        /// The asked page, but that one row which was not asked for stands before its rows, in the place of the tenth.
        Advertised,
    }
);
choice!(
    /// Whether answers that carry no page cost a credit (401 and 429 never do).
    ErrorCharge {
        /// They do.
        #[default]
        Charged,
        /// They do not.
        Free,
    }
);
choice!(
    /// Whether answers are compressed for a client that accepts it.
    Compression {
        /// Never.
        #[default]
        Plain,
        /// With gzip.
        Gzip,
        /// With gzip, in two members.
        GzipMembers,
    }
);
choice!(
    /// What stands around the JSON of an answer.
    Framing {
        /// Nothing.
        #[default]
        Bare,
        /// A byte order mark before it.
        ByteOrderMark,
        /// NUL bytes and a line's end behind it.
        TrailingNul,
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_in_each_of_its_spellings() {
        for text in ["1764547200", "2025-12-01", "2025-12-01T00:00:00Z", "2025-12-01T01:00:00+01:00"] {
            assert_eq!(text.parse::<Moment>().unwrap().0.get(), 1_764_547_200, "{text}");
        }
        let refused = "-7d".parse::<Moment>().unwrap_err().to_string();
        assert!(refused.starts_with("`-7d` is no moment; write RFC 3339"), "{refused}");
    }

    #[test]
    fn a_refused_region_reads_what_it_writes() {
        let refused: RefusedRegion = "GB=403:not in your plan: ask".parse().unwrap();
        assert_eq!((refused.code, refused.words.as_str()), (403, "not in your plan: ask"));
        assert_eq!(refused.to_string().parse::<RefusedRegion>().unwrap(), refused);
        assert!("GB=200".parse::<RefusedRegion>().is_err() && "GB".parse::<RefusedRegion>().is_err());
    }

    #[test]
    fn a_dense_second_reads_what_it_writes() {
        let dense: DenseSecond = "2025-12-05T12:00:00Z=350".parse().unwrap();
        assert_eq!(dense.rows, 350);
        assert_eq!(dense.to_string().parse::<DenseSecond>().unwrap(), dense);
        assert!("2025-12-05".parse::<DenseSecond>().is_err());
    }
}
