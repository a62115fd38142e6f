//! A small file that is replaced as a whole: a reader finds the former one or the new one, never half of it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Links that are followed from one to the next, as many as Linux does.
const MOST_LINKS: usize = 40;
/// Folders of a process's open files.
const OPEN_FILES: [&str; 2] = ["/proc", "/dev/fd"];

/// Who may read a file that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Whoever the umask leaves.
    AsUsual,
    /// Everybody, whatever the umask: another user's program is to read it. A file that is there already keeps its own mode.
    Everybody,
}

/// Makes sure that `path` can be written later: its folder is made, and a file beside it is tried.
///
/// # Errors
/// It is a folder, a device or a pipe, or lies where nothing can be made.
pub fn prepare(path: &Path) -> io::Result<()> {
    let path = place_of(path)?;
    crate::folder::make(folder_of(&path))?;
    let beside = beside(&path, "new")?;
    File::create(&beside)?;
    fs::remove_file(&beside)
}

/// Writes beside `path` and renames over it, both synced. A link is followed.
///
/// # Errors
/// The folder is missing or cannot be written; the disk is full. The former file is as it was.
pub fn replace(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let path = place_of(path)?;
    let beside = beside(&path, "new")?;
    let mut file = File::create(&beside)?;
    let written = file.write_all(bytes).and_then(|()| open_to(readers, &file, &path)).and_then(|()| file.sync_all());
    let written = written.and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // The first error is the one to tell; what is left over is hidden, and the next try writes over it.
        let _left_over = fs::remove_file(&beside);
        return written;
    }
    File::open(folder_of(&path))?.sync_all()
}

/// A hidden name beside `path`: in the same folder, and of no other process, which may write the same file.
///
/// # Errors
/// `path` names no file.
pub fn beside(path: &Path, what_for: &str) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it is not the path of a file"))?;
    Ok(path.with_file_name(format!(".{}.{}.{what_for}", name.to_string_lossy(), std::process::id())))
}

/// Where the file is or will be, links followed. A device or a pipe is no place for one: it would be replaced.
fn place_of(path: &Path) -> io::Result<PathBuf> {
    let path = followed(path)?;
    match fs::canonicalize(&path) {
        Ok(real) if real.is_file() => Ok(real),
        Ok(_) => Err(io::Error::other("it is there already, and is no file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path),
        Err(error) => Err(error),
    }
}

/// Where links lead, also to a file that is not there yet. `/dev/stdout` and its kin lead to what a process has open: the link itself
/// would be replaced, or the file that a shell is writing.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut place = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(folder) = fs::canonicalize(folder_of(&place)) else { return Ok(place) };
        if OPEN_FILES.iter().any(|open| folder.starts_with(open)) {
            return Err(io::Error::other("it is what a process has open, and no file of its own"));
        }
        match fs::read_link(&place) {
            Ok(target) => place = folder.join(target),
            Err(_no_link) => return Ok(place),
        }
    }
    Err(io::Error::other("it is a link that leads nowhere"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(unix)]
fn open_to(readers: Readers, file: &File, former: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let for_everybody = || fs::Permissions::from_mode(0o644);
    match readers {
        Readers::AsUsual => Ok(()),
        Readers::Everybody => {
            file.set_permissions(fs::metadata(former).map_or_else(|_| for_everybody(), |found| found.permissions()))
        }
    }
}

#[cfg(not(unix))]
fn open_to(_readers: Readers, _file: &File, _former: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A run with `--summary /dev/stdout | cat`, as root, put a file in the place of the system's link.
    #[test]
    fn what_a_process_has_open_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/proc/self/fd/1", folder.path().join("stdout")).unwrap();
        for stream in ["/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/1"].map(PathBuf::from) {
            assert!(prepare(&stream).is_err(), "{stream:?}");
        }
        let error = prepare(&folder.path().join("stdout")).unwrap_err();
        assert!(error.to_string().contains("what a process has open"), "{error}");
    }

    #[test]
    fn a_link_is_followed_also_to_a_file_that_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("far")).unwrap();
        let link = folder.path().join("link");
        symlink("far/file", &link).unwrap();
        for text in ["first", "second"] {
            prepare(&link).unwrap();
            replace(&link, text.as_bytes(), Readers::AsUsual).unwrap();
            assert_eq!(fs::read_to_string(folder.path().join("far/file")).unwrap(), text);
            assert!(link.is_symlink());
        }
        symlink("circle", folder.path().join("circle")).unwrap();
        assert!(prepare(&folder.path().join("circle")).is_err());
    }
}
