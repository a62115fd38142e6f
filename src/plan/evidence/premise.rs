//! What certificates rest on, and what takes it away. Pure.

use std::collections::BTreeSet;

use super::observation::ObservationId;
use crate::plan::fact::VideoKey;
use crate::units::{EpochSeconds, TimeRange};

/// What a certificate takes for granted. Each is needed: `proof/premises.rs` drops them one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Premise {
    /// Every answer that it uses sorts the rows by their seconds.
    Order,
    /// Of the rows that bracket it on one side not all show a wrong second, and a row that it counts from another reading shows
    /// its own.
    Dates,
    /// A series answers every row of its sure seconds, and its first page begins with the first of them.
    Bounds,
    /// No row went while the pages that it uses were read.
    NoDeletion,
    /// No row came meanwhile; only where pages were not asked in turn.
    NoInsertion,
    /// An empty page that a second witness confirms is the end: no answer that is always wrongly empty there, nor the service's last
    /// page while passing trouble deceives the other witness.
    EmptyIsEnd,
    /// Rows of one second stand in one order wherever they are asked the same way round.
    StableTies,
    /// They do so whichever way round they are asked.
    MirroredTies,
    /// The free places of the pages that it uses hide no row.
    ShortHidesNothing,
    /// The answers that it uses hold all rows that were there.
    AnswersWhole,
    /// No trouble that takes rows out of answers lasts as long as two witnesses are apart.
    TroublePasses,
}

/// Which rule made a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Every place that may be of the second lies on one full page.
    OnePage,
    /// As many ids are known of the zone as it has places.
    Filled,
    /// Nothing stands between two rows that follow each other on two pages.
    Between,
    /// The last row, by two witnesses.
    End,
    /// A reading from either end of one second, and they overlap.
    BothEnds,
    /// As the others, where free places are believed to be empty.
    Habit,
    /// A list from its first page to its end, in whatever order, with each row once.
    Whole,
}

/// Why a second's rows are all seen: every row of it that was there throughout the observations is among the rows that any
/// observation showed, if the premises hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Certificate {
    /// What it speaks about.
    pub seconds: TimeRange,
    /// Which rule made it.
    pub rule: Rule,
    /// What it takes for granted.
    pub premises: BTreeSet<Premise>,
    /// Rows whose dates it uses: of each group one at least must be right.
    pub dated: BTreeSet<BTreeSet<VideoKey>>,
    /// The observations that it uses, and when they were made.
    pub observations: BTreeSet<(EpochSeconds, ObservationId)>,
}

/// Something that turned out not to hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refutation {
    /// A premise, for the whole region.
    Premise(Premise),
    /// The date of this row.
    Date(VideoKey),
    /// That answers were whole, from the first to the last of these moments.
    Answers(EpochSeconds, EpochSeconds),
}

impl Certificate {
    /// Whether nothing that it rests on is refuted.
    pub fn stands(&self, refuted: &BTreeSet<Refutation>) -> bool {
        let is_wrong = |video: &VideoKey| refuted.contains(&Refutation::Date(*video));
        let is_dated =
            !self.premises.contains(&Premise::Dates) || !self.dated.iter().any(|group| group.iter().all(is_wrong));
        is_dated && refuted.iter().all(|refutation| !self.is_hit(refutation))
    }

    /// What it rests on that is refuted.
    pub fn refuted(&self, refuted: &BTreeSet<Refutation>) -> Option<Premise> {
        let hit = refuted.iter().find(|refutation| self.is_hit(refutation));
        match hit {
            Some(Refutation::Premise(premise)) => Some(*premise),
            Some(Refutation::Answers(..)) => Some(Premise::AnswersWhole),
            _ if self.stands(refuted) => None,
            _ => Some(Premise::Dates),
        }
    }

    fn is_hit(&self, refutation: &Refutation) -> bool {
        match refutation {
            Refutation::Premise(premise) => self.premises.contains(premise),
            Refutation::Date(_) => false,
            Refutation::Answers(from, until) => {
                let mut made = self.observations.iter().map(|(made, _)| made);
                self.premises.contains(&Premise::AnswersWhole) && made.any(|made| from <= made && made <= until)
            }
        }
    }

    /// The moments of its first and its last observation; none only where it has no observation.
    pub fn made(&self) -> Option<(EpochSeconds, EpochSeconds)> {
        Some((self.observations.first()?.0, self.observations.last()?.0))
    }
}

/// What a second lacks that no certificate covers; each has a cheapest question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// No series has come near it.
    Reading,
    /// A row of an earlier second before it, or the bound that was asked.
    OlderBracket,
    /// A row of a later second after it.
    NewerBracket,
    /// Pages without free places: so many are free where its rows stand.
    FullPages(u32),
    /// So many ids, to fill the places that may be of it.
    Ids(u32),
    /// A second reading, so many seconds apart from the first.
    SecondReading(i64),
    /// A second witness of the end, so many seconds apart from the first.
    EndWitness(i64),
    /// What certified it rests on this, and it is refuted.
    Withdrawn(Premise),
}

impl Missing {
    /// How near a second that lacks this is to being certified: the larger, the nearer; of two alike the one that lacks less.
    pub fn nearness(self) -> (u8, i64) {
        match self {
            Self::Reading => (0, 0),
            Self::OlderBracket => (1, 0),
            Self::NewerBracket => (2, 0),
            Self::FullPages(places) => (3, -i64::from(places)),
            Self::Ids(ids) => (4, -i64::from(ids)),
            Self::EndWitness(_) => (5, 0),
            Self::SecondReading(_) => (6, 0),
            Self::Withdrawn(_) => (7, 0),
        }
    }
}
