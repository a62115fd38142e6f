//! The manifest of the output as it stands, and the one way to change it.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::journal::Journal;
use crate::sink::account::Account;
use crate::sink::manifest::Manifest;
use crate::sink::publish::Output;
use crate::sink::table::Rows;

use super::{ExportError, KEPT_ACCOUNT, clock};

/// What the journal keeps of the account, should the manifest be lost.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct KeptAccount {
    pub(super) generation: u64,
    #[serde(flatten)]
    pub(super) account: Account,
}

/// The output's manifest: what a reader sees, and what the next one will say besides.
#[derive(Debug)]
pub(super) struct Commits {
    journal: Journal,
    output: Arc<Output>,
    manifest: Mutex<Manifest>,
}

impl Commits {
    pub(super) fn new(journal: &Journal, output: Arc<Output>, manifest: Manifest) -> Self {
        Self { journal: journal.clone(), output, manifest: Mutex::new(manifest) }
    }

    /// Changes the manifest, for readers too. Where it fails, nothing is changed. What it rests on is in every copy of the state by then.
    pub(super) async fn commit(&self, change: impl FnOnce(&mut Manifest)) -> Result<(), ExportError> {
        self.replace(change, Rows::Changed).await
    }

    /// The same where the parts hold the rows that they held before, in other files.
    pub(super) async fn commit_same_rows(&self, change: impl FnOnce(&mut Manifest)) -> Result<(), ExportError> {
        self.replace(change, Rows::Same).await
    }

    async fn replace(&self, change: impl FnOnce(&mut Manifest), rows: Rows) -> Result<(), ExportError> {
        self.journal.shipped().await?;
        let mut manifest = self.manifest.lock().await;
        let mut next = manifest.clone();
        change(&mut next);
        next.written_at = clock::wall();
        match rows {
            Rows::Changed => self.output.commit(&mut next).await?,
            Rows::Same => self.output.commit_same_rows(&mut next).await?,
        }
        *manifest = next;
        Ok(())
    }

    /// Changes what the next commit will say.
    pub(super) async fn note(&self, change: impl FnOnce(&mut Manifest)) {
        change(&mut *self.manifest.lock().await);
    }

    /// Keeps the account beside the state too, so that a lost manifest can be written again.
    pub(super) async fn keep_account(&self, journal: &Journal) -> Result<(), ExportError> {
        let kept =
            |manifest: &Manifest| KeptAccount { generation: manifest.generation, account: manifest.account.clone() };
        let kept = serde_json::to_string(&self.read(kept).await)?;
        Ok(journal.learn(KEPT_ACCOUNT, &kept).await?)
    }

    /// Looks at it.
    pub(super) async fn read<T>(&self, look: impl FnOnce(&Manifest) -> T) -> T {
        look(&*self.manifest.lock().await)
    }
}
