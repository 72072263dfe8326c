//! A command about a number, from asking to done: load, decide, commit, tell the cache.
//!
//! What must stay true: every change of a number's state in the service comes through [`Numbers::execute`] or, many at a
//! time, through the same three calls; and a change that was begun runs to its end even when the client hangs up.

pub mod allocate;

use std::sync::Arc;

use jiff::Timestamp;
use numbering_domain::event::ReleaseReason;
use numbering_domain::transition::Step;
use numbering_domain::{
    Acting, Command, Event, Identifier, LeaseId, Number, Policy, Price, RecallReason, Rejection, ReservationId, State,
    TenantId, Term, TicketId, Transition, decide,
};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::cache::Cache;
use crate::store::commit::{Origin, TIME};
use crate::store::commits::Commits;
use crate::store::idempotency::{Answer, Claim};
use crate::store::leadership::Leadership;
use crate::store::load::{Loaded, Loads};
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, StoreUse};

/// On whose behalf a command comes.
#[derive(Clone, Debug)]
pub enum OnBehalfOf {
    /// A tenant's, or an admin's for a tenant.
    Tenant(TenantId),
    /// An admin's own, or the service's.
    Authority,
}

/// What is asked of a number. Ids and prices are filled in when it is decided.
#[derive(Clone, Debug)]
pub enum Ask {
    /// US-NUM-007.
    Reserve,
    /// Once more the time of a reservation, up to its ceiling.
    Extend,
    /// US-NUM-008.
    Hold,
    /// US-NUM-009.
    Release,
    /// US-NUM-003.
    Lease {
        /// For how long.
        term: Term,
        /// Whether to renew it.
        auto_renew: bool,
        /// Whether as vanity.
        vanity: bool,
        /// Whether the caller has `numbers.lease.bypass`.
        may_bypass: bool,
    },
    /// US-NUM-004.
    Recall {
        /// Why.
        reason: RecallReason,
        /// Who acted, where that is another than the caller.
        stated_actor: Option<String>,
    },
    /// An admin's suspension of the lease.
    Suspend,
    /// An admin's reinstatement of the lease.
    Reinstate,
    /// Automatic renewal and the recall lock on or off; what is `None` stays as it is.
    UpdateLease {
        /// The lease that is meant.
        lease_id: LeaseId,
        /// Whether to renew it when it ends.
        auto_renew: Option<bool>,
        /// Whether its own tenant is kept from recalling it.
        locked: Option<bool>,
    },
    /// US-NUM-006.
    OverrideQuarantine {
        /// Why.
        justification: String,
    },
}

/// A command about one number.
#[derive(Clone, Debug)]
pub struct Order {
    /// Which number.
    pub identifier: Identifier,
    /// On whose behalf.
    pub on_behalf_of: OnBehalfOf,
    /// What.
    pub ask: Ask,
    /// Who asks, for the journal.
    pub origin: Origin,
}

/// How the answer to an order is written, so that it can be kept with the order's effect.
pub type Render = Arc<dyn Fn(&Transition) -> Answer + Send + Sync>;

/// An idempotency claim that an order runs under.
#[derive(Clone)]
pub struct Guard {
    /// The claim.
    pub claim: Claim,
    /// The answer.
    pub render: Render,
}

/// Why an order did not happen.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The rules refuse it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The price list has no price for the number's tier.
    #[error("the price list has no price for {identifier}")]
    Unpriced {
        /// Which number.
        identifier: String,
    },
    /// The task that ran the order died.
    #[error("the order was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A suspended tenant, from whom everything is taken under one ticket.
#[derive(Clone, Copy, Debug)]
pub struct Suspended<'a> {
    /// Whom.
    pub tenant: &'a TenantId,
    /// The tenant's revision, at which it is suspended: at another one nothing is taken from it.
    pub revision: i64,
    /// The case that the suspension rests on.
    pub ticket: &'a TicketId,
}

/// How often an order is decided afresh when its number or tenant changed under it.
const DECISIONS: u32 = 3;
/// How many ended claims of a tenant are written down at once when its quota refuses.
const SETTLED_AT_ONCE: i64 = 1000;

/// The commands about numbers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Numbers {
    store: Store,
    commits: Arc<Commits>,
    loads: Arc<Loads>,
    cache: Cache,
    policy: Arc<Policy>,
    default_plan: Arc<str>,
    committed: Arc<Notify>,
    metrics: Arc<Metrics>,
    begun: TaskTracker,
}

