//! What ends a command in place of its answer, as a person is told: the exit code, the words, and what to do next. Pure.

use std::io::ErrorKind;
use std::path::Path;

use crate::export::{Ending, ExportError, ExportRequest};
use crate::failure::{ExitCode, Failure};
use crate::folder::in_shell;
use crate::journal::{JournalError, Lapse};
use crate::plan::event::Contradiction;
use crate::replica::ReplicaError;
use crate::sink::identity::Identity;
use crate::sink::manifest::ManifestError;
use crate::sink::part::PartError;
use crate::sink::publish::OutputError;

use super::places::{SHARDS_HINT, told_state};
use super::statuses;

/// Ends that need more than the summary: what the service did.
pub(super) fn refusal(ending: &Ending) -> Option<Failure> {
    match ending {
        Ending::Unwell { why } => Some(
            Failure::new(ExitCode::ServiceUnwell, format!("no page came for too long; the last failure was: {why}"))
                .with_hint(statuses::trouble_hint(why)),
        ),
        Ending::Unreachable { why } => Some(
            Failure::new(ExitCode::Usage, format!("the service cannot be reached: {why}"))
                .with_hint("check --base-url, and what this machine trusts and can look up; the same command goes on"),
        ),
        Ending::Refused { code, message } => Some(
            Failure::new(ExitCode::Refused, format!("the service refuses the request with {code}: {message}"))
                .with_hint(statuses::refusal_hint(*code)),
        ),
        Ending::Contradicted(contradiction @ Contradiction::RowsUnplaced { .. }) => Some(
            Failure::from_error(ExitCode::Refused, contradiction).with_hint(
                "see in _rejected what its rows are like now; where only the names changed, a newer version of this program may read \
                 them, and else the vendor can tell. What was bought is kept, and the same command asks on",
            ),
        ),
        Ending::Contradicted(contradiction) => Some(Failure::from_error(ExitCode::Refused, contradiction).with_hint(
            "the service does not follow its documented contract here; nothing more was bought, and the same command \
                     asks it anew",
        )),
        _ => None,
    }
}

/// The same of a start that was asked for: what it can do in place of a question that is not the output's, as commands.
pub(super) fn failure_of(error: &ExportError, request: &ExportRequest) -> Failure {
    let state = told_state(&request.state, request.away.as_ref());
    let out = request.output.to_string();
    let hint = match another_question(error) {
        Some(Differs::Layout) => format!(
            "`rebuild` with the new --partition lays the output out anew, without a request, and then the same command goes on: \
             `keyapi-export rebuild --out {}{} --partition {}`; or use another --out and --state, or ask as before",
            in_shell(&out),
            request.named_state(""),
            request.partition
        ),
        Some(Differs::Question) => format!(
            "use another --out for this question, such as the same command with `--out {}{}`; what is in {out} stays as it is, and \
             goes on with the question as before",
            in_shell(&format!("{out}-2")),
            request.named_state("-2")
        ),
        None => return failure(error, &state),
    };
    Failure::from_error(ExitCode::Usage, error).with_hint(hint)
}

/// How a question differs from the one that an output or a state belongs to.
enum Differs {
    /// In the partition alone.
    Layout,
    /// In what is asked, or in whether snapshots are kept.
    Question,
}

fn another_question(error: &ExportError) -> Option<Differs> {
    let is_layout_alone = match error {
        ExportError::Output(OutputError::AnotherQuestion { is_layout_alone, .. }) => *is_layout_alone,
        ExportError::Journal(JournalError::OtherQuestion { stored, asked }) => are_laid_out_otherwise(stored, asked),
        _ => return None,
    };
    Some(if is_layout_alone { Differs::Layout } else { Differs::Question })
}

