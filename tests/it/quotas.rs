//! Quotas of tenants (US-NUM-011): what is shown and cached of them, who is told of a change, and that counters which differ from
//! the rows are found.

use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};

use crate::support::{Client, TestApp, until};

const KEY: &str = "num:quota:tenant-a";
const TENANT: &str = "/v1/admin/numbering/tenants/tenant-a";
const QUOTAS: &str = "/v1/admin/numbering/tenants/tenant-a/quotas";
/// However busy the machine is, Redis is not late here.
const PATIENT: (&str, &str) = ("NUMBERING_REDIS__CALL_TIMEOUT", "10s");

const RUN: &str = "/v1/admin/numbering/jobs/reconcile_usage/run";
const ALERTS: &str = "/v1/admin/numbering/alerts?state=OPEN";

#[tokio::test]
async fn a_counter_that_differs_from_the_rows_is_told_of_and_resolved_when_it_is_right_again() {
    let app = TestApp::start().await;
    let (admin, database) = (app.admin(), app.superuser().await);
    // More tenants than are read at once, and one with something in every counter that a tenant can fill by itself.
    for tenant in 0..25 {
        let path = format!("/v1/admin/numbering/tenants/tenant-{tenant:02}");
        admin.put(&path, &json!({ "plan": "business" })).await.expect(200);
    }
    let numbers = app.stock_numbers(3).await;
    let holder = app.tenant("tenant-24");
    for number in &numbers {
        holder.act(number, "reserve").await.expect(200);
    }
    holder.act(&numbers[1], "hold").await.expect(200);
    holder.lease(&numbers[2], "1m").await.expect(201);
    let reconciled = async || admin.post(RUN, &json!({})).await.expect(200)["lastResult"]["result"].clone();

    let all_is_well = reconciled().await;
    assert_eq!((&all_is_well["tenants"], &all_is_well["differences"]), (&json!(0), &json!(0)), "{all_is_well}");
    assert_eq!(admin.get(ALERTS).await.expect(200)["items"], json!([]));

    let plant = "UPDATE numbering.tenants SET used_msisdn = used_msisdn + $1, used_holds = used_holds + $1
                 WHERE tenant_id IN ('tenant-03', 'tenant-24')";
    database.execute(plant, &[&2]).await.unwrap();
    let wrong = reconciled().await;
    assert_eq!((&wrong["tenants"], &wrong["differences"]), (&json!(2), &json!(4)), "{wrong}");
    let open = admin.get(ALERTS).await.expect(200)["items"].clone();
    assert_eq!((open.as_array().unwrap().len(), &open[0]["name"]), (1, &json!("numbering_usage_mismatch")), "{open}");
    let summary = "Counters of 2 tenants differ from their rows: tenant-03 MSISDN counts 2 and has 0; \
                   tenant-03 HOLDS counts 2 and has 0; tenant-24 MSISDN counts 3 and has 1; \
                   tenant-24 HOLDS counts 3 and has 1.";
    assert_eq!(open[0]["summary"], summary);
    let quota = app.tenant("tenant-24").get("/v1/quota").await.expect(200);
    assert_eq!(quota["quotas"]["MSISDN"]["current"], 3, "nothing is corrected by itself");

    database.execute(plant, &[&-2]).await.unwrap();
    assert_eq!(reconciled().await["differences"], 0);
    assert_eq!(admin.get(ALERTS).await.expect(200)["items"], json!([]));
    app.stop().await;
}

