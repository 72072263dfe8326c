//! A transition in the making: the number with what time alone has ended, and the steps, counts and ended leases that come
//! with every change of it.
//!
//! What must stay true: no state changes but by a step, so that the journal has every change; and whatever ends a claim or a
//! lease counts it down in the same place.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::event::{Event, ReleaseReason, ReservationKind};
use crate::ids::TenantId;
use crate::lease::LeaseState;
use crate::number::{Bar, EndedBy, Number, Quarantine, Reservation, State, StateName};
use crate::policy::{Policy, later};
use crate::rejection::Rejection;
use crate::tenant::{Counter, TenantStanding};
use crate::transition::{EndedLease, Step, Transition};

/// A transition in the making.
pub(crate) struct Draft<'a> {
    pub(crate) before: &'a Number,
    pub(crate) number: Number,
    pub(crate) policy: &'a Policy,
    pub(crate) now: Timestamp,
    steps: Vec<Step>,
    usage: BTreeMap<(TenantId, Counter), i32>,
    pub(crate) ended: Vec<EndedLease>,
    commit_before: Option<Timestamp>,
    settling: bool,
}

impl<'a> Draft<'a> {
    /// Starts from the number with everything ended that time alone has ended.
    pub(crate) fn settled(before: &'a Number, policy: &'a Policy, now: Timestamp) -> Self {
        let mut draft = Self {
            before,
            number: before.clone(),
            policy,
            now,
            steps: Vec::new(),
            usage: BTreeMap::new(),
            ended: Vec::new(),
            commit_before: None,
            settling: true,
        };
        draft.number.bars.retain(|bar| now < bar.until);
        while draft.number.state.deadline().is_some_and(|deadline| now >= deadline) {
            draft.pass_deadline();
        }
        draft.settling = false;
        draft.commit_before = draft.number.state.deadline();
        draft
    }

    fn pass_deadline(&mut self) {
        match self.number.state.clone() {
            State::Available => {}
            State::Reserved(claim) => self.end_claim(ReservationKind::Reserve, &claim, ReleaseReason::TtlExpired),
            State::Held(claim) => self.end_claim(ReservationKind::Hold, &claim, ReleaseReason::TtlExpired),
            State::Leased(lease) | State::Suspended(lease) => {
                let cool_down = self.policy.cool_down(self.number.identifier.class(), lease.vanity);
                let expired = Event::LeaseExpired {
                    lease_id: lease.lease_id,
                    tenant: lease.tenant.clone(),
                    ended_at: lease.ends_at,
                };
                let ended = EndedLease { at: lease.ends_at, lease, state: LeaseState::Expired };
                self.end_lease(ended, expired, cool_down, EndedBy::Expiry);
            }
            State::Quarantine(_) => self.step(Event::IdentifierReleased, State::Available),
        }
    }

    pub(crate) fn end_claim(&mut self, kind: ReservationKind, claim: &Reservation, reason: ReleaseReason) {
        let counter = match kind {
            ReservationKind::Reserve => Counter::Reservations,
            ReservationKind::Hold => Counter::Holds,
        };
        self.count(&claim.tenant, counter, -1);
        let event = Event::ReservationReleased {
            kind,
            reservation_id: claim.reservation_id,
            tenant: claim.tenant.clone(),
            reason,
        };
        self.step(event, State::Available);
    }

    /// Ends a lease in two steps: that it ended, and where the number goes: to rest, or where the cool-down is nothing
    /// straight to AVAILABLE.
    pub(crate) fn end_lease(&mut self, ended: EndedLease, event: Event, cool_down: SignedDuration, ended_by: EndedBy) {
        let lease_id = ended.lease.lease_id;
        let tenant = ended.lease.tenant.clone();
        let available_at = later(ended.at, cool_down);
        self.count(&tenant, Counter::from(self.number.identifier.class()), -1);
        self.ended.push(ended);
        let rests = cool_down.is_positive();
        let passing = match ended_by {
            EndedBy::Recall => StateName::Recalled,
            EndedBy::Expiry if rests => StateName::Quarantine,
            EndedBy::Expiry => StateName::Available,
        };
        self.push(event, passing, &State::Available, rests.then_some(available_at));
        if rests {
            if self.now < available_at {
                self.number.bars.push(Bar { tenant, until: available_at });
            }
            let rest = Quarantine { available_at, ended_by, lease_id };
            self.step(Event::IdentifierQuarantined { available_at, lease_id }, State::Quarantine(rest));
        } else {
            self.step(Event::IdentifierReleased, State::Available);
        }
    }

    pub(crate) fn step(&mut self, event: Event, state: State) {
        self.push(event, state.name(), &state, state.deadline());
        self.number.state = state;
    }

    fn push(&mut self, event: Event, name: StateName, state: &State, deadline: Option<Timestamp>) {
        self.number.version += 1;
        self.steps.push(Step {
            version: self.number.version,
            event,
            state: name,
            holder: state.holder().cloned(),
            lease_id: state.lease().map(|lease| lease.lease_id),
            deadline,
            by_time: self.settling,
        });
    }

    pub(crate) fn count(&mut self, tenant: &TenantId, counter: Counter, change: i32) {
        let key = (tenant.clone(), counter);
        let net = self.usage.get(&key).copied().unwrap_or(0) + change;
        if net == 0 {
            self.usage.remove(&key);
        } else {
            self.usage.insert(key, net);
        }
    }

    /// Counts one more, unless the quota is reached. What this same transition frees counts as free.
    pub(crate) fn claim_room(&mut self, tenant: &TenantStanding, counter: Counter) -> Result<(), Rejection> {
        let freed = self.usage.get(&(tenant.tenant.clone(), counter)).copied().unwrap_or(0);
        let (quota, current) = (*tenant.limits.get(counter), *tenant.used.get(counter) + freed);
        if current >= quota {
            return Err(match counter {
                Counter::Reservations => Rejection::ReservationQuota { quota, current },
                Counter::Holds => Rejection::HoldQuota { quota, current },
                Counter::Msisdn | Counter::ShortCode | Counter::Alpha => {
                    Rejection::QuotaExceeded { class: self.number.identifier.class(), quota, current }
                }
            });
        }
        self.count(&tenant.tenant, counter, 1);
        Ok(())
    }

    pub(crate) fn grant_to(self, tenant: &TenantStanding) -> Transition {
        Transition { standing: Some((tenant.tenant.clone(), tenant.revision)), ..self.finish() }
    }

    pub(crate) fn finish(self) -> Transition {
        Transition {
            before: self.before.clone(),
            after: self.number,
            steps: self.steps,
            usage: self.usage,
            ended: self.ended,
            standing: None,
            commit_before: self.commit_before,
        }
    }
}
