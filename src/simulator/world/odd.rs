//! What is wrong with a row, and how it then reads.

use std::borrow::Cow;

use crate::simulator::chance::{Dice, Purpose};
use crate::simulator::settings::OddSettings;
use crate::simulator::world::row::{Cell, Fields, write_cell, write_object, write_text};

/// Keeps the draws of null rows apart from all others.
const NULL_ROWS: u64 = 0x6e75_6c6c;

/// What a row is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// It has a usable identity and belongs to the truth.
    Sound,
    /// It has no usable identity; an exporter must keep it apart.
    Garbage,
    /// Its `create_time` is a lie outside the world.
    WrongDate,
}

/// What a row is good for, from the row's own draw.
pub(super) fn nature(settings: &OddSettings, seed: u64, row: u64) -> Nature {
    let mut dice = Dice::new(seed, Purpose::Odd, row);
    // Drawn apart, so that a world without such rows is the same world.
    let is_null = settings.null_row > 0.0 && Dice::new(seed, Purpose::Odd, row ^ NULL_ROWS).hits(settings.null_row);
    if is_null || dice.hits(settings.garbage) {
        Nature::Garbage
    } else if dice.hits(settings.wrong_date) {
        Nature::WrongDate
    } else {
        Nature::Sound
    }
}

/// The row's JSON with everything that is wrong with it.
pub(super) fn write_row(settings: &OddSettings, mut fields: Fields<'_>, (seed, row): (u64, u64), out: &mut String) {
    let mut dice = Dice::new(seed, Purpose::Odd, !row);
    if settings.null_row > 0.0 && Dice::new(seed, Purpose::Odd, row ^ NULL_ROWS).hits(settings.null_row) {
        return out.push_str("null");
    }
    match nature(settings, seed, row) {
        Nature::Garbage => return write_garbage(fields, &mut dice, out),
        Nature::WrongDate => lie_about_time(&mut fields, &mut dice),
        Nature::Sound => {}
    }
    bend_description(settings, &mut fields, &mut dice);
    bend_types(settings, &mut fields, &mut dice);
    bend_presence(settings, &mut fields, &mut dice);
    bend_json(settings, &mut fields, &mut dice);
    write_object(&fields, out);
}

/// A row that nobody can use; its own number keeps it apart from every other.
fn write_garbage(mut fields: Fields<'_>, dice: &mut Dice, out: &mut String) {
    let number = dice.next() >> 12;
    let (name, cell) = match dice.below(11) {
        0 => ("video_id", None),
        1 => ("video_id", Some(Cell::Verbatim(Cow::Borrowed("null")))),
        2 => ("video_id", Some(Cell::Text(Cow::Borrowed("")))),
        3 => ("video_id", Some(Cell::Text(Cow::Borrowed("  ")))),
        4 => ("create_time", None),
        5 => ("create_time", Some(Cell::Verbatim(Cow::Borrowed("null")))),
        6 => ("create_time", Some(Cell::Text(Cow::Borrowed("")))),
        7 => ("create_time", Some(Cell::Text(Cow::Borrowed("yesterday")))),
        8 => return out.push_str(&number.to_string()),
        9 => return write_text(&format!("row {number}"), out),
        _ => return out.push_str(&format!("[{number}]")),
    };
    match cell {
        Some(cell) => replace(&mut fields, name, cell),
        None => fields.retain(|(field, _)| *field != name),
    }
    write_object(&fields, out);
}

fn lie_about_time(fields: &mut Fields<'_>, dice: &mut Dice) {
    let lie = dice.pick(&["0", "86400", "4102444800"]);
    replace(fields, "create_time", Cell::Text(Cow::Borrowed(lie)));
}

