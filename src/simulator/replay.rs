//! A recording that is served again: each question's answers in the order in which they came, and the last of them from then on.
//!
//! A question that was not recorded gets a clear refusal. The key is not looked at.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use tokio::runtime::Runtime;

use super::wire::WireHandle;
use crate::recording::{Recorded, Recording, request};

/// The longest that an answer is held back to come as late as it did.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// A recording that is being served until it is dropped.
pub struct RunningReplay {
    pub(super) address: SocketAddr,
    pub(super) _runtime: Runtime,
}

impl RunningReplay {
    /// Where it answers, such as `http://127.0.0.1:40123`, without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// What was recorded, by question.
struct Replay {
    answers: HashMap<String, Vec<Recorded>>,
    asked: Mutex<HashMap<String, usize>>,
    flags: String,
}

/// Every path serves the recording.
pub(super) fn router(recording: Recording) -> Router {
    let mut answers: HashMap<String, Vec<Recorded>> = HashMap::new();
    for recorded in recording.answers {
        answers.entry(recorded.request.clone()).or_default().push(recorded);
    }
    let replay = Replay { answers, asked: Mutex::default(), flags: recording.about.flags() };
    Router::new().fallback(answer).with_state(Arc::new(replay))
}

async fn answer(
    State(replay): State<Arc<Replay>>,
    ConnectInfo(wire): ConnectInfo<WireHandle>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response<Body> {
    let identity = request(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let Some(recorded) = replay.next(&identity) else { return unrecorded(&replay.flags) };
    tokio::time::sleep(Duration::from_millis(recorded.took_ms).min(LONGEST_DELAY)).await;
    let Some(status) =
        recorded.status.and_then(|status| StatusCode::from_u16(status).ok()).filter(|_| !recorded.is_cut)
    else {
        wire.reset();
        return Response::new(Body::empty());
    };
    served(status, recorded)
}

impl Replay {
    /// The next answer to a question.
    fn next(&self, identity: &str) -> Option<Recorded> {
        let answers = self.answers.get(identity)?;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times = asked.entry(identity.to_owned()).or_default();
        let place = (*times).min(answers.len().saturating_sub(1));
        *times += 1;
        answers.get(place).cloned()
    }
}

fn served(status: StatusCode, recorded: Recorded) -> Response<Body> {
    let mut response = Response::new(Body::from(recorded.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in recorded.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(&value)) {
            headers.insert(name, value);
        }
    }
    response
}

fn unrecorded(flags: &str) -> Response<Body> {
    let message = format!("this request is not in the recording; it was made by: keyapi-export check {flags}");
    let body = serde_json::json!({ "code": 404, "data": null, "message": message });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
