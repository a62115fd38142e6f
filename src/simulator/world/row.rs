//! What is in a row: everything but its second is derived from the seed and the row's serial number on demand.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::api::contract::Filters;
use crate::simulator::chance::{Dice, Purpose};
use crate::simulator::world::moment::{self, Life};
use crate::simulator::world::rows::Row;
use crate::simulator::world::words::{CATEGORIES, NAMES, SENTENCES, SHAPES, TAGS};
use crate::units::EpochSeconds;

/// The longest time between the moment in a `video_id` and `create_time`, seconds (seen in the vendor's examples).
const LARGEST_LAG: u64 = 30;
/// An odd number, and its inverse modulo 2^32: they spread serial numbers over 32 bits and back.
const SPREAD: u32 = 0x9e37_79b1;
const GATHER: u32 = inverse(SPREAD);

/// One field's value as it goes into JSON.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// A JSON string, escaped when it is written.
    Text(Cow<'a, str>),
    /// A JSON string of this number's digits.
    Digits(i64),
    /// A JSON number.
    Number(i64),
    /// JSON, or what passes for it, written as it is.
    Verbatim(Cow<'a, str>),
}

/// A row's fields in the order of the vendor's example.
pub(super) type Fields<'a> = Vec<(&'static str, Cell<'a>)>;

/// Fields of a row, and those that an odd one has beside them.
const MOST_FIELDS: usize = 34;

/// What filters look at.
#[derive(Clone, Debug)]
struct Traits {
    sales_flag: u8,
    created_by_ai: bool,
    is_ad: bool,
    duration: u32,
    /// The region's numbers of the associated products.
    products: Vec<u64>,
}

/// A product: its id and the place of its category.
struct Product {
    id: u64,
    category: (&'static str, &'static str),
}

/// Who can tell every row of one region.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    pub(super) seed: u64,
    /// What sets this region's rows apart from another's.
    pub(super) salt: u64,
    /// The code of the region.
    pub(super) region: String,
    /// The world's first second.
    pub(super) start: EpochSeconds,
    /// The moment whose rows the service holds; none holds every row, with its last counts.
    pub(super) as_of: Option<EpochSeconds>,
    /// How many users post; at least 1. A few of them post most.
    pub(super) users: u64,
    /// How many products are sold; at least 1.
    pub(super) products: u64,
}

impl Teller {
    /// The `video_id` of the row: 19 digits whose upper half is a moment shortly before `second`, unique in the region.
    pub(super) fn video_id(&self, second: EpochSeconds, serial: u32) -> u64 {
        let moment = u64::try_from(second.get()).unwrap_or(0).saturating_sub(self.lag(serial));
        (moment << 32) | u64::from(serial.wrapping_mul(SPREAD) ^ self.mask())
    }

    /// The second and serial number of the row that would bear `video_id`, whether or not it exists.
    pub(super) fn row_of(&self, video_id: u64) -> (EpochSeconds, u32) {
        let serial = ((video_id as u32) ^ self.mask()).wrapping_mul(GATHER);
        let moment = (video_id >> 32) + self.lag(serial);
        (EpochSeconds::new(i64::try_from(moment).unwrap_or(0)), serial)
    }

    /// The row's `create_time`.
    pub(super) fn second(&self, row: Row) -> EpochSeconds {
        self.start.shifted(i64::from(row.offset))
    }

    /// Whether the service holds the row at its moment.
    pub(super) fn holds(&self, row: Row) -> bool {
        let life = || Life::draw(&mut Dice::new(self.seed ^ self.salt, Purpose::Life, u64::from(row.serial)));
        self.as_of.is_none_or(|moment| life().holds(moment.since(self.second(row))))
    }

    /// Whether the row passes the filters.
    pub(super) fn passes(&self, serial: u32, filters: &Filters) -> bool {
        if filters.is_empty() {
            return true;
        }
        let traits = self.traits(serial);
        let products = || traits.products.iter().map(|number| self.product(*number));
        filters.sales_flag.is_none_or(|flag| flag == traits.sales_flag)
            && filters.created_by_ai.is_none_or(|flag| flag == traits.created_by_ai)
            && filters.is_ad.is_none_or(|flag| flag == traits.is_ad)
            && filters.min_duration.is_none_or(|least| least <= traits.duration)
            && filters.max_duration.is_none_or(|most| traits.duration <= most)
            && filters.product_id.as_deref().is_none_or(|id| products().any(|product| product.id.to_string() == id))
            && filters
                .product_category_id
                .as_deref()
                .is_none_or(|id| products().any(|product| product.category.0 == id))
    }

