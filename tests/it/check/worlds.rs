//! Services of every kind, and what a check may say of each.

use std::collections::BTreeMap;
use std::time::Duration;

use keyapi_export::api::reply::{Heard, ReplyVerdict, judge};
use keyapi_export::api::signals::Signals;
use keyapi_export::check::answer::{Answer, AnswerOutcome, Page};
use keyapi_export::check::question::Question;
use keyapi_export::check::{Check, Scope};
use keyapi_export::simulator::*;

/// Attempts at one question: as many as a run makes.
const ATTEMPTS: u32 = 8;
/// Time that passes between two requests of a check.
const STEP: Duration = Duration::from_millis(200);

/// A change of one setting: the setting, its value, and how it is set.
pub(super) type Kind = (&'static str, &'static str, fn(&mut SimulatorSettings));

/// What a check with so many credits says of the service, and what it spent.
pub(super) fn checked(settings: &SimulatorSettings, credits: u64) -> (BTreeMap<String, String>, u64) {
    let service = DirectService::new(settings.clone()).unwrap();
    let range = settings.world.range();
    let region = settings.world.regions[0].clone();
    let mut check = Check::new(Scope { region, from: range.start.get(), to: range.end.get() });
    let mut line = Line { service, spent: 0, credits };
    while let Some(question) = check.next() {
        let Some(answer) = line.ask(&question) else { break };
        check.take(answer);
    }
    (check.verdicts(), line.spent)
}

/// The way to a service, with the attempts that a doer makes.
struct Line {
    service: DirectService,
    spent: u64,
    credits: u64,
}

impl Line {
    fn ask(&mut self, question: &Question) -> Option<Answer> {
        let mut failures: u32 = 0;
        loop {
            if self.spent >= self.credits {
                return None;
            }
            self.spent += 1;
            let uptime: Duration = STEP * u32::try_from(self.spent).unwrap();
            let came = self.service.ask("sk_live_x", &question.pairs(), uptime);
            let (outcome, request_id) = match came.as_ref().map(judged) {
                Some(ReplyVerdict::Page(page)) => {
                    let body = came.map(|came| came.body).unwrap_or_default();
                    (AnswerOutcome::Page(Page::read(body.as_bytes())), page.request_id)
                }
                Some(ReplyVerdict::Throttled { .. }) => continue,
                Some(ReplyVerdict::Quota { message }) => (AnswerOutcome::Quota { message }, None),
                Some(ReplyVerdict::Refused { code, message }) => (AnswerOutcome::Refused { code, message }, None),
                Some(ReplyVerdict::Transient { .. }) | None if failures + 1 < ATTEMPTS => {
                    failures += 1;
                    continue;
                }
                Some(ReplyVerdict::Transient { .. }) | None => {
                    (AnswerOutcome::Failed { why: "it failed".to_owned() }, None)
                }
            };
            return Some(Answer { question: question.clone(), outcome, request_id, took_ms: 1 });
        }
    }
}

fn judged(came: &DirectAnswer) -> ReplyVerdict {
    let signals = Signals {
        retry_after: came.retry_after_s.map(|seconds| Duration::from_secs(seconds.into())),
        is_html: came.body.starts_with('<'),
        ..Signals::default()
    };
    judge(Heard { status: came.status, signals: &signals, body: came.body.as_bytes(), broken: None })
}

/// The healthy service that every kind changes: pages enough for a cap, seconds with several rows, every trait.
pub(super) fn healthy() -> SimulatorSettings {
    let mut settings = SimulatorSettings::default();
    settings.world.rows = 6_000;
    settings.world.to = "2025-12-02".parse().unwrap();
    settings
}

