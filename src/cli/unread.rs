//! A command line that is no call: what clap says of it, what would be right, and nothing of a key that was given in it.

use clap::Arg;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::config::Shapes;
use crate::config::keys::edit_distance;
use crate::failure::{ExitCode, Failure};
use crate::stderr::{self, Stderr};

/// Why a command line was not read: a mistake in it, or a wish for help or version.
#[derive(Debug)]
pub struct Unread {
    error: clap::Error,
    arguments: Vec<String>,
}

/// What somebody may mean by a command that there is not.
const COMMANDS: [(&[&str], &str); 6] = [
    (
        &["resume", "continue", "restart", "retry", "recover"],
        "there is no such command: run the same `run` command again, it resumes where it ended",
    ),
    (
        &["export", "download", "fetch", "start", "sync", "dump", "get", "pull", "scrape", "crawl", "extract"],
        "the command that exports is `run`: keyapi-export run --help",
    ),
    (
        &["demo", "try", "example", "init", "setup", "quickstart"],
        "to try the program without a key: keyapi-export run --config config/demo.toml",
    ),
    (
        &["info", "show", "list", "progress", "state", "stats"],
        "`status` tells how far a run is, `verify` reads its output again, `schema` prints the columns",
    ),
    (
        &["estimate", "forecast", "price", "cost", "count", "dry-run"],
        "`plan` says what an export will cost: keyapi-export plan --help",
    ),
    (&["validate", "test"], "`verify` reads the output again and compares it with its manifest"),
];

/// What somebody may mean by a flag that there is not.
const FLAGS: [(&[&str], &str); 16] = [
    (&["resume", "continue", "restart"], "run the same command again: it resumes where it ended"),
    (
        &["since", "start", "begin", "from-date", "start-date", "start-time"],
        "the beginning is --from, such as --from 2026-01-01",
    ),
    (&["until", "end", "end-date", "to-date", "end-time"], "the end is --to, such as --to 2026-02-01"),
    (
        &["output", "output-dir", "out-dir", "output-folder", "dir", "path", "o"],
        "the folder of the Parquet files is --out",
    ),
    (&["country", "countries", "locale"], "a region is --region, such as --region US"),
    (
        &["workers", "threads", "concurrency", "parallel", "jobs", "j"],
        "requests on their way at once are --max-in-flight",
    ),
    (&["rate", "rps", "rate-limit", "speed"], "requests a second are --qps; the default, auto, learns the limit"),
    (&["credits", "budget", "limit", "max-requests", "max-pages"], "what a run may cost is --max-credits"),
    (
        &["verbose", "v", "debug", "quiet", "q", "log-level", "level"],
        "the log's level is in the variable KEYAPI_EXPORT_LOG: error, warn, info, debug or trace",
    ),
    (&["dry-run", "dryrun", "n"], "`plan --dry-run` shows what would be asked, and sends nothing"),
    (&["url", "endpoint", "host", "api-url", "server"], "the service's address is --base-url"),
    (
        &["proxy", "http-proxy", "https-proxy"],
        "a proxy is set as service.proxy in the file, or by the variable KEYAPI_EXPORT_SERVICE__PROXY",
    ),
    (
        &["header", "auth-header", "auth-scheme"],
        "the header that carries the key is set as service.auth_header and service.auth_scheme in the file",
    ),
    (&["bucket", "s3", "prefix"], "a bucket is an output: --out s3://BUCKET/PREFIX, gs://… or az://…"),
    (&["json"], "--summary FILE writes the summary of a run as JSON"),
    (&["force", "overwrite", "clean", "reset"], "--fresh begins a new run, and pays for every page again"),
];

/// What a library says of a value, and what would be right.
const PLAIN: [(&str, &str); 4] = [
    ("invalid digit found in string", "write a whole number in digits alone, such as 30"),
    ("number too large to fit in target type", "it is too large"),
    ("invalid float literal", "write a number, such as 0.01"),
    ("invalid socket address syntax", "write ADDRESS:PORT, such as 127.0.0.1:8080"),
];

/// Names under which a key is given to other programs.
const KEY_FLAGS: [&str; 13] = [
    "key",
    "token",
    "api-key",
    "apikey",
    "api-token",
    "keyapi-token",
    "keyapi-key",
    "auth",
    "auth-token",
    "authorization",
    "bearer",
    "secret",
    "password",
];
const KEY_ADVICE: &str = "the key is never an argument, where others could read it: set the variable KEYAPI_TOKEN, or name a file that holds it \
                          with --token-file";
/// What keys of this service begin with (documented).
const KEY_PREFIX: &str = "sk_";
const NOT_SHOWN: &str = "(not shown, it may be a key)";
/// Shorter words are no keys, and would be blotted out of words that hold them.
const SHORTEST_KEY: usize = 6;

impl Unread {
    pub(super) fn new(error: clap::Error, arguments: Vec<String>) -> Self {
        Self { error, arguments }
    }

