//! `audit`: random pages of a finished output, read again and held against it.

use std::fmt::Write as _;

use indicatif::HumanCount;
use serde::Serialize;

use crate::api::contract::Region;
use crate::cli::AuditArguments;
use crate::config::{Qps, Settings};
use crate::export::{self, Audit, Audited, REFRESH_SECONDS, Stopped};
use crate::failure::{ExitCode, Failure};
use crate::fetch::throttle::Rate;
use crate::limits;
use crate::sink::identity::Identity;
use crate::sink::publish::Output;
use crate::telemetry::Log;
use crate::units::{Credits, TimeRange};

use super::places::{Places, told_state};
use super::{failures, run, signals};

/// The version of the JSON form: a field that is renamed or changes its meaning raises it, a new field does not.
const AUDIT_VERSION: u32 = 1;
/// Gaps that the text lists; the JSON has all.
const LISTED_GAPS: usize = 10;

/// What was found, as `--json` prints it.
#[derive(Serialize)]
struct Document<'audited> {
    version: u32,
    /// `complete` or `incomplete`, or why the service gave no more, as the exit code is named.
    outcome: ExitCode,
    exit_code: u8,
    output: &'audited str,
    statement: String,
    pages: u64,
    pages_differ: u64,
    pages_unread: u64,
    pages_poor: u64,
    rows: u64,
    rows_checked: u64,
    rows_missing: u64,
    rows_unconfirmed: u64,
    rows_came_later: u64,
    rows_moved: u64,
    rows_deleted: u64,
    missing_at_most_95: f64,
    credits: Credits,
    suggested_credits: Credits,
    requests_spent: Credits,
    gaps: Vec<Gap<'audited>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Serialize)]
struct Gap<'audited> {
    region: &'audited Region,
    range: TimeRange,
}

/// Reads random pages again and prints what that says of the output.
///
/// # Errors
/// An output that cannot be audited, or a service that answers nothing.
pub async fn audit(mut settings: Settings, arguments: &AuditArguments, log: &Log) -> Result<ExitCode, Failure> {
    // Nothing is changed before the end, and what may be spent is recorded: there is nothing to bring to an end.
    signals::end_at_once(log)?;
    let places = Places::of(&settings, None)?;
    limits::require(u64::from(settings.pace.max_in_flight) * if settings.simulator.is_some() { 2 } else { 1 })?;
    let found = Output::look(&places.output).await.map_err(|error| failures::failure(&error.into(), &places.state))?;
    if let Some(found) = &found {
        settings.service.path.clone_from(&found.identity.path);
        refuse_another_service(&found.identity, &settings)?;
    }
    let simulator = run::embedded_simulator(&settings)?;
    let client = run::client(&settings, simulator.as_ref())?;
    let request = Audit {
        state: places.state,
        away: places.away,
        output: places.output,
        writers: run::writers(&settings.output),
        now: super::now(),
        credits: arguments.credits.map(Credits::new),
        rate: match settings.pace.qps {
            Qps::Auto => Rate::Auto,
            Qps::PerSecond(rate) => Rate::Fixed(rate),
        },
        max_in_flight: usize::try_from(settings.pace.max_in_flight).unwrap_or(usize::MAX),
        give_up_after: settings.pace.give_up_after.get(),
    };
    let audited = export::audit(&request, client)
        .await
        .map_err(|error| failures::failure(&error, &told_state(&request.state, request.away.as_ref())))?;
    if audited.pages == 0 {
        return Err(nothing_came(&audited));
    }
    let (folder, code) = (settings.output.folder.display().to_string(), code(&audited));
    let told = if arguments.json { json(&audited, &folder, code)? } else { text(&audited, &folder) };
    super::print(told.as_bytes())?;
    if code != ExitCode::Complete {
        let failure = Failure::new(code, format!("{folder}: {}", statement(&audited)));
        let hint = hint(&audited).unwrap_or_else(|| "the same command reads other pages".to_owned());
        log.concluded(&failure.with_hint(hint));
    }
    Ok(code)
}

/// Whether the service answers the question of the output cannot be seen, but whether it is a real one can.
fn refuse_another_service(identity: &Identity, settings: &Settings) -> Result<(), Failure> {
    if identity.simulator == settings.simulator {
        return Ok(());
    }
    let message = "the output holds answers of another service than the settings name: one of the two is simulated";
    Err(Failure::new(ExitCode::Usage, message).with_hint("audit with the --config that `run` used; nothing was sent"))
}

fn code(audited: &Audited) -> ExitCode {
    match &audited.stopped {
        _ if audited.rows_missing > 0 => ExitCode::Incomplete,
        None => ExitCode::Complete,
        Some(stopped) => code_of(stopped),
    }
}

const fn code_of(stopped: &Stopped) -> ExitCode {
    match stopped {
        Stopped::Quota(_) => ExitCode::BudgetReached,
        Stopped::Refused(..) => ExitCode::Refused,
        Stopped::Unreachable(_) => ExitCode::Usage,
        Stopped::Unwell(_) | Stopped::Poor(..) => ExitCode::ServiceUnwell,
    }
}

