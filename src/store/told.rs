//! What other services tell about tenants: each the effect of one event, in one transaction with its row in the inbox.
//!
//! What must stay true: from the commit of a suspension on nothing can be granted to the tenant, because every grant commits
//! only at the tenant's revision that it was decided on; and a tenant in good standing has no unfinished cascade.

use deadpool_postgres::Transaction;
use numbering_domain::{TenantId, TenantStatus, TicketId};
use serde_json::json;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::cascades::{self, CascadeState};
use super::commit::Origin;
use super::inbox::{self, EventKey};
use super::tenants::{journal, meet_and_lock, tell_quotas};
use super::{Store, StoreError};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It has had its effect now.
    Now,
    /// It had it before.
    Before,
    /// It names a plan that there is not; nothing was changed.
    UnknownPlan,
}

/// A suspension as compliance orders it.
#[derive(Clone, Debug)]
pub struct Suspension {
    /// Whom.
    pub tenant: TenantId,
    /// The case that it rests on.
    pub ticket: TicketId,
    /// With more leases than this, the recalls wait for an admin; 0 is never.
    pub confirm_above: u32,
}

impl Store {
    /// Suspends a tenant, which is made on `default_plan` where it is new, and orders the recall of all that it has.
    pub async fn suspend_tenant(
        &self,
        event: &EventKey,
        suspension: &Suspension,
        default_plan: &str,
        origin: &Origin,
    ) -> Result<Told, StoreError> {
        let Suspension { tenant, ticket, confirm_above } = suspension;
        self.transaction(async |transaction| {
            if !inbox::done(&transaction, event).await? {
                return Ok(Told::Before);
            }
            let locked = meet_and_lock(&transaction, tenant, default_plan).await?;
            set(&transaction, tenant, locked.try_get("plan")?, Some(TenantStatus::Suspended)).await?;
            let leases: i32 = locked.try_get("leases")?;
            let reservations: i32 = locked.try_get("reservations")?;
            let waits = *confirm_above > 0 && leases.unsigned_abs() > *confirm_above;
            let state = if waits { CascadeState::AwaitingConfirmation } else { CascadeState::Running };
            let cascade_id = Uuid::now_v7();
            let ordered = transaction
                .query_opt(
                    include_str!("cascade_make.sql"),
                    &[
                        &cascade_id,
                        &tenant.as_str(),
                        &ticket.as_str(),
                        &event.source,
                        &event.id,
                        &state.as_str(),
                        &leases,
                        &reservations,
                    ],
                )
                .await?;
            let mut data = json!({
                "tenantId": tenant.as_str(), "ticketId": ticket.as_str(), "source": event.source, "eventId": event.id,
            });
            if ordered.is_some() {
                data["cascadeId"] = cascade_id.to_string().into();
            }
            journal(&transaction, tenant, "numbering.tenant.suspended", &data, false, origin).await?;
            transaction.commit().await?;
            Ok(Told::Now)
        })
        .await
    }

    /// Puts a tenant back in good standing, and cancels what is unfinished of its recalls.
    pub async fn reinstate_tenant(
        &self,
        event: &EventKey,
        tenant: &TenantId,
        default_plan: &str,
        origin: &Origin,
    ) -> Result<Told, StoreError> {
        self.transaction(async |transaction| {
            if !inbox::done(&transaction, event).await? {
                return Ok(Told::Before);
            }
            let locked = meet_and_lock(&transaction, tenant, default_plan).await?;
            set(&transaction, tenant, locked.try_get("plan")?, Some(TenantStatus::Active)).await?;
            cascades::cancel(&transaction, tenant, origin).await?;
            let data = json!({ "tenantId": tenant.as_str(), "source": event.source, "eventId": event.id });
            journal(&transaction, tenant, "numbering.tenant.reinstated", &data, false, origin).await?;
            transaction.commit().await?;
            Ok(Told::Now)
        })
        .await
    }

    /// Puts a tenant on another plan, with its limits at once; its own quotas stay.
    pub async fn change_plan(
        &self,
        event: &EventKey,
        tenant: &TenantId,
        plan: &str,
        origin: &Origin,
    ) -> Result<Told, StoreError> {
        self.transaction(async |transaction| {
            if !inbox::done(&transaction, event).await? {
                return Ok(Told::Before);
            }
            let id = tenant.as_str();
            transaction.execute(include_str!("tenant_meet.sql"), &[&id, &plan]).await?;
            transaction.query_opt(include_str!("tenant_lock.sql"), &[&id]).await?;
            if !set(&transaction, tenant, plan, None).await? {
                return Ok(Told::UnknownPlan);
            }
            tell_quotas(&transaction, tenant, plan, origin).await?;
            transaction.commit().await?;
            Ok(Told::Now)
        })
        .await
    }
}

/// Sets a locked tenant's plan and, where it is given, its status; `false` where there is no such plan.
async fn set(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    plan: &str,
    status: Option<TenantStatus>,
) -> Result<bool, StoreError> {
    let status = status.map(TenantStatus::as_str);
    let parameters: [&(dyn ToSql + Sync); 5] = [&tenant.as_str(), &plan, &status, &false, &None::<Vec<&str>>];
    Ok(transaction.query_opt(include_str!("tenant_put.sql"), &parameters).await?.is_some())
}
