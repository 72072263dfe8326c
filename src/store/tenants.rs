//! Tenants: their standing, made when they are first seen.

use numbering_domain::TenantId;

use super::{Store, StoreError};

impl Store {
    /// Makes the standing of a tenant that is seen for the first time, on `plan`; one that stands already stays as it is.
    pub async fn meet_tenant(&self, tenant: &TenantId, plan: &str) -> Result<(), StoreError> {
        self.query(include_str!("tenant_meet.sql"), &[&tenant.as_str(), &plan]).await.map(drop)
    }
}
