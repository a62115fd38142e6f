//! The layers of the settings: flags over environment over the file over defaults.
//!
//! Each value is checked by itself, in its own layer, before the layers are merged: so an error names the line, the variable
//! or the flag, also of a value that a stronger layer covers. Nothing is coerced: a number in a file is a number, and a flag's
//! or a variable's text is read strictly as what its key wants.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;

use crate::config::error::ConfigError;
use crate::config::redact::quoted;
use crate::config::validate::bounds_in_words;
use crate::config::{Settings, file, keys};

/// Variables with the prefix that are no settings: the log's level, and the path of the file.
pub const RESERVED_VARIABLES: [&str; 2] = ["KEYAPI_EXPORT_LOG", "KEYAPI_EXPORT_CONFIG"];

/// The largest file that is read for settings, bytes: a thousand times what every key takes.
const LARGEST_FILE_BYTES: u64 = 1 << 20;

/// What the layers are read from, the weakest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The TOML file, where one is named. Relative paths inside it are relative to the working folder.
    pub file: Option<PathBuf>,
    /// Environment variables; those without the prefix, reserved ones and empty ones are passed over.
    pub environment: BTreeMap<String, String>,
    /// Flags that were given: the key's path with dots, and the text.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// Sources of a command line: the process's own environment, `file`, and `flags`.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        let readable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        let ours = |(name, _): &(String, String)| name.starts_with(keys::ENVIRONMENT_PREFIX);
        Self { file, environment: std::env::vars_os().filter_map(readable).filter(ours).collect(), flags }
    }
}

/// One value, as one layer has it.
#[derive(Debug)]
struct Entry {
    /// The key's path with dots.
    key: String,
    value: toml::Value,
    /// The file's line, the variable or the command line.
    place: String,
}

impl Settings {
    /// Merges the layers and validates what came out.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key, a value of the wrong kind, a value outside its bounds.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let entries = sources.entries()?;
        let mut merged = toml::Table::new();
        for entry in &entries {
            put(&mut merged, &entry.key, entry.value.clone());
        }
        // Each value fits by itself, and no two keys depend on each other's kind.
        let wrong = |error: toml::de::Error| {
            let why = plain("", error.message());
            ConfigError::WrongKind { key: "settings".to_owned(), place: "the settings".to_owned(), why }
        };
        let settings = Self::deserialize(merged).map_err(wrong)?;
        settings.validate().map_err(|error| error.placed(|key| place_of(&entries, key)))?;
        Ok(settings)
    }
}

impl Sources {
    /// Whether any layer says something about a key, so that it is more than a default.
    ///
    /// # Errors
    /// Those of [`Settings::load`].
    pub fn say(&self, key: &str) -> Result<bool, ConfigError> {
        Ok(self.entries()?.iter().any(|entry| entry.key == key))
    }

    /// Whether Kubernetes made a variable for a Service whose name begins with ours: it sets `KEYAPI_EXPORT_PORT`,
    /// `…_PORT_80_TCP_ADDR`, `…_SERVICE_HOST`, `…_SERVICE_PORT_HTTP` and the like in every pod, whether anybody wants them or not
    /// (Kubernetes, "Accessing the Service"). `rest` is the name without the prefix. Two underscores are the spelling of settings, and of a Service
    /// whose name has two hyphens: then the Service's host stands beside it, as it always does.
    fn are_of_a_service(&self, rest: &str) -> bool {
        let has_host = |service: String| {
            let prefix = keys::ENVIRONMENT_PREFIX.trim_end_matches('_');
            self.environment.contains_key(&format!("{prefix}{service}_SERVICE_HOST"))
        };
        let mut services = services_of(rest);
        if rest.contains("__") { services.any(has_host) } else { services.next().is_some() }
    }

    /// Every value of every layer, the strongest last, each checked by itself.
    fn entries(&self) -> Result<Vec<Entry>, ConfigError> {
        let mut entries = self.file.as_deref().map_or_else(|| Ok(Vec::new()), file_layer)?;
        for (name, text) in self.environment.iter().filter(|(_, text)| !text.is_empty()) {
            let Some(rest) = name.strip_prefix(keys::ENVIRONMENT_PREFIX) else { continue };
            let key = rest.to_lowercase().replace("__", ".");
            if RESERVED_VARIABLES.contains(&name.as_str()) || self.are_of_a_service(rest) && !keys::all().contains(&key)
            {
                continue;
            }
            entries.push(text_entry(key, text, format!("the environment variable {name}"))?);
        }
        for (key, text) in &self.flags {
            entries.push(text_entry(key.clone(), text, "the command line".to_owned())?);
        }
        Ok(entries)
    }
}

