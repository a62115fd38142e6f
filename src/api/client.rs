//! One request over the wire, one reply. No redirects, no hidden retries, no proxy unless asked; the body is bounded.
//!
//! It sends when told and never decides to. The invariant: the key leaves this file only in a header, to TLS or loopback,
//! and never comes back, since whatever the service echoes of it is blotted out before anyone else sees the answer.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{ACCEPT_ENCODING, AGE, CONTENT_ENCODING, DATE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, Url};
use secrecy::{ExposeSecret, SecretString};

use super::contract::PageQuery;
use super::host::{is_loopback, place};
use super::proxy::ProxyAddress;
use super::redaction::Blotter;
use super::reply::Heard;
use super::signals::{Signals, moment_ms};
use super::transport::{chain, lacks_authorities, of_connection};
use super::unpack::{UnpackError, unpack};
use super::words::quoted;
use crate::units::{ByteCount, EpochSeconds};

pub use super::transport::{InVain, TransportError};

/// What answers may be packed with.
const ACCEPTED: &str = "gzip, br, zstd";

/// Bytes for which room is made before they come, at most: a service may tell any length.
const MOST_ROOM: usize = 64 << 10;
/// Bytes of an answer that are worked on at once. A usual page has a dozen KiB; so many are a fraction of a millisecond.
const USUAL_BYTES: usize = 64 << 10;

/// The variables that name certificate authorities in place of the system's own, as OpenSSL and rustls read them.
const AUTHORITIES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Where to send requests and within which bounds.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Scheme, host and port; the path is apart.
    pub base_url: String,
    /// The endpoint's path, beginning with `/`.
    pub path: String,
    /// The header that carries the key.
    pub auth_header: String,
    /// The word before the key in that header; empty for none.
    pub auth_scheme: String,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// How long one request may take in all.
    pub request_timeout: Duration,
    /// The largest body that is read, after decompression.
    pub body_limit: ByteCount,
    /// A proxy; none is used, not even from the environment, unless this is set.
    pub proxy: Option<ProxyAddress>,
    /// Connections kept open for the next request.
    pub idle_connections: usize,
}

/// Sends page queries. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Url,
    /// Host and port of the proxy, where there is one.
    proxy: Option<String>,
    blotter: Arc<Blotter>,
    body_limit: ByteCount,
    request_timeout: Duration,
    /// The clocks at the first answer, whatever it was; none inside where it did not tell the service's.
    first_answer: Arc<OnceLock<Option<Clocks>>>,
}

/// Two clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// This machine's.
    pub ours: EpochSeconds,
    /// The service's.
    pub service: EpochSeconds,
}

impl Clocks {
    /// How far this machine's clock is ahead of the service's, seconds; negative where it is behind.
    pub fn ahead_s(&self) -> i64 {
        self.ours.since(self.service)
    }
}

/// What came back, whatever it means.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// What its headers say.
    pub signals: Signals,
    /// The body, decompressed; empty where it did not come whole.
    pub body: Vec<u8>,
    /// Why the body did not come whole, or could not be unpacked.
    pub broken: Option<String>,
    /// When it had arrived, milliseconds since the epoch.
    pub received_at_ms: i64,
}

/// Settings that no client can be made of.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address does not parse.
    #[error("the service's address `{address}` is not a URL: {why}")]
    Address {
        /// As it was set.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// The key would travel in clear text.
    #[error("the service's address `{0}` is not https; a key is sent in clear text to this machine alone")]
    ClearText(String),
    /// The key would travel in clear text to a proxy, and beyond it.
    #[error("the service's address `{address}` is not https, so the key would pass the proxy {proxy} in clear text")]
    ClearTextToProxy {
        /// The service's address.
        address: String,
        /// The proxy's host and port.
        proxy: String,
    },
    /// The header's name or the key has characters that no header may hold.
    #[error("{0} holds characters that an HTTP header cannot carry")]
    Header(&'static str),
    /// Nobody is known who could vouch for the service's certificate.
    #[error("this machine knows no certificate authority, so the service's TLS certificate cannot be checked{}", tried(.0))]
    NoAuthorities(Vec<(&'static str, String)>),
    /// The TLS set-up or the proxy was refused.
    #[error("the HTTP client could not be set up: {0}")]
    Setup(String),
}

impl ClientError {
    /// What to do next; none where the error says it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoAuthorities(_) => Some(
                "install the system's CA bundle (the package ca-certificates), or name one: SSL_CERT_FILE=FILE, in PEM",
            ),
            Self::ClearTextToProxy { .. } => Some(
                "leave service.proxy out, or give an https address of the service; a proxy on this machine may see the key",
            ),
            _ => None,
        }
    }
}

