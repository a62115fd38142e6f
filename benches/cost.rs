//! What an export costs, as ratios: the program, and beside it what the same pages cost at the least, in turn and in one run.
//!
//! `cargo bench --bench cost -- [ROWS] [ROUNDS]`: 200000 rows of a month and 3 rounds by default; medians are told. The service is the
//! simulator, a process of its own on this machine. Processor time is user and system time as Linux counts it for a process,
//! in hundredths of a second, so few rows tell little. The stages are measured alone, over pages that the service has just sent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that cannot go on has failed, and prints what it found"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use keyapi_export::api::client::{Client, ClientSettings, Reply};
use keyapi_export::api::contract::{Filters, PageQuery, SOURCE, TimeOrder};
use keyapi_export::api::reply::{ReplyVerdict, Row, judge};
use keyapi_export::journal::record::StoredPage;
use keyapi_export::sink::columns::Packaging;
use keyapi_export::sink::decode::{FetchedRows, RowBatch};
use keyapi_export::sink::layout::{Layout, Partition, Slice};
use keyapi_export::sink::part::Parts;
use keyapi_export::sink::staging::Staging;
use keyapi_export::units::{ByteCount, EpochSeconds, PageNumber, TimeRange};

const PROGRAM: &str = env!("CARGO_BIN_EXE_keyapi-export");
const KEY: &str = "sk_live_0123456789abcdefghij";
const FROM: &str = "2025-12-01";
const TO: &str = "2025-12-31";
/// The same in epoch seconds.
const RANGE: (i64, i64) = (1_764_547_200, 1_767_139_200);
const IN_FLIGHT: usize = 16;
/// Pages that the stages are measured over.
const SAMPLE: usize = 2_000;

/// Processor time and wall time of something.
#[derive(Clone, Copy, Debug)]
struct Cost {
    cpu: f64,
    wall: f64,
}

fn main() {
    // `cargo bench` passes a flag of its own.
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let (wanted, rounds) = (numbers.next().unwrap_or(200_000), numbers.next().unwrap_or(3).max(1));
    let service = Service::start(wanted);
    let pages = u32::try_from(wanted.div_ceil(10)).unwrap();
    let mut table: Vec<(&str, Vec<Cost>)> =
        ["export", "requests alone", "requests and JSON values", "requests and zstd, level 1"]
            .map(|name| (name, Vec::new()))
            .into();
    for _ in 0..rounds {
        table[0].1.push(service.export());
        table[1].1.push(service.ask(pages, |_| {}).0);
        table[2].1.push(
            service.ask(pages, |reply| drop(serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap())).0,
        );
        table[3].1.push(service.ask(pages, |reply| drop(zstd::bulk::compress(&reply.body, 1).unwrap())).0);
    }
    println!("{wanted} rows, {IN_FLIGHT} in flight, {rounds} rounds; {}", machine());
    println!("{:<28} {:>14} {:>8} {:>12}", "", "CPU s/100k rows", "ratio", "rows/s");
    let base = median(&table[1].1, |cost| cost.cpu);
    for (name, costs) in &table {
        let (cpu, wall) = (median(costs, |cost| cost.cpu), median(costs, |cost| cost.wall));
        let rows = wanted as f64;
        println!("{name:<28} {:>14.2} {:>8.2} {:>12.0}", cpu / rows * 1e5, cpu / base, rows / wall);
    }
    stages(service.ask(pages.min(SAMPLE as u32), |_| {}).1);
}

/// Each stage alone, over the same pages.
fn stages(replies: Vec<Reply>) {
    let pages: Vec<StoredPage> = replies.iter().zip(1..).map(|(reply, sequence)| stored(reply, sequence)).collect();
    let bytes: usize = replies.iter().map(|reply| reply.body.len()).sum();
    println!("\n{:<28} {:>14} {:>8}", format!("{} pages", pages.len()), "us a page", "MB/s");
    let tell = |name: &str, work: &dyn Fn()| {
        let times: Vec<Duration> = (0..5).map(|_| timed(work)).collect();
        let best = times.into_iter().min().unwrap().as_secs_f64();
        println!("{name:<28} {:>14.1} {:>8.0}", best * 1e6 / pages.len() as f64, bytes as f64 / best / 1e6);
    };
    tell("judge", &|| replies.iter().for_each(|reply| drop(judge(reply.heard()))));
    tell("decode to columns", &|| {
        let mut batch = RowBatch::new("US".parse().unwrap());
        for page in &pages {
            let rows = FetchedRows::read(page.clone()).unwrap();
            (0..rows.len()).for_each(|place| batch.append(&rows, place).unwrap());
        }
        batch.take().unwrap();
    });
    tell("write a part", &|| {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout { partition: Partition::Month, ..Layout::default() };
        let parts = Parts::new(Staging::open(folder.path()).unwrap(), layout, Packaging::default());
        let range = TimeRange::new(EpochSeconds::new(RANGE.0), EpochSeconds::new(RANGE.1));
        let slice = Slice { region: "US".parse().unwrap(), range, run: "bench".to_owned() };
        parts.stage(&slice, pages.iter().cloned().map(Ok::<_, std::io::Error>)).unwrap();
    });
}

