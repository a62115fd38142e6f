//! Where an output is, before it is open.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::owner::{described, lock, refuse_links};
use super::{Output, OutputError, of_the_manifest};
use crate::folder;
use crate::sink::address::Address;
use crate::sink::manifest::Manifest;
use crate::sink::staging::StagingError;
use crate::sink::store::{self, Folder, Store, Writers};

/// Where an output is, and what it takes to write there.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it is.
    pub address: Address,
    /// A folder of this machine, which exists, for what is not in a bucket yet; a folder of an output has a place of its own for that.
    pub local: PathBuf,
    /// Who else may write into a bucket.
    pub writers: Writers,
    /// What a state's writes of a bucket's manifest begin with, and those of no other state; copies of a state have the same. Of a folder it
    /// may be empty.
    pub writer: String,
}

impl Target {
    /// The output, for a person.
    pub fn described(&self) -> String {
        described_at(&self.address)
    }

    /// Makes a folder where it is missing, and locks it; of a bucket nothing is to be made.
    pub(super) fn begin(&self) -> Result<(Arc<dyn Store>, Option<File>), OutputError> {
        let Address::Folder(output) = &self.address else {
            return Ok((store::open(&self.address, self.writers)?, None));
        };
        folder::make(output).map_err(StagingError::of("making the output folder", output))?;
        refuse_links(output)?;
        let lock = lock(output)?;
        Ok((Arc::new(Folder::open(output)?), Some(lock)))
    }
}

/// An output, for a person.
pub fn described_at(address: &Address) -> String {
    match address {
        Address::Folder(folder) => described(folder),
        Address::Bucket(_) => address.to_string(),
    }
}

impl From<&Path> for Target {
    /// A folder.
    fn from(folder: &Path) -> Self {
        Self { address: folder.into(), local: folder.to_owned(), writers: Writers::Any, writer: String::new() }
    }
}

impl From<&PathBuf> for Target {
    /// A folder.
    fn from(folder: &PathBuf) -> Self {
        folder.as_path().into()
    }
}

impl Output {
    /// The manifest of an output that is not opened, as it stands; none where there is none.
    ///
    /// # Errors
    /// Where it cannot be read, or cannot be trusted.
    pub async fn look(address: &Address) -> Result<Option<Manifest>, OutputError> {
        if matches!(address, Address::Folder(folder) if !folder.is_dir()) {
            return Ok(None);
        }
        let store = store::open(address, Writers::Any)?;
        let manifest = store.read_manifest().await?.map(|json| Manifest::parse(&json)).transpose();
        manifest.map_err(of_the_manifest(&described_at(address)))
    }
}
