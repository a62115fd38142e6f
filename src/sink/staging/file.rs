//! A staged file being written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::{BUFFER_BYTES, StagingError, hexadecimal, sync_folder};
use crate::units::ByteCount;

/// Bytes that are kept in memory of a file that may not be written yet; whoever writes more waits.
const HELD_BYTES: usize = 1 << 20;

/// Leave to write a file, for which whoever makes it in memory waits. It is given or refused once, whichever comes first.
#[derive(Clone, Debug, Default)]
pub struct Leave(Arc<(Mutex<Option<bool>>, Condvar)>);

impl Leave {
    /// Leave that nobody waits for.
    pub fn given() -> Self {
        let leave = Self::default();
        leave.give();
        leave
    }

    /// Lets the file be written; whether it was not refused before.
    pub fn give(&self) -> bool {
        self.settle(true)
    }

    /// The file is not wanted, unless it may be written already.
    pub fn refuse(&self) {
        self.settle(false);
    }

    fn settle(&self, may_write: bool) -> bool {
        let (settled, told) = &*self.0;
        let mut settled = settled.lock().unwrap_or_else(PoisonError::into_inner);
        let is_given = *settled.get_or_insert(may_write);
        told.notify_all();
        is_given
    }

    /// Whether the file is not wanted any more.
    pub fn is_refused(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) == Some(false)
    }

    /// Waits until it is given, or refused.
    fn wait(&self) -> bool {
        let (settled, told) = &*self.0;
        let settled = settled.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = told.wait_while(settled, |settled| settled.is_none());
        settled.unwrap_or_else(PoisonError::into_inner).is_some_and(|may_write| may_write)
    }
}

/// A staged file being written; its checksum grows with it.
pub struct StagedFile {
    to: To,
    digest: Sha256,
    bytes: u64,
    path: PathBuf,
}

/// Where the bytes go.
enum To {
    File(BufWriter<File>),
    /// No file is there yet.
    Memory {
        held: Vec<u8>,
        leave: Leave,
    },
}

/// A staged file that is whole and synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its size.
    pub bytes: ByteCount,
    /// Its SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

impl StagedFile {
    pub(super) fn create(path: PathBuf) -> Result<Self, StagingError> {
        let file = File::create(&path).map_err(StagingError::of("creating", &path))?;
        Ok(Self { to: To::File(buffered(file)), digest: Sha256::new(), bytes: 0, path })
    }

    pub(super) fn later(path: PathBuf, leave: Leave) -> Self {
        let to = To::Memory { held: Vec::new(), leave };
        Self { to, digest: Sha256::new(), bytes: 0, path }
    }

    /// Flushes and syncs the file and its name. Waits until it may be written.
    ///
    /// # Errors
    /// Where the disk does not allow it, or it is not wanted any more; the file is worth nothing then.
    pub fn seal(mut self) -> Result<Sealed, StagingError> {
        let begun = self.begin().map(drop);
        let Self { to, digest, bytes, path } = self;
        let writer = match (begun, to) {
            (Ok(()), To::File(writer)) => writer,
            (begun, _) => return Err(StagingError::of("creating", &path)(begun.err().unwrap_or_else(unwanted))),
        };
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).map_err(StagingError::of("syncing", &path))?;
        path.parent().map_or(Ok(()), sync_folder)?;
        Ok(Sealed { bytes: ByteCount::new(bytes), sha256: hexadecimal(&digest.finalize()) })
    }

    /// The file, with what was held back of it.
    fn begin(&mut self) -> io::Result<&mut BufWriter<File>> {
        if let To::Memory { held, leave } = &mut self.to {
            if !leave.wait() {
                return Err(unwanted());
            }
            let mut file = buffered(File::create(&self.path)?);
            file.write_all(&std::mem::take(held))?;
            self.to = To::File(file);
        }
        match &mut self.to {
            To::File(file) => Ok(file),
            To::Memory { .. } => Err(unwanted()),
        }
    }
}

impl Write for StagedFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = match &mut self.to {
            To::Memory { held, .. } if held.len() + buffer.len() <= HELD_BYTES => held.write(buffer)?,
            _ => self.begin()?.write(buffer)?,
        };
        self.digest.update(buffer.get(..written).unwrap_or(buffer));
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::File(file) => file.flush(),
            To::Memory { .. } => Ok(()),
        }
    }
}

fn buffered(file: File) -> BufWriter<File> {
    BufWriter::with_capacity(BUFFER_BYTES, file)
}

fn unwanted() -> io::Error {
    io::Error::other("it is not wanted any more")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: usize, leave: Leave) -> (tempfile::TempDir, io::Result<Sealed>) {
        let folder = tempfile::tempdir().unwrap();
        let mut file = StagedFile::later(folder.path().join("a"), leave);
        let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let all = content.chunks(1_000).try_for_each(|chunk| file.write_all(chunk)).and_then(|()| file.flush());
        let sealed = all.and_then(|()| file.seal().map_err(|error| error.source));
        (folder, sealed)
    }

    #[test]
    fn what_was_held_back_makes_the_same_file() {
        for bytes in [0, 1, HELD_BYTES, HELD_BYTES + 1, 3 * HELD_BYTES] {
            let (folder, sealed) = written(bytes, Leave::given());
            let content = std::fs::read(folder.path().join("a")).unwrap();
            assert_eq!(content.len(), bytes);
            let mut digest = Sha256::new();
            digest.update(&content);
            let sealed = sealed.unwrap();
            assert_eq!((sealed.bytes.get(), sealed.sha256), (bytes as u64, hexadecimal(&digest.finalize())));
        }
    }

    #[test]
    fn no_file_is_there_before_it_may_be_written_nor_where_it_is_not_wanted() {
        for bytes in [1_000, 2 * HELD_BYTES] {
            let leave = Leave::default();
            leave.refuse();
            let (folder, sealed) = written(bytes, leave);
            assert!(sealed.is_err() && !folder.path().join("a").exists(), "{bytes}");
        }
        let folder = tempfile::tempdir().unwrap();
        let (path, leave) = (folder.path().join("a"), Leave::default());
        let mut file = StagedFile::later(path.clone(), leave.clone());
        file.write_all(b"abc").unwrap();
        file.flush().unwrap();
        assert!(!path.exists());
        let sealing = std::thread::spawn(move || file.seal());
        assert!(leave.give());
        assert_eq!(sealing.join().unwrap().unwrap().bytes.get(), 3);
        assert_eq!(std::fs::read(path).unwrap(), b"abc");
    }

    #[test]
    fn leave_is_given_or_refused_once() {
        let (given, refused) = (Leave::default(), Leave::default());
        assert!(given.give());
        given.refuse();
        assert!(given.give() && given.wait() && !given.is_refused());
        assert!(!refused.is_refused());
        refused.refuse();
        assert!(!refused.give() && !refused.wait() && refused.is_refused());
    }
}
