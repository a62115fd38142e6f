//! What a request asks: the 14 documented parameters, read strictly, as this service understands them.

use std::ops::Range;
use std::str::FromStr;

use super::settings::{Bound, Bounds, ContractSettings, FilterName, OversizedPage, PageNum, Sort, TimeUnit};
use super::world::{Direction, Selection, SortKey, World};
use crate::api::contract::{Filters, SOURCE};
use crate::units::{EpochSeconds, TimeRange};

/// Rows of a page where larger pages are honoured, at most.
const LARGEST_PAGE: u64 = 100;

/// A page, asked in full.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) region: String,
    pub(super) selection: Selection,
    /// `page_num` as it was sent.
    pub(super) page: u64,
    pub(super) page_size: u64,
}

/// The parameters of a request, as they were sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters(pub(super) Vec<(String, String)>);

impl Parameters {
    /// The same text for the same question, whatever the order of its parameters.
    pub(super) fn identity(&self) -> String {
        let mut pairs: Vec<[&str; 3]> = self.0.iter().map(|(name, value)| [name.as_str(), "=", value]).collect();
        pairs.sort_unstable_by(|one, other| letters(one).cmp(letters(other)));
        let mut identity = String::with_capacity(256);
        for (place, pair) in pairs.into_iter().enumerate() {
            identity.extend((place > 0).then_some("&").into_iter().chain(pair));
        }
        identity
    }

    /// The value of `name`; none where it is absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The user's filters.
    ///
    /// # Errors
    /// The message of a 400 for a value that cannot be meant.
    pub(super) fn filters(&self) -> Result<Filters, String> {
        Ok(Filters {
            sales_flag: self.number("sales_flag")?,
            created_by_ai: self.value("created_by_ai", |text| text.parse().ok())?,
            min_duration: self.number("min_duration")?,
            max_duration: self.number("max_duration")?,
            product_category_id: self.text("product_category_id")?,
            is_ad: self.value("is_ad", |text| match text {
                "0" => Some(false),
                "1" => Some(true),
                _ => None,
            })?,
            product_id: self.text("product_id")?,
        })
    }

    /// The whole request.
    ///
    /// # Errors
    /// The message of a 400, in the vendor's words, for what is missing or cannot be meant.
    pub(super) fn asked(&self, contract: &ContractSettings, world: &World) -> Result<Asked, String> {
        let required = |name: &str| self.get(name).ok_or_else(|| format!("Missing required parameter: {name}"));
        let region = required("region")?.to_owned();
        required("page_num").and_then(|_| required("page_size"))?;
        self.text("region")?;
        let (sort, direction) = self.order(contract.sort)?;
        let offsets = self.offsets(contract, world)?;
        let filters = kept(self.filters()?, &contract.ignored_filters);
        let selection = Selection { filters, offsets, sort, direction };
        let page = self.page(contract.page_num)?;
        Ok(Asked { region, selection, page, page_size: self.page_size(contract.oversized_page)? })
    }

    fn page(&self, meaning: PageNum) -> Result<u64, String> {
        let page = self.number("page_num")?.unwrap_or(0);
        if page == 0 && meaning == PageNum::Pages { Err(invalid("page_num")) } else { Ok(page) }
    }

    fn page_size(&self, oversized: OversizedPage) -> Result<u64, String> {
        let most = u64::from(SOURCE.page_size);
        match (self.number("page_size")?.unwrap_or(0), oversized) {
            (0, _) => Err(invalid("page_size")),
            (size, OversizedPage::Refused) if size > most => Err(invalid("page_size")),
            (size, OversizedPage::Honoured) => Ok(size.min(LARGEST_PAGE)),
            (size, _) => Ok(size.min(most)),
        }
    }

    /// Without a sort field the order is arbitrary; without a direction it is descending.
    fn order(&self, sort: Sort) -> Result<(SortKey, Direction), String> {
        let key = self.value("video_sort_field", |text| match text {
            "1" => Some(SortKey::Likes),
            "2" => Some(SortKey::Time),
            "3" => Some(SortKey::Views),
            _ => None,
        })?;
        let direction = self.value("sort_type", |text| match text {
            "0" => Some(Direction::Ascending),
            "1" => Some(Direction::Descending),
            _ => None,
        })?;
        match sort {
            Sort::Ignored => Ok((SortKey::Arbitrary, Direction::Ascending)),
            Sort::AlwaysAscending => Ok((key.unwrap_or(SortKey::Arbitrary), Direction::Ascending)),
            Sort::Honoured => Ok((key.unwrap_or(SortKey::Arbitrary), direction.unwrap_or(Direction::Descending))),
        }
    }

    fn offsets(&self, contract: &ContractSettings, world: &World) -> Result<Range<u32>, String> {
        let unit = match contract.time_unit {
            TimeUnit::Seconds => 1,
            TimeUnit::Milliseconds => 1_000,
        };
        let up = |bound: i64| bound.div_euclid(unit) + i64::from(bound.rem_euclid(unit) > 0);
        let down = |bound: i64| bound.div_euclid(unit);
        if contract.bounds == Bounds::Ignored {
            return Ok(world.offsets(world.range()));
        }
        let rounded = match contract.min_rounded_to_s {
            0 | 1 => 1,
            seconds => i64::from(seconds) * unit,
        };
        let min = self.number::<i64>("min_create_time")?.map(|bound| bound - bound.rem_euclid(rounded));
        let start = min.map(|bound| match contract.min_bound {
            Bound::Inclusive => up(bound),
            Bound::Exclusive => down(bound).saturating_add(1),
        });
        let end = self.number::<i64>("max_create_time")?.map(|bound| match contract.max_bound {
            Bound::Inclusive => down(bound).saturating_add(1),
            Bound::Exclusive => up(bound),
        });
        let start = start.map_or(world.range().start, EpochSeconds::new);
        let end = end.map_or(world.range().end, EpochSeconds::new);
        Ok(world.offsets(TimeRange::new(start, end)))
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        self.value(name, |text| text.parse().ok())
    }