/// What an export failed for, whose state lies there.
pub(super) fn failure(error: &ExportError, state: &Path) -> Failure {
    if let ExportError::Output(OutputError::Store(of_store)) = error
        && let Some((code, hint)) = super::store_failure(of_store)
    {
        return Failure::from_error(code, error).with_hint(hint);
    }
    if let ExportError::Replica(of_replica) = error {
        return of_the_replica(of_replica);
    }
    let (code, hint) = match error {
        ExportError::Journal(JournalError::Lapsed(lapse)) => return of_the_lease(lapse),
        ExportError::Journal(JournalError::Locked { .. }) => (
            ExitCode::Locked,
            "wait for the other run, or give this question a state of its own with --state".to_owned(),
        ),
        ExportError::Output(OutputError::ShardLocked { .. }) => {
            (ExitCode::Locked, "wait until it has ended; a run of the whole question and `merge` begin once no shard is at work".to_owned())
        }
        ExportError::Output(OutputError::RunAtWork { .. }) => (
            ExitCode::Locked,
            "bring it to its end with the same `run` command without --shard, or choose another --out".to_owned(),
        ),
        ExportError::Output(OutputError::NotMerged { .. }) => (
            ExitCode::Usage,
            "bring all shards to their end, and then `merge` the output; or choose another --out".to_owned(),
        ),
        ExportError::Output(OutputError::NoShards { .. }) => (ExitCode::Usage, SHARDS_HINT.to_owned()),
        ExportError::OtherShards { .. } => (
            ExitCode::Usage,
            "bring the shards of that question to their end, with dates in place of days ago, and `merge` them; or choose another --out"
                .to_owned(),
        ),
        ExportError::OtherRun { .. } => (
            ExitCode::Usage,
            "ask the same as before, or name a new state with --state".to_owned(),
        ),
        ExportError::PartAcross { .. } => (
            ExitCode::Usage,
            "`rebuild --partition day` lays the output out so that no part does; or ask the range without --shard".to_owned(),
        ),
        ExportError::Output(OutputError::Locked { .. }) => {
            (ExitCode::Locked, "wait for the other run, or choose another --out".to_owned())
        }
        ExportError::Output(OutputError::AnotherQuestion { is_layout_alone: true, .. }) => {
            (ExitCode::Usage, LAID_OUT_OTHERWISE.to_owned())
        }
        ExportError::Journal(JournalError::OtherQuestion { stored, asked }) if are_laid_out_otherwise(stored, asked) => {
            (ExitCode::Usage, LAID_OUT_OTHERWISE.to_owned())
        }
        ExportError::AsksSomethingElse { .. } => (
            ExitCode::Usage,
            "bring it to its end with the same `run` command as before, or plan with an --out and a --state of its own; `run` would publish \
             what the unfinished run has paid for, and close it"
                .to_owned(),
        ),
        ExportError::NoOutput { .. } => (ExitCode::Usage, "name the folder that --out named for `run`".to_owned()),
        ExportError::Unfinished { .. } => (
            ExitCode::Usage,
            "bring it to its end with the same `run` command as before, then write the output anew; nothing was changed".to_owned(),
        ),
        ExportError::NotAudited { .. } => (
            ExitCode::Usage,
            "bring it to its end with the same `run` command as before: it knows what is missing; nothing was sent".to_owned(),
        ),
        ExportError::NothingToAudit { .. } => (
            ExitCode::Usage,
            "`run` reads what is missing; nothing was sent".to_owned(),
        ),
        ExportError::UnknownToState { .. } => (
            ExitCode::Usage,
            "name the state that `run` used with --state; where it is lost, bring the output to its end with the same `run` command; \
             nothing was changed"
                .to_owned(),
        ),
        ExportError::PartsNotWhole { .. } | ExportError::Overlap(_) | ExportError::Part(PartError::Damaged { .. }) => (
            ExitCode::LocalDamage,
            "`verify` tells what is wrong, and how it comes back; nothing was changed".to_owned(),
        ),
        ExportError::NoRoom { .. } => (
            ExitCode::LocalDamage,
            "free some space, or move the output to a larger disk, then run the same command; nothing was changed".to_owned(),
        ),
        ExportError::Output(OutputError::AnotherQuestion { .. }) => {
            (ExitCode::Usage, "use another --out, with a state of its own, or ask as before".to_owned())
        }
        ExportError::Output(OutputError::Replaced { .. }) => (
            ExitCode::Locked,
            "let only one process write into an output at a time; the same command looks at what is there now".to_owned(),
        ),
        ExportError::HasTable { .. } => (
            ExitCode::Usage,
            "say --table delta, or output.table = \"delta\": its readers go by the table's log; nothing was changed".to_owned(),
        ),
        ExportError::TooOldForTable { .. } => {
            (ExitCode::Usage, "`rebuild` writes them anew with these columns; then run the same command".to_owned())
        }
        ExportError::Output(OutputError::ForeignLog { .. }) => (
            ExitCode::LocalDamage,
            "only this program may write into its table: restore data/_delta_log from a copy, or move it away and run the same command, \
             which begins the log anew"
                .to_owned(),
        ),
        ExportError::Output(OutputError::LogLost { .. }) => (
            ExitCode::LocalDamage,
            "restore data/_delta_log from a copy; or move all of it away and run the same command, which begins it anew".to_owned(),
        ),
        ExportError::Output(
            OutputError::Manifest { source: ManifestError::Version(_), .. }
            | OutputError::Account { why: ManifestError::Version(_), .. },
        ) => {
            (ExitCode::Usage, OF_ANOTHER_VERSION.to_owned())
        }
        ExportError::Output(OutputError::Manifest { .. }) => {
            (ExitCode::LocalDamage, DAMAGED_MANIFEST.to_owned())
        }
        ExportError::Output(OutputError::Account { shard, .. }) => (
            ExitCode::LocalDamage,
            format!(
                "restore it from a copy; or move it away and give the `run --shard {shard}` command of before, with the same state, which \
                 writes it again without a request"
            ),
        ),
        ExportError::Journal(JournalError::Version { .. }) => (
            ExitCode::LocalDamage,
            "finish the run with the version of this program that wrote it; or add --adopt, which moves the state aside and goes on from \
             the output's manifest, so that only pages which were not published yet are paid for again"
                .to_owned(),
        ),
        ExportError::NothingToGoOnFrom { .. } => (
            ExitCode::LocalDamage,
            "restore the state or the output from a copy; a run in a new --out and --state pays for everything".to_owned(),
        ),
        ExportError::Output(OutputError::Foreign { .. }) => {
            (ExitCode::Usage, "move them away, or choose another --out".to_owned())
        }
        ExportError::Journal(JournalError::OtherQuestion { .. }) => (
            ExitCode::Usage,
            "use another --out and --state for this question, or ask the same one as before".to_owned(),
        ),
        ExportError::Clock(_) => (
            ExitCode::LocalDamage,
            "set the clock right, or write --from and --to as moments that lie before both; then run the same command. No more than \
             the first requests were sent"
                .to_owned(),
        ),
        ExportError::Client(_) => (ExitCode::Usage, "see config/reference.toml, [service]".to_owned()),
        ExportError::EmptyRange(_) => (ExitCode::Usage, "--to must be after --from, and --from before now".to_owned()),
        ExportError::OtherOutput { .. } => (
            ExitCode::Usage,
            "name the state of this output with --state; where it has none any more, name a new one: what the output's manifest says is \
             not paid for again"
                .to_owned(),
        ),
        ExportError::PartsVanished { .. } => (
            ExitCode::LocalDamage,
            "the same command looks at every part and reads again what is missing of this run".to_owned(),
        ),
        ExportError::PartsMissing { .. } => {
            (ExitCode::LocalDamage, "restore them, or ask for their time in a run of its own".to_owned())
        }
        ExportError::NothingThere { .. } => (
            ExitCode::LocalDamage,
            "mount or restore the folder, or name it with --out where it was moved, then run the same command; where it is lost, --fresh \
             pays for the whole range again"
                .to_owned(),
        ),
        ExportError::Journal(JournalError::Vanished { .. }) => (
            ExitCode::LocalDamage,
            format!(
                "put the folder back where it was, then run the same command; without what was in {} a run pays for \
                 everything again",
                state.display()
            ),
        ),
        ExportError::Journal(JournalError::Damaged { .. } | JournalError::NoFile { .. }) => (
            ExitCode::LocalDamage,
            "it is left as it is, and nothing is guessed; restore the state from a copy, or add --adopt, which moves it aside and goes on \
             from the output's manifest, so that only pages which were not published yet are paid for again"
                .to_owned(),
        ),
        ExportError::Journal(JournalError::Emptied { .. }) => (
            ExitCode::LocalDamage,
            format!(
                "restore the database of {} from a copy; where there is none, add --adopt, which moves the state aside and goes on from \
                 the output's manifest, so that only pages which were not published yet are paid for again",
                state.display()
            ),
        ),
        ExportError::Journal(JournalError::File { doing: "making the state folder" | "making the folder", .. }) => (
            ExitCode::LocalDamage,
            "make it so that this user can write into it, or name another with --out or --state; nothing was sent".to_owned(),
        ),
        ExportError::Journal(JournalError::File { source, .. })
            if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
        {
            (
                ExitCode::LocalDamage,
                format!(
                    "let the user that runs this read and write {} and each file in it, then run the same command: nothing that was paid for is lost",
                    state.display()
                ),
            )
        }
        ExportError::Journal(JournalError::DiskFull { .. }) => (
            ExitCode::LocalDamage,
            "free some space, then run the same command: nothing that was paid for is lost".to_owned(),
        ),
        ExportError::Task(_)
        | ExportError::Stager(_)
        | ExportError::Stuck(_)
        | ExportError::NotDone(_)
        | ExportError::Decision(_) => {
            (ExitCode::Bug, format!("please report this; what was paid for is safe in {}", state.display()))
        }
        _ => (
            ExitCode::LocalDamage,
            format!("what was paid for is in {}; mend the cause, then run the same command", state.display()),
        ),
    };
    Failure::from_error(code, error).with_hint(hint)
}

