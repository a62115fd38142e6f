//! A recorded conversation with a service: what was asked and what came, as `check --record` writes it and `simulate --replay` serves it.
//!
//! A folder of two files. `about.json` says of what the recording is; `answers.jsonl` holds one [`Recorded`] a line, in the order in
//! which they were asked. Version 1; another one is refused. What is in it is redacted before it comes here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::replaced::{Readers, replace};

/// The version that is written and read.
const VERSION: u32 = 1;
/// The files.
const ABOUT: &str = "about.json";
const ANSWERS: &str = "answers.jsonl";
/// The largest file of answers that is read, bytes: a check has a few hundred answers of some 20 KiB.
const LARGEST: u64 = 256 << 20;

/// What was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The version of the format.
    pub version: u32,
    /// The version of the program that recorded it.
    pub program: String,
    /// The region that was asked.
    pub region: String,
    /// The first second of the range, and the first one after it: epoch seconds.
    pub from: i64,
    /// See `from`.
    pub to: i64,
    /// The credits that might be spent.
    pub credits: u64,
    /// The credits that finding the rate limit might cost; none where it was not looked for.
    pub rate_credits: Option<u64>,
}

/// One request and what came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The parameters, `name=value`, sorted and joined with `&`; values are not escaped.
    pub request: String,
    /// The HTTP status; none where no answer came.
    pub status: Option<u16>,
    /// Whether the body broke off on its way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
    /// Headers that count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(default)]
    pub body: String,
    /// From sending to the last byte, milliseconds.
    pub took_ms: u64,
}

/// A whole recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Of what it is.
    pub about: About,
    /// In the order in which they were asked.
    pub answers: Vec<Recorded>,
}

/// A folder that holds no recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A file cannot be read.
    #[error("reading {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("writing {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}, line {line}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// It is of another version.
    #[error("{} is a recording of version {found}, and this program reads version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
}

impl About {
    /// Of a check with this program.
    pub fn new(region: &str, (from, to): (i64, i64), (credits, rate_credits): (u64, Option<u64>)) -> Self {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        Self { version: VERSION, program, region: region.to_owned(), from, to, credits, rate_credits }
    }

    /// The flags of the `check` that asks the same again.
    pub fn flags(&self) -> String {
        let rate = self.rate_credits.map(|credits| format!(" --rate --rate-credits {credits}")).unwrap_or_default();
        format!("--region {} --from {} --to {} --credits {}{rate}", self.region, self.from, self.to, self.credits)
    }
}

/// The identity of a request, whatever the order of its parameters.
pub fn request<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.sort_unstable();
    pairs.join("&")
}

impl Recording {
    /// Writes the recording into `folder`, which is made where it is missing; each file is replaced whole.
    ///
    /// # Errors
    /// A folder that cannot be made, a file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), RecordingError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RecordingError::Write { path, source }
        };
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let line = |value: Result<String, serde_json::Error>| value.map_err(io::Error::other);
        let mut answers = String::new();
        for recorded in &self.answers {
            answers.push_str(&line(serde_json::to_string(recorded)).map_err(failed(folder))?);
            answers.push('\n');
        }
        let about = line(serde_json::to_string_pretty(&self.about)).map_err(failed(folder))?;
        for (name, text) in [(ANSWERS, answers), (ABOUT, format!("{about}\n"))] {
            let path = folder.join(name);
            replace(&path, text.as_bytes(), Readers::AsUsual).map_err(failed(&path))?;
        }
        Ok(())
    }

    /// Reads the recording of `folder`.
    ///
    /// # Errors
    /// A file that is missing, too large, malformed or of another version.
    pub fn read(folder: &Path) -> Result<Self, RecordingError> {
        let path = folder.join(ABOUT);
        let text = text_of(&path)?;
        let about: About = serde_json::from_str(&text).map_err(|error| malformed(&path, error.line(), &error))?;
        if about.version != VERSION {
            return Err(RecordingError::Version { path, found: about.version });
        }
        let path = folder.join(ANSWERS);
        let read = |(place, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| malformed(&path, place + 1, &error))
        };
        let answers = text_of(&path)?.lines().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { about, answers })
    }
}

fn text_of(path: &Path) -> Result<String, RecordingError> {
    let failed = |source| RecordingError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > LARGEST {
        return Err(failed(io::Error::other(format!("it is longer than {LARGEST} bytes"))));
    }
    fs::read_to_string(path).map_err(failed)
}

fn malformed(path: &Path, line: usize, error: &serde_json::Error) -> RecordingError {
    RecordingError::Malformed { path: path.to_owned(), line, why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording() -> Recording {
        let answer = Recorded {
            request: request([("b", "2"), ("a", "1")]),
            status: Some(200),
            is_cut: false,
            headers: vec![("retry-after".to_owned(), "1".to_owned())],
            body: "{\"code\":0}\n".to_owned(),
            took_ms: 7,
        };
        let lost = Recorded { status: None, headers: Vec::new(), body: String::new(), ..answer.clone() };
        Recording { about: About::new("US", (1, 9), (40, Some(200))), answers: vec![answer, lost] }
    }

    #[test]
    fn a_recording_reads_what_it_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/anew");
        recording().write(&path).unwrap();
        let read = Recording::read(&path).unwrap();
        assert_eq!(read, recording());
        assert_eq!(read.answers[0].request, "a=1&b=2");
        assert_eq!(read.about.flags(), "--region US --from 1 --to 9 --credits 40 --rate --rate-credits 200");
    }

    #[test]
    fn what_is_no_recording_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let text = |path: &Path| Recording::read(path).unwrap_err().to_string();
        assert!(text(folder.path()).contains("about.json"));
        recording().write(folder.path()).unwrap();
        fs::write(folder.path().join(ANSWERS), "{}\n").unwrap();
        assert!(text(folder.path()).contains("answers.jsonl, line 1"));
        let newer = Recording { about: About { version: 2, ..recording().about }, ..recording() };
        newer.write(folder.path()).unwrap();
        assert!(text(folder.path()).contains("version 2"));
    }
}
