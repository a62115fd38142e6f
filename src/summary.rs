//! What a run came to, told once at its end: text for a person on stdout, JSON for `--summary FILE`.
//!
//! The JSON carries a version: a field that is renamed or changes its meaning raises it, a new field does not.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{FormattedDuration, HumanBytes, HumanCount};
use serde::Serialize;

use crate::api::contract::{Region, SOURCE};
use crate::api::fault::RegionFault;
use crate::failure::ExitCode;
use crate::replaced::{self, Readers};
use crate::stderr;
use crate::units::{ByteCount, Credits, EpochSeconds, RowCount, TimeRange};

/// The version of the JSON form.
pub const SUMMARY_VERSION: u32 = 1;

/// The column in which the text of a named line begins.
const NAMED_FROM: usize = 12;
/// Ranges that the text lists in full; the JSON always has all.
const LISTED_RANGES: usize = 10;
/// Fields whose kept values the text tells apart; the JSON always has all.
const LISTED_FIELDS: usize = 5;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How this start ended.
    pub outcome: ExitCode,
    /// Whether it was the key's own quota that ended it, and no budget that was set.
    #[serde(skip)]
    pub is_quota_spent: bool,
    /// The run's name.
    pub run: String,
    /// The half-open range that was asked, epoch seconds.
    pub range: TimeRange,
    /// The regions that were asked.
    pub regions: Vec<Region>,
    /// Which shard of that question this is, as `2/4`; none for all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// The output folder.
    pub output: String,
    /// Rows in the output that this run published.
    pub rows: RowCount,
    /// Parts that this run published.
    pub parts: u64,
    /// Their size.
    pub bytes: ByteCount,
    /// What former runs have left in the asked range, and this one has kept.
    pub former: Former,
    /// What the run asked over all its starts.
    pub requests: Requests,
    /// What was bought and is not published yet.
    pub journal: Kept,
    /// The share of the range that is read, 0 to 1; of an unfinished run alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_share: Option<f64>,
    /// Requests that this start sent; 0 where nothing was left to do.
    pub requests_of_this_start: u64,
    /// How long this start took, whole milliseconds in JSON.
    #[serde(rename = "duration_ms", serialize_with = "as_milliseconds")]
    pub duration: Duration,
    /// How long after a region's first answer its ends were asked again, seconds; with 0 they are believed at once.
    pub confirm_after_s: u64,
    /// Ranges that could not be read.
    pub gaps: Vec<Shortfall>,
    /// Ranges that were read, but whose completeness cannot be proven.
    pub unproven: Vec<Shortfall>,
    /// Holes and gaps of the output outside what was asked, between the first second and the last of each of its regions.
    pub elsewhere: Vec<Shortfall>,
    /// What is unlike the runs before; nothing of it keeps the run from being complete.
    pub warnings: Vec<Warning>,
    /// Rows without a usable id or time, kept in `_rejected`.
    pub rejected: u64,
    /// Values kept in `_extra`: of unknown fields, and those that their column could not hold.
    pub kept_in_extra: u64,
    /// The same by field.
    pub extra_fields: BTreeMap<String, u64>,
    /// Rows that were read more than once and stand once.
    pub duplicates: u64,
    /// The second of the newest row that the run has seen of each region, epoch seconds; a region without rows is not there.
    pub newest: BTreeMap<Region, EpochSeconds>,
    /// What would continue or repair it, best a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The run's requests over all its starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Requests that were sent and ended.
    pub attempts: Credits,
    /// Requests that a page answered: surely one credit each (documented).
    pub answered: Credits,
    /// Requests that asked for a page again.
    pub retries: u64,
    /// Requests that the service asked to slow down for.
    pub throttled: u64,
    /// Requests that were on their way when a process died; whether they were charged is unknown.
    pub possibly_charged: Credits,
}

/// Parts of former runs that hold something of the asked range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Former {
    /// Files.
    pub parts: u64,
    /// Their rows, also those outside the range.
    pub rows: RowCount,
}

/// What the journal keeps until it is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Pages.
    pub pages: u64,
    /// Their rows; some of them may stand in a part already.
    pub rows: RowCount,
}

