//! Trouble with the disk: every kind ends with 7, names the file and what helps, sends nothing that cannot be kept, and is over
//! once the cause is mended.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyapi_export::simulator::RunningSimulator;
use rusqlite::Connection;

use crate::support::{
    Ended, Job, asks_nothing_more, exports_exactly, files_below, holds_exactly_the_truth, is_whole, parquet_files,
    serve, until,
};

/// Requests that may be on their way when the disk is found gone.
const MAX_IN_FLIGHT: u64 = 8;

fn slow(simulator: &RunningSimulator, milliseconds: f64) {
    simulator.change(|service| service.limits.latency_ms = milliseconds).unwrap();
}

/// Ends with 7, and the error names the file and has a hint.
fn names(ended: &Ended, file: &Path, words: &[&str]) {
    assert_eq!(ended.code, 7, "{ended}");
    let error = ended.error();
    assert!(error.contains(&file.display().to_string()), "{} is not named: {ended}", file.display());
    assert!(error.contains("\nhint: "), "{ended}");
    for word in words {
        assert!(error.contains(word), "`{word}` is not told: {ended}");
    }
}

fn ends_well(simulator: &RunningSimulator, job: &Job) {
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    holds_exactly_the_truth(simulator, job);
    is_whole(job);
}

#[test]
fn a_file_where_a_folder_should_be_is_named_and_nothing_is_sent() {
    let simulator = serve(|service| service.world.rows = 300);
    let job = Job::of(&simulator);
    for folder in [job.state(), job.out()] {
        std::fs::write(&folder, "").unwrap();
        names(&job.run(), &folder, &[]);
        assert_eq!(simulator.stats().requests, 0);
        std::fs::remove_file(&folder).unwrap();
    }
    ends_well(&simulator, &job);
}

/// A folder that nobody may write into, root neither: a read-only mount, or a folder that is marked as immutable.
struct ReadOnly {
    folder: PathBuf,
    undo: fn(&Path),
}

impl ReadOnly {
    fn make(folder: &Path) -> Option<Self> {
        let runs = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).arg(folder).output();
            output.is_ok_and(|output| output.status.success())
        };
        let path = folder.to_str().unwrap();
        if runs("mount", &["--bind", path]) {
            let undo = |folder: &Path| drop(Command::new("umount").arg(folder).output());
            let mounted = Self { folder: folder.to_owned(), undo };
            return runs("mount", &["-o", "remount,ro,bind"]).then_some(mounted);
        }
        if runs("chattr", &["+i"]) {
            let undo = |folder: &Path| drop(Command::new("chattr").arg("-i").arg(folder).output());
            return Some(Self { folder: folder.to_owned(), undo });
        }
        // Only a user that is not root is stopped by the mode.
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o500)).unwrap();
        let made = Self {
            folder: folder.to_owned(),
            undo: |folder| {
                let mode = if folder.is_dir() { 0o700 } else { 0o600 };
                let writable = std::os::unix::fs::PermissionsExt::from_mode(mode);
                std::fs::set_permissions(folder, writable).unwrap();
            },
        };
        let still_writable = folder.is_dir() && std::fs::write(folder.join("probe"), "").is_ok();
        if still_writable {
            let _probe = std::fs::remove_file(folder.join("probe"));
        }
        (!still_writable).then_some(made)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        (self.undo)(&self.folder);
    }
}

#[test]
fn a_folder_that_is_read_only_is_named_and_nothing_is_sent() {
    let simulator = serve(|service| service.world.rows = 600);
    let job = Job::of(&simulator);
    assert_eq!(job.run_with("--max-credits 30").code, 4);
    for folder in [job.state(), job.out()] {
        let Some(read_only) = ReadOnly::make(&folder) else {
            println!("skipped: no folder can be made read-only here (neither mount nor chattr, and the user is root)");
            return;
        };
        let requests = simulator.stats().requests;
        names(&job.run(), &folder, &[]);
        assert_eq!(simulator.stats().requests, requests);
        drop(read_only);
    }
    ends_well(&simulator, &job);
    assert!(simulator.stats().repeated_purchases <= 2, "{:?}", simulator.stats().repeated_questions);
}

/// The database made its log with the rights that it had itself, so the same command failed after they were mended, too.
#[test]
fn a_journal_that_may_not_be_written_is_named_and_once_it_may_the_run_goes_on() {
    let simulator = serve(|service| service.world.rows = 600);
    let job = Job::of(&simulator);
    assert_eq!(job.run_with("--max-credits 30").code, 4);
    let journal = job.state().join("journal.sqlite");
    let read_only = ReadOnly::make(&journal);
    if std::fs::OpenOptions::new().append(true).open(&journal).is_ok() {
        println!("skipped: no file can be made read-only here (neither mount nor chattr, and the user is root)");
        return;
    }
    let requests = simulator.stats().requests;
    names(&job.run(), &job.state(), &["journal.sqlite: ", "let the user that runs this read and write"]);
    assert_eq!(simulator.stats().requests, requests);
    for name in ["journal.sqlite-shm", "journal.sqlite-wal"] {
        let found = std::fs::metadata(job.state().join(name));
        assert!(found.map_or(true, |found| !found.permissions().readonly()), "{name} is made with its rights");
    }
    drop(read_only);
    ends_well(&simulator, &job);
}

