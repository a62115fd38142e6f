//! The hidden folder where files are written before readers may see them.
//!
//! It lies inside the output folder, so that a rename stays within one file system; of an output in a bucket it lies inside the
//! state's folder, and is uploaded from there. A staged file's name is its final path with
//! `,` for `/`, and ends in `.staged`: it matches no `*.parquet` pattern, and readers that skip hidden folders never look. A
//! staged file is found again by its final path alone, so recovery needs no list. Nothing here outlives a crash that the
//! exporter does not ask for: what was not prepared is discarded at the next start.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::sink::layout::with_digest;
use crate::units::ByteCount;

mod file;

pub use file::{Leave, Sealed, StagedFile};

/// The folder's name inside the output folder.
pub const FOLDER: &str = ".staging";
/// How staged names end.
const SUFFIX: &str = ".staged";
/// How the names of notes end.
const NOTE: &str = ".note";
/// How the names of copies end.
const COPY: &str = ".copy";
/// How the path of a part ends that is being written, and gets its name by its content.
const UNSEALED: &str = ".unsealed";
/// Bytes gathered before they go to the file.
const BUFFER_BYTES: usize = 256 << 10;

/// A file or folder of ours that the disk would not write, sync or remove.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {} failed: {source}", path.display())]
pub struct StagingError {
    /// What was being done.
    pub doing: &'static str,
    /// To what.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl StagingError {
    /// Names what was being done to `path`.
    pub fn of(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { doing, path, source }
    }
}

/// The staging folder of one output folder. Cloning is cheap, so that a blocking thread can have its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staging {
    folder: PathBuf,
    /// Its name below the output folder.
    name: String,
    names: Names,
}

/// How the files are named that are staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// As their slice says: what is staged anew takes the place of what was staged before.
    BySlice,
    /// With a digest of their content, so that no two files share a name.
    ByContent,
}

impl Staging {
    /// The staging folder inside `output`, or inside a state's folder. Makes nothing.
    pub fn at(output: &Path) -> Self {
        Self::named(output, FOLDER)
    }

    /// The same under another name below the output folder, where no reader of Parquet looks either.
    pub fn named(output: &Path, name: &str) -> Self {
        Self { folder: output.join(name), name: name.to_owned(), names: Names::BySlice }
    }

    /// The same, made and synced with its name.
    ///
    /// # Errors
    /// Where the disk does not allow it.
    pub fn open(output: &Path) -> Result<Self, StagingError> {
        let staging = Self::at(output);
        staging.make()?;
        Ok(staging)
    }

    /// Makes it where it is missing, inside a folder that exists, and syncs its name.
    ///
    /// # Errors
    /// Where the disk does not allow it.
    pub fn make(&self) -> Result<(), StagingError> {
        let folder = &self.folder;
        crate::folder::refuse_link(folder).map_err(StagingError::of("opening", folder))?;
        std::fs::create_dir_all(folder).map_err(StagingError::of("making the folder", folder))?;
        folder.parent().map_or(Ok(()), sync_folder)
    }

    /// The same folder, whose parts are named so.
    pub fn naming(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// Begins the file that will be revealed as `path`; what stood under its staged name is overwritten.
    ///
    /// # Errors
    /// Where the disk does not allow it.
    pub fn create(&self, path: &str) -> Result<StagedFile, StagingError> {
        StagedFile::create(self.file(path))
    }

    /// Begins the file of a part that will be revealed as `path`, or under its name by content. What is staged under such a name
    /// stays as it is meanwhile.
    ///
    /// # Errors
    /// Where the disk does not allow it.
    pub fn create_part(&self, path: &str) -> Result<StagedFile, StagingError> {
        self.create(&self.unsealed(path))
    }

    /// The same, whose first bytes are kept in memory until it may be written.
    pub fn create_part_later(&self, path: &str, leave: Leave) -> StagedFile {
        StagedFile::later(self.file(&self.unsealed(path)), leave)
    }

    fn unsealed(&self, path: &str) -> String {
        match self.names {
            Names::BySlice => path.to_owned(),
            Names::ByContent => format!("{path}{UNSEALED}"),
        }
    }

    /// Writes a small file whole, synced.
    ///
    /// # Errors
    /// Where the disk does not allow it.
    pub fn write(&self, path: &str, content: &[u8]) -> Result<Sealed, StagingError> {
        let mut file = self.create(path)?;
        file.write_all(content).map_err(StagingError::of("writing", &self.file(path)))?;
        file.seal()
    }

    /// The name under which a sealed part is revealed, and is staged from here on.
    ///
    /// # Errors
    /// Where the disk does not allow it.
    pub fn name_by_content(&self, path: String, sha256: &str) -> Result<String, StagingError> {
        if self.names == Names::BySlice {
            return Ok(path);
        }
        let named = with_digest(&path, sha256);
        let staged = self.file(&self.unsealed(&path));
        std::fs::rename(&staged, self.file(&named)).map_err(StagingError::of("renaming", &staged))?;
        sync_folder(&self.folder)?;
        Ok(named)
    }

    /// The size of what is staged for `path`; none where nothing is.
    pub fn size(&self, path: &str) -> Option<ByteCount> {
        std::fs::metadata(self.file(path)).ok().map(|found| ByteCount::new(found.len()))
    }

    /// Removes what is staged for `path`, if anything is. What comes back after a power cut is removed by the next start.
    ///
    /// # Errors
    /// Where the disk does not allow it.
    pub fn remove(&self, path: &str) -> Result<(), StagingError> {
        remove_file(&self.file(path))
    }

    /// Keeps a few bytes, synced, until they are forgotten: for the next process, should this one die.
    ///
    /// # Errors
    /// Where the disk does not allow it.
    pub fn note(&self, content: &[u8]) -> Result<Note, StagingError> {
        let file = self.free(NOTE);
        let failed = StagingError::of("writing", &file);
        let mut opened = File::create(&file).map_err(failed)?;
        opened.write_all(content).and_then(|()| opened.sync_all()).map_err(StagingError::of("writing", &file))?;
        sync_folder(&self.folder)?;
        Ok(Note { file })
    }

    /// Every note that is kept.
    ///
    /// # Errors
    /// Where the disk does not allow it.
    pub fn notes(&self) -> Result<Vec<(Note, Vec<u8>)>, StagingError> {
        let failed = || StagingError::of("reading", &self.folder);
        let mut notes = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed())? {
            let file = entry.map_err(failed())?.path();
            if is_note(&file) {
                let content = std::fs::read(&file).map_err(StagingError::of("reading", &file))?;
                notes.push((Note { file }, content));
            }
        }
        Ok(notes)
    }