fn bend_description(settings: &OddSettings, fields: &mut Fields<'_>, dice: &mut Dice) {
    let mut bend = |change: &dyn Fn(&str) -> Cell<'static>| {
        if let Some(cell) = cell_of(fields, "video_desc") {
            *cell = change(&written(cell));
        }
    };
    if dice.hits(settings.huge_description) {
        bend(&|_| {
            Cell::Text("long story 📖 ".chars().cycle().take(settings.huge_bytes as usize).collect::<String>().into())
        });
    }
    if dice.hits(settings.control_character) {
        let character = dice.pick(&['\u{1}', '\u{8}', '\t', '\n', '\r', '\u{1b}', '\u{1f}']);
        bend(&|json| opened_with(json, &format!("a{character}b ")));
    }
    if dice.hits(settings.lone_surrogate) {
        let half = dice.pick(&["\\ud83d", "\\uDE02", "\\ud83d\\ud83d"]);
        bend(&|json| opened_with(json, &format!("{half} ")));
    }
}

fn bend_types(settings: &OddSettings, fields: &mut Fields<'_>, dice: &mut Dice) {
    if dice.hits(settings.decimal_amount) {
        let amount = format!("{}.{}", dice.below(100_000), 1 + dice.below(98));
        replace(fields, "total_video_sale_gmv_amt", Cell::Verbatim(Cow::Owned(amount)));
    }
    if dice.hits(settings.number_as_text) {
        let names =
            ["duration", "is_ad", "sales_flag", "total_digg_cnt", "total_views_cnt", "total_video_sale_gmv_amt"];
        change(fields, dice.pick(&names), |cell| match cell {
            Cell::Number(number) => Cell::Digits(*number),
            Cell::Verbatim(number) => Cell::Text(number.clone()),
            Cell::Text(_) | Cell::Digits(_) => cell.clone(),
        });
    }
    if dice.hits(settings.text_as_number) {
        let names = ["create_time", "data_size", "height", "width", "user_id", "video_id"];
        change(fields, dice.pick(&names), |cell| match cell {
            Cell::Text(digits) => Cell::Verbatim(digits.clone()),
            Cell::Digits(number) => Cell::Number(*number),
            other => other.clone(),
        });
    }
}

fn bend_presence(settings: &OddSettings, fields: &mut Fields<'_>, dice: &mut Dice) {
    let names =
        ["avatar", "created_by_ai", "duration", "product_category_list", "total_views_cnt", "unique_id", "video_desc"];
    if dice.hits(settings.null_field) {
        replace(fields, dice.pick(&names), Cell::Verbatim(Cow::Borrowed("null")));
    }
    if dice.hits(settings.missing_field) {
        let name = dice.pick(&names);
        fields.retain(|(field, _)| *field != name);
    }
    if dice.hits(settings.unknown_field) {
        let extras = ["\"beta\"", "17", "2.50", "true", "null", r#"{"id":1732322694475518433,"tags":["a",null]}"#];
        let name = dice.pick(&["music_id", "is_promoted", "region_rank"]);
        fields.push((name, Cell::Verbatim(Cow::Borrowed(dice.pick(&extras)))));
    }
}

/// What strict readers of JSON refuse.
fn bend_json(settings: &OddSettings, fields: &mut Fields<'_>, dice: &mut Dice) {
    if dice.hits(settings.not_a_number) {
        let word = dice.pick(&["NaN", "Infinity", "-Infinity"]);
        replace(fields, "total_video_sale_gmv_amt", Cell::Verbatim(Cow::Borrowed(word)));
    }
    if dice.hits(settings.repeated_field) {
        fields.insert(0, ("duration", Cell::Text(Cow::Borrowed("earlier"))));
        fields.insert(0, ("create_time", Cell::Verbatim(Cow::Borrowed("null"))));
    }
}

fn replace<'a>(fields: &mut Fields<'a>, name: &str, cell: Cell<'a>) {
    if let Some(there) = cell_of(fields, name) {
        *there = cell;
    }
}

fn change<'a>(fields: &mut Fields<'a>, name: &str, change: impl Fn(&Cell<'a>) -> Cell<'a>) {
    if let Some(there) = cell_of(fields, name) {
        *there = change(there);
    }
}

