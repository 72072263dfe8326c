//! A number's journal read on its own: from the events alone, by the contract's rules told a second time, comes the state.
//! An event that cannot follow from the state before it fails here, two holders of one number among them.

use jiff::Timestamp;
use numbering_domain::event::{Event, ReleaseReason, ReservationKind};
use numbering_domain::lease::{Lease, LeaseState};
use numbering_domain::number::{Bar, EndedBy, Number, Quarantine, Reservation, State, StateName};
use numbering_domain::transition::{EndedLease, Step};
use numbering_domain::{ChargeId, IdentifierClass, LeaseId, Policy, ReservationId, TenantId};
use uuid::Uuid;

use crate::given;

/// Between the end of a lease and where the number goes, which is one commit.
struct Passing {
    lease: Lease,
    ended_by: EndedBy,
    available_at: Timestamp,
}

/// What the journal has come to.
pub(crate) struct Replay {
    class: IdentifierClass,
    valid_from: Option<Timestamp>,
    policy: Policy,
    state: State,
    passing: Option<Passing>,
    version: i64,
    /// Every bar there ever was: a lease's tenant, until the rest that followed would have ended.
    pub(crate) bars: Vec<Bar>,
    /// Every lease that ended, in order.
    pub(crate) ended: Vec<EndedLease>,
}

