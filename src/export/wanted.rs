//! What is to be opened: an output, its state, and what an output that holds nothing yet says of itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::api::contract::Region;
use crate::sink::account::Account;
use crate::sink::address::Address;
use crate::sink::columns::SCHEMA_VERSION;
use crate::sink::identity::Identity;
use crate::sink::manifest::{MANIFEST_VERSION, Manifest, Status};
use crate::sink::store::Writers;
use crate::sink::table::Table;
use crate::units::{EpochSeconds, RowCount, TimeRange};

use super::{ExportRequest, KeptTable, Shard, Start, clock};

/// What is to be opened.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) identity: Identity,
    pub(super) state: PathBuf,
    pub(super) output: Address,
    /// Who else may write into a bucket.
    pub(super) writers: Writers,
    /// This moment.
    pub(super) now: EpochSeconds,
    /// Whether an output that has lost everything is begun anew.
    pub(super) start: Start,
    /// How long parts are kept, in seconds.
    pub(super) retain_seconds: Option<i64>,
    /// Whether the output is kept as a table too, and how.
    pub(super) table: Option<KeptTable>,
    /// What an output that holds nothing yet says of what it was asked.
    pub(super) range: TimeRange,
    pub(super) max_rejected: u64,
    pub(super) confirm_after_seconds: u64,
    /// The shard, where it is one that is opened.
    pub(super) shard: Option<Shard>,
    /// The regions that are asked.
    pub(super) regions: Vec<Region>,
}

impl Wanted {
    /// An output as its own manifest says it is, with its state.
    pub(super) fn as_found(
        found: &Manifest,
        (state, output): (&Path, &Address),
        writers: Writers,
        now: EpochSeconds,
    ) -> Self {
        Self {
            identity: found.identity.clone(),
            state: state.to_owned(),
            output: output.clone(),
            writers,
            now,
            start: Start::GoOn,
            retain_seconds: found.retain_seconds,
            // Who asks for nothing of the table removes nothing of it.
            table: found.table.as_ref().map(|_| KeptTable { superseded_seconds: None }),
            range: found.range,
            max_rejected: found.max_rejected,
            confirm_after_seconds: found.confirm_after_seconds,
            shard: None,
            regions: found.regions.clone(),
        }
    }
}

impl ExportRequest {
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            identity: self.identity.clone(),
            state: self.state.clone(),
            output: self.output.clone(),
            writers: self.writers,
            now: self.now,
            start: self.start,
            retain_seconds: self.retain_seconds,
            table: self.table,
            range: self.range,
            max_rejected: self.max_rejected,
            confirm_after_seconds: self.tuning.confirming().as_secs(),
            shard: self.shard.clone(),
            regions: self.regions.clone(),
        }
    }
}

/// The manifest of an output that holds nothing yet.
pub(super) fn blank(request: &Wanted) -> Manifest {
    let id = format!("{:x}-{:016x}", request.now.get(), rand::random::<u64>());
    Manifest {
        manifest_version: MANIFEST_VERSION,
        generation: 0,
        write_id: None,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        schema_version: SCHEMA_VERSION,
        identity: request.identity.clone(),
        run: String::new(),
        began_at: request.now,
        regions: Vec::new(),
        range: request.range,
        status: Status::Incomplete,
        max_rejected: request.max_rejected,
        confirm_after_seconds: request.confirm_after_seconds,
        retain_seconds: request.retain_seconds,
        parts: Vec::new(),
        superseded: Vec::new(),
        table: request.table.as_ref().map(|_| Table::default()),
        account: Account { id, ..Account::default() },
        rejected_rows: RowCount::ZERO,
        history: Default::default(),
        unusual: Vec::new(),
        counters: BTreeMap::new(),
        shard: None,
        merged: Vec::new(),
        written_at: clock::wall(),
    }
}
