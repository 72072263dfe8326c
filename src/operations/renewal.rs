//! Leases that renew themselves (US-NUM-005): billing is asked, and what it decides is committed.
//!
//! What must stay true: nothing is held open in PostgreSQL while billing is asked. What billing is asked stands in a row
//! before, and is asked in the same words until billing has refused or the renewal is committed, so that a crash at any
//! moment leaves it to the next run, which is given the same charge. An outage is never a rejection. A charge that comes
//! to nothing, because the lease was recalled or ran out meanwhile, is kept for finance.

mod outages;

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use numbering_domain::event::RenewalFailure;
use numbering_domain::{
    Acting, ChargeId, Command, Identifier, Lease, LeaseId, Policy, Rejection, State, TenantStatus, Transition, decide,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::billing::{Answer, Billing, Outage, Renewal};
use super::numbers::Numbers;
use crate::store::commit::Origin;
use crate::store::leadership::Leadership;
use crate::store::load::Loaded;
use crate::store::renewals::{After, DueRenewal, Quote, RenewalRequest};
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, RenewalEnded};
use outages::Outages;

/// The most leases that are loaded at once.
const PAGE: i64 = 200;
/// How often it is looked whether a run may go on, while billing is asked.
const LOOK: Duration = Duration::from_millis(100);
/// How long billing's answers are waited for after that.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How often a change is decided afresh when the number or the tenant changed under it.
const DECISIONS: u32 = 3;

/// What a run is done on the strength of.
pub struct Mandate<'a> {
    /// The role that fences it.
    pub role: Leadership,
    /// Who does it, for the journal.
    pub origin: Origin,
    /// Whether it may go on.
    pub may_go_on: &'a (dyn Fn() -> bool + Sync),
}

impl Mandate<'_> {
    /// Waits until it may not go on, and a little longer.
    async fn over(&self) {
        while (self.may_go_on)() {
            tokio::time::sleep(LOOK).await;
        }
        tokio::time::sleep(LAST_ANSWERS).await;
    }
}

/// What became of the leases that were due.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// They go on for another term.
    pub renewed: u64,
    /// Billing refused.
    pub rejected: u64,
    /// Their tenant is suspended; billing was not asked.
    pub tenant_suspended: u64,
    /// Billing did not decide; they are asked about again.
    pub unavailable: u64,
    /// The price list has no price for them.
    pub unpriced: u64,
    /// They were charged, and could no longer be renewed.
    pub charged_in_vain: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything that was due has been seen to.
    Done,
    /// It might not go on.
    Interrupted,
    /// Billing is away.
    BillingAway(Outage),
}

/// The renewal of leases.
#[derive(Debug)]
pub struct Renewals {
    store: Store,
    numbers: Arc<Numbers>,
    billing: Option<Billing>,
    in_flight: usize,
    policy: Policy,
    metrics: Arc<Metrics>,
    outages: Mutex<Outages>,
}

/// A lease that billing is asked about.
struct Asked {
    identifier: Identifier,
    lease: Lease,
    renewal: Renewal,
    quote: Quote,
}

/// What became of one lease that billing was asked about.
enum Fate {
    Renewed,
    Rejected,
    Away(Outage),
    PassedOver(Outage),
    ChargedInVain,
    /// Somebody else saw to it, or it is seen to by the next run.
    Left,
}

impl Renewals {
    /// Nothing is renewed without `billing`, which is asked about `in_flight` leases at once.
    #[must_use]
    pub fn new(
        store: Store,
        numbers: Arc<Numbers>,
        billing: Option<Billing>,
        in_flight: usize,
        policy: Policy,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { store, numbers, billing, in_flight, policy, metrics, outages: Mutex::default() }
    }

    /// In how long a renewal may be asked for; `None` where none is known to come.
    ///
    /// # Errors
    /// When the store could not say.
    pub async fn due_in(&self) -> Result<Option<Duration>, StoreError> {
        if self.billing.is_none() {
            return Ok(None);
        }
        let (shut_for, resting, first_rested) = {
            let (outages, now) = (self.outages(), Instant::now());
            (outages.shut_for(now), outages.resting(now), outages.next(now))
        };
        if !shut_for.is_zero() {
            return Ok(Some(shut_for));
        }
        let next = self.store.next_renewal(self.policy.renewal_window, &resting).await?;
        Ok(next.into_iter().chain(first_rested).min())
    }

