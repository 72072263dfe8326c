//! Random commands and the passing of time against PostgreSQL, compared with what `decide` says of a model that never saw a
//! database: every row, every counter, every due list.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use numbering::store::Store;
use numbering::store::commit::Origin;
use numbering::store::due::Due;
use numbering_domain::event::RenewalFailure;
use numbering_domain::{
    Acting, ChargeId, Command, Counter, Identifier, IdentifierClass, LeaseId, Number, PerCounter, Policy, RecallReason,
    ReservationId, State, TenantId, Term, TicketId, Transition, decide,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::json;
use uuid::Uuid;

use crate::support::TestApp;

const TENANTS: [&str; 2] = ["tenant-a", "tenant-b"];
const NUMBERS: [(IdentifierClass, &str); 4] = [
    (IdentifierClass::ShortCode, "4455"),
    (IdentifierClass::ShortCode, "4456"),
    (IdentifierClass::Alpha, "MYBANK"),
    (IdentifierClass::Alpha, "OTHER"),
];
const STEPS: usize = 1_000;
/// On a busy machine a short moment, such as a grace, is missed more often: the history goes on until each thing has come up.
const STEPS_AT_MOST: usize = 3_000;

/// So short that every deadline passes within a history.
fn policy() -> Policy {
    let ms = SignedDuration::from_millis;
    Policy {
        reservation_ttl: ms(60),
        reservation_ceiling: ms(150),
        hold_ttl: ms(100),
        renewal_window: ms(900),
        renewal_retry: ms(60),
        reminder_interval: ms(60),
        vanity_grace: ms(400),
        quarantine_msisdn: ms(60),
        quarantine_short_code: ms(200),
        quarantine_alpha: ms(0),
        quarantine_vanity: ms(300),
    }
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Reserve,
    Extend,
    Hold,
    Release,
    Lease { auto_renew: bool, vanity: bool },
    Recall,
    Suspend,
    Reinstate,
    UpdateLease { auto_renew: Option<bool>, locked: Option<bool> },
    Renew,
    FailRenewal,
    Remind,
    Revoke,
    Override,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask { number: usize, tenant: usize, by_holder: bool, asked: Asked },
    Wait(u64),
    Sweep(Due),
}

fn step() -> impl Strategy<Value = Step> {
    let asked = prop_oneof![
        5 => Just(Asked::Reserve),
        2 => Just(Asked::Extend),
        3 => Just(Asked::Hold),
        1 => Just(Asked::Release),
        6 => any::<(bool, bool)>().prop_map(|(auto_renew, vanity)| Asked::Lease { auto_renew, vanity }),
        2 => Just(Asked::Recall),
        1 => Just(Asked::Suspend),
        1 => Just(Asked::Reinstate),
        1 => any::<(Option<bool>, Option<bool>)>()
            .prop_map(|(auto_renew, locked)| Asked::UpdateLease { auto_renew, locked }),
        3 => Just(Asked::Renew),
        4 => Just(Asked::FailRenewal),
        5 => Just(Asked::Remind),
        1 => Just(Asked::Revoke),
        5 => Just(Asked::Override),
    ];
    prop_oneof![
        12 => (0..NUMBERS.len(), 0..TENANTS.len(), prop::bool::weighted(0.8), asked)
            .prop_map(|(number, tenant, by_holder, asked)| Step::Ask { number, tenant, by_holder, asked }),
        2 => (1..40_u64).prop_map(Step::Wait),
        // To the end of a term, now and then.
        1 => prop::bool::weighted(0.3).prop_map(|long| Step::Wait(if long { 1_050 } else { 10 })),
        3 => prop::sample::select(vec![Due::Reservations, Due::Leases, Due::Rests]).prop_map(Step::Sweep),
    ]
}

/// What PostgreSQL is held against.
struct Model {
    store: Store,
    policy: Policy,
    numbers: Vec<Number>,
    /// Types of events that came up.
    met: BTreeSet<&'static str>,
}

impl Model {
    async fn new(app: &TestApp) -> Self {
        app.stock(json!([
            { "identifier": "4455", "vanityEligible": true }, { "identifier": "4456" },
            { "identifier": "MyBank", "vanityEligible": true }, { "identifier": "Other" },
        ]))
        .await;
        for tenant in TENANTS {
            app.admin()
                .put(&format!("/v1/admin/numbering/tenants/{tenant}"), &json!({ "plan": "starter" }))
                .await
                .expect(200);
            let quotas = json!({ "SHORT_CODE": 1, "ALPHA": 1, "RESERVATIONS": 2, "HOLDS": 1 });
            app.admin().put(&format!("/v1/admin/numbering/tenants/{tenant}/quotas"), &quotas).await.expect(200);
        }
        let store = app.store();
        let mut numbers = Vec::new();
        for (class, key) in NUMBERS {
            let loaded = store.load(&Identifier::from_canonical(class, key), None, false).await.unwrap();
            numbers.push(loaded.number.unwrap());
        }
        Self { store, policy: policy(), numbers, met: BTreeSet::new() }
    }

    fn holder(&self, number: usize) -> Option<TenantId> {
        self.numbers[number].state.holder().cloned()
    }

    /// How many of what the model says that the tenant has.
    fn used(&self, tenant: &TenantId) -> PerCounter<i32> {
        let mut used = PerCounter::default();
        for number in self.numbers.iter().filter(|number| number.state.holder() == Some(tenant)) {
            let counter = match &number.state {
                State::Reserved(_) => Counter::Reservations,
                State::Held(_) => Counter::Holds,
                State::Leased(_) | State::Suspended(_) => Counter::from(number.identifier.class()),
                State::Available | State::Quarantine(_) => continue,
            };
            *used.get_mut(counter) += 1;
        }
        used
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Step::Sweep(due) => self.sweep(due).await,
            Step::Ask { number, tenant, by_holder, asked } => {
                let named = TenantId::parse(TENANTS[tenant]).unwrap();
                let tenant = self.holder(number).filter(|_| by_holder).unwrap_or(named);
                self.ask(number, &tenant, asked).await;
            }
        }
    }

    async fn ask(&mut self, place: usize, tenant: &TenantId, asked: Asked) {
        let identifier = self.numbers[place].identifier.clone();
        let vanity = matches!(asked, Asked::Lease { vanity: true, .. });
        let loaded = self.store.load(&identifier, Some(tenant), vanity).await.unwrap();
        assert_eq!(loaded.number.as_ref(), Some(&self.numbers[place]), "the row is the model's number");
        let mut standing = loaded.standing.unwrap();
        assert_eq!(standing.used, self.used(tenant), "the counters are the model's");
        standing.used = self.used(tenant);
        let command = command(&self.numbers[place], asked, loaded.price.unwrap());
        let acting = if by_authority(asked) { Acting::Authority } else { Acting::Tenant(&standing) };
        if let Ok(transition) = decide(&self.numbers[place], acting, &command, &self.policy, loaded.now) {
            self.commit(&[(place, transition)]).await;
        }
    }

    /// What is due is what the model says is due, and ends as the model says.
    async fn sweep(&mut self, due: Due) {
        let mut found: Vec<(Timestamp, Number)> = Vec::new();
        loop {
            let last = found.last().map(|(_, last)| last);
            let page = self.store.load_due(due, 2, last).await.unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        let Some(now) = found.first().map(|(now, _)| *now) else { return };
        let of_this_kind = |state: &State| match due {
            Due::Reservations => matches!(state, State::Reserved(_) | State::Held(_)),
            Due::Leases => matches!(state, State::Leased(_) | State::Suspended(_)),
            Due::Rests => matches!(state, State::Quarantine(_)),
        };
        let overdue = |number: &Number, at: Timestamp| number.state.deadline().is_some_and(|deadline| deadline <= at);
        // Each page has its own moment, and time goes on between them.
        found.retain(|(_, number)| overdue(number, now));
        let mut decided = Vec::new();
        for (at, number) in &found {
            let place = self.numbers.iter().position(|other| other.identifier == number.identifier).unwrap();
            assert_eq!(number, &self.numbers[place], "the row is the model's number");
            assert!(of_this_kind(&number.state) && overdue(number, *at), "{number:?} is not due");
            let command = match &number.state {
                State::Reserved(claim) | State::Held(claim) => {
                    Command::ExpireReservation { reservation_id: claim.reservation_id }
                }
                State::Leased(lease) | State::Suspended(lease) => Command::ExpireLease { lease_id: lease.lease_id },
                State::Quarantine(_) => Command::EndQuarantine,
                State::Available => unreachable!("has no deadline"),
            };
            decided.push((place, decide(number, Acting::Authority, &command, &self.policy, *at).unwrap()));
        }
        let due_by_the_model = self.numbers.iter().filter(|number| of_this_kind(&number.state) && overdue(number, now));
        assert_eq!(due_by_the_model.count(), found.len(), "something is due and was not found");
        self.commit(&decided).await;
    }

    async fn commit(&mut self, decided: &[(usize, Transition)]) {
        let origin = Origin { actor: "model".into(), request_id: "model".into() };
        let transitions: Vec<Transition> = decided.iter().map(|(_, transition)| transition.clone()).collect();
        let moved = self.store.commit(&transitions, &origin).await.unwrap();
        for ((place, transition), moved) in decided.iter().zip(moved) {
            if moved {
                self.met.extend(transition.steps.iter().map(|step| step.event.type_name()));
                self.numbers[*place] = transition.after.clone();
            } else {
                // Nobody else is here: only time can have come between.
                assert!(transition.commit_before.is_some(), "{transition:?} did not move");
            }
        }
    }
}

const fn by_authority(asked: Asked) -> bool {
    match asked {
        Asked::Reserve
        | Asked::Extend
        | Asked::Hold
        | Asked::Release
        | Asked::Lease { .. }
        | Asked::UpdateLease { .. }
        | Asked::Renew => false,
        Asked::Recall
        | Asked::Suspend
        | Asked::Reinstate
        | Asked::FailRenewal
        | Asked::Remind
        | Asked::Revoke
        | Asked::Override => true,
    }
}

fn command(number: &Number, asked: Asked, price: numbering_domain::Price) -> Command {
    let lease_id = number.state.lease().map_or(LeaseId(Uuid::nil()), |lease| lease.lease_id);
    let ticket = TicketId::parse("T-1").unwrap();
    match asked {
        Asked::Reserve => Command::Reserve { reservation_id: ReservationId(Uuid::now_v7()) },
        Asked::Extend => Command::Extend,
        Asked::Hold => Command::Hold,
        Asked::Release => Command::Release,
        Asked::Lease { auto_renew, vanity } => Command::Lease {
            lease_id: LeaseId(Uuid::now_v7()),
            term: Term::parse("1s", true).unwrap(),
            auto_renew,
            vanity,
            may_bypass: true,
            price,
        },
        Asked::Recall => Command::Recall { reason: RecallReason::Abuse(ticket), stated_actor: None },
        Asked::Suspend => Command::Suspend,
        Asked::Reinstate => Command::Reinstate,
        Asked::UpdateLease { auto_renew, locked } => Command::UpdateLease { lease_id, auto_renew, locked },
        Asked::Renew => Command::Renew {
            lease_id,
            renewed_lease_id: LeaseId(Uuid::now_v7()),
            price,
            charge_id: ChargeId::parse(&Uuid::now_v7().to_string()).unwrap(),
        },
        Asked::FailRenewal => Command::FailRenewal { lease_id, reason: RenewalFailure::BillingRejected },
        Asked::Remind => Command::RemindOfGrace { lease_id },
        Asked::Revoke => Command::Revoke { ticket: Some(ticket) },
        Asked::Override => Command::OverrideQuarantine { justification: "a wrong recall".into() },
    }
}

/// What comes up in every history that is long enough.
const EVENTS: [&str; 11] = [
    "numbering.reservation.held",
    "numbering.reservation.released",
    "numbering.lease.created",
    "numbering.lease.renewed",
    "numbering.lease.renewal_failed",
    "numbering.lease.grace_reminder",
    "numbering.lease.recalled",
    "numbering.lease.expired",
    "numbering.identifier.quarantined",
    "numbering.identifier.released",
    "numbering.quarantine.overridden",
];

#[tokio::test]
async fn a_random_history_leaves_in_postgresql_what_decide_says() {
    let history =
        prop::collection::vec(step(), STEPS_AT_MOST).new_tree(&mut TestRunner::deterministic()).unwrap().current();
    let mut app = TestApp::start().await;
    let mut model = Model::new(&app).await;
    app.stop_serving().await;
    for (taken, step) in history.into_iter().enumerate() {
        if taken >= STEPS && EVENTS.iter().all(|name| model.met.contains(name)) {
            break;
        }
        model.take(step).await;
    }
    for name in EVENTS {
        assert!(model.met.contains(name), "{name} never came up");
    }
}
