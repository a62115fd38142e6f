//! A recording that may be given away: no key, and ids and texts replaced by others. Pure.
//!
//! Equal stays equal and different stays different, over all answers and requests of one recording, and ids keep their order. Times,
//! counts and flags stay, because they are what a check is about; an empty text stays empty.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::exchange::Exchange;
use crate::api::reply::readable;
use crate::recording::{Recorded, request};

/// Fields of a row that stay as they are, where they hold a number, a flag or a short word.
const KEPT: [&str; 24] = [
    "code",
    "create_time",
    "created_by_ai",
    "data_size",
    "duration",
    "height",
    "is_ad",
    "ratio",
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
    "width",
];
/// Fields that hold JSON as text.
const NESTED: [&str; 2] = ["product_category_list", "video_products"];
/// Fields and parameters that hold an id.
const IDS: [&str; 5] = ["video_id", "user_id", "category_id", "product_id", "product_category_id"];
/// The longest word that stays in a kept field, characters.
const LONGEST_KEPT: usize = 16;
/// The first id that replaces another; all have 19 digits, as the service's do.
const FIRST_ID: u64 = 7_000_000_000_000_000_000;
/// Numbers from here on may be ids, wherever they stand.
const LARGE: u64 = 1_000_000_000;
/// What stands for a word that may tell something.
const MASK: &str = "[redacted]";

/// The exchanges as they may be given away.
pub fn redacted(exchanges: &[Exchange]) -> Vec<Recorded> {
    let bodies: Vec<Option<Value>> =
        exchanges.iter().map(|exchange| serde_json::from_str(&readable(&exchange.body)).ok()).collect();
    let mut ids = BTreeSet::new();
    for (exchange, body) in exchanges.iter().zip(&bodies) {
        body.iter().for_each(|body| gather("", body, &mut ids));
        let of_request = exchange.request.iter().filter(|(name, _)| IDS.contains(name));
        ids.extend(of_request.map(|(_, value)| Id::of(value)));
    }
    let ids = ids.into_iter().zip(FIRST_ID..).map(|(id, number)| (id.text, number)).collect();
    let mut replacer = Replacer { ids, texts: HashMap::new() };
    let pairs = exchanges.iter().zip(bodies);
    pairs.map(|(exchange, body)| replacer.exchange(exchange, body)).collect()
}

/// An id in its order: a shorter number is a smaller one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    length: usize,
    text: String,
}

impl Id {
    fn of(text: &str) -> Self {
        Self { length: text.len(), text: text.to_owned() }
    }
}

/// The ids below a value that stands under this name.
fn gather(name: &str, value: &Value, ids: &mut BTreeSet<Id>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| gather(name, value, ids)),
        Value::Array(items) => items.iter().for_each(|item| gather(name, item, ids)),
        Value::String(text) if NESTED.contains(&name) => {
            if let Ok(inner) = serde_json::from_str::<Value>(text) {
                gather(inside(name), &inner, ids);
            }
        }
        Value::String(text) if IDS.contains(&name) && !text.is_empty() => drop(ids.insert(Id::of(text))),
        Value::Number(number) if is_id(name, number) => drop(ids.insert(Id::of(&number.to_string()))),
        _ => {}
    }
}

/// What stands in a list in the text of this field.
fn inside(name: &str) -> &'static str {
    if name == "video_products" { "product_id" } else { "" }
}

fn is_id(name: &str, number: &serde_json::Number) -> bool {
    let is_large = number.as_u64().is_some_and(|number| number >= LARGE);
    IDS.contains(&name) || (is_large && !KEPT.contains(&name))
}

struct Replacer {
    ids: BTreeMap<String, u64>,
    texts: HashMap<String, usize>,
}

impl Replacer {
    fn exchange(&mut self, exchange: &Exchange, body: Option<Value>) -> Recorded {
        let pairs: Vec<(&str, String)> =
            exchange.request.iter().map(|(name, value)| (*name, self.parameter(name, value))).collect();
        let body = match body {
            Some(body) => self.envelope(body).to_string(),
            None => unreadable(&readable(&exchange.body)),
        };
        Recorded {
            request: request(pairs.iter().map(|(name, value)| (*name, value.as_str()))),
            status: exchange.status,
            is_cut: exchange.is_cut,
            headers: exchange.headers.iter().map(|(name, value)| (name.clone(), masked(value))).collect(),
            body,
            took_ms: exchange.took_ms,
        }
    }

    fn parameter(&mut self, name: &str, value: &str) -> String {
        if IDS.contains(&name) { self.id(value) } else { value.to_owned() }
    }

    /// The words around the rows say what an answer means, so they stay but for what may tell of whom.
    fn envelope(&mut self, body: Value) -> Value {
        let Value::Object(members) = body else { return self.value("", body) };
        let member = |(name, value): (String, Value)| {
            let value = match value {
                Value::String(text) if name == "requestId" => self.request(&text).into(),
                Value::String(text) => masked(&text).into(),
                value => self.value(&name, value),
            };
            (name, value)
        };
        Value::Object(members.into_iter().map(member).collect::<Map<String, Value>>())
    }

