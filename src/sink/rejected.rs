//! Rows that no column can take, kept whole beside the parts: `_rejected/<region>-<run>.jsonl`.
//!
//! One JSON object a line: `page` (which page, for a person), `index` (the row's place on it, from 0), `why`, and `text` (the row's
//! JSON text as it came, inside a string). The journal tells rows apart, so that a row which several pages repeated comes once. The folder's name begins
//! with `_` and the file's does not end in `.parquet`, so no reader of the parts takes it for one.

use std::error::Error;
use std::io::Write as _;

use serde::{Deserialize, Serialize};

use crate::api::contract::Region;
use crate::sink::staging::{StagedFile, Staging, StagingError};
use crate::units::RowCount;

/// One rejected row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedLine {
    /// Which page it came with.
    pub page: String,
    /// Its place on the page, from 0.
    pub index: u32,
    /// What is wrong with it.
    pub why: String,
    /// Its JSON text as it came.
    pub text: String,
}

/// A staged file of rejected rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedRejected {
    /// Its path below the output folder.
    pub path: String,
    /// Its rows, each different.
    pub rows: RowCount,
}

/// Why rejected rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RejectedError {
    /// The journal did not give them back.
    #[error("reading the rejected rows of {region} back failed: {source}")]
    Rows {
        /// The queried region.
        region: Region,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A line could not be made.
    #[error("writing the rejected rows failed: {0}")]
    Line(#[from] serde_json::Error),
    /// The disk.
    #[error(transparent)]
    Staging(#[from] StagingError),
}

/// Where the rejected rows of a region and run lie, below the output folder.
pub fn rejected_path(region: &Region, run: &str) -> String {
    format!("_rejected/{region}-{run}.jsonl")
}

impl Staging {
    /// Stages all rejected rows of a region and run; nothing where there are none. The staged file replaces a former one whole when it
    /// is revealed. Blocks.
    ///
    /// # Errors
    /// Where a row cannot be read back, or the disk fails.
    pub fn stage_rejected<E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        (region, run): (&Region, &str),
        lines: impl Iterator<Item = Result<RejectedLine, E>>,
    ) -> Result<Option<StagedRejected>, RejectedError> {
        let path = rejected_path(region, run);
        let mut file: Option<StagedFile> = None;
        let mut rows = 0;
        for line in lines {
            let line = line.map_err(|source| RejectedError::Rows { region: region.clone(), source: source.into() })?;
            let mut text = serde_json::to_vec(&line)?;
            text.push(b'\n');
            let mut opened = match file.take() {
                Some(opened) => opened,
                None => self.create(&path)?,
            };
            opened.write_all(&text).map_err(StagingError::of("writing", &self.file(&path)))?;
            file = Some(opened);
            rows += 1;
        }
        let Some(file) = file else { return Ok(None) };
        file.seal()?;
        Ok(Some(StagedRejected { path, rows: RowCount::new(rows) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(index: u32, text: &str) -> RejectedLine {
        RejectedLine { page: "US, page 3".to_owned(), index, why: "no id".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn rejected_rows_are_kept_whole() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::open(folder.path()).unwrap();
        let lines = [line(0, "{\"a\":\"\\ud800\"}"), line(4, "7"), line(0, "null")].map(Ok::<_, std::io::Error>);
        let region = "US".parse().unwrap();
        let staged = staging.stage_rejected((&region, "r1"), lines.into_iter()).unwrap().unwrap();
        assert_eq!((staged.path.as_str(), staged.rows.get()), ("_rejected/US-r1.jsonl", 3));
        let text = std::fs::read_to_string(staging.file(&staged.path)).unwrap();
        let kept: Vec<RejectedLine> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(kept, [line(0, "{\"a\":\"\\ud800\"}"), line(4, "7"), line(0, "null")]);
    }

    #[test]
    fn no_rejected_rows_make_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::open(folder.path()).unwrap();
        let none = std::iter::empty::<Result<RejectedLine, std::io::Error>>();
        assert_eq!(staging.stage_rejected((&"US".parse().unwrap(), "r1"), none).unwrap(), None);
    }
}