    fn text(&self, name: &str) -> Result<Option<String>, String> {
        self.value(name, |text| (!text.trim().is_empty()).then(|| text.to_owned()))
    }

    /// The value of `name` as `read` takes it; an empty parameter must not be sent, so it is refused like any bad one.
    fn value<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, String> {
        self.get(name).map(|text| read(text).ok_or_else(|| invalid(name))).transpose()
    }
}

/// The filters without those that leave nothing out.
fn kept(mut filters: Filters, ignored: &[FilterName]) -> Filters {
    for name in ignored {
        match name {
            FilterName::SalesFlag => filters.sales_flag = None,
            FilterName::CreatedByAi => filters.created_by_ai = None,
            FilterName::MinDuration => filters.min_duration = None,
            FilterName::MaxDuration => filters.max_duration = None,
            FilterName::ProductCategoryId => filters.product_category_id = None,
            FilterName::IsAd => filters.is_ad = None,
            FilterName::ProductId => filters.product_id = None,
        }
    }
    filters
}

/// The letters of a text in pieces.
fn letters<'a>(pieces: &'a [&str; 3]) -> impl Iterator<Item = u8> + 'a {
    pieces.iter().flat_map(|piece| piece.bytes())
}

fn invalid(name: &str) -> String {
    format!("Invalid parameter: {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::SimulatorSettings;

    fn parameters(text: &str) -> Parameters {
        let pair = |part: &str| part.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Parameters(text.split('&').filter_map(pair).collect())
    }

    fn asked(text: &str, contract: &ContractSettings) -> Result<Asked, String> {
        parameters(text).asked(contract, &World::new(&SimulatorSettings::default()))
    }

    fn refusal(text: &str) -> String {
        asked(text, &ContractSettings::default()).unwrap_err()
    }

    #[test]
    fn what_is_missing_or_senseless_is_refused_by_name() {
        assert_eq!(refusal("page_num=1&page_size=10"), "Missing required parameter: region");
        assert_eq!(refusal("region=US&page_size=10"), "Missing required parameter: page_num");
        assert_eq!(refusal("region=US&page_num=1"), "Missing required parameter: page_size");
        for (name, value) in [
            ("sales_flag", ""),
            ("created_by_ai", "1"),
            ("min_duration", "-1"),
            ("is_ad", "true"),
            ("video_sort_field", "4"),
            ("min_create_time", "2025-12-01"),
            ("product_id", ""),
        ] {
            let text = format!("region=US&page_num=1&page_size=10&{name}={value}");
            assert_eq!(refusal(&text), format!("Invalid parameter: {name}"));
        }
        assert_eq!(refusal("region=US&page_num=0&page_size=10"), "Invalid parameter: page_num");
        assert_eq!(refusal("region=US&page_num=1&page_size=11"), "Invalid parameter: page_size");
    }

    #[test]
    fn each_bound_is_taken_as_it_is_set() {
        let offsets = |min_bound, max_bound, time_unit, times: &str| {
            let contract = ContractSettings { min_bound, max_bound, time_unit, ..ContractSettings::default() };
            asked(&format!("region=US&page_num=1&page_size=10&{times}"), &contract).unwrap().selection.offsets
        };
        let seconds = "min_create_time=1764547210&max_create_time=1764547220";
        assert_eq!(offsets(Bound::Inclusive, Bound::Inclusive, TimeUnit::Seconds, seconds), 10..21);
        assert_eq!(offsets(Bound::Exclusive, Bound::Inclusive, TimeUnit::Seconds, seconds), 11..21);
        assert_eq!(offsets(Bound::Inclusive, Bound::Exclusive, TimeUnit::Seconds, seconds), 10..20);
        assert_eq!(offsets(Bound::Exclusive, Bound::Exclusive, TimeUnit::Seconds, seconds), 11..20);
        let exact = "min_create_time=1764547210000&max_create_time=1764547220000";
        assert_eq!(offsets(Bound::Inclusive, Bound::Inclusive, TimeUnit::Milliseconds, exact), 10..21);
        assert_eq!(offsets(Bound::Exclusive, Bound::Exclusive, TimeUnit::Milliseconds, exact), 11..20);
        let between = "min_create_time=1764547210001&max_create_time=1764547220001";
        assert_eq!(offsets(Bound::Inclusive, Bound::Exclusive, TimeUnit::Milliseconds, between), 11..21);
        let misread = offsets(Bound::Inclusive, Bound::Inclusive, TimeUnit::Milliseconds, seconds);
        assert!(misread.is_empty(), "seconds read as milliseconds lie in 1970: {misread:?}");
    }

    #[test]
    fn a_question_is_the_same_in_any_order() {
        assert_eq!(parameters("a=1&b=2").identity(), parameters("b=2&a=1").identity());
    }
}
