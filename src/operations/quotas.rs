//! What a tenant may have, and has (US-NUM-011), for whoever wants to see it.
//!
//! What must stay true: what is shown is what PostgreSQL has at that moment. The limits may come from Redis, and then only those
//! of the revision that the tenant is at when what it has is read. What a tenant is granted is decided elsewhere, by the
//! counters in its row.

use std::sync::Arc;

use numbering_domain::{PerCounter, TenantId, TenantStanding};

use crate::cache::{Limits, TenantLimits};
use crate::store::{Store, StoreError};

/// A tenant's plan, limits and use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantQuotas {
    /// Whose.
    pub tenant: TenantId,
    /// The plan's name.
    pub plan: String,
    /// The most of each that it may have.
    pub limits: PerCounter<i32>,
    /// What it has.
    pub used: PerCounter<i32>,
}

impl From<TenantStanding> for TenantQuotas {
    fn from(standing: TenantStanding) -> Self {
        let TenantStanding { tenant, plan, limits, used, .. } = standing;
        Self { tenant, plan, limits, used }
    }
}

/// Shows quotas, and forgets what is cached of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Quotas {
    store: Store,
    cached: Limits,
    default_plan: Arc<str>,
}

impl Quotas {
    /// A tenant that is new is made on `default_plan`.
    #[must_use]
    pub fn new(store: Store, cached: Limits, default_plan: &str) -> Self {
        Self { store, cached, default_plan: default_plan.into() }
    }

    /// A tenant's plan, limits and use.
    ///
    /// # Errors
    /// When the store could not say.
    pub async fn of(&self, tenant: &TenantId) -> Result<TenantQuotas, StoreError> {
        if let Some(TenantLimits { revision, plan, limits }) = self.cached.get(tenant).await
            && let Some(used) = self.store.tenant_usage(tenant, revision).await?
        {
            return Ok(TenantQuotas { tenant: tenant.clone(), plan, limits, used });
        }
        let standing = self.standing(tenant).await?;
        self.cached.put(tenant, &TenantLimits::from(&standing)).await;
        Ok(standing.into())
    }

    /// Removes what is cached of a tenant whose plan, quotas or status changed.
    pub async fn forget(&self, tenant: &TenantId) {
        self.cached.forget(tenant).await;
    }

    /// The tenant's standing, made on the default plan where it is seen for the first time.
    async fn standing(&self, tenant: &TenantId) -> Result<TenantStanding, StoreError> {
        if let Some(standing) = self.store.tenant(tenant).await? {
            return Ok(standing);
        }
        self.store.meet_tenant(tenant, &self.default_plan).await?;
        let standing = self.store.tenant(tenant).await?;
        let what = "a tenant that was met has a standing";
        standing.ok_or_else(|| StoreError::Impossible { subject: tenant.to_string(), what })
    }
}
