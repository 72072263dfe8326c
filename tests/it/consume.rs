//! What other services tell: a tenant's suspension with the recalls that follow, its reinstatement, a change of plan; and what
//! becomes of messages that cannot be taken.

use std::time::{Duration, Instant};

use numbering_proto::v1::validate_lease_response::Reason;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::faults::books;
use crate::support::incoming::{CASCADES, event};
use crate::support::{PATIENCE, TestApp, until};

const SUSPENDED: &str = "compliance.tenant.suspended";
const REINSTATED: &str = "compliance.tenant.reinstated";
const PLAN_CHANGED: &str = "billing.plan.changed";

/// US-NUM-004: from the suspension to the last answer that says yes.
const DENIED_WITHIN: Duration = Duration::from_secs(1);

async fn on_plan(app: &TestApp, tenant: &str, plan: &str) {
    app.admin().put(&format!("/v1/admin/numbering/tenants/{tenant}"), &json!({ "plan": plan })).await.expect(200);
}

async fn lease(app: &TestApp, tenant: &str, number: &str) {
    app.tenant(tenant).act(number, "reserve").await.expect(200);
    app.tenant(tenant).lease(number, "1m").await.expect(201);
}

async fn status(app: &TestApp, tenant: &str) -> Value {
    let answer = app.admin().get(&format!("/v1/admin/numbering/tenants/{tenant}")).await;
    if answer.status == 200 { answer.json()["status"].clone() } else { Value::Null }
}

async fn until_status(app: &TestApp, tenant: &str, wanted: &str) {
    until(&format!("{tenant} is {wanted}"), async || status(app, tenant).await == wanted).await;
}

/// The journal's entries about a number or tenant, oldest first.
async fn entries(app: &TestApp, subject: &str) -> Vec<Value> {
    let path = format!("/v1/admin/numbering/audit?limit=200&subject={}", subject.replace('+', "%2B"));
    let mut items = app.compliance().get(&path).await.expect(200)["items"].as_array().unwrap().clone();
    items.reverse();
    items
}

