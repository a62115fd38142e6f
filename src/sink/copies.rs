//! The parts of an output as files of this machine, for who only reads them. Those of a bucket are copied, one by one, into a folder of our
//! own in the system's folder for temporary files; a copy goes when it is dropped. Blocking.

use std::cell::Cell;
use std::fs::DirBuilder;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::journal::record::PartRecord;
use crate::sink::store::{LocalFile, Sharing, Store, StoreError};

/// The parts of an output, and where their copies lie.
pub struct Copies {
    store: Arc<dyn Store>,
    runtime: Handle,
    scratch: Option<Scratch>,
    /// Names that were given to copies; a manifest's own words are no names of files here.
    named: Cell<u64>,
}

impl Copies {
    /// The parts of an output. To be made in a runtime, and to be used where that may be waited for.
    ///
    /// # Errors
    /// Where the folder for copies cannot be made.
    pub fn of(store: Arc<dyn Store>) -> std::io::Result<Self> {
        let scratch = match store.sharing() {
            Sharing::Locked => None,
            Sharing::Conditional => Some(Scratch::new()?),
        };
        Ok(Self { store, runtime: Handle::current(), scratch, named: Cell::new(0) })
    }

    /// One part as a file.
    ///
    /// # Errors
    /// Where it is not there, or cannot be copied.
    pub fn local(&self, part: &PartRecord) -> Result<LocalFile, StoreError> {
        self.runtime.block_on(self.store.local(&part.path, &self.place()))
    }

    /// Whether a part's file has the size that is recorded.
    pub fn has_its_size(&self, part: &PartRecord) -> bool {
        self.runtime.block_on(self.store.size(&part.path)).is_ok_and(|found| found == Some(part.bytes))
    }

    /// Where a part of a folder lies.
    pub fn file(&self, part: &PartRecord) -> PathBuf {
        self.store.file(&part.path)
    }

    /// A place for a copy, or for something that is kept of one.
    pub fn place(&self) -> PathBuf {
        self.named.set(self.named.get() + 1);
        self.scratch.as_ref().map_or_else(PathBuf::new, |scratch| scratch.folder.join(self.named.get().to_string()))
    }
}

/// A folder of our own, in the system's folder for temporary files, that goes with us.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// A new one.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn new() -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("keyapi-export-copies-{:016x}", rand::random::<u64>()));
        make_private(&folder)?;
        Ok(Self { folder })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over is in the system's folder for such.
        let _left_over = std::fs::remove_dir_all(&self.folder);
    }
}

/// Nobody else has business in it.
fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
