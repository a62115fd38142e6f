//! Log lines on stderr: readable text on a terminal, one JSON object a line elsewhere.
//!
//! Lines go through [`LineWriter`], which lifts the progress bars while a line is written, so that neither tears the other.
//! A field that may carry a secret or a body is never written, whatever its value and whoever logs it.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;
use crate::failure::{ExitCode, Failure};
use crate::progress::Screen;

/// The variable of the level: `info`, `debug`, …, or directives such as `keyapi_export::fetch=debug,hyper=info`.
pub const LEVEL_VARIABLE: &str = "KEYAPI_EXPORT_LOG";

/// Names of fields that are never written, as a whole or as the last word of a dotted name.
const SECRET_FIELDS: [&str; 8] =
    ["token", "authorization", "api_key", "secret", "password", "header", "headers", "body"];

/// The shape of a line, decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineShape {
    /// One readable line each.
    Text,
    /// One JSON object a line.
    Json,
}

/// The shape that a setting means for this process: `auto` is text on a terminal and JSON elsewhere.
pub fn line_shape(format: LogFormat) -> LineShape {
    match format {
        LogFormat::Text => LineShape::Text,
        LogFormat::Json => LineShape::Json,
        LogFormat::Auto if io::stderr().is_terminal() => LineShape::Text,
        LogFormat::Auto => LineShape::Json,
    }
}

/// Starts the log for the whole process, at the level of [`LEVEL_VARIABLE`]; to be called once.
///
/// A bare level is ours: the libraries below stay at `warn` unless a directive names them.
///
/// # Errors
/// A level that cannot be read (usage), or a second call (bug).
pub fn start(shape: LineShape, screen: &Screen) -> Result<(), Failure> {
    let level = std::env::var(LEVEL_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::try_new(directives(&level)).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("reading {LEVEL_VARIABLE}=`{level}`: {error}"))
            .with_hint("write error, warn, info, debug or trace, or directives such as keyapi_export::fetch=debug")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(LineWriter { screen: screen.clone() })
        .event_format(Lines { shape })
        .try_init()
        .map_err(|error| Failure::new(ExitCode::Bug, format!("starting the log: {error}")))
}

fn directives(level: &str) -> String {
    let level = level.trim();
    if level.is_empty() {
        return "warn,keyapi_export=info".to_owned();
    }
    let names_targets = level.contains(['=', ',']);
    if names_targets { level.to_owned() } else { format!("warn,keyapi_export={level}") }
}

/// Writes whole lines to stderr, with the bars lifted meanwhile.
#[derive(Clone, Debug)]
pub struct LineWriter {
    screen: Screen,
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let whole = || io::stderr().lock().write_all(line);
        match &self.screen {
            Screen::Bars(bars) => bars.suspend(whole)?,
            Screen::Lines => whole()?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for LineWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Formats an event by itself: a line must be readable alone, so spans are not repeated in it.
struct Lines {
    shape: LineShape,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, _context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let head =
            Head { time: jiff::Timestamp::now(), level: *event.metadata().level(), target: event.metadata().target() };
        match self.shape {
            LineShape::Text => write_text(writer, &head, &fields),
            LineShape::Json => write_json(writer, &head, fields),
        }
    }
}

/// What every line has.
struct Head<'event> {
    time: jiff::Timestamp,
    level: tracing::Level,
    target: &'event str,
}

/// An event's fields, secrets left out.
#[derive(Default)]
struct Fields {
    message: String,
    named: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else if !is_secret(field.name()) && !field.name().starts_with("log.") {
            self.named.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::from(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::from(value));
    }
}

fn is_secret(name: &str) -> bool {
    let last_word = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    SECRET_FIELDS.contains(&last_word.as_str())
}

fn write_text(mut writer: Writer<'_>, head: &Head<'_>, fields: &Fields) -> fmt::Result {
    write!(writer, "{} {:>5} {}", head.time.strftime("%H:%M:%SZ"), head.level, one_line(&fields.message))?;
    for (name, value) in &fields.named {
        match value.as_str() {
            Some(text) => write!(writer, " {name}={}", one_line(text))?,
            None => write!(writer, " {name}={value}")?,
        }
    }
    writeln!(writer)
}

/// Control characters would let data from outside move the cursor or forge lines.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn write_json(mut writer: Writer<'_>, head: &Head<'_>, fields: Fields) -> fmt::Result {
    let mut line = Map::new();
    line.insert("time".to_owned(), Value::from(head.time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()));
    line.insert("level".to_owned(), Value::from(head.level.as_str().to_lowercase()));
    line.insert("target".to_owned(), Value::from(head.target));
    line.insert("message".to_owned(), Value::from(fields.message));
    // The four names above are the line's own; a field of the same name does not replace them.
    for (name, value) in fields.named {
        line.entry(name).or_insert(value);
    }
    writeln!(writer, "{}", Value::Object(line))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(shape: LineShape, log: fn()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("trace"))
            .with_writer(move || writer.clone())
            .event_format(Lines { shape })
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn an_event() {
        tracing::info!(part.rows = 12_u64, path = %"a/b", "published\na part");
    }

    fn an_event_with_secrets() {
        tracing::warn!(token = "sk_1", request.authorization = "Bearer sk_1", Authorization = "sk_1", "asked");
        let _span = tracing::error_span!("request", token = "sk_1").entered();
        tracing::info!(body = "sk_1", headers = ?["sk_1"], "answered");
    }

    #[test]
    fn a_json_line_is_one_object_with_its_fields() {
        let line = logged(LineShape::Json, an_event);
        assert_eq!(line.matches('\n').count(), 1);
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["message"], "published\na part");
        assert_eq!(object["part.rows"], 12);
        assert_eq!(object["path"], "a/b");
        assert_eq!(object["level"], "info");
    }

    #[test]
    fn a_text_line_holds_no_control_characters() {
        let line = logged(LineShape::Text, an_event);
        assert!(line.ends_with("INFO published a part part.rows=12 path=a/b\n"), "{line}");
    }

    #[test]
    fn a_secret_field_is_in_no_line() {
        for shape in [LineShape::Text, LineShape::Json] {
            let lines = logged(shape, an_event_with_secrets);
            assert!(lines.contains("asked") && lines.contains("answered"));
            assert!(!lines.contains("sk_1"), "{lines}");
        }
    }

    #[test]
    fn a_bare_level_is_ours_and_a_directive_is_taken_as_it_is() {
        assert_eq!(directives(""), "warn,keyapi_export=info");
        assert_eq!(directives("trace"), "warn,keyapi_export=trace");
        assert_eq!(directives("hyper=info"), "hyper=info");
    }
}
