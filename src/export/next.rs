//! Which run a start works on: deciding, from what was asked and what the state holds. Pure.

use crate::api::contract::Region;
use crate::journal::record::{RangeEnds, RunOutcome, RunRecord};
use crate::units::{EpochSeconds, TimeRange};

use super::Reread;
use super::keeps::Keeps;
use super::{History, Start};

/// What a start was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) regions: &'a [Region],
    pub(super) range: TimeRange,
    pub(super) ends: RangeEnds,
    pub(super) start: Start,
    /// What is done about seconds that are there already, where a person said so.
    pub(super) reread: Option<Reread>,
    pub(super) history: History,
    /// This moment.
    pub(super) now: EpochSeconds,
}

/// What the output holds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// All of it, as its manifest says, and the state knows of no run.
    AllByItsManifest,
    /// What an unfinished run left that asked the same, or up to an earlier end, as its manifest says; the state knows of no run.
    SomeByItsManifest,
    /// Something that no run of this state can read again by itself: parts of former runs are gone.
    LessThanItSays,
    /// The same of an unfinished run, which keeps what those parts held.
    LessThanItKeeps,
    /// What the state's runs left, without a gap in what is asked: what it lacks is in doubt, or was rejected.
    NoGap,
    /// What the state's runs left.
    WhatWasLeft,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Go on with the latest run.
    GoOn,
    /// The same, up to the end of the asked range.
    Extend,
    /// The latest run has ended, and is what was asked: look whether all of it is there.
    LookAgain,
    /// Begin a run; one that is unfinished is given up.
    Begin(Keeps),
    /// Publish what the unfinished run has paid for, then begin a run.
    CloseAndBegin(Keeps),
}

/// Decides. `latest` is the state's latest run, unless nothing of it may be gone on with.
pub(super) fn next(ask: &Ask<'_>, latest: Option<&RunRecord>, holds: Holds) -> Next {
    let Some(run) = latest.filter(|_| ask.start == Start::GoOn) else {
        return Next::Begin(match (ask.start, holds) {
            (Start::Fresh, _) => Keeps::Nothing,
            (Start::GoOn, Holds::AllByItsManifest) if !ask.insists() => Keeps::All,
            (Start::GoOn, Holds::SomeByItsManifest) => ask.keeps().max(Keeps::WhatItsRunRead),
            (Start::GoOn, _) => ask.keeps(),
        });
    };
    let is_asked = run.begun.range == ask.range && has_regions(run, ask.regions);
    match run.outcome {
        None if is_spent_on_an_earlier_day(run, ask.now) => Next::CloseAndBegin(ask.keeps()),
        // What it read is kept, and what is gone is read by the run that begins.
        None if holds == Holds::LessThanItKeeps && is_asked => Next::CloseAndBegin(Keeps::All),
        None if holds == Holds::LessThanItKeeps && may_be_extended(run, ask) => {
            Next::CloseAndBegin(ask.keeps().max(Keeps::WhatItsRunRead))
        }
        None if is_asked => Next::GoOn,
        None if may_be_extended(run, ask) => Next::Extend,
        None => Next::CloseAndBegin(ask.keeps()),
        Some(RunOutcome::Closed) => Next::Begin(ask.keeps()),
        Some(_) if is_asked && holds == Holds::LessThanItSays => Next::Begin(Keeps::All),
        Some(RunOutcome::Complete) if is_asked && ask.insists() => Next::Begin(Keeps::Nothing),
        // Gaps come first. What is in doubt or rejected is not mended by another look at the same run.
        Some(_) if is_asked && ask.insists() && holds == Holds::NoGap => Next::Begin(Keeps::Nothing),
        Some(_) if is_asked => Next::LookAgain,
        Some(_) => Next::Begin(ask.keeps()),
    }
}

impl Ask<'_> {
    /// What a new run keeps: where nothing is said, what was written down is not read again, and what the clock decides is; a
    /// snapshot is a whole answer.
    fn keeps(&self) -> Keeps {
        let is_written_down = self.ends == RangeEnds::Absolute && self.history == History::Replaced;
        match self.reread {
            Some(Reread::All) => Keeps::Nothing,
            Some(Reread::Missing) => Keeps::All,
            None => {
                if is_written_down {
                    Keeps::All
                } else {
                    Keeps::Nothing
                }
            }
        }
    }

    /// Whether what is there is read again because a person says so. A range of the clock moves on by itself.
    fn insists(&self) -> bool {
        self.reread == Some(Reread::All) && self.ends == RangeEnds::Absolute
    }
}

fn has_regions(run: &RunRecord, asked: &[Region]) -> bool {
    let reads = &run.begun.reads;
    reads.len() == asked.len() && reads.iter().all(|reads| asked.contains(&reads.region))
}

/// A range that moves with the clock has moved on: the run that its own budget ended makes room for one with a budget of its own.
fn is_spent_on_an_earlier_day(run: &RunRecord, now: EpochSeconds) -> bool {
    let is_earlier = |at: EpochSeconds| at.day_start() < now.day_start();
    run.begun.ends == RangeEnds::ByClock && run.spent_at.is_some_and(is_earlier)
}

