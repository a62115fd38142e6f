//! The documented contract of *Video List (Analytics)*: its parameters, limits and response fields.
//!
//! Source of every fact, unless its item says otherwise: the vendor's page for `GET /v1/tiktok/video/list/analytics`.
//! Nothing here sends, decides when to send, or reads a clock.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::{EpochSeconds, LAST_PAGE, PageNumber};

/// What is fixed of the service that is exported: an export of another endpoint begins here.
///
/// What a run finds out by itself is the plan's (`plan::profile`), and what a query may ask is [`PageQuery`].
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The vendor's production address (documented). A reseller serves the same paths elsewhere, so it is a setting.
    pub base_url: &'static str,
    /// The path of the endpoint (documented).
    pub path: &'static str,
    /// Rows on a full page: the documented maximum of `page_size`.
    pub page_size: u32,
    /// The last page of a query (documented).
    pub last_page: u32,
    /// Response fields of a row, in the order of the vendor's page.
    pub fields: [&'static str; 31],
    /// Where among them the second stands that a query's bounds and order go by: whole seconds since 1970 (seen; the page names no unit).
    pub time: usize,
    /// Where the region stands that a row names as its own.
    pub region: usize,
    /// Where the number stands that tells rows apart.
    pub id: usize,
}

impl Source {
    /// The name of the field that tells rows apart.
    pub fn id_name(&self) -> &'static str {
        self.fields.get(self.id).copied().unwrap_or_default()
    }

    /// The name of the field that holds a row's second.
    pub fn time_name(&self) -> &'static str {
        self.fields.get(self.time).copied().unwrap_or_default()
    }
}

/// The service that this program exports.
pub const SOURCE: Source = Source {
    base_url: "https://api.keyapi.ai",
    path: "/v1/tiktok/video/list/analytics",
    page_size: 10,
    last_page: LAST_PAGE,
    fields: [
        "avatar",
        "create_time",
        "created_by_ai",
        "data_size",
        "duration",
        "height",
        "is_ad",
        "product_category_list",
        "ratio",
        "reflow_cover",
        "region",
        "sales_flag",
        "total_comments_cnt",
        "total_digg_1d_cnt",
        "total_digg_30d_cnt",
        "total_digg_7d_cnt",
        "total_digg_cnt",
        "total_favorites_cnt",
        "total_shares_cnt",
        "total_video_sale_cnt",
        "total_video_sale_gmv_amt",
        "total_views_1d_cnt",
        "total_views_30d_cnt",
        "total_views_7d_cnt",
        "total_views_cnt",
        "unique_id",
        "user_id",
        "video_desc",
        "video_id",
        "video_products",
        "width",
    ],
    time: 1,
    region: 10,
    id: 28,
};

/// A region code such as `US`: 1 to 16 ASCII letters, digits, `-` or `_`, so that it is also a safe folder name.
///
/// The vendor lists no codes; whether one exists is the service's to say. It holds its letters itself: some dozen things that are known of a
/// page name its region, and each would ask for memory of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region {
    /// Zeros behind the last letter, so that codes are in the order of their texts.
    letters: [u8; LONGEST_REGION],
    length: usize,
}

/// Letters of a region code, at most.
const LONGEST_REGION: usize = 16;

/// A region code that cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("region `{0}` is not a code of 1 to 16 letters, digits, `-` or `_`, such as US")]
pub struct RegionError(String);

impl Region {
    /// The code as it is sent.
    pub fn as_str(&self) -> &str {
        // Every code is made of ASCII alone.
        self.letters.get(..self.length).and_then(|code| std::str::from_utf8(code).ok()).unwrap_or_default()
    }

    fn of(code: &str) -> Option<Self> {
        let mut letters = [0; LONGEST_REGION];
        letters.get_mut(..code.len())?.copy_from_slice(code.as_bytes());
        let is_code = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (!code.is_empty() && code.bytes().all(is_code)).then_some(Self { letters, length: code.len() })
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Region").field(&self.as_str()).finish()
    }
}