/// The first field of this name.
fn cell_of<'f, 'a>(fields: &'f mut Fields<'a>, name: &str) -> Option<&'f mut Cell<'a>> {
    fields.iter_mut().find(|(field, _)| *field == name).map(|(_, cell)| cell)
}

fn written(cell: &Cell<'_>) -> String {
    let mut json = String::new();
    write_cell(cell, &mut json);
    json
}

/// The JSON string `json` with `opening` put verbatim behind its opening quote.
fn opened_with(json: &str, opening: &str) -> Cell<'static> {
    Cell::Verbatim(Cow::Owned(format!("\"{opening}{}", json.strip_prefix('"').unwrap_or(json))))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::simulator::world::row::Teller;
    use crate::units::EpochSeconds;

    fn row(settings: &OddSettings, serial: u32) -> String {
        let start = EpochSeconds::new(1_764_547_200);
        let teller =
            Teller { seed: 3, salt: 77, region: "US".to_owned(), start, as_of: None, users: 100, products: 20 };
        let mut out = String::new();
        let fields = teller.fields(EpochSeconds::new(1_767_213_318), serial);
        write_row(settings, fields, (3, u64::from(serial)), &mut out);
        out
    }

    fn rows(settings: &OddSettings) -> Vec<String> {
        (0..300).map(|serial| row(settings, serial)).collect()
    }

    #[test]
    fn without_odd_settings_every_row_is_plain() {
        assert!(rows(&OddSettings::default()).iter().all(|json| serde_json::from_str::<Value>(json).is_ok()));
    }

    #[test]
    fn control_characters_and_lone_surrogates_break_strict_parsers() {
        let control = OddSettings { control_character: 1.0, ..OddSettings::default() };
        for json in rows(&control) {
            assert!(json.chars().any(char::is_control), "{json}");
            assert!(serde_json::from_str::<Value>(&json).unwrap_err().to_string().contains("control character"));
        }
        let surrogate = OddSettings { lone_surrogate: 1.0, ..OddSettings::default() };
        assert!(rows(&surrogate).iter().all(|json| serde_json::from_str::<Value>(json).is_err()));
    }

    #[test]
    fn garbage_rows_have_no_usable_identity_and_differ_from_each_other() {
        let garbage = rows(&OddSettings { garbage: 1.0, ..OddSettings::default() });
        let mut distinct = garbage.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), garbage.len());
        for json in garbage {
            let value: Value = serde_json::from_str(&json).unwrap();
            let usable =
                |name| value.get(name).and_then(Value::as_str).is_some_and(|text| text.trim().parse::<u64>().is_ok());
            assert!(!usable("video_id") || !usable("create_time"), "{json}");
        }
    }

    #[test]
    fn types_are_bent_without_losing_the_value() {
        let bent =
            OddSettings { text_as_number: 1.0, number_as_text: 1.0, decimal_amount: 1.0, ..OddSettings::default() };
        let plain = rows(&OddSettings::default());
        for (json, plain) in rows(&bent).iter().zip(plain) {
            assert_ne!(*json, plain);
            let (value, plain): (Value, Value) =
                (serde_json::from_str(json).unwrap(), serde_json::from_str(&plain).unwrap());
            for (name, value) in value.as_object().unwrap().iter().filter(|(name, _)| !name.contains("gmv")) {
                assert_eq!(value.to_string().replace('"', ""), plain[name].to_string().replace('"', ""), "{name}");
            }
        }
    }

    #[test]
    fn a_huge_description_is_huge() {
        let huge = OddSettings { huge_description: 1.0, ..OddSettings::default() };
        assert!(row(&huge, 1).len() > 60_000);
    }

    #[test]
    fn a_wrong_date_lies_outside_the_world() {
        let wrong = OddSettings { wrong_date: 1.0, ..OddSettings::default() };
        for json in rows(&wrong) {
            let value: Value = serde_json::from_str(&json).unwrap();
            let time: i64 = value["create_time"].as_str().unwrap().parse().unwrap();
            assert!(time < 1_000_000_000 || time > i64::from(i32::MAX));
        }
    }
}
