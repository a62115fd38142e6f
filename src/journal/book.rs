//! The arithmetic of the credit ledger: what may be sent, what was sent, and what a crash may have cost.
//!
//! Pure. The invariant that bounds a run's cost over any number of crashes: *no attempt is sent that a durable reservation
//! does not hold*, and the durable reservation never exceeds the run's largest number of credits. At every moment
//! `reserved = ended + lost + in flight + unsent`.

use serde::{Deserialize, Serialize};

use crate::units::Credits;

/// How an attempt ended, as far as the ledger cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The service answered with rows, usable or not.
    PageWithRows,
    /// The service answered with no row.
    EmptyPage,
    /// The service asked to slow down.
    Throttled,
    /// Transport trouble, a broken answer, or trouble on the service's side.
    Failed,
    /// An answer that belongs to another question.
    Astray,
    /// The service refused the request.
    Refused,
    /// The service says that the quota is used up.
    Quota,
}

/// Whether a page is asked for the first time or again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// For the first time.
    First,
    /// After an attempt that brought no page.
    Again,
}

/// Attempts that ended, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// All of them.
    pub(super) attempts: u64,
    /// Those that brought a page.
    pub(super) pages: u64,
    /// Those that brought a page with rows.
    pub(super) pages_with_rows: u64,
    /// Those that asked again for a page.
    pub(super) retries: u64,
    /// Those that the service throttled.
    pub(super) throttled: u64,
    /// Those whose answer belonged to another question, and that were asked again.
    pub(super) astray: u64,
}

/// What of the book is durable: one row of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Attempts that may have been sent: ended ones, and those that nobody saw the end of.
    pub(super) reserved: u64,
    /// Attempts that ended.
    pub(super) tally: Tally,
}

/// What a person may set, anew at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most credits that one run may cost over all its starts; none is no bound.
    pub max_credits: Option<Credits>,
    /// Attempts in one durable reservation, at least 1: `max_in_flight`.
    pub block: u32,
}

/// The ledger's numbers, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Attempts that were sent and ended, over all starts of the run.
    pub attempts: u64,
    /// Attempts that brought a page, empty ones too.
    pub answered_pages: u64,
    /// Attempts that brought a page with rows.
    pub pages_with_rows: u64,
    /// Attempts that asked again for a page.
    pub retries: u64,
    /// Attempts that the service throttled.
    pub throttled: u64,
    /// Attempts whose answer belonged to another question, so that the page was asked again.
    pub astray: u64,
    /// Reserved attempts that nobody saw the end of; they count against `max_credits`.
    pub possibly_charged: u64,
}

/// The outcome of asking the book for one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// It may be sent.
    Taken,
    /// A durable reservation must be made first.
    NeedsReservation,
    /// The copy that is kept elsewhere must know of more first.
    BeyondCopy,
    /// The run has no credit left.
    Exhausted {
        /// What the run may have cost so far.
        spent: Credits,
        /// What it may cost.
        max: Credits,
    },
}

/// One run's ledger in memory.
#[derive(Clone, Debug)]
pub(super) struct Book {
    limits: Limits,
    /// Attempts up to which a copy that is kept elsewhere holds a reservation; none where there is no copy.
    ceiling: Option<u64>,
    has_ended: bool,
    reserved: u64,
    unsent: u64,
    lost: u64,
    tally: Tally,
}

impl Book {
    /// Opens the book of a run from what is durable: whatever was reserved and did not end is possibly charged.
    ///
    /// Nothing can be taken before [`Book::limit`].
    pub(super) fn recover(account: Account) -> Self {
        let lost = account.reserved.saturating_sub(account.tally.attempts);
        let limits = Limits { max_credits: Some(Credits::ZERO), block: 0 };
        Self {
            limits,
            ceiling: None,
            has_ended: false,
            reserved: account.reserved,
            unsent: 0,
            lost,
            tally: account.tally,
        }
    }

    /// The same of a journal of which a copy is kept elsewhere: nothing can be taken before the copy holds a reservation.
    pub(super) fn with_a_copy(self) -> Self {
        Self { ceiling: Some(0), ..self }
    }

