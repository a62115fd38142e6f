//! A disk that is full, or fails to sync, at any moment of a short run: the run ends with 7, nothing that was answered is lost,
//! and the same command goes on once the disk is well.
//!
//! `cargo test` takes evenly spaced moments; `DISK_MOMENTS=1000000` takes all of them.

use super::amount;
use super::disk::{Disk, Fault, MAX_IN_FLIGHT, serve_briefly};
use super::model::{Luck, Tree, failed_folder};

/// Moments in the short form.
const SHORT: usize = 14;
/// Writes that the ballast is made of are all alike, so that only the first and last of them are taken: from the tenth change on.
const BALLAST_FROM: u64 = 10;
const BALLAST_UNTIL: u64 = 510;

/// Evenly spaced moments of the first `total`.
fn moments(total: u64, few: usize) -> Vec<u64> {
    let all: Vec<u64> = (1..=total).collect();
    let wanted = amount("DISK_MOMENTS", few).min(all.len());
    let chosen: Vec<u64> = (0..wanted).map(|place| all[place * all.len() / wanted]).collect();
    println!("{wanted} of {total} moments: {chosen:?}");
    chosen
}

#[test]
fn a_disk_that_is_full_at_any_write_loses_nothing_that_was_answered() {
    let simulator = serve_briefly(1);
    let Some(disk) = Disk::of(&simulator) else { return };
    let (ended, counts) = disk.start("", Fault::None);
    assert_eq!(ended.unwrap().code, 0, "{counts:?}");
    let ballast = BALLAST_UNTIL - BALLAST_FROM;
    let mut landed = 0;
    for moment in moments(counts.growths - ballast, SHORT) {
        let moment = if moment < BALLAST_FROM { moment } else { moment + ballast };
        landed += u64::from(a_full_disk_at(moment));
    }
    assert!(landed > 0, "no answer was on its way when the disk was full");
}

/// Whether answers landed with the ballast's room.
fn a_full_disk_at(moment: u64) -> bool {
    let story = format!("full at growth {moment}");
    let simulator = serve_briefly(moment);
    let Some(disk) = Disk::of(&simulator) else { return false };
    let (ended, counts) = disk.start("", Fault::Full(moment));
    let ended = ended.unwrap();
    if counts.failed == 0 {
        // Runs differ a little in length, and this one was over before.
        assert_eq!(ended.code, 0, "{story}: {ended}");
        return false;
    }
    assert_eq!(ended.code, 7, "{story}: {ended}");
    let why = ended.error();
    // The database does not say why it could not make its files, and nothing was bought before that.
    let is_told = ["full", "No space left", "opening the database"].iter().any(|words| why.contains(words));
    assert!(is_told, "{story}: {why}");
    let (sold, (kept, _)) = (simulator.stats().pages, disk.journalled());
    assert_eq!(kept, sold, "{story}: answers that were on their way are lost; {counts:?} {ended}");
    disk.ends_well(&simulator, "", &story);
    counts.given > 0 && sold > 0
}

#[test]
fn a_sync_that_fails_stops_the_run_and_is_never_tried_again() {
    let simulator = serve_briefly(1);
    let Some(disk) = Disk::of(&simulator) else { return };
    let (ended, counts) = disk.start("", Fault::None);
    assert_eq!(ended.unwrap().code, 0, "{counts:?}");
    for moment in moments(counts.syncs, SHORT) {
        a_failed_sync_at(moment);
    }
}

/// Answers whose commit could not be synced are lost, unless the kernel kept what it could not write: they were on their way, so
/// at most those are bought again. Everything else that was answered is kept, also when the power goes after the failure, and when
/// it goes after a further start that the kernel told that all was well.
fn a_failed_sync_at(moment: u64) {
    let story = format!("sync {moment} fails");
    let simulator = serve_briefly(moment);
    let Some(disk) = Disk::of(&simulator) else { return };
    let before = Tree::read(&disk.root());
    let (ended, counts) = disk.start("", Fault::Sync(moment));
    let ended = ended.unwrap();
    if counts.failed == 0 {
        assert_eq!(ended.code, 0, "{story}: {ended}");
        return;
    }
    if ended.code == 0 {
        // The database itself makes nothing of a folder that fails to sync; the journal syncs it once more before it is used.
        let failed = failed_folder(&disk.root(), &disk.log()).map(|folder| disk.root().join(folder));
        assert_eq!(failed, Some(disk.job.state()), "{story}: a failed sync was ignored; {ended}");
    } else {
        assert_eq!(ended.code, 7, "{story}: {ended}");
        // A database that cannot be made takes its first page back and syncs that; nothing is believed of it, and nothing was bought.
        let is_being_made = ended.stderr.contains("turning the write-ahead log on");
        assert!(counts.retried == 0 || is_being_made, "{story}: a failed sync was tried again; {counts:?} {ended}");
    }
    let nothing_unsynced = Luck { survives: 0.0, seed: moment };
    if moment.is_multiple_of(3) {
        before.after_power_loss(&disk.root(), &disk.log(), nothing_unsynced).write(&disk.root());
    }
    let (sold, (kept, _)) = (simulator.stats().pages, disk.journalled());
    assert!(kept + MAX_IN_FLIGHT >= sold, "{story}: {sold} pages were sold, {kept} are kept; {ended}");
    let is_of_the_journal = ended.stderr.contains("journal.sqlite");
    assert!(is_of_the_journal || kept == sold, "{story}: {sold} pages were sold, {kept} are kept; {ended}");
    if moment % 3 == 1 {
        let (ended, _) = disk.start("", Fault::None);
        let ended = ended.unwrap();
        assert_eq!(ended.code, 0, "{story}: {ended}");
        before.after_power_loss(&disk.root(), &disk.log(), nothing_unsynced).write(&disk.root());
        disk.is_whole_and_asks_nothing(&simulator, &format!("{story}, and the power goes after the next start"));
    }
    disk.ends_well(&simulator, "", &story);
}