/// A range of one region that is not what was promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shortfall {
    /// The region.
    pub region: Region,
    /// The seconds, half-open.
    pub range: TimeRange,
    /// Why, for a person.
    pub why: String,
    /// Where it is the whole region that could not be had: why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<RegionFault>,
    /// Where pages do not prove it: what is missing, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacks: Option<&'static str>,
}

/// Something that is unlike the runs before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Warning {
    /// What it is, with its numbers, for a person.
    pub text: String,
    /// The same as numbers: `kind` and what belongs to it.
    #[serde(flatten)]
    pub numbers: serde_json::Value,
}

/// The summary with what follows from it, as `--summary` writes it.
#[derive(Serialize)]
struct Document<'summary> {
    version: u32,
    exit_code: u8,
    #[serde(flatten)]
    summary: &'summary Summary,
    floor: Credits,
    #[serde(skip_serializing_if = "Option::is_none")]
    price_over_floor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_over_floor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_second: Option<f64>,
}

/// Makes sure that a summary can be written to `path` at the end: its folder is made, and a file beside it is tried.
///
/// # Errors
/// It is a folder, or lies where nothing can be made.
pub fn prepare(path: &Path) -> Result<(), SummaryError> {
    replaced::prepare(path).map_err(|source| SummaryError::Write { path: path.to_owned(), source })
}

