//! A job as a person would start it: flags, a key in the environment, folders of its own; and what became of a start.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use keyapi_export::api::contract::{Filters, Region};
use keyapi_export::simulator::RunningSimulator;
use keyapi_export::units::TimeRange;
use tempfile::TempDir;

use super::PATIENCE;

/// The key of every job: told to nobody but the service.
pub(crate) const TOKEN: &str = "sk_live_4tV9qLmZ2xTellNobody";

const PROGRAM: &str = env!("CARGO_BIN_EXE_keyapi-export");

/// One question with folders of its own. Each start is a new process.
pub(crate) struct Job {
    folder: TempDir,
    /// Output and state, below the folder.
    places: (String, String),
    /// Where the output really is, and what copies it into the folder that it would be in otherwise.
    #[cfg(feature = "cloud")]
    lake: Option<super::Lake>,
    base_url: String,
    regions: Vec<String>,
    range: (String, String),
    resolved: TimeRange,
    /// The filters that the flags stand for, for the truth.
    pub(crate) filters: Filters,
    flags: Vec<String>,
    environment: BTreeMap<String, String>,
    /// A command that starts the program, with its arguments; none starts it directly.
    under: Vec<String>,
    starts: std::cell::Cell<u32>,
}

impl Job {
    /// Everything that the service has of region US, as fast as this machine is.
    pub(crate) fn of(simulator: &RunningSimulator) -> Self {
        let range = simulator.world().range();
        Self {
            folder: tempfile::tempdir().unwrap(),
            places: ("out".to_owned(), "state".to_owned()),
            #[cfg(feature = "cloud")]
            lake: None,
            base_url: simulator.base_url(),
            regions: vec!["US".to_owned()],
            range: (range.start.to_string(), range.end.to_string()),
            resolved: range,
            filters: Filters::default(),
            // What a run asks again long after is a test of its own: any run takes as long as that.
            flags: ["--qps", "2000", "--confirm-after", "0s"].map(str::to_owned).to_vec(),
            environment: BTreeMap::from([("KEYAPI_TOKEN".to_owned(), TOKEN.to_owned())]),
            under: Vec::new(),
            starts: std::cell::Cell::new(0),
        }
    }

    /// Keeps output and state in these places of its folder.
    pub(crate) fn with_places(mut self, out: &str, state: &str) -> Self {
        self.places = (out.to_owned(), state.to_owned());
        self
    }

    /// Exports into a bucket. After each start it is copied to where the output folder would be.
    #[cfg(feature = "cloud")]
    pub(crate) fn into_lake(mut self, lake: &super::Lake) -> Self {
        self.environment.extend(lake.variables().iter().cloned());
        self.lake = Some(lake.clone());
        self
    }

    /// Puts the output folder, as it is, to where the output really is.
    pub(crate) fn push(&self) {
        #[cfg(feature = "cloud")]
        self.lake.iter().for_each(|lake| lake.push(&self.out()));
    }

    /// The folder in which parts are staged.
    pub(crate) fn staging(&self) -> PathBuf {
        #[cfg(feature = "cloud")]
        if self.lake.is_some() {
            return self.state().join(".staging");
        }
        self.out().join(".staging")
    }

    /// What `--out` is given.
    fn address(&self) -> String {
        #[cfg(feature = "cloud")]
        if let Some(lake) = &self.lake {
            return lake.address().to_owned();
        }
        self.out().display().to_string()
    }

    /// Asks for these regions in place of US.
    pub(crate) fn with_regions(mut self, codes: &[&str]) -> Self {
        self.regions = codes.iter().map(|code| (*code).to_owned()).collect();
        self
    }

    /// Asks for this range in place of the whole world.
    pub(crate) fn with_range(mut self, range: TimeRange) -> Self {
        self.range = (range.start.to_string(), range.end.to_string());
        self.resolved = range;
        self
    }

    /// Asks for a range as it is written; it is then for the test to know what that means.
    pub(crate) fn with_range_text(mut self, from: &str, to: &str) -> Self {
        self.range = (from.to_owned(), to.to_owned());
        self
    }

    /// Adds flags, such as `--partition month`; a flag that was there before is replaced.
    pub(crate) fn with(mut self, flags: &str) -> Self {
        self.set(flags);
        self
    }

    /// The same for a job that has already been started.
    pub(crate) fn set(&mut self, flags: &str) {
        let words: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
        if let Some(place) = self.flags.iter().position(|flag| *flag == words[0]) {
            self.flags.drain(place..place + 2);
        }
        self.flags.extend(words);
    }