impl Reply {
    /// The answer as it is judged.
    pub fn heard(&self) -> Heard<'_> {
        Heard { status: self.status, signals: &self.signals, body: &self.body, broken: self.broken.as_deref() }
    }
}

impl Client {
    /// Prepares a client; sends nothing.
    ///
    /// # Errors
    /// An address that is no URL or would carry the key in clear text beyond loopback, a key that no header can hold, a system
    /// without certificate authorities where TLS is spoken.
    pub fn new(settings: &ClientSettings, token: SecretString) -> Result<Self, ClientError> {
        let endpoint = endpoint(settings)?;
        let builder = builder(settings.proxy.as_ref())?
            .default_headers(auth_headers(settings, &token)?)
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            .pool_max_idle_per_host(settings.idle_connections)
            .tcp_nodelay(true);
        // Without TLS nobody has to vouch for a certificate, so a system that has no authorities will do.
        let builder = if speaks_tls(&endpoint, settings) { builder } else { builder.tls_certs_only([]) };
        let http = builder.build().map_err(|error| unbuilt(&error))?;
        let (body_limit, request_timeout) = (settings.body_limit, settings.request_timeout);
        let first_answer = Arc::default();
        let proxy = settings.proxy.as_ref().map(ProxyAddress::place);
        let blotter = Arc::new(Blotter::new(&token));
        Ok(Self { http, endpoint, proxy, blotter, body_limit, request_timeout, first_answer })
    }

    /// Whether any answer has come yet, whatever it was.
    pub fn has_answered(&self) -> bool {
        self.first_answer.get().is_some()
    }

    /// The clocks at the first answer; none before it, or where it did not tell the service's.
    pub fn clocks(&self) -> Option<Clocks> {
        self.first_answer.get().copied().flatten()
    }

    /// Sends one request and reads its answer whole. Where the body does not come whole, what its status and headers say stands
    /// all the same. Dropping the future gives up the answer, not the credit.
    ///
    /// # Errors
    /// Where no answer came; the service may have charged it all the same.
    pub async fn send(&self, query: &PageQuery) -> Result<Reply, TransportError> {
        self.ask(&query.pairs()).await
    }

