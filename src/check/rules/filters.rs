//! `filter_<name>`: whether each documented filter leaves out what it should.
//!
//! A filter works where a row came that passes it, none that does not, and the same question without it brings one that does not on the
//! same page: a filter that is ignored would have shown that one.

use super::base::{Base, base};
use super::{Rule, Scope};
use crate::check::answer::{Row, Traits};
use crate::check::finding::RuleVerdict;
use crate::check::seen::{Halt, Heard, Seen, Sight};

/// Known rows that should pass: more of them make the answer no surer.
const ENOUGH: usize = 3;

/// A documented filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::check) enum Filter {
    SalesFlag,
    CreatedByAi,
    MinDuration,
    MaxDuration,
    ProductCategoryId,
    IsAd,
    ProductId,
}

/// Every documented filter.
pub(super) const ALL: [Filter; 7] = [
    Filter::IsAd,
    Filter::SalesFlag,
    Filter::MinDuration,
    Filter::MaxDuration,
    Filter::CreatedByAi,
    Filter::ProductCategoryId,
    Filter::ProductId,
];

impl Rule for Filter {
    fn name(&self) -> &'static str {
        match self {
            Self::SalesFlag => "filter_sales_flag",
            Self::CreatedByAi => "filter_created_by_ai",
            Self::MinDuration => "filter_min_duration",
            Self::MaxDuration => "filter_max_duration",
            Self::ProductCategoryId => "filter_product_category_id",
            Self::IsAd => "filter_is_ad",
            Self::ProductId => "filter_product_id",
        }
    }

    fn judge(&self, seen: &Seen, scope: &Scope) -> Result<RuleVerdict, Halt> {
        let base = base(seen, scope)?;
        let control = base.later_page(seen, 0)?;
        let Some(value) = self.choose(seen, control) else {
            return Halt::unknown("no known row has a value that this filter could tell from another");
        };
        self.tried(seen, (&base, control), &value)
    }
}