fn of_type<'a>(entries: &'a [Value], entry_type: &str) -> Vec<&'a Value> {
    entries.iter().filter(|entry| entry["type"] == entry_type).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_denies_every_lease_at_once_and_takes_all_the_tenant_has_under_its_ticket() {
    let app = TestApp::start().await;
    on_plan(&app, "tenant-a", "premium").await;
    app.stock(json!([{ "identifier": "MY BANK" }, { "identifier": "4455" }])).await;
    let mut leased = app.stock_numbers(8).await;
    let (reserved, held, others) = (leased.remove(0), leased.remove(0), leased.remove(0));
    leased.extend(["MY%20BANK".to_owned(), "4455".to_owned()]);
    for number in &leased {
        lease(&app, "tenant-a", number).await;
    }
    lease(&app, "tenant-b", &others).await;
    app.admin().post(&format!("/v1/admin/numbers/{}/suspend", leased[0]), &json!({})).await.expect(200);
    let a = app.tenant("tenant-a");
    a.act(&reserved, "reserve").await.expect(200);
    a.act(&held, "reserve").await.expect(200);
    a.act(&held, "hold").await.expect(200);
    for number in &leased[1..] {
        assert!(app.validate(&number.replace("%20", " "), "tenant-a").await.valid, "{number}");
    }

    let event_id = app.tell(SUSPENDED, json!({ "tenantId": "tenant-a", "ticketId": "AML-2026/7" })).await;
    until_status(&app, "tenant-a", "SUSPENDED").await;
    let suspended_at = Instant::now();
    for number in &leased {
        until("the lease is denied", async || !app.validate(&number.replace("%20", " "), "tenant-a").await.valid).await;
    }
    assert!(suspended_at.elapsed() < DENIED_WITHIN, "denied after {:?}", suspended_at.elapsed());
    a.act(&others, "reserve").await.problem(403, "TENANT_SUSPENDED");
    let cascade = app.cascade("tenant-a", "DONE").await;
    let (count, ticket) = (leased.len(), json!("AML-2026/7"));
    assert_eq!((&cascade["leases"], &cascade["recalled"]), (&json!(count), &json!(count)), "{cascade}");
    assert_eq!((&cascade["reservations"], &cascade["released"]), (&json!(2), &json!(2)), "{cascade}");
    assert_eq!((&cascade["ticketId"], &cascade["eventId"]), (&ticket, &json!(event_id)));
    assert!(cascade["finishedAt"].is_string());

    let recalled = app.validate(&leased[1], "tenant-a").await;
    assert_eq!(recalled.reason(), Reason::LeaseRecalled);
    for number in &leased {
        let entries = entries(&app, &number.replace("%20", " ")).await;
        let [recall] = of_type(&entries, "numbering.lease.recalled")[..] else { panic!("one recall: {entries:#?}") };
        assert_eq!((&recall["data"]["reason"], &recall["data"]["ticketId"]), (&json!("TENANT_SUSPENDED"), &ticket));
        assert_eq!((&recall["actor"], &recall["requestId"]), (&json!("compliance"), &json!(event_id)));
    }
    for number in [&reserved, &held] {
        let entries = entries(&app, number).await;
        let [release] = of_type(&entries, "numbering.reservation.released")[..] else { panic!("{entries:#?}") };
        assert_eq!((&release["data"]["cause"], &release["data"]["ticketId"]), (&json!("TENANT_SUSPENDED"), &ticket));
        assert_eq!(release["data"]["reason"], "TENANT_RELEASE");
    }
    let quotas = a.get("/v1/quota").await.expect(200)["quotas"].clone();
    assert!(quotas.as_object().unwrap().values().all(|quota| quota["current"] == 0), "{quotas}");
    assert!(app.validate(&others, "tenant-b").await.valid, "another tenant's lease stays");
    let of_tenant = entries(&app, "tenant-a").await;
    let [told] = of_type(&of_tenant, "numbering.tenant.suspended")[..] else { panic!("{of_tenant:#?}") };
    assert_eq!((&told["data"]["cascadeId"], &told["actor"]), (&cascade["cascadeId"], &json!("compliance")));

    books::balance(&app).await;
    let published = usize::try_from(app.published().await).unwrap();
    let events = app.events(published).await;
    assert!(events.iter().all(|received| received.subject != "numbering.tenant.suspended"), "for the audit alone");
    let recalls = events.iter().filter(|received| received.subject == "numbering.lease.recalled");
    assert_eq!(recalls.count(), count);
    app.stop().await;
}

#[tokio::test]
async fn the_same_event_has_one_effect_however_often_it_comes() {
    let app = TestApp::start().await;
    let number = &app.stock_numbers(1).await[0];
    lease(&app, "tenant-a", number).await;
    let told = event(SUSPENDED, "e-1", &json!({ "tenantId": "tenant-a", "ticketId": "T-1" })).to_string();
    app.send_in(SUSPENDED, told.clone()).await;
    app.cascade("tenant-a", "DONE").await;
    app.tell(REINSTATED, json!({ "tenantId": "tenant-a" })).await;
    until_status(&app, "tenant-a", "ACTIVE").await;
    for _ in 0..3 {
        app.send_in(SUSPENDED, told.clone()).await;
    }
    app.until_taken_in("COMPLIANCE").await;
    assert_eq!(status(&app, "tenant-a").await, "ACTIVE");
    assert_eq!(app.admin().get(CASCADES).await.expect(200)["items"].as_array().unwrap().len(), 1);
    let entries = entries(&app, "tenant-a").await;
    assert_eq!(of_type(&entries, "numbering.tenant.suspended").len(), 1);
    let another = event(SUSPENDED, "e-1", &json!({ "tenantId": "tenant-a", "ticketId": "T-2" }));
    let mut another_source = another.clone();
    another_source["source"] = "/somebody/else".into();
    app.send_in(SUSPENDED, another_source.to_string()).await;
    until_status(&app, "tenant-a", "SUSPENDED").await;
    app.dead_letters(0).await;
    app.stop().await;
}