    /// Prints help and version to stdout, and anything else to stderr, but for what is to be an object; the code to end with, and the
    /// failure that is left to tell.
    pub fn tell(mut self, stderr: &Stderr, shapes: Shapes) -> (ExitCode, Option<Failure>) {
        if !self.error.use_stderr() {
            // A reader that closed stdout early, such as `head`, is no failure.
            let _closed = self.error.print();
            return (ExitCode::Complete, None);
        }
        self.advise();
        if shapes.are_objects() {
            return (ExitCode::Usage, Some(self.failure()));
        }
        let text = self.error.render();
        let text = if stderr::may_draw(&std::io::stderr()) { text.ansi().to_string() } else { text.to_string() };
        stderr.write(self.blotted(&text).as_bytes());
        (ExitCode::Usage, None)
    }

    /// What is wrong, and what would be right: clap's text is paragraphs, of which the first is the error, and one may be a tip.
    fn failure(&self) -> Failure {
        let text = self.blotted(&self.error.render().to_string());
        let joined = |lines: &str| lines.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut paragraphs = text.split("\n\n").map(str::trim);
        let error = paragraphs.next().and_then(|first| first.strip_prefix("error: "));
        // Without a command clap prints the help in place of an error.
        let Some(error) = error else {
            return Failure::new(ExitCode::Usage, "a command is needed").with_hint("keyapi-export --help names them");
        };
        let rest: Vec<&str> = paragraphs.collect();
        let tip = rest.iter().find_map(|paragraph| paragraph.strip_prefix("tip: "));
        let usage = rest.iter().find(|paragraph| paragraph.starts_with("Usage: "));
        let hint = tip.or(usage.copied()).unwrap_or("keyapi-export --help names commands and flags");
        Failure::new(ExitCode::Usage, joined(error)).with_hint(joined(hint))
    }

    /// The whole text without colours, as it is told.
    #[cfg(test)]
    fn text(mut self) -> String {
        self.advise();
        self.blotted(&self.error.render().to_string())
    }

    /// Puts our advice in the place of clap's, where there is one.
    fn advise(&mut self) {
        let Some(advice) = self.advice() else { return };
        // Its usage line too shows what clap takes to be meant.
        for kind in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::Usage] {
            self.error.remove(kind);
        }
        self.error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![advice.into()]));
    }

    fn advice(&self) -> Option<String> {
        self.known_advice().map(str::to_owned).or_else(|| self.near_advice())
    }

    /// What is written nearly like a command or a flag, where clap sees no likeness.
    fn near_advice(&self) -> Option<String> {
        if self.error.get(ContextKind::SuggestedSubcommand).or(self.error.get(ContextKind::SuggestedArg)).is_some() {
            return None;
        }
        let all = super::command();
        match self.error.kind() {
            ErrorKind::InvalidSubcommand => {
                let word = self.context(ContextKind::InvalidSubcommand)?.to_lowercase();
                let name = all.get_subcommands().map(clap::Command::get_name).find(|name| is_near(&word, name))?;
                Some(format!("did you mean `{name}`?"))
            }
            ErrorKind::UnknownArgument => {
                let word = flag_name(&self.context(ContextKind::InvalidArg)?)?;
                let flags = all.get_subcommands().flat_map(|of| of.get_arguments().filter_map(Arg::get_long));
                let near = flags.into_iter().find(|flag| is_near(&word, flag));
                let meant = || FLAGS.iter().find(|(names, _)| names.iter().any(|name| is_near(&word, name)));
                near.map(|flag| format!("did you mean --{flag}?"))
                    .or_else(|| meant().map(|(_, advice)| (*advice).to_owned()))
            }
            _ => None,
        }
    }

    fn known_advice(&self) -> Option<&'static str> {
        let of = |table: &[(&[&str], &'static str)], name: &str| {
            table.iter().find(|(names, _)| names.contains(&name)).map(|(_, advice)| *advice)
        };
        match self.error.kind() {
            ErrorKind::InvalidSubcommand => {
                of(&COMMANDS, &self.context(ContextKind::InvalidSubcommand)?.to_lowercase())
            }
            ErrorKind::UnknownArgument => {
                let argument = self.context(ContextKind::InvalidArg)?;
                match flag_name(&argument) {
                    Some(name) if is_key_flag(&name) => Some(KEY_ADVICE),
                    Some(name) => of(&FLAGS, &name),
                    None => argument.starts_with(KEY_PREFIX).then_some(KEY_ADVICE),
                }
            }
            _ => None,
        }
    }

    fn context(&self, kind: ContextKind) -> Option<String> {
        match self.error.get(kind)? {
            ContextValue::String(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// The text in plain words, without what may be a key among the arguments.
    fn blotted(&self, text: &str) -> String {
        let text = PLAIN.iter().fold(text.to_owned(), |text, (said, plain)| text.replace(said, plain));
        let mut keys: Vec<&str> = self.possible_keys().filter(|key| key.len() >= SHORTEST_KEY).collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.len()));
        keys.into_iter().fold(text, |text, key| text.replace(key, NOT_SHOWN))
    }

    /// Words that begin like a key, and whatever was given to a flag that means one.
    fn possible_keys(&self) -> impl Iterator<Item = &str> {
        let before = std::iter::once("").chain(self.arguments.iter().map(String::as_str));
        self.arguments.iter().zip(before).filter_map(|(argument, before)| {
            let (name, value) = argument.split_once('=').unwrap_or((before, argument));
            let is_given_as_key = flag_name(name).is_some_and(|name| is_key_flag(&name));
            match is_given_as_key || value.contains(KEY_PREFIX) {
                true => Some(value),
                false => argument.contains(KEY_PREFIX).then_some(argument.as_str()),
            }
        })
    }
}

