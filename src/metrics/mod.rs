//! What a run tells Prometheus: a file for node_exporter's textfile collector, and a page to be scraped while it is at work.
//!
//! What is told at a moment is decided in `sheet`, as a pure function of the progress, the end, and what the file told before;
//! `families` names the metrics, `text` writes and reads their format. This file writes, at the beginning, every [`INTERVAL`] and
//! at each end. Nothing here may stop a run or change its exit code once it has begun. No label and no number holds anything secret.

mod families;
mod server;
mod sheet;
mod text;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::failure::ExitCode;
use crate::progress::Progress;
use crate::replaced::{self, Readers};
use crate::summary::Summary;
use crate::units::Credits;

use sheet::{End, Moment};
use text::Former;

/// How often the file is written while a start is at work: as often as Prometheus usually looks.
pub const INTERVAL: Duration = Duration::from_secs(15);
/// How long the end waits for the file to be written.
const LAST_WRITE: Duration = Duration::from_secs(5);
/// The same where the process must end at once.
const HURRIED_WRITE: Duration = Duration::from_millis(200);
/// The most that is read of a former file, bytes: a hundred times what is written for a hundred regions.
const LARGEST_FORMER_BYTES: u64 = 1 << 20;

/// Every metric's name, in the order in which it is told.
pub fn names() -> impl Iterator<Item = &'static str> {
    families::ALL.into_iter().map(|family| family.name)
}

/// The metrics of one start. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    output: String,
    file: Option<PathBuf>,
    max_credits: Option<Credits>,
    progress: Progress,
    started_at: f64,
    end: Mutex<Option<End>>,
    former: Mutex<Arc<Former>>,
    claim: Mutex<Claim>,
}

/// Whose the file is.
#[derive(Debug)]
enum Claim {
    /// Not ours: not yet, because another start at work holds it, or no more.
    None,
    /// This start's, as long as the lock's file is open.
    Held { _lock: File },
    /// It may not be written: nobody has said yet that it may, or it cannot be, which was told.
    Barred,
}

/// Metrics that cannot be told, found out before anything is sent.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The file or its folder.
    #[error("writing the metrics to {}: {source}", path.display())]
    Write {
        /// The file as named.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The address.
    #[error("serving the metrics on {address}: {source}")]
    Listen {
        /// The address as named.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl Metrics {
    /// The metrics of a start that begins now; its file is not written before [`Metrics::begin`], whatever comes.
    pub fn new(output: String, file: Option<PathBuf>, max_credits: Option<Credits>, progress: Progress) -> Self {
        let (end, former, claim) = (Mutex::default(), Mutex::default(), Mutex::new(Claim::Barred));
        Self(Arc::new(Shared { output, file, max_credits, progress, started_at: now(), end, former, claim }))
    }

    /// Tries the file, where there is one, and writes it for the first time; then keeps it up to date. Must be called inside a runtime.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn begin(&self) -> Result<(), MetricsError> {
        let Some(path) = &self.0.file else { return Ok(()) };
        *locked(&self.0.claim) = Claim::None;
        let tried = replaced::prepare(path).and_then(|()| self.0.write());
        let written = tried.map_err(|source| {
            *locked(&self.0.claim) = Claim::Barred;
            MetricsError::Write { path: path.clone(), source }
        })?;
        if written == Written::NotOurs {
            let file = path.display();
            tracing::warn!(%file, "another start is at work and writes the metrics file; this one writes it once that has ended");
        }
        tokio::spawn(keep_writing(self.clone()));
        Ok(())
    }

    /// Serves the metrics on an address until the process ends; the address that is served on. Must be called inside a runtime.
    ///
    /// # Errors
    /// An address that cannot be served on.
    pub fn serve(&self, address: SocketAddr) -> Result<SocketAddr, MetricsError> {
        let metrics = self.clone();
        server::serve(address, move || metrics.0.text()).map_err(|source| MetricsError::Listen { address, source })
    }

    /// Tells how the start ended, and leaves the file to the next one.
    pub async fn end(&self, code: ExitCode, summary: Option<&Summary>) {
        self.0.set_end(code, summary.cloned());
        let Some(path) = &self.0.file else { return };
        let shared = Arc::clone(&self.0);
        let last = tokio::task::spawn_blocking(move || shared.write_last());
        let why = match tokio::time::timeout(LAST_WRITE, last).await {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it took longer than {} s", LAST_WRITE.as_secs()),
        };
        tracing::error!(file = %path.display(), error = why, "the metrics file could not be written");
    }

    /// The same where the process is about to end at once: waits no longer than a moment, and says nothing.
    pub fn end_at_once(&self, code: ExitCode) {
        if self.0.file.is_none() || self.0.set_end(code, None) == Ended::Before {
            return;
        }
        let shared = Arc::clone(&self.0);
        let (done, written) = mpsc::channel();
        // A thread of its own, so that a disk that hangs keeps nobody waiting; nobody is left to be told of a failure.
        let last = move || drop(done.send(shared.write_last()));
        if let Ok(thread) = std::thread::Builder::new().name("metrics".to_owned()).spawn(last)
            && written.recv_timeout(HURRIED_WRITE).is_ok()
        {
            drop(thread.join());
        }
    }
}

