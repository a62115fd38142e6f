//! The service on the network: sockets, clocks, waiting, and what happens to answers on their way.
//!
//! It runs on threads of its own, so that its clock and its faults are real whatever its user's runtime does.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use futures::stream;

use super::answer::{Answer, Question, Request, Service};
use super::limits::Arrival;
use super::query::Parameters;
use super::settings::{Compression, Moment};
use super::stats::RequestOutcome;
use super::wire::WireHandle;
use super::world::World;
use crate::api::contract::{Filters, Region, SOURCE};
use crate::units::{EpochSeconds, TimeRange};

/// The stretches in which the truth is told, so that it never stands in memory as a whole.
const TRUTH_STRETCHES: i64 = 256;

/// What every handler shares.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) service: Arc<Service>,
    pub(super) started: Instant,
}

type Pairs = Query<Vec<(String, String)>>;

/// The documented path, and the simulator's own.
pub(super) fn router(shared: Shared) -> Router {
    Router::new()
        .route(SOURCE.path, get(page))
        .route("/_truth", get(truth))
        .route("/_row", get(row))
        .route("/_stats", get(stats))
        .fallback(|| async {
            plain(StatusCode::NOT_FOUND, r#"{"code":404,"data":null,"message":"Not Found"}"#.to_owned())
        })
        .with_state(shared)
}

/// A request that is under way; counts as abandoned if it is dropped before its answer.
struct UnderWay {
    service: Arc<Service>,
    question: Question,
    finished: bool,
}

impl UnderWay {
    fn finish(mut self, outcome: RequestOutcome) {
        self.finished = true;
        self.service.ledger().finish(outcome, &self.question.identity, self.question.hash);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.finished {
            self.service.ledger().abandon();
        }
    }
}

async fn page(
    State(shared): State<Shared>,
    ConnectInfo(wire): ConnectInfo<WireHandle>,
    headers: HeaderMap,
    Query(pairs): Pairs,
) -> Response<Body> {
    let request = Request { key: key(&headers), parameters: Parameters(pairs), arrival: shared.now() };
    let (answer, question) = shared.service.answer(&request);
    let under_way = UnderWay { service: Arc::clone(&shared.service), question, finished: false };
    wait(&shared.service, &answer).await;
    let outcome = answer.outcome;
    let response = if outcome == RequestOutcome::Reset {
        wire.reset();
        Response::new(Body::empty())
    } else {
        count_answer(&shared.service, &answer);
        dated(respond(answer, accepts_gzip(&shared.service, &headers)), &shared.service)
    };
    under_way.finish(outcome);
    response
}

impl Shared {
    fn now(&self) -> Arrival {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Arrival { uptime: self.started.elapsed(), wall }
    }
}

async fn wait(service: &Service, answer: &Answer) {
    if answer.stalls {
        service.ledger().stall();
    }
    if answer.delay > Duration::ZERO {
        tokio::time::sleep(answer.delay).await;
    }
}

fn count_answer(service: &Service, answer: &Answer) {
    let mut ledger = service.ledger();
    ledger.answer(answer.status.as_u16());
    if answer.error_inside {
        ledger.error_inside();
    }
}

/// The key of `Authorization: Bearer KEY`.
fn key(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let key = value.strip_prefix("Bearer ")?.trim();
    (!key.is_empty()).then(|| key.to_owned())
}

/// In how many members the answer is packed; none where it is not.
fn accepts_gzip(service: &Service, headers: &HeaderMap) -> Option<usize> {
    let accepted = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let wanted = accepted.split(',').any(|part| part.trim().starts_with("gzip"));
    match service.settings().contract.compression {
        Compression::Gzip if wanted => Some(1),
        Compression::GzipMembers if wanted => Some(2),
        _ => None,
    }
}

fn respond(answer: Answer, gzip: Option<usize>) -> Response<Body> {
    let cut = answer.outcome == RequestOutcome::Cut;
    let (bytes, encoded) = encode(answer.body.into_bytes(), gzip);
    let length = bytes.len();
    let body = if cut { half(bytes) } else { Body::from(bytes) };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if answer.status != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(place) = answer.location {
        headers.insert(header::LOCATION, HeaderValue::from_static(place));
    }
    if encoded {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Some(limit) = answer.rate_limit {
        headers.insert("x-ratelimit-limit", HeaderValue::from(limit));
    }
    if let Some(seconds) = answer.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The answer with the clock that the settings give it; where they give none, the server's own `Date` stands.
fn dated(mut response: Response<Body>, service: &Service) -> Response<Body> {
    let contract = &service.settings().contract;
    if let Some(date) = other_date(contract.date_offset_s) {
        response.headers_mut().insert(header::DATE, date);
    }
    if let Some(age) = contract.age_s {
        response.headers_mut().insert(header::AGE, HeaderValue::from(age));
    }
    response
}

/// The `Date` of a clock that is so far from this machine's; none of one that is like it.
fn other_date(offset_s: i32) -> Option<HeaderValue> {
    let offset = (offset_s != 0).then(|| jiff::SignedDuration::from_secs(offset_s.into()))?;
    let moment = jiff::Timestamp::now().checked_add(offset).ok()?;
    HeaderValue::from_str(&moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
}

/// The bytes compressed in so many members, where that is asked; and whether they are.
fn encode(plain: Vec<u8>, members: Option<usize>) -> (Vec<u8>, bool) {
    let Some(members) = members.filter(|_| !plain.is_empty()) else { return (plain, false) };
    let mut packed = Vec::new();
    for piece in plain.chunks(plain.len().div_ceil(members)) {
        let mut encoder = GzEncoder::new(&mut packed, Level::fast());
        if encoder.write_all(piece).and_then(|()| encoder.finish()).is_err() {
            return (plain, false);
        }
    }
    (packed, true)
}

/// The first half of `bytes`, and then an error that makes the server drop the connection.
fn half(mut bytes: Vec<u8>) -> Body {
    bytes.truncate(bytes.len() / 2);
    Body::from_stream(stream::unfold(Some(bytes), |first| async move {
        match first {
            Some(bytes) => Some((Ok::<_, io::Error>(Bytes::from(bytes)), None)),
            None => {
                // One turn of the loop lets what was written leave the machine.
                tokio::task::yield_now().await;
                Some((Err(io::ErrorKind::ConnectionAborted.into()), None))
            }
        }
    }))
}

async fn stats(State(shared): State<Shared>) -> Response<Body> {
    let stats = shared.service.ledger().stats();
    plain(StatusCode::OK, serde_json::to_string_pretty(&stats).unwrap_or_default())
}

/// `GET /_row?region=US&video_id=…`: the row's JSON exactly as it is served.
async fn row(State(shared): State<Shared>, Query(pairs): Pairs) -> Response<Body> {
    let parameters = Parameters(pairs);
    let region = parameters.get("region").and_then(|code| code.parse::<Region>().ok());
    let find = |region| shared.service.world.row_json(&region, parameters.get("video_id")?);
    match region.and_then(find) {
        Some(json) => plain(StatusCode::OK, json),
        None => plain(StatusCode::NOT_FOUND, "no such row".to_owned()),
    }
}

/// `GET /_truth?region=US&from=…&to=…` with any documented filter: the truth of `[from, to)` as JSON lines.
async fn truth(State(shared): State<Shared>, Query(pairs): Pairs) -> Response<Body> {
    match TruthQuestion::read(&Parameters(pairs), &shared.service.world) {
        Ok(question) => Response::new(question.lines(shared.service)),
        Err(message) => plain(StatusCode::BAD_REQUEST, message),
    }
}

struct TruthQuestion {
    region: Region,
    filters: Filters,
    range: TimeRange,
}

impl TruthQuestion {
    fn read(parameters: &Parameters, world: &World) -> Result<Self, String> {
        let region = parameters.get("region").unwrap_or_default();
        let region = region.parse::<Region>().map_err(|error| error.to_string())?;
        let moment = |name, otherwise| match parameters.get(name).map(str::parse::<Moment>) {
            Some(moment) => moment.map(|moment| moment.0).map_err(|error| error.to_string()),
            None => Ok(otherwise),
        };
        let range = TimeRange::new(moment("from", world.range().start)?, moment("to", world.range().end)?);
        Ok(Self { region, filters: parameters.filters()?, range: range.intersection(world.range()) })
    }

    /// One stretch of time after the other.
    fn lines(self, service: Arc<Service>) -> Body {
        let TimeRange { start, end } = self.range;
        let step = self.range.seconds() / TRUTH_STRETCHES + 1;
        let next = move |start: EpochSeconds| {
            let stretch = TimeRange::new(start, end.min(start.shifted(step)));
            let more = !stretch.is_empty();
            let text = more.then(|| self.text(&service.world, stretch));
            async move { text.map(|text| (Ok::<_, Infallible>(text), stretch.end)) }
        };
        Body::from_stream(stream::unfold(start, next))
    }

    fn text(&self, world: &World, stretch: TimeRange) -> String {
        let mut lines = String::new();
        for row in world.truth(&self.region, &self.filters, stretch) {
            lines.push_str(&serde_json::to_string(&row).unwrap_or_default());
            lines.push('\n');
        }
        lines
    }
}

fn plain(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
