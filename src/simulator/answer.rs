//! How the service answers one request. Decides only: clocks, sockets and waiting are the server's.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use axum::http::StatusCode;

use super::chance::{Dice, Purpose, hash_text};
use super::faults::{Attempt, Fault, Other, fault, latency};
use super::limits::{Arrival, Limiter};
use super::query::{Asked, Parameters};
use super::settings::{
    Access, Answering, DeadForm, EmptyPage, ErrorCharge, FaultSettings, Framing, KeyEcho, PageNum, PastLastPage,
    QuotaForm, RateHeaders, ShortPages, SimulatorSettings, ThrottleForm, TieOrder, TroubleForm,
};
use super::stats::{Ledger, RequestOutcome};
use super::world::{Direction, Row, Selection, Ties, World};

/// The service without its sockets.
pub(super) struct Service {
    settings: RwLock<Arc<SimulatorSettings>>,
    pub(super) world: World,
    limiter: Mutex<Limiter>,
    ledger: Mutex<Ledger>,
    /// When the trouble began.
    trouble_began: Mutex<Option<Duration>>,
    /// The last page that was made, where answers may come late.
    last: Mutex<Option<(String, u64)>>,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The caller's key; none where the header is missing or malformed.
    pub(super) key: Option<String>,
    pub(super) parameters: Parameters,
    pub(super) arrival: Arrival,
}

/// The answer to one request.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) body: String,
    /// Seconds for the `Retry-After` header; none sends no header.
    pub(super) retry_after_s: Option<u32>,
    /// The `X-RateLimit-Limit` header, requests a second; none sends no header.
    pub(super) rate_limit: Option<u32>,
    /// The `Location` header; none sends no header.
    pub(super) location: Option<&'static str>,
    /// How long to wait before the first byte.
    pub(super) delay: Duration,
    /// Whether the delay is a stall.
    pub(super) stalls: bool,
    /// Whether an error code travels in a 200.
    pub(super) error_inside: bool,
    pub(super) outcome: RequestOutcome,
}

/// The question that an answer belongs to.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) identity: String,
    pub(super) hash: u64,
}

/// An answer, and the question that it belongs to.
pub(super) type Answered = (Answer, Question);

/// What a refusal says: the HTTP status, the envelope's code and the message.
struct Refusal(StatusCode, u32, String);

impl Service {
    pub(super) fn new(settings: SimulatorSettings) -> Self {
        let world = World::new(&settings);
        let settings = RwLock::new(Arc::new(settings));
        Self {
            settings,
            world,
            limiter: Mutex::default(),
            ledger: Mutex::default(),
            trouble_began: Mutex::default(),
            last: Mutex::default(),
        }
    }