/// Whether a start had said before how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Now,
    Before,
}

/// Whether the file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Whole,
    NotOurs,
}

async fn keep_writing(metrics: Metrics) {
    let mut told = false;
    while locked(&metrics.0.end).is_none() {
        tokio::time::sleep(INTERVAL).await;
        let shared = Arc::clone(&metrics.0);
        let write = move || if locked(&shared.end).is_none() { shared.write().map(drop) } else { Ok(()) };
        let Ok(Err(error)) = tokio::task::spawn_blocking(write).await else { continue };
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(%error, "the metrics file could not be written; it is tried again, and the run goes on");
        }
    }
}

impl Shared {
    fn text(&self) -> String {
        let (view, runs) = (self.progress.view(), self.progress.runs());
        let (end, former) = (locked(&self.end).clone(), Arc::clone(&locked(&self.former)));
        let moment = Moment {
            output: &self.output,
            started_at: self.started_at,
            now: now(),
            max_credits: self.max_credits,
            view: &view,
            runs: &runs,
            end: end.as_ref(),
        };
        sheet::tell(&moment, &former)
    }

    /// The first end counts: what follows it is only the way out.
    fn set_end(&self, code: ExitCode, summary: Option<Summary>) -> Ended {
        let mut end = locked(&self.end);
        if end.is_some() {
            return Ended::Before;
        }
        *end = Some(End { code, at: now(), summary });
        Ended::Now
    }

    fn write(&self) -> io::Result<Written> {
        let Some(path) = &self.file else { return Ok(Written::NotOurs) };
        let mut claim = locked(&self.claim);
        if matches!(*claim, Claim::Barred) {
            return Ok(Written::NotOurs);
        }
        if matches!(*claim, Claim::None) {
            let Some(lock) = take_lock(path)? else { return Ok(Written::NotOurs) };
            *locked(&self.former) = Arc::new(former(path));
            *claim = Claim::Held { _lock: lock };
        }
        replaced::replace(path, self.text().as_bytes(), Readers::Everybody).map(|()| Written::Whole)
    }

    fn write_last(&self) -> io::Result<()> {
        let written = self.write();
        let mut claim = locked(&self.claim);
        if matches!(*claim, Claim::Held { .. }) {
            *claim = Claim::None;
        }
        written.map(drop)
    }
}

/// The lock of a file that one start writes at a time, released by the kernel when that process dies; none where another holds it.
/// A file system without locks has none to refuse.
fn take_lock(path: &Path) -> io::Result<Option<File>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lock = path.with_file_name(format!(".{name}.lock"));
    crate::folder::refuse_link(&lock)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
    }
}

/// What the file told before; nothing where there is none. One that cannot be read is told of, since its last success is lost.
fn former(path: &Path) -> Former {
    let read = || -> io::Result<String> {
        let mut text = Vec::new();
        File::open(path)?.take(LARGEST_FORMER_BYTES).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    match read() {
        Ok(text) => Former::read(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Former::default(),
        Err(error) => {
            let file = path.display();
            tracing::warn!(%file, %error, "the former metrics file could not be read; its counts and its last success are lost");
            Former::default()
        }
    }
}

/// Nothing is left half done under these locks, so a panic elsewhere does not spoil them.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since the epoch, to the millisecond.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^52")]
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64 / 1_000.0
}