/// Every kind of service that changes what a check reports, or that could mislead it.
pub(super) const KINDS: &[Kind] = &[
    ("min_bound", "exclusive", |s| s.contract.min_bound = Bound::Exclusive),
    ("max_bound", "exclusive", |s| s.contract.max_bound = Bound::Exclusive),
    ("time_unit", "milliseconds", |s| s.contract.time_unit = TimeUnit::Milliseconds),
    ("tie_order", "unmirrored", |s| s.contract.tie_order = TieOrder::Unmirrored),
    ("tie_order", "fresh", |s| s.contract.tie_order = TieOrder::Fresh),
    ("sort", "ignored", |s| s.contract.sort = Sort::Ignored),
    ("page_num", "row_offset", |s| s.contract.page_num = PageNum::RowOffset),
    ("page_num", "pages_from_zero", |s| s.contract.page_num = PageNum::PagesFromZero),
    ("answering", "always_the_same", |s| s.contract.answering = Answering::AlwaysTheSame),
    ("bounds", "ignored", |s| s.contract.bounds = Bounds::Ignored),
    ("min_rounded_to_s", "10", |s| s.contract.min_rounded_to_s = 10),
    ("min_rounded_to_s", "60", |s| s.contract.min_rounded_to_s = 60),
    ("min_rounded_to_s", "3600", |s| s.contract.min_rounded_to_s = 3_600),
    ("min_rounded_to_s", "86400", |s| s.contract.min_rounded_to_s = 86_400),
    ("oversized_page", "clamped", |s| s.contract.oversized_page = OversizedPage::Clamped),
    ("oversized_page", "honoured", |s| s.contract.oversized_page = OversizedPage::Honoured),
    ("empty_page", "null", |s| s.contract.empty_page = EmptyPage::Null),
    ("empty_page", "missing", |s| s.contract.empty_page = EmptyPage::Missing),
    ("empty_page", "no_content", |s| s.contract.empty_page = EmptyPage::NoContent),
    ("last_page", "50 bad_request", |s| cap(s, 50, PastLastPage::BadRequest)),
    ("last_page", "50 not_found", |s| cap(s, 50, PastLastPage::NotFound)),
    ("last_page", "37 empty", |s| cap(s, 37, PastLastPage::Empty)),
    ("last_page", "120 bad_request_inside", |s| cap(s, 120, PastLastPage::BadRequestInside)),
    ("last_page", "64 repeat_last", |s| cap(s, 64, PastLastPage::RepeatLast)),
    ("last_page", "2 repeat_last", |s| cap(s, 2, PastLastPage::RepeatLast)),
    ("last_page", "1 bad_request", |s| cap(s, 1, PastLastPage::BadRequest)),
    ("short_pages", "filtered", |s| s.contract.short_pages = ShortPages::Filtered),
    ("short_pages", "hidden", |s| s.contract.short_pages = ShortPages::Hidden),
    ("short_pages", "hidden_anywhere", |s| s.contract.short_pages = ShortPages::HiddenAnywhere),
    ("short_pages", "a third hidden", |s| sometimes_short(s, ShortPages::Hidden)),
    ("short_pages", "a third hidden_anywhere", |s| sometimes_short(s, ShortPages::HiddenAnywhere)),
    ("ignored_filters", "is_ad", |s| s.contract.ignored_filters = vec![FilterName::IsAd]),
    ("ignored_filters", "sales_flag", |s| s.contract.ignored_filters = vec![FilterName::SalesFlag]),
    ("ignored_filters", "created_by_ai", |s| s.contract.ignored_filters = vec![FilterName::CreatedByAi]),
    ("ignored_filters", "min_duration", |s| s.contract.ignored_filters = vec![FilterName::MinDuration]),
    ("ignored_filters", "max_duration", |s| s.contract.ignored_filters = vec![FilterName::MaxDuration]),
    ("ignored_filters", "product_category_id", |s| s.contract.ignored_filters = vec![FilterName::ProductCategoryId]),
    ("ignored_filters", "product_id", |s| s.contract.ignored_filters = vec![FilterName::ProductId]),
    ("framing", "byte_order_mark", |s| s.contract.framing = Framing::ByteOrderMark),
    ("access", "denied", |s| s.contract.access = Access::Denied),
    ("access", "moved", |s| s.contract.access = Access::Moved),
    ("credits", "7", |s| s.limits.credits = Some(7)),
    ("throttle_form", "status", |s| slow(s, ThrottleForm::Status)),
    ("throttle_form", "forbidden", |s| slow(s, ThrottleForm::Forbidden)),
    ("throttle_form", "empty_page", |s| slow(s, ThrottleForm::EmptyPage)),
    ("server_error", "0.1", |s| s.faults.server_error = 0.1),
    ("reset", "0.1", |s| s.faults.reset = 0.1),
    ("other_region", "0.1", |s| another_region(s)),
    ("other_time", "0.1", |s| s.faults.other_time = 0.1),
    ("next_page", "0.1", |s| s.faults.next_page = 0.1),
    ("stale", "0.1", |s| s.faults.stale = 0.1),
    ("refusal", "0.1", |s| s.faults.refusal = 0.1),
    ("trouble", "empty", |s| troubled(s, TroubleForm::Empty)),
    ("trouble", "other_time", |s| troubled(s, TroubleForm::OtherTime)),
    ("odd", "fields", |s| {
        (s.odd.null_field, s.odd.missing_field, s.odd.number_as_text, s.odd.text_as_number) = (0.1, 0.1, 0.1, 0.1);
    }),
    ("odd", "rows", |s| (s.odd.garbage, s.odd.null_row, s.odd.wrong_date) = (0.05, 0.05, 0.05)),
    ("drift", "busy", |s| (s.drift.inserts_per_1000, s.drift.deletes_per_1000) = (3_000.0, 3_000.0)),
    ("density", "uniform", |s| s.world.density = Density::Uniform),
    ("density", "bursty", |s| s.world.density = Density::Bursty),
    ("density", "one_hour", |s| s.world.density = Density::OneHour),
    ("density", "one_second", |s| s.world.density = Density::OneSecond),
    ("rows", "60", |s| s.world.rows = 60),
    ("rows", "4", |s| s.world.rows = 4),
    ("rows", "0", |s| s.world.rows = 0),
    ("rows", "200000", |s| s.world.rows = 200_000),
];

fn cap(settings: &mut SimulatorSettings, last_page: u32, past: PastLastPage) {
    (settings.contract.last_page, settings.contract.past_last_page) = (last_page, past);
}

fn sometimes_short(settings: &mut SimulatorSettings, kind: ShortPages) {
    (settings.contract.short_pages, settings.contract.short_fraction) = (kind, 0.33);
}