/// How the names end that Kubernetes gives variables, and with what they may go on.
const OF_SERVICES: [(&str, bool); 3] = [("_SERVICE_HOST", false), ("_SERVICE_PORT", true), ("_PORT", true)];

/// The names, each with an underscore before it, of the Services that a variable may have been made for. `rest` is its name without the prefix.
fn services_of(rest: &str) -> impl Iterator<Item = String> {
    let name = format!("_{rest}");
    OF_SERVICES.into_iter().flat_map(move |(word, goes_on)| {
        let is_one = |(at, _): &(usize, &str)| {
            name.get(at + word.len()..).is_some_and(|after| after.is_empty() || goes_on && after.starts_with('_'))
        };
        let found = name.match_indices(word).filter(is_one).filter_map(|(at, _)| name.get(..at));
        found.map(str::to_owned).collect::<Vec<_>>()
    })
}

/// The strongest layer that says something about `key`.
fn place_of(entries: &[Entry], key: &str) -> Option<String> {
    entries.iter().rev().find(|entry| entry.key == key).map(|entry| entry.place.clone())
}

fn file_layer(path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let failed = |source| ConfigError::ReadFile { path: path.to_owned(), source };
    let text = file::text_of(file::open_regular(path).map_err(failed)?, LARGEST_FILE_BYTES).map_err(failed)?;
    let too_long = || failed(std::io::Error::other(format!("it is longer than {LARGEST_FILE_BYTES} bytes")));
    let text = text.ok_or_else(too_long)?;
    // Found once: a file of nothing but keys has as many lines as keys.
    let line_ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line_of = |span: Option<std::ops::Range<usize>>| {
        let start = span.map_or(0, |span| span.start);
        line_ends.partition_point(|end| *end < start) + 1
    };
    // The parser's own text quotes the line, which may be a key's.
    let not_toml = |error: toml::de::Error| {
        let why = quoted(error.message().trim());
        ConfigError::ParseFile { path: path.to_owned(), line: line_of(error.span()), why }
    };
    let spans = toml::de::DeTable::parse(&text).map_err(not_toml)?;
    let mut lines = BTreeMap::new();
    leaf_lines("", spans.get_ref(), &mut lines, &|span| line_of(Some(span)));
    let mut leaves = Vec::new();
    leaf_values("", text.parse().map_err(not_toml)?, &mut leaves);
    let named = path.display();
    let entry = |(key, value): (String, toml::Value)| {
        let place = format!("{named}, line {}", lines.get(&key).copied().unwrap_or(1));
        refuse_unknown(&key, &place)?;
        let value = without_dates(value);
        match fits(&key, &value) {
            Ok(()) => Ok(Entry { key, value, place }),
            Err(why) => Err(ConfigError::WrongKind { key, place, why }),
        }
    };
    leaves.into_iter().map(entry).collect()
}