#[test]
fn an_output_that_becomes_read_only_in_mid_run_loses_nothing_that_was_paid_for() {
    let simulator = serve(|_| {});
    slow(&simulator, 5.0);
    let job = Job::of(&simulator).with(&format!("--max-in-flight {MAX_IN_FLIGHT}"));
    let running = job.start();
    until("the first part", || !parquet_files(&job.out()).is_empty());
    let Some(read_only) = ReadOnly::make(&job.out()) else {
        println!("skipped: no folder can be made read-only here (neither mount nor chattr, and the user is root)");
        return;
    };
    let ended = running.wait();
    if ended.code == 0 {
        // An immutable folder takes no new names, but its subfolders do.
        println!("skipped: a folder that is in use cannot be made read-only here");
        return;
    }
    names(&ended, &job.out(), &["what was paid for is in"]);
    drop(read_only);
    slow(&simulator, 0.0);
    ends_well(&simulator, &job);
    assert!(simulator.stats().repeated_purchases <= MAX_IN_FLIGHT, "{:?}", simulator.stats());
}

/// A database that is removed while it is open takes everything that is written to it, and nobody finds it again: a run
/// once went on to spend the whole budget on pages that were lost with its last sign of life.
#[test]
fn a_state_that_vanishes_in_mid_run_stops_the_spending() {
    let simulator = serve(|_| {});
    slow(&simulator, 10.0);
    let job = Job::of(&simulator).with(&format!("--max-in-flight {MAX_IN_FLIGHT}"));
    let running = job.start();
    until("some pages", || simulator.stats().pages > 60);
    let away = job.folder().join("away");
    std::fs::rename(job.state(), &away).unwrap();
    let requests = simulator.stats().requests;
    let ended = running.wait();
    names(&ended, &job.state().join("journal.sqlite"), &["is not there any more", "put the folder back"]);
    let wasted = simulator.stats().requests - requests;
    assert!(wasted <= 3 * MAX_IN_FLIGHT, "{wasted} requests after the state was gone");
    assert!(!job.state().exists(), "nothing is made in its place");
    std::fs::rename(&away, job.state()).unwrap();
    slow(&simulator, 0.0);
    ends_well(&simulator, &job);
    assert!(simulator.stats().repeated_purchases <= 3 * MAX_IN_FLIGHT, "{:?}", simulator.stats());
}

#[test]
fn an_output_that_vanishes_in_mid_run_stops_it_and_what_was_paid_for_is_kept() {
    let simulator = serve(|_| {});
    slow(&simulator, 5.0);
    let job = Job::of(&simulator).with(&format!("--max-in-flight {MAX_IN_FLIGHT}"));
    let running = job.start();
    until("two parts", || parquet_files(&job.out()).len() > 1);
    let away = job.folder().join("away");
    std::fs::rename(job.out(), &away).unwrap();
    names(&running.wait(), &job.out(), &["what was paid for is in"]);
    slow(&simulator, 0.0);
    // Whatever came into being in its place is not taken for the output.
    let requests = simulator.stats().requests;
    let ended = job.run();
    assert!(ended.code == 7 && ended.error().contains("mount or restore the folder"), "{ended}");
    assert_eq!(simulator.stats().requests, requests);
    std::fs::remove_dir_all(job.out()).unwrap();
    std::fs::rename(&away, job.out()).unwrap();
    ends_well(&simulator, &job);
    assert!(simulator.stats().repeated_purchases <= MAX_IN_FLIGHT, "{:?}", simulator.stats());
}

#[test]
fn state_and_output_may_lie_on_different_file_systems() {
    let simulator = serve(|service| service.world.rows = 1_000);
    let job = Job::of(&simulator);
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    let memory = Path::new("/dev/shm");
    if device(memory).is_none() || device(memory) == device(job.folder()) {
        println!("skipped: /dev/shm is no file system of its own here");
        return;
    }
    for which in ["--state", "--out"] {
        let job = Job::of(&simulator);
        let elsewhere = tempfile::tempdir_in(memory).unwrap();
        let place = elsewhere.path().join("place");
        // The harness looks for the folder where it would lie by default.
        let usual = if which == "--state" { job.state() } else { job.out() };
        std::fs::create_dir(&place).unwrap();
        std::os::unix::fs::symlink(&place, usual).unwrap();
        if which == "--state" {
            assert_eq!(job.run().code, 0);
            holds_exactly_the_truth(&simulator, &job);
            is_whole(&job);
            asks_nothing_more(&simulator, &job);
        } else {
            let ended = job.run_with("--max-credits 40");
            assert_eq!(ended.code, 4, "{ended}");
            ends_well(&simulator, &job);
        }
    }
    drop(job);
}

