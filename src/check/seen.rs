//! What was seen so far, and which of it answers its question. Pure.
//!
//! Rules read it as if everything had been asked: what was not is handed back as [`Halt::Ask`] and is the next question. So a rule is
//! both the plan of its questions and the verdict on their answers, and is a function of the observations alone.

use super::answer::{Answer, AnswerOutcome, Page, Row};
use super::question::Question;

/// How often a question is asked whose answers seem to belong to another one.
const MOST_ASTRAY: usize = 3;
/// Refusals that show that it is the question which is refused: one may be an accident.
const REFUSALS: usize = 2;
/// The most that it takes beyond them of a service that refuses by accident.
const MOST_ACCIDENTS: usize = 3;

/// Why a rule cannot say its verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum Halt {
    /// Before this is asked.
    Ask(Box<Question>),
    /// At all, and why.
    Unknown(String),
}

impl Halt {
    /// Nothing more can be known, for this reason.
    pub fn unknown<T>(why: impl Into<String>) -> Result<T, Self> {
        Err(Self::Unknown(why.into()))
    }
}

/// All answers, in the order that they came.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    answers: Vec<Answer>,
}

/// A page that is taken for the answer to its question.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Which answer it is.
    pub number: usize,
    /// What came.
    pub page: &'a Page,
}

/// What came of a question.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    /// A page.
    Page(Sight<'a>),
    /// It is refused.
    Refused {
        /// Which answer it is.
        number: usize,
        /// The status, or the `code` inside a 200.
        code: u16,
        /// The service's words.
        message: &'a str,
    },
}

impl<'a> Heard<'a> {
    /// The page, where one came.
    pub fn page(self) -> Result<Sight<'a>, Halt> {
        match self {
            Self::Page(sight) => Ok(sight),
            Self::Refused { code, message, .. } => {
                Halt::unknown(format!("the question is refused with {code}: {message}"))
            }
        }
    }

    /// Which answer it is.
    pub fn number(&self) -> usize {
        match self {
            Self::Page(sight) => sight.number,
            Self::Refused { number, .. } => *number,
        }
    }
}

impl Seen {
    /// Takes an answer; its number.
    pub fn take(&mut self, answer: Answer) -> usize {
        self.answers.push(answer);
        self.answers.len() - 1
    }

    /// Every answer with its number.
    pub fn answers(&self) -> impl DoubleEndedIterator<Item = (usize, &Answer)> {
        self.answers.iter().enumerate()
    }

    /// The answer of this number.
    pub fn get(&self, number: usize) -> Option<&Answer> {
        self.answers.get(number)
    }

    /// Every page with its question, in the order that they came, but for answers that are astray.
    pub fn pages(&self) -> impl Iterator<Item = (Sight<'_>, &Question)> {
        self.answers().filter(|(number, _)| !self.is_astray(*number)).filter_map(|(number, answer)| {
            match &answer.outcome {
                AnswerOutcome::Page(page) => Some((Sight { number, page }, &answer.question)),
                _ => None,
            }
        })
    }