    /// Sets an environment variable.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Takes an environment variable away.
    pub(crate) fn without_variable(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Starts the program by a command, given as words, that starts what follows it.
    pub(crate) fn under(mut self, command: &str) -> Self {
        self.under = command.split_whitespace().map(str::to_owned).collect();
        self
    }

    /// Asks only for what passes these filters; `flags` say the same to the program.
    pub(crate) fn with_filters(self, filters: Filters, flags: &str) -> Self {
        let mut job = self.with(flags);
        job.filters = filters;
        job
    }

    pub(crate) fn regions(&self) -> Vec<Region> {
        self.regions.iter().map(|code| code.parse().unwrap()).collect()
    }

    pub(crate) fn range(&self) -> TimeRange {
        self.resolved
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The folder of everything that belongs to the job.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.folder().join(&self.places.0)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder().join(&self.places.1)
    }

    /// Runs the job to the end of this start.
    pub(crate) fn run(&self) -> Ended {
        self.start().wait()
    }

    /// Runs it with other variables on top, for this start alone; none where a signal ended it.
    pub(crate) fn run_where(&self, variables: &[(&str, String)]) -> Option<Ended> {
        self.start_as("", variables).survives()
    }

    /// Runs it with other flags on top, for this start alone.
    pub(crate) fn run_with(&self, flags: &str) -> Ended {
        self.start_with(flags).wait()
    }

    /// Starts the job and goes on beside it.
    pub(crate) fn start(&self) -> Running {
        self.start_with("")
    }

    pub(crate) fn start_with(&self, flags: &str) -> Running {
        self.start_as(flags, &[])
    }

    /// Starts it with other flags and variables on top, for this start alone.
    pub(crate) fn start_as(&self, flags: &str, variables: &[(&str, String)]) -> Running {
        self.asks("run", flags, variables)
    }

    /// `plan` of the same question, with other flags on top.
    pub(crate) fn plan(&self, flags: &str) -> Ended {
        self.asks("plan", flags, &[]).wait()
    }

    fn asks(&self, command: &str, flags: &str, variables: &[(&str, String)]) -> Running {
        let summary = self.folder().join("summary.json");
        // A summary of an earlier start would answer for this one.
        let _none_yet = std::fs::remove_file(&summary);
        let mut arguments: Vec<String> = vec![command.to_owned()];
        let (out, state) = (self.address(), self.state().display().to_string());
        let mut own = vec![
            ("--region", self.regions.join(",")),
            ("--base-url", self.base_url.clone()),
            ("--from", self.range.0.clone()),
            ("--to", self.range.1.clone()),
            ("--out", out),
            ("--state", state),
            ("--summary", summary.display().to_string()),
        ];
        let extra: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
        own.retain(|(flag, _)| !extra.iter().chain(&self.flags).any(|given| given == flag));
        arguments.extend(own.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        let mut settled = self.flags.clone();
        for flag in extra.iter().filter(|flag| flag.starts_with("--")) {
            if let Some(place) = settled.iter().position(|given| given == flag) {
                settled.drain(place..place + 2);
            }
        }
        arguments.extend(settled);
        arguments.extend(extra);
        self.process(&arguments, variables, Some(summary))
    }

    /// `verify` on the job's output.
    pub(crate) fn verify(&self) -> Ended {
        let out = self.address();
        self.process(&["verify".to_owned(), "--out".to_owned(), out], &[], None).wait()
    }

    /// `verify --json` on the job's output.
    pub(crate) fn verify_as_json(&self) -> Ended {
        self.call("verify --json").wait()
    }

    /// Another command on the job's output and state; none where a signal ended it.
    pub(crate) fn does(&self, command: &str, flags: &str, variables: &[(&str, String)]) -> Option<Ended> {
        let (out, state) = (self.address(), self.state().display().to_string());
        let own = [command.to_owned(), "--out".to_owned(), out];
        let is_own_state = !flags.split_whitespace().any(|flag| flag == "--state");
        let state = is_own_state.then(|| ["--state".to_owned(), state]).into_iter().flatten();
        let arguments: Vec<String> =
            own.into_iter().chain(state).chain(flags.split_whitespace().map(str::to_owned)).collect();
        self.process(&arguments, variables, None).survives()
    }

    /// A command line as a person types it, the program's name first.
    pub(crate) fn types(&self, line: &str) -> Ended {
        let arguments: Vec<String> = line.split_whitespace().skip(1).map(str::to_owned).collect();
        self.process(&arguments, &[], None).wait()
    }

    /// A command that knows of no state, on the job's output; none where a signal ended it.
    pub(crate) fn does_without_state(&self, command: &str, variables: &[(&str, String)]) -> Option<Ended> {
        let arguments = [command.to_owned(), "--out".to_owned(), self.address()];
        self.process(&arguments, variables, None).survives()
    }

    /// `status` on the job's output and state.
    pub(crate) fn status(&self) -> Ended {
        self.call("status").wait()
    }

    /// Another command on the job's output and state, with its flags, such as `status --json`.
    pub(crate) fn call(&self, command: &str) -> Running {
        let (out, state) = (self.address(), self.state().display().to_string());
        let words = command.split_whitespace().map(str::to_owned);
        let places = ["--out".to_owned(), out, "--state".to_owned(), state];
        self.process(&words.chain(places).collect::<Vec<_>>(), &[], None)
    }

    fn process(&self, arguments: &[String], variables: &[(&str, String)], summary: Option<PathBuf>) -> Running {
        let start = self.starts.get();
        self.starts.set(start + 1);
        let told = |stream: &str| self.folder().join(format!("{stream}.{start}"));
        let (stdout, stderr) = (told("stdout"), told("stderr"));
        let mut command = self.under.first().map_or_else(|| Command::new(PROGRAM), Command::new);
        if !self.under.is_empty() {
            command.args(&self.under[1..]).arg(PROGRAM);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KEYAPI_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).envs(&self.environment).envs(variables.iter().cloned()).stdin(Stdio::null());
        // Files, because nobody reads a pipe while the test does something else.
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        Running {
            child: command.spawn().unwrap(),
            stdout,
            stderr,
            summary,
            #[cfg(feature = "cloud")]
            lake: self.lake.clone().map(|lake| (lake, self.out())),
        }
    }
}

/// A process that is at work; it is killed where nobody waits for it.
pub(crate) struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    summary: Option<PathBuf>,
    #[cfg(feature = "cloud")]
    lake: Option<(super::Lake, PathBuf)>,
}

impl Running {
    /// Whether it is still at work.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What stands in the system's list of processes for it.
    pub(crate) fn process_list_entry(&self) -> Vec<u8> {
        std::fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap_or_default()
    }

