//! The recipes in `deploy/` as they are shipped: what each of them starts is started here, against the simulator of the last days.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use keyapi_export::simulator::RunningSimulator;

use crate::support::{TOKEN, around_now, parquet_files, serve};

const PROGRAM: &str = env!("CARGO_BIN_EXE_keyapi-export");

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn recipe(name: &str) -> String {
    std::fs::read_to_string(shipped("deploy").join(name)).unwrap()
}

/// The regions of `config/daily.toml`, over more days than it asks for.
fn the_last_days() -> RunningSimulator {
    serve(|service| {
        service.world.regions = ["US", "GB"].map(|code| code.parse().unwrap()).to_vec();
        around_now(service, 10 * 86_400, 0);
        service.world.rows = 400;
    })
}

/// A machine on which a recipe is carried out: the places that it names, below a folder.
struct Machine {
    root: tempfile::TempDir,
    simulator: RunningSimulator,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { root: tempfile::tempdir().unwrap(), simulator: the_last_days() };
        for folder in ["work", "etc"] {
            std::fs::create_dir(machine.place(folder)).unwrap();
        }
        machine.write("etc/key", &format!("{TOKEN}\n"));
        machine
    }

    fn place(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.place(name), text).unwrap();
        std::fs::set_permissions(self.place(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A recipe's text with the places of this machine in it.
    fn placed(&self, text: &str) -> String {
        text.replace("/usr/local/bin/keyapi-export", PROGRAM)
            .replace("/etc/keyapi-export/daily.toml", &shipped("config/daily.toml").display().to_string())
            .replace("/etc/keyapi-export/key", &self.place("etc/key").display().to_string())
            .replace("/run/secrets/keyapi/key", &self.place("etc/key").display().to_string())
            .replace("/var/lib/keyapi-export", &self.place("work").display().to_string())
    }

    /// Runs a shell's line as the recipe would, with nothing in the environment but what it sets and where the service is.
    fn runs(&self, line: &str, environment: &[(String, String)]) -> Output {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line).current_dir(self.place("work")).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("KEYAPI_EXPORT_SERVICE__BASE_URL", self.simulator.base_url());
        command.envs(environment.iter().cloned()).output().unwrap()
    }

    /// The week was exported, and everything that `config/daily.toml` names is there.
    fn holds_the_week(&self, ended: &Output) {
        let told = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        assert_eq!(ended.status.code(), Some(0), "{told}");
        let out = self.place("work/out/daily");
        assert!(out.join("_SUCCESS").is_file(), "{told}");
        assert!(parquet_files(&out).len() >= 14, "{told}");
        let summary = std::fs::read(self.place("work/out/daily.summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
        assert_eq!(summary["outcome"], "complete");
        assert!(!String::from_utf8_lossy(&ended.stderr).contains(TOKEN));
    }
}

/// What stands behind `name` and the sign after it.
fn behind<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().map(str::trim).find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no `{name}` in the recipe")).trim()
}

#[test]
fn the_cron_job_of_kubernetes_works_with_the_daily_configuration() {
    let machine = Machine::new();
    let text = recipe("kubernetes.yaml");
    assert_eq!(behind(&text, "workingDir:"), "/data", "the image's volume");
    let arguments = behind(&text, "args: [").trim_end_matches(']').replace(',', " ");
    // A Service of the same name is in every pod's environment.
    let services = ["PORT", "PORT_80_TCP", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP"]
        .map(|name| (format!("KEYAPI_EXPORT_{name}"), "tcp://10.0.0.1:80".to_owned()));
    let ended = machine.runs(&machine.placed(&format!("/usr/local/bin/keyapi-export {arguments}")), &services);
    machine.holds_the_week(&ended);
}

#[test]
fn the_crontab_works_with_crons_path_and_environment() {
    let machine = Machine::new();
    let text = machine.placed(&recipe("crontab"));
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
    let (job, settings) = lines.split_last().unwrap();
    let set = |line: &&str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    let settings: Vec<(String, String)> = settings.iter().map(set).collect();
    assert!(settings.iter().all(|(name, _)| name != "CRON_TZ"), "not every cron knows it");
    let command = job.split_whitespace().skip(5).collect::<Vec<_>>().join(" ");
    let ended = machine.runs(&command, &settings);
    machine.holds_the_week(&ended);
    assert!(machine.place("work/export.log").is_file());
}

#[test]
fn the_systemd_unit_works_under_its_umask_and_leaves_nothing_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    let text = machine.placed(&recipe("keyapi-export.service"));
    assert_eq!(Path::new(behind(&text, "WorkingDirectory=")), machine.place("work"));
    let (umask, command) = (behind(&text, "UMask="), behind(&text, "ExecStart="));
    let key = [("KEYAPI_TOKEN".to_owned(), TOKEN.to_owned())];
    let ended = machine.runs(&format!("umask {umask}; exec {command}"), &key);
    machine.holds_the_week(&ended);
    for file in crate::support::files_below(&machine.place("work")) {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{} is for others too: {mode:o}", file.display());
    }
}

/// What systemd itself says of the unit and its timer, where it is there.
#[test]
fn systemd_accepts_the_unit_and_its_timer() {
    let folder = tempfile::tempdir().unwrap();
    // The program is not installed here.
    let service = recipe("keyapi-export.service").replace("/usr/local/bin/keyapi-export", PROGRAM);
    let files = [("keyapi-export.service", service), ("keyapi-export.timer", recipe("keyapi-export.timer"))];
    let paths = files.map(|(name, text)| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    });
    match Command::new("systemd-analyze").arg("verify").arg("--man=no").args(&paths).output() {
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let ours: Vec<&str> = told.lines().filter(|line| line.contains("keyapi-export")).collect();
            assert!(ours.is_empty(), "{ours:#?}");
        }
        Err(_) => eprintln!("skipped: systemd-analyze is not there"),
    }
}