fn words_of(stopped: &Stopped) -> String {
    match stopped {
        Stopped::Quota(words) => format!("the key's quota is used up (\"{words}\")"),
        Stopped::Refused(code, words) => format!("the service refuses the request with {code}: {words}"),
        Stopped::Unreachable(why) => format!("the service cannot be reached: {why}"),
        Stopped::Unwell(why) => format!("no page came for too long; the last failure was: {why}"),
        Stopped::Poor(poor, pages) => format!(
            "{} of {} pages held fewer rows than the output has there, also when they were asked once more",
            HumanCount(*poor),
            HumanCount(*pages)
        ),
    }
}

fn nothing_came(audited: &Audited) -> Failure {
    let spent = audited.spent;
    let (code, why) = match &audited.stopped {
        Some(stopped) => (code_of(stopped), words_of(stopped)),
        None => (ExitCode::ServiceUnwell, "no page came within the credits".to_owned()),
    };
    Failure::new(code, format!("nothing was read again: {why}")).with_hint(format!(
        "it sent {}, or tried to, and the output is as it was; once the cause is mended, the same command tries again",
        if spent.get() == 1 { "1 request".to_owned() } else { format!("{} requests", HumanCount(spent.get())) }
    ))
}

/// A share, in per cent.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 { format!("{percent:.0} %") } else { format!("{percent:.2} %") }
}

/// What so many pages say, in one sentence.
fn statement(audited: &Audited) -> String {
    let (differ, pages) = (HumanCount(audited.differ), HumanCount(audited.pages));
    let verb = if audited.differ == 1 { "differs" } else { "differ" };
    let bound = percent(audited.missing_at_most);
    format!("{differ} of {pages} pages {verb}: at most {bound} of the range lacks a row, with 95 % confidence")
}

fn hint(audited: &Audited) -> Option<String> {
    if let Some(stopped) = &audited.stopped
        && audited.rows_missing == 0
    {
        let what = match stopped {
            Stopped::Poor(..) => "the service may be unwell, and what it shows proves little",
            _ => "fewer pages were read than were to be",
        };
        return Some(format!("{}, so {what}; once that is mended, audit again", words_of(stopped)));
    }
    if audited.gaps.is_empty() {
        return (audited.rows_unconfirmed > 0).then(|| {
            "no credit was left to ask the pages that differ once more; audit again with more --credits".to_owned()
        });
    }
    let how = if audited.is_elsewhere {
        "`run` with a --from and --to that hold the gaps, and --reread missing, reads them and nothing else that is there"
    } else {
        "the same `run` command as before reads the gaps; where its range is relative, with --reread missing it reads nothing else that is there"
    };
    let rest = "what else may be missing lies where no page was placed: --reread all reads the whole range again";
    Some(format!("{how}; {rest}"))
}

fn json(audited: &Audited, folder: &str, code: ExitCode) -> Result<String, Failure> {
    let document = Document {
        version: AUDIT_VERSION,
        outcome: code,
        exit_code: code.number(),
        output: folder,
        statement: statement(audited),
        pages: audited.pages,
        pages_differ: audited.differ,
        pages_unread: audited.unread,
        pages_poor: audited.poor,
        rows: audited.rows,
        rows_checked: audited.rows_checked,
        rows_missing: audited.rows_missing,
        rows_unconfirmed: audited.rows_unconfirmed,
        rows_came_later: audited.rows_came_later,
        rows_moved: audited.rows_moved,
        rows_deleted: audited.rows_deleted,
        missing_at_most_95: audited.missing_at_most,
        credits: audited.credits,
        suggested_credits: audited.suggested,
        requests_spent: audited.spent,
        gaps: audited.gaps.iter().map(|(region, range)| Gap { region, range: *range }).collect(),
        hint: hint(audited),
    };
    super::json(&document)
}

