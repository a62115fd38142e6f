//! An output that was restored from an older copy, beside a state that went on.

use std::path::Path;

use keyapi_export::simulator::RunningSimulator;

use super::{asking, days, ends_whole, serve_weeks, truth};
use crate::support::{
    Job, asks_nothing_more, holds_exactly_the_truth, identities, identities_of_manifest, is_whole, same,
};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// An output as it was at a moment.
struct Copy<'a>(&'a Job);

impl<'a> Copy<'a> {
    fn of(job: &'a Job) -> Self {
        copy(&job.out(), &Self(job).place());
        Self(job)
    }

    fn place(&self) -> std::path::PathBuf {
        self.0.folder().join("copy")
    }

    fn put_back(&self) {
        std::fs::remove_dir_all(self.0.out()).unwrap();
        copy(&self.place(), &self.0.out());
    }
}

fn rows_of(simulator: &RunningSimulator, from: i64, to: i64) -> usize {
    truth(simulator, "US", days(from, to)).len()
}

/// What a copy brings back of seconds that were read again since is shown until they are read once more, and goes then.
#[test]
fn a_copy_from_before_a_range_was_read_again_leaves_no_row_twice() {
    let simulator = serve_weeks();
    let job = Job::of(&simulator).with_range(days(0, 4));
    assert_eq!(job.run().code, 0);
    let copy = Copy::of(&job);
    assert_eq!(job.run_with("--reread all").code, 0);
    copy.put_back();
    ends_whole(&simulator, &job, "", (rows_of(&simulator, 0, 4), 1));
    holds_exactly_the_truth(&simulator, &job);
    asks_nothing_more(&simulator, &job);
    ends_whole(&simulator, &job, &asking(days(0, 6), &["US"]), (rows_of(&simulator, 4, 6), 1));
}

/// The copy's days are there, whatever the state knows of later readings of them; of what came after it, what is asked is read again and
/// the rest is a hole that any later run fills.
#[test]
fn a_copy_of_former_nights_keeps_its_days_and_only_what_it_lacks_is_bought_again() {
    let simulator = serve_weeks();
    let job = Job::of(&simulator).with_range(days(0, 4));
    let nights = |from, to| format!("{} --reread all", asking(days(from, to), &["US"]));
    assert_eq!(job.run().code, 0);
    let copy = Copy::of(&job);
    for (from, to) in [(2, 6), (4, 8)] {
        assert_eq!(job.run_with(&nights(from, to)).code, 0);
    }
    copy.put_back();
    let ended = ends_whole(&simulator, &job, &nights(6, 9), (rows_of(&simulator, 6, 9), 1));
    assert!(ended.stderr.contains("was it restored from a copy?"), "{ended}");
    let held = [truth(&simulator, "US", days(0, 4)), truth(&simulator, "US", days(6, 9))].concat();
    same(&identities(&job.out()), &held);
    same(&identities_of_manifest(&job.out()), &held);
    ends_whole(&simulator, &job, &asking(days(0, 9), &["US"]), (rows_of(&simulator, 4, 6), 1));
    same(&identities(&job.out()), &truth(&simulator, "US", days(0, 9)));
    is_whole(&job);
}
