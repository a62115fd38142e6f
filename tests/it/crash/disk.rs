//! A disk that is watched and that fails when it is told to: `tests/fixtures/disk.c`, preloaded into the program.
//!
//! It needs Linux and a C compiler called `cc`; where one of them is missing its tests say so and are skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use keyapi_export::failpoint::CrashStep;
use keyapi_export::simulator::{RunningSimulator, SimulatorSettings};
use rusqlite::Connection;

use crate::support::{Ended, Job, files_below, holds_exactly_the_truth, serve};

/// The folder of a job's folder that the disk is; it outlives every loss.
const ROOT: &str = "disk";

/// The preloaded library; none where it cannot be built here.
fn library() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    if !cfg!(target_os = "linux") {
        println!("skipped: the disk that fails is made for Linux");
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/disk.c");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (built, library) = (folder.join(format!("disk.{}.so", std::process::id())), folder.join("disk.so"));
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-o"])
        .arg(&built)
        .arg(&source)
        .args(["-ldl", "-lpthread"])
        .status();
    match compiled {
        Ok(status) => assert!(status.success(), "{} does not compile", source.display()),
        Err(error) => {
            println!("skipped: no C compiler is here: {error}");
            return None;
        }
    }
    std::fs::rename(&built, &library).unwrap();
    Some(library)
}

/// Looks something up in the journal of a state folder: in a copy, so that nothing is recovered by looking. Where there is none,
/// the database is empty.
pub(super) fn looked_up<T>(state: &Path, look: impl FnOnce(&Connection) -> T) -> T {
    let copy = tempfile::tempdir().unwrap();
    for name in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-journal"] {
        let _there_may_be_none = std::fs::copy(state.join(name), copy.path().join(name));
    }
    look(&Connection::open(copy.path().join("journal.sqlite")).unwrap())
}

/// Requests on their way at once.
pub(super) const MAX_IN_FLIGHT: u64 = 4;

/// A small service of two regions, with rows that end up as rejected.
pub(super) fn serve_briefly(seed: u64) -> RunningSimulator {
    serve(|service: &mut SimulatorSettings| {
        service.seed = seed;
        service.world.regions = ["US", "GB"].map(crate::support::region).to_vec();
        service.world.rows = 150;
        service.odd.garbage = 0.03;
    })
}

/// What goes wrong in one start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The process dies in place of the n-th change or sync.
    Death(u64),
    /// It dies when it has made its n-th folder.
    FolderMade(u64),
    /// The n-th change that needs room finds none, nor does any later one.
    Full(u64),
    /// The n-th sync fails.
    Sync(u64),
}

/// What the disk counted in one start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Changes that needed room.
    pub(super) growths: u64,
    pub(super) syncs: u64,
    /// Calls that were made to fail.
    pub(super) failed: u64,
    /// Syncs of a file whose sync had failed before.
    pub(super) retried: u64,
    /// Folders that were made.
    pub(super) folders: u64,
    /// Bytes that the ballast gave back.
    pub(super) given: u64,
}

/// A job whose output and state lie on the disk, below folders that the program must make itself.
pub(super) struct Disk {
    pub(super) job: Job,
}

impl Disk {
    /// None where there can be no such disk here.
    pub(super) fn of(simulator: &RunningSimulator) -> Option<Self> {
        library()?;
        let job = Job::of(simulator)
            .with_places(&format!("{ROOT}/a/b/out"), &format!("{ROOT}/c/d/state"))
            .with_regions(&["US", "GB"])
            .with(&format!("--max-in-flight {MAX_IN_FLIGHT} --partition none"))
            .with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", "60")
            // Rows that cannot be placed are looked at apart.
            .with_variable("KEYAPI_EXPORT_OUTPUT__MAX_REJECTED", "1000");
        std::fs::create_dir(job.folder().join(ROOT)).unwrap();
        Some(Self { job })
    }

    /// The same command to its end on a disk that is well, and everything that must then be true.
    pub(super) fn ends_well(&self, simulator: &RunningSimulator, flags: &str, story: &str) {
        let ended = self.job.run_with(flags);
        assert_eq!(ended.code, 0, "{story}: {ended}");
        self.is_whole_and_asks_nothing(simulator, story);
    }