    /// Sets what a person may set. What is reserved already stays reserved.
    pub(super) fn limit(&mut self, limits: Limits) {
        self.limits = Limits { block: limits.block.max(1), ..limits };
        self.has_ended = false;
    }

    /// Takes one attempt from the reservation, if it holds one.
    pub(super) fn take(&mut self) -> Take {
        let is_beyond_copy = self.ceiling.is_some_and(|ceiling| self.sent() >= ceiling);
        if self.unsent > 0 && !is_beyond_copy {
            self.unsent -= 1;
            return Take::Taken;
        }
        match self.limits.max_credits {
            Some(max) if self.sent() >= max.get() => Take::Exhausted { spent: Credits::new(self.reserved), max },
            _ if is_beyond_copy => Take::BeyondCopy,
            _ => Take::NeedsReservation,
        }
    }

    /// Attempts that were taken, whatever became of them.
    fn sent(&self) -> u64 {
        self.reserved.saturating_sub(self.unsent)
    }

    /// Up to where a copy may let this book go that knows of every attempt which has ended: what is on its way is at risk too.
    pub(super) fn ahead(&self, at_risk: u64) -> u64 {
        let ended = self.tally.attempts + self.lost;
        if self.has_ended {
            return ended;
        }
        let most = self.limits.max_credits.map_or(u64::MAX, |max| max.get().saturating_sub(ended));
        ended.saturating_add(at_risk.min(most))
    }

    /// The copy holds a reservation of so many.
    pub(super) fn let_go_up_to(&mut self, ceiling: u64) {
        self.ceiling = self.ceiling.map(|before| before.max(ceiling));
    }

    /// Whether more than half of what may be sent beyond the copy was sent, so that it should know of more.
    pub(super) fn nears_its_ceiling(&self, at_risk: u64) -> bool {
        let is_near =
            |ceiling: u64| ceiling.saturating_sub(self.sent()) <= at_risk / 2 && self.ahead(at_risk) > ceiling;
        self.ceiling.is_some_and(is_near)
    }

    /// How many attempts a reservation made now would add: what fills the block, within the run's credits. Attempts in flight
    /// are part of the block, so that a crash leaves no more than one block in doubt.
    pub(super) fn refill(&self) -> u64 {
        let room = u64::from(self.limits.block).saturating_sub(self.unsent + self.in_flight());
        room.min(self.left())
    }

    /// The same for somebody who waits for an attempt, and gets one also where more than the block is in flight already, which
    /// no caller that bounds its requests by the block does.
    pub(super) fn refill_for_one(&self) -> u64 {
        let missing = u64::from(self.unsent == 0 && self.limits.block > 0);
        self.refill().max(missing.min(self.left()))
    }

    fn left(&self) -> u64 {
        self.limits.max_credits.map_or(u64::MAX, |max| max.get().saturating_sub(self.reserved))
    }

    /// Attempts that were taken and whose end is not known yet.
    pub(super) fn in_flight(&self) -> u64 {
        self.reserved.saturating_sub(self.tally.attempts + self.lost + self.unsent)
    }

    /// Adds attempts that are durably reserved: call it only after the commit.
    pub(super) fn grant(&mut self, attempts: u64) {
        self.reserved = self.reserved.saturating_add(attempts);
        self.unsent = self.unsent.saturating_add(attempts);
    }

    /// Records the end of a taken attempt.
    pub(super) fn settle(&mut self, asking: Asking, how: AttemptEnd) {
        self.tally.attempts += 1;
        self.tally.pages += u64::from(matches!(how, AttemptEnd::PageWithRows | AttemptEnd::EmptyPage));
        self.tally.pages_with_rows += u64::from(how == AttemptEnd::PageWithRows);
        self.tally.retries += u64::from(asking == Asking::Again);
        self.tally.throttled += u64::from(how == AttemptEnd::Throttled);
        self.tally.astray += u64::from(how == AttemptEnd::Astray);
    }

    /// Records a taken attempt that nobody saw the end of.
    pub(super) fn lose(&mut self) {
        self.lost += 1;
    }

    /// Gives back what is reserved and not sent.
    pub(super) fn give_back(&mut self) {
        self.reserved = self.reserved.saturating_sub(self.unsent);
        self.unsent = 0;
    }