impl Numbers {
    /// `committed` is woken after each commit, for the relay of events; `begun` tracks what runs on without its caller. It must be
    /// called in the runtime that the commands run in.
    #[must_use]
    pub fn new(
        store: Store,
        cache: Cache,
        policy: Policy,
        default_plan: &str,
        committed: Arc<Notify>,
        metrics: Arc<Metrics>,
        begun: TaskTracker,
    ) -> Self {
        Self {
            commits: Arc::new(Commits::start(&store)),
            loads: Arc::new(Loads::start(&store)),
            store,
            cache,
            policy: Arc::new(policy),
            default_plan: default_plan.into(),
            committed,
            metrics,
            begun,
        }
    }

    /// Does what is asked, and gives what was done. Once begun it goes on to its end, also when the caller stops waiting.
    ///
    /// # Errors
    /// [`OrderError::Rejected`] by the rules; the others when it could not be done, and then nothing was.
    pub async fn execute(&self, order: Order, guard: Option<Guard>) -> Result<Transition, OrderError> {
        let numbers = self.clone();
        let work = async move { numbers.decide_and_commit(&order, guard.as_ref()).await };
        self.begun.spawn(StoreUse::carried(work)).await?
    }

    async fn decide_and_commit(&self, order: &Order, guard: Option<&Guard>) -> Result<Transition, OrderError> {
        let ids = FreshIds::new();
        let mut decisions = 0;
        let mut settled = false;
        while decisions < DECISIONS {
            let loaded = self.load(order).await?;
            let decided = self.decide(order, &loaded, &ids);
            if let (Err(OrderError::Rejected(refusal)), OnBehalfOf::Tenant(tenant)) = (&decided, &order.on_behalf_of)
                && refusal.is_quota()
                && !settled
            {
                // Decided again even where nothing moved here: another request may have written it down meanwhile.
                settled = true;
                self.settle_overdue(tenant, &order.origin).await?;
                continue;
            }
            let transition = decided?;
            if self.commit(&transition, loaded.now, &order.origin, guard).await? {
                return Ok(transition);
            }
            decisions += 1;
        }
        Err(StoreError::Contended { attempts: DECISIONS }.into())
    }

    /// The number as it truly is now, for readers.
    pub async fn read(&self, identifier: &Identifier) -> Result<Number, OrderError> {
        let loaded = self.loads.load(identifier, None, false).await?;
        let number = loaded.number.ok_or(Rejection::NotRegistered)?;
        Ok(number.at(loaded.now, &self.policy))
    }

    async fn load(&self, order: &Order) -> Result<Loaded, StoreError> {
        let vanity = matches!(order.ask, Ask::Lease { vanity: true, .. });
        let tenant = match &order.on_behalf_of {
            OnBehalfOf::Tenant(tenant) => Some(tenant),
            OnBehalfOf::Authority => None,
        };
        let loaded = self.loads.load(&order.identifier, tenant, vanity).await?;
        match (tenant, &loaded.standing) {
            (Some(tenant), None) => {
                self.store.meet_tenant(tenant, &self.default_plan).await?;
                self.loads.load(&order.identifier, Some(tenant), vanity).await
            }
            _ => Ok(loaded),
        }
    }

    fn decide(&self, order: &Order, loaded: &Loaded, ids: &FreshIds) -> Result<Transition, OrderError> {
        let number = loaded.number.as_ref().ok_or(Rejection::NotRegistered)?;
        let acting = match (&order.on_behalf_of, &loaded.standing) {
            (OnBehalfOf::Tenant(_), Some(standing)) => Acting::Tenant(standing),
            (OnBehalfOf::Tenant(tenant), None) => {
                let what = "a tenant that was met has a standing";
                return Err(StoreError::Impossible { subject: tenant.to_string(), what }.into());
            }
            (OnBehalfOf::Authority, _) => Acting::Authority,
        };
        let command = command(&order.ask, loaded.price.as_ref(), ids)
            .ok_or_else(|| OrderError::Unpriced { identifier: order.identifier.to_string() })?;
        Ok(decide(number, acting, &command, &self.policy, loaded.now)?)
    }

