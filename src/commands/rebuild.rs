//! `rebuild` and `compact`: an output written anew from its own parts. Nothing is sent, and no key is needed.

use crate::config::{HumanBytes, OutputSettings, Settings};
use crate::export::{self, Contents, Rebuild, Rebuilt, Which};
use crate::failure::{ExitCode, Failure};
use crate::telemetry::Log;
use crate::units::ByteCount;

use super::places::{Places, told_state};
use super::{failures, run, signals};

/// Writes all parts of the output anew, in the partition of the settings where they say one.
///
/// # Errors
/// An output that cannot be written anew; it is left as it was, or the same command goes on.
pub async fn rebuild(settings: Settings, says_partition: bool, log: &Log) -> Result<ExitCode, Failure> {
    let partition = says_partition.then_some(settings.output.partition);
    write_anew(&settings, Which::All(partition), log).await
}

/// Makes one part of small neighbours.
///
/// # Errors
/// Those of [`rebuild`].
pub async fn compact(settings: Settings, below: HumanBytes, log: &Log) -> Result<ExitCode, Failure> {
    let below: ByteCount = below.get();
    write_anew(&settings, Which::Small(below), log).await
}

async fn write_anew(settings: &Settings, which: Which, log: &Log) -> Result<ExitCode, Failure> {
    // Whatever is done is durable, and what is not is done again: there is nothing to bring to an end.
    signals::end_at_once(log)?;
    let places = Places::of(settings, None)?;
    let output: &OutputSettings = &settings.output;
    let (packaging, part_rows) = (run::packaging(output), run::part_rows(output));
    let (now, writers) = (super::now(), run::writers(output));
    let (state, away) = (places.state, places.away);
    let request = Rebuild { state, away, output: places.output, writers, now, which, packaging, part_rows };
    let rebuilt = export::rebuild(&request)
        .await
        .map_err(|error| failures::failure(&error, &told_state(&request.state, request.away.as_ref())))?;
    super::print(text(&rebuilt, &output.folder.display().to_string()).as_bytes())
}

fn text(rebuilt: &Rebuilt, folder: &str) -> String {
    let Rebuilt { before, after, written_anew } = rebuilt;
    let contents = |contents: &Contents| {
        let Contents { layout, parts, rows, bytes } = contents;
        format!("{layout}, {}, {rows}, {bytes}", super::parts(*parts))
    };
    if *written_anew == 0 && before == after {
        return format!("{folder}: nothing was to be done: {}\n", contents(after));
    }
    format!(
        "{folder}: {} {} written anew; no request was sent\nbefore  {}\nafter   {}\n",
        super::parts(*written_anew),
        if *written_anew == 1 { "was" } else { "were" },
        contents(before),
        contents(after)
    )
}
