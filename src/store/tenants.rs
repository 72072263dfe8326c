//! Tenants: plan, status, allowlist and quotas. Their counters are written by the commit of transitions alone.

use numbering_domain::{OperatorId, PerCounter, TenantId, TenantStanding, TenantStatus};
use serde_json::{Value, json};
use uuid::Uuid;

use super::commit::Origin;
use super::rows::Reading;
use super::{Store, StoreError};

/// What an admin sets of a tenant.
#[derive(Clone, Debug)]
pub struct TenantSettings {
    /// The plan's name.
    pub plan: String,
    /// Active or suspended.
    pub status: TenantStatus,
    /// The operators whose numbers it may take; `None` for all.
    pub operator_allowlist: Option<Vec<OperatorId>>,
}

/// A tenant's own quotas; `None` for the plan's.
pub type OwnQuotas = PerCounter<Option<i32>>;

impl Store {
    /// Makes the standing of a tenant that is seen for the first time, on `plan`; one that stands already stays as it is.
    pub async fn meet_tenant(&self, tenant: &TenantId, plan: &str) -> Result<(), StoreError> {
        self.query(include_str!("tenant_meet.sql"), &[&tenant.as_str(), &plan]).await.map(drop)
    }

    /// How many reservations and holds have not run out, of all tenants.
    pub async fn active_reservations(&self) -> Result<i64, StoreError> {
        let row = self.query_opt(include_str!("active_reservations.sql"), &[]).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
    }

    /// A tenant's standing, what time has ended no longer counted.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Option<TenantStanding>, StoreError> {
        let row = self.query_opt(include_str!("tenant_read.sql"), &[&tenant.as_str()]).await?;
        row.map(|row| Reading::new(&row, tenant.as_str()).standing()).transpose()
    }

    /// Sets plan, status and allowlist; `false` where the plan is unknown. Counts at once: a grant that was decided before
    /// does not commit after.
    pub async fn put_tenant(
        &self,
        tenant: &TenantId,
        settings: &TenantSettings,
        origin: &Origin,
    ) -> Result<bool, StoreError> {
        let allowlist: Option<Vec<&str>> =
            settings.operator_allowlist.as_ref().map(|list| list.iter().map(OperatorId::as_str).collect());
        let data = json!({
            "tenantId": tenant.as_str(),
            "plan": settings.plan,
            "status": settings.status.as_str(),
            "operatorAllowlist": allowlist,
        });
        let row = self
            .query_opt(
                include_str!("tenant_put.sql"),
                &[
                    &tenant.as_str(),
                    &settings.plan,
                    &settings.status.as_str(),
                    &allowlist,
                    &Uuid::now_v7(),
                    &data,
                    &origin.actor,
                    &origin.request_id,
                ],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Sets the tenant's own quotas, at once; `false` where the tenant is unknown.
    pub async fn put_quotas(&self, tenant: &TenantId, quotas: &OwnQuotas, origin: &Origin) -> Result<bool, StoreError> {
        let data = json!({ "tenantId": tenant.as_str(), "quotas": quotas_json(quotas) });
        let row = self
            .query_opt(
                include_str!("tenant_quotas_put.sql"),
                &[
                    &tenant.as_str(),
                    &quotas.msisdn,
                    &quotas.short_code,
                    &quotas.alpha,
                    &quotas.reservations,
                    &quotas.holds,
                    &Uuid::now_v7(),
                    &data,
                    &origin.actor,
                    &origin.request_id,
                ],
            )
            .await?;
        Ok(row.is_some())
    }

    /// The tenant's own quotas.
    pub async fn own_quotas(&self, tenant: &TenantId) -> Result<OwnQuotas, StoreError> {
        let row = self.query_opt(include_str!("tenant_quotas_read.sql"), &[&tenant.as_str()]).await?;
        row.map_or(Ok(OwnQuotas::default()), |row| {
            Ok(OwnQuotas {
                msisdn: row.try_get("msisdn")?,
                short_code: row.try_get("short_code")?,
                alpha: row.try_get("alpha")?,
                reservations: row.try_get("reservations")?,
                holds: row.try_get("holds")?,
            })
        })
    }
}

fn quotas_json(quotas: &OwnQuotas) -> Value {
    json!({
        "MSISDN": quotas.msisdn,
        "SHORT_CODE": quotas.short_code,
        "ALPHA": quotas.alpha,
        "RESERVATIONS": quotas.reservations,
        "HOLDS": quotas.holds,
    })
}
