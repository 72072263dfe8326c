//! Leases as they are shown: every term, in force or ended.

use numbering_domain::lease::LeaseState;
use numbering_domain::{Identifier, Lease, LeaseId, TenantId};
use tokio_postgres::Row;

use super::rows::Reading;
use super::{Store, StoreError};
use crate::clock::DatabaseClock;

/// A lease with the number that it is of, and how it stands.
#[derive(Clone, Debug)]
pub struct LeaseRecord {
    /// The number.
    pub identifier: Identifier,
    /// The number, as registered.
    pub shown: String,
    /// The lease.
    pub lease: Lease,
    /// How it stands at the moment of reading: one whose end has passed is EXPIRED, whether or not it has been written.
    pub state: LeaseState,
}

fn record(clock: &DatabaseClock, row: &Row) -> Result<LeaseRecord, StoreError> {
    let reading = Reading::new(row, row.try_get::<_, &str>("identifier")?);
    let key: &str = reading.get("identifier")?;
    let now = clock.vouched(reading.get("now")?);
    let lease = reading.lease()?;
    let written = LeaseState::parse(reading.get("state")?).ok_or_else(|| reading.impossible("state"))?;
    let state = match written {
        LeaseState::Leased | LeaseState::Suspended if now >= lease.ends_at => LeaseState::Expired,
        LeaseState::Leased
        | LeaseState::Suspended
        | LeaseState::Recalled
        | LeaseState::Expired
        | LeaseState::Renewed => written,
    };
    Ok(LeaseRecord {
        identifier: Identifier::from_canonical(reading.class()?, key),
        shown: reading.get("shown")?,
        lease,
        state,
    })
}

impl Store {
    /// The tenant's leases (all tenants' without one), newest first, before the lease `before`, at most `most`.
    pub async fn leases(
        &self,
        tenant: Option<&TenantId>,
        before: Option<LeaseId>,
        most: i64,
    ) -> Result<Vec<LeaseRecord>, StoreError> {
        let tenant = tenant.map(TenantId::as_str);
        let before = before.map(|LeaseId(id)| id);
        let rows = self.query(include_str!("leases_of_tenant.sql"), &[&tenant, &before, &most]).await?;
        rows.iter().map(|row| record(self.clock(), row)).collect()
    }

    /// One lease.
    pub async fn lease(&self, LeaseId(id): LeaseId) -> Result<Option<LeaseRecord>, StoreError> {
        let row = self.query_opt(include_str!("lease_by_id.sql"), &[&id]).await?;
        row.map(|row| record(self.clock(), &row)).transpose()
    }
}
