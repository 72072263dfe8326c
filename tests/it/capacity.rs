//! How much of each pool is left (US-NUM-013): what is shown, what is said, and that the counts are what the rows are.

mod counts;
mod pages;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::blocks::Signer;
use crate::support::{Client, TestApp, until};

const PATH: &str = "/v1/admin/numbering/pools/capacity";
/// As the service itself looks, and not as seldom as other tests have it.
const FOLLOWING: [(&str, &str); 2] =
    [("NUMBERING_CAPACITY__LOOK_EVERY", "50ms"), ("NUMBERING_JOBS__CAPACITY", "* * * * *")];

/// So many numbers from +93700000000 on, and so many from +93710000000 on.
fn file(of_70: u32, of_71: u32) -> String {
    let rows = (0..of_70).map(|n| 700_000_000 + n).chain((0..of_71).map(|n| 710_000_000 + n));
    std::iter::once("msisdn\n".to_owned()).chain(rows.map(|n| format!("+93{n}\n"))).collect()
}

/// The pool of this prefix, as shown.
async fn pool(admin: &Client, prefix: &str) -> Option<Value> {
    let shown = admin.get(PATH).await.expect(200);
    shown["pools"].as_array().unwrap().iter().find(|pool| pool["blockPrefix"] == prefix).cloned()
}

async fn until_remaining(admin: &Client, prefix: &str, remaining: u64) -> Value {
    let mut last = None;
    until(&format!("{remaining} of {prefix} are left"), async || {
        last = pool(admin, prefix).await;
        last.as_ref().is_some_and(|pool| pool["remaining"] == remaining)
    })
    .await;
    last.unwrap()
}

/// Waits until exactly these alerts are open about the pool.
async fn until_alerts(admin: &Client, prefix: &str, names: &[&str]) -> Vec<Value> {
    let mut open = Vec::new();
    until(&format!("{names:?} are open about {prefix}"), async || {
        open = pool(admin, prefix).await.map_or(Vec::new(), |pool| pool["alerts"].as_array().unwrap().clone());
        open.iter().map(|alert| alert["name"].as_str().unwrap()).eq(names.iter().copied())
    })
    .await;
    open
}

async fn premium(app: &TestApp, tenant: &str) -> Client {
    let path = format!("/v1/admin/numbering/tenants/{tenant}");
    app.admin().put(&path, &json!({ "plan": "premium" })).await.expect(200);
    app.tenant(tenant)
}

/// The tenant reserves the numbers from the first to before the second of +9370….
async fn act(tenant: &Client, action: &str, numbers: std::ops::Range<u32>) {
    let acts = numbers.map(|n| async move { tenant.act(&format!("+93{}", 700_000_000 + n), action).await.expect(200) });
    join_all(acts).await;
}

async fn import(app: &TestApp, signer: &Signer, file: &str) {
    let imported = app.admin().import(signer.form("awcc", file)).await.expect(200);
    assert_eq!(imported["invalid"], 0, "{imported}");
}