    /// The same with parameters as they are given, which may lie beyond the contract's bounds.
    ///
    /// # Errors
    /// Those of [`Client::send`].
    pub async fn ask(&self, pairs: &[(&str, String)]) -> Result<Reply, TransportError> {
        let mut url = self.endpoint.clone();
        url.query_pairs_mut().extend_pairs(pairs);
        let response = self.http.get(url).send().await.map_err(|error| self.transport(&error))?;
        let status = response.status().as_u16();
        self.first_answer.get_or_init(|| clocks(response.headers(), now_ms()));
        let signals = Signals::read(response.headers(), now_ms(), |text| self.without_key(text));
        let said = packed_as(response.headers());
        let read = match self.read_body(response).await {
            Ok(packed) => self.clean(packed, said).await,
            Err(error) => Err(error),
        };
        let (body, broken) = match read {
            Ok(body) => (body, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        Ok(Reply { status, signals, body, broken, received_at_ms: now_ms() })
    }

    /// The body, unpacked, with a blot in place of every echo of the key.
    async fn clean(&self, packed: Vec<u8>, said: String) -> Result<Vec<u8>, TransportError> {
        let client = self.clone();
        let cleaned =
            apart_where_long(packed.len(), move || client.unpack(packed, &said).map(|body| client.blotter.blot(body)));
        cleaned.await.unwrap_or_else(|| Err(TransportError::Body("the program is ending".to_owned())))
    }

    async fn read_body(&self, mut response: Response) -> Result<Vec<u8>, TransportError> {
        let told = response.content_length().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
        let mut body = Vec::with_capacity(told.min(self.limit()).min(MOST_ROOM));
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(&error))? {
            if body.len().saturating_add(chunk.len()) > self.limit() {
                return Err(TransportError::TooLarge(self.body_limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unpack(&self, body: Vec<u8>, said: &str) -> Result<Vec<u8>, TransportError> {
        unpack(body, said, self.limit()).map_err(|error| match error {
            UnpackError::Damaged { coding, why } => {
                TransportError::Packed { coding: quoted(&self.without_key(&coding)), why: why.to_string() }
            }
            UnpackError::TooLarge => TransportError::TooLarge(self.body_limit),
        })
    }

    fn limit(&self) -> usize {
        usize::try_from(self.body_limit.get()).unwrap_or(usize::MAX)
    }

    fn without_key(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.blotter.blot(text.as_bytes().to_vec())).into_owned()
    }

    fn transport(&self, error: &reqwest::Error) -> TransportError {
        if error.is_timeout() {
            TransportError::Timeout(self.request_timeout)
        } else if error.is_body() || error.is_decode() {
            TransportError::Body(chain(error))
        } else {
            of_connection(error, (&place(&self.endpoint), self.proxy.as_deref()))
        }
    }
}

/// Does work on so many bytes of an answer: a usual page's at once, a longer one's on a thread for calls that block, so that no answer
/// keeps the one thread of all tasks busy for long. None where the runtime ends before.
pub async fn apart_where_long<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if bytes <= USUAL_BYTES {
        return Some(work());
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(error) => error.try_into_panic().map_or(None, |panic| std::panic::resume_unwind(panic)),
    }
}

/// Whether TLS is spoken to the service or to the proxy before it.
fn speaks_tls(endpoint: &Url, settings: &ClientSettings) -> bool {
    endpoint.scheme() == "https" || settings.proxy.as_ref().is_some_and(ProxyAddress::speaks_tls)
}

/// Why there is no client.
pub(super) fn unbuilt(error: &reqwest::Error) -> ClientError {
    if !lacks_authorities(error) {
        return ClientError::Setup(chain(error));
    }
    let set = AUTHORITIES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    ClientError::NoAuthorities(set.map(|(name, place)| (name, place.to_string_lossy().into_owned())).collect())
}

/// Where the variables that replace the system's authorities point to.
fn tried(variables: &[(&'static str, String)]) -> String {
    let texts: Vec<String> = variables.iter().map(|(name, place)| format!("{name}={place}")).collect();
    if texts.is_empty() { String::new() } else { format!(" (looked in {})", texts.join(", ")) }
}

/// What holds for every request that leaves this program: its certificates, no redirects, no hidden retries, no proxy unless set.
pub(super) fn builder(proxy: Option<&ProxyAddress>) -> Result<reqwest::ClientBuilder, ClientError> {
    // A provider that is installed already serves as well, so a refusal is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("keyapi-export/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        // The client of the buckets brings HTTP/2 into the build; one connection for all requests would be another behaviour.
        .http1_only();
    match proxy {
        Some(address) => {
            let proxy =
                reqwest::Proxy::all(address.url().clone()).map_err(|error| ClientError::Setup(chain(&error)))?;
            Ok(builder.proxy(proxy))
        }
        None => Ok(builder.no_proxy()),
    }
}

/// How the body is said to be packed.
fn packed_as(headers: &HeaderMap) -> String {
    let said = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    said.collect::<Vec<_>>().join(",")
}

fn endpoint(settings: &ClientSettings) -> Result<Url, ClientError> {
    let address = format!("{}{}", settings.base_url.trim_end_matches('/'), settings.path);
    let bad = |why: String| ClientError::Address { address: address.clone(), why };
    let url = Url::parse(&address).map_err(|error| bad(error.to_string()))?;
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => Ok(url),
        ("http", Some(host)) if is_loopback(host) => match &settings.proxy {
            Some(proxy) if !proxy.is_loopback() => Err(ClientError::ClearTextToProxy { address, proxy: proxy.place() }),
            _ => Ok(url),
        },
        ("http", Some(_)) => Err(ClientError::ClearText(address)),
        _ => Err(bad("it begins with neither https:// nor http://".to_owned())),
    }
}

fn auth_headers(settings: &ClientSettings, token: &SecretString) -> Result<HeaderMap, ClientError> {
    let name = HeaderName::from_bytes(settings.auth_header.as_bytes())
        .map_err(|_| ClientError::Header("the name of the key's header"))?;
    let value = format!("{} {}", settings.auth_scheme, token.expose_secret());
    let mut value = HeaderValue::from_str(value.trim_start()).map_err(|_| ClientError::Header("the key"))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(name, value), (ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED))]))
}

/// The service's clock by `Date`, plus `Age` where a cache kept the answer (RFC 9110, 9111). What cannot be read says nothing.
fn clocks(headers: &HeaderMap, now_ms: i64) -> Option<Clocks> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let date = moment_ms(text(DATE)?)?.div_euclid(1_000);
    let age = text(AGE).and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
    let ours = EpochSeconds::new(now_ms.div_euclid(1_000));
    Some(Clocks { ours, service: EpochSeconds::new(date).shifted(i64::from(age)) })
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(base_url: &str) -> ClientSettings {
        ClientSettings {
            base_url: base_url.to_owned(),
            path: "/v1/x".to_owned(),
            auth_header: "Authorization".to_owned(),
            auth_scheme: "Bearer".to_owned(),
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(1),
            body_limit: ByteCount::new(1000),
            proxy: None,
            idle_connections: 1,
        }
    }

