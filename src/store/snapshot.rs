//! Reads for validation (US-NUM-002): snapshots of numbers.
//!
//! What must stay true: the primary is asked, and no longer waited for than until the deadline. A connection whose answer did
//! not come in time is thrown away, so that nobody queues behind it.

use std::time::Duration;

use jiff::Timestamp;
use numbering_domain::lease::{Facts, Snapshot};
use numbering_domain::number::EndedBy;
use numbering_domain::{Identifier, LeaseId, StateName};
use tokio_postgres::types::Json;

use super::rows::{Reading, one_for_each};
use super::{Store, StoreError};

/// One number, as validation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedSnapshot {
    /// The facts; `None` where the number is not in the inventory.
    pub snapshot: Option<Snapshot>,
    /// Whether the tenant that holds the lease is suspended.
    pub holder_suspended: bool,
    /// The facts are of no earlier a moment, by the database's clock.
    pub as_of: Timestamp,
    /// The moment to judge at: by the database's clock, when it answered.
    pub now: Timestamp,
}

impl Store {
    /// These numbers, in their order. One round trip for all.
    ///
    /// # Errors
    /// When the database did not answer within `deadline`, or could not.
    pub async fn load_snapshots(
        &self,
        identifiers: &[&Identifier],
        deadline: Duration,
    ) -> Result<Vec<LoadedSnapshot>, StoreError> {
        let keys: Vec<&str> = identifiers.iter().map(|identifier| identifier.key()).collect();
        let asked_at = self.clock().expected().now;
        let rows = self.query_within(include_str!("load_snapshots.sql"), &[&Json(keys)], deadline).await?;
        one_for_each(&rows, identifiers.len())?;
        let Some(last) = rows.last() else { return Ok(Vec::new()) };
        let (as_of, said): (Timestamp, Timestamp) = (last.try_get("as_of")?, last.try_get("now")?);
        let now = self.clock().vouched(said);
        // Where the clock is corrected, that is by the moment that the answer came; the facts may be as old as the question.
        let as_of = if now == said { as_of } else { asked_at };
        rows.iter()
            .zip(identifiers)
            .map(|(row, identifier)| loaded_snapshot(&Reading::new(row, identifier.key()), as_of, now))
            .collect()
    }
}

fn loaded_snapshot(reading: &Reading<'_>, as_of: Timestamp, now: Timestamp) -> Result<LoadedSnapshot, StoreError> {
    let snapshot = match reading.get("version")? {
        Some(version) => Some(Snapshot { version, facts: facts(reading)? }),
        None => None,
    };
    Ok(LoadedSnapshot { snapshot, holder_suspended: reading.get("holder_suspended")?, as_of, now })
}

fn facts(reading: &Reading<'_>) -> Result<Facts, StoreError> {
    let state = StateName::parse(reading.get("state")?).ok_or_else(|| reading.impossible("in an unknown state"))?;
    match state {
        StateName::Available | StateName::Reserved | StateName::Held => Ok(Facts::Unleased),
        StateName::Recalled => Err(reading.impossible("RECALLED, which is passed through within one commit")),
        StateName::Quarantine => Ok(Facts::Resting {
            ended_by: EndedBy::parse(reading.needed("ended_by")?)
                .ok_or_else(|| reading.impossible("resting after an unknown end"))?,
            until: reading.needed("deadline")?,
        }),
        StateName::Leased | StateName::Suspended => Ok(Facts::Leased {
            tenant: reading.tenant("tenant_id")?,
            lease_id: LeaseId(reading.needed("lease_id")?),
            effective_until: reading.needed("effective_until")?,
            ends_at: reading.needed("deadline")?,
            suspended: state == StateName::Suspended,
        }),
    }
}
