//! Short pages: whether a service's free places have been shown to be its habit and to hide nothing. Pure.
//!
//! A look at a short page is another reading across it in another alignment. Once any look shows a row that the page had left
//! out, no free place is believed.

use std::collections::BTreeSet;

use super::certificate::Kernel;
use super::observation::Observation;
use super::placement::Reading;
use crate::plan::fact::VideoKey;

/// Whether enough looks around short pages found nothing, and none found a row.
pub fn is_shown(kernel: &Kernel<'_>) -> bool {
    let (mut agreeing, mut hiding) = (0, 0);
    for reading in &kernel.readings {
        for page in followed_short(reading, kernel.rules.page_size) {
            for other in kernel.readings.iter().filter(|other| is_other_scan(reading, other)) {
                match look(reading, page, other) {
                    Some(true) => hiding += 1,
                    Some(false) => agreeing += 1,
                    None => {}
                }
            }
        }
    }
    hiding == 0 && agreeing >= kernel.rules.looks && agreeing > 0
}

/// The pages with free places that another page follows.
fn followed_short<'a>(reading: &'a Reading<'_>, size: u32) -> impl Iterator<Item = &'a Observation> {
    let but_last = reading.pages.len() - 1;
    reading.pages.iter().copied().take(but_last).filter(move |page| page.free(size) > 0)
}

fn is_other_scan(one: &Reading<'_>, other: &Reading<'_>) -> bool {
    one.pages.first().map(|page| page.scan.id()) != other.pages.first().map(|page| page.scan.id())
}

/// Whether another reading across a short page shows a row that the page's reading does not; none where it does not lie across
/// it in another alignment.
fn look(reading: &Reading<'_>, short: &Observation, other: &Reading<'_>) -> Option<bool> {
    let seconds = || short.rows.iter().map(|row| row.second);
    let (first, last) = (seconds().min()?, seconds().max()?);
    let is_across = other.rows().any(|row| row.second < first) && other.rows().any(|row| row.second > last);
    let opens = short.rows.first()?.video;
    let is_aligned = other.pages.iter().any(|page| page.rows.first().is_some_and(|row| row.video == opens));
    let known: BTreeSet<VideoKey> = reading.rows().map(|row| row.video).collect();
    let mut within = other.rows().filter(|row| first <= row.second && row.second <= last);
    let finds = within.any(|row| !known.contains(&row.video));
    (is_across && (finds || !is_aligned)).then_some(finds)
}
