//! A small stand-in for the store: several numbers and tenants, transitions applied as the store applies them, and after
//! each the invariants looked at.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use numbering_domain::event::Event;
use numbering_domain::lease::{Refusal, Snapshot, Verdict, validate};
use numbering_domain::number::{EndedBy, Number, State};
use numbering_domain::transition::Transition;
use numbering_domain::{
    Acting, Command, Counter, Identifier, IdentifierClass, Policy, Rejection, TenantId, TenantStanding, TenantStatus,
    decide,
};
use uuid::Uuid;

use crate::given::{each, now, number, operator, standing};
use crate::replay::Replay;
use crate::sweep;

/// The smallest time there is.
pub(crate) const TICK: SignedDuration = SignedDuration::from_nanos(1);

/// What is counted: how many of what each tenant has.
pub(crate) type Usage = BTreeMap<(TenantId, Counter), i32>;

/// Short durations, none like another, so that random histories pass every deadline.
pub(crate) fn policy() -> Policy {
    let seconds = SignedDuration::from_secs;
    Policy {
        reservation_ttl: seconds(15),
        reservation_ceiling: seconds(37),
        hold_ttl: seconds(40),
        renewal_window: seconds(20),
        renewal_retry: seconds(6),
        reminder_interval: seconds(11),
        vanity_grace: seconds(30),
        quarantine_msisdn: seconds(60),
        quarantine_short_code: seconds(35),
        quarantine_alpha: seconds(0),
        quarantine_vanity: seconds(120),
    }
}

/// Who asks. The holder is whoever has the number just then, so that histories get past AVAILABLE.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor {
    Holder,
    Tenant(usize),
    Authority,
}

/// When a decision is committed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Commit {
    AtOnce,
    Later(i64),
    JustBeforeTheDeadline,
    AtTheDeadline,
}

/// All there is.
pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
    pub(crate) numbers: Vec<Number>,
    pub(crate) tenants: Vec<TenantStanding>,
    /// Types of events and codes of refusals that were met.
    pub(crate) met: BTreeSet<&'static str>,
    journals: Vec<Replay>,
    claims: BTreeSet<Uuid>,
}

impl World {
    pub(crate) fn new() -> Self {
        let available = |class, key: &str| Number {
            identifier: Identifier::from_canonical(class, key),
            ..number(class, State::Available)
        };
        let numbers = vec![
            available(IdentifierClass::Msisdn, "+93701000001"),
            Number { operator: Some(operator("roshan")), ..available(IdentifierClass::Msisdn, "+93791000002") },
            Number { vanity_eligible: true, ..available(IdentifierClass::ShortCode, "4455") },
            Number {
                valid_from: Some(now() + SignedDuration::from_secs(50)),
                ..available(IdentifierClass::ShortCode, "4456")
            },
            available(IdentifierClass::Alpha, "MYBANK"),
        ];
        let tenant = |id| TenantStanding { limits: each(2), used: each(0), ..standing(id) };
        let only_awcc = Some([operator("awcc")].into());
        let tenants = vec![
            tenant("tenant-a"),
            tenant("tenant-b"),
            TenantStanding { operator_allowlist: only_awcc, limits: each(1), ..tenant("tenant-c") },
        ];
        let journals = numbers.iter().map(|number| Replay::of(number, &policy())).collect();
        Self { policy: policy(), now: now(), numbers, tenants, met: BTreeSet::new(), journals, claims: BTreeSet::new() }
    }

    /// The place of the tenant that `actor` means; `None` for the authority.
    fn tenant_of(&self, number: usize, actor: Actor) -> Option<usize> {
        match actor {
            Actor::Authority => None,
            Actor::Tenant(place) => Some(place),
            Actor::Holder => {
                let holder = self.numbers[number].state.holder();
                Some(holder.map_or(0, |holder| self.tenants.iter().position(|t| t.tenant == *holder).unwrap()))
            }
        }
    }

    /// Asks, and commits what is decided, as the service does: what comes too late is decided again.
    pub(crate) fn ask(&mut self, number: usize, actor: Actor, command: &Command, commit: Commit) {
        let tenant = self.tenant_of(number, actor);
        if let Some(transition) = self.decide(number, tenant, command) {
            let decided_at = self.now;
            self.pass_time_until(&transition, commit);
            if transition.commit_before.is_none_or(|before| self.now < before) {
                self.commit(number, &transition, decided_at);
            } else if let Some(again) = self.decide(number, tenant, command) {
                self.commit(number, &again, self.now);
            }
        }
        check_validation(&self.numbers[number], &self.tenants, self.now, &self.policy);
    }