/// What a state in a bucket could not be worked on for.
fn of_the_replica(error: &ReplicaError) -> Failure {
    let (code, hint) = match error {
        ReplicaError::Store(of_store) => match super::store_failure(of_store) {
            Some(known) => known,
            None => (ExitCode::LocalDamage, super::BUCKET_HINT.to_owned()),
        },
        ReplicaError::Held { lasts, .. } => (
            ExitCode::Locked,
            format!(
                "wait for the other run; one that has died is taken over by the same command, which waits {} s for a sign of life",
                lasts.as_secs()
            ),
        ),
        ReplicaError::Lapsed(lapse) => return of_the_lease(lapse),
        error if error.is_about_a_bad_state() => (
            ExitCode::LocalDamage,
            "it is left as it is, and nothing is guessed; restore the state from a copy, or add --adopt, which leaves it aside and goes on \
             from the output's manifest, so that only pages which were not published yet are paid for again"
                .to_owned(),
        ),
        ReplicaError::Journal(JournalError::Locked { .. }) => (
            ExitCode::Locked,
            "wait for the other run, or name another state.work_folder".to_owned(),
        ),
        ReplicaError::Late { .. } => (ExitCode::LocalDamage, super::BUCKET_HINT.to_owned()),
        _ => (ExitCode::LocalDamage, "mend the cause, then run the same command".to_owned()),
    };
    Failure::from_error(code, error).with_hint(hint)
}

