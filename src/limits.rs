//! What the system allows this process: descriptors, threads, sizes of files, core files.
//!
//! Whatever can be known before the first credit is looked at here, so that a run does not pay for pages and then finds that it
//! cannot keep them. Each refusal names the limit, what is needed, and what to do.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{ExitCode, Failure};

/// Threads of the runtime for calls that block: files, names of hosts.
const MOST_BLOCKING: usize = 32;
/// As many of them as a run needs at once.
const USUAL_BLOCKING: usize = 4;
/// Threads of our own: the journal's writer, the two halves of the writer of parts, the one that ends a run that does not stop, the simulator's.
const OWN_THREADS: usize = 5;
/// A thread that waits for work is kept for a run's length: it may be that none can be had later.
const KEEP_ALIVE: Duration = Duration::from_secs(24 * 3_600);

/// Descriptors that a run needs beside those of requests: journal and its readers, locks, a part and its folder, the runtime's own.
const OWN_FILES: u64 = 32;
/// Descriptors that the runtime itself needs.
const RUNTIME_FILES: u64 = 8;
/// Descriptors of a request on its way: its connection, and the look-up or second connection while it is made.
const FILES_A_REQUEST: u64 = 2;
/// The least size that a file must be allowed: the ballast, and the journal's log before it is moved.
const LEAST_FILE_BYTES: u64 = 16 << 20;

/// Lets the system keep no image of this process when it breaks down: the key would be in it.
pub fn keep_no_core() {
    let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
    // A system that refuses to lower a limit of our own does not exist.
    let _ = setrlimit(Resource::Core, none);
}

/// The runtime of the process, once it is known that the system gives the threads that a run needs.
///
/// # Errors
/// Too few threads; a runtime that cannot be started.
pub fn runtime() -> Result<Runtime, Failure> {
    require_files_of_the_runtime()?;
    try_threads(USUAL_BLOCKING + OWN_THREADS)?;
    let failed = |error| {
        Failure::new(ExitCode::LocalDamage, format!("starting the runtime: {error}"))
            .with_hint("raise the limit that the error names (ulimit -n for open files, ulimit -v for memory), then run the same command")
    };
    // One thread for all tasks: they wait for the network and the journal nearly always, and each hand-over between threads costs
    // more than what a page's task does.
    let runtime = Builder::new_current_thread()
        .max_blocking_threads(MOST_BLOCKING)
        .thread_keep_alive(KEEP_ALIVE)
        .enable_all()
        .build()
        .map_err(failed)?;
    let _inside = runtime.enter();
    // With a handler in place a file that may not grow is an error of the write, and no end of the process.
    drop(signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map_err(failed)?);
    // The first thread for blocking calls, so that there is one whatever comes.
    drop(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

/// Starts so many threads at once and lets them go again.
fn try_threads(count: usize) -> Result<(), Failure> {
    let (hold, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let mut threads = Vec::new();
    let mut refused = None;
    for _ in 0..count {
        let held = Arc::clone(&held);
        // Each waits until the sender is gone.
        let wait = move || drop(held.lock().map(|held| held.recv()));
        match std::thread::Builder::new().spawn(wait) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    drop(hold);
    let given = threads.len();
    threads.into_iter().for_each(|thread| drop(thread.join()));
    match refused {
        None => Ok(()),
        Some(error) => Err(Failure::new(
            ExitCode::LocalDamage,
            format!("starting {count} threads, which a run needs: the system gave {given}: {error}"),
        )
        .with_hint("raise the limit of processes (ulimit -u, TasksMax= in systemd, --pids-limit of a container); where address space is limited \
             (ulimit -v), raise that, since each thread takes some")),
    }
}

/// Makes sure that a run with so many requests on their way may open its files and let them grow.
///
/// # Errors
/// A limit that is too low and cannot be raised.
pub fn require(max_in_flight: u64) -> Result<(), Failure> {
    require_descriptors(max_in_flight)?;
    require_file_size()
}

/// The runtime takes its first descriptors without a word of what is wrong where there are none.
fn require_files_of_the_runtime() -> Result<(), Failure> {
    let needed = open_now() + RUNTIME_FILES;
    let Some(most) = most_files_below(needed) else { return Ok(()) };
    Err(Failure::new(
        ExitCode::Usage,
        format!("too many open files: this process may open {most}, and to begin with it needs {needed}"),
    )
    .with_hint("raise the limit (ulimit -n 1024, LimitNOFILE= in systemd, --ulimit of a container)"))
}

/// How many files may be open, where that is fewer than are needed and cannot be raised.
fn most_files_below(needed: u64) -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return None;
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    if limit.maximum.is_none_or(|most| most >= needed) && setrlimit(Resource::Nofile, raised).is_ok() {
        return None;
    }
    limit.maximum.or(limit.current)
}

fn require_descriptors(max_in_flight: u64) -> Result<(), Failure> {
    let fixed = open_now() + OWN_FILES;
    let needed = fixed + FILES_A_REQUEST * max_in_flight;
    let Some(most) = most_files_below(needed) else { return Ok(()) };
    let fitting = most.saturating_sub(fixed) / FILES_A_REQUEST;
    let fewer = if fitting > 0 { format!(", or set --max-in-flight {fitting}") } else { String::new() };
    Err(Failure::new(
        ExitCode::Usage,
        format!("too many open files: this process may open {most}, and with {max_in_flight} requests in flight it needs {needed}"),
    )
    .with_hint(format!("raise the limit (ulimit -n {needed}, LimitNOFILE= in systemd, --ulimit of a container){fewer}")))
}

/// Descriptors that are open already, those of whoever started this process among them.
fn open_now() -> u64 {
    std::fs::read_dir("/dev/fd").map_or(8, |entries| entries.count() as u64)
}

fn require_file_size() -> Result<(), Failure> {
    match getrlimit(Resource::Fsize).current {
        Some(most) if most < LEAST_FILE_BYTES => Err(Failure::new(
            ExitCode::Usage,
            format!(
                "no file of this process may be larger than {most} bytes, and the journal needs {LEAST_FILE_BYTES}"
            ),
        )
        .with_hint(
            "raise the limit (ulimit -f unlimited, LimitFSIZE= in systemd); a part takes up to output.part_bytes",
        )),
        _ => Ok(()),
    }
}