    /// What came of a question.
    ///
    /// # Errors
    /// [`Halt`] where it is to be asked first, or cannot be answered.
    pub fn heard(&self, question: &Question) -> Result<Heard<'_>, Halt> {
        self.heard_since(question, 0, REFUSALS)
    }

    /// The same, where one refusal is taken for an answer.
    ///
    /// # Errors
    /// Those of [`Seen::heard`].
    pub fn glanced(&self, question: &Question) -> Result<Heard<'_>, Halt> {
        self.heard_since(question, 0, 1)
    }

    /// The same, of an answer that came after the one of this number.
    ///
    /// # Errors
    /// Those of [`Seen::heard`].
    pub fn heard_after(&self, question: &Question, number: usize) -> Result<Heard<'_>, Halt> {
        self.heard_since(question, number + 1, REFUSALS)
    }

    /// The page that answers a question.
    ///
    /// # Errors
    /// Those of [`Seen::heard`]; a question that is refused.
    pub fn page(&self, question: &Question) -> Result<Sight<'_>, Halt> {
        self.heard(question)?.page()
    }

    fn heard_since(&self, question: &Question, first: usize, refusals: usize) -> Result<Heard<'_>, Halt> {
        let (mut astray, mut refused) = (0, 0);
        // One refusal is enough for whoever glances.
        let accidents = if refusals > 1 { self.accidents() } else { 0 };
        for (number, answer) in self.answers().skip(first).filter(|(_, answer)| answer.question == *question) {
            match &answer.outcome {
                AnswerOutcome::Page(page) => {
                    astray += usize::from(self.is_astray(number));
                    if !self.is_astray(number) || astray >= MOST_ASTRAY {
                        return Ok(Heard::Page(Sight { number, page }));
                    }
                }
                AnswerOutcome::Refused { code, message } => {
                    refused += 1;
                    if refused >= refusals + accidents {
                        return Ok(Heard::Refused { number, code: *code, message });
                    }
                }
                AnswerOutcome::Quota { message } => {
                    return Halt::unknown(format!("the key's quota is used up: {message}"));
                }
                AnswerOutcome::Failed { why } => return Halt::unknown(format!("no answer came: {why}")),
            }
        }
        Err(Halt::Ask(Box::new(question.clone())))
    }

    /// Whether an answer seems to belong to another question: it came before, its rows name another region although others name their
    /// own, half of its rows or more lie outside the asked time although the service keeps to that elsewhere, or it has none although a
    /// known one is asked for.
    pub fn is_astray(&self, number: usize) -> bool {
        let Some((answer, page)) = self.page_of(number) else { return false };
        if page.is_empty() {
            return self.lacks_known_rows(number);
        }
        let is_repeated = answer.request_id.is_some()
            && self.answers.iter().take(number).any(|other| other.request_id == answer.request_id);
        is_repeated
            || (names_another_region(&answer.question, page) && self.names_its_region())
            || (lies_outside(&answer.question, page) && !self.ignores_time())
    }

    /// Whether a question has been answered often enough with rows outside its time to say that the time is not kept to.
    pub fn ignores_time(&self) -> bool {
        let lie = |answer: &&Answer| matches!(&answer.outcome, AnswerOutcome::Page(page) if !page.is_empty() && lies_outside(&answer.question, page));
        let outside: Vec<&Answer> = self.answers.iter().filter(lie).collect();
        outside.iter().any(|answer| {
            let same = outside.iter().filter(|other| other.question == answer.question);
            same.count() >= MOST_ASTRAY
        })
    }

    /// How many refusals more it takes of a service that refuses by accident: the more questions it refused once and answered another
    /// time, the more often it does so several times in a row.
    fn accidents(&self) -> usize {
        let is_answered = |question: &Question| {
            let is_page = |answer: &Answer| matches!(answer.outcome, AnswerOutcome::Page(_));
            self.answers.iter().any(|answer| is_page(answer) && answer.question == *question)
        };
        let mut accidents: Vec<&Question> = Vec::new();
        for answer in &self.answers {
            let is_refused = matches!(answer.outcome, AnswerOutcome::Refused { .. });
            if is_refused && !accidents.contains(&&answer.question) && is_answered(&answer.question) {
                accidents.push(&answer.question);
            }
        }
        if accidents.is_empty() { 0 } else { (accidents.len() + 1).min(MOST_ACCIDENTS) }
    }

    /// Whether a question for a known row came without any once, and with rows another time.
    pub fn flickers(&self) -> bool {
        let has_rows = |question: &Question| {
            self.answers.iter().any(|answer| match &answer.outcome {
                AnswerOutcome::Page(page) => answer.question == *question && !page.is_empty(),
                _ => false,
            })
        };
        let lacks = |(number, answer): (usize, &Answer)| self.lacks_known_rows(number) && has_rows(&answer.question);
        self.answers().any(lacks)
    }

    /// Whether a first page came without rows although an earlier answer showed one a second or more within its bounds.
    fn lacks_known_rows(&self, number: usize) -> bool {
        let Some((answer, page)) = self.page_of(number) else { return false };
        let asked = &answer.question;
        let (Some(min), Some(max)) = (asked.min, asked.max) else { return false };
        let is_within = |row: &Row| min < row.second && row.second < max;
        let shows = |other: &Answer| match &other.outcome {
            AnswerOutcome::Page(page) => other.question.unit == asked.unit && page.rows.iter().any(is_within),
            _ => false,
        };
        page.is_empty() && asked.page == 1 && asked.filters.is_empty() && self.answers.iter().take(number).any(shows)
    }

    fn names_its_region(&self) -> bool {
        self.answers.iter().any(|answer| match &answer.outcome {
            AnswerOutcome::Page(page) => !page.rows.is_empty() && !names_another_region(&answer.question, page),
            _ => false,
        })
    }

    fn page_of(&self, number: usize) -> Option<(&Answer, &Page)> {
        let answer = self.answers.get(number)?;
        match &answer.outcome {
            AnswerOutcome::Page(page) => Some((answer, page)),
            _ => None,
        }
    }
}

