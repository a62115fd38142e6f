//! Why an output could not be used.

use super::{DAMAGED, MOST_SET_ASIDE};
use crate::sink::manifest::ManifestError;
use crate::sink::shard::ShardName;
use crate::sink::staging::StagingError;
use crate::sink::store::StoreError;
use crate::units::ByteCount;

/// Why an output could not be used. Each names the output as a person knows it: `folder out`, `s3://lake/videos`.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Another process writes into it.
    #[error("another run holds the output {output}")]
    Locked {
        /// The output.
        output: String,
    },
    /// Another process writes a shard of it.
    #[error("another run holds shard {shard} of the output {output}")]
    ShardLocked {
        /// The output.
        output: String,
        /// The shard.
        shard: ShardName,
    },
    /// A run of the whole question is at work on it, or was when it ended without a word.
    #[error("run {run} of the whole question has not ended in the output {output}, so no shard can begin there")]
    RunAtWork {
        /// The output.
        output: String,
        /// The run; `another` where it is not known.
        run: String,
    },
    /// Shards have read what no manifest lists yet.
    #[error("the output {output} holds what shards have read and `merge` has not taken in: {shards}")]
    NotMerged {
        /// The output.
        output: String,
        /// The shards.
        shards: String,
    },
    /// It is in a bucket, and shards keep their locks in a folder.
    #[error("the output {output} is in a bucket, and shards can write into a folder alone")]
    NoShards {
        /// The output.
        output: String,
    },
    /// It holds the answer to another question.
    #[error("the output {output} belongs to another question: {differences}")]
    AnotherQuestion {
        /// The output.
        output: String,
        /// In what this one differs, for a person.
        differences: String,
        /// Whether it is only laid out in another partition.
        is_layout_alone: bool,
    },
    /// Its manifest is not the one that was last written or read here.
    #[error(
        "the manifest of the output {output} was replaced meanwhile by something else: generation {expected} was expected, and \
         {found} is there"
    )]
    Replaced {
        /// The output.
        output: String,
        /// The generation that should be there.
        expected: u64,
        /// What is there: a generation, or no manifest.
        found: String,
    },
    /// It holds Parquet that no manifest lists.
    #[error(
        "the output {output} holds Parquet that this program did not write there ({count} files, such as {examples})"
    )]
    Foreign {
        /// The output.
        output: String,
        /// How many.
        count: usize,
        /// The first few.
        examples: String,
    },
    /// A part is neither staged nor published as it was recorded.
    #[error("the part {path} is lost: {found}, but {recorded} were recorded")]
    Lost {
        /// Its path below the output folder.
        path: String,
        /// What is there.
        found: String,
        /// What should be there.
        recorded: ByteCount,
    },
    /// The same part was damaged so often that something else is wrong.
    #[error("the part {path} was damaged {MOST_SET_ASIDE} times; what was found is in {DAMAGED}")]
    TooManySetAside {
        /// Its path below the output folder.
        path: String,
    },
    /// The folder's manifest cannot be trusted.
    #[error("the output {output}: {source}")]
    Manifest {
        /// The output.
        output: String,
        /// Why.
        source: ManifestError,
    },
    /// A shard's account cannot be trusted.
    #[error("the output {output}: {}", .why.told_of(.account))]
    Account {
        /// The output.
        output: String,
        /// Where the account lies, below it.
        account: String,
        /// The shard.
        shard: ShardName,
        /// Why.
        why: ManifestError,
    },
    /// Somebody else has written into the table's log.
    #[error("the table of the output {output} was written by somebody else: {found}")]
    ForeignLog {
        /// The output.
        output: String,
        /// What is there.
        found: String,
    },
    /// The table's log lacks what the manifest does not tell any more.
    #[error("the log of the table of the output {output} lacks {missing}")]
    LogLost {
        /// The output.
        output: String,
        /// The file that is missing.
        missing: String,
    },
    /// The disk.
    #[error(transparent)]
    Disk(#[from] StagingError),
    /// The disk, through the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}