    fn made(base_url: &str, token: &str) -> Result<Client, ClientError> {
        Client::new(&settings(base_url), SecretString::from(token))
    }

    #[test]
    fn a_key_goes_to_tls_or_to_this_machine_alone() {
        for good in ["https://api.keyapi.ai", "http://127.0.0.1:8", "http://localhost/", "http://[::1]:1"] {
            assert!(made(good, "k").is_ok(), "{good}");
        }
        assert!(matches!(made("http://api.keyapi.ai", "k"), Err(ClientError::ClearText(_))));
        assert!(matches!(made("http://127.0.0.1.example.org", "k"), Err(ClientError::ClearText(_))));
        assert!(matches!(made("ftp://localhost", "k"), Err(ClientError::Address { .. })));
        assert!(matches!(made("api.keyapi.ai", "k"), Err(ClientError::Address { .. })));
    }

    #[test]
    fn a_key_passes_no_proxy_in_clear_text_but_one_on_this_machine() {
        let through = |base_url: &str, proxy: &str| {
            let settings = ClientSettings { proxy: Some(proxy.parse().unwrap()), ..settings(base_url) };
            Client::new(&settings, SecretString::from("k"))
        };
        let client = through("https://api.keyapi.ai", "http://someone:hidden@proxy.example:3128").unwrap();
        assert!(!format!("{client:?}").contains("hidden"), "{client:?}");
        assert!(through("http://127.0.0.1:8", "http://127.0.0.1:3128").is_ok());
        let refused = through("http://127.0.0.1:8", "https://someone:hidden@proxy.example").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the service's address `http://127.0.0.1:8/v1/x` is not https, so the key would pass the proxy proxy.example:443 in clear text"
        );
    }

    #[test]
    fn a_key_that_no_header_can_hold_is_refused_without_showing_it() {
        let error = made("https://x.example", "sk\nlive").unwrap_err();
        assert_eq!(error.to_string(), "the key holds characters that an HTTP header cannot carry");
    }

    #[test]
    fn the_key_is_in_no_debug_text() {
        let client = made("https://x.example", "sk_live_secret").unwrap();
        assert!(!format!("{client:?}").contains("sk_live_secret"));
    }

    #[test]
    fn the_services_clock_is_its_date_and_the_age_of_a_kept_answer() {
        let of = |pairs: &[(HeaderName, &str)]| {
            let headers = pairs.iter().map(|(name, text)| (name.clone(), HeaderValue::from_str(text).unwrap()));
            clocks(&HeaderMap::from_iter(headers), 1_767_213_318_000).map(|clocks| clocks.ahead_s())
        };
        let date = "Wed, 31 Dec 2025 20:35:20 GMT";
        assert_eq!(of(&[(DATE, date)]), Some(-2));
        assert_eq!(of(&[(DATE, "Wed, 31 Dec 2025 19:35:20 GMT"), (AGE, "3600")]), Some(-2));
        assert_eq!(of(&[(DATE, date), (AGE, "old")]), Some(-2));
        assert_eq!(of(&[(DATE, "yesterday")]), None);
        assert_eq!(of(&[(AGE, "3")]), None);
    }
}
