//! The one state table: what a command does to a number, or why not.
//!
//! [`decide`] reads as a list of refusals in their order of precedence, each an early return, then the transition. Time
//! counts at use: before a command is looked at, what time alone has ended by `now` is ended, by steps of the same
//! transition, so that the journal has every change whoever comes first, the sweep or the next command.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::command::{Acting, Command, RecallReason};
use crate::draft::Draft;
use crate::event::{Event, ReleaseReason, RenewalFailure, ReservationKind};
use crate::ids::{ChargeId, LeaseId, ReservationId, TenantId, TicketId};
use crate::lease::{Lease, LeaseState};
use crate::number::{EndedBy, Number, Quarantine, Reservation, State, StateName};
use crate::policy::{Policy, later};
use crate::price::Price;
use crate::rejection::Rejection;
use crate::tenant::{Counter, TenantStanding, TenantStatus};
use crate::term::Term;

/// One entry of a number's journal: what happened, and the state it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The number's version after the step.
    pub version: i64,
    /// What happened.
    pub event: Event,
    /// The state after the step.
    pub state: StateName,
    /// Who holds the number after the step.
    pub holder: Option<TenantId>,
    /// The lease in force after the step.
    pub lease_id: Option<LeaseId>,
    /// When time alone moves the number on from there.
    pub deadline: Option<Timestamp>,
    /// Whether time alone brought it about, whoever came by to write it down.
    pub by_time: bool,
}

/// A lease that a transition ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedLease {
    /// The lease as it was.
    pub lease: Lease,
    /// How it ended.
    pub state: LeaseState,
    /// When it ended.
    pub at: Timestamp,
}

/// A decided change, to be committed as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The number that was decided on; the commit happens only while its row has this version.
    pub before: Number,
    /// The number afterwards.
    pub after: Number,
    /// The journal entries, at least one, versions without gaps from `before.version + 1`.
    pub steps: Vec<Step>,
    /// The net change of each counter of each tenant; never zero.
    pub usage: BTreeMap<(TenantId, Counter), i32>,
    /// The leases that end.
    pub ended: Vec<EndedLease>,
    /// The tenant revision that it was decided on, where it rests on that, as a grant does; the commit happens only while the tenant has it.
    pub standing: Option<(TenantId, i64)>,
    /// The commit happens only before then: at that moment time alone would have decided otherwise.
    pub commit_before: Option<Timestamp>,
}

impl Transition {
    /// The same, to be committed only while the tenant has this revision: a decision that rests on the tenant's standing
    /// though it grants nothing.
    #[must_use]
    pub fn while_tenant_is_at(self, tenant: &TenantId, revision: i64) -> Self {
        Self { standing: Some((tenant.clone(), revision)), ..self }
    }
}

/// Decides a command.
///
/// # Errors
/// The first [`Rejection`] that applies, in the contract's order of precedence.
pub fn decide(
    number: &Number,
    acting: Acting<'_>,
    command: &Command,
    policy: &Policy,
    now: Timestamp,
) -> Result<Transition, Rejection> {
    let draft = Draft::settled(number, policy, now);
    match command {
        Command::Reserve { reservation_id } => reserve(draft, acting, *reservation_id),
        Command::Extend => extend(draft, acting),
        Command::Hold => hold(draft, acting),
        Command::Release => release(draft, acting),
        Command::Lease { lease_id, term, auto_renew, vanity, may_bypass, price } => {
            let asked = LeaseAsked {
                lease_id: *lease_id,
                term: *term,
                auto_renew: *auto_renew,
                vanity: *vanity,
                may_bypass: *may_bypass,
                price,
            };
            lease(draft, acting, &asked)
        }
        Command::Recall { reason, stated_actor } => recall(draft, acting, reason, stated_actor.as_deref()),
        Command::Suspend => suspend(draft, acting),
        Command::Reinstate => reinstate(draft, acting),
        Command::UpdateLease { lease_id, auto_renew, locked } => {
            update_lease(draft, acting, *lease_id, *auto_renew, *locked)
        }
        Command::Renew { lease_id, renewed_lease_id, price, charge_id } => {
            let paid = Paid { renewed_lease_id: *renewed_lease_id, price, charge_id };
            renew(draft, acting, *lease_id, &paid)
        }
        Command::FailRenewal { lease_id, reason } => fail_renewal(draft, acting, *lease_id, *reason),
        Command::RemindOfGrace { lease_id } => remind_of_grace(draft, acting, *lease_id),
        Command::Revoke { ticket } => revoke(draft, acting, ticket.as_ref()),
        Command::ExpireReservation { reservation_id } => expire_reservation(draft, *reservation_id),
        Command::ExpireLease { lease_id } => expire_lease(draft, *lease_id),
        Command::EndQuarantine => end_quarantine(draft),
        Command::OverrideQuarantine { justification } => override_quarantine(draft, acting, justification),
    }
}