impl Filter {
    /// The documented name.
    const fn parameter(self) -> &'static str {
        match self {
            Self::SalesFlag => "sales_flag",
            Self::CreatedByAi => "created_by_ai",
            Self::MinDuration => "min_duration",
            Self::MaxDuration => "max_duration",
            Self::ProductCategoryId => "product_category_id",
            Self::IsAd => "is_ad",
            Self::ProductId => "product_id",
        }
    }

    /// Whether a row passes; none where its field cannot be read.
    fn passes(self, traits: &Traits, value: &str) -> Option<bool> {
        let number = || value.parse::<i64>().ok();
        match self {
            Self::SalesFlag => Some(traits.sales_flag? == number()?),
            Self::CreatedByAi => Some(traits.created_by_ai?.to_string() == value),
            Self::IsAd => Some(i64::from(traits.is_ad?) == number()?),
            Self::MinDuration => Some(traits.duration? >= number()?),
            Self::MaxDuration => Some(traits.duration? <= number()?),
            Self::ProductCategoryId => Some(traits.categories.as_ref()?.iter().any(|id| id == value)),
            Self::ProductId => Some(traits.products.as_ref()?.iter().any(|id| id == value)),
        }
    }

    /// The values that rows have, as they are asked for.
    fn values(self, traits: &Traits) -> Vec<String> {
        match self {
            Self::SalesFlag => traits.sales_flag.map(|flag| flag.to_string()).into_iter().collect(),
            Self::CreatedByAi => traits.created_by_ai.map(|flag| flag.to_string()).into_iter().collect(),
            Self::IsAd => traits.is_ad.map(|flag| u8::from(flag).to_string()).into_iter().collect(),
            Self::MinDuration | Self::MaxDuration => {
                traits.duration.map(|seconds| seconds.to_string()).into_iter().collect()
            }
            Self::ProductCategoryId => traits.categories.clone().unwrap_or_default(),
            Self::ProductId => traits.products.clone().unwrap_or_default(),
        }
    }

    /// The value that leaves out most rows of the control and keeps some that are known. What was known before the first question with a
    /// filter decides, so that it stays the same.
    fn choose(self, seen: &Seen, control: Sight<'_>) -> Option<String> {
        let unfiltered = seen.pages().take_while(|(_, asked)| asked.filters.is_empty());
        let known: Vec<&Row> = unfiltered.flat_map(|(sight, _)| sight.page.rows.iter()).collect();
        let mut values: Vec<String> = known.iter().flat_map(|row| self.values(&row.traits)).collect();
        values.extend(self.other_values().iter().map(|value| (*value).to_owned()));
        // A shorter number is a smaller one: so the choice is the same where other ids stand for these, in their order.
        values.sort_unstable_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
        values.dedup();
        let left_out = |value: &String| {
            control.page.rows.iter().filter(|row| self.passes(&row.traits, value) == Some(false)).count()
        };
        let kept = |value: &String| known.iter().filter(|row| self.passes(&row.traits, value) == Some(true)).count();
        values
            .into_iter()
            .filter(|value| left_out(value) > 0)
            .max_by_key(|value| (kept(value).min(ENOUGH), left_out(value)))
    }

    /// Values that no row may have: where all rows have the same one, another one must bring none of them.
    const fn other_values(self) -> &'static [&'static str] {
        match self {
            Self::SalesFlag | Self::IsAd => &["0", "1"],
            Self::CreatedByAi => &["false", "true"],
            _ => &[],
        }
    }

    fn tried(self, seen: &Seen, (base, control): (&Base, Sight<'_>), value: &str) -> Result<RuleVerdict, Halt> {
        let question = base.whole().filtered(vec![(self.parameter(), value.to_owned())]);
        let asked = format!("{}={value}", self.parameter());
        let sight = match seen.heard(&question)? {
            Heard::Refused { number, code, message } => {
                return Ok(RuleVerdict::new("refused", [number], format!("{asked} is refused with {code}: {message}")));
            }
            Heard::Page(sight) => sight,
        };
        let mut rests_on = vec![control.number, sight.number];
        if self.count(sight, value, false) > 0 {
            let again = seen.heard_after(&question, sight.number)?.page()?;
            rests_on.push(again.number);
            if self.count(again, value, false) == 0 {
                return Ok(RuleVerdict::unknown(
                    rests_on,
                    format!("{asked} once brought rows that do not pass, and once did not"),
                ));
            }
            return Ok(RuleVerdict::new("ignored", rests_on, format!("{asked} brings rows that do not pass")));
        }
        if self.count(sight, value, true) > 0 {
            let why = format!("{asked} brings rows that pass and leaves out rows that do not");
            return Ok(RuleVerdict::new("works", rests_on, why));
        }
        self.without_rows(seen, (base, value), rests_on)
    }

    /// No row that passes came. Where the opposite brings the rows that are there, it was right to leave them out.
    fn without_rows(
        self,
        seen: &Seen,
        (base, value): (&Base, &str),
        mut rests_on: Vec<usize>,
    ) -> Result<RuleVerdict, Halt> {
        let asked = format!("{}={value}", self.parameter());
        let opposite = match value {
            "0" => "1",
            "1" => "0",
            "true" => "false",
            "false" => "true",
            _ => return Ok(RuleVerdict::unknown(rests_on, format!("{asked} brings no row"))),
        };
        let question = base.whole().filtered(vec![(self.parameter(), opposite.to_owned())]);
        let sight = seen.page(&question)?;
        rests_on.push(sight.number);
        if seen.flickers() {
            return Ok(RuleVerdict::unknown(rests_on, "pages come empty now and then, so one that does shows nothing"));
        }
        if self.count(sight, opposite, true) > 0 && self.count(sight, opposite, false) == 0 {
            let why = format!("{asked} leaves out the rows that {}={opposite} brings", self.parameter());
            return Ok(RuleVerdict::new("works", rests_on, why));
        }
        Ok(RuleVerdict::unknown(rests_on, format!("neither {asked} nor its opposite brings rows")))
    }

    fn count(self, sight: Sight<'_>, value: &str, passes: bool) -> usize {
        sight.page.rows.iter().filter(|row| self.passes(&row.traits, value) == Some(passes)).count()
    }
}