#[tokio::test]
async fn a_large_cascade_waits_to_be_confirmed_and_a_reinstatement_cancels_it() {
    const WAITING: &str = "numbering_cascade_waiting";
    let app = TestApp::start_with(&[("NUMBERING_POLICY__CASCADE_CONFIRM_ABOVE", "2")]).await;
    let admin = app.admin();
    let numbers = app.stock_numbers(4).await;
    for number in &numbers[..3] {
        lease(&app, "tenant-a", number).await;
    }
    lease(&app, "tenant-b", &numbers[3]).await;
    let confirm = |cascade: &Value| format!("{CASCADES}/{}/confirm", cascade["cascadeId"].as_str().unwrap());

    app.tell(SUSPENDED, json!({ "tenantId": "tenant-a", "ticketId": "T-1" })).await;
    let waiting = app.cascade("tenant-a", "AWAITING_CONFIRMATION").await;
    assert_eq!(
        (&waiting["leases"], &waiting["recalled"], &waiting["finishedAt"]),
        (&json!(3), &json!(0), &Value::Null)
    );
    until("operators are told", async || app.open_alerts(WAITING).await.len() == 1).await;
    let alert = app.open_alerts(WAITING).await.remove(0);
    assert_eq!((&alert["subject"], &alert["severity"]), (&waiting["cascadeId"], &json!("CRITICAL")));
    until("its leases are denied", async || {
        app.validate(&numbers[0], "tenant-a").await.reason() == Reason::TenantSuspended
    })
    .await;
    app.tell(SUSPENDED, json!({ "tenantId": "tenant-b", "ticketId": "T-2" })).await;
    app.cascade("tenant-b", "DONE").await;

    app.tell(REINSTATED, json!({ "tenantId": "tenant-a" })).await;
    let cancelled = app.cascade("tenant-a", "CANCELLED").await;
    assert_eq!((&cancelled["recalled"], cancelled["finishedAt"].is_string()), (&json!(0), true), "{cancelled}");
    let refused = admin.post(&confirm(&cancelled), &json!({})).await.problem(409, "INVALID_STATE");
    assert_eq!(refused["state"], "CANCELLED");
    until("operators are told", async || app.open_alerts(WAITING).await.is_empty()).await;
    for number in &numbers[..3] {
        until("the lease is good again", async || app.validate(number, "tenant-a").await.valid).await;
    }

    app.tell(SUSPENDED, json!({ "tenantId": "tenant-a", "ticketId": "T-3" })).await;
    let waiting = app.cascade("tenant-a", "AWAITING_CONFIRMATION").await;
    app.tell(SUSPENDED, json!({ "tenantId": "tenant-a", "ticketId": "T-4" })).await;
    app.until_taken_in("COMPLIANCE").await;
    let still = app.cascade("tenant-a", "AWAITING_CONFIRMATION").await;
    assert_eq!(still, waiting, "it goes on under its own ticket");
    let once = async || admin.send(Method::POST, &confirm(&waiting), None, &[("idempotency-key", "k-1")]).await;
    let first = once().await;
    assert_eq!(first.expect(200)["state"], "RUNNING");
    let again = once().await;
    assert_eq!((again.text, &again.headers["idempotent-replayed"]), (first.text, &"true".parse().unwrap()));
    let done = app.cascade("tenant-a", "DONE").await;
    assert_eq!((&done["recalled"], &done["ticketId"]), (&json!(3), &json!("T-3")));
    admin.post(&confirm(&waiting), &json!({})).await.problem(409, "INVALID_STATE");
    admin.post(&format!("{CASCADES}/{}/confirm", uuid::Uuid::now_v7()), &json!({})).await.problem(404, "NOT_FOUND");
    until("operators are told", async || app.open_alerts(WAITING).await.is_empty()).await;
    let entries = entries(&app, "tenant-a").await;
    for entry in ["numbering.cascade.cancelled", "numbering.cascade.confirmed", "numbering.tenant.reinstated"] {
        assert_eq!(of_type(&entries, entry).len(), 1, "{entry}");
    }
    books::balance(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn an_admin_who_reinstates_a_tenant_cancels_its_cascade_too() {
    let app = TestApp::start_with(&[("NUMBERING_POLICY__CASCADE_CONFIRM_ABOVE", "1")]).await;
    for number in app.stock_numbers(2).await {
        lease(&app, "tenant-a", &number).await;
    }
    app.tell(SUSPENDED, json!({ "tenantId": "tenant-a", "ticketId": "T-1" })).await;
    app.cascade("tenant-a", "AWAITING_CONFIRMATION").await;
    let active = json!({ "plan": "starter", "status": "ACTIVE" });
    app.admin().put("/v1/admin/numbering/tenants/tenant-a", &active).await.expect(200);
    app.cascade("tenant-a", "CANCELLED").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_before_a_reinstatement_is_not_recalled_after_it() {
    const LEASES: i32 = 5;
    let settings = [("NUMBERING_DATABASE__LOCK_TIMEOUT", "15s"), ("NUMBERING_DATABASE__STATEMENT_TIMEOUT", "20s")];
    let app = TestApp::start_with(&settings).await;
    app.stock_leases("tenant-a", LEASES).await;
    let (database, mut holder) = (app.superuser().await, app.superuser().await);
    let one_of_them = holder.transaction().await.unwrap();
    let lock = "SELECT FROM numbering.numbers WHERE tenant_id = 'tenant-a' ORDER BY identifier LIMIT 1 FOR UPDATE";
    one_of_them.query(lock, &[]).await.unwrap();
    app.tell(SUSPENDED, json!({ "tenantId": "tenant-a", "ticketId": "T-1" })).await;
    let waiting = "SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'numbering' AND wait_event_type = 'Lock'";
    let recall_waits = async || !database.query(waiting, &[]).await.unwrap().is_empty();
    until("the recall waits for a number", recall_waits).await;
    app.tell(REINSTATED, json!({ "tenantId": "tenant-a" })).await;
    app.cascade("tenant-a", "CANCELLED").await;
    one_of_them.rollback().await.unwrap();
    until("the recall has come to its end", async || !recall_waits().await).await;
    // Whatever looks for cascades next finds none.
    app.tell(SUSPENDED, json!({ "tenantId": "tenant-b", "ticketId": "T-2" })).await;
    app.cascade("tenant-b", "DONE").await;
    let leased = "SELECT count(*)::integer FROM numbering.numbers WHERE tenant_id = 'tenant-a' AND state = 'LEASED'";
    assert_eq!(database.query_one(leased, &[]).await.unwrap().get::<_, i32>(0), LEASES);
    books::balance(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn a_change_of_plan_counts_at_once_and_an_unknown_plan_is_a_dead_letter() {
    let app = TestApp::start().await;
    let a = app.tenant("tenant-a");
    let limit = async || a.get("/v1/quota").await.expect(200)["quotas"]["MSISDN"]["quota"].clone();
    assert_eq!(limit().await, 50);
    let own = json!({ "HOLDS": 7 });
    app.admin().put("/v1/admin/numbering/tenants/tenant-a/quotas", &own).await.expect(200);
    app.tell(PLAN_CHANGED, json!({ "tenantId": "tenant-a", "plan": "gold" })).await;
    app.tell(PLAN_CHANGED, json!({ "tenantId": "tenant-a", "plan": "business" })).await;
    until("the plan counts", async || limit().await == 1000).await;
    let quota = a.get("/v1/quota").await.expect(200);
    assert_eq!((&quota["plan"], &quota["quotas"]["HOLDS"]["quota"]), (&json!("business"), &json!(7)), "{quota}");

    // The dead letter's alert is told too, at any moment.
    let mut told = app.events(3).await;
    told.retain(|received| received.subject == "numbering.quota.changed");
    let changed = &told[1];
    assert_eq!(changed.event["subject"], "tenant-a");
    let none = Value::Null;
    let quotas = json!({ "MSISDN": none, "SHORT_CODE": none, "ALPHA": none, "RESERVATIONS": none, "HOLDS": 7 });
    assert_eq!(changed.event["data"], json!({ "tenantId": "tenant-a", "plan": "business", "quotas": quotas }));
    let letter = app.dead_letters(1).await.remove(0);
    assert_eq!(letter.subject, "dead_letter.numbering.billing.plan.changed");
    assert!(letter.header("Numbering-Reason").contains("no plan that there is"), "{letter:?}");

    app.tell(PLAN_CHANGED, json!({ "tenantId": "never-seen", "plan": "premium" })).await;
    until("a tenant that is new stands on its plan", async || {
        let answer = app.admin().get("/v1/admin/numbering/tenants/never-seen").await;
        answer.status == 200 && answer.json()["plan"] == "premium"
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn a_malformed_message_is_put_aside_with_an_alert_and_the_next_is_taken() {
    const DEAD_LETTER: &str = "numbering_dead_letter";
    let app = TestApp::start_with(&[("NUMBERING_INBOX__CHECK", "100ms")]).await;
    let malformed =
        json!({ "specversion": "1.0", "id": "e-1", "source": "/c", "type": SUSPENDED, "data": {} }).to_string();
    let sequence = app.send_in(SUSPENDED, malformed.clone()).await;
    app.send_in("compliance.case.opened", "this is for others".to_owned()).await;
    app.tell(SUSPENDED, json!({ "tenantId": "tenant-a", "ticketId": "T-1" })).await;
    until_status(&app, "tenant-a", "SUSPENDED").await;
    let letter = app.dead_letters(1).await.remove(0);
    assert_eq!(
        (letter.subject.as_str(), &letter.payload),
        ("dead_letter.numbering.compliance.tenant.suspended", &malformed)
    );
    assert_eq!(letter.header("Numbering-Original-Subject"), SUSPENDED);
    assert_eq!(letter.header("Numbering-Original-Stream"), "COMPLIANCE");
    assert_eq!(letter.header("Numbering-Original-Sequence"), sequence.to_string());
    assert!(letter.header("Numbering-Reason").contains("tenantId"), "{letter:?}");
    until("operators are told", async || app.open_alerts(DEAD_LETTER).await.len() == 1).await;
    let alert = app.open_alerts(DEAD_LETTER).await.remove(0);
    assert_eq!((&alert["severity"], &alert["runbook"]), (&json!("CRITICAL"), &json!("docs/runbooks/dead-letter.md")));
    assert!(alert["summary"].as_str().unwrap().contains("tenantId"), "{alert}");

    let metrics = async || reqwest::get(format!("http://{}/metrics", app.http)).await.unwrap().text().await.unwrap();
    until("the metrics tell", async || metrics().await.contains("numbering_dead_letters 1")).await;
    let text = metrics().await;
    for line in [
        "numbering_incoming_messages_total{event_type=\"other\",outcome=\"left_alone\"} 1",
        "numbering_incoming_messages_total{event_type=\"compliance.tenant.suspended\",outcome=\"dead_letter\"} 1",
        "numbering_incoming_messages_total{event_type=\"compliance.tenant.suspended\",outcome=\"taken\"} 1",
        "numbering_incoming_unacknowledged_limit{stream=\"COMPLIANCE\"} 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    app.purge_dead_letters().await;
    until("the alert is resolved", async || app.open_alerts(DEAD_LETTER).await.is_empty()).await;
    app.stop().await;
}

#[tokio::test]
async fn an_event_that_fails_each_time_is_put_aside_and_may_be_sent_again() {
    let app = TestApp::start_with(&[("NUMBERING_INBOX__RETRY_PAUSE", "10ms")]).await;
    let database = app.superuser().await;
    // A fault of the service's own: what every attempt needs, it may not do.
    database.batch_execute("REVOKE INSERT ON numbering.cascades FROM numbering_service").await.unwrap();
    let told = event(SUSPENDED, "e-1", &json!({ "tenantId": "tenant-a", "ticketId": "T-1" })).to_string();
    app.send_in(SUSPENDED, told.clone()).await;
    let letter = app.dead_letters(1).await.remove(0);
    assert!(letter.header("Numbering-Reason").starts_with("it failed 5 times: "), "{letter:?}");
    assert_eq!(status(&app, "tenant-a").await, Value::Null, "nothing of it was done");
    app.until_taken_in("COMPLIANCE").await;

    database.batch_execute("GRANT INSERT ON numbering.cascades TO numbering_service").await.unwrap();
    app.send_in(SUSPENDED, letter.payload).await;
    until_status(&app, "tenant-a", "SUSPENDED").await;
    app.dead_letters(1).await;
    app.stop().await;
}

#[tokio::test]
async fn an_event_that_killed_whoever_took_it_or_is_older_than_is_remembered_is_put_aside() {
    let app = TestApp::start().await;
    let database = app.superuser().await;
    // As five replicas leave it that died over it.
    let begun = "INSERT INTO numbering.inbox (source, event_id, type, attempts) VALUES ('/compliance', 'e-1', $1, 5)";
    database.execute(begun, &[&SUSPENDED]).await.unwrap();
    let told = event(SUSPENDED, "e-1", &json!({ "tenantId": "tenant-a", "ticketId": "T-1" })).to_string();
    app.send_in(SUSPENDED, told).await;
    let letter = app.dead_letters(1).await.remove(0);
    assert!(letter.header("Numbering-Reason").starts_with("it was begun 5 times"), "{letter:?}");
    assert_eq!(status(&app, "tenant-a").await, Value::Null);
    app.stop().await;

    let app = TestApp::start_with(&[("NUMBERING_INBOX__KEEP", "1ms")]).await;
    app.tell(SUSPENDED, json!({ "tenantId": "tenant-a", "ticketId": "T-1" })).await;
    let letter = app.dead_letters(1).await.remove(0);
    assert!(letter.header("Numbering-Reason").contains("inbox.keep"), "{letter:?}");
    assert_eq!(status(&app, "tenant-a").await, Value::Null);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_in_a_race_with_the_suspension_is_refused_or_taken_back() {
    let app = TestApp::start().await;
    on_plan(&app, "tenant-a", "premium").await;
    let mut racing = JoinSet::new();
    // More numbers than there is time for: each goes on taking them until it is refused as a suspended tenant, and looks on
    // at those it has should it ever have them all.
    for numbers in app.stock_numbers(1_200).await.chunks(100).map(<[String]>::to_vec) {
        let a = app.tenant("tenant-a");
        racing.spawn(async move {
            for number in numbers.iter().cycle() {
                for answer in [a.act(number, "reserve").await, a.lease(number, "1m").await] {
                    assert!(!answer.status.is_server_error(), "{}", answer.text);
                    if answer.text.contains("TENANT_SUSPENDED") {
                        return;
                    }
                }
            }
        });
    }
    let some_are_leased =
        async || app.superuser().await.query("SELECT FROM numbering.leases", &[]).await.unwrap().len() > 5;
    until("some are leased", some_are_leased).await;
    app.tell(SUSPENDED, json!({ "tenantId": "tenant-a", "ticketId": "T-1" })).await;
    timeout(PATIENCE, racing.join_all()).await.expect("the suspension comes in the middle, and each is refused");
    app.cascade("tenant-a", "DONE").await;
    let left = "SELECT FROM numbering.claims WHERE tenant_id = 'tenant-a'";
    assert_eq!(app.superuser().await.query(left, &[]).await.unwrap().len(), 0);
    books::balance(&app).await;
    app.stop().await;
}
