//! How a process comes to hold a state: it takes one that nobody holds, or one whose holder has not been seen for long enough.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use object_store::UpdateVersion;

use super::head::{Head, Holder, MISSED, SENDS_FOR};
use super::place::{Place, Swap};
use super::{Beginning, ReplicaError};
use crate::journal::Deadline;

/// Looks at a holder's head in one of its intervals.
const LOOKS: u32 = 4;

/// A state that is held by this process.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) head: Head,
    pub(super) version: UpdateVersion,
    /// Until when this process may send, if it renews nothing.
    pub(super) until: Deadline,
}

/// Takes the state, and waits for that where its holder may be dead.
pub(super) async fn take(place: &Place, interval: Duration, beginning: Beginning) -> Result<Taken, ReplicaError> {
    let seen = match (place.head().await, beginning) {
        (Ok(seen), _) => seen,
        // One that cannot be read says nothing of a holder either, so it is waited for in any case.
        (Err(ReplicaError::Head { .. }), Beginning::Empty) => {
            let version = place.version().await?;
            tokio::time::sleep(interval * MISSED).await;
            if place.version().await? != version {
                return Err(held(place, None, interval));
            }
            version.map(|version| (Head::empty(unreadable_epoch()), version))
        }
        (Err(error), _) => return Err(error),
    };
    let seen = match seen {
        Some((head, version)) if head.holder.is_some() => Some(wait_for(place, (head, version), interval).await?),
        seen => seen,
    };
    let (found, version) = seen.unzip();
    let found = match (found, beginning) {
        (Some(found), Beginning::Empty) => {
            place.copy_head_aside().await?;
            found.left_aside()
        }
        (found, _) => found.unwrap_or_else(|| Head::empty(0)),
    };
    let until = Deadline::after(interval * SENDS_FOR);
    let head = found.taken_by(holder(interval));
    match place.swap(&head, version.as_ref()).await? {
        Swap::Done(version) => Ok(Taken { head, version, until }),
        Swap::Refused(other) => {
            let other = other.and_then(|(head, _)| head.holder);
            Err(held(place, other.as_ref(), interval))
        }
    }
}

/// Waits until three renewals of the holder are missing.
async fn wait_for(
    place: &Place,
    (first, version): (Head, UpdateVersion),
    interval: Duration,
) -> Result<(Head, UpdateVersion), ReplicaError> {
    let interval = first.holder.as_ref().map_or(interval, |holder| holder.interval().max(interval));
    // From here on, since what was read stood there before.
    let began = Instant::now();
    if let Some(holder) = &first.holder {
        tracing::warn!(
            state = place.told(),
            %holder,
            wait_s = (interval * MISSED).as_secs(),
            "another run holds the state; it is taken over if that one shows no sign of life for so long"
        );
    }
    while let Some(left) = (interval * MISSED).checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
        tokio::time::sleep(left.min(interval / LOOKS)).await;
        match place.head().await? {
            Some((now, _)) if now == first => {}
            // It was given back meanwhile.
            Some((now, version)) if now.holder.is_none() => return Ok((now, version)),
            Some((now, _)) => return Err(held(place, now.holder.as_ref(), interval)),
            None => return Err(held(place, None, interval)),
        }
    }
    Ok((first, version))
}

fn held(place: &Place, holder: Option<&Holder>, interval: Duration) -> ReplicaError {
    let lasts = holder.map_or(interval * MISSED, Holder::lasts);
    let holder = holder.map_or_else(|| "one that has just ended".to_owned(), Holder::to_string);
    ReplicaError::Held { state: place.told(), holder, lasts }
}

fn holder(interval: Duration) -> Holder {
    let now = wall();
    let host = rustix::system::uname();
    let name = format!("process {} on {}", std::process::id(), host.nodename().to_string_lossy());
    let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    Holder { id: format!("{:016x}", rand::random::<u64>()), name, since: now, renewed_at: now, interval_ms }
}

/// An epoch that no holder before has had, most likely: they count from 1.
fn unreadable_epoch() -> u64 {
    u64::try_from(wall()).unwrap_or_default()
}

/// The moment by this machine's clock, for people alone; epoch seconds.
pub(super) fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
