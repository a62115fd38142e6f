//! The state of a start: a journal in a folder of this machine, and where it is kept in a bucket, what ships it there.

use std::path::Path;
use std::sync::Arc;

use crate::journal::Journal;
use crate::replica::{Away, Beginning, Replica};

use super::{DamagedState, ExportError};

/// A state that is open.
#[derive(Debug)]
pub(super) struct OpenState {
    pub(super) journal: Journal,
    /// What ships it; none of a state that is a folder alone.
    pub(super) replica: Option<Arc<Replica>>,
}

impl OpenState {
    /// Opens a state, and holds it until it is closed. `found` says what becomes of one in a bucket that cannot be gone on from.
    pub(super) async fn open(folder: &Path, away: Option<&Away>, found: DamagedState) -> Result<Self, ExportError> {
        let Some(away) = away else { return Ok(Self { journal: Journal::open(folder)?, replica: None }) };
        // A process of this machine may hold the folder although its lease has run out: then the lease is not taken, and no file gives way.
        Journal::refuse_held(folder)?;
        let replica = match Replica::open(away, folder, Beginning::AsFound).await {
            Err(error) if found == DamagedState::MovedAside && error.is_about_a_bad_state() => {
                tracing::warn!("{error}");
                Replica::open(away, folder, Beginning::Empty).await?
            }
            opened => opened?,
        };
        match Journal::open_shipped(folder, replica.shipping()) {
            Ok(journal) => {
                replica.attach(&journal).await;
                Ok(Self { journal, replica: Some(Arc::new(replica)) })
            }
            Err(error) => {
                // Nobody need wait for a lease of a process that has ended.
                let _it_runs_out_by_itself = replica.finish().await;
                Err(error.into())
            }
        }
    }

    /// Puts the state away: what it holds is durable, or in the bucket, and others may hold it.
    pub(super) async fn close(self) -> Result<(), ExportError> {
        let Self { journal, replica } = self;
        let Some(replica) = replica else { return Ok(journal.close().await?) };
        let shipped = replica.finish().await;
        let closed = journal.close().await;
        shipped?;
        closed?;
        replica.tidy().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::journal::JournalError;
    use crate::sink::address::Address;

    /// The lease was taken and the folder's files gave way before the lock was seen: a process that was stopped for longer than its lease lost both.
    #[tokio::test]
    async fn a_folder_that_another_process_holds_is_seen_before_the_lease_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let _held = Journal::open(folder.path()).unwrap();
        let Ok(Address::Bucket(address)) = Address::parse(Path::new("s3://nowhere/state")) else { panic!() };
        let (second, requests_at_risk) = (Duration::from_secs(1), 1);
        let away = Away { address, requests_at_risk, ship_every: second, lease_interval: second };
        let opened = OpenState::open(folder.path(), Some(&away), DamagedState::Refused).await;
        assert!(matches!(opened, Err(ExportError::Journal(JournalError::Locked { .. }))), "{opened:?}");
    }
}