    async fn commit(
        &self,
        transition: &Transition,
        decided_at: Timestamp,
        origin: &Origin,
        guard: Option<&Guard>,
    ) -> Result<bool, StoreError> {
        let answered = guard.map(|guard| (guard.claim.clone(), (guard.render)(transition)));
        let moved = self.commits.commit(transition.clone(), origin.clone(), answered).await?;
        if moved {
            self.tell(std::slice::from_ref(transition), decided_at).await;
        }
        Ok(moved)
    }

    /// What follows a commit: the relay is woken, the metrics count, the caches hear of it.
    async fn tell(&self, done: &[Transition], decided_at: Timestamp) {
        self.count(done, decided_at);
        self.cache.tell(done, decided_at).await;
    }

    /// The relay is woken, and the metrics count.
    fn count(&self, done: &[Transition], decided_at: Timestamp) {
        self.committed.notify_one();
        for transition in done {
            let ran_out = |step: &&Step| {
                matches!(step.event, Event::ReservationReleased { reason: ReleaseReason::TtlExpired, .. })
            };
            if transition.steps.iter().any(|step| ran_out(&step)) {
                self.metrics.reservations_auto_released.inc();
                let overdue = transition.before.state.deadline().map(|deadline| decided_at.duration_since(deadline));
                self.metrics.release_lag_seconds.observe(overdue.map_or(0.0, |overdue| overdue.as_secs_f64().max(0.0)));
            }
        }
    }

    /// Writes down what time has ended among a tenant's claims and leases, so that it does not count against the tenant's
    /// quota.
    async fn settle_overdue(&self, tenant: &TenantId, asked_by: &Origin) -> Result<(), StoreError> {
        let overdue = self.store.load_overdue_of_tenant(tenant, SETTLED_AT_ONCE).await?;
        let decided = self.ended_by_time(&overdue);
        let origin = Origin { actor: TIME.to_owned(), request_id: asked_by.request_id.clone() };
        self.commit_decided(decided, async |transitions| self.store.commit(transitions, &origin).await).await?;
        Ok(())
    }

    /// Writes down what time has ended of these numbers, on the strength of a job's role. Gives how many moved.
    ///
    /// The caches hear of it meanwhile, and nobody waits for that: what they have bears its deadline, and is over without it.
    ///
    /// # Errors
    /// When the store could not; then nothing moved.
    pub async fn write_down_time(
        &self,
        role: &Leadership,
        due: &[(Timestamp, Number)],
        origin: &Origin,
    ) -> Result<usize, StoreError> {
        let commit = async |transitions: &[Transition]| self.store.commit_as(role, transitions, origin).await;
        let (done, decided_at) = moved_of(self.ended_by_time(due), commit).await?;
        let moved = done.len();
        if moved > 0 {
            self.count(&done, decided_at);
            let cache = self.cache.clone();
            self.begun.spawn(async move { cache.tell(&done, decided_at).await });
        }
        Ok(moved)
    }

    /// Commits decisions about different numbers, each with the moment that it was taken at, on the strength of a job's role;
    /// then wakes the relay and tells the caches. Gives how many moved: none once the role's term is over.
    ///
    /// # Errors
    /// When the store could not; then nothing moved.
    pub async fn commit_batch(
        &self,
        role: &Leadership,
        decided: Vec<(Timestamp, Transition)>,
        origin: &Origin,
    ) -> Result<usize, StoreError> {
        self.commit_decided(decided, async |transitions| self.store.commit_as(role, transitions, origin).await).await
    }

    /// Takes from a suspended tenant what these numbers, each with the moment that it was read at, are to it, on the strength
    /// of a job's role: its leases are recalled, its reservations and holds released. Gives how many moved.
    ///
    /// # Errors
    /// When the store could not; then nothing moved.
    pub async fn take_back(
        &self,
        role: &Leadership,
        suspended: Suspended<'_>,
        numbers: &[(Timestamp, Number)],
        origin: &Origin,
    ) -> Result<usize, StoreError> {
        let decided = numbers.iter().filter_map(|(now, number)| {
            let taken = suspended.taking(&number.state)?;
            let decided = decide(number, Acting::Authority, &taken, &self.policy, *now);
            // What its time has ended by now is written down as that.
            let decided = decided.or_else(|_| {
                decide(number, Acting::Authority, &expiry(&number.state).unwrap_or(taken), &self.policy, *now)
            });
            Some((*now, decided.ok()?.while_tenant_is_at(suspended.tenant, suspended.revision)))
        });
        self.commit_batch(role, decided.collect(), origin).await
    }

