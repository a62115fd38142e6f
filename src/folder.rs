//! Folders: which one a name means, and names that outlive a power cut.
//!
//! One folder has many names: `x`, `./x`, `x/`, `a/../x`, or a link to it. What belongs to a folder is tied to its identity, which
//! [`resolve`] finds also for one that is not there yet.
//!
//! A file system may forget the name of a new folder, and with it everything below, until the folder above it is synced. So
//! each folder is made durable before the next one is made inside it. One that is there already may have been made by a
//! process that died before its sync; it is synced again, and the ones above it are durable by the same rule.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Links that are followed on the way to one folder; the system's own bound is the same.
const MOST_LINKS: usize = 40;

/// The one absolute path of a folder, whether it is there or not: without `.`, `..`, links and slashes at its end.
///
/// As far as the path exists it is what the system would open; what does not exist yet is taken as written, so that it means the
/// same before and after it is made.
///
/// # Errors
/// An empty path, too many links, a folder on the way that may not be read.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut left: VecDeque<OsString> = std::path::absolute(path)?.components().map(name_of).collect();
    let mut found = PathBuf::new();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            found.pop();
            continue;
        }
        let next = found.join(&name);
        match std::fs::read_link(&next) {
            Ok(_) if links == MOST_LINKS => {
                return Err(io::Error::other(format!("{} leads through more than {MOST_LINKS} links", path.display())));
            }
            Ok(target) => {
                links += 1;
                for part in target.components().rev().filter(|part| *part != Component::CurDir) {
                    left.push_front(name_of(part));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            // No link, or nothing at all.
            Err(_) => found = next,
        }
    }
    Ok(found)
}

/// A root replaces what was found before it, as joining does.
fn name_of(part: Component<'_>) -> OsString {
    part.as_os_str().to_owned()
}

/// Whether one resolved folder lies inside the other, or is the other. A folder may also be there twice without a link, mounted.
pub fn holds(outer: &Path, inner: &Path) -> bool {
    let Some(wanted) = identity(outer) else { return inner.starts_with(outer) };
    inner.starts_with(outer) || inner.ancestors().any(|folder| identity(folder) == Some(wanted))
}

#[cfg(unix)]
fn identity(folder: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(folder).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(_folder: &Path) -> Option<(u64, u64)> {
    None
}

/// Refuses a symbolic link in a place of our own: whoever put it there would have our files written elsewhere.
///
/// # Errors
/// A link at that path; other trouble with it shows when it is opened.
pub fn refuse_link(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_symlink() => {
            Err(io::Error::other("it is a symbolic link, which is not followed here; remove it"))
        }
        _ => Ok(()),
    }
}

/// Refuses a file that is there and that this process may not read and write.
///
/// # Errors
/// The system's word for why not.
#[cfg(unix)]
pub fn refuse_unwritable(path: &Path) -> io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    match accessat(CWD, path, Access::READ_OK | Access::WRITE_OK, AtFlags::EACCESS) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Files that may not be written show when they are.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn refuse_unwritable(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// A path or address as a shell takes it for one word.
pub fn in_shell(text: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "_-./:@%+=,".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Gives a folder another name beside it, durably.
///
/// # Errors
/// Where the system does not allow it.
pub fn move_to(folder: &Path, target: &Path) -> io::Result<()> {
    std::fs::rename(folder, target)?;
    target.parent().map_or(Ok(()), sync)
}

/// Makes a folder and those above it that are missing, and makes all their names durable.
///
/// # Errors
/// Where the system does not allow it.
pub fn make(folder: &Path) -> io::Result<()> {
    let folder = std::path::absolute(folder)?;
    let missing = folder.ancestors().take_while(|ancestor| !ancestor.is_dir()).count();
    let mut steps: Vec<&Path> = folder.ancestors().take(missing + 1).collect();
    steps.reverse();
    for (place, step) in steps.into_iter().enumerate() {
        let is_there = place == 0;
        if !is_there {
            std::fs::create_dir(step).or_else(|error| if step.is_dir() { Ok(()) } else { Err(error) })?;
        }
        sync_name(step)?;
    }
    Ok(())
}

/// Makes a folder's own name durable, where the folder above it may be read: what others made is theirs to keep.
///
/// # Errors
/// Where the disk fails.
pub fn sync_name(folder: &Path) -> io::Result<()> {
    match folder.canonicalize()?.parent().map(sync) {
        Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Some(synced) => synced,
        None => Ok(()),
    }
}

/// Makes the names in a folder durable. Only Unix opens a folder as a file; elsewhere the file system keeps names by itself.
///
/// # Errors
/// Where the disk fails.
pub fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_pasted_into_a_shell_stays_one_word() {
        for (path, word) in [
            ("/data/out-2", "/data/out-2"),
            ("s3://lake/videos", "s3://lake/videos"),
            ("/数据/out", "/数据/out"),
            ("/my out", "'/my out'"),
            ("it's $x", r"'it'\''s $x'"),
        ] {
            assert_eq!(in_shell(path), word);
        }
    }

    #[test]
    fn missing_folders_are_made_one_inside_the_other() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        make(&deep).unwrap();
        assert!(deep.is_dir());
        make(&deep).unwrap();
    }

    #[test]
    fn all_names_of_a_folder_resolve_to_one() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let named = |name: &str| resolve(&root.join(name)).unwrap();
        for _ in ["missing", "there"] {
            for name in ["x", "x/", "./x", "x//", "x/.", "a/../x", "y/../x/", "x/z/.."] {
                assert_eq!(named(name), root.join("x"), "{name}");
            }
            make(&root.join("x")).unwrap();
        }
        assert_eq!(
            resolve(Path::new("one")).unwrap(),
            std::env::current_dir().unwrap().canonicalize().unwrap().join("one")
        );
        assert!(resolve(Path::new("")).is_err());
        assert_eq!(resolve(Path::new("/..")).unwrap(), Path::new("/"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_also_to_what_is_not_there_yet() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        make(&root.join("disk/deep")).unwrap();
        symlink("disk/deep", root.join("relative")).unwrap();
        symlink(root.join("disk/new"), root.join("dangling")).unwrap();
        symlink("round", root.join("round")).unwrap();
        let named = |name: &str| resolve(&root.join(name)).unwrap();
        assert_eq!(named("relative/x"), root.join("disk/deep/x"));
        assert_eq!(named("relative/../x"), root.join("disk/x"), "as the system reads it");
        assert_eq!(named("dangling/x/"), root.join("disk/new/x"));
        assert!(resolve(&root.join("round/x")).is_err());
        assert!(refuse_link(&root.join("relative")).is_err());
        assert!(refuse_link(&root.join("disk")).is_ok() && refuse_link(&root.join("none")).is_ok());
    }

    #[test]
    fn a_folder_holds_what_lies_in_it_and_itself() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        for made in [false, true] {
            if made {
                make(&out).unwrap();
            }
            assert!(holds(&out, &out.join("a/b")) && holds(&out, &out));
            assert!(!holds(&out, root.path()) && !holds(&out, &root.path().join("out.state")));
        }
    }

    #[test]
    fn a_file_in_a_folders_place_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "").unwrap();
        assert!(make(&root.path().join("a/b")).is_err());
    }
}