/// A summary that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// The file or its folder.
    #[error("writing the summary to {path}: {source}")]
    Write {
        /// The file as named.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Summary {
    /// The least that any export of so many rows can cost: one credit for each full page, rounded up.
    pub const fn floor(&self) -> Credits {
        Credits::new(self.rows.get().div_ceil(SOURCE.page_size as u64))
    }

    /// The run's attempts over the floor; none where there are no rows.
    pub fn price_over_floor(&self) -> Option<f64> {
        ratio(self.requests.attempts.get(), self.floor().get())
    }

    /// The run's answered pages over the floor: what the walk costs where nothing fails; none where there are no rows.
    pub fn answered_over_floor(&self) -> Option<f64> {
        ratio(self.requests.answered.get(), self.floor().get())
    }

    /// The mean rate of this start; none where it sent nothing.
    pub fn requests_per_second(&self) -> Option<f64> {
        let seconds = self.duration.as_secs_f64();
        let sent = u32::try_from(self.requests_of_this_start).ok().filter(|sent| *sent > 0)?;
        (seconds > 0.0).then(|| f64::from(sent) / seconds)
    }

    /// The JSON form, with a final newline.
    ///
    /// # Errors
    /// None that a summary can cause; the writer's own otherwise.
    pub fn to_json(&self) -> io::Result<String> {
        let document = Document {
            version: SUMMARY_VERSION,
            exit_code: self.outcome.number(),
            summary: self,
            floor: self.floor(),
            price_over_floor: self.price_over_floor(),
            answered_over_floor: self.answered_over_floor(),
            requests_per_second: self.requests_per_second(),
        };
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }

    /// Writes the JSON form to `path`: a reader finds the former file or this one whole, never half of it.
    ///
    /// # Errors
    /// The folder is missing or cannot be written; the disk is full.
    pub fn write_json(&self, path: &Path) -> Result<(), SummaryError> {
        let written = self.to_json().and_then(|text| replaced::replace(path, text.as_bytes(), Readers::AsUsual));
        written.map_err(|source| SummaryError::Write { path: path.to_owned(), source })
    }

    /// What the log's last record tells of it.
    pub fn log_fields(&self) -> serde_json::Map<String, serde_json::Value> {
        let requests = &self.requests;
        let named = [
            ("run", self.run.as_str().into()),
            ("rows", self.rows.get().into()),
            ("parts", self.parts.into()),
            ("bytes", self.bytes.get().into()),
            ("journal.pages", self.journal.pages.into()),
            ("journal.rows", self.journal.rows.get().into()),
            ("requests", requests.attempts.get().into()),
            ("requests_of_this_start", self.requests_of_this_start.into()),
            ("answered", requests.answered.get().into()),
            ("retries", requests.retries.into()),
            ("throttled", requests.throttled.into()),
            ("possibly_charged", requests.possibly_charged.get().into()),
            ("duplicates", self.duplicates.into()),
            ("rejected", self.rejected.into()),
            ("gaps", self.gaps.len().into()),
            ("unproven", self.unproven.len().into()),
            ("unusual", self.warnings.len().into()),
            ("duration_ms", u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX).into()),
        ];
        let named = named.into_iter().chain(self.next.as_deref().map(|next| ("next", next.into())));
        named.map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value)).collect()
    }

    /// The text for a person in lines of so many columns, folded at words.
    pub fn folded(&self, columns: usize) -> String {
        let text = self.to_string();
        let indented = text.lines().map(|line| {
            let indent = if line.starts_with(' ') { NAMED_FROM } else { 2 };
            stderr::folded(line, columns, indent)
        });
        indented.collect::<Vec<_>>().join("\n")
    }

    /// What is there: in parts, and of an unfinished run also what waits in the journal.
    fn write_headline(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, bytes) = (many(self.rows.get(), "row", "rows"), HumanBytes(self.bytes.get()));
        let parts = many(self.parts, "part", "parts");
        write!(formatter, "{}: ", headline(self.outcome, self.is_quota_spent))?;
        if !self.outcome.is_unfinished() {
            return write!(formatter, "{rows} in {parts} ({bytes}) in {}", self.output);
        }
        match self.parts {
            0 => write!(formatter, "no part is published yet")?,
            _ => {
                let are = if self.rows.get() == 1 { "is" } else { "are" };
                write!(formatter, "{rows} {are} published in {parts} ({bytes}) in {}", self.output)?;
            }
        }
        let more = if self.parts == 0 { "" } else { "more " };
        let rows = many(self.journal.rows.get(), "row", "rows");
        match self.journal.pages {
            0 => Ok(()),
            1 => write!(formatter, "; 1 {more}page with {rows} is safe in the journal"),
            pages => {
                write!(formatter, "; {} {more}pages with {rows} are safe in the journal", HumanCount(pages))
            }
        }
    }

    fn write_price(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = &self.requests;
        line(
            formatter,
            "credits",
            &[
                many(requests.attempts.get(), "request", "requests"),
                format!("{} answered", HumanCount(requests.answered.get())),
                many(requests.retries, "retry", "retries"),
                format!("{} throttled", HumanCount(requests.throttled)),
                format!("{} possibly charged", HumanCount(requests.possibly_charged.get())),
            ],
        )?;
        match self.price_over_floor() {
            // The rest of what was bought waits in the journal, so a price of what is published would mislead.
            _ if !matches!(self.outcome, ExitCode::Complete | ExitCode::Incomplete) => Ok(()),
            Some(ratio) => {
                let floor = many(self.floor().get(), "credit", "credits");
                let answered = self.answered_over_floor().unwrap_or(ratio);
                let price = format!("{ratio:.4} times the floor of {floor}");
                line(formatter, "price", &[price, format!("{answered:.4} times by answered pages alone")])
            }
            None => line(formatter, "price", &["no rows, so no floor".to_owned()]),
        }
    }

    fn write_time(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = FormattedDuration(Duration::from_secs(self.duration.as_secs()));
        let rate = match self.requests_per_second() {
            Some(rate) => format!("{rate:.1} requests/s on average"),
            None => "no request was sent".to_owned(),
        };
        line(formatter, "time", &[took.to_string(), rate])
    }

    /// The fields that most of the kept values belong to, in brackets.
    fn most_kept(&self) -> String {
        let mut fields: Vec<(&String, &u64)> = self.extra_fields.iter().collect();
        fields.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let named = fields.iter().take(LISTED_FIELDS).map(|(name, count)| format!("{name} {}", HumanCount(**count)));
        let mut named: Vec<String> = named.collect();
        if fields.len() > LISTED_FIELDS {
            named.push(format!("and {} more fields", fields.len() - LISTED_FIELDS));
        }
        if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) }
    }

    fn write_quality(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(
            formatter,
            "rows",
            &[
                many(self.duplicates, "duplicate dropped", "duplicates dropped"),
                format!("{} rejected", HumanCount(self.rejected)),
                many(self.kept_in_extra, "value kept in _extra", "values kept in _extra") + &self.most_kept(),
            ],
        )?;
        let none = if self.outcome.is_unfinished() { "none so far" } else { "none" };
        write_shortfalls(formatter, "gaps", &self.gaps, none)?;
        write_shortfalls(formatter, "unproven", &self.unproven, none)?;
        if self.confirm_after_s == 0 {
            let told = "believed at once (confirm_after is 0s), so pages that came empty for a while are not found out";
            line(formatter, "ends", &[told.to_owned()])?;
        }
        if !self.elsewhere.is_empty() {
            write_shortfalls(formatter, "elsewhere", &self.elsewhere, "none")?;
        }
        self.warnings.iter().try_for_each(|warning| line(formatter, "unusual", std::slice::from_ref(&warning.text)))
    }

    fn write_former(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Former { parts, rows } = self.former;
        if parts == 0 {
            return Ok(());
        }
        let stay = if rows.get() == 1 { "stays as it is" } else { "stay as they are" };
        let (rows, parts) = (many(rows.get(), "row", "rows"), many(parts, "part", "parts"));
        line(formatter, "kept", &[format!("{rows} in {parts} of former runs {stay}")])
    }
}