impl Number {
    /// The number as it truly is at `now`: what time alone has ended is ended, whether or not it has been written down.
    #[must_use]
    pub fn at(&self, now: Timestamp, policy: &Policy) -> Number {
        Draft::settled(self, policy, now).number
    }
}

fn acting_tenant(acting: Acting<'_>) -> Result<&TenantStanding, Rejection> {
    match acting {
        Acting::Tenant(standing) => Ok(standing),
        Acting::Authority => Err(Rejection::TenantRequired),
    }
}

fn authority(acting: Acting<'_>) -> Result<(), Rejection> {
    match acting {
        Acting::Tenant(_) => Err(Rejection::Forbidden { permission: "numbering.admin" }),
        Acting::Authority => Ok(()),
    }
}

fn in_good_standing(tenant: &TenantStanding) -> Result<(), Rejection> {
    match tenant.status {
        TenantStatus::Active => Ok(()),
        TenantStatus::Suspended => Err(Rejection::TenantSuspended),
    }
}

/// The refusals that every grant of a number shares, up to the number's state.
fn may_take<'a>(draft: &Draft<'_>, acting: Acting<'a>) -> Result<&'a TenantStanding, Rejection> {
    let tenant = acting_tenant(acting)?;
    in_good_standing(tenant)?;
    match &draft.number.operator {
        Some(operator) if !tenant.may_use_operator(Some(operator)) => {
            Err(Rejection::OperatorNotAllowed { operator: operator.clone() })
        }
        _ => Ok(tenant),
    }
}

/// The refusal while the number rests. A bar may outlast the rest: after a vanity lease and an override, for one.
fn resting(draft: &Draft<'_>, rest: &Quarantine, tenant: &TenantId) -> Rejection {
    let barred_until = draft.number.barred_until(tenant, draft.now).unwrap_or(rest.available_at);
    Rejection::QuarantineActive { state: draft.number.state.name(), available_at: rest.available_at.max(barred_until) }
}

/// The self-bypass rule, and a date from which the number is offered.
fn open_to(draft: &Draft<'_>, tenant: &TenantId) -> Result<(), Rejection> {
    let state = draft.number.state.name();
    if let Some(available_at) = draft.number.barred_until(tenant, draft.now) {
        return Err(Rejection::QuarantineActive { state, available_at });
    }
    match draft.number.valid_from {
        Some(valid_from) if draft.now < valid_from => Err(Rejection::NotYetValid { state, valid_from }),
        _ => Ok(()),
    }
}

fn reserve(mut draft: Draft<'_>, acting: Acting<'_>, reservation_id: ReservationId) -> Result<Transition, Rejection> {
    let tenant = may_take(&draft, acting)?;
    let state = draft.number.state.name();
    match &draft.number.state {
        State::Quarantine(rest) => return Err(resting(&draft, rest, &tenant.tenant)),
        State::Reserved(_) | State::Held(_) | State::Leased(_) | State::Suspended(_) => {
            return Err(Rejection::NotAvailable { state });
        }
        State::Available => open_to(&draft, &tenant.tenant)?,
    }
    draft.claim_room(tenant, Counter::Reservations)?;

    let expires_at = later(draft.now, draft.policy.reservation_ttl);
    let claim = Reservation { reservation_id, tenant: tenant.tenant.clone(), since: draft.now, expires_at };
    let event = Event::ReservationHeld {
        kind: ReservationKind::Reserve,
        reservation_id,
        tenant: tenant.tenant.clone(),
        expires_at,
    };
    draft.step(event, State::Reserved(claim));
    Ok(draft.grant_to(tenant))
}