/// Only what moves with the clock goes on by itself, and only forward, without a hole between. A snapshot is of one day.
fn may_be_extended(run: &RunRecord, ask: &Ask<'_>) -> bool {
    let moves = run.begun.ends == RangeEnds::ByClock && ask.ends == RangeEnds::ByClock;
    let is_its_day = run.begun.began_at.day_start() == ask.now.day_start();
    let may_move = ask.history == History::Replaced || is_its_day;
    moves && may_move && goes_on_forward(run.begun.range, ask.range) && has_regions(run, ask.regions)
}

/// Whether a range goes on where another one was, up to the same end or a later one.
pub(super) fn goes_on_forward(had: TimeRange, asked: TimeRange) -> bool {
    had.start <= asked.start && asked.start <= had.end && had.end <= asked.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::NewRun;
    use crate::plan::reads::Reads;
    use crate::units::DAY_SECONDS;

    const NOW: i64 = 100 * DAY_SECONDS;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    fn regions(codes: &[&str]) -> Vec<Region> {
        codes.iter().map(|code| code.parse().unwrap()).collect()
    }

    fn run(within: TimeRange, ends: RangeEnds, outcome: Option<RunOutcome>) -> RunRecord {
        let reads = regions(&["US", "GB"]).into_iter().map(|region| Reads::whole(region, within)).collect();
        let (id, output, partition) = ("r1".to_owned(), String::new(), String::new());
        let begun = NewRun { id, range: within, reads, ends, began_at: EpochSeconds::new(NOW), output, partition };
        RunRecord { begun, outcome, spent_at: None }
    }

    fn asked<'a>(regions: &'a [Region], within: TimeRange, ends: RangeEnds) -> Ask<'a> {
        let (reread, history) = (None, History::Replaced);
        Ask { regions, range: within, ends, start: Start::GoOn, reread, history, now: EpochSeconds::new(NOW) }
    }

    use RangeEnds::{Absolute, ByClock};

    #[test]
    fn the_first_start_of_a_state_begins_a_run() {
        let both = regions(&["US", "GB"]);
        let ask = asked(&both, range(0, 100), ByClock);
        assert_eq!(next(&ask, None, Holds::WhatWasLeft), Next::Begin(Keeps::Nothing));
        assert_eq!(next(&ask, None, Holds::AllByItsManifest), Next::Begin(Keeps::All), "nothing is bought again");
        assert_eq!(
            next(&ask, None, Holds::SomeByItsManifest),
            Next::Begin(Keeps::WhatItsRunRead),
            "nor what a lost run read"
        );
        let written = asked(&both, range(0, 100), Absolute);
        assert_eq!(next(&written, None, Holds::SomeByItsManifest), Next::Begin(Keeps::All));
        assert_eq!(next(&written, None, Holds::AllByItsManifest), Next::Begin(Keeps::All));
        let insisting = Ask { reread: Some(Reread::All), ..written };
        assert_eq!(next(&insisting, None, Holds::AllByItsManifest), Next::Begin(Keeps::Nothing), "a person says so");
        let fresh = Ask { start: Start::Fresh, ..ask };
        assert_eq!(next(&fresh, None, Holds::AllByItsManifest), Next::Begin(Keeps::Nothing));
        let complete = run(range(0, 100), ByClock, Some(RunOutcome::Complete));
        assert_eq!(next(&fresh, Some(&complete), Holds::WhatWasLeft), Next::Begin(Keeps::Nothing));
    }

    #[test]
    fn an_unfinished_run_of_the_asked_seconds_is_gone_on_with() {
        let turned = regions(&["GB", "US"]);
        for ends in [Absolute, ByClock] {
            let unfinished = run(range(0, 100), ends, None);
            assert_eq!(next(&asked(&turned, range(0, 100), ends), Some(&unfinished), Holds::WhatWasLeft), Next::GoOn);
        }
    }

    #[test]
    fn an_unfinished_run_that_keeps_what_is_gone_makes_room() {
        let both = regions(&["US", "GB"]);
        for ends in [Absolute, ByClock] {
            let unfinished = run(range(0, 100), ends, None);
            let of = |ask: Ask<'_>| next(&ask, Some(&unfinished), Holds::LessThanItKeeps);
            assert_eq!(of(asked(&both, range(0, 100), ends)), Next::CloseAndBegin(Keeps::All), "what it read is kept");
        }
        let moves = run(range(0, 100), ByClock, None);
        let moved = next(&asked(&both, range(0, 130), ByClock), Some(&moves), Holds::LessThanItKeeps);
        assert_eq!(moved, Next::CloseAndBegin(Keeps::WhatItsRunRead));
    }

    #[test]
    fn an_unfinished_run_is_extended_where_its_range_moves_with_the_clock() {
        let both = regions(&["US", "GB"]);
        let unfinished = |ends| run(range(0, 100), ends, None);
        let of = |within, ends| next(&asked(&both, within, ends), Some(&unfinished(ByClock)), Holds::WhatWasLeft);
        for moved in [range(0, 101), range(30, 130), range(100, 200), range(5, 100)] {
            assert_eq!(of(moved, ByClock), Next::Extend, "{moved}");
        }
        for other in [range(101, 200), range(-1, 120), range(10, 90)] {
            assert_eq!(of(other, ByClock), Next::CloseAndBegin(Keeps::Nothing), "{other}");
        }
        assert_eq!(of(range(30, 130), Absolute), Next::CloseAndBegin(Keeps::All));
        let one = regions(&["US"]);
        let less = next(&asked(&one, range(30, 130), ByClock), Some(&unfinished(ByClock)), Holds::WhatWasLeft);
        assert_eq!(less, Next::CloseAndBegin(Keeps::Nothing));
        let backfill = next(&asked(&both, range(30, 130), ByClock), Some(&unfinished(Absolute)), Holds::WhatWasLeft);
        assert_eq!(backfill, Next::CloseAndBegin(Keeps::Nothing));
    }

    #[test]
    fn a_run_that_spent_its_credits_makes_room_on_a_later_day() {
        let both = regions(&["US", "GB"]);
        let spent = |ends, at| RunRecord { spent_at: Some(EpochSeconds::new(at)), ..run(range(0, 100), ends, None) };
        let of = |ends, at| next(&asked(&both, range(0, 130), ends), Some(&spent(ends, at)), Holds::WhatWasLeft);
        assert_eq!(of(ByClock, NOW), Next::Extend, "the same day");
        assert_eq!(of(ByClock, NOW - 1), Next::CloseAndBegin(Keeps::Nothing));
        let same = next(&asked(&both, range(0, 100), Absolute), Some(&spent(Absolute, NOW - 1)), Holds::WhatWasLeft);
        assert_eq!(same, Next::GoOn, "a backfill goes on day after day");
    }

    #[test]
    fn a_run_that_has_ended_is_looked_at_again_where_the_same_is_asked() {
        let both = regions(&["US", "GB"]);
        for (ends, outcome) in [(Absolute, RunOutcome::Complete), (ByClock, RunOutcome::Incomplete)] {
            let ended = run(range(0, 100), ends, Some(outcome));
            let of = |within, holds| next(&asked(&both, within, ends), Some(&ended), holds);
            assert_eq!(of(range(0, 100), Holds::WhatWasLeft), Next::LookAgain);
            assert_eq!(of(range(0, 100), Holds::LessThanItSays), Next::Begin(Keeps::All));
            let rule = if ends == Absolute { Keeps::All } else { Keeps::Nothing };
            assert_eq!(of(range(0, 101), Holds::WhatWasLeft), Next::Begin(rule));
        }
        let closed = run(range(0, 100), Absolute, Some(RunOutcome::Closed));
        let ask = asked(&both, range(0, 100), Absolute);
        assert_eq!(next(&ask, Some(&closed), Holds::WhatWasLeft), Next::Begin(Keeps::All));
        let again = Ask { reread: Some(Reread::All), ..asked(&both, range(0, 100), Absolute) };
        let ended = |outcome| run(range(0, 100), Absolute, Some(outcome));
        assert_eq!(next(&again, Some(&ended(RunOutcome::Complete)), Holds::WhatWasLeft), Next::Begin(Keeps::Nothing));
        let gaps = next(&again, Some(&ended(RunOutcome::Incomplete)), Holds::WhatWasLeft);
        assert_eq!(gaps, Next::LookAgain, "its gaps come first");
        let in_doubt = next(&again, Some(&ended(RunOutcome::Incomplete)), Holds::NoGap);
        assert_eq!(in_doubt, Next::Begin(Keeps::Nothing), "what is in doubt is read anew");
        assert_eq!(next(&ask, Some(&ended(RunOutcome::Incomplete)), Holds::NoGap), Next::LookAgain, "nobody said so");
    }

    #[test]
    fn a_snapshot_is_a_whole_answer_of_one_day() {
        let both = regions(&["US", "GB"]);
        let ask = |within, ends| Ask { history: History::Kept, ..asked(&both, within, ends) };
        let unfinished = run(range(0, 100), ByClock, None);
        assert_eq!(next(&ask(range(0, 130), ByClock), Some(&unfinished), Holds::WhatWasLeft), Next::Extend);
        let later = Ask { now: EpochSeconds::new(NOW + DAY_SECONDS), ..ask(range(0, 130), ByClock) };
        assert_eq!(next(&later, Some(&unfinished), Holds::WhatWasLeft), Next::CloseAndBegin(Keeps::Nothing));
        let complete = run(range(0, 100), Absolute, Some(RunOutcome::Complete));
        let of = |ask: &Ask<'_>| next(ask, Some(&complete), Holds::WhatWasLeft);
        assert_eq!(of(&ask(range(0, 100), Absolute)), Next::LookAgain, "nobody said that it be read again");
        assert_eq!(of(&ask(range(0, 130), Absolute)), Next::Begin(Keeps::Nothing));
        let insisting = Ask { reread: Some(Reread::All), ..ask(range(0, 100), Absolute) };
        assert_eq!(of(&insisting), Next::Begin(Keeps::Nothing));
    }
}