fn path_below(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

/// The values below `table` with their paths; the simulator's table is one value.
fn leaf_values(above: &str, table: toml::Table, leaves: &mut Vec<(String, toml::Value)>) {
    for (name, value) in table {
        let path = path_below(above, &name);
        match value {
            toml::Value::Table(inner) if path != keys::OPEN_TABLE => leaf_values(&path, inner, leaves),
            value => leaves.push((path, value)),
        }
    }
}

/// The line on which each of these values has its key.
fn leaf_lines(
    above: &str,
    table: &toml::de::DeTable<'_>,
    lines: &mut BTreeMap<String, usize>,
    line_of: &impl Fn(std::ops::Range<usize>) -> usize,
) {
    for (name, value) in table {
        let path = path_below(above, name.get_ref());
        match value.get_ref() {
            toml::de::DeValue::Table(inner) if path != keys::OPEN_TABLE => leaf_lines(&path, inner, lines, line_of),
            _ => drop(lines.insert(path, line_of(name.span()))),
        }
    }
}

/// TOML's dates become the text that they were written as, which is what a moment is read from.
fn without_dates(value: toml::Value) -> toml::Value {
    match value {
        toml::Value::Datetime(moment) => toml::Value::String(moment.to_string()),
        toml::Value::Array(values) => values.into_iter().map(without_dates).collect::<Vec<_>>().into(),
        toml::Value::Table(table) => {
            let values = table.into_iter().map(|(name, value)| (name, without_dates(value)));
            toml::Value::Table(values.collect())
        }
        other => other,
    }
}

/// A flag's or a variable's text as what its key wants: text, a whole number, or true and false.
fn text_entry(key: String, text: &str, place: String) -> Result<Entry, ConfigError> {
    refuse_unknown(&key, &place)?;
    let mut why = None;
    for value in meanings(&key, text) {
        match fits(&key, &value) {
            Ok(()) => return Ok(Entry { key, value, place }),
            // A number that does not fit is told as a number.
            Err(wrong) => why = Some(wrong),
        }
    }
    Err(ConfigError::WrongKind { key, place, why: why.unwrap_or_default() })
}

/// What a text may stand for. In the simulator's open table it is what it is in TOML.
fn meanings(key: &str, text: &str) -> Vec<toml::Value> {
    if key.starts_with(keys::OPEN_TABLE) {
        let parsed = format!("value = {text}").parse::<toml::Table>().ok();
        let scalar = parsed
            .and_then(|mut table| table.remove("value"))
            .filter(|value| matches!(value, toml::Value::Boolean(_) | toml::Value::Integer(_) | toml::Value::Float(_)));
        return vec![scalar.unwrap_or_else(|| text.into())];
    }
    let trimmed = text.trim();
    let truth = match trimmed.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    };
    let number = trimmed.parse::<i64>().ok().filter(|_| !trimmed.starts_with('+'));
    let fraction = trimmed.parse::<f64>().ok().filter(|value| value.is_finite() && !trimmed.starts_with('+'));
    let typed = [
        Some(text.into()),
        truth.map(toml::Value::Boolean),
        number.map(toml::Value::Integer),
        // A whole number that does not fit is told as one.
        fraction.filter(|_| number.is_none()).map(toml::Value::Float),
    ];
    typed.into_iter().flatten().collect()
}

/// Whether a key takes a value, as if it were the only one that is set; what is wrong with it where not.
fn fits(key: &str, value: &toml::Value) -> Result<(), String> {
    let mut alone = toml::Table::new();
    put(&mut alone, key, value.clone());
    Settings::deserialize(alone).map(drop).map_err(|error| plain(key, error.message()))
}

