//! Each rule against a service that has the property and one that has not, made of a few lines.

use super::*;
use crate::check::answer::{Answer, AnswerOutcome, Page, Row, Shape, Traits};
use crate::check::question::{Question, Unit};
use crate::check::testing::row;

/// Questions that a rule may ask here.
const MOST: usize = 60;

/// What becomes of a page, by the question and the number of the answer.
type Twist = Box<dyn Fn(&Question, usize, AnswerOutcome) -> AnswerOutcome>;

/// A service with these rows, as documented but for its settings.
struct Model {
    rows: Vec<Row>,
    min_inclusive: bool,
    max_inclusive: bool,
    unit: Unit,
    last_page: u32,
    largest_size: u32,
    honours: fn(&str) -> bool,
    twist: Twist,
}

impl Default for Model {
    /// A row every seven seconds, and every fifth of them has a twin.
    fn default() -> Self {
        let rows = (1..=400_i64).flat_map(|number| {
            let second = 10_000 + number * 7;
            let twin = (number % 5 == 0).then(|| Row { video_id: format!("{second}.1"), ..told(second, number + 1) });
            [Some(told(second, number)), twin].into_iter().flatten()
        });
        Self {
            rows: rows.collect(),
            min_inclusive: true,
            max_inclusive: true,
            unit: Unit::Seconds,
            last_page: u32::MAX,
            largest_size: 10,
            honours: |_| true,
            twist: Box::new(|_, _, outcome| outcome),
        }
    }
}

fn told(second: i64, number: i64) -> Row {
    let traits = Traits {
        sales_flag: Some(number % 3),
        created_by_ai: Some(false),
        is_ad: Some(number % 2 == 0),
        duration: Some(10 + number % 9),
        products: Some(vec![(number % 4).to_string()]),
        categories: Some(vec![(number % 5).to_string()]),
    };
    Row { traits, ..row(second) }
}

impl Model {
    fn scope() -> Scope {
        Scope { region: "US".parse().unwrap(), from: 10_000, to: 20_000 }
    }

    fn answer(&self, question: &Question, number: usize) -> AnswerOutcome {
        let refused = || AnswerOutcome::Refused { code: 400, message: "no".to_owned() };
        if question.page == 0 || question.page > self.last_page || question.page_size > self.largest_size {
            return (self.twist)(question, number, refused());
        }
        let is_asked = |row: &&Row| {
            if question.unit != self.unit {
                return false;
            }
            let after = question.min.is_none_or(|min| row.second > min || (self.min_inclusive && row.second == min));
            let before = question.max.is_none_or(|max| row.second < max || (self.max_inclusive && row.second == max));
            let passes = |(name, value): &(&str, String)| !(self.honours)(name) || passes(name, value, &row.traits);
            after && before && question.filters.iter().all(passes)
        };
        let mut rows: Vec<Row> = self.rows.iter().filter(is_asked).cloned().collect();
        if question.newest_first {
            rows.reverse();
        }
        let (size, place) = (question.page_size as usize, (question.page - 1) as usize);
        let rows = rows.into_iter().skip(place * size).take(size).collect();
        (self.twist)(question, number, AnswerOutcome::Page(Page { rows, ..Page::default() }))
    }

    /// The verdict, and how many questions it took.
    fn judged(&self, rule: &dyn Rule) -> (String, usize) {
        let mut seen = Seen::default();
        for number in 0..MOST {
            match rule.judge(&seen, &Self::scope()) {
                Ok(verdict) => return (verdict.word, number),
                Err(Halt::Unknown(_)) => return ("unknown".to_owned(), number),
                Err(Halt::Ask(question)) => {
                    let outcome = self.answer(&question, number);
                    let request_id = Some(format!("r{number}"));
                    seen.take(Answer { question: *question, outcome, request_id, took_ms: 1 });
                }
            }
        }
        panic!("{} asks for ever", rule.name());
    }

    fn says(&self, rule: &dyn Rule) -> String {
        self.judged(rule).0
    }
}

fn passes(name: &str, value: &str, traits: &Traits) -> bool {
    let number = || value.parse::<i64>().unwrap();
    match name {
        "sales_flag" => traits.sales_flag == Some(number()),
        "created_by_ai" => traits.created_by_ai == Some(value == "true"),
        "is_ad" => traits.is_ad == Some(number() == 1),
        "min_duration" => traits.duration >= Some(number()),
        "max_duration" => traits.duration <= Some(number()),
        "product_id" => traits.products.iter().flatten().any(|id| id == value),
        _ => traits.categories.iter().flatten().any(|id| id == value),
    }
}

fn twisted(twist: impl Fn(&Question, usize, AnswerOutcome) -> AnswerOutcome + 'static) -> Model {
    Model { twist: Box::new(twist), ..Model::default() }
}