    /// The system's limits for it, as `/proc` tells them.
    pub(crate) fn limits(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap()
    }

    /// Sets a limit of the system for it, as `prlimit` writes it.
    pub(crate) fn limit(&self, limit: &str) {
        let pid = self.child.id().to_string();
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--{limit}")]).status().unwrap();
        assert!(set.success(), "{limit} could not be set");
    }

    /// Sends a signal by its name, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        send_signal(name, self.child.id());
    }

    /// Sends a signal to the program where another command started it.
    pub(crate) fn signal_inner(&self, name: &str) {
        let outer = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap();
        send_signal(name, children.split_whitespace().next().unwrap().parse().unwrap());
    }

    /// Kills it at once, as `kill -9` does; whether it was still alive.
    pub(crate) fn kill(mut self) -> bool {
        let was_alive = self.is_alive();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        was_alive
    }

    /// Whether it has said this on stderr.
    pub(crate) fn told(&self, words: &str) -> bool {
        std::fs::read_to_string(&self.stderr).unwrap().contains(words)
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Ended {
        self.wait_for(PATIENCE)
    }

    /// Waits for its end; none where a signal ended it.
    pub(crate) fn survives(self) -> Option<Ended> {
        let (status, ended) = self.end(PATIENCE);
        status.code().map(|code| Ended { code, ..ended })
    }

    /// Waits for its end, but not longer than this.
    pub(crate) fn wait_for(self, patience: Duration) -> Ended {
        let (status, ended) = self.end(patience);
        Ended { code: code_of(status), ..ended }
    }

    fn end(mut self, patience: Duration) -> (ExitStatus, Ended) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < patience, "the program does not end:\n{}", self.last_words());
            std::thread::sleep(Duration::from_millis(2));
        };
        #[cfg(feature = "cloud")]
        self.lake.iter().for_each(|(lake, out)| lake.pull(out));
        let read = |path: &Path| String::from_utf8(std::fs::read(path).unwrap()).unwrap();
        let summary = self.summary.as_ref().and_then(|path| std::fs::read(path).ok());
        let ended = Ended {
            code: 0,
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
            summary: summary.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or(serde_json::Value::Null),
        };
        (status, ended)
    }
}

impl Running {
    fn last_words(&self) -> String {
        tail(&std::fs::read_to_string(&self.stderr).unwrap_or_default())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn send_signal(name: &str, process: u32) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {process}")).status().unwrap();
    assert!(sent.success(), "SIG{name} could not be sent");
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| panic!("a signal ended the program: {status}"))
}

/// A start that is over.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The file of `--summary`; null where there is none.
    pub(crate) summary: serde_json::Value,
}

impl Ended {
    /// The `error:` and `hint:` lines, which a person reads last; records of the log may follow.
    pub(crate) fn error(&self) -> String {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let at = lines.iter().rposition(|line| line.starts_with("error: "));
        let from = &lines[at.unwrap_or_else(|| panic!("no error was told\n{self}"))..];
        let told: Vec<&str> = from.iter().copied().take_while(|line| !line.starts_with('{')).collect();
        told.join("\n") + "\n"
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = tail(&self.stderr);
        write!(formatter, "exit code {}\nstdout:\n{}\nend of stderr:\n{last}", self.code, self.stdout)
    }
}

/// The last lines of a log, without the news of each part.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.contains("part published")).collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