    /// The row's views and likes, for the orders by them.
    pub(super) fn popularity(&self, second: EpochSeconds, serial: u32) -> (i64, i64) {
        let mut dice = self.dice(serial, 1);
        let last = 10_f64.powf(7.5 * dice.unit() * dice.unit()) as i64;
        let views = self.as_of.map_or(last, |moment| moment::counted(last, moment.since(second)));
        let likes = (views as f64 * 0.12 * dice.unit()) as i64;
        (views, likes)
    }

    /// All 31 documented fields.
    pub(super) fn fields(&self, second: EpochSeconds, serial: u32) -> Fields<'_> {
        let video_id = self.video_id(second, serial);
        let traits = self.traits(serial);
        let mut dice = self.dice(serial, 2);
        let user = self.user(&mut dice);
        let (width, height, ratio) = dice.pick(&SHAPES);
        let bytes = u64::from(traits.duration) * (40_000 + dice.below(160_000));
        let text = |value| Cell::Text(Cow::Borrowed(value));
        let mut fields = Vec::with_capacity(MOST_FIELDS);
        fields.extend([
            ("avatar", Cell::Text(Cow::Owned(user.avatar))),
            ("create_time", Cell::Digits(second.get())),
            ("created_by_ai", text(if traits.created_by_ai { "true" } else { "false" })),
            ("data_size", Cell::Digits(bytes.cast_signed())),
            ("duration", Cell::Number(i64::from(traits.duration))),
            ("height", text(height)),
            ("is_ad", Cell::Number(i64::from(traits.is_ad))),
            ("product_category_list", Cell::Text(self.category_list(&traits))),
            ("ratio", text(ratio)),
            ("reflow_cover", Cell::Text(Cow::Owned(cover(video_id)))),
            ("region", text(self.region.as_str())),
            ("sales_flag", Cell::Number(i64::from(traits.sales_flag))),
        ]);
        fields
            .extend(self.counts((second, serial), traits.sales_flag).map(|(name, count)| (name, Cell::Number(count))));
        fields.extend([
            ("unique_id", Cell::Text(Cow::Owned(user.handle))),
            ("user_id", Cell::Digits(user.id.cast_signed())),
            ("video_desc", Cell::Text(Cow::Owned(description(&mut dice)))),
            ("video_id", Cell::Digits(video_id.cast_signed())),
            ("video_products", Cell::Text(self.product_list(&traits))),
            ("width", text(width)),
        ]);
        fields
    }

    fn counts(&self, (second, serial): (EpochSeconds, u32), sales_flag: u8) -> [(&'static str, i64); 13] {
        let (views, likes) = self.popularity(second, serial);
        let mut dice = self.dice(serial, 3);
        let mut share = |of: i64, most: f64| (of as f64 * most * dice.unit()) as i64;
        let (views_30d, likes_30d) = (views - share(views, 0.3), likes - share(likes, 0.3));
        let (views_7d, likes_7d) = (share(views_30d, 0.8), share(likes_30d, 0.8));
        let sold = if sales_flag == 0 { 0 } else { share(views, 0.004) };
        [
            ("total_comments_cnt", share(likes, 0.1)),
            ("total_digg_1d_cnt", share(likes_7d, 0.4)),
            ("total_digg_30d_cnt", likes_30d),
            ("total_digg_7d_cnt", likes_7d),
            ("total_digg_cnt", likes),
            ("total_favorites_cnt", share(likes, 0.3)),
            ("total_shares_cnt", share(likes, 0.2)),
            ("total_video_sale_cnt", sold),
            ("total_video_sale_gmv_amt", sold * (3 + share(60, 1.0))),
            ("total_views_1d_cnt", share(views_7d, 0.4)),
            ("total_views_30d_cnt", views_30d),
            ("total_views_7d_cnt", views_7d),
            ("total_views_cnt", views),
        ]
    }

    fn traits(&self, serial: u32) -> Traits {
        let mut dice = self.dice(serial, 0);
        let sales_flag = dice.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 2]);
        let created_by_ai = dice.hits(0.05);
        let is_ad = dice.hits(0.12);
        let duration = 4 + (590.0 * dice.unit().powi(4)) as u32;
        let count = if sales_flag == 0 { 0 } else { 1 + dice.below(3) };
        let mut products: Vec<u64> = (0..count).map(|_| dice.below(self.products)).collect();
        products.sort_unstable();
        products.dedup();
        Traits { sales_flag, created_by_ai, is_ad, duration, products }
    }

    fn product(&self, number: u64) -> Product {
        let mut dice = Dice::new(self.seed ^ self.salt, Purpose::Product, number);
        Product { id: 1_729_000_000_000_000_000 + dice.below(9_000_000_000_000_000), category: dice.pick(&CATEGORIES) }
    }

    fn product_list(&self, traits: &Traits) -> Cow<'static, str> {
        if traits.products.is_empty() {
            return Cow::Borrowed("[]");
        }
        let ids: Vec<String> = traits.products.iter().map(|number| self.product(*number).id.to_string()).collect();
        Cow::Owned(format!("[{}]", ids.join(",")))
    }

    fn category_list(&self, traits: &Traits) -> Cow<'static, str> {
        if traits.products.is_empty() {
            return Cow::Borrowed("[]");
        }
        let mut categories: Vec<_> = traits.products.iter().map(|number| self.product(*number).category).collect();
        categories.sort_unstable();
        categories.dedup();
        let told = categories.iter().map(|(id, name)| format!(r#"{{ "category_name":"{name}","category_id":"{id}"}}"#));
        Cow::Owned(format!("[{}]", told.collect::<Vec<String>>().join(",")))
    }

    /// One of the region's users, the first ones far more often than the last ones.
    fn user(&self, dice: &mut Dice) -> User {
        let number = (self.users as f64 + 1.0).powf(dice.unit()) as u64;
        User::new(&mut Dice::new(self.seed ^ self.salt, Purpose::User, number))
    }

    fn lag(&self, serial: u32) -> u64 {
        self.dice(serial, 4).below(LARGEST_LAG + 1)
    }

    fn mask(&self) -> u32 {
        Dice::new(self.seed, Purpose::Identity, self.salt).next() as u32
    }

    /// The draws of one aspect of a row; aspects are independent, so that a filter need not draw the whole row.
    fn dice(&self, serial: u32, aspect: u64) -> Dice {
        Dice::new(self.seed ^ self.salt, Purpose::Row, (aspect << 32) | u64::from(serial))
    }
}