/// Changes the pages and leaves refusals.
fn pages(change: impl Fn(&Question, usize, &mut Page) + 'static) -> Model {
    twisted(move |question, number, outcome| match outcome {
        AnswerOutcome::Page(mut page) => {
            change(question, number, &mut page);
            AnswerOutcome::Page(page)
        }
        other => other,
    })
}

#[test]
fn each_bound_is_told_by_itself() {
    for (min_inclusive, max_inclusive) in [(true, true), (true, false), (false, true), (false, false)] {
        let model = Model { min_inclusive, max_inclusive, ..Model::default() };
        let word = |inclusive| if inclusive { "inclusive" } else { "exclusive" };
        assert_eq!(model.says(&bounds::MIN), word(min_inclusive));
        assert_eq!(model.says(&bounds::MAX), word(max_inclusive));
    }
}

#[test]
fn a_bound_is_not_judged_by_a_row_that_went_away_or_pages_that_leave_rows_out() {
    // The row at the asked second goes away for good once it is asked for.
    let gone = pages(|question, number, page| {
        if number > 5 {
            let min = question.min.unwrap_or_default();
            page.rows.retain(|row| row.second != min && row.second != min + 1);
        }
    });
    assert_eq!(gone.says(&bounds::MIN), "unknown");
    let hiding = pages(|question, number, page| {
        if page.rows.len() > 1 && question.page == 1 && number > 4 {
            page.rows.remove(number % page.rows.len());
        }
    });
    assert_ne!(hiding.says(&bounds::MIN), "exclusive");
    assert_ne!(hiding.says(&bounds::MAX), "exclusive");
    let rounded = |seconds: i64| {
        let service = Model { min_inclusive: false, ..Model::default() };
        twisted(move |question, number, _| {
            let min = question.min.map(|min| min.div_euclid(seconds) * seconds);
            service.answer(&Question { min, ..question.clone() }, number)
        })
    };
    for seconds in [2, 3, 5, 7, 10, 60, 3_600] {
        assert_eq!(rounded(seconds).says(&bounds::MIN), "unknown", "rounded to {seconds} s");
    }
}

#[test]
fn the_unit_is_the_one_that_narrows() {
    assert_eq!(Model::default().says(&base::TimeUnit), "seconds");
    assert_eq!(Model { unit: Unit::Milliseconds, ..Model::default() }.says(&base::TimeUnit), "milliseconds");
    let everything = Model::default();
    let loose = twisted(move |question, number, _| {
        everything.answer(&Question { min: None, max: None, ..question.clone() }, number)
    });
    assert_eq!(loose.says(&base::TimeUnit), "unknown");
    assert_eq!(loose.says(&bounds::MIN), "unknown");
    assert_eq!(Model { rows: Vec::new(), ..Model::default() }.says(&base::TimeUnit), "unknown");
}

#[test]
fn the_sort_is_seen_in_both_directions() {
    assert_eq!(Model::default().says(&order::Sort), "honoured");
    let always_up = pages(|question, _, page| {
        if question.newest_first {
            page.rows.reverse();
        }
    });
    assert_eq!(always_up.says(&order::Sort), "ignored");
}

#[test]
fn pages_that_share_rows_are_told_apart() {
    assert_eq!(Model::default().says(&overlap::PageOverlap), "none");
    let shifted = |first: usize| {
        let rows = Model::default();
        twisted(move |question, number, outcome| {
            let whole = Model { largest_size: 10_000, ..Model { rows: rows.rows.clone(), ..Model::default() } };
            let all = whole.answer(&Question { page: 1, page_size: 10_000, ..question.clone() }, number);
            let AnswerOutcome::Page(page) = all else { return outcome };
            let start = (question.page as usize).saturating_sub(1 - first);
            AnswerOutcome::Page(Page { rows: page.rows.into_iter().skip(start).take(10).collect(), ..Page::default() })
        })
    };
    assert_eq!(shifted(0).says(&overlap::PageOverlap), "row_offset");
    assert_eq!(shifted(1).says(&overlap::PageOverlap), "row_offset");
    let same = Model::default();
    let same = twisted(move |question, number, _| same.answer(&Question { page: 1, ..question.clone() }, number));
    assert_eq!(same.says(&overlap::PageOverlap), "same_rows");
    let from_zero = Model::default();
    let from_zero = twisted(move |question, number, _| {
        from_zero.answer(&Question { page: question.page + 1, ..question.clone() }, number)
    });
    assert_eq!(from_zero.says(&overlap::PageOverlap), "from_zero");
}

#[test]
fn what_comes_past_the_end_is_told_by_its_shape() {
    for (shape, word) in [
        (Shape::List, "empty_brackets"),
        (Shape::Null, "empty_null"),
        (Shape::Missing, "empty_missing"),
        (Shape::NoContent, "empty_no_content"),
    ] {
        let model = pages(move |_, _, page| {
            if page.rows.is_empty() {
                page.shape = shape;
            }
        });
        assert_eq!(model.says(&ends::PastTheEnd), word);
    }
    let refuses = twisted(|question, _, outcome| match outcome {
        AnswerOutcome::Page(page) if page.is_empty() && question.page > 1 => {
            AnswerOutcome::Refused { code: 404, message: "no".to_owned() }
        }
        other => other,
    });
    assert_eq!(refuses.says(&ends::PastTheEnd), "refused_404");
}

