//! What a disk may hold after the power went: everything that a completed sync covers, and of the rest whatever chance leaves.
//!
//! The rules are harsher than most file systems. A sync of a file keeps its bytes and not its name; a sync of a folder keeps the
//! names in it and not the folder's own. Unsynced bytes are torn at the disk's sectors, each sector old or new by itself, and
//! unsynced names come or do not come, each by itself. A rename is whole or not at all. Bytes that a failed sync covered are
//! never made durable by a later one, as the kernel takes them for written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// A folder with everything below it, by the paths below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    folders: std::collections::BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, File>,
}

/// A file as it was found: the system's number of it, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    number: u64,
    bytes: Vec<u8>,
}

/// One change or sync, as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Made { file: u64, path: PathBuf },
    Written { file: u64, at: usize, bytes: Vec<u8> },
    Cut { file: u64, size: usize },
    Renamed { from: PathBuf, to: PathBuf },
    Unlinked { path: PathBuf },
    FolderMade { path: PathBuf },
    Synced { file: u64 },
    SyncFailed { file: u64 },
    FolderSynced { path: PathBuf },
    FolderSyncFailed { path: PathBuf },
}

/// How much of what was not synced survives, 0 to 1, and the seed that says which.
#[derive(Clone, Copy, Debug)]
pub(super) struct Luck {
    pub(super) survives: f64,
    pub(super) seed: u64,
}

/// A file while the log is read: what was done to its bytes.
#[derive(Default)]
struct Object {
    base: Vec<u8>,
    /// Each change, with whether a sync made it durable, and whether one that failed took that chance.
    changes: Vec<(Change, Fate)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pending,
    Durable,
    Doomed,
}

/// A change of names, and whether it is durable.
struct Naming {
    /// The folder whose sync keeps it.
    folder: PathBuf,
    what: Name,
    is_durable: bool,
}

enum Name {
    Linked(PathBuf, usize),
    Moved(PathBuf, PathBuf, usize),
    Unlinked(PathBuf),
    Folder(PathBuf),
}

impl Tree {
    /// Reads a folder from the real disk.
    pub(super) fn read(root: &Path) -> Self {
        let mut tree = Self::default();
        tree.read_below(root, Path::new(""));
        tree
    }

    fn read_below(&mut self, root: &Path, below: &Path) {
        use std::os::unix::fs::MetadataExt as _;
        for entry in std::fs::read_dir(root.join(below)).unwrap() {
            let entry = entry.unwrap();
            let (path, found) = (below.join(entry.file_name()), entry.metadata().unwrap());
            if found.is_dir() {
                self.folders.insert(path.clone());
                self.read_below(root, &path);
            } else {
                let bytes = std::fs::read(root.join(&path)).unwrap();
                self.files.insert(path, File { number: found.ino(), bytes });
            }
        }
    }

    /// Puts the folder in the place of what is there.
    pub(super) fn write(&self, root: &Path) {
        std::fs::remove_dir_all(root).unwrap();
        std::fs::create_dir(root).unwrap();
        self.folders.iter().for_each(|path| std::fs::create_dir(root.join(path)).unwrap());
        self.files.iter().for_each(|(path, file)| std::fs::write(root.join(path), &file.bytes).unwrap());
    }

    /// What is left of the folder, which was like this before the changes of the log, when the power goes after the last one.
    pub(super) fn after_power_loss(&self, root: &Path, log: &[u8], luck: Luck) -> Self {
        let mut history = History::of(self);
        read_log(root, log).into_iter().for_each(|change| history.take(change));
        history.end(luck)
    }
}

/// The log, read from the beginning.
struct History {
    tree: Tree,
    objects: Vec<Object>,
    by_number: BTreeMap<u64, usize>,
    by_path: BTreeMap<PathBuf, usize>,
    namings: Vec<Naming>,
}