/// An unfinished run whose journal holds pages, decisions and facts, and everything in its folder.
struct Damageable {
    simulator: RunningSimulator,
    job: Job,
    requests: u64,
}

impl Damageable {
    fn new() -> Self {
        let simulator = serve(|_| {});
        slow(&simulator, 3.0);
        let job = Job::of(&simulator).with("--partition none");
        let running = job.start();
        until("some pages", || simulator.stats().pages > 60);
        // Interrupted, so that everything waits in the database for its part.
        running.signal("INT");
        assert_eq!(running.wait().code, 130);
        slow(&simulator, 0.0);
        let requests = simulator.stats().requests;
        Self { simulator, job, requests }
    }

    fn journal(&self) -> PathBuf {
        self.job.state().join("journal.sqlite")
    }

    fn content(&self) -> Vec<u8> {
        std::fs::read(self.journal()).unwrap()
    }

    /// The damaged state is refused, named, left as it is, and nothing is sent; the sound one goes on.
    fn is_refused(&self, sound: &[u8], words: &[&str]) {
        let damaged = self.content();
        assert_ne!(sound, damaged, "nothing was damaged");
        for _ in 0..2 {
            names(&self.job.run(), &self.journal(), words);
        }
        assert_eq!(self.simulator.stats().requests, self.requests, "something was sent");
        assert_eq!(self.content(), damaged, "the damaged journal was changed");
        std::fs::write(self.journal(), sound).unwrap();
    }

    /// Changes a stored value as a flipped bit on the disk would, without the database's knowledge of what it means.
    fn alter(&self, sql: &str) {
        let connection = Connection::open(self.journal()).unwrap();
        assert_eq!(connection.execute(sql, []).unwrap(), 1, "{sql}");
        let _moved: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    }
}

#[test]
fn a_damaged_journal_is_refused_with_its_place_before_anything_is_sent() {
    let it = Damageable::new();
    let sound = it.content();
    let write = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.clone();
        change(&mut bytes);
        std::fs::write(it.journal(), bytes).unwrap();
    };
    write(&|bytes| bytes.truncate(bytes.len() / 2));
    it.is_refused(&sound, &["damaged at"]);
    write(&|bytes| bytes[..16].copy_from_slice(b"no such database"));
    it.is_refused(&sound, &["damaged at", "file is not a database"]);
    // Where an SQLite file keeps its `user_version`.
    let version = sound[63];
    write(&|bytes| bytes[63] = version + 1);
    let told = format!("its format is version {}, this program knows version {version}", version + 1);
    it.is_refused(&sound, &[&told]);
    // The head of a page in the middle of the file.
    write(&|bytes| {
        let page = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
        let middle = bytes.len() / page / 2 * page;
        bytes[middle..middle + 8].copy_from_slice(&[0xff; 8]);
    });
    it.is_refused(&sound, &["damaged at"]);
    let flipped = "CAST(substr(body, 1, 20) || char(7) || substr(body, 22) AS BLOB)";
    // Of what is owed to the output: released bodies lie in their table for a while, and nobody reads them.
    let held = "FROM bodies WHERE sequence NOT IN (SELECT sequence FROM released)";
    it.alter(&format!("UPDATE bodies SET body = {flipped} WHERE sequence = (SELECT max(sequence) {held})"));
    it.is_refused(&sound, &["damaged at the body of page"]);
    it.alter(&format!("UPDATE bodies SET end = end + 1 WHERE sequence = (SELECT min(sequence) {held})"));
    it.is_refused(&sound, &["damaged at the body of page", "its checksum does not fit"]);
    it.alter("UPDATE row_keys SET keys = zeroblob(length(keys)) WHERE sequence = (SELECT max(sequence) FROM row_keys)");
    it.is_refused(&sound, &["damaged at page", "the checksum of its rows does not fit"]);
    it.alter("UPDATE pages SET slots = slots - 1 WHERE sequence = (SELECT max(sequence) FROM row_keys)");
    it.is_refused(&sound, &["damaged at page"]);
    it.alter("UPDATE events SET json = replace(json, '1', '2') WHERE sequence = (SELECT max(sequence) FROM events WHERE json LIKE '%1%')");
    it.is_refused(&sound, &["damaged at event", "its checksum does not fit"]);
    ends_well(&it.simulator, &it.job);
    assert!(it.simulator.stats().repeated_purchases <= 2, "{:?}", it.simulator.stats().repeated_questions);
}

#[test]
fn nothing_of_the_state_is_needed_to_read_the_output() {
    let simulator = serve(|service| service.world.rows = 500);
    let job = Job::of(&simulator);
    exports_exactly(&simulator, &job);
    std::fs::remove_dir_all(job.state()).unwrap();
    is_whole(&job);
    assert!(!files_below(&job.out()).is_empty());
}
