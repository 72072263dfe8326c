//! Tenants: plan, status, allowlist and quotas. Their counters are written by the commit of transitions alone.

use deadpool_postgres::Transaction;
use numbering_domain::{Counter, OperatorId, PerCounter, TenantId, TenantStanding, TenantStatus};
use serde_json::{Map, Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::cascades;
use super::commit::Origin;
use super::rows::Reading;
use super::{Store, StoreError};

/// What an admin sets of a tenant.
#[derive(Clone, Debug)]
pub struct TenantSettings {
    /// The plan's name.
    pub plan: String,
    /// Active or suspended; `None` leaves it.
    pub status: Option<TenantStatus>,
    /// The operators whose numbers it may take, or `None` inside for all; `None` leaves it.
    pub operator_allowlist: Option<Option<Vec<OperatorId>>>,
}

/// Reservations and holds of all tenants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActiveReservations {
    /// How many have not run out.
    pub count: i64,
    /// For how many seconds the longest overdue has been so.
    pub overdue_seconds: f64,
}

/// Changes of a tenant's own quotas: `None` leaves one, `None` inside goes back to the plan's.
pub type QuotaChanges = PerCounter<Option<Option<i32>>>;

impl Store {
    /// Makes the standing of a tenant that is seen for the first time, on `plan`; one that stands already stays as it is.
    pub async fn meet_tenant(&self, tenant: &TenantId, plan: &str) -> Result<(), StoreError> {
        self.query(include_str!("tenant_meet.sql"), &[&tenant.as_str(), &plan]).await.map(drop)
    }

    /// How many reservations and holds have not run out, of all tenants, and how long one that has has waited at most.
    pub async fn active_reservations(&self) -> Result<ActiveReservations, StoreError> {
        let expected = self.clock().expected();
        let rows =
            self.query(include_str!("active_reservations.sql"), &[&expected.now, &expected.tolerance_seconds]).await?;
        let row = rows.first().ok_or_else(|| StoreError::Impossible {
            subject: "active reservations".to_owned(),
            what: "the query gives one row",
        })?;
        Ok(ActiveReservations { count: row.try_get("active")?, overdue_seconds: row.try_get("overdue_seconds")? })
    }