    fn value(&mut self, name: &str, value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let member = |(name, value): (String, Value)| {
                    let value = self.value(&name, value);
                    (name, value)
                };
                Value::Object(members.into_iter().map(member).collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.value(name, item)).collect()),
            Value::String(text) => self.string(name, &text).into(),
            Value::Number(number) if is_id(name, &number) => {
                let replaced = self.id(&number.to_string());
                replaced.parse::<u64>().map_or_else(|_| replaced.into(), Value::from)
            }
            other => other,
        }
    }

    fn string(&mut self, name: &str, text: &str) -> String {
        if NESTED.contains(&name) {
            return match serde_json::from_str::<Value>(text) {
                Ok(inner) => self.value(inside(name), inner).to_string(),
                Err(_) => self.text(text),
            };
        }
        if IDS.contains(&name) {
            return self.id(text);
        }
        let is_plain = text.len() <= LONGEST_KEPT
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.: ".contains(letter));
        if KEPT.contains(&name) && is_plain { text.to_owned() } else { self.text(text) }
    }

    fn id(&mut self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        // Every id was gathered, so the other arm is never taken; it gives nothing away.
        self.ids.get(text).map_or_else(|| MASK.to_owned(), u64::to_string)
    }

    /// A name of an answer, short enough to be told whole as evidence.
    fn request(&mut self, id: &str) -> String {
        self.text(id).replace("text-", "answer")
    }

    fn text(&mut self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let next = self.texts.len() + 1;
        format!("text-{:05}", self.texts.entry(text.to_owned()).or_insert(next))
    }
}

/// An error's words without those that may tell of whom: numbers, addresses, keys, and whatever is long.
fn masked(words: &str) -> String {
    let tells = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        digits >= 5 || word.len() > 40 || ["@", "://", "sk_"].iter().any(|part| word.contains(part))
    };
    words.split(' ').map(|word| if tells(word) { MASK } else { word }).collect::<Vec<&str>>().join(" ")
}

/// What is no JSON: the words of a text, and of HTML or of JSON that broke off only that it was one.
fn unreadable(text: &str) -> String {
    match text.trim_start().chars().next() {
        None => String::new(),
        Some('<') => "<html>redacted</html>".to_owned(),
        Some('{' | '[') => "{".to_owned(),
        Some(_) => masked(&text.chars().take(300).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(pairs: &[(&'static str, &str)], body: &str) -> Exchange {
        let request = pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Exchange { request, status: Some(200), is_cut: false, headers: Vec::new(), body: body.into(), took_ms: 1 }
    }

    #[test]
    fn nothing_that_tells_of_whom_is_left_and_what_counts_is() {
        let row = r#"{"create_time":"1767213318","video_id":"7590123280372190477","user_id":"42","unique_id":"ania","video_desc":"see @me",
            "avatar":"https://a.example/x","video_products":"[1732322694475518433]","is_ad":1,"total_views_cnt":174,"ratio":"720p",
            "product_category_list":"[{\"category_name\":\"Beauty\",\"category_id\":\"601450\"}]","odd":"secret words","large":1732322694475518433}"#;
        let body = format!(r#"{{"code":0,"message":"success","data":[{row}],"requestId":"f9edb062"}}"#);
        let told = redacted(&[
            exchange(&[("page_num", "1"), ("product_id", "1732322694475518433")], &body),
            exchange(
                &[],
                r#"{"code":402,"data":null,"message":"quota of bob@example.com (sk_live_x 1234567) is not enough"}"#,
            ),
        ]);
        let text = format!("{told:?}");
        for secret in [
            "7590123280372190477",
            "ania",
            "@me",
            "a.example",
            "1732322694475518433",
            "601450",
            "Beauty",
            "secret",
            "bob",
            "sk_live",
        ] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        for kept in ["1767213318", "720p", "174", "success", "quota of [redacted]", "is not enough", "page_num=1"] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        let read: Value = serde_json::from_str(&told[0].body).unwrap();
        let answer = read["requestId"].as_str().unwrap();
        assert!(answer.starts_with("answer0") && answer.len() <= 12, "evidence names it whole: {answer}");
        let product = read["data"][0]["large"].to_string();
        assert_eq!(read["data"][0]["video_products"], format!("[{product}]"), "equal stays equal, in a text too");
        assert!(told[0].request.contains(&format!("product_id={product}")));
    }

    #[test]
    fn ids_keep_their_order_and_texts_their_difference() {
        let body = r#"{"code":0,"data":[{"video_id":"99"},{"video_id":"100"},{"video_id":98},{"video_desc":"a"},{"video_desc":"b"},{"video_desc":"a"}]}"#;
        let told = redacted(&[exchange(&[], body)]);
        let read: Value = serde_json::from_str(&told[0].body).unwrap();
        let id = |row: usize| {
            read["data"][row]["video_id"]
                .as_str()
                .map_or_else(|| read["data"][row]["video_id"].as_u64().unwrap(), |text| text.parse().unwrap())
        };
        assert!(id(2) < id(0) && id(0) < id(1));
        let text = |row: usize| &read["data"][row]["video_desc"];
        assert!(text(3) != text(4) && text(3) == text(5));
    }

    #[test]
    fn what_is_no_json_stays_what_it_was_and_says_no_more() {
        let bodies = ["<html>bob</html>", "{\"code\":0,\"data\":[{", "upstream request timeout", ""];
        let told: Vec<String> = bodies.iter().map(|body| redacted(&[exchange(&[], body)]).remove(0).body).collect();
        assert_eq!(told, ["<html>redacted</html>", "{", "upstream request timeout", ""]);
    }
}