#[tokio::test]
async fn capacity_shows_each_pool_by_state_with_what_remains() {
    let app = TestApp::start_with(&FOLLOWING).await;
    let (admin, signer) = (app.admin(), app.operator("awcc", &["+9370", "+9371"]).await);
    assert_eq!(admin.get(PATH).await.expect(200), json!({ "pools": [] }));
    import(&app, &signer, &file(40, 10)).await;
    app.stock(json!([{ "identifier": "4401" }, { "identifier": "4402" }, { "identifier": "55555" }, { "identifier": "BANK" }]))
        .await;
    let tenant = premium(&app, "tenant-a").await;
    act(&tenant, "reserve", 0..4).await;
    act(&tenant, "hold", 0..2).await;
    tenant.lease("+93700000000", "1m").await.expect(201);
    let leased = "/v1/numbers/+93700000020/lease";
    admin.post(leased, &json!({ "tenantId": "tenant-a", "term": "1m" })).await.expect(201);
    admin.recall("+93700000020", "ABUSE", Some("T-1")).await.expect(200);

    until("the recall is counted", async || {
        pool(&admin, "+9370").await.is_some_and(|pool| pool["byState"]["QUARANTINE"] == 1)
    })
    .await;
    let shown = pool(&admin, "+9370").await.unwrap();
    let expected = json!({
        "identifierClass": "MSISDN", "operatorId": "awcc", "blockPrefix": "+9370", "total": 40, "notYetValid": 0,
        "byState": {
            "AVAILABLE": 35, "RESERVED": 2, "HELD": 1, "LEASED": 1, "SUSPENDED": 0, "RECALLED": 0, "QUARANTINE": 1,
        },
        "remaining": 35, "utilisation": 0.125, "projectedExhaustion": null, "alerts": [],
    });
    assert_eq!(shown, expected);
    until_remaining(&admin, "4xxx", 2).await;
    let shown = admin.get(PATH).await.expect(200);
    let prefixes: Vec<&str> =
        shown["pools"].as_array().unwrap().iter().map(|pool| pool["blockPrefix"].as_str().unwrap()).collect();
    assert_eq!(prefixes, ["+9370", "+9371", "4xxx", "5xxxx"], "sender IDs are in none");
    assert_eq!(shown["pools"][2]["operatorId"], Value::Null);

    until("every replica exports it", async || {
        let metrics = admin.get("/metrics").await.text;
        [
            r#"numbering_block_capacity_remaining{operatorId="awcc",blockPrefix="+9370"} 35"#,
            r#"numbering_block_capacity_total{operatorId="awcc",blockPrefix="+9370"} 40"#,
            r#"numbering_block_capacity_remaining{operatorId="",blockPrefix="4xxx"} 2"#,
        ]
        .iter()
        .all(|line| metrics.lines().any(|written| written == *line))
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn less_than_five_and_one_percent_raise_and_a_new_block_resolves() {
    let app = TestApp::start_with(&FOLLOWING).await;
    let (admin, signer) = (app.admin(), app.operator("awcc", &["+9370"]).await);
    import(&app, &signer, &file(100, 0)).await;
    let tenant = premium(&app, "tenant-a").await;
    act(&tenant, "reserve", 0..95).await;
    until_remaining(&admin, "+9370", 5).await;
    until_alerts(&admin, "+9370", &[]).await;
    act(&tenant, "reserve", 95..96).await;
    let open = until_alerts(&admin, "+9370", &["numbering_pool_exhausted"]).await;
    assert_eq!((&open[0]["severity"], &open[0]["subject"]), (&json!("WARNING"), &json!("MSISDN/awcc/+9370")));
    assert_eq!(open[0]["runbook"], "docs/runbooks/pool-exhausted.md");
    act(&tenant, "reserve", 96..100).await;
    let open = until_alerts(&admin, "+9370", &["numbering_block_critical", "numbering_pool_exhausted"]).await;
    assert_eq!(open[0]["severity"], "SEV1");
    let exhausted = pool(&admin, "+9370").await.unwrap()["projectedExhaustion"].clone();
    assert_eq!(exhausted["earliest"], exhausted["latest"], "it is exhausted now");

    import(&app, &signer, &file(200, 0)).await;
    until_alerts(&admin, "+9370", &[]).await;
    let of_alerts = admin.get("/v1/admin/numbering/alerts?state=RESOLVED").await.expect(200);
    assert_eq!(of_alerts["items"].as_array().unwrap().len(), 2);

    // Reservations, blocks, the tenant's plan, the pool, alerts.
    let told = app.events(100 + 2 + 1 + 2 + 4).await;
    let of_pools: Vec<_> = told.iter().filter(|event| event.subject.starts_with("numbering.pool.")).collect();
    let types: Vec<&str> = of_pools.iter().map(|event| event.subject.as_str()).collect();
    assert_eq!(types, ["numbering.pool.exhausted", "numbering.pool.recovered"]);
    assert_eq!(of_pools[0].event["subject"], "MSISDN/awcc/+9370");
    let expected = json!({
        "identifierClass": "MSISDN", "operatorId": "awcc", "blockPrefix": "+9370", "total": 100, "notYetValid": 0,
        "remaining": 4, "utilisation": 0.96, "threshold": 0.05,
    });
    assert_eq!(of_pools[0].event["data"], expected);
    assert_eq!(of_pools[1].event["data"]["remaining"], 100);
    let of_alerts = told.iter().filter(|event| event.subject.starts_with("numbering.alert.")).count();
    assert_eq!(of_alerts, 4, "each alert is told of twice");
    app.stop().await;
}

#[tokio::test]
async fn a_pool_that_wavers_about_a_threshold_does_not_flap() {
    let app = TestApp::start_with(&FOLLOWING).await;
    let (admin, signer) = (app.admin(), app.operator("awcc", &["+9370"]).await);
    import(&app, &signer, &file(100, 0)).await;
    let tenant = premium(&app, "tenant-a").await;
    act(&tenant, "reserve", 0..96).await;
    let first = until_alerts(&admin, "+9370", &["numbering_pool_exhausted"]).await;
    for _ in 0..3 {
        act(&tenant, "release", 0..1).await;
        until_remaining(&admin, "+9370", 5).await;
        act(&tenant, "reserve", 0..1).await;
        until_remaining(&admin, "+9370", 4).await;
    }
    let still = until_alerts(&admin, "+9370", &["numbering_pool_exhausted"]).await;
    assert_eq!(still[0]["alertId"], first[0]["alertId"], "it is the same alert");
    act(&tenant, "release", 0..2).await;
    until_alerts(&admin, "+9370", &[]).await;
    act(&tenant, "reserve", 0..1).await;
    until_remaining(&admin, "+9370", 5).await;
    let of_alerts = admin.get("/v1/admin/numbering/alerts").await.expect(200);
    assert_eq!(of_alerts["items"].as_array().unwrap().len(), 1, "five percent are not less than five");
    app.stop().await;
}

#[tokio::test]
async fn the_alert_about_a_range_of_short_codes_points_to_the_request_to_the_regulator() {
    let app = TestApp::start_with(&FOLLOWING).await;
    app.stock(json!([{ "identifier": "4401" }, { "identifier": "7701" }])).await;
    app.admin().post("/v1/numbers/4401/lease", &json!({ "tenantId": "tenant-a", "term": "1m" })).await.expect(201);
    let open = until_alerts(&app.admin(), "4xxx", &["numbering_block_critical", "numbering_pool_exhausted"]).await;
    for alert in &open {
        assert_eq!(alert["runbook"], "docs/runbooks/short-code-atra-request.md");
        assert_eq!(alert["subject"], "SHORT_CODE/4xxx");
    }
    until_alerts(&app.admin(), "7xxx", &[]).await;
    app.stop().await;
}

#[tokio::test]
async fn numbers_that_are_not_valid_yet_are_not_left_and_exhaust_nothing() {
    let app = TestApp::start_with(&FOLLOWING).await;
    let (admin, signer) = (app.admin(), app.operator("awcc", &["+9370", "+9371"]).await);
    import(&app, &signer, &file(20, 0)).await;
    let rows = (0..30).map(|n| format!("+93{},2999-01-01\n", 710_000_000 + n));
    let later: String = std::iter::once("msisdn,validFrom\n".to_owned()).chain(rows).collect();
    import(&app, &signer, &later).await;
    let shown = until_remaining(&admin, "+9371", 0).await;
    assert_eq!((&shown["total"], &shown["notYetValid"]), (&json!(30), &json!(30)));
    assert_eq!(shown["byState"]["AVAILABLE"], 30);
    admin.post("/v1/admin/numbering/jobs/capacity/run", &json!({})).await.expect(200);
    until_alerts(&admin, "+9371", &[]).await;
    app.stop().await;
}

#[tokio::test]
async fn a_pool_that_shrinks_is_projected_with_a_band() {
    let app = TestApp::start_with(&FOLLOWING).await;
    let (admin, signer) = (app.admin(), app.operator("awcc", &["+9370", "+9371"]).await);
    import(&app, &signer, &file(100, 100)).await;
    until_remaining(&admin, "+9370", 100).await;
    let database = app.superuser().await;
    let past = "UPDATE numbering.pool_operators SET followed_since = clock_timestamp() - interval '11 days';
                INSERT INTO numbering.pool_days
                SELECT 'MSISDN', 'awcc', '+9370', (clock_timestamp() AT TIME ZONE 'UTC')::date - day, 0, 7 + day % 3, 2, 0
                FROM generate_series(1, 10) AS day";
    database.batch_execute(past).await.unwrap();
    let projected = pool(&admin, "+9370").await.unwrap()["projectedExhaustion"].clone();
    let moment = |name: &str| projected[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let now: jiff::Timestamp = database.query_one("SELECT clock_timestamp()", &[]).await.unwrap().get(0);
    let in_days = moment("likely").duration_since(now).as_hours() / 24;
    // 100 numbers, six a day: after 16 and a half days.
    assert_eq!(in_days, 16, "{projected}");
    assert!(moment("earliest") < moment("likely") && moment("likely") < moment("latest"), "{projected}");
    assert_eq!(pool(&admin, "+9371").await.unwrap()["projectedExhaustion"], Value::Null, "nobody takes of it");

    // Where nearly all comes back again it may as well never happen: the latest is the horizon, in ten years.
    let wavering = "UPDATE numbering.pool_days
                    SET taken = 40, given_back = 39 + CASE WHEN mod(day - date '2000-01-01', 2) = 0 THEN 30 ELSE -30 END
                    WHERE block_prefix = '+9370' AND taken > 0";
    database.batch_execute(wavering).await.unwrap();
    let projected = pool(&admin, "+9370").await.unwrap()["projectedExhaustion"].clone();
    let latest = projected["latest"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!((latest.duration_since(now).as_hours() + 1) / 24, 3_650, "{projected}");

    app.stop().await;
}