    fn pass_time_until(&mut self, transition: &Transition, commit: Commit) {
        match (commit, transition.commit_before) {
            (Commit::Later(seconds), _) => self.now += SignedDuration::from_secs(seconds),
            (Commit::JustBeforeTheDeadline, Some(deadline)) => self.now = deadline - TICK,
            (Commit::AtTheDeadline, Some(deadline)) => self.now = deadline,
            (Commit::AtOnce, _) | (Commit::JustBeforeTheDeadline | Commit::AtTheDeadline, None) => {}
        }
    }

    fn decide(&mut self, number: usize, tenant: Option<usize>, command: &Command) -> Option<Transition> {
        let standing = tenant.map(|place| &self.tenants[place]);
        let number = &self.numbers[number];
        check_at(number, &self.policy, self.now);
        sweep::check_commutes(number, standing, command, &self.policy, self.now);
        let acting = standing.map_or(Acting::Authority, Acting::Tenant);
        match decide(number, acting, command, &self.policy, self.now) {
            Ok(transition) => {
                self.check_decision(number, standing, &transition);
                Some(transition)
            }
            Err(refused) => {
                self.check_refusal(number, standing, command, &refused);
                self.met.insert(refused.code());
                None
            }
        }
    }

    /// What must be true of a transition by itself.
    fn check_decision(&self, number: &Number, standing: Option<&TenantStanding>, transition: &Transition) {
        assert_eq!(transition.before, *number);
        assert!(!transition.steps.is_empty(), "a transition that changes nothing");
        assert!(transition.usage.values().all(|change| *change != 0));
        let grants = |event: &Event| {
            matches!(event, Event::ReservationHeld { .. } | Event::LeaseCreated(_) | Event::LeaseRenewed { .. })
        };
        if transition.steps.iter().any(|step| grants(&step.event)) {
            let tenant = standing.unwrap();
            assert_eq!(transition.standing, Some((tenant.tenant.clone(), tenant.revision)));
            assert_eq!(tenant.status, TenantStatus::Active);
            let renewal = transition.steps.iter().any(|step| matches!(step.event, Event::LeaseRenewed { .. }));
            assert!(renewal || tenant.may_use_operator(number.operator.as_ref()));
        } else {
            assert_eq!(transition.standing, None);
        }
        let left = transition.after.at(self.now, &self.policy);
        assert_eq!(left.state, transition.after.state, "a transition into a state that is over already");
        let settled = |at| number.at(at, &self.policy).state;
        match transition.commit_before {
            None => assert_eq!(settled(self.now).deadline(), None),
            Some(deadline) => {
                assert!(deadline > self.now);
                assert_eq!(settled(deadline - TICK), settled(self.now));
                assert_ne!(settled(deadline), settled(self.now));
            }
        }
    }

    /// What must be true of a refusal: its facts.
    fn check_refusal(
        &self,
        number: &Number,
        standing: Option<&TenantStanding>,
        command: &Command,
        refused: &Rejection,
    ) {
        let settled = number.at(self.now, &self.policy);
        if let Some(state) = refused.state() {
            assert_eq!(state, settled.state.name());
        }
        if let Rejection::QuarantineActive { available_at, .. } = refused {
            assert!(*available_at > self.now);
            let acting = standing.map_or(Acting::Authority, Acting::Tenant);
            let then = decide(number, acting, command, &self.policy, *available_at);
            let still = matches!(then, Err(Rejection::QuarantineActive { .. }));
            assert!(!still, "refused again at the very moment it was told");
        }
        let (counter, quota, current) = match refused {
            Rejection::QuotaExceeded { class, quota, current } => (Counter::from(*class), quota, current),
            Rejection::ReservationQuota { quota, current } => (Counter::Reservations, quota, current),
            Rejection::HoldQuota { quota, current } => (Counter::Holds, quota, current),
            _ => return assert!(!refused.is_quota()),
        };
        let tenant = standing.unwrap();
        let others = self.numbers.iter().filter(|other| other.identifier != number.identifier);
        let usage = count(others.chain([&settled]));
        assert_eq!(quota, tenant.limits.get(counter));
        assert_eq!(current, usage.get(&(tenant.tenant.clone(), counter)).unwrap_or(&0));
        assert!(current >= quota);
    }