impl TryFrom<String> for Region {
    type Error = RegionError;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        Self::of(&code).ok_or(RegionError(code))
    }
}

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::of(code).ok_or_else(|| RegionError(code.to_owned()))
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.as_str().to_owned()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The user's filters: the seven documented parameters that are not region, sort, page or time. All optional;
/// an absent one is not sent, because empty parameters must not be (documented).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filters {
    /// `sales_flag`: 0 = no product promotion, 1 = product promotion video; 2 is seen on a sibling page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sales_flag: Option<u8>,
    /// `created_by_ai`: sent as the text `true` or `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by_ai: Option<bool>,
    /// `min_duration`, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_duration: Option<u32>,
    /// `max_duration`, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<u32>,
    /// `product_category_id`: the category of associated products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_category_id: Option<String>,
    /// `is_ad`: sent as 1 or 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_ad: Option<bool>,
    /// `product_id`: a product associated with the video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<String>,
}

/// A filter value that the service could not mean.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FilterError {
    /// Outside 0 to 2.
    #[error("sales_flag {0} is not 0, 1 or 2")]
    SalesFlag(u8),
    /// The two durations exclude every video.
    #[error("min_duration {min} is above max_duration {max}")]
    Durations {
        /// The asked minimum, seconds.
        min: u32,
        /// The asked maximum, seconds.
        max: u32,
    },
    /// An id with nothing in it.
    #[error("{0} is empty; leave it out to ask for every video")]
    Empty(&'static str),
}

impl Filters {
    /// Whether no filter is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what can be known without the service.
    ///
    /// # Errors
    /// A `sales_flag` above 2, durations that exclude each other, an empty id.
    pub fn validate(&self) -> Result<(), FilterError> {
        if let Some(flag) = self.sales_flag.filter(|flag| *flag > 2) {
            return Err(FilterError::SalesFlag(flag));
        }
        if let (Some(min), Some(max)) = (self.min_duration, self.max_duration)
            && min > max
        {
            return Err(FilterError::Durations { min, max });
        }
        let ids = [("product_category_id", &self.product_category_id), ("product_id", &self.product_id)];
        match ids.into_iter().find(|(_, id)| id.as_deref().is_some_and(|text| text.trim().is_empty())) {
            Some((name, _)) => Err(FilterError::Empty(name)),
            None => Ok(()),
        }
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let zero_or_one = |flag: bool| u8::from(flag).to_string();
        let all = [
            ("sales_flag", self.sales_flag.map(|flag| flag.to_string())),
            ("created_by_ai", self.created_by_ai.map(|flag| flag.to_string())),
            ("min_duration", self.min_duration.map(|seconds| seconds.to_string())),
            ("max_duration", self.max_duration.map(|seconds| seconds.to_string())),
            ("product_category_id", self.product_category_id.clone()),
            ("is_ad", self.is_ad.map(zero_or_one)),
            ("product_id", self.product_id.clone()),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// The order in which rows are asked: a walk's by `create_time` (`video_sort_field=2`), and one that only an audit asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeOrder {
    /// `sort_type=0`, ascending.
    OldestFirst,
    /// `sort_type=1`, descending.
    NewestFirst,
    /// `video_sort_field=3` and `sort_type=1`: by `total_views_cnt`, descending. No time follows from it.
    MostViewedFirst,
}

/// One page, asked in full: the 14 documented parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageQuery {
    /// `region`.
    pub region: Region,
    /// The user's filters.
    pub filters: Filters,
    /// `min_create_time`, epoch seconds (reported by a reseller). Whether it is inclusive is unknown.
    pub min_create_time: Option<EpochSeconds>,
    /// `max_create_time`, epoch seconds (reported by a reseller). Whether it is inclusive is unknown.
    pub max_create_time: Option<EpochSeconds>,
    /// `sort_type`.
    pub order: TimeOrder,
    /// `page_num`.
    pub page: PageNumber,
}

impl PageQuery {
    /// The parameters as they are sent, absent ones left out.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let (sort_field, sort_type) = match self.order {
            TimeOrder::OldestFirst => ("2", "0"),
            TimeOrder::NewestFirst => ("2", "1"),
            TimeOrder::MostViewedFirst => ("3", "1"),
        };
        let mut pairs = vec![("region", self.region.to_string())];
        pairs.extend(self.filters.pairs());
        pairs.extend(self.min_create_time.map(|second| ("min_create_time", second.get().to_string())));
        pairs.extend(self.max_create_time.map(|second| ("max_create_time", second.get().to_string())));
        pairs.push(("video_sort_field", sort_field.to_owned()));
        pairs.push(("sort_type", sort_type.to_owned()));
        pairs.push(("page_num", self.page.get().to_string()));
        pairs.push(("page_size", SOURCE.page_size.to_string()));
        pairs
    }
}

