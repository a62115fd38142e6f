//! Why seconds that were read are listed: what is missing of their proof, and what would settle it.

use serde::{Deserialize, Serialize};

/// What is missing that would prove seconds whole. The names are stored: a new meaning is a new variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lacks {
    /// Any page of it.
    Reading,
    /// A row or a bound before its rows.
    ToBefore,
    /// A row or an end after its rows.
    ToAfter,
    /// Pages without free places.
    FullPages,
    /// Rows: fewer are known than stood there.
    Rows,
    /// An order of its rows that stays.
    StableTies,
    /// One page that holds all its rows, where nothing less proves them: at `atomic`.
    OnePage,
    /// Short pages that leave nothing out.
    WholePages,
    /// Another look at time without rows, or nearly, since one of the pages around it answered another question.
    SecondReading,
}

impl Lacks {
    /// Its name, as it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::ToBefore => "to_before",
            Self::ToAfter => "to_after",
            Self::FullPages => "full_pages",
            Self::Rows => "rows",
            Self::StableTies => "stable_ties",
            Self::OnePage => "one_page",
            Self::WholePages => "whole_pages",
            Self::SecondReading => "second_reading",
        }
    }

    /// What is missing, and what would settle it, for a person.
    pub fn why(self) -> &'static str {
        match self {
            Self::Reading => "no page shows these seconds; a page that goes across them would settle it",
            Self::ToBefore => "no page shows what stands before its rows; a page that begins earlier would settle it",
            Self::ToAfter => {
                "no page shows what stands after its rows; a page that goes on beyond them would settle it"
            }
            Self::FullPages => "pages were short here, and may leave rows out; full pages would settle it",
            Self::Rows => {
                "fewer rows came than stood here, since some came twice; a page that holds all of them would settle it"
            }
            Self::StableTies => {
                "its rows came in another order each time, so one may have been passed over; a page that holds all of them would \
                 settle it"
            }
            Self::OnePage => {
                "its rows do not fit one page, so rows that came or went between its pages may have moved others; a page that holds all \
                 of them would settle it"
            }
            Self::SecondReading => {
                "pages here answered another question, and those around it leap further than their rows explain; another look would \
                 settle it"
            }
            Self::WholePages => {
                "pages were short here, and short pages of this service leave rows out; full pages would settle it"
            }
        }
    }
}