impl Replay {
    pub(crate) fn of(number: &Number, policy: &Policy) -> Self {
        Self {
            class: number.identifier.class(),
            valid_from: number.valid_from,
            policy: policy.clone(),
            state: number.state.clone(),
            passing: None,
            version: number.version,
            bars: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// The state, which nothing must be on the way from.
    pub(crate) fn settled(&self) -> &State {
        assert!(self.passing.is_none(), "a lease ended, and the number went nowhere");
        &self.state
    }

    /// Takes one entry, decided at that moment. Gives the claim that it makes, if it makes one.
    pub(crate) fn apply(&mut self, step: &Step, decided_at: Timestamp) -> Option<Uuid> {
        self.version += 1;
        assert_eq!(step.version, self.version, "versions have no gaps");
        let made = self.follow(&step.event, decided_at);
        let told = (step.state, step.holder.as_ref(), step.lease_id, step.deadline);
        match &self.passing {
            None => {
                let lease_id = self.state.lease().map(|lease| lease.lease_id);
                assert_eq!(told, (self.state.name(), self.state.holder(), lease_id, self.state.deadline()));
            }
            Some(passing) => {
                let rests = passing.available_at > self.ended.last().unwrap().at;
                let name = match passing.ended_by {
                    EndedBy::Recall => StateName::Recalled,
                    EndedBy::Expiry if rests => StateName::Quarantine,
                    EndedBy::Expiry => StateName::Available,
                };
                assert_eq!(told, (name, None, None, rests.then_some(passing.available_at)));
            }
        }
        made
    }

    fn follow(&mut self, event: &Event, decided_at: Timestamp) -> Option<Uuid> {
        match event {
            Event::ReservationHeld { kind, reservation_id, tenant, expires_at } => {
                return self.held(*kind, *reservation_id, tenant, *expires_at, decided_at);
            }
            Event::ReservationReleased { kind, reservation_id, tenant, reason } => {
                let (own_kind, claim) = self.claim();
                assert_eq!((own_kind, claim.reservation_id, &claim.tenant), (*kind, *reservation_id, tenant));
                assert_eq!(decided_at >= claim.expires_at, *reason == ReleaseReason::TtlExpired);
                assert_eq!(decided_at >= claim.expires_at, reason.as_str() == "TTL_EXPIRED");
                self.state = State::Available;
            }
            Event::LeaseCreated(lease) => return Some(self.created(lease, decided_at)),
            Event::LeaseRenewed { lease, charge_id } => return Some(self.renewed(lease, charge_id)),
            Event::LeaseRenewalOverQuota { lease_id, tenant, quota, current } => {
                self.in_force(*lease_id, tenant);
                assert!(current > quota);
            }
            Event::LeaseRenewalFailed { lease_id, tenant, reason: _, effective_until, retry_at } => {
                let mut lease = self.in_force(*lease_id, tenant);
                assert!(lease.auto_renew && self.state.name() == StateName::Leased);
                assert_eq!(lease.effective_until, *effective_until);
                assert!(lease.renewal_retry_at.is_none_or(|retry_at| decided_at >= retry_at), "asked too soon");
                let next = decided_at + self.policy.renewal_retry;
                assert_eq!(*retry_at, (next < lease.ends_at).then_some(next));
                lease.renewal_retry_at = Some(next);
                self.state = State::Leased(lease);
            }
            Event::LeaseGraceReminder { lease_id, tenant, effective_until, grace_until } => {
                let mut lease = self.in_force(*lease_id, tenant);
                assert_eq!((lease.effective_until, lease.ends_at), (*effective_until, *grace_until));
                assert!(lease.vanity && *effective_until <= decided_at && decided_at < *grace_until);
                let since = lease.reminded_at.map(|last| decided_at.duration_since(last));
                assert!(since.is_none_or(|since| since >= self.policy.reminder_interval), "reminded too soon");
                lease.reminded_at = Some(decided_at);
                self.become_with(lease);
            }
            Event::LeaseUpdated { lease_id, tenant, auto_renew, locked } => {
                let mut lease = self.in_force(*lease_id, tenant);
                if !(lease.auto_renew && *auto_renew) {
                    lease.renewal_retry_at = None;
                }
                lease.auto_renew = *auto_renew;
                lease.locked = *locked;
                if decided_at < lease.effective_until {
                    let grace = lease.vanity && lease.auto_renew;
                    lease.ends_at = lease.effective_until + if grace { self.policy.vanity_grace } else { ZERO };
                }
                self.become_with(lease);
            }
            Event::LeaseSuspended { lease_id, tenant } => {
                assert_eq!(self.state.name(), StateName::Leased);
                self.state = State::Suspended(self.in_force(*lease_id, tenant));
            }
            Event::LeaseReinstated { lease_id, tenant } => {
                assert_eq!(self.state.name(), StateName::Suspended);
                self.state = State::Leased(self.in_force(*lease_id, tenant));
            }
            Event::LeaseRecalled { lease_id, tenant, available_at, .. } => {
                let lease = self.in_force(*lease_id, tenant);
                assert!(decided_at < lease.ends_at, "what has run out is not recalled");
                self.pass(lease, EndedBy::Recall, decided_at);
                assert_eq!(self.passing.as_ref().unwrap().available_at, *available_at);
            }
            Event::LeaseExpired { lease_id, tenant, ended_at } => {
                let lease = self.in_force(*lease_id, tenant);
                assert_eq!(lease.ends_at, *ended_at);
                assert!(decided_at >= *ended_at);
                self.pass(lease, EndedBy::Expiry, *ended_at);
            }
            Event::IdentifierQuarantined { available_at, lease_id } => self.rests(*available_at, *lease_id),
            Event::IdentifierReleased => self.released(decided_at),
            Event::QuarantineOverridden { available_at, .. } => {
                let State::Quarantine(rest) = &self.state else { panic!("nothing rests") };
                assert_eq!(rest.available_at, *available_at);
                assert!(decided_at < *available_at, "there is nothing left to override");
                self.state = State::Available;
            }
        }
        None
    }

    fn held(
        &mut self,
        kind: ReservationKind,
        reservation_id: ReservationId,
        tenant: &TenantId,
        expires_at: Timestamp,
        decided_at: Timestamp,
    ) -> Option<Uuid> {
        let claim = Reservation { reservation_id, tenant: tenant.clone(), since: decided_at, expires_at };
        match kind {
            ReservationKind::Reserve if self.state != State::Available => {
                let (before, reserved) = self.claim();
                assert_eq!(before, ReservationKind::Reserve);
                assert_eq!((reserved.reservation_id, &reserved.tenant), (reservation_id, tenant));
                let ceiling = reserved.since + self.policy.reservation_ceiling;
                assert_eq!(expires_at, ceiling.min(reserved.expires_at + self.policy.reservation_ttl));
                assert!(decided_at < reserved.expires_at && reserved.expires_at < expires_at, "extended for nothing");
                self.state = State::Reserved(Reservation { expires_at, ..reserved });
                None
            }
            ReservationKind::Reserve => {
                assert_eq!(expires_at, decided_at + self.policy.reservation_ttl);
                self.open_to(tenant, decided_at);
                self.state = State::Reserved(claim);
                Some(reservation_id.0)
            }
            ReservationKind::Hold => {
                let (before, reserved) = self.claim();
                assert_eq!(before, ReservationKind::Reserve);
                assert_eq!((reserved.reservation_id, &reserved.tenant), (reservation_id, tenant));
                assert_eq!(expires_at, decided_at + self.policy.hold_ttl);
                self.state = State::Held(Reservation { since: reserved.since, ..claim });
                None
            }
        }
    }

    fn created(&mut self, lease: &Lease, decided_at: Timestamp) -> Uuid {
        match &self.state {
            State::Available => self.open_to(&lease.tenant, decided_at),
            State::Reserved(claim) | State::Held(claim) => {
                assert!(claim.tenant == lease.tenant && decided_at < claim.expires_at);
            }
            State::Leased(_) | State::Suspended(_) | State::Quarantine(_) => panic!("leased from {:?}", self.state),
        }
        assert_eq!((lease.prior_lease_id, lease.effective_from), (None, decided_at));
        self.check_term(lease);
        self.state = State::Leased(lease.clone());
        lease.lease_id.0
    }

    fn renewed(&mut self, lease: &Lease, charge_id: &ChargeId) -> Uuid {
        assert_eq!(*charge_id, given::charge_id());
        let State::Leased(old) = self.state.clone() else { panic!("renewed from {:?}", self.state) };
        assert_eq!((lease.prior_lease_id, &lease.tenant), (Some(old.lease_id), &old.tenant));
        assert_eq!((lease.effective_from, lease.term, lease.vanity), (old.effective_until, old.term, old.vanity));
        assert_eq!((lease.renewal_retry_at, lease.reminded_at), (None, None));
        self.check_term(lease);
        self.ended.push(EndedLease { at: old.effective_until, lease: old, state: LeaseState::Renewed });
        self.state = State::Leased(lease.clone());
        lease.lease_id.0
    }

    fn check_term(&self, lease: &Lease) {
        let grace = if lease.vanity && lease.auto_renew { self.policy.vanity_grace } else { ZERO };
        assert_eq!(lease.effective_until, lease.term.end(lease.effective_from));
        assert_eq!(lease.ends_at, lease.effective_until + grace);
    }

    fn pass(&mut self, lease: Lease, ended_by: EndedBy, at: Timestamp) {
        let cool_down = match (lease.vanity, self.class) {
            (true, _) => self.policy.quarantine_vanity,
            (false, IdentifierClass::Msisdn) => self.policy.quarantine_msisdn,
            (false, IdentifierClass::ShortCode) => self.policy.quarantine_short_code,
            (false, IdentifierClass::Alpha) => self.policy.quarantine_alpha,
        };
        let state = match ended_by {
            EndedBy::Recall => LeaseState::Recalled,
            EndedBy::Expiry => LeaseState::Expired,
        };
        self.ended.push(EndedLease { lease: lease.clone(), state, at });
        self.passing = Some(Passing { lease, ended_by, available_at: at + cool_down });
    }

    fn rests(&mut self, available_at: Timestamp, lease_id: LeaseId) {
        let Passing { lease, ended_by, available_at: due } = self.passing.take().unwrap();
        assert_eq!((available_at, lease_id), (due, lease.lease_id));
        assert!(available_at > self.ended.last().unwrap().at, "a rest of no time is none");
        self.bars.push(Bar { tenant: lease.tenant, until: available_at });
        self.state = State::Quarantine(Quarantine { available_at, ended_by, lease_id });
    }

    fn released(&mut self, decided_at: Timestamp) {
        match (self.passing.take(), &self.state) {
            (Some(passing), _) => assert_eq!(passing.available_at, self.ended.last().unwrap().at),
            (None, State::Quarantine(rest)) => assert!(decided_at >= rest.available_at, "free before its time"),
            (None, state) => panic!("released from {state:?}"),
        }
        self.state = State::Available;
    }

    /// Until when the tenant is barred, if it is.
    pub(crate) fn barred_until(&self, tenant: &TenantId, at: Timestamp) -> Option<Timestamp> {
        self.bars.iter().filter(|bar| bar.tenant == *tenant && at < bar.until).map(|bar| bar.until).max()
    }

    fn open_to(&self, tenant: &TenantId, at: Timestamp) {
        assert_eq!(self.barred_until(tenant, at), None, "a barred tenant took the number");
        assert!(self.valid_from.is_none_or(|from| at >= from), "taken before it was offered");
    }

    fn become_with(&mut self, lease: Lease) {
        let suspended = self.state.name() == StateName::Suspended;
        self.state = if suspended { State::Suspended(lease) } else { State::Leased(lease) };
    }

    fn claim(&self) -> (ReservationKind, Reservation) {
        match &self.state {
            State::Reserved(claim) => (ReservationKind::Reserve, claim.clone()),
            State::Held(claim) => (ReservationKind::Hold, claim.clone()),
            State::Available | State::Leased(_) | State::Suspended(_) | State::Quarantine(_) => {
                panic!("no claim in {:?}", self.state)
            }
        }
    }

    fn in_force(&self, lease_id: LeaseId, tenant: &TenantId) -> Lease {
        assert!(self.passing.is_none());
        let lease = self.state.lease().unwrap().clone();
        assert_eq!((lease.lease_id, &lease.tenant), (lease_id, tenant));
        lease
    }
}

const ZERO: jiff::SignedDuration = jiff::SignedDuration::ZERO;