/// Ends are believed at once: what they are believed on is not what these tests are about.
fn at_once() -> (String, String) {
    ("KEYAPI_EXPORT_PLAN__CONFIRM_AFTER".to_owned(), "0s".to_owned())
}

/// What stands in a list of arguments in YAML, in brackets after `args:`, as words.
fn arguments_of(text: &str, which: usize) -> String {
    let lists: Vec<&str> = text.lines().map(str::trim).filter_map(|line| line.strip_prefix("args: [")).collect();
    lists[which].trim_end_matches(']').replace(',', " ").replace('"', "")
}

#[test]
fn the_pods_of_kubernetes_and_their_merge_give_the_week() {
    let machine = Machine::new();
    let text = recipe("kubernetes-shards.yaml");
    assert_eq!(behind(&text, "completions:"), "4");
    let command = |which| machine.placed(&format!("/usr/local/bin/keyapi-export {}", arguments_of(&text, which)));
    for index in ["0", "1", "2", "3"] {
        let missing = machine.runs(&command(1), &[]);
        assert_eq!(missing.status.code(), Some(2), "before pod {index}");
        let index_of_pod = ("JOB_COMPLETION_INDEX".to_owned(), index.to_owned());
        let pod = machine.runs(&command(0), &[index_of_pod, at_once()]);
        assert_eq!(pod.status.code(), Some(0), "{}", String::from_utf8_lossy(&pod.stderr));
    }
    machine.holds_the_week(&machine.runs(&command(1), &[]));
}

#[test]
fn the_array_job_of_slurm_and_its_merge_give_the_week() {
    let machine = Machine::new();
    let place = |name: &str| {
        let path = machine.place("etc").join(name.replace('/', "-"));
        std::fs::write(&path, machine.placed(&recipe(name))).unwrap();
        path.display().to_string()
    };
    let (shard, merge) = (place("slurm/shard.sbatch"), place("slurm/merge.sbatch"));
    let days = |ago: &str| {
        let printed = Command::new("date").args(["--utc", "--date", ago, "+%F"]).output().unwrap();
        String::from_utf8(printed.stdout).unwrap().trim().to_owned()
    };
    let dates = [("FROM".to_owned(), days("7 days ago")), ("TO".to_owned(), days("today"))];
    for task in ["0", "1", "2", "3"] {
        let task = ("SLURM_ARRAY_TASK_ID".to_owned(), task.to_owned());
        let ended = machine.runs(&format!("exec bash {shard}"), &[dates.as_slice(), &[task, at_once()]].concat());
        assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    machine.holds_the_week(&machine.runs(&format!("exec bash {merge}"), &[]));
}

/// Words of a recipe that look like flags; what a person is told in comments apart.
fn flags_of(text: &str) -> std::collections::BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-')));
    let is_flag = |word: &&str| {
        word.strip_prefix("--").is_some_and(|name| name.starts_with(|letter: char| letter.is_ascii_lowercase()))
    };
    words.filter(is_flag).map(str::to_owned).collect()
}

#[test]
fn every_flag_that_a_recipe_names_is_one() {
    let help = |command: &str| {
        let told = Command::new(PROGRAM).args([command, "--help"]).output().unwrap();
        flags_of(&String::from_utf8(told.stdout).unwrap())
    };
    let known: std::collections::BTreeSet<String> = ["run", "merge"].into_iter().flat_map(help).collect();
    let recipes = [
        ("crontab", vec![]),
        ("keyapi-export.service", vec![]),
        ("kubernetes.yaml", vec![]),
        ("kubernetes-shards.yaml", vec![]),
        ("airflow/keyapi_export.py", vec![]),
        ("slurm/shard.sbatch", vec![]),
        ("slurm/merge.sbatch", vec![]),
        // Those of date and sbatch.
        ("slurm/submit", vec!["--date", "--dependency", "--kill-on-invalid-dep", "--parsable", "--utc"]),
    ];
    for (name, others) in recipes {
        let unknown: Vec<String> = flags_of(&recipe(name)).difference(&known).cloned().collect();
        assert_eq!(unknown, others, "{name}");
    }
}

#[test]
fn the_exit_codes_that_recipes_name_are_those_of_the_program() {
    use keyapi_export::failure::ExitCode;
    let is_known = |number: &str| ExitCode::ALL.iter().any(|code| code.number().to_string() == number);
    let text = recipe("airflow/keyapi_export.py");
    for name in ["DONE = {", "TRY_AGAIN = {"] {
        let numbers = behind(&text, name).trim_end_matches('}');
        assert!(numbers.split(", ").all(is_known), "{name}: {numbers}");
    }
    let text = recipe("slurm/shard.sbatch");
    for case in text.lines().map(str::trim).filter(|line| line.starts_with(|first: char| first.is_ascii_digit())) {
        let numbers = case.split(')').next().unwrap();
        assert!(numbers.split(" | ").all(is_known), "{case}");
    }
}