/// Who posted a video.
struct User {
    id: u64,
    handle: String,
    avatar: String,
}

impl User {
    fn new(dice: &mut Dice) -> Self {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
        let id = 6_500_000_000_000_000_000 + dice.below(1_100_000_000_000_000_000);
        let handle = match dice.below(3) {
            0 => format!("{}.{}", dice.pick(&NAMES), dice.pick(&NAMES)),
            1 => format!("{}{}", dice.pick(&NAMES), dice.below(9_999)),
            _ => format!("{}_{}{}", dice.pick(&NAMES), dice.pick(&NAMES), dice.below(99)),
        };
        let name = [(); 56].map(|()| dice.pick(LETTERS));
        let mut avatar = String::with_capacity(160);
        avatar.push_str("https://echosell-images.tos-ap-southeast-1.volces.com/user-avatar/");
        write_number(i64::try_from(dice.below(100)).unwrap_or(0), &mut avatar);
        avatar.push_str("/MS4wLjABAAAA");
        avatar.extend(name.map(char::from));
        avatar.push_str(".jpg");
        Self { id, handle, avatar }
    }
}

fn cover(video_id: u64) -> String {
    let folder = video_id % 1_000;
    format!("https://echosell-images.tos-ap-southeast-1.volces.com/video-cover/{folder}/{video_id}.jpg")
}

/// A description: often a sentence with hashtags, sometimes empty, sometimes with spaces at its end.
fn description(dice: &mut Dice) -> String {
    if dice.hits(0.08) {
        return String::new();
    }
    let mut text = dice.pick(&SENTENCES).to_owned();
    for _ in 0..dice.below(6) {
        text.push(' ');
        text.push_str(dice.pick(&TAGS));
    }
    if dice.hits(0.1) {
        text.push_str("  ");
    }
    text
}

/// The inverse of an odd number modulo 2^32, by Newton's iteration.
const fn inverse(odd: u32) -> u32 {
    let mut found = odd;
    let mut step = 0;
    while step < 5 {
        found = found.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(found)));
        step += 1;
    }
    found
}

/// The fields as one JSON object.
pub(super) fn write_object(fields: &Fields<'_>, out: &mut String) {
    out.push('{');
    for (place, (name, cell)) in fields.iter().enumerate() {
        out.push_str(if place > 0 { ",\"" } else { "\"" });
        out.push_str(name);
        out.push_str("\":");
        write_cell(cell, out);
    }
    out.push('}');
}

/// The value as JSON.
pub(super) fn write_cell(cell: &Cell<'_>, out: &mut String) {
    match cell {
        Cell::Text(text) => write_text(text, out),
        Cell::Digits(number) => {
            out.push('"');
            write_number(*number, out);
            out.push('"');
        }
        Cell::Number(number) => write_number(*number, out),
        Cell::Verbatim(json) => out.push_str(json),
    }
}

