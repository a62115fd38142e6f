//! The named steps of durability, at each of which a test may end the process as a power cut would: no destructor runs.
//!
//! A test arms one step by the variable `KEYAPI_FAILPOINT`: `part.renamed` dies there at the first passing, `part.renamed:3`
//! at the third. Only builds with debug assertions read the variable; in a release build [`pass`] is empty and inlined away,
//! so nothing of this is left. `src/ARCHITECTURE.md` says what each step makes durable and what the next start does.

/// Defines the steps with their names, in the order of a start, so that there is one list.
macro_rules! steps {
    ($($(#[$meaning:meta])* $step:ident = $name:literal,)*) => {
        /// A moment between two durable states. Its meaning is what has just become true.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum CrashStep {
            $($(#[$meaning])* $step,)*
        }

        impl CrashStep {
            /// Every step.
            pub const ALL: &[Self] = &[$(Self::$step,)*];

            /// The name that arms it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)*
                }
            }
        }
    };
}

steps! {
    /// The state folder is locked; nothing in it was touched.
    StateLocked = "state.locked",
    /// The ballast lies in the state folder.
    BallastWritten = "ballast.written",
    /// A new database has its write-ahead log and no table.
    DatabaseConfigured = "database.configured",
    /// The log of the last process was moved into the database.
    DatabaseOpened = "database.opened",
    /// The names of the state folder's files are durable.
    StateSynced = "state.synced",
    /// The question is in the journal.
    QuestionKept = "question.kept",
    /// The output folder is locked, and found to be ours.
    OutputOpened = "output.opened",
    /// The manifest in a bucket is ours to replace: another process that had read it fails at its next commit.
    ManifestClaimed = "manifest.claimed",
    /// A part that the last process had prepared is visible.
    RecoveryRevealed = "recovery.revealed",
    /// The manifest lists it, and the journal says so too.
    RecoveryPublished = "recovery.published",
    /// A part that the last process had prepared and that is not there was forgotten.
    RecoveryForgotten = "recovery.forgotten",
    /// The staging folder was emptied.
    RecoveryDiscarded = "recovery.discarded",
    /// Parts that only the manifest knew are published in the journal.
    TakeoverPublished = "takeover.published",
    /// A run has begun, and its forerunner's pages are gone.
    RunBegun = "run.begun",
    /// `_SUCCESS` is gone from the folder; the folder is not synced.
    SuccessUnlinked = "success.unlinked",
    /// `_SUCCESS` is gone for good.
    SuccessCleared = "success.cleared",
    /// The manifest has its name; the folder is not synced.
    ManifestRenamed = "manifest.renamed",
    /// The manifest has it for good.
    ManifestRevealed = "manifest.revealed",
    /// A version of the table's log has its name; the folder is not synced.
    TableRenamed = "table.renamed",
    /// The log has it for good: readers of the table see what the manifest lists.
    TableRevealed = "table.revealed",
    /// A file that the table superseded long enough ago is gone; the folder is not synced.
    TableUnlinked = "table.unlinked",
    /// It is gone for good.
    TableRemoved = "table.removed",
    /// Decisions of the planner are in the journal, and nothing followed from them yet.
    DecisionCommitted = "decision.committed",
    /// Attempts are reserved, and none of them was sent.
    CreditsReserved = "credits.reserved",
    /// A page was answered, and the journal does not know.
    PageAnswered = "page.answered",
    /// A page is in the journal, and nobody knows.
    PageCommitted = "page.committed",
    /// The journal's log was moved into the database in mid-run.
    LogMoved = "log.moved",
    /// A part lies synced in the staging folder.
    PartStaged = "part.staged",
    /// The journal knows it.
    PartPrepared = "part.prepared",
    /// The journal knows a part that waits for the end of its run.
    PartHeld = "part.held",
    /// It has its final name; the folders are not synced.
    PartRenamed = "part.renamed",
    /// It has it for good.
    PartRevealed = "part.revealed",
    /// The manifest lists it, and the journal says so too.
    PartPublished = "part.published",
    /// The slice that it holds is settled.
    SliceRecorded = "slice.recorded",
    /// An upload in pieces has begun, and is noted in the bucket; no piece of it was sent.
    UploadBegun = "upload.begun",
    /// All pieces of an upload were sent; the object is not there yet.
    UploadSent = "upload.sent",
    /// Rows of a former part that its successor does not cover are in parts of their own, which wait for the end of the run.
    CarriedHeld = "carried.held",
    /// All parts that waited for the end of their run lie under their final names; the manifest does not list them.
    HeldRevealed = "held.revealed",
    /// The manifest lists what replaces former parts, and the journal calls those superseded; they are still there.
    FormerSuperseded = "former.superseded",
    /// It is gone from its folder; the folder is not synced.
    FormerUnlinked = "former.unlinked",
    /// It is gone for good.
    FormerRemoved = "former.removed",
    /// Pages whose rows are published left the journal.
    BodiesReleased = "bodies.released",
    /// Rejected rows have their final name; the folder is not synced.
    RejectedRenamed = "rejected.renamed",
    /// They have it for good.
    RejectedRevealed = "rejected.revealed",
    /// `_SUCCESS` has its name; the folder is not synced.
    SuccessRenamed = "success.renamed",
    /// It has it for good.
    SuccessRevealed = "success.revealed",
    /// A part that waits for the end of its run is kept where the state is; the journal does not know of it.
    HeldKept = "held.kept",
    /// Segments of a state in a bucket are there, and its head does not name them.
    SegmentPut = "segment.put",
    /// The head names them: a start elsewhere knows what they hold.
    SegmentShipped = "segment.shipped",
    /// The journal knows how the run ended.
    RunFinished = "run.finished",
    /// The journal's log is empty, and nothing is left to write.
    JournalClosed = "journal.closed",
}

/// The process was there. Ends it where a test has armed this step.
#[cfg(debug_assertions)]
pub fn pass(step: CrashStep) {
    armed::pass(step);
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn pass(_step: CrashStep) {}

/// Up to which size a file goes up into a bucket in one request: `usual`, but for a test that says otherwise.
#[cfg(debug_assertions)]
pub fn upload_at_once(usual: u64) -> u64 {
    armed::upload_at_once().unwrap_or(usual)
}

/// The usual size.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn upload_at_once(usual: u64) -> u64 {
    usual
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::CrashStep;

    const VARIABLE: &str = "KEYAPI_FAILPOINT";
    /// Bytes; with 0 every file goes up in pieces.
    const UPLOAD_VARIABLE: &str = "KEYAPI_UPLOAD_AT_ONCE";

    /// The armed step, and how often it is still passed alive, plus one.
    static ARMED: LazyLock<Option<(CrashStep, AtomicU32)>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).ok()?;
        match parse(&text) {
            Some((step, nth)) => Some((step, AtomicU32::new(nth))),
            // A name that is mistyped must not look like a step that was survived.
            None => std::process::abort(),
        }
    });

    pub(super) fn pass(step: CrashStep) {
        if let Some((_, left)) = ARMED.as_ref().filter(|(armed, _)| *armed == step)
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            std::process::abort();
        }
    }

    pub(super) fn upload_at_once() -> Option<u64> {
        std::env::var(UPLOAD_VARIABLE).ok()?.parse().ok()
    }

    pub(super) fn parse(text: &str) -> Option<(CrashStep, u32)> {
        let (name, nth) = text.split_once(':').unwrap_or((text, "1"));
        let step = CrashStep::ALL.iter().copied().find(|step| step.name() == name)?;
        Some((step, nth.parse().ok().filter(|nth| *nth > 0)?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own_and_is_armed_by_it() {
        let names: BTreeSet<&str> = CrashStep::ALL.iter().map(|step| step.name()).collect();
        assert_eq!(names.len(), CrashStep::ALL.len());
        #[cfg(debug_assertions)]
        for step in CrashStep::ALL {
            assert_eq!(armed::parse(step.name()), Some((*step, 1)));
            assert_eq!(armed::parse(&format!("{}:7", step.name())), Some((*step, 7)));
        }
    }

    #[cfg(debug_assertions)]
    #[test]
    fn a_name_that_is_no_step_arms_nothing() {
        for text in ["", "part", "part.renamed:0", "part.renamed:x", "Part.renamed"] {
            assert_eq!(armed::parse(text), None, "{text}");
        }
    }

    /// A step is told from what a release build runs, so nothing may follow from it there.
    #[test]
    fn passing_a_step_that_is_not_armed_changes_nothing() {
        CrashStep::ALL.iter().copied().for_each(pass);
    }
}