    /// Forgets a note. One that comes back after a power cut says what was done already.
    ///
    /// # Errors
    /// Where the disk does not allow it.
    pub fn forget(&self, note: Note) -> Result<(), StagingError> {
        remove_file(&note.file)
    }

    /// A place for a copy of something that lies elsewhere.
    pub fn place_for_copy(&self) -> PathBuf {
        self.free(COPY)
    }

    fn free(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{:016x}{ending}", rand::random::<u64>()))
    }

    /// Where the file lies that will be revealed as `path`.
    pub fn file(&self, path: &str) -> PathBuf {
        self.folder.join(staged_name(path))
    }

    /// The same, below the output folder.
    pub fn location(&self, path: &str) -> String {
        format!("{}/{}", self.name, staged_name(path))
    }

    /// Removes every staged file but those of these paths, and every copy; notes stay. Reveal what the journal calls prepared first.
    ///
    /// # Errors
    /// Where the disk does not allow it.
    pub fn discard_but(&self, paths: &[String]) -> Result<(), StagingError> {
        let kept: BTreeSet<PathBuf> = paths.iter().map(|path| self.file(path)).collect();
        let failed = || StagingError::of("emptying", &self.folder);
        for entry in std::fs::read_dir(&self.folder).map_err(failed())? {
            let file = entry.map_err(failed())?.path();
            if kept.contains(&file) || is_note(&file) {
                continue;
            }
            std::fs::remove_file(&file).map_err(StagingError::of("removing", &file))?;
        }
        Ok(())
    }
}

/// Something that the staging folder keeps until it is forgotten.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    file: PathBuf,
}

fn is_note(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == NOTE.trim_start_matches('.'))
}

fn remove_file(file: &Path) -> Result<(), StagingError> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StagingError::of("removing", file)(error)),
        _ => Ok(()),
    }
}

fn staged_name(path: &str) -> String {
    format!("{}{SUFFIX}", path.replace('/', ","))
}

/// Makes the names in `folder` durable.
///
/// # Errors
/// Where the disk does not allow it.
pub fn sync_folder(folder: &Path) -> Result<(), StagingError> {
    crate::folder::sync(folder).map_err(StagingError::of("syncing", folder))
}

/// The SHA-256 of what `source` holds, lower-case hexadecimal.
///
/// # Errors
/// Where it cannot be read.
pub fn sha256_of(mut source: impl io::Read) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&digest.finalize())),
            read => digest.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_knows_its_size_and_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::open(folder.path()).unwrap();
        let sealed = staging.write("a/b.parquet", b"abc").unwrap();
        assert_eq!(sealed.bytes, ByteCount::new(3));
        assert_eq!(sealed.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sha256_of(File::open(staging.file("a/b.parquet")).unwrap()).unwrap(), sealed.sha256);
    }

    #[test]
    fn no_parquet_pattern_finds_a_staged_file() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::open(folder.path()).unwrap();
        let location = staging.location("data/query_region=US/date=2026-01-01/part-a-b-c.parquet");
        assert_eq!(location, ".staging/data,query_region=US,date=2026-01-01,part-a-b-c.parquet.staged");
    }

    #[test]
    fn discarding_leaves_what_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::open(folder.path()).unwrap();
        staging.write("a", b"1").unwrap();
        staging.write("b", b"2").unwrap();
        staging.discard_but(&["b".to_owned()]).unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join(FOLDER)).unwrap().count(), 1);
        assert!(staging.file("b").exists());
        staging.discard_but(&[]).unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join(FOLDER)).unwrap().count(), 0);
    }
}