fn of_the_lease(lapse: &Lapse) -> Failure {
    let (code, hint) = match lapse {
        Lapse::Taken { .. } => (ExitCode::Locked, "wait for the other run: it goes on from what this one had shipped"),
        Lapse::Silent { .. } => (ExitCode::LocalDamage, super::BUCKET_HINT),
        Lapse::Released { .. } => (ExitCode::Bug, "please report this; what was paid for is in the state"),
    };
    Failure::from_error(code, lapse).with_hint(hint)
}

/// What to do about another partition.
const LAID_OUT_OTHERWISE: &str = "`rebuild` with the new --partition lays the output out anew, without a request; or use another --out and \
                                  --state, or ask as before";

/// Whether two questions, as a state keeps them, differ in the partition alone.
fn are_laid_out_otherwise(stored: &str, asked: &str) -> bool {
    let identity = |text: &str| serde_json::from_str::<Identity>(text).ok();
    identity(stored).zip(identity(asked)).is_some_and(|(stored, asked)| stored.is_only_laid_out_otherwise(&asked))
}

/// What to do about a manifest that cannot be read.
pub(super) const DAMAGED_MANIFEST: &str = "restore it from a copy; or move it away and give the same `run` command as before, with the \
                                           same state, which writes it again without a request";

/// What to do about an output or a state that another version wrote.
const OF_ANOTHER_VERSION: &str = "go on with the version of this program that wrote it, or choose another --out and --state, \
                                  which pays for every page again";
