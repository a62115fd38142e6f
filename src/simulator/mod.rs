//! The service, embedded: the newcomer's first run, the demo, and the oracle of the tests.
//!
//! A seed makes a world of rows and a schedule of faults and drift; the documented contract is served over real HTTP,
//! with each unknown as a setting. The simulator knows the truth, so an export can be compared with it as sets. It uses
//! the crate's vocabulary (units and contract) and nothing else of it, so that it cannot share the exporter's mistakes.
//!
//! Deciding is apart from doing: `world`, `faults`, `limits` and `answer` are functions of seed, settings and request;
//! `server` and `wire` hold the sockets and clocks. Beside the documented path it serves `/_truth`, `/_row` and `/_stats`,
//! which cost nothing and are not counted.

mod answer;
mod chance;
mod faults;
mod limits;
mod query;
mod replay;
mod server;
mod settings;
mod stats;
mod wire;
mod world;

#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use replay::RunningReplay;
pub use settings::*;
pub use stats::Stats;
use tokio::runtime::{Builder, Runtime};
pub use world::{Presence, TruthRow, World};

use crate::recording::Recording;

use self::answer::{Request, Service};
use self::limits::Arrival;
use self::query::Parameters;
use self::server::{Shared, router};
use self::stats::RequestOutcome;
use self::wire::{WireHandle, WireListener};

/// Threads that serve.
const WORKER_THREADS: usize = 2;
/// How long a stop waits for the threads.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a simulator did not start or change.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// A setting is out of its bounds.
    #[error("the simulator's settings cannot be used: {0}")]
    Settings(#[from] SettingsError),
    /// The address cannot be served on.
    #[error("the simulator cannot listen on {address}: {source}")]
    Listen {
        /// The asked address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The threads could not be started.
    #[error("the simulator's threads could not be started: {0}")]
    Threads(#[source] std::io::Error),
}

/// Starts simulated services.
pub struct Simulator;

/// A service that is being served until it is stopped or dropped.
pub struct RunningSimulator {
    address: SocketAddr,
    service: Arc<Service>,
    /// Gone only while the value is being dropped.
    runtime: Option<Runtime>,
}

impl Simulator {
    /// Serves `settings` on threads of its own; may be called inside and outside an async runtime.
    ///
    /// # Errors
    /// A setting out of its bounds, an address that cannot be served on, no threads.
    pub fn start(settings: SimulatorSettings) -> Result<RunningSimulator, SimulatorError> {
        settings.validate()?;
        let listen = settings.listen;
        let service = Arc::new(Service::new(settings));
        let shared = Shared { service: Arc::clone(&service), started: Instant::now() };
        let (address, runtime) = served(listen, router(shared))?;
        Ok(RunningSimulator { address, service, runtime: Some(runtime) })
    }

    /// Serves what was recorded, each question's answers in their order, and the last of them from then on.
    ///
    /// # Errors
    /// An address that cannot be served on, no threads.
    pub fn replay(recording: Recording, listen: SocketAddr) -> Result<RunningReplay, SimulatorError> {
        let (address, runtime) = served(listen, replay::router(recording))?;
        Ok(RunningReplay { address, _runtime: runtime })
    }
}

/// Serves an application on threads of its own; where it answers, and the threads.
fn served(address: SocketAddr, app: axum::Router) -> Result<(SocketAddr, Runtime), SimulatorError> {
    let refuse = |source| SimulatorError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(refuse)?;
    listener.set_nonblocking(true).map_err(refuse)?;
    let address = listener.local_addr().map_err(refuse)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .thread_name("simulator")
        .enable_all()
        .build()
        .map_err(SimulatorError::Threads)?;
    let listener = {
        let _context = runtime.enter();
        WireListener(tokio::net::TcpListener::from_std(listener).map_err(refuse)?)
    };
    runtime.spawn(async move {
        let app = app.into_make_service_with_connect_info::<WireHandle>();
        // It serves until the runtime ends and returns no error.
        let _never = axum::serve(listener, app).await;
    });
    Ok((address, runtime))
}

/// A service without a network: what it answers, asked by a function. Nothing is waited for, so its latency and its stalls are not
/// there; what breaks on its way comes as no answer.
pub struct DirectService(Service);

/// An answer of a [`DirectService`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body, whole.
    pub body: String,
    /// The `Retry-After` header, seconds.
    pub retry_after_s: Option<u32>,
}

impl DirectService {
    /// The service of these settings.
    ///
    /// # Errors
    /// A setting out of its bounds.
    pub fn new(settings: SimulatorSettings) -> Result<Self, SimulatorError> {
        settings.validate()?;
        Ok(Self(Service::new(settings)))
    }

    /// The rows, and the truth about them.
    pub fn world(&self) -> &World {
        &self.0.world
    }

    /// The answer to a request with this key, so long after the service began; none where it breaks on its way.
    pub fn ask(&self, key: &str, pairs: &[(&str, String)], uptime: Duration) -> Option<DirectAnswer> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let arrival = Arrival { uptime, wall: uptime };
        let request = Request { key: Some(key.to_owned()), parameters: Parameters(pairs), arrival };
        let (answer, _question) = self.0.answer(&request);
        let breaks = matches!(answer.outcome, RequestOutcome::Reset | RequestOutcome::Cut) || answer.stalls;
        let (status, retry_after_s) = (answer.status.as_u16(), answer.retry_after_s);
        (!breaks).then_some(DirectAnswer { status, body: answer.body, retry_after_s })
    }
}

impl RunningSimulator {
    /// Where the service answers, such as `http://127.0.0.1:40123`, without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address that is served on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.service.ledger().stats()
    }

    /// When requests arrived since the start, in their order: the first million of them.
    pub fn arrivals(&self) -> Vec<Duration> {
        self.service.ledger().arrivals()
    }

    /// The rows, and the truth about them.
    pub fn world(&self) -> &World {
        &self.service.world
    }

    /// From the next request on, other contract, limit and fault settings hold: a key is revoked, credits are bought, a
    /// poisoned second heals. Address, world, odd values, drift and filtered short pages stay as they were at the start.
    ///
    /// # Errors
    /// A setting out of its bounds; nothing changes.
    pub fn change(&self, change: impl FnOnce(&mut SimulatorSettings)) -> Result<(), SimulatorError> {
        let mut settings = SimulatorSettings::clone(&self.service.settings());
        change(&mut settings);
        settings.validate()?;
        self.service.replace_settings(settings);
        Ok(())
    }

    /// Ends every connection and frees the address; returns what had happened.
    pub fn stop(mut self) -> Stats {
        self.end();
        self.stats()
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // On a thread of its own, because an async caller may not wait for a runtime to end.
            let ended = std::thread::spawn(move || runtime.shutdown_timeout(STOP_TIMEOUT)).join();
            debug_assert!(ended.is_ok(), "ending a runtime does not panic");
        }
    }
}

impl Drop for RunningSimulator {
    fn drop(&mut self) {
        self.end();
    }
}
