//! Publishing again what was published before, for the day that JetStream has lost what it acknowledged: it
//! acknowledges before it syncs. The journal keeps every event for that.

use jiff::{SignedDuration, Timestamp};

use super::catalogue::PUBLISHED_TYPES;
use crate::store::{Store, StoreError};

/// How many entries are looked at in one statement.
const PAGE: i64 = 10_000;

/// By how much the journal's order may differ from that of its times: no commit takes nearly as long.
const DISORDER_MAX: SignedDuration = SignedDuration::from_mins(10);

/// Puts every event that was committed at `since` or later back into the outbox, oldest first, and gives how many: those
/// that wait there already are not counted. The relay does the rest. Events keep their ids, so that consumers, and the
/// stream within its deduplication window, know what they have already.
pub async fn republish_since(store: &Store, since: Timestamp) -> Result<u64, StoreError> {
    let Some(last) = store.journal_end().await? else { return Ok(0) };
    let mut after = before_the_first_since(store, since, last).await?;
    let mut put_back = 0;
    while after < last {
        let page = store.put_back_page(after, last, PAGE, since, &PUBLISHED_TYPES).await?;
        put_back += page.put_back;
        after = page.last;
    }
    Ok(put_back)
}

/// A place in the journal before which nothing is as late as `since`: walks back from the end, because there is
/// no index by time, and what is asked for is near its end.
async fn before_the_first_since(store: &Store, since: Timestamp, last: i64) -> Result<i64, StoreError> {
    let early = since.checked_sub(DISORDER_MAX).unwrap_or(Timestamp::MIN);
    let mut place = last;
    while let Some(page) = store.journal_page_back(place, PAGE).await?
        && page.latest >= early
    {
        place = page.first - 1;
    }
    Ok(place)
}
