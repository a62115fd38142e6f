//! The table's log of an output: written after the manifest, and completed by whoever opens the output next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::{LOOKS_AT_ONCE, MOST_LOOKED_AT, Output, OutputError, Seat};
use crate::failpoint::{self, CrashStep};
use crate::journal::record::PartRecord;
use crate::sink::address::Address;
use crate::sink::history::Values;
use crate::sink::manifest::Manifest;
use crate::sink::store::{self, Creation, Store, StoreError, Writers};
use crate::sink::table::{
    Difference, Files, LOG, Maker, Replay, Rows, Shape, Superseded, Table, add_values, files_of, footer_bytes,
    log_file, log_text, statistics,
};
use crate::units::{ByteCount, EpochSeconds, RowCount};

/// The log as it stands, or as it is to be: what the manifest says of it, and the files that its last version lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    table: Table,
    files: Files,
}

impl Output {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the log to where the manifest has it. What the last process had committed and not put is put; where the manifest is older
    /// than the log, since it was restored from a copy, the log is gone on from.
    async fn open_log(&self, manifest: Option<&Manifest>) -> Result<(), OutputError> {
        let Some((manifest, table)) = manifest.and_then(|manifest| Some((manifest, manifest.table.as_ref()?))) else {
            return Ok(());
        };
        let Some(version) = table.version else { return Ok(()) };
        if self.store.size(&log_file(version + 1)).await?.is_some() {
            *self.log() = self.replayed(&manifest.account.id).await?;
            return Ok(());
        }
        if !self.has_log(table, version).await? {
            tracing::warn!("the log of the table is gone, and is begun anew");
            self.log().table.superseded.clone_from(&table.superseded);
            return Ok(());
        }
        let log = Log { table: table.clone(), files: files_of(&manifest.parts) };
        let is_there = table.actions.is_empty()
            || self
                .store
                .read(&log_file(version))
                .await?
                .is_some_and(|text| text == log_text(&table.actions).as_bytes());
        if !is_there {
            return self.put_log(log).await;
        }
        *self.log() = log;
        Ok(())
    }