impl fmt::Display for Summary {
    /// The text for a person: a headline, a line for each thing, and what to do next. Ends without a newline.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_headline(formatter)?;
        let codes: Vec<String> = self.regions.iter().map(Region::to_string).collect();
        let mut range = vec![format!("{} up to {}", self.range.start, self.range.end), codes.join(" ")];
        range.extend(self.shard.as_ref().map(|shard| format!("of which this is shard {shard}")));
        line(formatter, "range", &range)?;
        if let Some(share) = self.settled_share {
            line(formatter, "read", &[format!("{:.1} % of the range", (share * 1_000.0).floor() / 10.0)])?;
        }
        self.write_former(formatter)?;
        self.write_price(formatter)?;
        self.write_time(formatter)?;
        self.write_quality(formatter)?;
        match &self.next {
            Some(next) => line(formatter, "next", std::slice::from_ref(next)),
            None => Ok(()),
        }
    }
}

const fn headline(outcome: ExitCode, is_quota_spent: bool) -> &'static str {
    match outcome {
        ExitCode::BudgetReached if is_quota_spent => "Stopped, the key's quota is used up",
        ExitCode::Complete => "Complete",
        ExitCode::Incomplete => "Finished, but not whole",
        ExitCode::BudgetReached => "Stopped at the budget",
        ExitCode::ServiceUnwell => "Stopped, the service is unwell",
        ExitCode::Refused => "Stopped, the service refuses",
        ExitCode::Interrupted | ExitCode::Terminated | ExitCode::HungUp => "Interrupted",
        ExitCode::Bug | ExitCode::Usage | ExitCode::LocalDamage | ExitCode::Locked => "Stopped",
    }
}

fn line(formatter: &mut fmt::Formatter<'_>, name: &str, words: &[String]) -> fmt::Result {
    write!(formatter, "\n  {name:<9} {}", words.join(", "))
}

/// A number of things, by what one is called and more are.
fn many(count: u64, one: &str, more: &str) -> String {
    format!("{} {}", HumanCount(count), if count == 1 { one } else { more })
}

fn write_shortfalls(
    formatter: &mut fmt::Formatter<'_>,
    name: &str,
    shortfalls: &[Shortfall],
    none: &str,
) -> fmt::Result {
    if shortfalls.is_empty() {
        return line(formatter, name, &[none.to_owned()]);
    }
    line(formatter, name, &[HumanCount(shortfalls.len() as u64).to_string()])?;
    for shortfall in shortfalls.iter().take(LISTED_RANGES) {
        write!(formatter, "\n            {} {}: {}", shortfall.region, shortfall.range, shortfall.why)?;
    }
    match shortfalls.len().saturating_sub(LISTED_RANGES) {
        0 => Ok(()),
        more => write!(formatter, "\n            and {more} more; --summary FILE and the manifest list all"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for a display; counts of credits are far below 2^52")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn as_milliseconds<S: serde::Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