    /// The output is whole, its rejected rows are kept, nothing is left to clean up, and a further start buys nothing.
    pub(super) fn is_whole_and_asks_nothing(&self, simulator: &RunningSimulator, story: &str) {
        println!("{story}: holds");
        holds_exactly_the_truth(simulator, &self.job);
        assert!(self.job.out().join("_SUCCESS").is_file(), "{story}");
        let verified = self.job.verify();
        assert!(verified.code == 0 && verified.stdout.contains("sound and complete"), "{story}: {verified}");
        assert_eq!(files_below(&self.job.out().join(".staging")), Vec::<PathBuf>::new(), "{story}");
        let rejected = files_below(&self.job.out().join("_rejected"));
        assert!(!rejected.is_empty(), "{story}: the rejected rows are gone");
        let requests = simulator.stats().requests;
        let again = self.job.run();
        assert_eq!((again.code, simulator.stats().requests), (0, requests), "{story}: {again}");
        assert_eq!(again.summary["requests_of_this_start"], 0, "{story}: {again}");
    }

    /// The folder that is on the disk.
    pub(super) fn root(&self) -> PathBuf {
        self.job.folder().join(ROOT)
    }

    /// How many answers the journal's latest run accounts for, and how many runs there are. An answer of which no row can be placed is asked
    /// again, and is no page then; that it came is noted all the same.
    pub(super) fn journalled(&self) -> (u64, i64) {
        looked_up(&self.job.state(), |journal| {
            let number =
                |what: &str| -> i64 { journal.query_row(&format!("SELECT {what}"), [], |row| row.get(0)).unwrap_or(0) };
            let asked_again = number("astray FROM runs ORDER BY number DESC LIMIT 1");
            (u64::try_from(number("count(*) FROM pages") + asked_again).unwrap(), number("count(*) FROM runs"))
        })
    }

    /// The log of all changes since the last [`Disk::forget_log`].
    pub(super) fn log(&self) -> Vec<u8> {
        std::fs::read(self.job.folder().join("disk.log")).unwrap_or_default()
    }

    /// Begins a new log.
    pub(super) fn forget_log(&self) {
        let _there_may_be_none = std::fs::remove_file(self.job.folder().join("disk.log"));
    }

    /// One start on the disk, with these flags on top; none where it died.
    pub(super) fn start(&self, flags: &str, fault: Fault) -> (Option<Ended>, Counts) {
        let counts = self.job.folder().join("disk.counts");
        let _there_may_be_none = std::fs::remove_file(&counts);
        let at = match fault {
            Fault::None => None,
            Fault::Death(at) => Some(("DISK_DIE_AT", at)),
            Fault::FolderMade(at) => Some(("DISK_DIE_MAKING", at)),
            Fault::Full(at) => Some(("DISK_FULL_AT", at)),
            Fault::Sync(at) => Some(("DISK_SYNC_FAILS", at)),
        };
        let ended = self.start_with(flags, at.map(|(name, at)| (name, at.to_string())));
        (ended, Counts::read(&std::fs::read(&counts).unwrap()))
    }

    /// One start on the disk that dies at a step.
    pub(super) fn start_dying_at(&self, flags: &str, step: CrashStep) -> Option<Ended> {
        self.start_with(flags, Some(("KEYAPI_FAILPOINT", step.name().to_owned())))
    }

    fn start_with(&self, flags: &str, more: Option<(&'static str, String)>) -> Option<Ended> {
        let shown = |path: &Path| path.display().to_string();
        let mut variables = vec![
            ("LD_PRELOAD", shown(library().unwrap())),
            ("DISK_ROOT", shown(&self.root())),
            ("DISK_LOG", shown(&self.job.folder().join("disk.log"))),
            ("DISK_COUNTS", shown(&self.job.folder().join("disk.counts"))),
        ];
        variables.extend(more);
        self.job.start_as(flags, &variables).survives()
    }
}

impl Counts {
    fn read(bytes: &[u8]) -> Self {
        let numbers: Vec<u64> =
            bytes.chunks_exact(8).map(|chunk| u64::from_ne_bytes(chunk.try_into().unwrap())).collect();
        let [_changes, growths, syncs, failed, retried, folders, given] = numbers[..] else { panic!("{numbers:?}") };
        Self { growths, syncs, failed, retried, folders, given }
    }
}
