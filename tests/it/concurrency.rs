//! Many clients at once: nothing is lost, granted twice or counted wrong, and nobody deadlocks.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::faults::books;
use crate::faults::traffic::{Act, Manner, Play, Traffic};
use crate::support::TestApp;

/// How long the clients play at least.
const PLAY: Duration = Duration::from_secs(4);
const QUOTAS: [&str; 3] = ["RESERVATION_QUOTA", "HOLD_QUOTA", "QUOTA_EXCEEDED"];
/// How long they may play until everything has happened that is to be seen.
const PLAY_AT_MOST: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_clients_over_31_numbers_with_tight_quotas_and_short_times_leave_balanced_books() {
    const TENANTS: usize = 7;
    let settings = [
        ("NUMBERING_POLICY__RESERVATION_TTL", "500ms"),
        ("NUMBERING_POLICY__HOLD_TTL", "800ms"),
        ("NUMBERING_POLICY__SHORT_TERMS", "true"),
        ("NUMBERING_POLICY__QUARANTINE__MSISDN", "500ms"),
        ("NUMBERING_POLICY__QUARANTINE__SHORT_CODE", "300ms"),
    ];
    let mut app = TestApp::start_with(&settings).await;
    let admin = app.admin();
    for tenant in 0..TENANTS {
        let path = format!("/v1/admin/numbering/tenants/tenant-{tenant}");
        admin.put(&path, &json!({"plan": "starter", "status": "ACTIVE", "operatorAllowlist": null})).await.expect(200);
        let quotas = json!({"MSISDN": 1, "SHORT_CODE": 1, "ALPHA": 1, "RESERVATIONS": 2, "HOLDS": 1});
        admin.put(&format!("{path}/quotas"), &quotas).await.expect(200);
    }
    let (short_codes, alphas) = (["4041", "4042", "4043"], ["BANK-1", "BANK-2", "BANK-3"]);
    let items = short_codes.iter().chain(&alphas).map(|identifier| json!({ "identifier": identifier }));
    app.stock(items.collect()).await;
    let mut numbers = app.stock_numbers(25).await;
    numbers.extend(short_codes.iter().chain(&alphas).map(ToString::to_string));
    let play = Play { clients: 16, tenants: TENANTS, numbers, terms: &["1s", "1h", "1h"], manner: Manner::OnceEach };
    let database = app.superuser().await;
    let traffic = Traffic::start(&app, app.http, &play);
    let started = Instant::now();
    let settled = "SELECT count(*) FROM (
            SELECT xid FROM numbering.journal WHERE actor = 'numbering' GROUP BY xid HAVING count(DISTINCT subject) > 1) AS batches";
    let not_seen_yet = async || {
        let acts = Act::ALL.iter().filter(|act| traffic.count(|told| told.act == **act && told.succeeded()) == 0);
        let quotas = QUOTAS.iter().filter(|code| traffic.count(|told| told.was_refused_with(code)) == 0);
        let mut not_seen: Vec<String> = acts.map(|act| format!("{act:?}")).collect();
        not_seen.extend(quotas.map(ToString::to_string));
        if database.query_one(settled, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            not_seen.push("claims settled together".to_owned());
        }
        not_seen
    };
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let not_seen = not_seen_yet().await;
        if not_seen.is_empty() && started.elapsed() > PLAY {
            break;
        }
        assert!(started.elapsed() < PLAY_AT_MOST, "not seen: {not_seen:?}");
    }
    let told = traffic.stop().await;
    for told in &told {
        assert!(!told.answer.as_ref().unwrap().status.is_server_error(), "{told:?}");
    }
    books::agree_with(&database, &told).await;
    books::balance(&app).await;
    app.stop_serving().await;
    assert_eq!(deadlocks(&app).await, 0, "deadlocks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_clients_that_lease_into_a_quota_of_50_over_two_replicas_50_succeed() {
    const QUOTA: usize = 50;
    // However busy the machine is: this is about what is counted, not about how much is taken on.
    let settings = [
        ("NUMBERING_DATABASE__ACQUIRE_TIMEOUT", "20s"),
        ("NUMBERING_DATABASE__LOCK_TIMEOUT", "20s"),
        ("NUMBERING_DATABASE__STATEMENT_TIMEOUT", "20s"),
    ];
    let app = TestApp::start_with(&settings).await;
    let second = app.replica(&settings).await;
    let path = "/v1/admin/numbering/tenants/tenant-a";
    let plan = json!({"plan": "business", "status": "ACTIVE", "operatorAllowlist": null});
    app.admin().put(path, &plan).await.expect(200);
    app.admin().put(&format!("{path}/quotas"), &json!({"MSISDN": QUOTA})).await.expect(200);
    let token =
        app.issuer.token("portal", Some("tenant-a"), &["numbers.read", "numbers.write", "numbers.lease.bypass"]);
    let client = app.client(token);
    let mut clients = JoinSet::new();
    for (at, number) in app.stock_numbers(200).await.into_iter().enumerate() {
        let client = if at % 2 == 0 { client.clone() } else { client.clone().at(second.http) };
        clients.spawn(async move { client.lease(&number, "1m").await });
    }
    let answers = clients.join_all().await;
    let (granted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    for answer in refused {
        let problem = answer.problem(403, "QUOTA_EXCEEDED");
        assert_eq!((&problem["quota"], &problem["current"]), (&json!(QUOTA), &json!(QUOTA)), "{problem}");
        assert_eq!((&problem["currentCount"], &problem["identifierClass"]), (&json!(QUOTA), &json!("MSISDN")));
    }
    assert_eq!(granted.len(), QUOTA);
    let quotas = client.get("/v1/quota").await.expect(200);
    assert_eq!(quotas["quotas"]["MSISDN"], json!({"quota": QUOTA, "current": QUOTA}));
    books::balance(&app).await;
    second.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_that_take_each_other_s_lapsed_claims_all_at_once_neither_deadlock_nor_lose_one() {
    const NUMBERS: i64 = 12;
    /// Half of them for each tenant.
    const CLAIMS: usize = 6;
    const ROUNDS: usize = 6;
    let mut app = TestApp::start_with(&[("NUMBERING_POLICY__RESERVATION_TTL", "500ms")]).await;
    for tenant in ["tenant-a", "tenant-b"] {
        let path = format!("/v1/admin/numbering/tenants/{tenant}");
        let plan = json!({"plan": "starter", "status": "ACTIVE", "operatorAllowlist": null});
        app.admin().put(&path, &plan).await.expect(200);
        app.admin().put(&format!("{path}/quotas"), &json!({ "RESERVATIONS": CLAIMS })).await.expect(200);
    }
    let numbers = app.stock_numbers(NUMBERS).await;
    for round in 0..ROUNDS {
        let mut clients = JoinSet::new();
        for (at, number) in numbers.iter().cloned().enumerate() {
            // Each has as many as it may, all lapsed: the first to be refused writes them down together, while each of them
            // is taken by the other tenant.
            let tenant = if (at < CLAIMS) == (round % 2 == 0) { "tenant-a" } else { "tenant-b" };
            let client = app.tenant(tenant);
            clients.spawn(async move { client.act(&number, "reserve").await });
        }
        let mut lapsed = jiff::Timestamp::MIN;
        for answer in clients.join_all().await {
            let expires_at = answer.expect(200)["expiresAt"].as_str().unwrap().parse().unwrap();
            lapsed = lapsed.max(expires_at);
        }
        app.until_database_time(lapsed).await;
    }
    books::balance(&app).await;
    app.stop_serving().await;
    assert_eq!(deadlocks(&app).await, 0, "deadlocks");
}

/// PostgreSQL's own count, which its processes hand in when they end at the latest: nobody serves any more.
async fn deadlocks(app: &TestApp) -> i64 {
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    app.superuser().await.query_one(deadlocks, &[]).await.unwrap().get(0)
}