/// A service that is connected to Redis, and a connection to the same.
async fn cached() -> (TestApp, MultiplexedConnection) {
    let app = TestApp::start_with(&[PATIENT]).await;
    let client = redis::Client::open(app.part.redis_url.as_str()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    until("the service keeps limits in Redis", async || {
        app.tenant("tenant-a").get("/v1/quota").await.expect(200);
        entry(&mut redis).await.is_some()
    })
    .await;
    (app, redis)
}

async fn entry(redis: &mut MultiplexedConnection) -> Option<Value> {
    let text: Option<String> = redis::cmd("GET").arg(KEY).query_async(redis).await.unwrap();
    text.map(|text| serde_json::from_str(&text).unwrap())
}

async fn plant(redis: &mut MultiplexedConnection, entry: &str) {
    redis::cmd("SET").arg(KEY).arg(entry).query_async::<()>(redis).await.unwrap();
}

/// The limit and the use that are shown of one counter.
async fn shown(client: &Client, counter: &str) -> (i64, i64) {
    let quota = client.get("/v1/quota").await.expect(200);
    let of = |member: &str| quota["quotas"][counter][member].as_i64().unwrap();
    (of("quota"), of("current"))
}

async fn told(app: &TestApp) -> Vec<Value> {
    let sql = "SELECT data FROM numbering.journal WHERE type = 'numbering.quota.changed' ORDER BY seq";
    app.superuser().await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn limits_are_kept_for_five_minutes_and_used_only_at_the_revision_that_they_are_of() {
    let (app, mut redis) = cached().await;
    let a = app.tenant("tenant-a");
    let kept = entry(&mut redis).await.unwrap();
    assert_eq!((&kept["plan"], &kept["msisdn"], &kept["revision"]), (&json!("starter"), &json!(50), &json!(1)));
    let left: i64 = redis::cmd("PTTL").arg(KEY).query_async(&mut redis).await.unwrap();
    assert!((240_000..=300_000).contains(&left), "{left} ms");

    // What is kept of this revision is what is shown; the use is the one of this moment all the same.
    let number = app.stock_numbers(1).await.remove(0);
    let marked = |revision: i64| {
        let mut marked = kept.clone();
        marked["revision"] = revision.into();
        marked["msisdn"] = 77.into();
        marked.to_string()
    };
    plant(&mut redis, &marked(1)).await;
    assert_eq!(shown(&a, "MSISDN").await, (77, 0));
    a.act(&number, "reserve").await.expect(200);
    assert_eq!(shown(&a, "RESERVATIONS").await, (10, 1));
    a.lease(&number, "1m").await.expect(201);
    assert_eq!((shown(&a, "MSISDN").await, shown(&a, "RESERVATIONS").await), ((77, 1), (10, 0)));
    // Of another revision, before or after, or unreadable, it is not used, and is replaced.
    for planted in [marked(0), marked(2), "{}".to_owned(), "no JSON".to_owned()] {
        plant(&mut redis, &planted).await;
        assert_eq!(shown(&a, "MSISDN").await, (50, 1), "{planted}");
        assert_eq!(entry(&mut redis).await.as_ref(), Some(&kept), "{planted}");
    }
    redis::cmd("DEL").arg(KEY).query_async::<()>(&mut redis).await.unwrap();
    redis::cmd("RPUSH").arg(KEY).arg("a list").query_async::<()>(&mut redis).await.unwrap();
    assert_eq!(shown(&a, "MSISDN").await, (50, 1));
    app.stop().await;
}

#[tokio::test]
async fn an_admin_s_change_is_seen_at_once_and_counts_in_the_next_decision_on_every_replica() {
    let (app, mut redis) = cached().await;
    let replica = app.replica(&[PATIENT]).await;
    let (admin, a) = (app.admin(), app.tenant("tenant-a"));
    let elsewhere = a.at(replica.http);
    let numbers = app.stock_numbers(4).await;
    let mut old = entry(&mut redis).await.unwrap();
    for (turn, limit) in [1, 0, 3].into_iter().enumerate() {
        assert!(shown(&a, "RESERVATIONS").await.0 != limit && entry(&mut redis).await.is_some());
        admin.put(QUOTAS, &json!({ "RESERVATIONS": limit })).await.expect(200);
        assert_eq!(entry(&mut redis).await, None, "it is removed before the change is answered");
        // A fill that was on its way since before the change comes too late to be shown.
        plant(&mut redis, &old.to_string()).await;
        for client in [&elsewhere, &a] {
            assert_eq!(shown(client, "RESERVATIONS").await.0, limit);
        }
        old = entry(&mut redis).await.unwrap();
        let taken = elsewhere.act(&numbers[turn], "reserve").await;
        match (turn, limit) {
            (1, _) => {
                let refused = taken.problem(403, "RESERVATION_QUOTA");
                assert_eq!((&refused["quota"], &refused["current"]), (&json!(0), &json!(1)));
            }
            _ => assert_eq!(taken.expect(200)["state"], "RESERVED"),
        }
    }
    // Back to the plan's, and to another plan.
    admin.put(QUOTAS, &json!({ "RESERVATIONS": null })).await.expect(200);
    assert_eq!(shown(&elsewhere, "RESERVATIONS").await, (10, 2));
    admin.put(TENANT, &json!({ "plan": "business" })).await.expect(200);
    assert_eq!(entry(&mut redis).await, None);
    assert_eq!(shown(&elsewhere, "RESERVATIONS").await, (100, 2));
    assert_eq!(elsewhere.get("/v1/quota").await.expect(200)["plan"], "business");
    replica.stop().await;
    app.stop().await;
}

#[tokio::test]
async fn what_billing_and_compliance_tell_of_a_tenant_removes_its_limits_from_the_cache() {
    let (app, mut redis) = cached().await;
    let a = app.tenant("tenant-a");
    for (event, data) in [
        ("billing.plan.changed", json!({ "tenantId": "tenant-a", "plan": "premium" })),
        ("compliance.tenant.suspended", json!({ "tenantId": "tenant-a", "ticketId": "AML-1" })),
        ("compliance.tenant.reinstated", json!({ "tenantId": "tenant-a" })),
    ] {
        assert!(entry(&mut redis).await.is_some());
        app.tell(event, data).await;
        // Nobody looks meanwhile, so that nothing but the event can remove it.
        until(&format!("{event} has removed it"), async || entry(&mut redis).await.is_none()).await;
        assert_eq!(shown(&a, "MSISDN").await.0, 200_000);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_change_of_plan_by_an_admin_is_told_where_it_changes_the_limits_in_force() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let none = Value::Null;
    let own = |msisdn: Value| json!({ "MSISDN": msisdn, "SHORT_CODE": none, "ALPHA": none, "RESERVATIONS": none, "HOLDS": none });
    let changed = |plan: &str, quotas: Value| json!({ "tenantId": "tenant-a", "plan": plan, "quotas": quotas });
    let mut expected = Vec::new();
    // The plan, status or allowlist that are set, and what is told of it. A tenant that is new comes from the default plan.
    for (set, event) in [
        (json!({ "plan": "starter" }), None),
        (json!({ "plan": "business" }), Some(changed("business", own(json!(null))))),
        (json!({ "plan": "business", "status": "SUSPENDED" }), None),
        (json!({ "plan": "business", "status": "ACTIVE", "operatorAllowlist": [] }), None),
        (json!({ "plan": "starter" }), Some(changed("starter", own(json!(null))))),
    ] {
        admin.put(TENANT, &set).await.expect(200);
        expected.extend(event);
        assert_eq!(told(&app).await, expected, "{set}");
    }
    admin.put(QUOTAS, &json!({ "MSISDN": 7 })).await.expect(200);
    expected.push(changed("starter", own(json!(7))));
    admin.put(TENANT, &json!({ "plan": "gold" })).await.problem(422, "VALIDATION_FAILED");
    assert_eq!(told(&app).await, expected);
    // Where the tenant has quotas of its own for everything, the plan changes no limit.
    let all = json!({ "MSISDN": 7, "SHORT_CODE": 1, "ALPHA": 1, "RESERVATIONS": 1, "HOLDS": 1 });
    admin.put(QUOTAS, &all).await.expect(200);
    expected.push(changed("starter", all));
    admin.put(TENANT, &json!({ "plan": "premium" })).await.expect(200);
    assert_eq!(told(&app).await, expected);
    admin.put("/v1/admin/numbering/tenants/tenant-new", &json!({ "plan": "premium" })).await.expect(200);
    let of_new = told(&app).await.pop().unwrap();
    assert_eq!((&of_new["tenantId"], &of_new["plan"]), (&json!("tenant-new"), &json!("premium")));
    // All of them are published.
    let events = app.events(expected.len() + 1).await;
    let data: Vec<Value> = events.iter().map(|event| event.event["data"].clone()).collect();
    assert_eq!(data, told(&app).await);
    assert!(events.iter().all(|event| event.subject == "numbering.quota.changed"));
    app.stop().await;
}

#[tokio::test]
async fn a_quota_below_what_is_leased_keeps_that_and_refuses_more() {
    let app = TestApp::start().await;
    let (admin, a) = (app.admin(), app.tenant("tenant-a"));
    let numbers = app.stock_numbers(4).await;
    for number in &numbers[..3] {
        a.act(number, "reserve").await.expect(200);
        a.lease(number, "1m").await.expect(201);
    }
    admin.put(QUOTAS, &json!({ "MSISDN": 1 })).await.expect(200);
    assert_eq!(shown(&a, "MSISDN").await, (1, 3));
    for number in &numbers[..3] {
        assert!(app.validate(number, "tenant-a").await.valid, "{number}");
    }
    a.act(&numbers[3], "reserve").await.expect(200);
    let refused = a.lease(&numbers[3], "1m").await.problem(403, "QUOTA_EXCEEDED");
    let told = ["quota", "current", "identifierClass"].map(|member| refused[member].clone());
    assert_eq!(told, [json!(1), json!(3), json!("MSISDN")]);
    // Below the quota again, the next lease is granted; at it, none.
    for number in &numbers[..2] {
        a.recall(number, "TENANT_INITIATED", None).await.expect(200);
    }
    a.lease(&numbers[3], "1m").await.problem(403, "QUOTA_EXCEEDED");
    a.recall(&numbers[2], "TENANT_INITIATED", None).await.expect(200);
    a.lease(&numbers[3], "1m").await.expect(201);
    assert_eq!(shown(&a, "MSISDN").await, (1, 1));
    app.stop().await;
}