/// A JSON string that holds `text`: quotes, backslashes and control characters are escaped, nothing else is.
pub(super) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(place) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        let (plain, escaped) = rest.split_at(place);
        out.push_str(plain);
        let (escaped, after) = escaped.split_at(1);
        match escaped {
            "\"" => out.push_str("\\\""),
            "\\" => out.push_str("\\\\"),
            "\n" => out.push_str("\\n"),
            "\r" => out.push_str("\\r"),
            "\t" => out.push_str("\\t"),
            "\u{8}" => out.push_str("\\b"),
            "\u{c}" => out.push_str("\\f"),
            // Writing to a String cannot fail.
            _ => {
                let code = escaped.bytes().next().unwrap_or_default();
                let _infallible = write!(out, "\\u{code:04x}");
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out.push('"');
}

fn write_number(number: i64, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(number));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::contract::SOURCE;

    fn teller() -> Teller {
        let start = EpochSeconds::new(1_764_547_200);
        Teller { seed: 3, salt: 77, region: "US".to_owned(), start, as_of: None, users: 100, products: 20 }
    }

    fn second() -> EpochSeconds {
        EpochSeconds::new(1_767_213_318)
    }

    #[test]
    fn a_row_has_the_documented_fields_in_their_order_with_the_examples_types() {
        let us = teller();
        let fields = us.fields(second(), 5);
        assert_eq!(fields.iter().map(|(name, _)| *name).collect::<Vec<&str>>(), SOURCE.fields);
        let numbers = ["duration", "is_ad", "sales_flag"];
        for (name, cell) in &fields {
            let number = numbers.contains(name) || name.starts_with("total_");
            assert_eq!(matches!(cell, Cell::Number(_)), number, "{name}");
        }
        let mut json = String::new();
        write_object(&fields, &mut json);
        assert!(serde_json::from_str::<serde_json::Value>(&json).unwrap().is_object());
    }

    #[test]
    fn a_video_id_has_nineteen_digits_is_unique_and_leads_back_to_its_row() {
        let ids: BTreeSet<u64> = (0..10_000).map(|serial| teller().video_id(second(), serial)).collect();
        assert_eq!(ids.len(), 10_000);
        for serial in 0..1_000 {
            let id = teller().video_id(second(), serial);
            assert_eq!(id.to_string().len(), 19);
            assert!((0..=30).contains(&(second().get() - (id >> 32) as i64)));
            assert_eq!(teller().row_of(id), (second(), serial));
        }
    }

    #[test]
    fn lists_inside_strings_are_json_and_sellers_have_products() {
        for serial in 0..200 {
            let us = teller();
            let fields = us.fields(second(), serial);
            let text = |wanted| match fields.iter().find(|(name, _)| *name == wanted) {
                Some((_, Cell::Text(text))) => text.clone(),
                other => panic!("{other:?}"),
            };
            let products: Vec<u64> = serde_json::from_str(&text("video_products")).unwrap();
            let categories: Vec<serde_json::Value> = serde_json::from_str(&text("product_category_list")).unwrap();
            assert_eq!(products.is_empty(), teller().traits(serial).sales_flag == 0);
            assert_eq!(products.is_empty(), categories.is_empty());
            for id in products {
                let filters = Filters { product_id: Some(id.to_string()), ..Filters::default() };
                assert!(teller().passes(serial, &filters));
            }
        }
    }

    #[test]
    fn filters_split_the_rows_in_two() {
        let pass = |filters: Filters| (0..1_000).filter(|serial| teller().passes(*serial, &filters)).count();
        let ads = pass(Filters { is_ad: Some(true), ..Filters::default() });
        assert!(ads > 50 && ads + pass(Filters { is_ad: Some(false), ..Filters::default() }) == 1_000);
        let short = pass(Filters { max_duration: Some(20), ..Filters::default() });
        assert!(short > 50 && short + pass(Filters { min_duration: Some(21), ..Filters::default() }) == 1_000);
        let flags = [0, 1, 2].map(|flag| pass(Filters { sales_flag: Some(flag), ..Filters::default() }));
        assert!(flags.iter().all(|count| *count > 50) && flags.iter().sum::<usize>() == 1_000);
    }

    #[test]
    fn a_few_users_post_most() {
        let user = |serial: u32| teller().user(&mut teller().dice(serial, 2)).id;
        let mut posts: Vec<u64> = (0..1_000).map(user).collect();
        posts.sort_unstable();
        let most = posts.chunk_by(|left, right| left == right).map(<[u64]>::len).max().unwrap();
        assert!(most > 100 && most < 400, "{most}");
    }

    #[test]
    fn a_text_is_escaped_as_other_writers_of_json_do() {
        let all: Vec<String> = ('\0'..='\u{2ff}').map(String::from).collect();
        for text in all.iter().map(String::as_str).chain([&*all.concat(), "", "\\\"\n\u{1}ä\u{8}\u{c}"]) {
            let mut written = String::new();
            write_text(text, &mut written);
            assert_eq!(written, serde_json::Value::from(text).to_string());
        }
    }
}
