//! How many values of each column of published parts are null, from the parts' own statistics: no row is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

/// Rows and nulls of some columns. A column without statistics in some part is not there; columns within columns are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nulls {
    /// Rows that were counted.
    pub rows: u64,
    /// The nulls of each column; none where a part does not tell.
    pub columns: BTreeMap<String, Option<u64>>,
}

impl Nulls {
    /// Adds what the footer of the part at `file` tells.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn count(&mut self, file: &Path) -> Result<(), ParquetError> {
        let reader = SerializedFileReader::new(File::open(file)?)?;
        for group in reader.metadata().row_groups() {
            self.rows += u64::try_from(group.num_rows()).unwrap_or(0);
            for column in group.columns() {
                let [name] = column.column_path().parts() else { continue };
                let nulls = column.statistics().and_then(|statistics| statistics.null_count_opt());
                let sum = self.columns.entry(name.clone()).or_insert(Some(0));
                *sum = sum.zip(nulls).map(|(sum, nulls)| sum + nulls);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::{given, page, parts, range, row, slice};

    #[test]
    fn nulls_are_counted_by_column_over_parts() {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path());
        let rows: Vec<String> = (0..4).map(|n| row(n * 10, &format!("{n}"), n)).collect();
        let part = parts.stage(&slice(range(0, 60)), given(vec![page(1, &rows)])).unwrap().unwrap();
        let mut nulls = Nulls::default();
        for _ in 0..2 {
            nulls.count(&parts.staging.file(&part.path)).unwrap();
        }
        assert_eq!(nulls.rows, 8);
        let of = |name: &str| nulls.columns[name];
        assert_eq!([of("video_id"), of("total_digg_cnt"), of("ratio")], [Some(0), Some(0), Some(8)]);
        assert!(!nulls.columns.keys().any(|name| name.contains("list")));
    }
}