impl History {
    fn of(tree: &Tree) -> Self {
        let mut history = Self {
            tree: tree.clone(),
            objects: Vec::new(),
            by_number: BTreeMap::new(),
            by_path: BTreeMap::new(),
            namings: Vec::new(),
        };
        for (path, file) in &tree.files {
            history.by_path.insert(path.clone(), history.objects.len());
            history.by_number.insert(file.number, history.objects.len());
            history.objects.push(Object { base: file.bytes.clone(), changes: Vec::new() });
        }
        history
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Made { file, path } => {
                // A number may come again once its file is gone; from here on it is this one's.
                let object = self.objects.len();
                self.objects.push(Object::default());
                self.by_number.insert(file, object);
                self.by_path.insert(path.clone(), object);
                self.name(parent(&path), Name::Linked(path, object));
            }
            Change::Written { file, .. } | Change::Cut { file, .. } => {
                let object = self.by_number[&file];
                self.objects[object].changes.push((change, Fate::Pending));
            }
            Change::Synced { file } => self.settle(file, Fate::Durable),
            Change::SyncFailed { file } => self.settle(file, Fate::Doomed),
            Change::Renamed { from, to } => {
                let object = self.by_path.remove(&from).unwrap();
                self.by_path.insert(to.clone(), object);
                self.name(parent(&to), Name::Moved(from, to, object));
            }
            Change::Unlinked { path } => {
                self.by_path.remove(&path).unwrap();
                self.name(parent(&path), Name::Unlinked(path));
            }
            Change::FolderMade { path } => self.name(parent(&path), Name::Folder(path)),
            // Nothing of it is durable yet.
            Change::FolderSyncFailed { .. } => {}
            Change::FolderSynced { path } => {
                let of_folder = self.namings.iter_mut().filter(|naming| naming.folder == path);
                of_folder.for_each(|naming| naming.is_durable = true);
            }
        }
    }

    fn name(&mut self, folder: PathBuf, what: Name) {
        self.namings.push(Naming { folder, what, is_durable: false });
    }

    fn settle(&mut self, file: u64, fate: Fate) {
        let pending = self.objects[self.by_number[&file]].changes.iter_mut().filter(|(_, fate)| *fate == Fate::Pending);
        pending.for_each(|change| change.1 = fate);
    }

    fn end(self, luck: Luck) -> Tree {
        let mut random = StdRng::seed_from_u64(luck.seed);
        let sector = if random.random_bool(0.5) { 512 } else { 4_096 };
        let mut folders = self.tree.folders.clone();
        let mut names: BTreeMap<PathBuf, usize> =
            self.tree.files.keys().cloned().enumerate().map(|(object, path)| (path, object)).collect();
        for naming in &self.namings {
            if !naming.is_durable && !random.random_bool(luck.survives) {
                continue;
            }
            match &naming.what {
                Name::Linked(path, object) => drop(names.insert(path.clone(), *object)),
                Name::Moved(from, to, object) => {
                    if names.get(from) == Some(object) {
                        names.remove(from);
                    }
                    names.insert(to.clone(), *object);
                }
                Name::Unlinked(path) => drop(names.remove(path)),
                Name::Folder(path) => drop(folders.insert(path.clone())),
            }
        }
        // What lies below a folder whose own name is lost cannot be reached.
        let is_reached = |path: &Path| {
            path.ancestors().skip(1).all(|folder| folder.as_os_str().is_empty() || folders.contains(folder))
        };
        names.retain(|path, _| is_reached(path));
        let reached = folders.iter().filter(|path| is_reached(path)).cloned().collect();
        let files = names.into_iter().map(|(path, object)| {
            let bytes = self.objects[object].bytes(sector, luck.survives, &mut random);
            (path, File { number: 0, bytes })
        });
        Tree { folders: reached, files: files.collect() }
    }
}

impl Object {
    fn bytes(&self, sector: usize, survives: f64, random: &mut StdRng) -> Vec<u8> {
        let mut all = self.base.clone();
        for (change, fate) in &self.changes {
            let is_durable = *fate == Fate::Durable;
            match change {
                Change::Cut { size, .. } if is_durable || random.random_bool(survives) => all.resize(*size, 0),
                Change::Written { at, bytes, .. } => {
                    for (from, until) in sectors(*at, bytes.len(), sector) {
                        if is_durable || random.random_bool(survives) {
                            all.resize(all.len().max(until), 0);
                            all[from..until].copy_from_slice(&bytes[from - at..until - at]);
                        }
                    }
                }
                _ => {}
            }
        }
        all
    }
}

/// The pieces of a write that lie in one sector each.
fn sectors(at: usize, length: usize, sector: usize) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let mut from = at;
    while from < at + length {
        let until = ((from / sector + 1) * sector).min(at + length);
        pieces.push((from, until));
        from = until;
    }
    pieces
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap().to_owned()
}

/// The first folder of the log whose sync failed and which was synced afterwards.
pub(super) fn failed_folder(root: &Path, log: &[u8]) -> Option<PathBuf> {
    let changes = read_log(root, log);
    let (place, failed) = changes.iter().enumerate().find_map(|(place, change)| match change {
        Change::FolderSyncFailed { path } => Some((place, path.clone())),
        _ => None,
    })?;
    changes[place..].contains(&Change::FolderSynced { path: failed.clone() }).then_some(failed)
}