    /// What was moved aside goes from the log too, where that lists it.
    pub(super) async fn open_log_without(
        &self,
        manifest: Option<&Manifest>,
        aside: &[String],
    ) -> Result<(), OutputError> {
        self.open_log(manifest).await?;
        match manifest {
            Some(manifest) if !aside.is_empty() && self.log().table.version.is_some() => {
                *self.log() = self.replayed(&manifest.account.id).await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether the log has gone as a whole: it is begun anew.
    async fn has_log(&self, table: &Table, version: u64) -> Result<bool, OutputError> {
        // The last version that is surely there: the newest may wait to be put.
        let last = if table.actions.is_empty() { Some(version) } else { version.checked_sub(1) };
        let Some(last) = last.map(log_file) else { return Ok(true) };
        if self.store.size(&last).await?.is_some() {
            return Ok(true);
        }
        match self.store.size(&log_file(0)).await? {
            None => Ok(false),
            Some(_) => Err(OutputError::LogLost { output: self.described.clone(), missing: last }),
        }
    }

    /// Which of these files, that neither manifest nor state knows, are ours all the same, since the output's own log has listed them: the
    /// manifest was lost, or is older. Where there is none, the log of this output is the one that lists something the state knows. What the
    /// log's last version lists, and the manifest of that version does not, the manifest has lost.
    pub(super) async fn in_the_log(
        &self,
        files: &[String],
        manifest: Option<&Manifest>,
        known: &[String],
    ) -> Result<BTreeSet<String>, OutputError> {
        if files.is_empty() || self.store.size(&log_file(0)).await?.is_none() {
            return Ok(BTreeSet::new());
        }
        let id = manifest.map(|manifest| manifest.account.id.as_str());
        let Ok(replay) = replay(&*self.store, id).await? else { return Ok(BTreeSet::new()) };
        let listed: BTreeSet<&String> = replay.all_files().collect();
        if id.is_none() && !known.iter().any(|path| listed.contains(path)) {
            return Ok(BTreeSet::new());
        }
        let version = manifest.and_then(|manifest| manifest.table.as_ref()?.version);
        let is_of_the_last = version.is_some_and(|version| version + 1 == replay.versions());
        let is_lost = |path: &String| is_of_the_last && replay.files().contains_key(path);
        Ok(files.iter().filter(|path| listed.contains(path) && !is_lost(path)).cloned().collect())
    }

    /// What the next manifest says of the table, but for what it changes itself.
    pub fn table(&self) -> Table {
        self.log().table.clone()
    }

    /// The log as its own files have it.
    async fn replayed(&self, id: &str) -> Result<Log, OutputError> {
        let replay = replay(&*self.store, Some(id)).await?;
        let replay = replay.map_err(|found| OutputError::ForeignLog { output: self.described.clone(), found })?;
        let (table, files) = replay.into_table();
        Ok(Log { table, files })
    }

    /// What the log will be once this manifest is there, which is told so. None where the output is no table, or a shard's account is written.
    pub(super) async fn next_log(&self, manifest: &mut Manifest, rows: Rows) -> Result<Option<Log>, OutputError> {
        if manifest.table.is_none() || self.seat != Seat::Whole {
            return Ok(None);
        }
        let mut log = self.log().clone();
        if log.table.version.is_none() {
            // A manifest that knows of no version may have been written anew beside a log.
            let known = std::mem::take(&mut log.table.superseded);
            log = self.replayed(&manifest.account.id).await?;
            log.table.superseded.extend(known);
        }
        let difference = Difference::between(&log.files, &manifest.parts);
        let statistics = self.statistics_of(&difference.added).await?;
        let maker = Maker {
            output: &manifest.account.id,
            generation: manifest.generation,
            at: manifest.written_at,
            tool_version: &manifest.tool_version,
            rows,
        };
        let table = log.table.after(maker, &Shape::of(&manifest.identity), &difference, &statistics);
        manifest.table = Some(table.clone());
        Ok(Some(Log { table, files: files_of(&manifest.parts) }))
    }

    /// Puts a version that the manifest holds into the log, durably. Where it is there, nothing is done.
    pub(super) async fn put_log(&self, log: Log) -> Result<(), OutputError> {
        if let Some(version) = log.table.version.filter(|_| !log.table.actions.is_empty()) {
            let (file, text) = (log_file(version), log_text(&log.table.actions));
            if let Creation::Refused { .. } = self.store.create(&self.staging, &file, text.as_bytes()).await? {
                let found = format!("{file} does not hold what the manifest says");
                return Err(OutputError::ForeignLog { output: self.described.clone(), found });
            }
            failpoint::pass(CrashStep::TableRenamed);
            self.store.settle(&file)?;
            failpoint::pass(CrashStep::TableRevealed);
        }
        *self.log() = log;
        Ok(())
    }

    /// What the footers of parts tell, by path. Of a part that is not there, or is damaged, the rows alone are told.
    async fn statistics_of(&self, parts: &[&PartRecord]) -> Result<BTreeMap<String, String>, OutputError> {
        let looks: Vec<_> = parts.iter().map(|part| self.statistics_of_part((*part).clone())).collect();
        let found = futures::stream::iter(looks).buffered(LOOKS_AT_ONCE);
        found.try_filter_map(|found| std::future::ready(Ok(found))).try_collect().await
    }

    async fn statistics_of_part(&self, part: PartRecord) -> Result<Option<(String, String)>, OutputError> {
        if self.store.size(&part.path).await? != Some(part.bytes) || part.rows == RowCount::ZERO {
            return Ok(None);
        }
        let mut tail = None;
        while let Ok(Some(bytes)) = footer_bytes(tail.as_ref(), part.bytes) {
            tail = Some(self.store.tail(&part.path, part.bytes, bytes).await?);
        }
        let told = tail.and_then(|tail| statistics(&tail, part.bytes).ok());
        Ok(told.map(|told| (part.path, told)))
    }

    /// In how many rows of parts each of the service's fields has a value, by the footers of the largest of them; of a part that is not there, or is
    /// damaged, nothing is told. Lists are left out.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn values_of(&self, parts: &[&PartRecord]) -> Result<Values, OutputError> {
        let mut largest = parts.to_vec();
        largest.sort_by_key(|part| std::cmp::Reverse(part.rows));
        largest.truncate(MOST_LOOKED_AT);
        let mut values = Values::default();
        for told in self.statistics_of(&largest).await?.values() {
            add_values(told, &mut values);
        }
        Ok(values)
    }

    /// Files that only former versions of the table list.
    pub(super) fn kept_for_readers_of_the_table(&self) -> BTreeSet<String> {
        self.log().table.superseded.iter().map(|one| one.path.clone()).collect()
    }

    /// Removes the files that the table has not listed since `moment` or before, durably; none of the output's parts. The next manifest does not tell of them any more.
    /// Gives what was removed.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn vacuum(&self, moment: EpochSeconds, parts: &[PartRecord]) -> Result<Vec<Superseded>, OutputError> {
        let old = self.log().table.take_superseded(moment, parts);
        let paths: Vec<String> = old.iter().map(|one| one.path.clone()).collect();
        self.take_away(&paths, [CrashStep::TableUnlinked, CrashStep::TableRemoved]).await?;
        if !paths.is_empty() {
            self.store.remove_empty_folders_of(&paths)?;
        }
        Ok(old)
    }
}

/// How the table of an output stands, for who only looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TableStanding {
    /// The version that lists what the manifest lists.
    pub version: u64,
    /// Whether the log has it already; if not, the next start puts it there.
    pub is_in_the_log: bool,
    /// Files that only former versions list.
    pub superseded_files: u64,
    /// Their sizes.
    pub superseded_bytes: ByteCount,
}

impl TableStanding {
    /// That of an output which is not opened; none where it is no table.
    ///
    /// # Errors
    /// Where it cannot be read, or cannot be trusted.
    pub async fn look(address: &Address) -> Result<Option<Self>, OutputError> {
        // A folder tells at once that it has none.
        if address.folder().is_some_and(|folder| !folder.join(LOG).is_dir()) {
            return Ok(None);
        }
        let table = Output::look(address).await?.and_then(|manifest| manifest.table);
        let Some((version, table)) = table.and_then(|table| Some((table.version?, table))) else { return Ok(None) };
        let store = store::open(address, Writers::Any)?;
        Ok(Some(Self {
            version,
            is_in_the_log: store.size(&log_file(version)).await?.is_some(),
            superseded_files: table.superseded.len() as u64,
            superseded_bytes: ByteCount::new(table.superseded.iter().map(|one| one.bytes.get()).sum()),
        }))
    }
}

/// A table's log, read from its first version on; what it holds of somebody else is told as a phrase.
pub(in crate::sink) async fn replay(store: &dyn Store, id: Option<&str>) -> Result<Result<Replay, String>, StoreError> {
    let mut replay = Replay::of(id);
    while let Some(text) = store.read(&log_file(replay.versions())).await? {
        if let Err(error) = replay.take(&text) {
            return Ok(Err(error.to_string()));
        }
    }
    Ok(Ok(replay))
}
