//! Reading a small file that a person names: a regular file and nothing else, and no more of it than its bound.
//!
//! A FIFO would keep the program waiting for a writer, and a device may never end. So the file is opened without waiting, looked
//! at, and only then read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Opens a regular file for reading, without waiting for anybody.
///
/// # Errors
/// What the system says; and a file that is a folder, a device or a FIFO.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is no regular file, but a folder, a device or a pipe"))
}

/// The text of an open file; none where it is longer than `limit` bytes.
///
/// # Errors
/// What the system says; text that is not UTF-8.
pub(crate) fn text_of(file: File, limit: u64) -> io::Result<Option<String>> {
    let mut text = String::new();
    let read = file.take(limit.saturating_add(1)).read_to_string(&mut text);
    match read {
        // A bound that falls into a character must not hide that the file is too long.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(io::Error::other("it is not UTF-8 text")),
        Err(error) => Err(error),
        Ok(_) => Ok(Some(text).filter(|text| text.len() as u64 <= limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        let read = |limit| text_of(open_regular(&path).unwrap(), limit).unwrap();
        assert_eq!((read(5), read(4)), (Some("12345".to_owned()), None));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            let error = open_regular(path).unwrap_err();
            assert!(error.to_string().contains("no regular file"), "{}: {error}", path.display());
        }
    }
}