/// The tenant's own reservation, which it may go on with.
fn own_reservation(draft: &Draft<'_>, tenant: &TenantStanding) -> Result<Reservation, Rejection> {
    let state = draft.number.state.name();
    match &draft.number.state {
        State::Quarantine(rest) => Err(resting(draft, rest, &tenant.tenant)),
        State::Reserved(claim) if claim.tenant != tenant.tenant => Err(Rejection::ReservedByOtherTenant { state }),
        State::Held(claim) if claim.tenant != tenant.tenant => Err(Rejection::HeldByOtherTenant { state }),
        State::Leased(_) | State::Suspended(_) => Err(Rejection::AlreadyLeased { state }),
        State::Available | State::Held(_) => Err(Rejection::InvalidState { state }),
        State::Reserved(claim) => Ok(claim.clone()),
    }
}

fn extend(mut draft: Draft<'_>, acting: Acting<'_>) -> Result<Transition, Rejection> {
    let tenant = may_take(&draft, acting)?;
    let claim = own_reservation(&draft, tenant)?;
    let ceiling = later(claim.since, draft.policy.reservation_ceiling);
    let expires_at = later(claim.expires_at, draft.policy.reservation_ttl).min(ceiling);
    if expires_at <= claim.expires_at {
        return Err(Rejection::ReservationCeiling { state: draft.number.state.name() });
    }

    let event = Event::ReservationHeld {
        kind: ReservationKind::Reserve,
        reservation_id: claim.reservation_id,
        tenant: claim.tenant.clone(),
        expires_at,
    };
    draft.step(event, State::Reserved(Reservation { expires_at, ..claim }));
    Ok(draft.grant_to(tenant))
}

fn hold(mut draft: Draft<'_>, acting: Acting<'_>) -> Result<Transition, Rejection> {
    let tenant = may_take(&draft, acting)?;
    let claim = own_reservation(&draft, tenant)?;
    draft.claim_room(tenant, Counter::Holds)?;

    draft.count(&tenant.tenant, Counter::Reservations, -1);
    let expires_at = later(draft.now, draft.policy.hold_ttl);
    let event = Event::ReservationHeld {
        kind: ReservationKind::Hold,
        reservation_id: claim.reservation_id,
        tenant: claim.tenant.clone(),
        expires_at,
    };
    draft.step(event, State::Held(Reservation { expires_at, ..claim }));
    Ok(draft.grant_to(tenant))
}

fn release(mut draft: Draft<'_>, acting: Acting<'_>) -> Result<Transition, Rejection> {
    let tenant = acting_tenant(acting)?;
    let state = draft.number.state.name();
    let (kind, claim) = match &draft.number.state {
        State::Leased(_) | State::Suspended(_) => return Err(Rejection::UseRecallForLeases { state }),
        State::Reserved(claim) | State::Held(claim) if claim.tenant != tenant.tenant => {
            return Err(Rejection::ReleaseByOtherTenant { state });
        }
        State::Available | State::Quarantine(_) => return Err(Rejection::InvalidState { state }),
        State::Reserved(claim) => (ReservationKind::Reserve, claim.clone()),
        State::Held(claim) => (ReservationKind::Hold, claim.clone()),
    };

    draft.end_claim(kind, &claim, ReleaseReason::TenantRelease);
    Ok(draft.finish())
}

/// The parts of [`Command::Lease`].
struct LeaseAsked<'a> {
    lease_id: LeaseId,
    term: Term,
    auto_renew: bool,
    vanity: bool,
    may_bypass: bool,
    price: &'a Price,
}