#[test]
fn a_larger_page_is_refused_clamped_or_served() {
    assert_eq!(Model::default().says(&size::PageSize), "refused");
    assert_eq!(Model { largest_size: 1_000, ..Model::default() }.says(&size::PageSize), "honoured");
    let clamped = Model::default();
    let clamped = twisted(move |question, number, _| {
        clamped.answer(&Question { page_size: question.page_size.min(10), ..question.clone() }, number)
    });
    assert_eq!(clamped.says(&size::PageSize), "clamped");
    let few = Model { rows: Model::default().rows.into_iter().take(6).collect(), largest_size: 50, ..Model::default() };
    assert_eq!(few.says(&size::PageSize), "unknown", "all rows stand on the first page");
}

#[test]
fn a_filter_works_only_where_it_leaves_out_what_would_have_come() {
    for filter in filters::ALL {
        let word = Model::default().says(&filter);
        // No row is made by AI, and asking for the others brings them all.
        assert_eq!(word, "works", "{}", filter.name());
        let ignored = Model { honours: |_| false, ..Model::default() };
        assert_eq!(ignored.says(&filter), "ignored", "{}", filter.name());
        let refused = twisted(|question, _, outcome| {
            if question.filters.is_empty() {
                outcome
            } else {
                AnswerOutcome::Refused { code: 400, message: "no".to_owned() }
            }
        });
        assert_eq!(refused.says(&filter), "refused", "{}", filter.name());
        let empty = pages(|question, _, page| {
            if !question.filters.is_empty() {
                page.rows.clear();
            }
        });
        assert_eq!(empty.says(&filter), "unknown", "{}", filter.name());
    }
    let mut alike = Model::default();
    alike.rows.iter_mut().for_each(|row| row.traits.products = Some(vec!["1".to_owned()]));
    assert_eq!(alike.says(&filters::Filter::ProductId), "unknown", "every row has it");
}

#[test]
fn a_cap_is_a_page_without_rows_before_known_ones() {
    for last_page in [1, 2, 3, 17, 30] {
        let model = Model { last_page, ..Model::default() };
        assert_eq!(model.says(&last_page::LastPage), last_page.to_string());
        let repeats = Model::default();
        let repeats = twisted(move |question, number, _| {
            repeats.answer(&Question { page: question.page.min(last_page), ..question.clone() }, number)
        });
        // A service of one page that comes for every number looks like one that does not count pages at all.
        let word = if last_page == 1 { "unknown".to_owned() } else { last_page.to_string() };
        assert_eq!(repeats.says(&last_page::LastPage), word);
    }
    let (word, asked) = Model::default().judged(&last_page::LastPage);
    assert_eq!(word, "unknown", "the rows end first");
    assert!(asked < 12, "{asked} questions");
}

#[test]
fn a_page_in_place_of_the_one_before_it_is_no_cap() {
    for replaced in [2, 3, 20] {
        let asked = std::cell::Cell::new(false);
        let next = Model::default();
        let once = twisted(move |question, number, outcome| {
            if question.page == replaced && !question.newest_first && !asked.replace(true) {
                return next.answer(&Question { page: replaced + 1, ..question.clone() }, number);
            }
            outcome
        });
        assert_eq!(once.says(&last_page::LastPage), "unknown", "page {replaced}");
    }
}

#[test]
fn an_empty_page_that_is_an_accident_is_no_cap() {
    // Deep pages come empty every other time.
    let flickers = pages(|question, number, page| {
        if question.page > 5 && number % 2 == 0 {
            page.rows.clear();
        }
    });
    assert_eq!(flickers.says(&last_page::LastPage), "unknown");
}

#[test]
fn ties_are_stable_fresh_or_not_mirrored() {
    let stable = |twist: Model| twist.says(&ties::Ties);
    let reversed_in_time = pages(|question, _, page| {
        if question.newest_first {
            page.rows.sort_by(|one, other| (other.second, &one.video_id).cmp(&(one.second, &other.video_id)));
        }
    });
    assert_eq!(stable(Model::default()), "stable");
    assert_eq!(stable(reversed_in_time), "unmirrored");
    let fresh = pages(|question, number, page| {
        if number % 2 == 1 && !question.newest_first {
            page.rows.sort_by(|one, other| (one.second, &other.video_id).cmp(&(other.second, &one.video_id)));
        }
    });
    assert_eq!(stable(fresh), "fresh");
    let alone = Model {
        rows: Model::default().rows.into_iter().filter(|row| !row.video_id.contains('.')).collect(),
        ..Model::default()
    };
    assert_eq!(stable(alone), "unknown");
}
