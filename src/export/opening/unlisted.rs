//! Parts that the state has published and a manifest that is no older does not list: superseded by a run with another state, or dropped
//! from a manifest that was damaged. What nothing has taken the place of is not thrown away.

use std::collections::BTreeSet;

use crate::export::{ExportError, clock};
use crate::journal::record::PartRecord;
use crate::sink::coverage::Reader;
use crate::sink::layout::are_of_one_snapshot;
use crate::sink::manifest::Manifest;
use crate::sink::publish::{Output, Standing};
use crate::units::TimeRange;

/// What becomes of such a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is whole, and its rows stand nowhere else: it is listed again.
    Listed,
    /// It is not what it should be, and nobody has read its seconds since: it is lost like any other part.
    Lost,
    /// It is gone, or about to go.
    Superseded,
    /// The same, but its file is there.
    MovedAside,
}

/// Lists again what the manifest has lost, and gives the paths of parts that were superseded.
pub(super) async fn settle(
    output: &Output,
    manifest: &mut Manifest,
    (unlisted, former): (&[PartRecord], &BTreeSet<String>),
) -> Result<Vec<String>, ExportError> {
    let (mut superseded, mut again) = (Vec::new(), Vec::new());
    for (part, standing) in unlisted.iter().zip(output.standings(unlisted).await?) {
        let path = &part.path;
        match fate(part, standing, (manifest, former)) {
            Fate::Listed => {
                tracing::warn!("the manifest was damaged: it does not list {path}, which is whole and is listed again");
                again.push(part.clone());
            }
            Fate::Lost => tracing::warn!("the manifest was damaged: it does not list {path}, which is lost too"),
            Fate::Superseded => superseded.push(path.clone()),
            Fate::MovedAside => {
                let aside = output.set_aside(path).await?;
                tracing::warn!(?aside, "{path} is not in the manifest, and was moved aside");
                superseded.push(path.clone());
            }
        }
    }
    if !again.is_empty() {
        again.into_iter().for_each(|part| list(manifest, part));
        manifest.written_at = clock::wall();
        output.commit(manifest).await?;
    }
    Ok(superseded)
}

fn fate(part: &PartRecord, standing: Standing, (manifest, former): (&Manifest, &BTreeSet<String>)) -> Fate {
    let takes_its_place = |other: &PartRecord| {
        other.region == part.region && other.range.overlaps(part.range) && are_of_one_snapshot(&other.path, &part.path)
    };
    let is_replaced = manifest.parts.iter().any(takes_its_place);
    let read = manifest.account.kept_from(None).coverage.of_run(&part.region, &part.run);
    let is_the_last_word = !part.carried && read.iter().any(|range| range.overlaps(part.range));
    match standing {
        _ if former.contains(&part.path) => Fate::Superseded,
        Standing::Whole if !is_replaced => Fate::Listed,
        Standing::Missing | Standing::Damaged { .. } if !is_replaced && is_the_last_word => Fate::Lost,
        Standing::Missing => Fate::Superseded,
        Standing::Whole | Standing::Damaged { .. } => Fate::MovedAside,
    }
}

/// Where the manifest does not account for its seconds, its run has read them.
fn list(manifest: &mut Manifest, part: PartRecord) {
    let mut known: Vec<TimeRange> = manifest.account.coverage.of(&part.region);
    known.extend(manifest.account.gaps.iter().filter(|gap| gap.region == part.region).map(|gap| gap.range));
    let by = Reader { run: &part.run, at: manifest.began_at };
    manifest.account.coverage.read(&part.region, &part.range.without(&known), by);
    manifest.parts.push(part);
}
