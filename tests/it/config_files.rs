//! The files of `config/` are what they say they are: each loads, and the reference is complete and true.

use std::path::PathBuf;

use keyapi_export::config::{Settings, Sources, keys};
use keyapi_export::units::{DAY_SECONDS, EpochSeconds};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

fn load(path: PathBuf) -> Settings {
    Settings::load(&Sources { file: Some(path), ..Sources::default() }).unwrap()
}

fn reference() -> String {
    std::fs::read_to_string(file("reference.toml")).unwrap()
}

/// The key of a line such as `key = value` or `# key = value`.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")?;
    key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_').then_some(key)
}

#[test]
fn every_file_loads() {
    for name in ["demo.toml", "backfill.toml", "daily.toml", "reference.toml"] {
        let settings = load(file(name));
        assert_eq!(settings.simulator.is_some(), name == "demo.toml", "{name}");
    }
}

#[test]
fn the_demo_asks_two_regions_for_a_week() {
    let question = load(file("demo.toml")).question;
    let long_after = EpochSeconds::new(1_800_000_000);
    assert!(question.range(long_after).unwrap().seconds() >= 7 * DAY_SECONDS);
    assert_eq!(question.regions.len(), 2);
}

#[test]
fn the_reference_is_exactly_the_defaults() {
    assert_eq!(load(file("reference.toml")), Settings::default());
}

#[test]
fn the_reference_names_every_key_once_in_its_table_under_a_comment() {
    let (mut table, mut named, mut before) = (String::new(), Vec::new(), "");
    let text = reference();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut table);
        } else if let Some(key) = key_of(line) {
            assert!(before.starts_with("# ") || key_of(before).is_some(), "{table}.{key} has no comment");
            named.push(format!("{table}.{key}"));
        }
        before = line;
    }
    assert_eq!(named.len(), keys::all().len());
    let missing: Vec<_> = keys::all().into_iter().filter(|key| !named.contains(key)).collect();
    assert!(missing.is_empty(), "config/reference.toml lacks {missing:?}");
}

#[test]
fn the_references_examples_can_be_used_as_they_stand() {
    let uncommented = |line: &str| match key_of(line) {
        Some(_) => line.trim_start_matches("# ").to_owned(),
        None => line.to_owned(),
    };
    let text: Vec<String> = reference().lines().map(uncommented).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.toml");
    std::fs::write(&path, text.join("\n")).unwrap();
    let settings = load(path);
    assert!(settings.question.from.is_some() && settings.budget.max_credits.is_some());
    assert_eq!(settings.question.filters.product_category_id.as_deref(), Some("601450"));
}