/// Whether a word is another with one letter too many, too few or wrong, or with two in each other's place.
fn is_near(word: &str, known: &str) -> bool {
    let differ: Vec<(char, char)> = word.chars().zip(known.chars()).filter(|(one, other)| one != other).collect();
    let is_swapped = word.len() == known.len() && matches!(differ.as_slice(), [(a, b), (c, d)] if a == d && b == c);
    known.len() > 2 && (is_swapped || edit_distance(word, known) == 1)
}

/// `api-key` of `--API_KEY=value`.
fn flag_name(argument: &str) -> Option<String> {
    let name = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'))?;
    let name = name.split('=').next().unwrap_or(name);
    Some(name.to_lowercase().replace('_', "-"))
}

fn is_key_flag(name: &str) -> bool {
    KEY_FLAGS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::super::Invocation;

    fn told(line: &str) -> String {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Invocation::read(arguments).unwrap_err().text()
    }

    #[test]
    fn a_command_that_there_is_not_is_answered_with_the_one_that_is_meant() {
        for command in ["resume", "continue", "Resume"] {
            assert!(told(&format!("keyapi-export {command}")).contains("it resumes"), "{command}");
        }
        for command in ["export", "download"] {
            assert!(told(&format!("keyapi-export {command} --region US")).contains("`run`"), "{command}");
        }
        assert!(told("keyapi-export verfy").contains("'verify'"), "clap's own advice stays");
    }

    #[test]
    fn a_flag_that_there_is_not_is_answered_with_the_one_that_is_meant() {
        assert!(told("keyapi-export run --resume").contains("it resumes"));
        assert!(told("keyapi-export run --since 2026-01-01").contains("--from"));
        assert!(told("keyapi-export run --output x").contains("--out"));
        assert!(told("keyapi-export run --endpoint x").contains("--base-url"));
        assert!(told("keyapi-export run --proxy x").contains("service.proxy"));
        assert!(told("keyapi-export run --auth-header x").contains("service.auth_header"));
        assert!(told("keyapi-export run --regions US").contains("'--region'"), "clap's own advice stays");
    }

    #[test]
    fn what_is_nearly_a_command_or_a_flag_is_answered_with_it() {
        for (line, meant) in [
            ("keyapi-export rnu", "`run`"),
            ("keyapi-export run --qsp 5", "--qps"),
            ("keyapi-export run --otu x", "--out"),
            ("keyapi-export run --ouput x", "--out"),
        ] {
            let told = told(line);
            assert!(told.contains("tip: ") && told.contains(meant), "{line}: {told}");
        }
        assert!(!told("keyapi-export run --frobnicate").contains("did you mean"));
    }

    #[test]
    fn the_error_and_what_would_be_right_are_told_apart() {
        let failure = |line: &str| {
            let mut unread = Invocation::read(line.split_whitespace()).unwrap_err();
            unread.advise();
            unread.failure()
        };
        let wrong = failure("keyapi-export verfy");
        assert_eq!((wrong.message(), wrong.code().number()), ("unrecognized subcommand 'verfy'", 2));
        assert!(wrong.hint().unwrap().contains("'verify'"), "{wrong}");
        assert!(failure("keyapi-export resume").hint().unwrap().contains("it resumes"));
        assert!(failure("keyapi-export run --max-in-flight x").message().contains("digits"));
        assert_eq!(failure("keyapi-export").message(), "a command is needed");
        assert!(!failure("keyapi-export run --key sk_live_never_told_2").to_string().contains("never_told"));
    }

    #[test]
    fn a_key_in_an_argument_is_answered_and_never_repeated() {
        let key = "sk_live_never_told_1";
        let calls = [
            "run --key KEY",
            "run --token KEY",
            "run --token=KEY",
            "run --api-key KEY",
            "run --API_KEY=KEY",
            "--key KEY run",
            "run KEY",
            "run --bearer=KEY",
            "run --password KEY",
            "run -key KEY",
            "KEY",
            "run --KEY",
        ];
        for call in calls {
            let text = told(&format!("keyapi-export {}", call.replace("KEY", key)));
            assert!(!text.contains("never_told"), "{call}: {text}");
        }
        for call in ["run --key KEY", "run --token KEY", "run --api-key=KEY", "run KEY", "run --apikey x"] {
            let text = told(&format!("keyapi-export {}", call.replace("KEY", key)));
            assert!(text.contains("KEYAPI_TOKEN") && text.contains("--token-file"), "{call}: {text}");
        }
        // Of another vendor's form, it is known by its flag alone.
        assert!(!told("keyapi-export run --qps --token abcdef-never_told").contains("never_told"));
        assert!(!told("keyapi-export run --region sk_live_never_told!").contains("never_told"));
    }
}
