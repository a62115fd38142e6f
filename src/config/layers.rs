//! The layers of the settings: flags over environment over the file over defaults.
//!
//! What a layer says is checked before the layers are merged, so that an error can still name the file or the variable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::builder::DefaultState;
use config::{ConfigBuilder, FileFormat, Value};

use crate::config::error::ConfigError;
use crate::config::{Settings, keys};

/// What the name of every environment variable of a setting begins with.
pub const ENVIRONMENT_PREFIX: &str = "KEYAPI_EXPORT_";

/// Variables with the prefix that are no settings: the log's level, and the path of the file.
pub const RESERVED_VARIABLES: [&str; 2] = ["KEYAPI_EXPORT_LOG", "KEYAPI_EXPORT_CONFIG"];

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
        let ours = |(name, _): &(String, String)| name.starts_with(ENVIRONMENT_PREFIX);
        Self { file, environment: std::env::vars_os().filter_map(readable).filter(ours).collect(), flags }
    }
}

impl Settings {
    /// Merges the layers and validates what came out.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key, a value of the wrong kind, a value outside its bounds.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let settings: Self = sources
            .merged()?
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| wrong_kind(error, sources))?;
        settings.validate()?;
        Ok(settings)
    }
}

impl Sources {
    /// The layers on top of each other, the strongest last. Unknown keys are refused here, where their place is known.
    fn merged(&self) -> Result<ConfigBuilder<DefaultState>, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(path) = &self.file {
            builder = builder.add_source(file_layer(path)?);
        }
        let variables = environment_layer(&self.environment)?;
        let flags = self.flags.iter().map(|(key, text)| (key.clone(), Value::new(None, text.as_str())));
        for (key, value) in variables.into_iter().chain(flags) {
            builder = builder.set_override(&key, value).map_err(|error| wrong_kind(error, self))?;
        }
        Ok(builder)
    }

    /// The strongest layer that says something about `key`, for a person.
    fn place_of(&self, key: &str) -> String {
        let variable = keys::environment_name(key);
        if self.flags.iter().any(|(given, _)| given == key) {
            "the command line".to_owned()
        } else if self.environment.contains_key(&variable) {
            environment_place(&variable)
        } else {
            self.file.as_deref().map_or_else(|| "the settings".to_owned(), |path| path.display().to_string())
        }
    }
}

fn file_layer(path: &Path) -> Result<config::File<config::FileSourceString, FileFormat>, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::ReadFile { path: path.to_owned(), source })?;
    let not_toml = |why: toml::de::Error| ConfigError::ParseFile {
        path: path.to_owned(),
        why: why.to_string().trim_end().to_owned(),
    };
    let table: toml::Table = text.parse().map_err(not_toml)?;
    let mut paths = Vec::new();
    leaf_paths("", &table, &mut paths);
    for key in &paths {
        refuse_unknown(key, path.display().to_string())?;
    }
    Ok(config::File::from_str(&text, FileFormat::Toml))
}

/// The paths of every value below `table`; the simulator's table is one value.
fn leaf_paths(above: &str, table: &toml::Table, paths: &mut Vec<String>) {
    for (name, value) in table {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            toml::Value::Table(inner) if path != keys::OPEN_TABLE => leaf_paths(&path, inner, paths),
            _ => paths.push(path),
        }
    }
}

fn environment_layer(variables: &BTreeMap<String, String>) -> Result<Vec<(String, Value)>, ConfigError> {
    let mut layer = Vec::new();
    for (name, text) in variables.iter().filter(|(_, text)| !text.is_empty()) {
        let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        let key = rest.to_lowercase().replace("__", ".");
        if RESERVED_VARIABLES.contains(&name.as_str()) || is_of_a_service(rest) && !keys::is_known(&key) {
            continue;
        }
        refuse_unknown(&key, environment_place(name))?;
        let value = environment_value(&key, text);
        layer.push((key, value));
    }
    Ok(layer)
}

/// Whether Kubernetes made a variable for a Service whose name begins with ours: it sets `KEYAPI_EXPORT_PORT`,
/// `…_PORT_80_TCP_ADDR`, `…_SERVICE_HOST`, `…_SERVICE_PORT_HTTP` and the like in every pod, whether anybody wants them or not
/// (Kubernetes, "Accessing the Service"). `rest` is the name without the prefix. Two underscores are the spelling of settings.
fn is_of_a_service(rest: &str) -> bool {
    let name = format!("_{rest}");
    let stands = |word: &str| name.ends_with(word) || name.contains(&format!("{word}_"));
    !rest.contains("__") && (stands("_PORT") || name.ends_with("_SERVICE_HOST") || stands("_SERVICE_PORT"))
}

fn environment_place(name: &str) -> String {
    format!("the environment variable {name}")
}

/// Text for typed settings, which read it themselves; in the simulator's open table what the text is in TOML.
fn environment_value(key: &str, text: &str) -> Value {
    let in_open_table = key.starts_with(keys::OPEN_TABLE);
    let parsed = in_open_table.then(|| format!("value = {text}").parse::<toml::Table>().ok()).flatten();
    match parsed.as_ref().and_then(|table| table.get("value")) {
        Some(toml::Value::Boolean(flag)) => Value::new(None, *flag),
        Some(toml::Value::Integer(whole)) => Value::new(None, *whole),
        Some(toml::Value::Float(real)) => Value::new(None, *real),
        _ => Value::new(None, text),
    }
}

fn refuse_unknown(key: &str, place: String) -> Result<(), ConfigError> {
    if keys::is_known(key) {
        return Ok(());
    }
    Err(ConfigError::UnknownKey { key: key.to_owned(), place, nearest: keys::nearest(key) })
}

/// The merging library's error with the place added that it cannot know.
fn wrong_kind(error: config::ConfigError, sources: &Sources) -> ConfigError {
    use config::ConfigError::{At, Type};
    let (key, why) = match error {
        At { error, key: Some(key), .. } => (key, error.to_string()),
        Type { unexpected, expected, key: Some(key), .. } => (key, format!("expected {expected}, not {unexpected}")),
        other => ("settings".to_owned(), other.to_string()),
    };
    let key = key.split('[').next().unwrap_or_default().to_owned();
    let place = sources.place_of(&key);
    ConfigError::WrongKind { key, place, why }
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
        for mistaken in
            ["KEYAPI_EXPORT_SERVICE__PORT", "KEYAPI_EXPORT_REPORT", "KEYAPI_EXPORT_HOST", "KEYAPI_EXPORT_SUPPORT_80"]
        {
            assert!(Layers::new("").variable(mistaken, "80").refusal().contains(mistaken), "{mistaken}");
        }
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