fn slow(settings: &mut SimulatorSettings, form: ThrottleForm) {
    (settings.limits.requests_per_second, settings.limits.throttle_form) = (3, form);
}

fn troubled(settings: &mut SimulatorSettings, form: TroubleForm) {
    (settings.faults.trouble, settings.faults.trouble_after, settings.faults.trouble_s) = (form, 9, 1.0);
}

fn another_region(settings: &mut SimulatorSettings) {
    settings.world.regions.push("GB".parse().unwrap());
    settings.faults.other_region = 0.1;
}

/// The verdicts that are right for this service, by property; `unknown` is never wrong, but not always enough.
pub(super) fn right(settings: &SimulatorSettings) -> BTreeMap<String, Vec<String>> {
    let contract = &settings.contract;
    let is_same = contract.answering == Answering::AlwaysTheSame;
    let keeps_time = contract.bounds == Bounds::Kept && !is_same;
    let only = |word: &str| vec![word.to_owned()];
    let where_kept = |word: &str| if keeps_time { only(word) } else { Vec::new() };
    let bound = |bound: Bound| where_kept(if bound == Bound::Inclusive { "inclusive" } else { "exclusive" });
    let min_bound = if contract.min_rounded_to_s > 1 { Vec::new() } else { bound(contract.min_bound) };
    let time_unit = if contract.time_unit == TimeUnit::Seconds { "seconds" } else { "milliseconds" };
    let empty = match contract.empty_page {
        EmptyPage::Brackets => "empty_brackets",
        EmptyPage::Null => "empty_null",
        EmptyPage::Missing => "empty_missing",
        EmptyPage::NoContent => "empty_no_content",
        EmptyPage::NotFound => "refused_404",
    };
    let past_the_cap = match contract.past_last_page {
        PastLastPage::BadRequest | PastLastPage::BadRequestInside => "refused_400",
        PastLastPage::NotFound => "refused_404",
        PastLastPage::Empty => empty,
        PastLastPage::RepeatLast => "repeats",
        PastLastPage::Forbidden | PastLastPage::ServerError => unreachable!("no world here answers so"),
    };
    // The second page of a stretch that fits on one is past the end, and past a cap of one page.
    let past = if contract.last_page == 1 { vec![past_the_cap.to_owned(), empty.to_owned()] } else { only(empty) };
    let mut right = BTreeMap::from([
        ("min_bound".to_owned(), min_bound),
        ("max_bound".to_owned(), bound(contract.max_bound)),
        ("time_unit".to_owned(), where_kept(time_unit)),
        ("sort".to_owned(), only(if contract.sort == Sort::Ignored || is_same { "ignored" } else { "honoured" })),
        (
            "ties".to_owned(),
            only(match contract.tie_order {
                TieOrder::Stable => "stable",
                TieOrder::Unmirrored => "unmirrored",
                TieOrder::Fresh => "fresh",
            }),
        ),
        (
            "page_overlap".to_owned(),
            only(match contract.page_num {
                _ if is_same => "same_rows",
                PageNum::Pages => "none",
                PageNum::RowOffset => "row_offset",
                PageNum::PagesFromZero => "from_zero",
            }),
        ),
        (
            "page_size".to_owned(),
            only(match contract.oversized_page {
                OversizedPage::Refused => "refused",
                OversizedPage::Clamped => "clamped",
                OversizedPage::Honoured => "honoured",
            }),
        ),
        ("past_the_end".to_owned(), if is_same { only("repeats") } else { past }),
        ("last_page".to_owned(), only(&contract.last_page.to_string())),
        ("key".to_owned(), vec![key(settings).to_owned(), "quota_spent".to_owned()]),
    ]);
    for (name, filter) in [
        ("sales_flag", FilterName::SalesFlag),
        ("created_by_ai", FilterName::CreatedByAi),
        ("min_duration", FilterName::MinDuration),
        ("max_duration", FilterName::MaxDuration),
        ("product_category_id", FilterName::ProductCategoryId),
        ("is_ad", FilterName::IsAd),
        ("product_id", FilterName::ProductId),
    ] {
        let is_ignored = contract.ignored_filters.contains(&filter);
        right.insert(format!("filter_{name}"), only(if is_ignored { "ignored" } else { "works" }));
    }
    right
}

fn key(settings: &SimulatorSettings) -> &'static str {
    match settings.contract.access {
        Access::Granted => "accepted",
        Access::Denied => "refused_403",
        Access::Unprocessable => "refused_422",
        Access::Moved => "refused_301",
    }
}

/// What a check says that is wrong.
pub(super) fn wrong(settings: &SimulatorSettings, said: &BTreeMap<String, String>) -> Vec<String> {
    let right = right(settings);
    let is_wrong = |(name, verdict): &(&String, &String)| {
        *verdict != "unknown" && !right.get(*name).is_some_and(|right| right.contains(verdict))
    };
    let told = |(name, verdict): (&String, &String)| format!("{name} = {verdict}, right is {:?}", right.get(name));
    said.iter().filter(is_wrong).map(told).collect()
}