/// Sets the value at a path with dots, over what stands there.
fn put(table: &mut toml::Table, path: &str, value: toml::Value) {
    let Some((first, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return;
    };
    let inner = table.entry(first).or_insert_with(|| toml::Table::new().into());
    if !inner.is_table() {
        *inner = toml::Table::new().into();
    }
    if let Some(inner) = inner.as_table_mut() {
        put(inner, rest, value);
    }
}

fn refuse_unknown(key: &str, place: &str) -> Result<(), ConfigError> {
    if keys::is_known(key) {
        return Ok(());
    }
    Err(ConfigError::UnknownKey { key: quoted(key), place: place.to_owned(), hint: keys::advice(key) })
}

/// What the reader of a type says, in words of the person's own, with no more of the value than an error may quote.
fn plain(key: &str, message: &str) -> String {
    let message = message.trim();
    let told = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let Some((found, wanted)) = told.and_then(|told| told.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let wanted = match (wanted, bounds_in_words(key)) {
        ("u8" | "u32" | "u64", Some(bounds)) => format!("a whole number, {bounds}"),
        ("u8", None) => format!("a whole number, 0 to {}", u8::MAX),
        ("u32", None) => format!("a whole number, 0 to {}", u32::MAX),
        ("u64", None) => "a whole number, at least 0".to_owned(),
        ("i64", _) => "a whole number".to_owned(),
        ("f32" | "f64", _) => "a number, such as 0.002".to_owned(),
        ("bool" | "a boolean", _) => "true or false".to_owned(),
        ("a string" | "path string", _) => "text in quotes".to_owned(),
        (other, _) => other.to_owned(),
    };
    format!("expected {wanted}, not {}", quoted(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Qps;

    struct Layers {
        folder: tempfile::TempDir,
        sources: Sources,
    }

    impl Layers {
        fn new(file: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("job.toml");
            std::fs::write(&path, file).unwrap();
            Self { folder, sources: Sources { file: Some(path), ..Sources::default() } }
        }

        fn variable(mut self, name: &str, value: &str) -> Self {
            self.sources.environment.insert(name.to_owned(), value.to_owned());
            self
        }

        fn flag(mut self, key: &str, value: &str) -> Self {
            self.sources.flags.push((key.to_owned(), value.to_owned()));
            self
        }

        fn settings(&self) -> Settings {
            Settings::load(&self.sources).unwrap()
        }

        /// The error's text and hint, with the folder's name taken out.
        fn refusal(&self) -> String {
            let error = Settings::load(&self.sources).unwrap_err();
            let folder = format!("{}/", self.folder.path().display());
            format!("{error}\nhint: {}", error.hint()).replace(&folder, "")
        }
    }

    #[test]
    fn flags_win_over_the_environment_over_the_file_over_defaults() {
        let file = "[pace]\nqps = 1\nmax_in_flight = 2\ngive_up_after = '3m'\n";
        let layers = Layers::new(file)
            .variable("KEYAPI_EXPORT_PACE__QPS", "10")
            .variable("KEYAPI_EXPORT_PACE__MAX_IN_FLIGHT", "20")
            .flag("pace.qps", "100.5");
        let settings = layers.settings();
        assert_eq!(settings.pace.qps, Qps::PerSecond(100.5));
        assert_eq!(settings.pace.max_in_flight, 20);
        assert_eq!(settings.pace.give_up_after.to_string(), "3m");
        assert_eq!(settings.plan, Settings::default().plan);
    }

    #[test]
    fn values_mean_the_same_in_every_layer() {
        let file = "[question]\nregions = ['US', 'GB']\nfrom = 2026-01-01\nto = 1767312000\nfilters.is_ad = true\n\
                    filters.product_id = '0017'\n";
        let from_file = Layers::new(file).settings();
        let from_environment = Layers::new("")
            .variable("KEYAPI_EXPORT_QUESTION__REGIONS", "US,GB,US")
            .variable("KEYAPI_EXPORT_QUESTION__FROM", "2026-01-01")
            .variable("KEYAPI_EXPORT_QUESTION__TO", "1767312000")
            .variable("KEYAPI_EXPORT_QUESTION__FILTERS__IS_AD", "true")
            .variable("KEYAPI_EXPORT_QUESTION__FILTERS__PRODUCT_ID", "0017")
            .settings();
        let from_flags = Layers::new("")
            .flag("question.regions", "US,GB")
            .flag("question.from", "2026-01-01")
            .flag("question.to", "1767312000")
            .flag("question.filters.is_ad", "true")
            .flag("question.filters.product_id", "0017")
            .settings();
        assert_eq!(from_file, from_environment);
        assert_eq!(from_file, from_flags);
    }

    #[test]
    fn variables_that_are_no_settings_are_passed_over() {
        let settings = Layers::new("")
            .variable("KEYAPI_EXPORT_LOG", "debug")
            .variable("KEYAPI_EXPORT_CONFIG", "x.toml")
            .variable("KEYAPI_EXPORT_PACE__QPS", "")
            .variable("KEYAPI_TOKEN", "secret")
            .settings();
        assert_eq!(settings, Settings::default());
    }

    /// A Service beside the job, called as the job is, stopped every pod with 2.
    #[test]
    fn variables_that_kubernetes_sets_for_services_are_passed_over() {
        let made = [
            "KEYAPI_EXPORT_PORT",
            "KEYAPI_EXPORT_PORT_80_TCP",
            "KEYAPI_EXPORT_PORT_80_TCP_PROTO",
            "KEYAPI_EXPORT_PORT_8443_UDP_ADDR",
            "KEYAPI_EXPORT_SERVICE_HOST",
            "KEYAPI_EXPORT_SERVICE_PORT",
            "KEYAPI_EXPORT_SERVICE_PORT_HTTP",
            "KEYAPI_EXPORT_METRICS_PORT",
            "KEYAPI_EXPORT_METRICS_PORT_9090_TCP_PORT",
            "KEYAPI_EXPORT_METRICS_SERVICE_HOST",
            "KEYAPI_EXPORT_METRICS_SERVICE_PORT_WEB_UI",
        ];
        let layers = made.iter().fold(Layers::new(""), |layers, name| layers.variable(name, "tcp://10.0.0.1:80"));
        assert_eq!(layers.settings(), Settings::default());
        // Services whose names have two hyphens, one of them called like a table of settings.
        for service in ["A__B", "SERVICE__X", "SIMULATOR__2", "A__B__C"] {
            let variables = |endings: &[&str]| {
                endings.iter().fold(Layers::new(""), |layers, ending| {
                    layers.variable(&format!("KEYAPI_EXPORT_{service}{ending}"), "tcp://10.0.0.1:80")
                })
            };
            let endings =
                ["_SERVICE_HOST", "_SERVICE_PORT", "_SERVICE_PORT_WEB", "_PORT", "_PORT_80_TCP", "_PORT_80_TCP_PORT"];
            assert_eq!(variables(&endings).settings(), Settings::default(), "{service}");
        }
        for alone in ["A__B_PORT", "SERVICE__X_PORT", "PACE__SERVICE_PORT"] {
            let name = format!("KEYAPI_EXPORT_{alone}");
            let refused = Layers::new("").variable(&name, "80").variable("KEYAPI_EXPORT_SERVICE_HOST", "10.0.0.1");
            assert!(refused.refusal().contains(&name), "{alone}");
        }
        for mistaken in
            ["KEYAPI_EXPORT_SERVICE__PORT", "KEYAPI_EXPORT_REPORT", "KEYAPI_EXPORT_HOST", "KEYAPI_EXPORT_SUPPORT_80"]
        {
            assert!(Layers::new("").variable(mistaken, "80").refusal().contains(mistaken), "{mistaken}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_told_in_words() {
        let told = Layers::new("[budget]\ncredit_price = 'dear'\n").refusal();
        assert!(told.contains("a number, such as 0.002") && !told.contains("f64"), "{told}");
    }

    /// For each key the lines before it were counted.
    #[test]
    fn a_file_of_many_keys_that_there_are_not_is_refused_at_once() {
        let many: String = (0..30_000).map(|key| format!("k{key} = 1\n")).collect();
        let told = Layers::new(&format!("[pace]\n{many}")).refusal();
        assert!(told.contains("pace.k") && told.contains(", line "), "{told}");
        let told = Layers::new("# x\n# y\n[pace]\nqqs = 1\n").refusal();
        assert!(told.contains("line 4"), "{told}");
    }

    #[test]
    fn the_simulators_table_is_handed_on_as_it_is() {
        let layers = Layers::new("[simulator]\nseed = 7\nfaults = { reset = 0.01 }\n")
            .variable("KEYAPI_EXPORT_SIMULATOR__SEED", "8");
        let simulator = layers.settings().simulator.unwrap();
        assert_eq!(simulator, serde_json::json!({"seed": 8, "faults": {"reset": 0.01}}));
    }

    #[test]
    fn an_error_names_the_key_the_place_and_what_would_be_right() {
        let refusals = [
            Layers::new("[pace]\nqqs = 1\n").refusal(),
            Layers::new("regions = ['US']\n").refusal(),
            Layers::new("").variable("KEYAPI_EXPORT_QPS", "1").refusal(),
            Layers::new("[pace]\nqps = 'fast'\n").refusal(),
            Layers::new("[pace]\nmax_in_flight = 'many'\n").refusal(),
            Layers::new("").variable("KEYAPI_EXPORT_PLAN__STRETCH_AGE", "10").refusal(),
            Layers::new("[question]\nfrom = 'yesterday'\n").refusal(),
            Layers::new("[question]\nregions = ['U S']\n").refusal(),
            Layers::new("[question.filters]\nmin_duration = 9\nmax_duration = 3\n").refusal(),
            Layers::new("[service]\nbase_url = 'http://api.keyapi.ai'\n").refusal(),
            Layers::new("[output]\npartition = 'week'\n").refusal(),
            Layers::new("pace = 3\n").refusal(),
            Layers::new("[pace\n").refusal(),
        ];
        insta::assert_snapshot!(refusals.join("\n\n"));
    }
}