/// Reads the log of `disk.c`: for each change four numbers and what they announce.
fn read_log(root: &Path, mut log: &[u8]) -> Vec<Change> {
    let mut changes = Vec::new();
    while !log.is_empty() {
        let number = |place: usize| u64::from_ne_bytes(log[place * 8..place * 8 + 8].try_into().unwrap());
        let (kind, file, at) = (u8::try_from(number(0)).unwrap(), number(1), usize::try_from(number(2)).unwrap());
        let length = usize::try_from(number(3)).unwrap();
        let content = &log[32..32 + length];
        log = &log[32 + length..];
        let path = |text: &[u8]| Path::new(std::str::from_utf8(text).unwrap()).strip_prefix(root).unwrap().to_owned();
        changes.push(match kind {
            b'C' => Change::Made { file, path: path(content) },
            b'W' => Change::Written { file, at, bytes: content.to_vec() },
            b'T' => Change::Cut { file, size: at },
            b'R' => {
                let mut both = content.split(|byte| *byte == 0);
                Change::Renamed { from: path(both.next().unwrap()), to: path(both.next().unwrap()) }
            }
            b'U' => Change::Unlinked { path: path(content) },
            b'M' => Change::FolderMade { path: path(content) },
            b'S' => Change::Synced { file },
            b'E' => Change::SyncFailed { file },
            b'F' => Change::FolderSynced { path: path(content) },
            b'G' => Change::FolderSyncFailed { path: path(content) },
            other => panic!("the log holds a change of kind {other}"),
        });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING_SURVIVES: Luck = Luck { survives: 0.0, seed: 1 };
    const ALL_SURVIVES: Luck = Luck { survives: 1.0, seed: 1 };

    fn path(text: &str) -> PathBuf {
        PathBuf::from(text)
    }

    fn left(changes: &[Change], luck: Luck) -> Vec<(String, usize)> {
        let mut history = History::of(&Tree::default());
        changes.iter().cloned().for_each(|change| history.take(change));
        let tree = history.end(luck);
        tree.files.into_iter().map(|(path, file)| (path.display().to_string(), file.bytes.len())).collect()
    }

    fn a_file() -> Vec<Change> {
        vec![
            Change::Made { file: 7, path: path("a") },
            Change::Written { file: 7, at: 0, bytes: vec![1; 600] },
            Change::Synced { file: 7 },
        ]
    }

    #[test]
    fn a_synced_file_whose_folder_is_not_synced_is_lost_with_its_name() {
        assert_eq!(left(&a_file(), NOTHING_SURVIVES), []);
        assert_eq!(left(&a_file(), ALL_SURVIVES), [("a".to_owned(), 600)]);
        let folder = Change::FolderSynced { path: path("") };
        assert_eq!(left(&[a_file(), vec![folder]].concat(), NOTHING_SURVIVES), [("a".to_owned(), 600)]);
    }

    #[test]
    fn a_name_below_a_folder_that_is_lost_is_lost_too() {
        let made = [Change::FolderMade { path: path("f") }, Change::Made { file: 7, path: path("f/a") }];
        let below = Change::FolderSynced { path: path("f") };
        let above = Change::FolderSynced { path: path("") };
        assert_eq!(left(&[made.as_slice(), std::slice::from_ref(&below)].concat(), NOTHING_SURVIVES), []);
        assert_eq!(left(&[made.as_slice(), &[below, above]].concat(), NOTHING_SURVIVES), [("f/a".to_owned(), 0)]);
    }

    #[test]
    fn a_rename_is_kept_by_its_goals_folder_and_is_whole_or_not_at_all() {
        let folder = Change::FolderSynced { path: path("") };
        let renamed = Change::Renamed { from: path("a"), to: path("b") };
        let before = [a_file(), vec![folder.clone(), renamed]].concat();
        assert_eq!(left(&before, NOTHING_SURVIVES), [("a".to_owned(), 600)]);
        assert_eq!(left(&[before, vec![folder]].concat(), NOTHING_SURVIVES), [("b".to_owned(), 600)]);
    }

    #[test]
    fn what_a_failed_sync_covered_is_never_durable() {
        let mut changes = a_file();
        changes[2] = Change::SyncFailed { file: 7 };
        let rest = [Change::Synced { file: 7 }, Change::FolderSynced { path: path("") }];
        assert_eq!(left(&[changes.as_slice(), &rest].concat(), NOTHING_SURVIVES), [("a".to_owned(), 0)]);
    }

    #[test]
    fn unsynced_bytes_are_torn_at_sectors() {
        assert_eq!(sectors(500, 600, 512), [(500, 512), (512, 1_024), (1_024, 1_100)]);
        let mut changes = a_file();
        changes.push(Change::FolderSynced { path: path("") });
        changes.push(Change::Written { file: 7, at: 0, bytes: vec![2; 60_000] });
        let mut history = History::of(&Tree::default());
        changes.into_iter().for_each(|change| history.take(change));
        let torn = &history.end(Luck { survives: 0.5, seed: 3 }).files[Path::new("a")].bytes;
        assert!(torn.contains(&2) && (torn.contains(&1) || torn.contains(&0)), "nothing is torn");
    }
}