fn lease(mut draft: Draft<'_>, acting: Acting<'_>, asked: &LeaseAsked<'_>) -> Result<Transition, Rejection> {
    acting_tenant(acting)?;
    if asked.vanity && !asked.term.offered_for_vanity() {
        return Err(Rejection::InvalidVanityTerm);
    }
    let tenant = may_take(&draft, acting)?;
    if asked.vanity && !draft.number.vanity_eligible {
        return Err(Rejection::NotVanityEligible);
    }
    let state = draft.number.state.name();
    let freed = match &draft.number.state {
        State::Quarantine(rest) => return Err(resting(&draft, rest, &tenant.tenant)),
        State::Leased(_) | State::Suspended(_) => return Err(Rejection::AlreadyLeased { state }),
        State::Reserved(claim) if claim.tenant != tenant.tenant => {
            return Err(Rejection::ReservedByOtherTenant { state });
        }
        State::Held(claim) if claim.tenant != tenant.tenant => return Err(Rejection::HeldByOtherTenant { state }),
        State::Available => {
            open_to(&draft, &tenant.tenant)?;
            if !asked.may_bypass {
                return Err(Rejection::BypassRequired { state });
            }
            None
        }
        State::Reserved(_) => Some(Counter::Reservations),
        State::Held(_) => Some(Counter::Holds),
    };
    draft.claim_room(tenant, Counter::from(draft.number.identifier.class()))?;

    if let Some(counter) = freed {
        draft.count(&tenant.tenant, counter, -1);
    }
    let effective_until = asked.term.end(draft.now);
    let lease = Lease {
        lease_id: asked.lease_id,
        prior_lease_id: None,
        tenant: tenant.tenant.clone(),
        effective_from: draft.now,
        effective_until,
        ends_at: Lease::end_with_grace(effective_until, asked.vanity, asked.auto_renew, draft.policy),
        term: asked.term,
        auto_renew: asked.auto_renew,
        renewal_retry_at: None,
        reminded_at: None,
        vanity: asked.vanity,
        locked: false,
        price: asked.price.clone(),
    };
    draft.step(Event::LeaseCreated(lease.clone()), State::Leased(lease));
    Ok(draft.grant_to(tenant))
}

fn recall(
    mut draft: Draft<'_>,
    acting: Acting<'_>,
    reason: &RecallReason,
    stated_actor: Option<&str>,
) -> Result<Transition, Rejection> {
    if let (Acting::Tenant(_), false) = (acting, matches!(reason, RecallReason::TenantInitiated(_))) {
        return Err(Rejection::Forbidden { permission: "numbering.admin" });
    }
    let lease = leased_to(&draft, acting)?.clone();
    if let (Acting::Tenant(_), true) = (acting, lease.locked) {
        return Err(Rejection::LeaseLocked { state: draft.number.state.name() });
    }

    let cool_down = draft.policy.cool_down(draft.number.identifier.class(), lease.vanity);
    let recalled = Event::LeaseRecalled {
        lease_id: lease.lease_id,
        tenant: lease.tenant.clone(),
        reason: reason.as_str(),
        ticket: reason.ticket().cloned(),
        stated_actor: stated_actor.map(str::to_owned),
        available_at: later(draft.now, cool_down),
    };
    let ended = EndedLease { lease, state: LeaseState::Recalled, at: draft.now };
    draft.end_lease(ended, recalled, cool_down, EndedBy::Recall);
    Ok(draft.finish())
}

/// The lease in force, where `acting` may dispose of it.
fn leased_to<'d>(draft: &'d Draft<'_>, acting: Acting<'_>) -> Result<&'d Lease, Rejection> {
    let state = draft.number.state.name();
    let lease = draft.number.state.lease().ok_or(Rejection::NotLeased { state })?;
    match acting {
        Acting::Tenant(tenant) if tenant.tenant != lease.tenant => Err(Rejection::NotLeaseHolder { state }),
        Acting::Tenant(_) | Acting::Authority => Ok(lease),
    }
}

fn suspend(mut draft: Draft<'_>, acting: Acting<'_>) -> Result<Transition, Rejection> {
    authority(acting)?;
    let state = draft.number.state.name();
    let lease = match &draft.number.state {
        State::Available | State::Reserved(_) | State::Held(_) | State::Quarantine(_) => {
            return Err(Rejection::NotLeased { state });
        }
        State::Suspended(_) => return Err(Rejection::InvalidState { state }),
        State::Leased(lease) => lease.clone(),
    };
    let event = Event::LeaseSuspended { lease_id: lease.lease_id, tenant: lease.tenant.clone() };
    draft.step(event, State::Suspended(lease));
    Ok(draft.finish())
}

