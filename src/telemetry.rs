//! Log lines on stderr: readable text on a terminal, one JSON object a line elsewhere; and the last words of the process.
//!
//! Lines go to [`Stderr`], which drops them rather than let anybody wait, and draws the bars below them. Where bars stand, a line
//! takes one row of the terminal, unless it is a warning or an error: none of its advice is cut off. A field that may carry a secret or a body is never written, whatever its value and whoever logs it.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{ErrorFormat, LogFormat, Shapes};
use crate::failure::{ExitCode, Failure};
use crate::progress::Screen;
use crate::stderr::{self, Stderr};

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

/// The log of the process, started: says how the process ends, which no level silences.
#[derive(Clone, Debug)]
pub struct Log {
    stderr: Stderr,
    shapes: Shapes,
    shape: LineShape,
    /// What is told as the last word.
    failure: Arc<Mutex<Option<Failure>>>,
}

/// The shape that a setting means for this process: `auto` is text on a terminal and JSON elsewhere.
fn line_shape(format: LogFormat) -> LineShape {
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
pub fn start(shapes: Shapes, screen: &Screen, stderr: &Stderr) -> Result<Log, Failure> {
    let shape = line_shape(shapes.log);
    let level = std::env::var(LEVEL_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::try_new(directives(&level)).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("reading {LEVEL_VARIABLE}=`{level}`: {error}"))
            .with_hint("write error, warn, info, debug or trace, or directives such as keyapi_export::fetch=debug")
    })?;
    // A line of JSON is one line, whatever the width.
    let has_bars = matches!(screen, Screen::Bars(_)) && matches!(shape, LineShape::Text);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(LineWriter {
            stderr: stderr.clone(),
            shape,
            beside_bars: has_bars.then_some(Fitting::Folded),
            told_lost: Arc::default(),
        })
        .event_format(Lines { shape })
        .try_init()
        .map_err(|error| Failure::new(ExitCode::Bug, format!("starting the log: {error}")))?;
    Ok(Log { stderr: stderr.clone(), shapes, shape, failure: Arc::default() })
}

/// Tells what ended a command whose log does not stand: two lines for a person, or one object; and where the log was to be JSON, its last record.
pub fn tell_failure(failure: &Failure, shapes: Shapes, stderr: &Stderr) {
    let code = failure.code();
    let ended = || record_line(level(code), "ended", outcome(code));
    let lines = match shapes {
        Shapes { errors: ErrorFormat::Json, log: LogFormat::Json } => vec![ended(), failure_line(failure)],
        Shapes { errors: ErrorFormat::Json, .. } => vec![failure_line(failure)],
        Shapes { log: LogFormat::Json, .. } => vec![failure_line(failure), ended()],
        _ => vec![failure.to_string()],
    };
    lines.into_iter().for_each(|line| stderr.write(format!("{line}\n").as_bytes()));
}

/// A failure as the one object that tells it, wherever that stands: a record of the log with `error`, `hint`, `exit_code` and `exit_name`.
fn failure_line(failure: &Failure) -> String {
    let own = [
        ("error", Value::from(failure.message())),
        ("hint", failure.hint().map_or(Value::Null, Value::from)),
        ("exit_code", Value::from(failure.code().number())),
        ("exit_name", Value::from(failure.code().name())),
    ];
    let named = own.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    record_line(level(failure.code()), failure.message(), named)
}

fn level(code: ExitCode) -> tracing::Level {
    match code {
        ExitCode::Complete => tracing::Level::INFO,
        ExitCode::Incomplete => tracing::Level::WARN,
        code if code.is_resumable() => tracing::Level::WARN,
        _ => tracing::Level::ERROR,
    }
}

impl Log {
    /// Tells what went wrong: two lines for a person, and a record where the log is JSON. `json` leaves the two lines out, so that
    /// every line of its log is one object. Where errors are to be objects, it is left to [`Log::last_word`].
    pub fn failed(&self, failure: &Failure) {
        if self.shapes.errors == ErrorFormat::Json {
            self.concluded(failure);
            return;
        }
        if self.shapes.log != LogFormat::Json {
            self.stderr.write(format!("{failure}\n").as_bytes());
        }
        if self.shape == LineShape::Json {
            self.stderr.write(format!("{}\n", failure_line(failure)).as_bytes());
        }
    }

    /// Says why the command does not end with 0, where a person is told that on stdout: only the last word tells it again.
    pub fn concluded(&self, failure: &Failure) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.clone());
    }

    /// Where errors are to be objects: the one that says why the command does not end with 0. Nothing follows it.
    pub fn last_word(&self, code: ExitCode) {
        if self.shapes.errors == ErrorFormat::Text || code == ExitCode::Complete {
            return;
        }
        let said = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        let failure = said.filter(|said| said.code() == code).unwrap_or_else(|| Failure::new(code, code.meaning()));
        self.stderr.write(format!("{}\n", failure_line(&failure)).as_bytes());
    }

    /// The last record of a JSON log: how the process ends, and what it came to.
    pub fn ended(&self, code: ExitCode, more: Map<String, Value>) {
        if self.shape == LineShape::Text {
            return;
        }
        let mut fields = outcome(code);
        fields.extend(more);
        let lost = self.stderr.lost_lines();
        fields.extend((lost > 0).then(|| ("lost_log_lines".to_owned(), Value::from(lost))));
        self.stderr.write(format!("{}\n", record_line(level(code), "ended", fields)).as_bytes());
    }

    /// Waits until everything that was said is written, but not longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        // What cannot be written by now is lost with the process; nobody is left to be told.
        let _written = self.stderr.flush(patience);
    }
}

