//! Searches for numbers: no tenant has them all, and none goes on for ever.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{RESERVE, any, identifiers};
use crate::support::{TestApp, until};

impl TestApp {
    /// Each number that is looked at costs so long, or cannot be read at all.
    async fn each_number_looked_at(&self, does: &str) {
        self.execute(&format!(
            "CREATE FUNCTION public.looked_at() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN {does}; RETURN true; END $$;
             ALTER TABLE numbering.numbers ENABLE ROW LEVEL SECURITY;
             CREATE POLICY looked_at ON numbering.numbers USING (public.looked_at());"
        ))
        .await;
    }
}

const SLOWLY: &str = "PERFORM pg_sleep(0.05)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tenant_s_searches_leave_places_and_connections_to_the_others() {
    let app = TestApp::start_with(&[
        ("NUMBERING_ALLOCATE__MAX_CONCURRENT", "2"),
        ("NUMBERING_ALLOCATE__TIMEOUT", "6s"),
        ("NUMBERING_DATABASE__POOL_SIZE", "3"),
        ("NUMBERING_DATABASE__STATEMENT_TIMEOUT", "20s"),
    ])
    .await;
    for tenant in ["tenant-a", "tenant-b"] {
        app.on_plan(tenant, "premium").await;
    }
    app.stock_numbers(1_000).await;
    app.each_number_looked_at("PERFORM pg_sleep(0.1)").await;
    let database = app.superuser().await;
    let searching = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
        AND query LIKE '-- A stretch of one range of what is AVAILABLE%'";
    let searches = async || database.query_one(searching, &[]).await.unwrap().get::<_, i64>(0);
    // So many that no search is done in time: for one number, a search that began just before the last had it at once.
    let many = any(100);
    let mut of_a = JoinSet::new();
    for _ in 0..6 {
        let (a, wanted) = (app.tenant("tenant-a"), many.clone());
        of_a.spawn(async move { a.post(RESERVE, &wanted).await });
    }
    until("one searches", async || searches().await == 1).await;
    let b = app.tenant("tenant-b");
    let of_b = tokio::spawn(async move { b.post(RESERVE, &many).await });
    until("and another tenant beside it", async || searches().await == 2).await;
    app.tenant("tenant-c").get("/v1/quota").await.expect(200);

    let took_too_long = |problem: &Value| problem["detail"].as_str().unwrap().starts_with("the search took too long");
    assert!(took_too_long(&of_b.await.unwrap().problem(503, "UNAVAILABLE")));
    let mut had_no_place = 0;
    for answer in of_a.join_all().await {
        let problem = answer.problem(503, "UNAVAILABLE");
        if !took_too_long(&problem) {
            assert!(problem["detail"].as_str().unwrap().starts_with("as many searches run"), "{problem}");
            assert_eq!(answer.headers["retry-after"], "1");
            had_no_place += 1;
        }
    }
    assert_eq!(had_no_place, 5, "all but the one that searched");
    until("what was broken off runs no more", async || searches().await == 0).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_is_not_done_in_time_says_so_and_not_that_there_are_too_few() {
    let settings = [("NUMBERING_ALLOCATE__TIMEOUT", "1s"), ("NUMBERING_DATABASE__STATEMENT_TIMEOUT", "20s")];
    let app = TestApp::start_with(&settings).await;
    let a = app.on_plan("tenant-a", "premium").await;
    app.stock_numbers(1_000).await;
    app.each_number_looked_at(SLOWLY).await;
    let rare = json!({ "identifierClass": "MSISDN", "pattern": "*?9?9?9?9", "count": 1, "partial": true });
    let problem = a.post(RESERVE, &rare).await.problem(503, "UNAVAILABLE");
    assert!(problem["detail"].as_str().unwrap().starts_with("the search took too long"), "{problem}");
    assert!(problem["available"].is_null());
    app.stop().await;
}