fn reinstate(mut draft: Draft<'_>, acting: Acting<'_>) -> Result<Transition, Rejection> {
    authority(acting)?;
    let state = draft.number.state.name();
    let lease = match &draft.number.state {
        State::Available | State::Reserved(_) | State::Held(_) | State::Quarantine(_) => {
            return Err(Rejection::NotLeased { state });
        }
        State::Leased(_) => return Err(Rejection::InvalidState { state }),
        State::Suspended(lease) => lease.clone(),
    };
    let event = Event::LeaseReinstated { lease_id: lease.lease_id, tenant: lease.tenant.clone() };
    draft.step(event, State::Leased(lease));
    Ok(draft.finish())
}

fn update_lease(
    mut draft: Draft<'_>,
    acting: Acting<'_>,
    lease_id: LeaseId,
    auto_renew: Option<bool>,
    locked: Option<bool>,
) -> Result<Transition, Rejection> {
    let state = draft.number.state.name();
    let lease = leased_to(&draft, acting)?.clone();
    if lease.lease_id != lease_id {
        return Err(Rejection::InvalidState { state });
    }
    let in_grace = draft.now >= lease.effective_until;
    let ends_at = match auto_renew {
        Some(auto_renew) if !in_grace => {
            Lease::end_with_grace(lease.effective_until, lease.vanity, auto_renew, draft.policy)
        }
        Some(_) | None => lease.ends_at,
    };
    let auto_renew = auto_renew.unwrap_or(lease.auto_renew);
    let locked = locked.unwrap_or(lease.locked);
    // Switched on anew, it is asked for again at once.
    let renewal_retry_at = lease.renewal_retry_at.filter(|_| lease.auto_renew && auto_renew);
    let lease = Lease { ends_at, auto_renew, renewal_retry_at, locked, ..lease };
    let event = Event::LeaseUpdated { lease_id, tenant: lease.tenant.clone(), auto_renew, locked };
    let state = draft.number.state.with_lease(lease);
    draft.step(event, state);
    Ok(draft.finish())
}

/// The parts of [`Command::Renew`] about the new term.
struct Paid<'a> {
    renewed_lease_id: LeaseId,
    price: &'a Price,
    charge_id: &'a ChargeId,
}

fn renew(
    mut draft: Draft<'_>,
    acting: Acting<'_>,
    lease_id: LeaseId,
    paid: &Paid<'_>,
) -> Result<Transition, Rejection> {
    let tenant = acting_tenant(acting)?;
    in_good_standing(tenant)?;
    let old = leased_to(&draft, acting)?.clone();
    let state = draft.number.state.name();
    let meant = old.lease_id == lease_id && state == StateName::Leased;
    let due = old.renewal_due_at(draft.policy).is_some_and(|due| draft.now >= due);
    if !meant || !due {
        return Err(Rejection::InvalidState { state });
    }

    let effective_until = old.term.end(old.effective_until);
    let renewed = Lease {
        lease_id: paid.renewed_lease_id,
        prior_lease_id: Some(old.lease_id),
        effective_from: old.effective_until,
        effective_until,
        ends_at: Lease::end_with_grace(effective_until, old.vanity, old.auto_renew, draft.policy),
        price: paid.price.clone(),
        renewal_retry_at: None,
        reminded_at: None,
        ..old.clone()
    };
    draft.ended.push(EndedLease { at: old.effective_until, lease: old, state: LeaseState::Renewed });
    let event = Event::LeaseRenewed { lease: renewed.clone(), charge_id: paid.charge_id.clone() };
    draft.step(event, State::Leased(renewed));

    let counter = Counter::from(draft.number.identifier.class());
    let (quota, current) = (*tenant.limits.get(counter), *tenant.used.get(counter));
    if current > quota {
        let tenant = tenant.tenant.clone();
        let warning = Event::LeaseRenewalOverQuota { lease_id: paid.renewed_lease_id, tenant, quota, current };
        let same = draft.number.state.clone();
        draft.step(warning, same);
    }
    Ok(draft.grant_to(tenant))
}