/// How a process ends, as the record of it says.
fn outcome(code: ExitCode) -> Map<String, Value> {
    let own = [("outcome", Value::from(code.name())), ("exit_code", Value::from(code.number()))];
    own.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// A record of our own, which no level silences.
fn record_line(level: tracing::Level, message: &str, named: Map<String, Value>) -> String {
    let head = Head { time: jiff::Timestamp::now(), level, target: env!("CARGO_CRATE_NAME") };
    json_line(&head, Fields { message: message.to_owned(), named })
}

fn directives(level: &str) -> String {
    let level = level.trim();
    if level.is_empty() {
        return "warn,keyapi_export=info".to_owned();
    }
    let names_targets = level.contains(['=', ',']);
    if names_targets { level.to_owned() } else { format!("warn,keyapi_export={level}") }
}

/// What becomes of a line that is wider than the terminal, where bars stand below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fitting {
    /// Its last fields are cut off.
    Cut,
    /// It is folded at words.
    Folded,
}

impl Fitting {
    fn of(level: tracing::Level) -> Self {
        if level <= tracing::Level::WARN { Self::Folded } else { Self::Cut }
    }

    fn fitted(self, line: &str, columns: usize) -> String {
        match self {
            Self::Cut => stderr::cut(line, columns),
            Self::Folded => stderr::folded(line, columns, 2),
        }
    }
}

/// Leaves whole lines for stderr, and says how many were lost once there is room again.
#[derive(Clone, Debug)]
pub struct LineWriter {
    stderr: Stderr,
    shape: LineShape,
    /// How a line is fitted into the terminal's width; not at all where no bars stand below it.
    beside_bars: Option<Fitting>,
    told_lost: Arc<AtomicU64>,
}

impl LineWriter {
    fn tell_lost(&self) {
        let lost = self.stderr.lost_lines();
        let told = self.told_lost.swap(lost, Ordering::Relaxed);
        if lost > told {
            let fields = Map::from_iter([("lines".to_owned(), Value::from(lost - told))]);
            let message = "lines of this log were lost: stderr did not take them".to_owned();
            let head = Head { time: jiff::Timestamp::now(), level: tracing::Level::WARN, target: module_path!() };
            let line = line(self.shape, &head, Fields { message, named: fields });
            self.stderr.write(format!("{line}\n").as_bytes());
        }
    }
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.tell_lost();
        let width = self.beside_bars.zip(stderr::columns());
        match (width, std::str::from_utf8(line)) {
            (Some((fitting, columns)), Ok(text)) => {
                self.stderr.write(format!("{}\n", fitting.fitted(text.trim_end(), columns)).as_bytes());
            }
            _ => self.stderr.write(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LineWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }

    fn make_writer_for(&self, told: &tracing::Metadata<'_>) -> Self {
        let beside_bars = self.beside_bars.map(|_| Fitting::of(*told.level()));
        Self { beside_bars, ..self.clone() }
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
    fn format_event(&self, _context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let head =
            Head { time: jiff::Timestamp::now(), level: *event.metadata().level(), target: event.metadata().target() };
        writeln!(writer, "{}", line(self.shape, &head, fields))
    }
}

/// One event as one line, without its end.
fn line(shape: LineShape, head: &Head<'_>, fields: Fields) -> String {
    match shape {
        LineShape::Text => text_line(head, &fields),
        LineShape::Json => json_line(head, fields),
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

/// The shortest fields come first, so that a line that is cut to a terminal has lost the least.
fn text_line(head: &Head<'_>, fields: &Fields) -> String {
    let time = head.time.strftime("%Y-%m-%dT%H:%M:%SZ");
    let told = |(name, value): (&String, &Value)| {
        format!(" {name}={}", value.as_str().map_or_else(|| value.to_string(), one_line))
    };
    let mut told: Vec<String> = fields.named.iter().map(told).collect();
    told.sort_by_key(String::len);
    format!("{time} {:>5} {}{}", head.level, one_line(&fields.message), told.concat())
}

/// Control characters would let data from outside move the cursor or forge lines.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn json_line(head: &Head<'_>, fields: Fields) -> String {
    let mut line = Map::new();
    line.insert("time".to_owned(), Value::from(head.time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()));
    line.insert("level".to_owned(), Value::from(head.level.as_str().to_lowercase()));
    line.insert("target".to_owned(), Value::from(head.target));
    line.insert("message".to_owned(), Value::from(fields.message));
    // The four names above are the line's own; a field of the same name does not replace them.
    for (name, value) in fields.named {
        line.entry(name).or_insert(value);
    }
    Value::Object(line).to_string()
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
    fn a_text_line_has_its_date_and_holds_no_control_characters() {
        let line = logged(LineShape::Text, an_event);
        assert!(line.ends_with("INFO published a part path=a/b part.rows=12\n"), "{line}");
        let time = line.split(' ').next().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
    }

    /// Each part that was published took three rows beside the bars.
    #[test]
    fn beside_bars_a_line_takes_one_row_but_a_warning_keeps_all_of_its_words() {
        let line = "2026-01-01T00:00:00Z  INFO part published part.rows=7 part.path=data/query_region=US/part.parquet";
        let fitted = |level| Fitting::of(level).fitted(line, 60);
        for level in [tracing::Level::INFO, tracing::Level::DEBUG] {
            let told = fitted(level);
            assert!(!told.contains('\n') && told.chars().count() <= 60 && told.starts_with(&line[..50]), "{told}");
        }
        for level in [tracing::Level::WARN, tracing::Level::ERROR] {
            let told = fitted(level);
            assert!(told.contains('\n'), "{told}");
            assert_eq!(told.split_whitespace().collect::<Vec<_>>(), line.split_whitespace().collect::<Vec<_>>());
        }
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