    pub(super) fn settings(&self) -> Arc<SimulatorSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace_settings(&self, settings: SimulatorSettings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers `request`: key, rate, credits, faults, parameters, page, in this order.
    pub(super) fn answer(&self, request: &Request) -> Answered {
        let settings = self.settings();
        let now_ms = u64::try_from(request.arrival.wall.as_millis()).unwrap_or(u64::MAX);
        let arrival_number = self.ledger().arrive(now_ms, request.arrival.uptime);
        let identity = request.parameters.identity();
        let question = Question { hash: hash_text(&identity), identity };
        let gate = self.gate(&settings, request);
        let attempt = |number| Attempt { seed: settings.seed, question: question.hash, number };
        let (mut answer, attempt, page) = match gate {
            Gate::Closed(answer) => (answer, attempt(u32::try_from(arrival_number).unwrap_or(u32::MAX)), 0),
            Gate::Open(everybody) => {
                let (number, admitted) = self.ledger().admit(question.hash);
                self.world.advance(admitted);
                let everybody = everybody.or_else(|| self.trouble(&settings.faults, admitted, request.arrival.uptime));
                let failing = failing_region(&settings.faults, request.parameters.get("region"), admitted);
                let failing = failing.or(everybody.map(Failing::Fault));
                let (answer, page) = self.admitted(&settings, request, (attempt(number), failing));
                (answer, attempt(number), page)
            }
        };
        let limit = settings.limits.requests_per_second;
        answer.rate_limit = (settings.limits.rate_headers == RateHeaders::Told && limit > 0).then_some(limit);
        answer.delay += latency(&settings.limits, attempt, page);
        (answer, question)
    }

    /// The fault of everybody, while there is trouble.
    fn trouble(&self, faults: &FaultSettings, admitted: u64, uptime: Duration) -> Option<Fault> {
        let fault = match faults.trouble {
            TroubleForm::None => return None,
            TroubleForm::Empty => Fault::Another(Other::Nothing),
            TroubleForm::OtherRegion => Fault::Another(Other::Region),
            TroubleForm::OtherTime => Fault::Another(Other::Time),
            TroubleForm::NextPage => Fault::Another(Other::NextPage),
            TroubleForm::FewerPlaces => Fault::Another(Other::FewerPlaces),
            TroubleForm::WithoutIds => Fault::WithoutIds,
            TroubleForm::Advertised => Fault::Advertised,
        };
        if admitted <= faults.trouble_after {
            return None;
        }
        let began = *self.trouble_began.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(uptime);
        (uptime.saturating_sub(began).as_secs_f64() < faults.trouble_s).then_some(fault)
    }

    /// What stands before every question: the key, the rate limit, the credits. Takes the credit.
    fn gate(&self, settings: &SimulatorSettings, request: &Request) -> Gate {
        let refuse = |refusal, outcome| Gate::Closed(refused(settings, request, refusal, outcome));
        let token = settings.contract.token.as_str();
        let known = request.key.as_deref().is_some_and(|key| token.is_empty() || key == token);
        if !known {
            let refusal = Refusal(StatusCode::UNAUTHORIZED, 401, "apiKey is null".to_owned());
            return refuse(refusal, RequestOutcome::Refusal);
        }
        if let Some(refusal) = no_access(settings.contract.access) {
            return Gate::Closed(moved(refused(settings, request, refusal, RequestOutcome::Refusal)));
        }
        let admitted = {
            let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
            limiter.admit(&settings.limits, request.arrival)
        };
        let everybody = match too_fast(settings.limits.throttle_form) {
            _ if admitted => None,
            Some(refusal) => {
                let answer = refused(settings, request, refusal, RequestOutcome::Throttled);
                return Gate::Closed(throttled(answer, settings));
            }
            None => Some(Fault::Another(Other::Nothing)),
        };
        let paid = self.ledger().charge(settings.limits.credits);
        if paid {
            Gate::Open(everybody)
        } else {
            refuse(out_of_credits(settings.limits.quota_form), RequestOutcome::OutOfCredits)
        }
    }

    /// The answer to a request that has paid, and the depth of its page.
    fn admitted(
        &self,
        settings: &SimulatorSettings,
        request: &Request,
        (attempt, failing): (Attempt, Option<Failing>),
    ) -> (Answer, u64) {
        let (of_region, fault) = match failing {
            Some(Failing::Refused(refusal)) => (Some(refusal), None),
            Some(Failing::Fault(fault)) => (None, Some(fault)),
            None => (None, fault(&settings.faults, attempt)),
        };
        let asked = request.parameters.asked(&settings.contract, &self.world);
        let page = asked.as_ref().map_or(0, |asked| asked.page);
        let result = match of_region.or_else(|| early(fault)) {
            Some(refusal) => Err(refusal),
            None => asked
                .map_err(|message| Refusal(StatusCode::BAD_REQUEST, 400, message))
                .and_then(|asked| self.page(settings, (&self.taken(settings, asked, fault), fault), attempt)),
        };
        let result = if result.is_ok() { self.or_stale(settings, fault, result) } else { result };
        let mut answer = match result {
            Ok((_, 0)) if settings.contract.empty_page == EmptyPage::NoContent => {
                json(StatusCode::NO_CONTENT, String::new(), RequestOutcome::Page(0))
            }
            Ok((_, 0)) if settings.contract.empty_page == EmptyPage::NotFound => {
                let refusal = Refusal(StatusCode::NOT_FOUND, 404, "No more data".to_owned());
                refused(settings, request, refusal, RequestOutcome::Page(0))
            }
            Ok((body, rows)) => {
                let body = match fault {
                    Some(Fault::WithoutIds) => body.replace("\"video_id\":", "\"id\":"),
                    Some(Fault::Advertised) => advertised(&body).unwrap_or(body),
                    _ => body,
                };
                json(StatusCode::OK, framed(settings.contract.framing, body), RequestOutcome::Page(rows))
            }
            Err(refusal) => {
                if settings.limits.error_charge == ErrorCharge::Free {
                    self.ledger().refund();
                }
                refused(settings, request, refusal, RequestOutcome::Refusal)
            }
        };
        disturb(&mut answer, fault, settings.faults.stall_s);
        (answer, page)
    }

    /// The question as it is taken: another one, where the settings or a fault say so.
    fn taken(&self, settings: &SimulatorSettings, asked: Asked, fault: Option<Fault>) -> Asked {
        let everything = self.world.offsets(self.world.range());
        let at_any_time = |asked: &Asked| Selection { offsets: everything.clone(), ..asked.selection.clone() };
        match fault {
            _ if settings.contract.answering == Answering::AlwaysTheSame => {
                let selection = Selection { direction: Direction::Ascending, ..at_any_time(&asked) };
                let page = u64::from(settings.contract.page_num == PageNum::Pages);
                Asked { selection, page, ..asked }
            }
            Some(Fault::Another(Other::Region)) => {
                let regions = &settings.world.regions;
                let here = regions.iter().position(|region| region.as_str() == asked.region);
                let next = here.and_then(|here| regions.get((here + 1) % regions.len()));
                Asked { region: next.map_or(asked.region.clone(), ToString::to_string), ..asked }
            }
            Some(Fault::Another(Other::Time)) => Asked { selection: at_any_time(&asked), ..asked },
            Some(Fault::Another(Other::FewerPlaces)) => Asked { page_size: asked.page_size.div_ceil(2), ..asked },
            Some(Fault::Another(Other::NextPage)) => Asked { page: asked.page + 1, ..asked },
            _ => asked,
        }
    }

    /// The answer before this one, where the fault says so; this one is then the next to come late.
    fn or_stale(
        &self,
        settings: &SimulatorSettings,
        fault: Option<Fault>,
        result: Result<(String, u64), Refusal>,
    ) -> Result<(String, u64), Refusal> {
        if settings.faults.stale == 0.0 {
            return result;
        }
        result.map(|page| {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let before = last.replace(page.clone());
            before.filter(|_| fault == Some(Fault::Another(Other::Stale))).unwrap_or(page)
        })
    }

    /// The body of a page, and its rows.
    fn page(
        &self,
        settings: &SimulatorSettings,
        (asked, fault): (&Asked, Option<Fault>),
        attempt: Attempt,
    ) -> Result<(String, u64), Refusal> {
        let contract = &settings.contract;
        if fault == Some(Fault::Another(Other::Nothing)) {
            return Ok((self.envelope(settings, asked, (&[], attempt)), 0));
        }
        let last_page = u64::from(contract.last_page);
        let page = if asked.page <= last_page {
            asked.page
        } else {
            match past_the_cap(contract.past_last_page, last_page) {
                Ok(page) => page,
                Err(Some(refusal)) => return Err(refusal),
                Err(None) => return Ok((self.envelope(settings, asked, (&[], attempt)), 0)),
            }
        };
        let start = match contract.page_num {
            PageNum::Pages => (page - 1) * asked.page_size,
            PageNum::RowOffset => page,
            PageNum::PagesFromZero => page * asked.page_size,
        };
        let order = contract.tie_order;
        let ties = Ties { order, request: if order == TieOrder::Fresh { attempt.key() } else { 0 } };
        let mut rows = self.world.page(&asked.region, (&asked.selection, ties), start..start + asked.page_size);
        let poisoned = |row: &Row| settings.faults.poison.iter().any(|moment| moment.0 == self.world.second(*row));
        if rows.iter().any(poisoned) {
            return Err(server_error());
        }
        rows.retain(|row| !self.world.is_ghost(&asked.region, *row));
        hide(settings, attempt, &mut rows);
        Ok((self.envelope(settings, asked, (&rows, attempt)), rows.len() as u64))
    }

    fn envelope(&self, settings: &SimulatorSettings, asked: &Asked, (rows, attempt): (&[Row], Attempt)) -> String {
        let mut body = String::with_capacity(200 + rows.len() * 1_200);
        body.push_str(r#"{"code":0,"message":"success""#);
        match (rows, settings.contract.empty_page) {
            ([], EmptyPage::Missing) => {}
            ([], EmptyPage::Null) => body.push_str(r#","data":null"#),
            _ => {
                body.push_str(r#","data":["#);
                for (place, row) in rows.iter().enumerate() {
                    if place > 0 {
                        body.push(',');
                    }
                    self.world.write_row(&asked.region, *row, &mut body);
                }
                body.push(']');
            }
        }
        // Writing to a String cannot fail.
        let _infallible = write!(body, r#","requestId":"{}"}}"#, request_id(attempt));
        body
    }
}

/// What stands in the way of every request; none where the key may ask.
fn no_access(access: Access) -> Option<Refusal> {
    let refusal = |status, code, message: &str| Some(Refusal(status, code, message.to_owned()));
    match access {
        Access::Granted => None,
        Access::Denied => refusal(StatusCode::FORBIDDEN, 403, "this key has no access to this endpoint"),
        Access::Unprocessable => {
            let message = "min_create_time must be within the last 180 days";
            refusal(StatusCode::UNPROCESSABLE_ENTITY, 422, message)
        }
        Access::Moved => refusal(StatusCode::MOVED_PERMANENTLY, 301, "Moved Permanently"),
    }
}

/// A 301 says where to.
fn moved(mut answer: Answer) -> Answer {
    let is_moved = answer.status == StatusCode::MOVED_PERMANENTLY;
    answer.location = is_moved.then_some("https://moved.example/v2/list?key=secret");
    answer
}

/// What a request above the rate limit is answered with beside the words.
fn throttled(mut answer: Answer, settings: &SimulatorSettings) -> Answer {
    let seconds = settings.limits.retry_after_s;
    answer.retry_after_s = (seconds > 0).then_some(seconds);
    if settings.limits.throttle_form == ThrottleForm::Unavailable {
        (answer.content_type, answer.body) = ("text/html", "<html>maintenance</html>".to_owned());
    }
    answer
}

/// The refusal of a request above the rate limit; none where it gets an empty page.
fn too_fast(form: ThrottleForm) -> Option<Refusal> {
    let refusal = |status, code, message: &str| Some(Refusal(status, code, message.to_owned()));
    match form {
        ThrottleForm::EmptyPage => None,
        ThrottleForm::Status => refusal(StatusCode::TOO_MANY_REQUESTS, 429, "qps limit exceeded"),
        ThrottleForm::Inside => refusal(StatusCode::OK, 429, "qps limit exceeded"),
        ThrottleForm::Words => refusal(StatusCode::OK, 40_100, "Too many requests. Please retry in some time."),
        ThrottleForm::Forbidden => refusal(StatusCode::FORBIDDEN, 403, "API rate limit exceeded"),
        ThrottleForm::Unavailable => refusal(StatusCode::SERVICE_UNAVAILABLE, 503, "maintenance"),
    }
}

/// The body with what stands around it.
fn framed(framing: Framing, body: String) -> String {
    match framing {
        Framing::Bare => body,
        Framing::ByteOrderMark => format!("\u{feff}{body}"),
        Framing::TrailingNul => format!("{body}\0\0\r\n"),
    }
}

/// Whether a request comes to its question.
enum Gate {
    /// It does not.
    Closed(Answer),
    /// It does, and this is wrong with every answer.
    Open(Option<Fault>),
}

/// What is wrong with a whole region, or with all.
enum Failing {
    Refused(Refusal),
    Fault(Fault),
}

fn failing_region(faults: &FaultSettings, region: Option<&str>, admitted: u64) -> Option<Failing> {
    let region = region.filter(|_| admitted > faults.regions_fail_after)?;
    if let Some(refused) = faults.refused_regions.iter().find(|refused| refused.region.as_str() == region) {
        return Some(Failing::Refused(refusal(refused.code, &refused.words)));
    }
    let is_dead = faults.dead_regions.iter().any(|dead| dead.as_str() == region);
    is_dead.then_some(Failing::Fault(match faults.dead_form {
        DeadForm::ServerError => Fault::ServerError,
        DeadForm::Stall => Fault::Stall,
    }))
}

fn refusal(code: u16, words: &str) -> Refusal {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::FORBIDDEN);
    Refusal(status, u32::from(code), words.to_owned())
}

/// A fault that takes the place of the page.
fn early(fault: Option<Fault>) -> Option<Refusal> {
    match fault? {
        Fault::ServerError => Some(server_error()),
        Fault::ErrorInside(code) => Some(Refusal(StatusCode::OK, code, "system busy".to_owned())),
        Fault::BadGateway => Some(Refusal(StatusCode::BAD_GATEWAY, 502, String::new())),
        Fault::Refused(code) => Some(refusal(code, "refused for this once")),
        Fault::NotJson(_)
        | Fault::Reset
        | Fault::CutBody
        | Fault::Stall
        | Fault::Another(_)
        | Fault::WithoutIds
        | Fault::Advertised => None,
    }
}

/// A fault that befalls the answer on its way.
fn disturb(answer: &mut Answer, fault: Option<Fault>, stall_s: f64) {
    match fault {
        Some(Fault::BadGateway) => {
            answer.content_type = "text/html";
            answer.body = "<html><head><title>502 Bad Gateway</title></head>\
                           <body><center><h1>502 Bad Gateway</h1></center></body></html>"
                .to_owned();
        }
        Some(Fault::NotJson(text)) => {
            answer.body = text.to_owned();
            answer.outcome = RequestOutcome::Refusal;
        }
        Some(Fault::Reset) => answer.outcome = RequestOutcome::Reset,
        Some(Fault::CutBody) => answer.outcome = RequestOutcome::Cut,
        Some(Fault::Stall) => {
            answer.delay += Duration::from_secs_f64(stall_s);
            answer.stalls = true;
        }
        Some(
            Fault::ServerError
            | Fault::ErrorInside(_)
            | Fault::Refused(_)
            | Fault::Another(_)
            | Fault::WithoutIds
            | Fault::Advertised,
        )
        | None => {}
    }
}

/// The same page with a row before the others that was not asked for, and ten rows at most.
fn advertised(body: &str) -> Option<String> {
    let mut body: serde_json::Value = serde_json::from_str(body).ok()?;
    let rows = body.get_mut("data")?.as_array_mut().filter(|rows| !rows.is_empty())?;
    rows.truncate(9);
    rows.insert(0, serde_json::json!({ "video_id": "1", "create_time": "1" }));
    Some(body.to_string())
}

/// The page to serve in place of one past the cap; else a refusal, or none for an empty page.
fn past_the_cap(form: PastLastPage, last_page: u64) -> Result<u64, Option<Refusal>> {
    let message = format!("page_num must be between 1 and {last_page}");
    match form {
        PastLastPage::BadRequest => Err(Some(Refusal(StatusCode::BAD_REQUEST, 400, message))),
        PastLastPage::NotFound => Err(Some(Refusal(StatusCode::NOT_FOUND, 404, "Not Found".to_owned()))),
        PastLastPage::BadRequestInside => Err(Some(Refusal(StatusCode::OK, 400, message))),
        PastLastPage::Forbidden => Err(Some(Refusal(StatusCode::FORBIDDEN, 403, message))),
        PastLastPage::ServerError => Err(Some(server_error())),
        PastLastPage::Empty => Err(None),
        PastLastPage::RepeatLast => Ok(last_page),
    }
}

/// Takes one row off a page that is to be short, the same one whenever the same page is asked.
fn hide(settings: &SimulatorSettings, attempt: Attempt, rows: &mut Vec<Row>) {
    let mut dice = Dice::new(settings.seed, Purpose::Hiding, attempt.question);
    let hidden = match settings.contract.short_pages {
        ShortPages::None | ShortPages::Filtered => return,
        ShortPages::Hidden => rows.len().saturating_sub(1),
        ShortPages::HiddenAnywhere => dice.below(rows.len() as u64) as usize,
    };
    if rows.len() > 1 && dice.hits(settings.contract.short_fraction) {
        rows.remove(hidden);
    }
}

fn server_error() -> Refusal {
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, 500, "Internal server error".to_owned())
}

fn out_of_credits(form: QuotaForm) -> Refusal {
    let words = "apiKey quota is not enough".to_owned();
    match form {
        QuotaForm::PaymentRequired => Refusal(StatusCode::PAYMENT_REQUIRED, 402, words),
        QuotaForm::Forbidden => Refusal(StatusCode::FORBIDDEN, 403, words),
        QuotaForm::Inside => Refusal(StatusCode::OK, 402, words),
        QuotaForm::Words => Refusal(StatusCode::OK, 10_002, words),
        QuotaForm::Success => Refusal(StatusCode::OK, 0, words),
        QuotaForm::Credits => Refusal(StatusCode::OK, 10_010, "Insufficient credits, please recharge".to_owned()),
        QuotaForm::ServerError => {
            let words = "Usage Limit Exceeded, Please Contact Administrator to Increase Quota";
            Refusal(StatusCode::INTERNAL_SERVER_ERROR, 500, words.to_owned())
        }
    }
}

/// An error as the contract page shows it: no `requestId`, `data` null.
fn refused(settings: &SimulatorSettings, request: &Request, refusal: Refusal, outcome: RequestOutcome) -> Answer {
    let Refusal(status, code, mut message) = refusal;
    if let (KeyEcho::Echoed, Some(key)) = (settings.contract.key_echo, &request.key) {
        message = format!("{message} (apiKey {key})");
    }
    let message = serde_json::Value::from(message);
    let body = format!(r#"{{"code":{code},"data":null,"message":{message}}}"#);
    Answer { error_inside: status == StatusCode::OK, ..json(status, body, outcome) }
}

fn json(status: StatusCode, body: String, outcome: RequestOutcome) -> Answer {
    Answer {
        status,
        content_type: "application/json",
        body,
        retry_after_s: None,
        rate_limit: None,
        location: None,
        delay: Duration::ZERO,
        stalls: false,
        error_inside: false,
        outcome,
    }
}

/// An id in the form of the vendor's example.
fn request_id(attempt: Attempt) -> String {
    let mut dice = attempt.dice(Purpose::RequestId);
    let (high, low) = (dice.next(), dice.next());
    let group = |value: u64, shift: u32| (value >> shift) & 0xffff;
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        group(high, 16),
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}
