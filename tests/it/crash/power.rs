//! Power losses: the process dies, and the disk forgets whatever was not synced, as `model` says.
//!
//! `cargo test` runs a few; `POWER_LOSSES=200` runs as many as are asked for.

use keyapi_export::failpoint::CrashStep;
use keyapi_export::simulator::RunningSimulator;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::amount;
use super::disk::{Disk, Fault, MAX_IN_FLIGHT, serve_briefly};
use super::model::{Luck, Tree};

/// Losses in the short form.
const SHORT: usize = 12;
/// The seed of every moment and every loss.
const SEED: u64 = 20_260_401;
/// Changes that a first start makes before it has its ballast: all alike, so that few losses fall there.
const BALLAST_CHANGES: u64 = 520;
/// Losses of one run.
const MOST_IN_A_ROW: usize = 3;

/// A run says that it has ended, and the power goes: everything that was not synced is lost.
fn holds_after_its_end(disk: &Disk, simulator: &RunningSimulator, flags: &str, story: &str) {
    let before = Tree::read(&disk.root());
    disk.forget_log();
    let (ended, _) = disk.start(flags, Fault::None);
    let ended = ended.unwrap();
    assert_eq!(ended.code, 0, "{story}: {ended}");
    let nothing_unsynced = Luck { survives: 0.0, seed: SEED };
    before.after_power_loss(&disk.root(), &disk.log(), nothing_unsynced).write(&disk.root());
    disk.is_whole_and_asks_nothing(simulator, story);
}

#[test]
fn what_a_run_says_when_it_ends_is_true_after_a_power_loss() {
    let simulator = serve_briefly(SEED);
    let Some(disk) = Disk::of(&simulator) else { return };
    holds_after_its_end(&disk, &simulator, "", "the power goes when the run has ended");
    holds_after_its_end(&disk, &simulator, "--fresh", "the power goes when a run has replaced a former one");
}

/// Two levels of folders: the upper one's names are synced by nobody but who made the lower one.
fn in_months(disk: Disk) -> Disk {
    Disk { job: disk.job.with("--partition month") }
}

/// A folder that a process had made, and whose name it had not synced when it died, must be durable once a later one has used it.
#[test]
fn a_folder_that_a_dead_process_had_made_is_as_durable_as_any() {
    let simulator = serve_briefly(SEED);
    let Some(disk) = Disk::of(&simulator).map(in_months) else { return };
    let (ended, undisturbed) = disk.start("", Fault::None);
    assert_eq!(ended.unwrap().code, 0);
    assert!(undisturbed.folders > 8, "{undisturbed:?}");
    for place in 1..=undisturbed.folders {
        let Some(disk) = Disk::of(&simulator).map(in_months) else { return };
        let before = Tree::read(&disk.root());
        assert!(disk.start("", Fault::FolderMade(place)).0.is_none(), "no folder {place} was made");
        let (ended, _) = disk.start("", Fault::None);
        assert_eq!(ended.unwrap().code, 0);
        let nothing_unsynced = Luck { survives: 0.0, seed: SEED };
        before.after_power_loss(&disk.root(), &disk.log(), nothing_unsynced).write(&disk.root());
        disk.is_whole_and_asks_nothing(
            &simulator,
            &format!("a death after folder {place}, and the power goes at the end"),
        );
    }
}

/// A file that a dead process had removed, and whose absence it had not synced, once came back beside its successor.
#[test]
fn what_is_removed_after_a_death_in_between_stays_removed() {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no steps to die at");
        return;
    }
    let simulator = serve_briefly(SEED);
    let Some(disk) = Disk::of(&simulator) else { return };
    assert_eq!(disk.job.run().code, 0);
    let before = Tree::read(&disk.root());
    disk.forget_log();
    assert!(disk.start_dying_at("--fresh", CrashStep::FormerUnlinked).is_none());
    let (ended, _) = disk.start("", Fault::None);
    assert_eq!(ended.unwrap().code, 0);
    let nothing_unsynced = Luck { survives: 0.0, seed: SEED };
    before.after_power_loss(&disk.root(), &disk.log(), nothing_unsynced).write(&disk.root());
    disk.is_whole_and_asks_nothing(&simulator, "a death after a removal, and the power goes at the end");
}

#[test]
fn power_losses_at_any_moment_lose_no_row_and_no_page() {
    let mut random = StdRng::seed_from_u64(SEED);
    let (wanted, mut losses, mut runs) = (amount("POWER_LOSSES", SHORT), 0, 0);
    while losses < wanted {
        let Some(came) = a_run_with_power_losses(&mut random, runs) else { return };
        losses += came;
        runs += 1;
    }
    println!("{losses} power losses in {runs} runs");
}

/// A ballast that is there has all its bytes: one that the disk had not written would give no room back.
fn holds_its_room(disk: &Disk) {
    let Ok(ballast) = std::fs::read(disk.job.state().join("ballast")) else { return };
    assert!(ballast.chunks(512).all(|sector| sector.iter().any(|byte| *byte != 0)), "the ballast has holes");
}

/// One run, first or in place of a former one, that loses its power up to three times.
fn a_run_with_power_losses(random: &mut StdRng, number: u64) -> Option<usize> {
    let simulator = serve_briefly(SEED + number);
    let disk = Disk::of(&simulator)?;
    let replaces = number % 2 == 1;
    if replaces {
        assert_eq!(disk.job.run().code, 0);
    }
    let sold_before = simulator.stats().pages;
    let wanted_run = if replaces { 2 } else { 1 };
    let flags = |disk: &Disk| if replaces && disk.journalled().1 < 2 { "--fresh" } else { "" };
    let mut losses = 0;
    for _ in 0..random.random_range(1..=MOST_IN_A_ROW) {
        let before = Tree::read(&disk.root());
        disk.forget_log();
        let moment = match random.random_range(0..10) {
            0 => random.random_range(1..BALLAST_CHANGES),
            1..4 => BALLAST_CHANGES * u64::from(!replaces && losses == 0) + random.random_range(1..100),
            _ => BALLAST_CHANGES * u64::from(!replaces && losses == 0) + random.random_range(1..1_100),
        };
        let luck = Luck { survives: [0.0, 0.3, 0.7, 1.0][random.random_range(0..4)], seed: random.random() };
        let (ended, _) = disk.start(flags(&disk), Fault::Death(moment));
        if let Some(ended) = ended {
            assert_eq!(ended.code, 0, "{ended}");
        } else {
            losses += 1;
        }
        before.after_power_loss(&disk.root(), &disk.log(), luck).write(&disk.root());
        holds_its_room(&disk);
        let (kept, run) = disk.journalled();
        let kept = if run == wanted_run { kept } else { 0 };
        let sold = simulator.stats().pages - sold_before;
        let most_lost = MAX_IN_FLIGHT * losses as u64;
        println!("run {number}, loss {losses} at change {moment}, {luck:?}: {sold} pages sold, {kept} kept");
        assert!(
            kept + most_lost >= sold,
            "run {number}: {sold} pages were sold, {kept} are kept after {losses} losses"
        );
    }
    disk.ends_well(&simulator, flags(&disk), &format!("run {number} after {losses} power losses"));
    Some(losses)
}