    fn commit(&mut self, place: usize, transition: &Transition, decided_at: Timestamp) {
        assert_eq!(transition.before.version, self.numbers[place].version);
        let journal = &mut self.journals[place];
        let ended_before = journal.ended.len();
        for step in &transition.steps {
            if let Some(claim) = journal.apply(step, decided_at) {
                assert!(self.claims.insert(claim), "a claim's id was used before");
            }
            self.met.insert(step.event.type_name());
        }
        assert_eq!(transition.after.version, transition.steps.last().unwrap().version);
        assert_eq!(transition.after.state, *journal.settled(), "the journal and the row tell the same");
        assert_eq!(transition.ended, journal.ended[ended_before..]);
        for tenant in &self.tenants {
            let known = transition.after.barred_until(&tenant.tenant, decided_at);
            assert_eq!(known, journal.barred_until(&tenant.tenant, decided_at));
        }

        for ((id, counter), change) in &transition.usage {
            let tenant = self.tenants.iter_mut().find(|tenant| tenant.tenant == *id).unwrap();
            let used = tenant.used.get_mut(*counter);
            *used += change;
            assert!(*change < 0 || *used <= *tenant.limits.get(*counter), "granted over the quota");
        }
        self.numbers[place] = transition.after.clone();
        let counted = count(&self.numbers);
        for tenant in &self.tenants {
            for counter in Counter::ALL {
                let there = counted.get(&(tenant.tenant.clone(), counter)).unwrap_or(&0);
                assert_eq!(tenant.used.get(counter), there, "{} of {}", counter.as_str(), tenant.tenant);
            }
        }
    }
}

fn count<'a>(numbers: impl IntoIterator<Item = &'a Number>) -> Usage {
    let mut usage = Usage::new();
    for number in numbers {
        let counter = match &number.state {
            State::Available | State::Quarantine(_) => continue,
            State::Reserved(_) => Counter::Reservations,
            State::Held(_) => Counter::Holds,
            State::Leased(_) | State::Suspended(_) => Counter::from(number.identifier.class()),
        };
        *usage.entry((number.state.holder().unwrap().clone(), counter)).or_default() += 1;
    }
    usage
}

/// The number at a moment is that number at the same moment too, whatever was looked at before.
fn check_at(number: &Number, policy: &Policy, now: Timestamp) {
    let settled = number.at(now, policy);
    assert_eq!(settled.at(now, policy), settled);
    for later in [SignedDuration::from_secs(10), SignedDuration::from_secs(100)] {
        assert_eq!(settled.at(now + later, policy), number.at(now + later, policy));
    }
}

/// Validation by the row as it was last written, at this moment and about each coming end.
fn check_validation(number: &Number, tenants: &[TenantStanding], now: Timestamp, policy: &Policy) {
    let ends = number.state.lease().map(|lease| [lease.effective_until, lease.ends_at]);
    let ends = ends.into_iter().flatten().chain(number.state.deadline());
    for at in ends.flat_map(|end| [end - TICK, end]).chain([now]).filter(|at| *at >= now) {
        for tenant in tenants {
            check_verdict(number, tenant, at, policy);
        }
    }
}

fn check_verdict(number: &Number, tenant: &TenantStanding, at: Timestamp, policy: &Policy) {
    let suspended = tenant.status == TenantStatus::Suspended;
    let verdict = validate(&Snapshot::from(number), tenant.tenant.as_str(), suspended, at);
    let refusal = match number.at(at, policy).state {
        State::Leased(lease) if lease.tenant == tenant.tenant && !suspended => {
            let Verdict::Valid { lease_id, until } = verdict else { panic!("{verdict:?} of its own lease") };
            assert!(lease_id == lease.lease_id && at < until && until <= lease.ends_at);
            return;
        }
        State::Leased(lease) | State::Suspended(lease) if lease.tenant != tenant.tenant => Refusal::WrongTenant,
        State::Leased(_) => Refusal::TenantSuspended,
        State::Suspended(_) => {
            if suspended {
                Refusal::TenantSuspended
            } else {
                Refusal::LeaseSuspended
            }
        }
        State::Quarantine(rest) => match rest.ended_by {
            EndedBy::Recall => Refusal::LeaseRecalled,
            EndedBy::Expiry => Refusal::LeaseExpired,
        },
        // A row that still says LEASED tells why it is no more.
        State::Available if number.state.lease().is_some() => Refusal::LeaseExpired,
        State::Available | State::Reserved(_) | State::Held(_) => Refusal::NotLeased,
    };
    assert_eq!(verdict, Verdict::Refused(refusal));
}