    /// Sees to every lease whose renewal is due.
    ///
    /// # Errors
    /// When the store could not; what was committed by then stays.
    pub async fn renew_due(&self, mandate: &Mandate<'_>) -> Result<(Counts, Ended), StoreError> {
        let mut counts = Counts::default();
        let Some(billing) = &self.billing else { return Ok((counts, Ended::Done)) };
        let since = Instant::now();
        let mut after: Option<After> = None;
        loop {
            if !(mandate.may_go_on)() {
                return Ok((counts, Ended::Interrupted));
            }
            let resting = self.outages().resting(Instant::now());
            let page = self.store.renewals_due(self.policy.renewal_window, &resting, after.as_ref(), PAGE).await?;
            let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            after = page
                .last()
                .and_then(|due| Some((due.number.state.lease()?.effective_until, due.number.identifier.clone())));
            let asked = self.prepare(page, mandate, &mut counts).await?;
            if let Some(outage) = self.ask(billing, asked, mandate, &mut counts).await? {
                self.outages().leave_shut(Instant::now());
                return Ok((counts, Ended::BillingAway(outage)));
            }
            if is_last && (mandate.may_go_on)() {
                break;
            }
        }
        self.outages().forget_before(since);
        Ok((counts, Ended::Done))
    }

    /// What billing is to be asked, written down. Leases of suspended tenants fail here.
    async fn prepare(
        &self,
        page: Vec<DueRenewal>,
        mandate: &Mandate<'_>,
        counts: &mut Counts,
    ) -> Result<Vec<Asked>, StoreError> {
        let (mut failed, mut asked, mut unasked) = (Vec::new(), Vec::new(), Vec::new());
        for due in page {
            let Some(lease) = self.due_lease(&due) else { continue };
            match due.standing.status {
                TenantStatus::Suspended => {
                    let command =
                        Command::FailRenewal { lease_id: lease.lease_id, reason: RenewalFailure::TenantSuspended };
                    let decided = decide(&due.number, Acting::Authority, &command, &self.policy, due.now);
                    failed.extend(decided.ok().map(|transition| (due.now, transition)));
                }
                TenantStatus::Active => {
                    let is_new = due.asked.is_none();
                    let Some(one) = asked_of(due, lease.clone()) else {
                        self.is_unpriced(&lease, counts);
                        continue;
                    };
                    if is_new { unasked.push(one) } else { asked.push(one) }
                }
            }
        }
        if !failed.is_empty() {
            let moved = self.numbers.commit_batch(&mandate.role, failed, &mandate.origin).await?;
            let moved = u64::try_from(moved).unwrap_or(u64::MAX);
            counts.tenant_suspended += moved;
            self.count("tenant_suspended", moved);
        }
        if !unasked.is_empty() {
            let requests: Vec<RenewalRequest<'_>> = unasked.iter().map(Asked::request).collect();
            let written = self.store.put_renewal_requests(&mandate.role, &requests).await?;
            let written: HashSet<LeaseId> = written.into_iter().collect();
            asked.extend(unasked.into_iter().filter(|one| written.contains(&one.lease.lease_id)));
            asked.sort_by(|one, other| one.place().cmp(&other.place()));
        }
        Ok(asked)
    }

    /// The lease, where its renewal is due by the rules too.
    fn due_lease(&self, due: &DueRenewal) -> Option<Lease> {
        match due.number.at(due.now, &self.policy).state {
            State::Leased(lease) => {
                lease.renewal_due_at(&self.policy).is_some_and(|due_at| due_at <= due.now).then_some(lease)
            }
            State::Available | State::Reserved(_) | State::Held(_) | State::Suspended(_) | State::Quarantine(_) => None,
        }
    }

