//! What other services tell about tenants, and what follows from it (US-NUM-004, US-NUM-011), free of transport.
//!
//! What must stay true: an event has its effect once, however often it is told; a failure that passes has none.

use std::sync::Arc;

use numbering_domain::{TenantId, TicketId};
use tokio::sync::Notify;

use crate::operations::quotas::Quotas;
use crate::store::commit::Origin;
use crate::store::inbox::EventKey;
use crate::store::told::{Suspension, Told};
use crate::store::{Store, StoreError};

/// The actor, in the journal, of what compliance ordered.
pub const COMPLIANCE: &str = "compliance";
/// The actor, in the journal, of what billing ordered.
pub const BILLING: &str = "billing";

/// What an event tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// `compliance.tenant.suspended`.
    TenantSuspended {
        /// Whom.
        tenant: TenantId,
        /// The case that it rests on.
        ticket: TicketId,
    },
    /// `compliance.tenant.reinstated`.
    TenantReinstated {
        /// Whom.
        tenant: TenantId,
    },
    /// `billing.plan.changed`.
    PlanChanged {
        /// Whose.
        tenant: TenantId,
        /// The plan from now on.
        plan: String,
    },
}

impl News {
    /// Whom it is about.
    const fn tenant(&self) -> &TenantId {
        match self {
            Self::TenantSuspended { tenant, .. }
            | Self::TenantReinstated { tenant }
            | Self::PlanChanged { tenant, .. } => tenant,
        }
    }
}

/// An event that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingEvent {
    /// Which.
    pub key: EventKey,
    /// What it tells.
    pub news: News,
}

/// Gives events their effect. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tidings {
    store: Store,
    quotas: Quotas,
    default_plan: Arc<str>,
    confirm_above: u32,
    committed: Arc<Notify>,
    recalls_due: Arc<Notify>,
}

impl Tidings {
    /// A tenant that is new is made on `default_plan`; a cascade above `confirm_above` leases waits for an admin, where that is
    /// not 0. What `quotas` has cached of a tenant is forgotten. `committed` is woken for the relay of events, `recalls_due` for the job that walks cascades.
    #[must_use]
    pub fn new(
        store: Store,
        quotas: Quotas,
        default_plan: &str,
        confirm_above: u32,
        committed: Arc<Notify>,
        recalls_due: Arc<Notify>,
    ) -> Self {
        Self { store, quotas, default_plan: default_plan.into(), confirm_above, committed, recalls_due }
    }

    /// Gives an event that was begun its effect, unless it had it before.
    ///
    /// # Errors
    /// When the store could not; then nothing was changed.
    pub async fn hear(&self, event: &IncomingEvent) -> Result<Told, StoreError> {
        let IncomingEvent { key, news } = event;
        let (store, plan) = (&self.store, &self.default_plan);
        let told = match news {
            News::TenantSuspended { tenant, ticket } => {
                let confirm_above = self.confirm_above;
                let suspension = Suspension { tenant: tenant.clone(), ticket: ticket.clone(), confirm_above };
                let told = store.suspend_tenant(key, &suspension, plan, &origin(COMPLIANCE, key)).await?;
                self.recalls_due.notify_one();
                told
            }
            News::TenantReinstated { tenant } => {
                store.reinstate_tenant(key, tenant, plan, &origin(COMPLIANCE, key)).await?
            }
            News::PlanChanged { tenant, plan } => {
                let told = store.change_plan(key, tenant, plan, &origin(BILLING, key)).await?;
                self.committed.notify_one();
                told
            }
        };
        self.quotas.forget(news.tenant()).await;
        Ok(told)
    }
}

/// Who acts, for the journal: the service that told, in the event that told it.
fn origin(actor: &str, event: &EventKey) -> Origin {
    Origin { actor: actor.to_owned(), request_id: event.id.clone() }
}