    /// A tenant's standing, what time has ended no longer counted.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Option<TenantStanding>, StoreError> {
        let expected = self.clock().expected();
        let parameters: [&(dyn ToSql + Sync); 3] = [&tenant.as_str(), &expected.now, &expected.tolerance_seconds];
        let row = self.query_opt(include_str!("tenant_read.sql"), &parameters).await?;
        row.map(|row| Reading::new(&row, tenant.as_str()).standing()).transpose()
    }

    /// What a tenant has, what time has ended no longer counted; `None` unless the tenant is at this revision.
    pub async fn tenant_usage(&self, tenant: &TenantId, revision: i64) -> Result<Option<PerCounter<i32>>, StoreError> {
        let expected = self.clock().expected();
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&tenant.as_str(), &revision, &expected.now, &expected.tolerance_seconds];
        let row = self.query_opt(include_str!("tenant_usage.sql"), &parameters).await?;
        row.map(|row| Reading::new(&row, tenant.as_str()).used()).transpose()
    }

    /// Sets plan, status and allowlist of a tenant, which is made on `default_plan` where it is new; `false` where the plan is
    /// unknown. Counts at once: a grant that was decided before
    /// does not commit after. A tenant that is put in good standing has its unfinished cascade cancelled.
    /// Where the limits in force change with the plan, `numbering.quota.changed` tells it.
    pub async fn put_tenant(
        &self,
        tenant: &TenantId,
        settings: &TenantSettings,
        default_plan: &str,
        origin: &Origin,
    ) -> Result<bool, StoreError> {
        self.transaction(async |transaction| {
            let id = tenant.as_str();
            let locked = meet_and_lock(&transaction, tenant, default_plan).await?;
            let sets_allowlist = settings.operator_allowlist.is_some();
            let allowlist: Option<Vec<&str>> = settings
                .operator_allowlist
                .as_ref()
                .and_then(|list| Some(list.as_ref()?.iter().map(OperatorId::as_str).collect()));
            let status = settings.status.map(TenantStatus::as_str);
            let parameters: [&(dyn ToSql + Sync); 5] = [&id, &settings.plan, &status, &sets_allowlist, &allowlist];
            let Some(row) = transaction.query_opt(include_str!("tenant_put.sql"), &parameters).await? else {
                return Ok(false);
            };
            let (status, allowlist): (&str, Option<Vec<&str>>) =
                (row.try_get("status")?, row.try_get("operator_allowlist")?);
            let data = json!({
                "tenantId": id, "plan": settings.plan, "status": status, "operatorAllowlist": allowlist,
            });
            if settings.status == Some(TenantStatus::Active) {
                cascades::cancel(&transaction, tenant, origin).await?;
            }
            journal(&transaction, tenant, "numbering.tenant.updated", &data, false, origin).await?;
            if Reading::new(&locked, id).limits()? != Reading::new(&row, id).limits()? {
                tell_quotas(&transaction, tenant, &settings.plan, origin).await?;
            }
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Changes the tenant's own quotas, at once; `false` where the tenant is unknown.
    pub async fn put_quotas(
        &self,
        tenant: &TenantId,
        quotas: &QuotaChanges,
        origin: &Origin,
    ) -> Result<bool, StoreError> {
        self.transaction(async |transaction| {
            let id = tenant.as_str();
            let Some(locked) = transaction.query_opt(include_str!("tenant_lock.sql"), &[&id]).await? else {
                return Ok(false);
            };
            let set = Counter::ALL.map(|counter| quotas.get(counter).flatten());
            let named = Counter::ALL.map(|counter| quotas.get(counter).is_some());
            let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&id];
            parameters.extend(set.iter().map(|quota| quota as &(dyn ToSql + Sync)));
            parameters.extend(named.iter().map(|named| named as &(dyn ToSql + Sync)));
            transaction.execute(include_str!("tenant_quotas_put.sql"), &parameters).await?;
            // The limits in force follow, by the same statement that follows a plan.
            let plan: &str = locked.try_get(0)?;
            let unchanged: [&(dyn ToSql + Sync); 5] = [&id, &plan, &None::<&str>, &false, &None::<Vec<&str>>];
            transaction.query_one(include_str!("tenant_put.sql"), &unchanged).await?;
            tell_quotas(&transaction, tenant, plan, origin).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }
}

/// The locked row of a tenant that is met for the first time where it is new.
pub(super) async fn meet_and_lock(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    default_plan: &str,
) -> Result<Row, StoreError> {
    let id = tenant.as_str();
    transaction.execute(include_str!("tenant_meet.sql"), &[&id, &default_plan]).await?;
    let locked = transaction.query_opt(include_str!("tenant_lock.sql"), &[&id]).await?;
    locked.ok_or_else(|| StoreError::Impossible { subject: id.to_owned(), what: "a tenant that was met has a row" })
}

/// Tells of a locked tenant's plan and own quotas: `numbering.quota.changed`.
pub(super) async fn tell_quotas(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    plan: &str,
    origin: &Origin,
) -> Result<(), StoreError> {
    let id = tenant.as_str();
    let row = transaction.query_one(include_str!("tenant_quotas_own.sql"), &[&id]).await?;
    let mut own = Map::new();
    for (index, counter) in Counter::ALL.into_iter().enumerate() {
        own.insert(counter.as_str().to_owned(), row.try_get::<_, Option<i32>>(index)?.into());
    }
    let data = json!({ "tenantId": id, "plan": plan, "quotas": own });
    journal(transaction, tenant, "numbering.quota.changed", &data, true, origin).await
}

/// Journals what was done to a tenant; `published` tells whether it is an event too.
pub(super) async fn journal(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    event_type: &str,
    data: &Value,
    published: bool,
    origin: &Origin,
) -> Result<(), StoreError> {
    let event_id = Uuid::now_v7();
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&tenant.as_str(), &event_id, &event_type, data, &origin.actor, &published, &origin.request_id];
    transaction.execute(include_str!("tenant_journal.sql"), &parameters).await?;
    Ok(())
}
