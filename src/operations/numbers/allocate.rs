//! Several numbers reserved at once: any that match, or each of a list.
//!
//! What must stay true: that fewer match than are wanted is said only where there was a moment at which fewer did; numbers that
//! others have locked are waited for before that. What is answered is what was committed, all of it in one commit.

use std::collections::HashMap;
use std::sync::Arc;

use std::time::Duration;

use jiff::Timestamp;
use numbering_domain::{
    Acting, Command, Counter, Number, Policy, Rejection, ReservationId, TenantId, TenantStanding, TenantStatus,
    Transition, decide,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{DECISIONS, Numbers, OrderError};
use crate::operations::places::Place;
use crate::store::StoreError;
use crate::store::allocate::{Decided, Done, Lock, Locked, Searched, each_once};
use crate::store::browse::BrowseFilter;
use crate::store::commit::Origin;
use crate::store::idempotency::{Answer, Claim};
use crate::telemetry::StoreUse;

/// How often numbers are searched for and locked when others take them in between.
const ROUNDS: u32 = 8;
/// In how many of these nobody is waited for; after that each waits for its turn.
const ROUNDS_WITHOUT_WAITING: u32 = 2;
/// How many more numbers than are wanted are found at most, where they lie beside those: for what others take in between. A
/// stretch that was looked at anyway has them.
const SPARE: usize = 500;

/// Any numbers that match.
#[derive(Clone, Debug)]
pub struct AnyNumbers {
    /// For whom.
    pub tenant: TenantId,
    /// What they must match.
    pub filter: BrowseFilter,
    /// Identifiers that are never leased.
    pub never_leasable: Vec<String>,
    /// How many.
    pub count: usize,
    /// Whether fewer will do.
    pub partial: bool,
    /// Who asks, for the journal.
    pub origin: Origin,
}

/// The time that a search has, with what it finds reserved.
#[derive(Debug)]
pub struct SearchTime {
    /// Its place among the searches.
    pub place: Place,
    /// How long in all, the wait for the place too.
    pub limit: Duration,
    /// When that is over.
    pub over: Instant,
}

impl SearchTime {
    /// Waits for `work`, until the time is over.
    async fn within<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, AllocationError> {
        let late = |_| AllocationError::TookTooLong { limit: self.limit };
        Ok(tokio::time::timeout_at(self.over, work).await.map_err(late)??)
    }
}

/// Each of these numbers, by itself.
#[derive(Clone, Debug)]
pub struct NamedNumbers {
    /// For whom.
    pub tenant: TenantId,
    /// Canonical identifiers, in the order asked; one may stand there more than once.
    pub identifiers: Vec<String>,
    /// Who asks, for the journal.
    pub origin: Origin,
}

/// What became of one number of a list: reserved, or why not.
pub type Outcome = Result<Number, Rejection>;

/// How an answer is written, so that it can be kept with the effect.
pub type RenderAny = Arc<dyn Fn(&[Transition]) -> Answer + Send + Sync>;
/// How the answer about a list is written.
pub type RenderNamed = Arc<dyn Fn(&[Outcome]) -> Answer + Send + Sync>;

/// Why no numbers were reserved.
#[derive(Debug, thiserror::Error)]
pub enum AllocationError {
    /// Fewer match than are wanted.
    #[error("{wanted} numbers were asked for, and {available} that match are available")]
    TooFew {
        /// How many are wanted.
        wanted: usize,
        /// How many there were.
        available: usize,
    },
    /// It was not done in time. What the numbers are is not known.
    #[error("numbers were searched for and reserved for longer than {} ms", .limit.as_millis())]
    TookTooLong {
        /// In which time.
        limit: Duration,
    },
    /// As for a single number.
    #[error(transparent)]
    Order(#[from] OrderError),
}

impl From<StoreError> for AllocationError {
    fn from(error: StoreError) -> Self {
        Self::Order(error.into())
    }
}

impl From<Rejection> for AllocationError {
    fn from(rejection: Rejection) -> Self {
        Self::Order(rejection.into())
    }
}

/// Why a round came to nothing.
enum Refused {
    /// By the rules.
    Rejected(Rejection),
    /// By a quota, which what has run out may still count against.
    OverQuota(Rejection),
    /// Others were quicker.
    Taken,
    /// The tenant has not been seen before.
    Unknown,
}

impl Numbers {
    /// Reserves any numbers that match: as many as are wanted, or none; where fewer will do, as many as there are and as the
    /// tenant's quota allows. Once begun it goes on to its end, also when the caller stops waiting.
    ///
    /// # Errors
    /// [`AllocationError::TooFew`] where fewer match, a rejection by the rules; the others when it could not be done, or not in
    /// time. Then nothing was; but where the time was over in the middle of a commit, it may have been.
    pub async fn reserve_any(
        &self,
        wanted: AnyNumbers,
        time: SearchTime,
        claim: Option<Claim>,
        render: RenderAny,
    ) -> Result<Answer, AllocationError> {
        let numbers = self.clone();
        let work = async move {
            let done = numbers.search_and_reserve(&wanted, &time, claim.as_ref(), &render).await?;
            Ok(render(&done))
        };
        self.begun.spawn(StoreUse::carried(work)).await.map_err(OrderError::from)?
    }

    /// Reserves each of these numbers that can be, in the order asked, in one commit; what cannot be is not locked. Once begun it goes on to its end, also
    /// when the caller stops waiting.
    ///
    /// # Errors
    /// When it could not be done, and then nothing was.
    pub async fn reserve_named(
        &self,
        wanted: NamedNumbers,
        claim: Option<Claim>,
        render: RenderNamed,
    ) -> Result<Answer, OrderError> {
        let numbers = self.clone();
        let work = async move { numbers.lock_and_reserve(&wanted, claim.as_ref(), &render).await };
        self.begun.spawn(StoreUse::carried(work)).await?
    }

    async fn search_and_reserve(
        &self,
        wanted: &AnyNumbers,
        time: &SearchTime,
        claim: Option<&Claim>,
        render: &RenderAny,
    ) -> Result<Vec<Transition>, AllocationError> {
        let mut settled = false;
        let mut round = 0;
        while round < ROUNDS {
            let found = self.found(wanted, time).await?;
            let target = found.len().min(wanted.count);
            if target < wanted.count && (target == 0 || !wanted.partial) {
                return Err(AllocationError::TooFew { wanted: wanted.count, available: target });
            }
            let lock = if round < ROUNDS_WITHOUT_WAITING { Lock::Free(target) } else { Lock::ToBeHad(target) };
            let policy = Arc::clone(&self.policy);
            let choose = |locked: Locked| {
                let in_order = found.iter().filter_map(|identifier| locked.numbers.get(identifier));
                let transitions = grant(in_order, &locked, target, wanted.partial && settled, &policy)?;
                let answer = claim.is_some().then(|| render(&transitions));
                Ok(Decided { transitions, answer })
            };
            let committed = self.store.commit_locked(&found, lock, &wanted.tenant, &wanted.origin, claim, choose);
            match time.within(committed).await {
                Ok(Done::Committed(done, now)) => {
                    self.tell(&done, now).await;
                    return Ok(done);
                }
                Ok(Done::Refused(Refused::OverQuota(_))) if !settled => {
                    settled = true;
                    self.settle_overdue(&wanted.tenant, &wanted.origin).await?;
                    continue;
                }
                Ok(Done::Refused(Refused::Rejected(refusal) | Refused::OverQuota(refusal))) => {
                    return Err(refusal.into());
                }
                Ok(Done::Refused(Refused::Taken | Refused::Unknown) | Done::Changed) => {}
                // Who has them locked took longer than one round waits.
                Err(AllocationError::Order(OrderError::Store(error)))
                    if error.is_transient() || error.is_lock_timeout() => {}
                Err(error) => return Err(error),
            }
            round += 1;
            self.metrics.allocations_retried.inc();
        }
        Err(StoreError::Contended { attempts: ROUNDS }.into())
    }

    /// What the tenant may take now, with some to spare where there are.
    async fn found(&self, wanted: &AnyNumbers, time: &SearchTime) -> Result<Vec<String>, AllocationError> {
        let AnyNumbers { tenant, filter, never_leasable, count, .. } = wanted;
        let most = count + SPARE;
        let admit = |standing: &TenantStanding| admitted(standing, filter);
        let search = || time.within(self.store.search(filter, tenant, never_leasable, *count, most, admit));
        let mut searched = search().await?;
        if matches!(searched, Searched::Unknown) {
            self.store.meet_tenant(tenant, &self.default_plan).await?;
            searched = search().await?;
        }
        match searched {
            Searched::Found(identifiers) => Ok(identifiers),
            Searched::Refused(refusal) => Err(refusal.into()),
            Searched::Unknown => Err(unmet(tenant).into()),
        }
    }

    async fn lock_and_reserve(
        &self,
        wanted: &NamedNumbers,
        claim: Option<&Claim>,
        render: &RenderNamed,
    ) -> Result<Answer, OrderError> {
        let asked = each_once(wanted.identifiers.iter().map(String::as_str));
        let mut settled = false;
        let mut decisions = 0;
        while decisions < DECISIONS {
            let policy = Arc::clone(&self.policy);
            // What is not the tenant's to take is refused as it was seen: nobody waits for who has it locked, nor for this.
            let seen = self.store.look(&asked, &wanted.tenant).await?;
            let first = each(&wanted.identifiers, &seen, None, &policy);
            let to_lock = first.as_ref().map_or_else(|_| Vec::new(), |(_, granted)| identifiers_of(granted));
            let mut answered = None;
            let choose = |locked: Locked| {
                let (first, _) = first?;
                let (outcomes, transitions) = each(&wanted.identifiers, &locked, Some(&first), &policy)?;
                let over_quota = outcomes.iter().find_map(|outcome| outcome.as_ref().err().filter(|no| no.is_quota()));
                if let (Some(refusal), false) = (over_quota, settled) {
                    return Err(Refused::OverQuota(refusal.clone()));
                }
                if over_quota.is_some() && transitions.len() < locked.numbers.len() {
                    // Others were quicker, and the room that this leaves may do for one that is not locked.
                    return Err(Refused::Taken);
                }
                let answer = render(&outcomes);
                answered = Some(answer.clone());
                Ok(Decided { transitions, answer: Some(answer) })
            };
            let done =
                self.store.commit_locked(&to_lock, Lock::All, &wanted.tenant, &wanted.origin, claim, choose).await;
            match (done, answered) {
                (Ok(Done::Committed(done, now)), Some(answer)) => {
                    if !done.is_empty() {
                        self.tell(&done, now).await;
                    }
                    return Ok(answer);
                }
                (Ok(Done::Refused(Refused::OverQuota(_))), _) => {
                    settled = true;
                    self.settle_overdue(&wanted.tenant, &wanted.origin).await?;
                    continue;
                }
                (Ok(Done::Refused(Refused::Unknown)), _) => {
                    self.store.meet_tenant(&wanted.tenant, &self.default_plan).await?;
                }
                (Ok(Done::Refused(Refused::Rejected(refusal))), _) => return Err(refusal.into()),
                (Ok(_), _) => {}
                (Err(error), _) if error.is_transient() || error.is_lock_timeout() => {}
                (Err(error), _) => return Err(error.into()),
            }
            decisions += 1;
        }
        Err(StoreError::Contended { attempts: DECISIONS }.into())
    }
}

/// Whether the tenant may reserve any of these at all.
fn admitted(standing: &TenantStanding, filter: &BrowseFilter) -> Result<(), Rejection> {
    if standing.status == TenantStatus::Suspended {
        return Err(Rejection::TenantSuspended);
    }
    match &filter.operator {
        Some(operator) if !standing.may_use_operator(Some(operator)) => {
            Err(Rejection::OperatorNotAllowed { operator: operator.clone() })
        }
        _ => Ok(()),
    }
}

fn unmet(tenant: &TenantId) -> StoreError {
    StoreError::Impossible { subject: tenant.to_string(), what: "a tenant that was met has a standing" }
}

fn reserve(
    number: &Number,
    standing: &TenantStanding,
    policy: &Policy,
    now: Timestamp,
) -> Result<Transition, Rejection> {
    let command = Command::Reserve { reservation_id: ReservationId(Uuid::now_v7()) };
    decide(number, Acting::Tenant(standing), &command, policy, now)
}

/// Reserves the first `target` of these numbers, each on the standing that those before it leave; where `fewer_will_do`, as many
/// as the quota allows, but not none.
fn grant<'a>(
    numbers: impl Iterator<Item = &'a Number>,
    locked: &Locked,
    target: usize,
    fewer_will_do: bool,
    policy: &Policy,
) -> Result<Vec<Transition>, Refused> {
    let before = locked.standing.as_ref().ok_or(Refused::Unknown)?;
    let mut standing = before.clone();
    let mut granted = Vec::with_capacity(target);
    for number in numbers {
        match reserve(number, &standing, policy, locked.now) {
            Ok(transition) => {
                standing = standing.after(&transition);
                granted.push(transition);
            }
            Err(refusal) if refusal.is_quota() => {
                if fewer_will_do && !granted.is_empty() {
                    return Ok(granted);
                }
                return Err(Refused::OverQuota(over_quota(before)));
            }
            Err(refusal @ Rejection::TenantSuspended) => return Err(Refused::Rejected(refusal)),
            // It is not as it was found.
            Err(_) => {}
        }
    }
    if granted.len() < target { Err(Refused::Taken) } else { Ok(granted) }
}

/// The refusal for all of them, with what the tenant has before any is granted.
fn over_quota(standing: &TenantStanding) -> Rejection {
    let counter = Counter::Reservations;
    Rejection::ReservationQuota { quota: *standing.limits.get(counter), current: *standing.used.get(counter) }
}

fn identifiers_of(transitions: &[Transition]) -> Vec<String> {
    transitions.iter().map(|transition| transition.after.identifier.key().to_owned()).collect()
}

/// Decides on each by itself, on the standing and the number that those before it leave. What is not among `seen` is refused as
/// it was `before`, or is not registered.
fn each(
    identifiers: &[String],
    seen: &Locked,
    before: Option<&[Outcome]>,
    policy: &Policy,
) -> Result<(Vec<Outcome>, Vec<Transition>), Refused> {
    let mut standing = seen.standing.clone().ok_or(Refused::Unknown)?;
    let mut transitions: Vec<Transition> = Vec::new();
    let mut taken: HashMap<&str, usize> = HashMap::new();
    let mut outcomes = Vec::with_capacity(identifiers.len());
    for (place, identifier) in identifiers.iter().enumerate() {
        let moved = taken.get(identifier.as_str()).map(|place| &transitions[*place].after);
        let Some(number) = moved.or_else(|| seen.numbers.get(identifier)) else {
            let refusal = before.and_then(|outcomes| outcomes[place].as_ref().err()).cloned();
            outcomes.push(Err(refusal.unwrap_or(Rejection::NotRegistered)));
            continue;
        };
        match reserve(number, &standing, policy, seen.now) {
            Ok(transition) => {
                standing = standing.after(&transition);
                outcomes.push(Ok(transition.after.clone()));
                taken.insert(identifier, transitions.len());
                transitions.push(transition);
            }
            Err(refusal) => outcomes.push(Err(refusal)),
        }
    }
    Ok((outcomes, transitions))
}