#[cfg(test)]
impl PageQuery {
    /// The first page of US, oldest first, of any time.
    pub fn usual() -> Self {
        Self {
            region: "US".parse().unwrap(),
            filters: Filters::default(),
            min_create_time: None,
            max_create_time: None,
            order: TimeOrder::OldestFirst,
            page: PageNumber::FIRST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_query() -> PageQuery {
        PageQuery {
            region: "US".parse().unwrap(),
            filters: Filters {
                sales_flag: Some(1),
                created_by_ai: Some(false),
                min_duration: Some(5),
                max_duration: Some(60),
                product_category_id: Some("601450".to_owned()),
                is_ad: Some(true),
                product_id: Some("1732322694475518433".to_owned()),
            },
            min_create_time: Some(EpochSeconds::new(1)),
            max_create_time: Some(EpochSeconds::new(2)),
            order: TimeOrder::OldestFirst,
            page: PageNumber::FIRST,
        }
    }

    #[test]
    fn a_full_query_sends_all_fourteen_documented_parameters() {
        let sent: Vec<String> =
            full_query().pairs().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            sent.join("&"),
            "region=US&sales_flag=1&created_by_ai=false&min_duration=5&max_duration=60&product_category_id=601450&is_ad=1\
             &product_id=1732322694475518433&min_create_time=1&max_create_time=2&video_sort_field=2&sort_type=0&page_num=1\
             &page_size=10"
        );
    }

    #[test]
    fn another_order_is_another_sort_field() {
        let sort = |order| {
            let sent = PageQuery { order, ..full_query() }.pairs();
            let value = |wanted: &str| sent.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
            (value("video_sort_field").unwrap(), value("sort_type").unwrap())
        };
        assert_eq!(sort(TimeOrder::NewestFirst), ("2".to_owned(), "1".to_owned()));
        assert_eq!(sort(TimeOrder::MostViewedFirst), ("3".to_owned(), "1".to_owned()));
    }

    #[test]
    fn absent_parameters_are_not_sent() {
        let query =
            PageQuery { filters: Filters::default(), min_create_time: None, max_create_time: None, ..full_query() };
        assert_eq!(query.pairs().len(), 5);
    }

    #[test]
    fn filters_that_cannot_be_meant_are_refused_by_name() {
        let text = |filters: Filters| filters.validate().unwrap_err().to_string();
        assert_eq!(text(Filters { sales_flag: Some(3), ..Filters::default() }), "sales_flag 3 is not 0, 1 or 2");
        let durations = Filters { min_duration: Some(9), max_duration: Some(3), ..Filters::default() };
        assert_eq!(text(durations), "min_duration 9 is above max_duration 3");
        let empty = Filters { product_id: Some(" ".to_owned()), ..Filters::default() };
        assert_eq!(text(empty), "product_id is empty; leave it out to ask for every video");
        assert!(full_query().filters.validate().is_ok());
    }

    #[test]
    fn a_region_is_a_safe_folder_name() {
        assert!("US".parse::<Region>().is_ok());
        for bad in ["", "../x", "U S", "a/b", "seventeen-letters"] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
    }
}