    fn ended_by_time(&self, due: &[(Timestamp, Number)]) -> Vec<(Timestamp, Transition)> {
        due.iter()
            .filter_map(|(now, number)| {
                let command = expiry(&number.state)?;
                Some((*now, decide(number, Acting::Authority, &command, &self.policy, *now).ok()?))
            })
            .collect()
    }

    async fn commit_decided(
        &self,
        decided: Vec<(Timestamp, Transition)>,
        commit: impl AsyncFnOnce(&[Transition]) -> Result<Vec<bool>, StoreError>,
    ) -> Result<usize, StoreError> {
        let (done, decided_at) = moved_of(decided, commit).await?;
        if !done.is_empty() {
            self.tell(&done, decided_at).await;
        }
        Ok(done.len())
    }
}

/// Commits decisions, and gives those that moved, with the moment of the earliest decision.
async fn moved_of(
    decided: Vec<(Timestamp, Transition)>,
    commit: impl AsyncFnOnce(&[Transition]) -> Result<Vec<bool>, StoreError>,
) -> Result<(Vec<Transition>, Timestamp), StoreError> {
    let Some(decided_at) = decided.iter().map(|(now, _)| *now).min() else { return Ok((Vec::new(), Timestamp::MIN)) };
    let transitions: Vec<Transition> = decided.into_iter().map(|(_, transition)| transition).collect();
    let moved = commit(&transitions).await?;
    let done = transitions.into_iter().zip(moved).filter_map(|(done, moved)| moved.then_some(done)).collect();
    Ok((done, decided_at))
}

impl Suspended<'_> {
    /// The command that takes what is in this state from the tenant; `None` where nobody has it.
    fn taking(self, state: &State) -> Option<Command> {
        let ticket = Some(self.ticket.clone());
        match state {
            State::Available | State::Quarantine(_) => None,
            State::Reserved(_) | State::Held(_) => Some(Command::Revoke { ticket }),
            State::Leased(_) | State::Suspended(_) => {
                Some(Command::Recall { reason: RecallReason::TenantSuspended(ticket), stated_actor: None })
            }
        }
    }
}

/// The command that writes down that this state's time has ended.
fn expiry(state: &State) -> Option<Command> {
    match state {
        State::Available => None,
        State::Reserved(claim) | State::Held(claim) => {
            Some(Command::ExpireReservation { reservation_id: claim.reservation_id })
        }
        State::Leased(lease) | State::Suspended(lease) => Some(Command::ExpireLease { lease_id: lease.lease_id }),
        State::Quarantine(_) => Some(Command::EndQuarantine),
    }
}

/// The ids that an order may need, the same for each of its decisions.
struct FreshIds {
    reservation_id: ReservationId,
    lease_id: LeaseId,
}

impl FreshIds {
    fn new() -> Self {
        Self { reservation_id: ReservationId(Uuid::now_v7()), lease_id: LeaseId(Uuid::now_v7()) }
    }
}

/// The domain's command; `None` where it needs a price and there is none.
fn command(ask: &Ask, price: Option<&Price>, ids: &FreshIds) -> Option<Command> {
    Some(match ask {
        Ask::Reserve => Command::Reserve { reservation_id: ids.reservation_id },
        Ask::Extend => Command::Extend,
        Ask::Hold => Command::Hold,
        Ask::Release => Command::Release,
        Ask::Lease { term, auto_renew, vanity, may_bypass } => Command::Lease {
            lease_id: ids.lease_id,
            term: *term,
            auto_renew: *auto_renew,
            vanity: *vanity,
            may_bypass: *may_bypass,
            price: price?.clone(),
        },
        Ask::Recall { reason, stated_actor } => {
            Command::Recall { reason: reason.clone(), stated_actor: stated_actor.clone() }
        }
        Ask::Suspend => Command::Suspend,
        Ask::Reinstate => Command::Reinstate,
        Ask::UpdateLease { lease_id, auto_renew, locked } => {
            Command::UpdateLease { lease_id: *lease_id, auto_renew: *auto_renew, locked: *locked }
        }
        Ask::OverrideQuarantine { justification } => {
            Command::OverrideQuarantine { justification: justification.clone() }
        }
    })
}
