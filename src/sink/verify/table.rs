//! Whether the table's log lists what the manifest lists.

use super::Report;
use crate::sink::manifest::Manifest;
use crate::sink::publish::replay_log;
use crate::sink::store::{Store, StoreError};
use crate::sink::table::{Difference, log_file};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Compared {
    problem: Option<String>,
    shortfall: Option<String>,
}

impl Compared {
    pub(super) fn tell(self, report: &mut Report) {
        report.problems.extend(self.problem);
        report.shortfalls.extend(self.shortfall);
    }
}

/// Reads the whole log.
pub(super) async fn compare(store: &dyn Store, manifest: &Manifest) -> Result<Compared, StoreError> {
    let Some(version) = manifest.table.as_ref().and_then(|table| table.version) else { return Ok(Compared::default()) };
    let wrong = |problem: String| Ok(Compared { problem: Some(problem), shortfall: None });
    if store.size(&log_file(0)).await?.is_none() && store.size(&log_file(version)).await?.is_some() {
        // Somebody keeps the log short by checkpoints, which are not read here.
        return Ok(Compared::default());
    }
    let replay = match replay_log(store, Some(&manifest.account.id)).await? {
        Ok(replay) => replay,
        Err(problem) => return wrong(format!("the log of the table: {problem}")),
    };
    let wanted = version + 1;
    if replay.versions() == version && manifest.table.as_ref().is_some_and(|table| !table.actions.is_empty()) {
        let shortfall = format!(
            "the log of the table lacks version {version}, which the manifest holds: the next start puts it there"
        );
        return Ok(Compared { problem: None, shortfall: Some(shortfall) });
    }
    if replay.versions() != wanted {
        let found = replay.versions();
        return wrong(format!("the log of the table has {found} versions, and the manifest knows of {wanted}"));
    }
    let Difference { added, removed } = Difference::between(replay.files(), &manifest.parts);
    match (added.first(), removed.first()) {
        (None, None) => Ok(Compared::default()),
        (Some(part), _) => wrong(format!("the log of the table does not list {}", part.path)),
        (None, Some((path, _))) => wrong(format!("the log of the table lists {path}, which is no part")),
    }
}
