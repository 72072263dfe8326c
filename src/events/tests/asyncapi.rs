//! `docs/events/asyncapi.yaml` against what is really sent: one of each event, made as the service makes it.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use numbering_domain::event::RenewalFailure;
use numbering_domain::transition::decide;
use numbering_domain::{
    Acting, BlockId, ChargeId, Command, Identifier, IdentifierClass, LeaseId, Number, NumberingPlan, OperatorId,
    PerCounter, Policy, Price, RecallReason, ReservationId, State, TenantId, TenantStanding, TenantStatus, Term,
    TicketId,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::schema::Document;
use super::*;
use crate::cache::Trust;
use crate::events::catalogue::PUBLISHED_TYPES;
use crate::events::cloudevents::CloudEvent;
use crate::events::consume::{self, CONSUMED_TYPES, PLAN_CHANGED, TENANT_REINSTATED, TENANT_SUSPENDED};
use crate::events::payload;
use crate::events::relay::ROLE;
use crate::jobs::override_report;
use crate::operations::alerts::{AlertKind, Alerts};
use crate::operations::blocks::{Blocks, ImportError, ImportSettings, InventoryItem, Purpose, Upload};
use crate::operations::capacity;
use crate::store::alerts::NewAlert;
use crate::store::capacity::{DecidedOn, Pool, PoolCounts};
use crate::store::commit::Origin;
use crate::store::outbox::OutboxEntry;
use crate::store::reports::{Overridden, OverridesOfDay, Report};
use crate::telemetry::Metrics;

/// A number in a tenant's hands, and what each step of it published.
struct Life {
    number: Number,
    tenant: TenantStanding,
    policy: Policy,
    now: jiff::Timestamp,
    events: Vec<OutboxEntry>,
}

impl Life {
    fn new(class: IdentifierClass, key: &str, shown: &str) -> Self {
        let number = Number {
            identifier: Identifier::from_canonical(class, key),
            shown: shown.into(),
            operator: (class == IdentifierClass::Msisdn).then(|| OperatorId::parse("awcc").unwrap()),
            block: Some(BlockId(Uuid::now_v7())),
            vanity_eligible: true,
            price_tier: "standard".to_owned(),
            valid_from: None,
            version: 0,
            state: State::Available,
            bars: Vec::new(),
        };
        let plenty = PerCounter { msisdn: 9, short_code: 9, alpha: 9, reservations: 9, holds: 9 };
        let tenant = TenantStanding {
            tenant: TenantId::parse("tenant-a").unwrap(),
            plan: "starter".to_owned(),
            status: TenantStatus::Active,
            revision: 1,
            operator_allowlist: None,
            limits: plenty,
            used: PerCounter::default(),
        };
        let now = "2026-04-20T08:00:00.123456Z".parse().unwrap();
        Self { number, tenant, policy: Policy::default(), now, events: Vec::new() }
    }

    fn by_tenant(&mut self, command: &Command) {
        let transition = decide(&self.number, Acting::Tenant(&self.tenant), command, &self.policy, self.now).unwrap();
        self.publish(&transition);
    }

    fn by_authority(&mut self, command: &Command) {
        let transition = decide(&self.number, Acting::Authority, command, &self.policy, self.now).unwrap();
        self.publish(&transition);
    }

    fn publish(&mut self, transition: &numbering_domain::Transition) {
        self.number = transition.after.clone();
        for step in &transition.steps {
            let data = payload::data(step, &transition.after);
            assert_eq!(data["version"], step.version);
            self.events.push(entry(step.event.type_name(), &self.number.shown, self.now, &data));
        }
    }

    /// Lets time pass to the number's next deadline.
    fn pass_deadline(&mut self) {
        self.now = self.number.state.deadline().unwrap();
    }

    fn lease_id(&self) -> LeaseId {
        self.number.state.lease().unwrap().lease_id
    }

    fn reservation_id(&self) -> ReservationId {
        match &self.number.state {
            State::Reserved(claim) | State::Held(claim) => claim.reservation_id,
            state => panic!("{state:?}"),
        }
    }

    fn reserve(&mut self) {
        self.by_tenant(&Command::Reserve { reservation_id: ReservationId(Uuid::now_v7()) });
    }

    fn lease(&mut self, auto_renew: bool) {
        self.lease_for("6m", auto_renew, false);
    }

    fn lease_as_vanity(&mut self) {
        self.lease_for("1y", true, true);
    }

    fn lease_for(&mut self, term: &str, auto_renew: bool, vanity: bool) {
        self.by_tenant(&Command::Lease {
            lease_id: LeaseId(Uuid::now_v7()),
            term: Term::parse(term, false).unwrap(),
            auto_renew,
            vanity,
            may_bypass: false,
            price: price(),
        });
    }
}

fn price() -> Price {
    Price { amount: "2.5000".parse().unwrap(), currency: "USD".to_owned(), per: "month".to_owned() }
}

fn entry(event_type: &str, about: &str, at: jiff::Timestamp, data: &Value) -> OutboxEntry {
    OutboxEntry {
        subject: about.to_owned(),
        seq: 1,
        event_id: Uuid::now_v7(),
        event_type: event_type.to_owned(),
        about: about.to_owned(),
        at,
        data: serde_json::value::to_raw_value(data).unwrap(),
    }
}

/// Everything that can happen to a number, as the state table decides it.
fn lives() -> Vec<OutboxEntry> {
    let mut life = Life::new(IdentifierClass::Msisdn, "+93701234567", "+93701234567");
    life.reserve();
    life.by_tenant(&Command::Release);
    life.reserve();
    let reservation_id = life.reservation_id();
    life.pass_deadline();
    life.by_authority(&Command::ExpireReservation { reservation_id });
    life.reserve();
    life.by_tenant(&Command::Hold);
    life.lease(true);
    life.by_authority(&Command::Suspend);
    life.by_authority(&Command::Reinstate);
    let (lease_id, renewed_lease_id) = (life.lease_id(), LeaseId(Uuid::now_v7()));
    let effective_until = life.number.state.lease().unwrap().effective_until;
    life.now = effective_until.checked_sub(jiff::SignedDuration::from_hours(48)).unwrap();
    life.by_authority(&Command::FailRenewal { lease_id, reason: RenewalFailure::BillingRejected });
    life.now = effective_until.checked_sub(jiff::SignedDuration::from_hours(1)).unwrap();
    life.by_authority(&Command::FailRenewal { lease_id, reason: RenewalFailure::TenantSuspended });
    life.by_tenant(&Command::UpdateLease { lease_id, auto_renew: Some(false), locked: None });
    life.by_tenant(&Command::UpdateLease { lease_id, auto_renew: Some(true), locked: None });
    let charge_id = ChargeId::parse("ch_1P2x").unwrap();
    life.tenant.limits.msisdn = 0;
    life.tenant.used.msisdn = 1;
    life.by_tenant(&Command::Renew { lease_id, renewed_lease_id, price: price(), charge_id });
    life.by_tenant(&Command::UpdateLease { lease_id: renewed_lease_id, auto_renew: Some(false), locked: None });
    life.by_authority(&Command::Recall {
        reason: RecallReason::Abuse(TicketId::parse("ABUSE-7").unwrap()),
        stated_actor: Some("abuse-desk".to_owned()),
    });
    life.by_authority(&Command::OverrideQuarantine { justification: "The regulator withdrew its order.".to_owned() });
    let mut events = life.events;

    let mut life = Life::new(IdentifierClass::Alpha, "MY BANK", "My Bank");
    life.reserve();
    life.by_authority(&Command::Revoke { ticket: Some(TicketId::parse("AML-7").unwrap()) });
    life.reserve();
    life.lease(false);
    life.by_tenant(&Command::Recall { reason: RecallReason::TenantInitiated(None), stated_actor: None });
    events.append(&mut life.events);

    let mut life = Life::new(IdentifierClass::ShortCode, "4455", "4455");
    life.reserve();
    life.lease(false);
    let lease_id = life.lease_id();
    life.pass_deadline();
    life.by_authority(&Command::ExpireLease { lease_id });
    life.pass_deadline();
    life.by_authority(&Command::EndQuarantine);
    life.reserve();
    life.lease_as_vanity();
    life.now = life.number.state.lease().unwrap().effective_until;
    let lease_id = life.lease_id();
    life.by_authority(&Command::RemindOfGrace { lease_id });
    events.append(&mut life.events);
    events
}

/// What is published about all that is no number, read from the outbox: quotas, items taken in by hand, a file that no key
/// signed, alerts.
async fn of_all_but_numbers() -> Vec<OutboxEntry> {
    let servers = Servers::start().await;
    let store = servers.store();
    let origin = Origin { actor: "admin".into(), request_id: "1".into() };

    let tenant = TenantId::parse("tenant-a").unwrap();
    store.meet_tenant(&tenant, "starter").await.unwrap();
    let quotas = PerCounter { msisdn: Some(Some(7)), ..PerCounter::default() };
    assert!(store.put_quotas(&tenant, &quotas, &origin).await.unwrap());

    let blocks = blocks(store.clone());
    let item = InventoryItem { identifier: "4455".to_owned(), ..InventoryItem::default() };
    blocks.add_inventory(vec![item], origin.clone(), None).await.unwrap();
    let operator = OperatorId::parse("awcc").unwrap();
    store.put_operator(&operator, "AWCC", &["+9370".to_owned()], &origin).await.unwrap();
    let mut file = blocks.spool().await.unwrap();
    file.write(b"msisdn\n+93701234567\n").await.unwrap();
    let (signature, file) = (BASE64_STANDARD.encode([0; 64]), file.finish().await.unwrap());
    let upload = Upload { operator: operator.clone(), key: None, signature, file };
    let refused = blocks.import(blocks.slot().unwrap(), upload, Purpose::Import, origin.clone(), None).await;
    assert!(matches!(refused, Err(ImportError::SignatureInvalid { .. })), "{refused:?}");

    let alerts = Alerts::new(store.clone(), Arc::default());
    assert!(alerts.raise(AlertKind::DeadLetter, "compliance", "A message is no JSON.", &origin).await.unwrap());
    assert!(alerts.resolve(AlertKind::DeadLetter, "compliance", &origin).await.unwrap());

    of_a_pool(&store, &origin).await;

    let held = store.acquire_leadership(ROLE, &Replica::new("test"), TERM).await.unwrap().unwrap();
    let day = "2026-04-20".parse().unwrap();
    let data = override_report::told(day, &OverridesOfDay { count: 1, items: vec![overridden()] });
    let at = "2026-04-21T00:10:00Z".parse().unwrap();
    let report = Report { name: "quarantine_overrides", day, event_type: override_report::EVENT, data: &data, at };
    assert!(store.publish_report(&held, &report, &origin).await.unwrap());
    store.next_outbox_wave(&held, TERM, 100, &[]).await.unwrap().unwrap().entries
}

/// A pool that is exhausted, and recovers.
async fn of_a_pool(store: &Store, origin: &Origin) {
    let role = store.acquire_leadership("job:capacity", &Replica::new("test"), TERM).await.unwrap().unwrap();
    let seen = store.pools(jiff::Timestamp::UNIX_EPOCH).await.unwrap().seen;
    let decided = DecidedOn { role: &role, seen: &seen, origin };
    let pool = Pool { class: IdentifierClass::Msisdn, operator: "awcc".to_owned(), prefix: "+9370".to_owned() };
    let counts = PoolCounts { by_state: BTreeMap::from([("AVAILABLE", 4), ("LEASED", 96)]), not_yet_valid: 0 };
    let (kind, subject, data) = (AlertKind::PoolExhausted, pool.subject(), capacity::told(&pool, &counts, 500));
    let alert = NewAlert {
        name: kind.name(),
        severity: kind.severity(),
        subject: &subject,
        summary: "Little is left.",
        runbook: kind.runbook(),
    };
    assert!(store.raise_pool_alert(&decided, &alert, Some((capacity::EXHAUSTED, &data))).await.unwrap());
    let recovered = Some((capacity::RECOVERED, &data));
    assert!(store.resolve_pool_alert(&decided, kind.name(), &subject, recovered).await.unwrap());
}

fn overridden() -> Overridden {
    Overridden {
        identifier: "+93701234567".to_owned(),
        class: IdentifierClass::Msisdn,
        at: "2026-04-20T08:00:00.123456Z".parse().unwrap(),
        actor: "ops".to_owned(),
        request_id: "1".to_owned(),
        justification: "The regulator withdrew its order.".to_owned(),
        available_at: "2026-07-01T08:00:00Z".parse().unwrap(),
        lease_id: Some(Uuid::now_v7()),
        tenant: Some("tenant-a".to_owned()),
    }
}

/// Imports as `config.default.toml` has them.
fn blocks(store: Store) -> Blocks {
    let plan = NumberingPlan { country_code: "93".to_owned(), national_digits: 9, never_leasable: BTreeSet::new() };
    let settings =
        ImportSettings { max_file_bytes: 1_000_000, max_line_bytes: 1_000, timeout: PATIENCE, spool_dir: None };
    let metrics = Arc::new(Metrics::default());
    Blocks::new(
        store,
        Arc::new(Trust::new(1, PATIENCE, &metrics)),
        Arc::new(plan),
        settings,
        metrics,
        Arc::default(),
        tokio_util::task::TaskTracker::new(),
    )
}

#[tokio::test]
async fn every_event_is_as_the_document_says() {
    let document = Document::read();
    let mut sent = BTreeSet::new();
    for entry in lives().into_iter().chain(of_all_but_numbers().await) {
        let event: Value = serde_json::from_slice(&CloudEvent::new(&entry, "/numbering").encode().unwrap()).unwrap();
        let faults = document.faults(&entry.event_type, &event);
        assert!(faults.is_empty(), "{}: {faults:#?}\n{event:#}", entry.event_type);
        sent.insert(entry.event_type);
    }
    let unsent: Vec<&str> = PUBLISHED_TYPES.into_iter().filter(|published| !sent.contains(*published)).collect();
    assert!(unsent.is_empty(), "not tried here: {unsent:?}");
}

#[test]
fn the_document_has_the_events_that_are_published_and_those_that_are_taken_in_and_no_others() {
    let document = Document::read();
    let published: BTreeSet<&str> = PUBLISHED_TYPES.into_iter().collect();
    assert_eq!(published.len(), PUBLISHED_TYPES.len());
    let consumed: BTreeSet<&str> = CONSUMED_TYPES.into_iter().collect();
    assert_eq!(document.addresses(), published.union(&consumed).copied().collect());
    for (action, types) in [("send", &published), ("receive", &consumed)] {
        let operations = document.operations(action);
        assert_eq!(operations.len(), types.len(), "an operation for each");
        assert_eq!(&operations.into_iter().collect::<BTreeSet<_>>(), types);
    }
    assert!(lives().iter().all(|entry| published.contains(entry.event_type.as_str())));
}

/// Whatever the document lets others send is taken, and what it does not is not.
#[test]
fn what_is_taken_in_is_as_the_document_says() {
    let document = Document::read();
    let data = json!({ "tenantId": "tenant-a", "ticketId": "AML-7", "plan": "premium" });
    let members: [(&str, &[&str]); 3] = [
        (TENANT_SUSPENDED, &["tenantId", "ticketId"]),
        (TENANT_REINSTATED, &["tenantId"]),
        (PLAN_CHANGED, &["tenantId", "plan"]),
    ];
    let holds = |event_type: &str, event: &Value| {
        let documented = document.faults(event_type, event);
        let taken = consume::parse(event_type, event.to_string().as_bytes());
        assert_eq!(documented.is_empty(), taken.is_ok(), "{documented:?} {taken:?} {event}");
        taken.is_ok()
    };
    for (event_type, needed) in members {
        let data: Value = needed.iter().map(|name| ((*name).to_owned(), data[*name].clone())).collect();
        let event = json!({
            "specversion": "1.0", "id": "e-1", "source": "/compliance", "type": event_type, "subject": "tenant-a",
            "time": "2026-04-20T08:00:00Z", "datacontenttype": "application/json", "data": data,
        });
        assert!(holds(event_type, &event));
        for name in ["subject", "time", "datacontenttype", "specversion", "id", "source", "type", "data"] {
            let mut without = event.clone();
            without.as_object_mut().unwrap().remove(name);
            assert_eq!(holds(event_type, &without), ["subject", "time", "datacontenttype"].contains(&name), "{name}");
        }
        for name in needed {
            for wrong in [None, Some(json!(7)), Some(Value::Null)] {
                let mut changed = event.clone();
                let members = changed["data"].as_object_mut().unwrap();
                members.remove(*name);
                members.extend(wrong.map(|wrong| ((*name).to_owned(), wrong)));
                assert!(!holds(event_type, &changed), "{name}");
            }
        }
    }
}

#[test]
fn the_check_finds_what_is_missing_wrong_or_undocumented() {
    let document = Document::read();
    let entry = lives().remove(0);
    let event = serde_json::to_value(CloudEvent::new(&entry, "/numbering")).unwrap();
    let faults = |change: fn(&mut Value)| {
        let mut changed = event.clone();
        change(&mut changed);
        document.faults(&entry.event_type, &changed)
    };
    assert!(faults(|_| {}).is_empty());
    assert_eq!(faults(|event| event["data"]["kind"] = json!("RENT")).len(), 1);
    assert_eq!(faults(|event| event["data"]["version"] = json!(0)).len(), 1);
    assert_eq!(faults(|event| event["data"]["new"] = json!(1)).len(), 1);
    assert_eq!(faults(|event| event["time"] = json!("yesterday")).len(), 1);
    assert_eq!(faults(|event| event["type"] = json!("numbering.lease.created")).len(), 1);
    assert_eq!(faults(|event| drop(event["data"].as_object_mut().unwrap().remove("tenantId"))).len(), 1);
}
