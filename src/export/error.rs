//! Why an export could not go on at all.

use super::clock::WrongClock;
use super::merge::MergeError;
use super::stager::StagerGone;
use crate::api::client::ClientError;
use crate::journal::JournalError;
use crate::plan::reopen::NotDone;
use crate::replica::ReplicaError;
use crate::sink::chains::Overlap;
use crate::sink::part::PartError;
use crate::sink::publish::OutputError;
use crate::sink::rejected::RejectedError;
use crate::sink::shard::ShardName;
use crate::units::{ByteCount, EpochSeconds, TimeRange};

/// Why an export could not go on at all.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state in a bucket.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The output folder.
    #[error(transparent)]
    Output(OutputError),
    /// A part.
    #[error(transparent)]
    Part(PartError),
    /// The rejected rows.
    #[error(transparent)]
    Rejected(#[from] RejectedError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// State and output do not belong together.
    #[error("the state {state} belongs to another output ({was}) than the one in {output} ({now})")]
    OtherOutput {
        /// The state folder.
        state: String,
        /// The name of the output that it belongs to.
        was: String,
        /// The output folder.
        output: String,
        /// The name of the output that lies there.
        now: String,
    },
    /// The output has a table, and none is asked for.
    #[error("the output {output} is a Delta table too, and `output.table` is none")]
    HasTable {
        /// The output.
        output: String,
    },
    /// Parts have columns of another type than the table's.
    #[error("{parts} parts of the output {output} are of the first schema, which has no table")]
    TooOldForTable {
        /// The output.
        output: String,
        /// How many.
        parts: usize,
    },
    /// There is no manifest to go on from in place of a state.
    #[error("{why}; and {output} holds no manifest from which to go on without it")]
    NothingToGoOnFrom {
        /// What is the matter with the state.
        why: String,
        /// The output folder.
        output: String,
    },
    /// A state could not be moved aside.
    #[error("moving the state {state} aside failed: {source}")]
    Aside {
        /// The state folder.
        state: String,
        /// Why.
        source: std::io::Error,
    },
    /// An end of the range was taken from a clock that is not to be believed.
    #[error(transparent)]
    Clock(#[from] WrongClock),
    /// The range holds nothing.
    #[error("the range {0} is empty")]
    EmptyRange(TimeRange),
    /// Parts are gone that hold rows of earlier runs.
    #[error(
        "{missing} parts that hold rows of earlier runs are not what run {run} left in the output, such as {example}; they lie \
         outside its range, so it cannot read them again"
    )]
    PartsMissing {
        /// The run.
        run: String,
        /// How many.
        missing: usize,
        /// One of them.
        example: String,
    },
    /// Parts went while the run was at work.
    #[error(
        "{count} published parts are no longer what they were, such as {example}: something else removed or changed them while \
         the run went on"
    )]
    PartsVanished {
        /// How many.
        count: usize,
        /// One of them.
        example: String,
    },
    /// The output folder is another one, or has lost everything.
    #[error("the output {output} has no manifest and none of the {parts} parts that this state's runs published there")]
    NothingThere {
        /// How many parts.
        parts: usize,
        /// The output folder.
        output: String,
    },
    /// An unfinished run asks something else, and only `run` may close it.
    #[error("the unfinished run {run} of this state asks {was}, and {asked} is asked now")]
    AsksSomethingElse {
        /// The run.
        run: String,
        /// What it asks.
        was: String,
        /// What is asked now.
        asked: String,
    },
    /// There is no output to be written anew.
    #[error("{output} has no manifest, so it is no output folder")]
    NoOutput {
        /// The folder.
        output: String,
    },
    /// A run may still be gone on with, which knows the parts as they are.
    #[error("the output {output} is not written anew while run {run} is unfinished")]
    Unfinished {
        /// The output folder.
        output: String,
        /// The run.
        run: String,
    },
    /// A run may still be gone on with, which knows what is missing.
    #[error("the output {output} is not audited while run {run} is unfinished")]
    NotAudited {
        /// The output folder.
        output: String,
        /// The run.
        run: String,
    },
    /// No second of an output is there to be looked at.
    #[error(
        "the output {output} holds no second that could be read again: all that it says it has read is listed as missing or unproven"
    )]
    NothingToAudit {
        /// The output folder.
        output: String,
    },
    /// A run that is not in the state may still be gone on with.
    #[error("the state {state} does not know run {run}, which has not said of the output {output} that it is complete")]
    UnknownToState {
        /// The output folder.
        output: String,
        /// The state folder.
        state: String,
        /// The run.
        run: String,
    },
    /// Parts are not what they should be, so that their rows would be lost.
    #[error("{count} parts of the output are missing or have another size, such as {example}")]
    PartsNotWhole {
        /// How many.
        count: usize,
        /// One of them.
        example: String,
    },
    /// Parts hold the same seconds.
    #[error("the parts contradict each other: {0}")]
    Overlap(#[from] Overlap),
    /// The disk does not hold both copies.
    #[error(
        "the disk of {output} has {free} free, and the parts that are written anew take about {needed} beside the former ones"
    )]
    NoRoom {
        /// The output folder.
        output: String,
        /// What is free.
        free: ByteCount,
        /// What is needed.
        needed: ByteCount,
    },
    /// How much room there is cannot be told.
    #[error("asking how much room the disk of {output} has: {source}")]
    Room {
        /// The output folder.
        output: String,
        /// Why.
        source: std::io::Error,
    },
    /// The accounts of shards cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// Shards of another question, or of another cut, have read what is not merged yet.
    #[error("shard {theirs} of the output {output} was asked something else than shard {shard} is: {differences}")]
    OtherShards {
        /// The output folder.
        output: String,
        /// The shard.
        shard: ShardName,
        /// The other one.
        theirs: ShardName,
        /// In what they differ, for a person.
        differences: String,
    },
    /// The state holds an unfinished shard of another question.
    #[error("the state {state} holds run {run} of another question, which is not finished")]
    OtherRun {
        /// The state folder.
        state: String,
        /// The run.
        run: String,
    },
    /// A part lies on both sides of where two shards meet.
    #[error("the part {part} lies on both sides of {boundary}, where two shards meet")]
    PartAcross {
        /// Its path.
        part: String,
        /// Where they meet.
        boundary: EpochSeconds,
    },
    /// A range cannot be opened again.
    #[error(transparent)]
    NotDone(#[from] NotDone),
    /// A decision that the journal keeps cannot be read back.
    #[error("a decision in the journal cannot be read: {0}")]
    Decision(#[from] serde_json::Error),
    /// The system gives no thread.
    #[error("starting the thread that writes parts: {0}")]
    Thread(#[source] std::io::Error),
    /// The thread that writes parts broke down.
    #[error(transparent)]
    Stager(#[from] StagerGone),
    /// A task of ours broke down.
    #[error("a task of the program broke down: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The planner has nothing to do and is not done.
    #[error("the plan has nothing left to ask, yet {0} is not covered")]
    Stuck(String),
}