fn fail_renewal(
    mut draft: Draft<'_>,
    acting: Acting<'_>,
    lease_id: LeaseId,
    reason: RenewalFailure,
) -> Result<Transition, Rejection> {
    authority(acting)?;
    let lease = leased_to(&draft, acting)?.clone();
    let state = draft.number.state.name();
    let due = lease.renewal_due_at(draft.policy).is_some_and(|due| draft.now >= due);
    if lease.lease_id != lease_id || state != StateName::Leased || !due {
        return Err(Rejection::InvalidState { state });
    }

    let retry_at = later(draft.now, draft.policy.renewal_retry);
    let event = Event::LeaseRenewalFailed {
        lease_id,
        tenant: lease.tenant.clone(),
        reason,
        effective_until: lease.effective_until,
        retry_at: (retry_at < lease.ends_at).then_some(retry_at),
    };
    draft.step(event, State::Leased(Lease { renewal_retry_at: Some(retry_at), ..lease }));
    Ok(draft.finish())
}

fn remind_of_grace(mut draft: Draft<'_>, acting: Acting<'_>, lease_id: LeaseId) -> Result<Transition, Rejection> {
    authority(acting)?;
    let lease = leased_to(&draft, acting)?.clone();
    let due = lease.reminder_due_at(draft.policy).is_some_and(|due| draft.now >= due);
    if lease.lease_id != lease_id || !due {
        return Err(Rejection::InvalidState { state: draft.number.state.name() });
    }

    let event = Event::LeaseGraceReminder {
        lease_id,
        tenant: lease.tenant.clone(),
        effective_until: lease.effective_until,
        grace_until: lease.ends_at,
    };
    let reminded = Lease { reminded_at: Some(draft.now), ..lease };
    let state = draft.number.state.with_lease(reminded);
    draft.step(event, state);
    Ok(draft.finish())
}

fn revoke(mut draft: Draft<'_>, acting: Acting<'_>, ticket: Option<&TicketId>) -> Result<Transition, Rejection> {
    authority(acting)?;
    let (kind, claim) = match &draft.number.state {
        State::Reserved(claim) => (ReservationKind::Reserve, claim.clone()),
        State::Held(claim) => (ReservationKind::Hold, claim.clone()),
        State::Available | State::Leased(_) | State::Suspended(_) | State::Quarantine(_) => {
            return Err(Rejection::InvalidState { state: draft.number.state.name() });
        }
    };

    draft.end_claim(kind, &claim, ReleaseReason::TenantSuspended(ticket.cloned()));
    Ok(draft.finish())
}

fn expire_reservation(draft: Draft<'_>, reservation_id: ReservationId) -> Result<Transition, Rejection> {
    match &draft.before.state {
        State::Reserved(claim) | State::Held(claim)
            if claim.reservation_id == reservation_id && draft.now >= claim.expires_at =>
        {
            Ok(draft.finish())
        }
        State::Available
        | State::Reserved(_)
        | State::Held(_)
        | State::Leased(_)
        | State::Suspended(_)
        | State::Quarantine(_) => Err(Rejection::InvalidState { state: draft.number.state.name() }),
    }
}

fn expire_lease(draft: Draft<'_>, lease_id: LeaseId) -> Result<Transition, Rejection> {
    match draft.before.state.lease() {
        Some(lease) if lease.lease_id == lease_id && draft.now >= lease.ends_at => Ok(draft.finish()),
        Some(_) | None => Err(Rejection::InvalidState { state: draft.number.state.name() }),
    }
}

fn end_quarantine(draft: Draft<'_>) -> Result<Transition, Rejection> {
    match &draft.before.state {
        State::Quarantine(rest) if draft.now >= rest.available_at => Ok(draft.finish()),
        State::Quarantine(rest) => {
            Err(Rejection::QuarantineActive { state: draft.number.state.name(), available_at: rest.available_at })
        }
        State::Available | State::Reserved(_) | State::Held(_) | State::Leased(_) | State::Suspended(_) => {
            Err(Rejection::InvalidState { state: draft.number.state.name() })
        }
    }
}

fn override_quarantine(mut draft: Draft<'_>, acting: Acting<'_>, justification: &str) -> Result<Transition, Rejection> {
    authority(acting)?;
    if justification.trim().is_empty() {
        return Err(Rejection::JustificationRequired);
    }
    let State::Quarantine(Quarantine { available_at, .. }) = draft.number.state else {
        return Err(Rejection::InvalidState { state: draft.number.state.name() });
    };
    let event = Event::QuarantineOverridden { justification: justification.to_owned(), available_at };
    draft.step(event, State::Available);
    Ok(draft.finish())
}