fn names_another_region(question: &Question, page: &Page) -> bool {
    let another = |row: &&Row| row.region.as_deref().is_some_and(|region| region != question.region.as_str());
    page.rows.iter().filter(another).count() * 2 > page.rows.len()
}

fn lies_outside(question: &Question, page: &Page) -> bool {
    let outside = page.rows.iter().filter(|row| !question.covers(row.second)).count();
    // One may have a wrong date.
    outside > 1 && outside * 2 >= page.rows.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::question::Unit;
    use crate::check::testing::{page, row};

    fn question(min: i64, max: i64) -> Question {
        Question::new(&"US".parse().unwrap(), Unit::Seconds, (Some(min), Some(max)))
    }

    fn answer(question: &Question, outcome: AnswerOutcome, id: &str) -> Answer {
        Answer { question: question.clone(), outcome, request_id: Some(id.to_owned()), took_ms: 1 }
    }

    #[test]
    fn what_was_not_asked_is_the_next_question() {
        let mut seen = Seen::default();
        assert_eq!(seen.page(&question(1, 9)).unwrap_err(), Halt::Ask(Box::new(question(1, 9))));
        seen.take(answer(&question(1, 9), AnswerOutcome::Page(page(&[2, 3])), "a"));
        assert_eq!(seen.page(&question(1, 9)).unwrap().number, 0);
        assert!(matches!(seen.heard_after(&question(1, 9), 0), Err(Halt::Ask(_))));
    }

    #[test]
    fn an_answer_that_belongs_elsewhere_is_asked_again_and_believed_the_third_time() {
        let mut seen = Seen::default();
        for number in 0..3 {
            assert!(matches!(seen.page(&question(5, 9)), Err(Halt::Ask(_))), "{number}");
            seen.take(answer(&question(5, 9), AnswerOutcome::Page(page(&[1, 2, 6])), &number.to_string()));
        }
        assert!(seen.ignores_time());
        assert!(seen.page(&question(5, 9)).is_ok());
    }

    #[test]
    fn an_answer_that_came_before_and_one_of_another_region_are_astray() {
        let mut seen = Seen::default();
        seen.take(answer(&question(1, 9), AnswerOutcome::Page(page(&[2])), "a"));
        seen.take(answer(&question(2, 9), AnswerOutcome::Page(page(&[2])), "a"));
        let elsewhere = Page { rows: vec![Row { region: Some("GB".to_owned()), ..row(3) }], ..Page::default() };
        seen.take(answer(&question(3, 9), AnswerOutcome::Page(elsewhere), "b"));
        assert_eq!((0..3).map(|number| seen.is_astray(number)).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn one_refusal_may_be_an_accident() {
        let mut seen = Seen::default();
        let refused = || AnswerOutcome::Refused { code: 400, message: "no".to_owned() };
        seen.take(answer(&question(1, 9), refused(), "a"));
        assert!(matches!(seen.heard(&question(1, 9)), Err(Halt::Ask(_))));
        assert!(matches!(seen.glanced(&question(1, 9)), Ok(Heard::Refused { .. })));
        seen.take(answer(&question(1, 9), refused(), "b"));
        assert!(matches!(seen.heard(&question(1, 9)), Ok(Heard::Refused { code: 400, .. })));
        // The more accidents there are, the more refusals it takes.
        for (other, needed) in [(2, 4), (3, 5), (4, 5)] {
            seen.take(answer(&question(other, 9), refused(), "c"));
            seen.take(answer(&question(other, 9), AnswerOutcome::Page(page(&[other])), "d"));
            let refusals = |seen: &Seen| seen.answers.iter().filter(|answer| answer.question == question(1, 9)).count();
            while let Err(Halt::Ask(_)) = seen.heard(&question(1, 9)) {
                seen.take(answer(&question(1, 9), refused(), "e"));
            }
            assert_eq!(refusals(&seen), needed, "{other}");
        }
    }
}
