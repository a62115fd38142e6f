//! Completeness as evidence: which seconds follow from what was seen, and on what that rests. Pure.
//!
//! It has no budget and asks for nothing. A [`ledger::Ledger`] takes pages and says which seconds are certified, by which rule, and what
//! the others lack. The plan's gate asks it about a window that ends, the simulation's checker about a whole run.
//!
//! In short, per file: `observation` is one page; `readings` and `placement` put pages to ranks; `zone` holds the rules OnePage, Filled,
//! Between, End and Habit, `both_ends` and `whole` the others, `ends` and `habit` what these need; `certificate` tries them all;
//! `plain` saves asking for each second of a page that shows nothing odd; `disagreement` finds looks that contradict each other, and
//! what else the pages refute; `premise` is what certificates rest on; `ledger` keeps what is covered; `run` keeps the pages of one window
//! while it is read, as far as they are of use.
//!
//! `proof` tries the rules in small worlds. Each premise is needed; without it, this is a small false claim that was found:
//!
//! | premise left out | a false claim, with pages of two rows |
//! | --- | --- |
//! | Order | the list's last row comes first on page 1 and stands there in the place of another |
//! | Dates | of two rows of second 1 the later page would show more; one shows 0 and seems to bracket the other |
//! | Bounds | the newest page lacks its first row, which is of the last second |
//! | NoDeletion | two rows of a second go between the reading from its one end and that from its other: a third is in neither |
//! | NoInsertion | page 2 is asked before page 1, and a row that comes in between moves another past page 1 |
//! | EmptyIsEnd | the only row is always left out: all first pages are empty |
//! | StableTies | a row that cannot be placed stands on two pages, and pushes another out between them |
//! | MirroredTies | readings from either end meet in a row, and in another order a third stood behind it |
//! | ShortHidesNothing | pages with a free place leave a row out, the same one in every reading |
//! | AnswersWhole | a page without one row of a second that its rows bracket |
//! | TroublePasses | two first pages are wrongly empty, further apart in time than two witnesses must be |
//!
//! What the worlds and their making found unsound in the rules as they were first written down, and how they were mended:
//!
//! - *The newest page begins with the last row, so the last second is whole.* Three rows of one second, page 1 `[0, 1]`, page 2 wrongly
//!   empty, the newest page `[1, 0]`: row 2 is missing. Where ties move any row of the second may come last. Two such witnesses
//!   prove that nothing lies after the second; the second itself takes two looks that each show the same rows of it, or stable ties.
//! - *Ids of all readings fill the places of one.* A first reading shows `[p, p]` in place of `[p, q]`; a row that is inserted later and
//!   seen by another reading fills the place of `q`. Only rows that came before the reading began are counted.
//! - *Free places that hide nothing may be left out of the count, and rows that cannot be placed.* What takes a place and cannot be told
//!   from others may come twice, as a row may, and push a row out between two pages. Over several pages this rests on stable ties as well.
//! - *Two witnesses of an end exclude the service's last page and passing trouble.* They exclude either, not both at once: a list that ends
//!   at the last page that is served, and another one that lacks its later rows for a while. What rests on two witnesses says so in
//!   `EmptyIsEnd`; a third witness would exclude it.
//! - *Two lists that end at one row confirm each other.* The list that ends earlier ends there truly, the other one at the service's
//!   last page. Both must have been asked to the same end.

pub mod certificate;
pub mod disagreement;
pub mod ends;
pub mod ledger;
pub mod observation;
pub mod placement;
mod plain;
pub mod premise;
pub mod readings;
pub mod recording;
pub mod run;
mod whole;
mod zone;

#[cfg(test)]
mod proof;
#[cfg(test)]
mod testing;