    fn is_unpriced(&self, lease: &Lease, counts: &mut Counts) {
        tracing::error!(lease_id = %lease.lease_id, "the price list has no price for a lease that is to be renewed");
        self.outages().rest(lease.lease_id, Instant::now());
        counts.unpriced += 1;
        self.count("unpriced", 1);
    }

    /// Asks billing about these, so many at once, and sees to what it says; gives the outage where it is away.
    async fn ask(
        &self,
        billing: &Billing,
        asked: Vec<Asked>,
        mandate: &Mandate<'_>,
        counts: &mut Counts,
    ) -> Result<Option<Outage>, StoreError> {
        let mut waiting = asked.iter();
        let mut under_way = FuturesUnordered::new();
        let (mut broken, mut last_outage) = (None, None);
        loop {
            while broken.is_none() && under_way.len() < self.width(last_outage.is_some()) && (mandate.may_go_on)() {
                let Some(one) = waiting.next() else { break };
                under_way.push(async move { (one, self.see_to(billing, one, mandate).await) });
            }
            let Some((one, fate)) = under_way.next().await else { break };
            match fate {
                Ok(fate) => last_outage = self.record(one, fate, counts).or(last_outage),
                // Those under way are waited for: they may have been charged.
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        match broken {
            Some(error) => Err(error),
            None => Ok(last_outage.filter(|_| self.outages().is_shut())),
        }
    }

    /// How many may be asked about at once: while billing is taken to be away one, to see whether it still is.
    fn width(&self, has_failed: bool) -> usize {
        match (self.outages().is_shut(), has_failed) {
            (false, _) => self.in_flight,
            (true, false) => 1,
            (true, true) => 0,
        }
    }

    fn record(&self, one: &Asked, fate: Fate, counts: &mut Counts) -> Option<Outage> {
        let (lease, now) = (one.lease.lease_id, Instant::now());
        let mut outages = self.outages();
        let (counted, outcome) = match &fate {
            Fate::Away(_) | Fate::PassedOver(_) => (&mut counts.unavailable, "unavailable"),
            Fate::Renewed => (&mut counts.renewed, "renewed"),
            Fate::Rejected => (&mut counts.rejected, "rejected"),
            Fate::ChargedInVain => (&mut counts.charged_in_vain, "charged_in_vain"),
            Fate::Left => {
                outages.decided(lease);
                return None;
            }
        };
        *counted += 1;
        self.count(outcome, 1);
        match fate {
            Fate::Away(outage) => {
                tracing::warn!(lease_id = %lease, %outage, "billing is away; the lease is asked about again");
                outages.was_away(lease, now);
                Some(outage)
            }
            Fate::PassedOver(outage) => {
                tracing::warn!(lease_id = %lease, %outage, "billing does not decide about a lease; it is asked again");
                outages.passed_over(lease, now);
                Some(outage)
            }
            Fate::Renewed | Fate::Rejected | Fate::ChargedInVain | Fate::Left => {
                outages.decided(lease);
                None
            }
        }
    }

    async fn see_to(&self, billing: &Billing, one: &Asked, mandate: &Mandate<'_>) -> Result<Fate, StoreError> {
        let answer = tokio::select! {
            answer = billing.authorize(&one.renewal, &self.metrics) => answer,
            // A stop does not wait for billing: whoever goes on asks in the same words.
            () = mandate.over() => return Ok(Fate::Left),
        };
        match answer {
            Answer::Approved(charge) => self.renew(one, &charge, mandate).await,
            Answer::Rejected { reason } => self.reject(one, &reason, mandate).await,
            Answer::Unavailable(outage) if outage.is_of_one_request() => Ok(Fate::PassedOver(outage)),
            Answer::Unavailable(outage) => Ok(Fate::Away(outage)),
        }
    }

    async fn renew(&self, one: &Asked, charge: &ChargeId, mandate: &Mandate<'_>) -> Result<Fate, StoreError> {
        let command = Command::Renew {
            lease_id: one.lease.lease_id,
            renewed_lease_id: LeaseId(Uuid::now_v7()),
            price: one.quote.price.clone(),
            charge_id: charge.clone(),
        };
        match self.decide_and_commit(one, &command, mandate).await? {
            Some(Ok(())) => Ok(Fate::Renewed),
            Some(Err(refusal)) => {
                let lease = one.lease.lease_id;
                if !self.store.keep_charge_in_vain(&one.identifier, lease, charge).await? {
                    return Ok(Fate::Left);
                }
                tracing::error!(lease_id = %lease, charge_id = %charge, %refusal, "a lease was charged and not renewed");
                Ok(Fate::ChargedInVain)
            }
            None => Ok(Fate::Left),
        }
    }

    async fn reject(&self, one: &Asked, reason: &str, mandate: &Mandate<'_>) -> Result<Fate, StoreError> {
        let lease_id = one.lease.lease_id;
        tracing::info!(%lease_id, reason, "billing refused a renewal");
        self.store.drop_renewal_request(&mandate.role, &one.identifier, lease_id).await?;
        let command = Command::FailRenewal { lease_id, reason: RenewalFailure::BillingRejected };
        let done = self.decide_and_commit(one, &command, mandate).await?;
        Ok(if matches!(done, Some(Ok(()))) { Fate::Rejected } else { Fate::Left })
    }

    /// Decides on the rows as they are now, and commits; the refusal where the rules refuse, `None` where it could not be
    /// committed: it is left to the next run, or to whoever has the role now.
    async fn decide_and_commit(
        &self,
        one: &Asked,
        command: &Command,
        mandate: &Mandate<'_>,
    ) -> Result<Option<Result<(), Rejection>>, StoreError> {
        for _ in 0..DECISIONS {
            let Asked { identifier, lease, .. } = one;
            let loaded = self.store.load(identifier, Some(&lease.tenant), lease.vanity).await?;
            let decided = match self.decide(identifier, &loaded, command)? {
                Ok(transition) => vec![(loaded.now, transition)],
                Err(refusal) => return Ok(Some(Err(refusal))),
            };
            if self.numbers.commit_batch(&mandate.role, decided, &mandate.origin).await? == 1 {
                return Ok(Some(Ok(())));
            }
        }
        Ok(None)
    }

    fn decide(
        &self,
        identifier: &Identifier,
        loaded: &Loaded,
        command: &Command,
    ) -> Result<Result<Transition, Rejection>, StoreError> {
        let impossible = |what| StoreError::Impossible { subject: identifier.to_string(), what };
        let number = loaded.number.as_ref().ok_or_else(|| impossible("a leased number is in the inventory"))?;
        let standing = loaded.standing.as_ref().ok_or_else(|| impossible("a tenant with a lease has a standing"))?;
        let acting = match command {
            Command::Renew { .. } => Acting::Tenant(standing),
            _ => Acting::Authority,
        };
        let now: Timestamp = loaded.now;
        Ok(decide(number, acting, command, &self.policy, now))
    }

    fn count(&self, outcome: &'static str, by: u64) {
        self.metrics.renewals.get_or_create(&RenewalEnded { outcome }).inc_by(by);
    }

    fn outages(&self) -> MutexGuard<'_, Outages> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What billing is to be asked about a lease: what it was asked before, else by today's list. `None` without a price.
fn asked_of(due: DueRenewal, lease: Lease) -> Option<Asked> {
    let quote = if let Some(quote) = due.asked {
        quote
    } else {
        let price = due.listed?;
        let amount = price.for_term(lease.term)?;
        Quote { price, amount }
    };
    let renewal = Renewal {
        tenant: lease.tenant.clone(),
        lease_id: lease.lease_id,
        shown: due.number.shown,
        term: lease.term,
        amount: quote.amount,
        currency: quote.price.currency.clone(),
    };
    Some(Asked { identifier: due.number.identifier, lease, renewal, quote })
}

impl Asked {
    fn request(&self) -> RenewalRequest<'_> {
        RenewalRequest {
            identifier: &self.identifier,
            lease_id: self.lease.lease_id,
            tenant: &self.lease.tenant,
            quote: &self.quote,
        }
    }

    /// Those that end first come first.
    fn place(&self) -> (Timestamp, &str) {
        (self.lease.effective_until, self.identifier.key())
    }
}
