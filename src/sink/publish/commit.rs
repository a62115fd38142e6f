//! The manifest of an output, and the one way to change it: only by who read it last.

use object_store::Error;

use super::{Output, OutputError};
use crate::failpoint::{self, CrashStep};
use crate::sink::manifest::{MANIFEST_VERSION, Manifest};
use crate::sink::store::{NextManifest, Replacement, Sharing, StoreError};
use crate::sink::table::Rows;

impl Output {
    /// Writes the manifest of a bucket again as it is, under an id of this process: whoever read it before can replace it no more.
    /// Nothing in the bucket is removed before that. A lock says the same of a folder.
    pub(super) async fn claim(&self, manifest: Option<&Manifest>) -> Result<(), OutputError> {
        let (Some(manifest), Sharing::Conditional) = (manifest, self.store.sharing()) else { return Ok(()) };
        let mut claimed = Manifest { manifest_version: MANIFEST_VERSION, ..manifest.clone() };
        self.replace(&mut claimed).await?;
        failpoint::pass(CrashStep::ManifestClaimed);
        // What others have under way now, they could not commit.
        Ok(self.store.abort_uploads().await?)
    }

    /// Replaces the manifest by this one, which gets the next generation: a reader sees the former one or this one, whole. This is the
    /// one moment at which anything changes for who goes by the manifest. Where the output is kept as a table, its log follows.
    ///
    /// # Errors
    /// [`OutputError::Replaced`] where another manifest is there than the last one that was read or written here; a log that somebody else
    /// has written into; or the disk fails.
    pub async fn commit(&self, manifest: &mut Manifest) -> Result<(), OutputError> {
        self.commit_as(manifest, Rows::Changed).await
    }

    /// The same of a manifest whose parts hold the rows of the one before it in other files.
    ///
    /// # Errors
    /// Those of [`Output::commit`].
    pub async fn commit_same_rows(&self, manifest: &mut Manifest) -> Result<(), OutputError> {
        self.commit_as(manifest, Rows::Same).await
    }

    async fn commit_as(&self, manifest: &mut Manifest, rows: Rows) -> Result<(), OutputError> {
        manifest.generation = self.generation().unwrap_or(0).max(manifest.generation) + 1;
        let log = self.next_log(manifest, rows).await?;
        self.replace(manifest).await?;
        failpoint::pass(CrashStep::ManifestRenamed);
        self.store.settle(&self.seat.account())?;
        failpoint::pass(CrashStep::ManifestRevealed);
        *self.generation() = Some(manifest.generation);
        self.listed(manifest)?;
        match log {
            Some(log) => self.put_log(log).await,
            None => Ok(()),
        }
    }

    async fn replace(&self, manifest: &mut Manifest) -> Result<(), OutputError> {
        let expected = *self.generation();
        manifest.write_id = self.store.write_id().map(|id| format!("{}-{id}", self.writer));
        let json = manifest.to_json().map_err(self.of_the_manifest())?;
        let next = NextManifest { json: &json, expected, write_id: manifest.write_id.as_deref() };
        let Replacement::Refused { found } = self.store.replace_manifest(&self.staging, next).await? else {
            return Ok(());
        };
        self.withdraw(&found).await;
        Err(self.replaced(&found)?)
    }

    /// Refuses an output whose manifest is not the one that was read here any more.
    pub(super) async fn refuse_newer_than(&self, manifest: Option<&Manifest>) -> Result<(), OutputError> {
        let told = |manifest: &Manifest| (manifest.generation, manifest.write_id.clone());
        self.refuse_unless(|now| manifest.map(told) == Some(told(now))).await
    }

    /// Refuses an output in which somebody else has written the manifest since it was read or written here.
    pub(super) async fn refuse_others_manifest(&self) -> Result<(), OutputError> {
        let generation = *self.generation();
        let is_ours = |now: &Manifest| now.write_id.as_deref().is_none_or(|id| self.has_written(id));
        self.refuse_unless(|now| is_ours(now) && generation == Some(now.generation)).await
    }

    /// Why an upload failed: whoever takes a bucket over gives up what others have under way. Otherwise it is what the store says.
    pub(super) async fn or_replaced(&self, error: StoreError) -> OutputError {
        // A store that did not answer would not say who has written the manifest either.
        let is_answered =
            matches!(&error, StoreError::Object { source, .. } if !matches!(source, Error::Generic { .. }));
        let error = error.into();
        if self.store.sharing() == Sharing::Locked || !is_answered {
            return error;
        }
        match self.refuse_others_manifest().await {
            Err(OutputError::Replaced { output, expected, found }) => {
                if let Ok(Some(manifest)) = self.store.read_manifest().await {
                    self.withdraw(&manifest).await;
                }
                OutputError::Replaced { output, expected, found }
            }
            _ => error,
        }
    }

    /// Refuses an output with a manifest that is not as it is expected.
    async fn refuse_unless(&self, is_expected: impl Fn(&Manifest) -> bool) -> Result<(), OutputError> {
        let Some(found) = self.store.read_manifest().await? else { return Ok(()) };
        let now = Manifest::parse(&found).map_err(self.of_the_manifest())?;
        if is_expected(&now) { Ok(()) } else { Err(self.replaced(&found)?) }
    }

    /// Whether a manifest with this id is of this process's state.
    fn has_written(&self, write_id: &str) -> bool {
        write_id.starts_with(&format!("{}-", self.writer))
    }

    /// What is there in place of the expected manifest.
    fn replaced(&self, found: &[u8]) -> Result<OutputError, OutputError> {
        let expected = *self.generation();
        let generation = Manifest::generation_of(found).map_err(self.of_the_manifest())?;
        let found = match expected {
            Some(expected) if expected == generation => "that of another process".to_owned(),
            _ => generation.to_string(),
        };
        Ok(OutputError::Replaced { output: self.described.clone(), expected: expected.unwrap_or(0), found })
    }

    /// What the manifest lists needs its staged copy no more.
    fn listed(&self, manifest: &Manifest) -> Result<(), OutputError> {
        let mut unlisted = self.unlisted();
        for part in &manifest.parts {
            if unlisted.remove(&part.path) {
                self.staging.remove(&part.path)?;
            }
        }
        Ok(())
    }

    /// Takes back what was put into a bucket for a commit that somebody else was faster with: nobody is to see anything of it. It is
    /// still staged. Who has a copy of the same state may list the same parts yet, so those stay. What cannot be removed is named.
    async fn withdraw(&self, found: &[u8]) {
        if self.store.sharing() == Sharing::Locked {
            return;
        }
        let Ok(found) = Manifest::parse(found) else { return };
        if found.write_id.is_some_and(|id| self.has_written(&id)) {
            return;
        }
        let unlisted = std::mem::take(&mut *self.unlisted());
        for path in unlisted.into_iter().filter(|path| found.parts.iter().all(|part| part.path != *path)) {
            match self.store.unlink(&path).await {
                Ok(()) => tracing::warn!(part.path = path, "a part that no manifest will list was taken back"),
                Err(error) => tracing::error!(part.path = path, "a part that no manifest lists is left over: {error}"),
            }
        }
    }
}