fn text(audited: &Audited, folder: &str) -> String {
    let verdict = match audited.stopped {
        _ if audited.rows_missing > 0 => "rows are missing",
        Some(Stopped::Poor(..)) => "no missing row was found, by a service that does not show what is there",
        _ => "no missing row was found",
    };
    let mut text = format!("{folder}: {verdict}\n");
    let mut line = |name: &str, words: &str| {
        let _ = writeln!(text, "  {name:<9} {words}");
    };
    line("bound", &statement(audited));
    let unread = match audited.unread {
        0 => String::new(),
        unread => format!(", {} pages did not come", HumanCount(unread)),
    };
    let poor = match audited.poor {
        0 => String::new(),
        1 => ", 1 page held fewer rows than the output has there and proves nothing".to_owned(),
        poor => format!(", {} pages held fewer rows than the output has there and prove nothing", HumanCount(poor)),
    };
    let (spent, credits) = (HumanCount(audited.spent.get()), HumanCount(audited.credits.get()));
    line("credits", &format!("{spent} requests of {credits}{unread}{poor}"));
    line("rows", &format!("{} were looked for, of {}", HumanCount(audited.rows_checked), HumanCount(audited.rows)));
    let days = REFRESH_SECONDS / crate::units::DAY_SECONDS;
    let later = format!(
        "{} may have come later: they were made less than {days} days before their time was read, and the service is refreshed a day late",
        HumanCount(audited.rows_came_later)
    );
    for (count, name, words) in [
        (audited.rows_missing, "missing", format!("{} rows, each shown twice", HumanCount(audited.rows_missing))),
        (
            audited.rows_unconfirmed,
            "open",
            format!("{} more were lacking on pages that were asked only once", HumanCount(audited.rows_unconfirmed)),
        ),
        (audited.rows_came_later, "later", later),
        (
            audited.rows_moved,
            "moved",
            format!("{} stand in another second of the output", HumanCount(audited.rows_moved)),
        ),
        (
            audited.rows_deleted,
            "deleted",
            format!("{} of the output are not shown any more", HumanCount(audited.rows_deleted)),
        ),
    ] {
        if count > 0 {
            line(name, &words);
        }
    }
    if !audited.gaps.is_empty() {
        let (count, noun) = (audited.gaps.len(), if audited.gaps.len() == 1 { "gap is" } else { "gaps are" });
        line(
            "gaps",
            &format!("{count} {noun} listed for the next run, and _SUCCESS is withdrawn where they are its own"),
        );
    }
    for (region, range) in audited.gaps.iter().take(LISTED_GAPS) {
        line("", &format!("{region} {range}"));
    }
    if audited.gaps.len() > LISTED_GAPS {
        line("", &format!("and {} more; --json and the manifest list all", audited.gaps.len() - LISTED_GAPS));
    }
    if let Some(hint) = hint(audited) {
        line("next", &hint);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::EpochSeconds;

    fn whole() -> Audited {
        Audited {
            pages: 300,
            differ: 0,
            unread: 0,
            poor: 0,
            rows_checked: 3_000,
            rows_missing: 0,
            rows_unconfirmed: 0,
            rows_came_later: 0,
            rows_moved: 0,
            rows_deleted: 0,
            missing_at_most: 0.009_936,
            rows: 100_000,
            credits: Credits::new(334),
            suggested: Credits::new(334),
            spent: Credits::new(300),
            stopped: None,
            gaps: Vec::new(),
            is_elsewhere: false,
        }
    }

    fn lacking() -> Audited {
        let range = |start| TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(start + 60));
        let gaps = (0..12).map(|number| ("US".parse().unwrap(), range(1_767_225_600 + number * 3_600))).collect();
        Audited {
            differ: 12,
            rows_missing: 15,
            rows_unconfirmed: 1,
            rows_came_later: 3,
            rows_moved: 1,
            rows_deleted: 2,
            missing_at_most: 0.064,
            gaps,
            ..whole()
        }
    }

    #[test]
    fn an_audit_tells_what_it_found_and_what_to_do() {
        let stopped = Audited { stopped: Some(Stopped::Quota("no credits".to_owned())), unread: 200, ..whole() };
        let texts = [whole(), lacking(), stopped].map(|audited| text(&audited, "data/videos"));
        insta::assert_snapshot!(texts.join("\n"));
        assert_eq!([code(&whole()), code(&lacking())], [ExitCode::Complete, ExitCode::Incomplete]);
    }

    #[test]
    fn what_a_service_shows_that_is_unwell_is_no_proof() {
        let poor = Audited { pages: 200, poor: 100, stopped: Some(Stopped::Poor(100, 300)), ..whole() };
        assert_eq!(code(&poor), ExitCode::ServiceUnwell);
        let told = text(&poor, "out");
        assert!(told.starts_with("out: no missing row was found, by a service that"), "{told}");
        assert!(told.contains(", 100 pages held fewer rows than the output has there and prove nothing\n"), "{told}");
        assert!(told.contains("100 of 300 pages held fewer rows"), "{told}");
        let one = text(&Audited { pages: 299, poor: 1, ..whole() }, "out");
        assert!(
            one.contains(", 1 page held fewer rows") && one.starts_with("out: no missing row was found\n"),
            "{one}"
        );
    }

    #[test]
    fn the_json_has_the_promised_fields() {
        let read = |audited: &Audited| {
            serde_json::from_str::<serde_json::Value>(&json(audited, "out", code(audited)).unwrap()).unwrap()
        };
        let (one, other) = (read(&whole()), read(&lacking()));
        assert_eq!(one["rows_checked"], 3_000);
        assert_eq!((&one["rows_missing"], &other["rows_missing"]), (&0.into(), &15.into()));
        assert_eq!((&one["missing_at_most_95"], &one["requests_spent"]), (&0.009_936.into(), &300.into()));
        assert_eq!(other["gaps"].as_array().unwrap().len(), 12);
    }
}
