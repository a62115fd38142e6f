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

impl KeptAccount {
    pub(super) fn of(manifest: &Manifest) -> Self {
        Self { generation: manifest.generation, account: manifest.account.clone() }
    }

    pub(super) async fn keep(&self, journal: &Journal) -> Result<(), ExportError> {
        Ok(journal.learn(KEPT_ACCOUNT, &serde_json::to_string(self)?).await?)
    }
}

/// The output's manifest: what a reader sees, and what the next one will say besides.
#[derive(Debug)]
pub(super) struct Commits {
    journal: Journal,
    output: Arc<Output>,
    manifest: Mutex<Manifest>,
    /// What a copy brought back and the next manifest does not list: it goes once that one stands.
    brought_back: Mutex<Vec<String>>,
}

impl Commits {
    pub(super) fn new(journal: &Journal, output: Arc<Output>, manifest: Manifest) -> Self {
        let brought_back = Mutex::new(manifest.superseded.clone());
        Self { journal: journal.clone(), output, manifest: Mutex::new(manifest), brought_back }
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
        next.written_at = clock::wall();
        change(&mut next);
        let mut brought_back = self.brought_back.lock().await;
        next.superseded.extend(brought_back.iter().cloned());
        match rows {
            Rows::Changed => self.output.commit(&mut next).await?,
            Rows::Same => self.output.commit_same_rows(&mut next).await?,
        }
        *manifest = next;
        Ok(self.output.remove(&std::mem::take(&mut *brought_back)).await?)
    }

    /// Changes what the next commit will say.
    pub(super) async fn note(&self, change: impl FnOnce(&mut Manifest)) {
        change(&mut *self.manifest.lock().await);
    }

    /// Keeps the account beside the state too, so that a lost manifest can be written again.
    pub(super) async fn keep_account(&self, journal: &Journal) -> Result<(), ExportError> {
        self.read(KeptAccount::of).await.keep(journal).await
    }

    /// Looks at it.
    pub(super) async fn read<T>(&self, look: impl FnOnce(&Manifest) -> T) -> T {
        look(&*self.manifest.lock().await)
    }
}