    /// What a commit writes: the book as it stands, with `more` attempts reserved.
    pub(super) fn account(&self, more: u64) -> Account {
        Account { reserved: self.reserved.saturating_add(more), tally: self.tally }
    }

    /// The run has ended: what is reserved and not sent is given back, and a copy lets nothing more be sent before the next limits.
    pub(super) fn end(&mut self) {
        self.give_back();
        self.has_ended = true;
    }

    /// The numbers, for people.
    pub(super) fn counts(&self) -> Counts {
        counts(&self.tally, self.lost)
    }
}

impl Account {
    /// The numbers of a run that is not open here: all that did not end may be charged.
    pub(super) fn counts(&self) -> Counts {
        counts(&self.tally, self.reserved.saturating_sub(self.tally.attempts))
    }
}

fn counts(tally: &Tally, possibly_charged: u64) -> Counts {
    Counts {
        attempts: tally.attempts,
        answered_pages: tally.pages,
        pages_with_rows: tally.pages_with_rows,
        retries: tally.retries,
        throttled: tally.throttled,
        astray: tally.astray,
        possibly_charged,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One thing that may happen to a run.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Send,
        End,
        Vanish,
        /// A commit that refills along the way, and lands.
        Commit,
        /// A commit for somebody who waits for an attempt.
        Reserve,
        /// A commit that lands while the process dies before it learns so.
        CommitThenCrash,
        Crash,
        Close,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => Just(Step::Send),
            5 => Just(Step::End),
            1 => Just(Step::Vanish),
            3 => Just(Step::Commit),
            1 => Just(Step::Reserve),
            1 => Just(Step::CommitThenCrash),
            1 => Just(Step::Crash),
            1 => Just(Step::Close),
        ]
    }

    /// A run with its disk, its process, and the service that counts what reaches it.
    struct World {
        limits: Limits,
        disk: Account,
        book: Book,
        in_flight: u64,
        sent: u64,
        unseen: u64,
    }

    impl World {
        fn new(limits: Limits) -> Self {
            let mut world = Self {
                limits,
                disk: Account::default(),
                book: Book::recover(Account::default()),
                in_flight: 0,
                sent: 0,
                unseen: 0,
            };
            world.start();
            world
        }

        fn start(&mut self) {
            self.unseen += self.in_flight;
            self.in_flight = 0;
            self.book = Book::recover(self.disk);
            self.book.limit(self.limits);
        }

        fn step(&mut self, step: Step) {
            match step {
                Step::Send => {
                    if self.book.take() == Take::Taken {
                        self.sent += 1;
                        self.in_flight += 1;
                    }
                }
                Step::Reserve => self.commit(self.book.refill_for_one()),
                Step::End if self.in_flight > 0 => {
                    self.in_flight -= 1;
                    self.book.settle(Asking::First, AttemptEnd::PageWithRows);
                }
                Step::Vanish if self.in_flight > 0 => {
                    self.in_flight -= 1;
                    self.unseen += 1;
                    self.book.lose();
                }
                Step::Commit => self.commit(self.book.refill()),
                Step::CommitThenCrash => {
                    self.disk = self.book.account(self.book.refill());
                    self.start();
                }
                Step::Crash => self.start(),
                Step::Close => {
                    self.book.give_back();
                    self.disk = self.book.account(0);
                    self.start();
                }
                Step::End | Step::Vanish => {}
            }
        }

        fn commit(&mut self, more: u64) {
            self.disk = self.book.account(more);
            self.book.grant(more);
        }
    }

    fn limits(max: u64, block: u32) -> Limits {
        Limits { max_credits: Some(Credits::new(max)), block }
    }

    proptest! {
        #[test]
        fn no_schedule_of_crashes_sends_more_than_the_run_may_cost(
            max in 0_u64..60, block in 1_u32..20, steps in prop::collection::vec(any_step(), 0..400),
        ) {
            let mut world = World::new(limits(max, block));
            for step in steps {
                world.step(step);
                prop_assert!(world.sent <= max, "sent {} of {max}", world.sent);
                prop_assert!(world.sent <= world.disk.reserved, "an attempt was sent that the disk does not know");
                prop_assert!(world.disk.reserved <= max);
                prop_assert!(world.book.unsent <= u64::from(block));
                let known = world.book.tally.attempts + world.book.lost + world.in_flight + world.book.unsent;
                prop_assert_eq!(world.book.reserved, known);
            }
        }

        #[test]
        fn starts_that_close_cleanly_use_every_credit(
            max in 0_u64..40, block in 1_u32..20, closes in prop::collection::vec(0_usize..9, 0..40),
        ) {
            let mut world = World::new(limits(max, block));
            for requests in closes {
                for _ in 0..requests {
                    [Step::Commit, Step::Send, Step::End].into_iter().for_each(|step| world.step(step));
                }
                world.step(Step::Close);
                prop_assert_eq!(world.disk.reserved, world.sent);
                prop_assert_eq!(world.book.counts().possibly_charged, 0);
            }
        }

        #[test]
        fn a_crash_leaves_at_most_one_block_in_doubt_and_hides_no_attempt(
            block in 1_u32..20, max in prop::option::of(0_u64..300), steps in prop::collection::vec(any_step(), 0..400),
        ) {
            let max_credits = max.map(Credits::new);
            let mut world = World::new(Limits { max_credits, block });
            for step in steps {
                // No caller has more requests on their way than the block holds.
                let is_full = world.in_flight >= u64::from(block);
                let (is_crash, lost) = (matches!(step, Step::Crash | Step::CommitThenCrash), world.book.lost);
                if !(is_full && matches!(step, Step::Send | Step::Reserve)) {
                    world.step(step);
                }
                if is_crash {
                    let in_doubt = world.book.counts().possibly_charged;
                    prop_assert!(in_doubt <= lost + u64::from(block), "{in_doubt} in doubt, {lost} of former crashes");
                    // Whatever was sent is counted: as an attempt whose end is known, or as one in doubt.
                    prop_assert!(world.sent <= world.book.tally.attempts + in_doubt);
                }
                let counts = world.book.counts();
                prop_assert!(counts.pages_with_rows <= counts.answered_pages && counts.answered_pages <= counts.attempts);
                prop_assert_eq!(counts.attempts + counts.possibly_charged + world.in_flight + world.book.unsent, world.book.reserved);
            }
        }

        #[test]
        fn whoever_may_send_is_never_left_without_a_reservation(
            max in 1_u64..60, block in 1_u32..20, steps in prop::collection::vec(any_step(), 0..200),
        ) {
            let mut world = World::new(limits(max, block));
            for step in steps {
                world.step(step);
                let mut book = world.book.clone();
                if book.take() == Take::NeedsReservation {
                    book.grant(book.refill_for_one());
                    prop_assert_eq!(book.take(), Take::Taken, "asking for a reservation would go on for ever");
                }
            }
        }
    }

    #[test]
    fn an_exhausted_run_says_what_it_may_have_cost() {
        let mut book = Book::recover(Account { reserved: 7, tally: Tally { attempts: 5, ..Tally::default() } });
        book.limit(limits(8, 4));
        assert_eq!(book.counts().possibly_charged, 2);
        assert_eq!(book.take(), Take::NeedsReservation);
        book.grant(book.refill());
        assert_eq!(book.take(), Take::Taken);
        assert_eq!(book.take(), Take::Exhausted { spent: Credits::new(8), max: Credits::new(8) });
    }

    #[test]
    fn each_end_is_counted_where_it_belongs() {
        let mut book = Book::recover(Account::default());
        book.settle(Asking::First, AttemptEnd::Throttled);
        book.settle(Asking::Again, AttemptEnd::Failed);
        book.settle(Asking::Again, AttemptEnd::PageWithRows);
        book.settle(Asking::First, AttemptEnd::EmptyPage);
        let expected = Counts {
            attempts: 4,
            answered_pages: 2,
            pages_with_rows: 1,
            retries: 2,
            throttled: 1,
            astray: 0,
            possibly_charged: 0,
        };
        assert_eq!(book.counts(), expected);
    }

    #[test]
    fn a_book_without_limits_reserves_nothing() {
        let mut book = Book::recover(Account::default());
        assert_eq!(book.refill(), 0);
        assert!(matches!(book.take(), Take::Exhausted { .. }));
    }
}