#[tokio::test]
async fn who_may_not_reserve_is_refused_before_a_number_is_looked_at() {
    let app = TestApp::start().await;
    let a = app.on_plan("tenant-a", "premium").await;
    app.stock_numbers(10).await;
    app.each_number_looked_at("RAISE EXCEPTION 'it was looked at'").await;
    a.post(RESERVE, &any(1)).await.problem(500, "INTERNAL");
    let tenant =
        |status: &str, allowlist: Value| json!({ "plan": "premium", "status": status, "operatorAllowlist": allowlist });
    let path = "/v1/admin/numbering/tenants/tenant-a";
    app.admin().put(path, &tenant("ACTIVE", json!(["roshan"]))).await.expect(200);
    let of_another = json!({ "identifierClass": "MSISDN", "operatorId": "awcc", "count": 1 });
    a.post(RESERVE, &of_another).await.problem(403, "OPERATOR_NOT_ALLOWED");
    app.admin().put(path, &tenant("SUSPENDED", Value::Null)).await.expect(200);
    a.post(RESERVE, &any(1)).await.problem(403, "TENANT_SUSPENDED");
    app.stop().await;
}

#[tokio::test]
async fn a_tenant_may_have_numbers_searched_for_so_often_and_lists_do_not_count() {
    let app =
        TestApp::start_with(&[("NUMBERING_ALLOCATE__RATE_LIMIT", "3"), ("NUMBERING_REDIS__COMMAND_TIMEOUT", "10s")])
            .await;
    until("the replica is connected to Redis", async || {
        let metrics = reqwest::get(format!("http://{}/metrics", app.http)).await.unwrap().text().await.unwrap();
        metrics.contains("numbering_redis_up{database=\"snapshots\"} 1")
    })
    .await;
    let a = app.on_plan("tenant-a", "premium").await;
    let b = app.on_plan("tenant-b", "premium").await;
    app.stock_numbers(10).await;
    let mut answered = 0;
    let refused = loop {
        let answer = a.post(RESERVE, &any(1)).await;
        let policy = answer.headers["ratelimit-policy"].to_str().unwrap();
        assert!(policy.starts_with("\"allocate\";q="), "{policy}");
        if answer.status != 200 {
            break answer;
        }
        assert!(answer.headers.contains_key("ratelimit"));
        answered += 1;
        assert!(answered < 10, "never refused");
    };
    assert!(answered >= 3, "refused after {answered}");
    refused.problem(429, "RATE_LIMITED");
    assert!(refused.headers.contains_key("retry-after"));
    a.post(RESERVE, &json!({ "identifiers": ["+93700000009"] })).await.expect(200);
    a.get("/v1/numbers/available").await.expect(200);
    b.post(RESERVE, &any(1)).await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn searches_begin_at_different_numbers_where_blocks_stand_far_apart() {
    let app = TestApp::start().await;
    let a = app.on_plan("tenant-a", "premium").await;
    // Three blocks at the beginning of their prefixes, each a ten-thousandth of what the prefix has room for.
    app.execute(
        "INSERT INTO numbering.numbers (identifier, identifier_class, shown)
         SELECT n, 'MSISDN', n FROM (
             SELECT '+93' || prefix || lpad(i::text, 7, '0') AS n
             FROM unnest(ARRAY['70', '72', '79']) AS prefix, generate_series(0, 999) AS i) AS x;
         ANALYZE numbering.numbers;",
    )
    .await;
    let mut began = BTreeSet::new();
    for _ in 0..30 {
        let first = identifiers(&a.post(RESERVE, &any(2)).await.expect(200)).remove(0);
        for number in app.superuser().await.query("SELECT identifier FROM numbering.claims", &[]).await.unwrap() {
            a.act(number.get(0), "release").await.expect(200);
        }
        began.insert(first);
    }
    assert!(began.len() >= 20, "{began:?}");
    app.stop().await;
}