/// An answer as the journal gives it back.
fn stored(reply: &Reply, sequence: i64) -> StoredPage {
    let ReplyVerdict::Page(answer) = judge(reply.heard()) else { panic_over(reply) };
    let seconds =
        answer.rows.iter().filter_map(|row| if let Row::Usable(identity) = row { Some(identity.second) } else { None });
    let (first, last) = (seconds.clone().min().unwrap(), seconds.max().unwrap());
    StoredPage {
        sequence,
        fetched_at_ms: reply.received_at_ms,
        request_id: answer.request_id.clone(),
        span: TimeRange::new(first, last.shifted(1)),
        body: answer.packed.encode_all(),
    }
}

#[expect(clippy::panic, reason = "a service that sends no page cannot be measured")]
fn panic_over(reply: &Reply) -> ! {
    panic!("no page came: HTTP {}", reply.status)
}

/// The simulated service, in a process of its own, so that what it costs is not counted.
struct Service {
    process: Child,
    url: String,
}

impl Service {
    fn start(rows: usize) -> Self {
        let flags = [
            "simulate",
            "--listen",
            "127.0.0.1:0",
            "--regions",
            "US",
            "--density",
            "daily",
            "--from",
            FROM,
            "--to",
            TO,
        ];
        let mut process = Command::new(PROGRAM)
            .args(flags)
            .args(["--rows", &rows.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { process, url: url.trim().to_owned() }
    }

    /// One whole export into a folder of its own.
    fn export(&self) -> Cost {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        measured(|| {
            let flags =
                ["run", "--region", "US", "--from", FROM, "--to", TO, "--qps", "100000", "--partition", "month"];
            let status = Command::new(PROGRAM)
                .args(flags)
                .args([Path::new("--base-url"), Path::new(&self.url), Path::new("--out"), &out])
                .env("KEYAPI_TOKEN", KEY)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(status.success(), "the export ended with {status}");
        })
        .0
    }

    /// Asks for so many pages with the program's own client and as many in flight, and does something with each answer. Gives
    /// back the first answers too.
    fn ask(&self, pages: u32, work: impl Fn(&Reply) + Clone + Send + 'static) -> (Cost, Vec<Reply>) {
        measured(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (client, next) = (self.client(), Arc::new(AtomicU32::new(1)));
                let mut workers = tokio::task::JoinSet::new();
                for _ in 0..IN_FLIGHT {
                    workers.spawn(worker(client.clone(), (next.clone(), pages), work.clone()));
                }
                let mut replies: Vec<(u32, Reply)> = workers.join_all().await.into_iter().flatten().collect();
                replies.sort_by_key(|(page, _)| *page);
                replies.into_iter().map(|(_, reply)| reply).collect()
            })
        })
    }

    fn client(&self) -> Client {
        let settings = ClientSettings {
            base_url: self.url.clone(),
            path: SOURCE.path.to_owned(),
            auth_header: "Authorization".to_owned(),
            auth_scheme: "Bearer".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            body_limit: ByteCount::new(64 << 20),
            proxy: None,
            idle_connections: IN_FLIGHT,
        };
        Client::new(&settings, KEY.to_owned().into()).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn worker(client: Client, (next, pages): (Arc<AtomicU32>, u32), work: impl Fn(&Reply)) -> Vec<(u32, Reply)> {
    let mut kept = Vec::new();
    loop {
        let page = next.fetch_add(1, Ordering::Relaxed);
        if page > pages {
            return kept;
        }
        let query = PageQuery {
            region: "US".parse().unwrap(),
            filters: Filters::default(),
            min_create_time: Some(EpochSeconds::new(RANGE.0)),
            max_create_time: Some(EpochSeconds::new(RANGE.1)),
            order: TimeOrder::OldestFirst,
            page: PageNumber::new(page).unwrap(),
        };
        let reply = client.send(&query).await.unwrap();
        work(&reply);
        if pages as usize <= SAMPLE {
            kept.push((page, reply));
        }
    }
}

fn measured<T>(work: impl FnOnce() -> T) -> (Cost, T) {
    let (cpu, began) = (processor_seconds(), Instant::now());
    let done = work();
    (Cost { cpu: processor_seconds() - cpu, wall: began.elapsed().as_secs_f64() }, done)
}

fn timed(work: &dyn Fn()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// User and system time of this process and of those that it has waited for.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a Linux /proc");
    // The name, in brackets, may hold spaces; fields 14 to 17 follow it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..15].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

fn median(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> f64 {
    let mut numbers: Vec<f64> = costs.iter().map(of).collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// What it was run on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cores} cores of {model}, shared with the service; load before the end {load}")
}
