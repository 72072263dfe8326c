//! Several numbers reserved at once: any that match, or each of a list.

mod searches;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::faults::books;
use crate::support::{Answer, Client, TestApp, until};

const RESERVE: &str = "/v1/numbers/reserve";
/// However busy the machine is: these tests are about what is granted, not about how much is taken on.
const PATIENT: [(&str, &str); 4] = [
    ("NUMBERING_ALLOCATE__TIMEOUT", "30s"),
    ("NUMBERING_DATABASE__ACQUIRE_TIMEOUT", "20s"),
    ("NUMBERING_DATABASE__LOCK_TIMEOUT", "20s"),
    ("NUMBERING_DATABASE__STATEMENT_TIMEOUT", "20s"),
];

impl TestApp {
    async fn on_plan(&self, tenant: &str, plan: &str) -> Client {
        let body = json!({ "plan": plan, "status": "ACTIVE", "operatorAllowlist": null });
        self.admin().put(&format!("/v1/admin/numbering/tenants/{tenant}"), &body).await.expect(200);
        self.tenant(tenant)
    }

    async fn reservations_of(&self, tenant: &str) -> i64 {
        let quota = self.tenant(tenant).get("/v1/quota").await.expect(200);
        quota["quotas"]["RESERVATIONS"]["current"].as_i64().unwrap()
    }

    async fn execute(&self, sql: &str) {
        self.superuser().await.batch_execute(sql).await.unwrap();
    }
}

fn any(count: usize) -> Value {
    json!({ "identifierClass": "MSISDN", "count": count })
}

fn identifiers(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap();
    items.iter().map(|item| item["identifier"].as_str().unwrap().to_owned()).collect()
}

/// What one client of the drain was given, and how long each of its requests took.
#[derive(Default)]
struct Drained {
    numbers: Vec<String>,
    took: Vec<Duration>,
}

/// Reserves until none is left, so many at a time and fewer once fewer are left.
async fn drain(client: Client, database: tokio_postgres::Client, mut count: usize) -> Drained {
    let mut drained = Drained::default();
    loop {
        let started = Instant::now();
        let answer = client.post(RESERVE, &any(count)).await;
        drained.took.push(started.elapsed());
        if answer.status == 200 {
            let numbers = identifiers(&answer.json());
            assert_eq!(numbers.len(), count);
            drained.numbers.extend(numbers);
            continue;
        }
        let available = answer.problem(409, "NOT_AVAILABLE")["available"].as_u64().unwrap();
        let available = usize::try_from(available).unwrap();
        assert!(available < count, "{available} are enough for {count}");
        if available == 0 {
            let left = "SELECT count(*) FROM numbering.numbers WHERE state = 'AVAILABLE'";
            assert_eq!(database.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0, "none is left");
            return drained;
        }
        count = available;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_1000_numbers_64_clients_over_two_replicas_get_each_once_and_no_409_while_there_are_enough() {
    const NUMBERS: usize = 1_000;
    const TENANTS: usize = 8;
    const CLIENTS: usize = 64;
    let mut app = TestApp::start_with(&PATIENT).await;
    let second = app.replica(&PATIENT).await;
    for tenant in 0..TENANTS {
        app.on_plan(&format!("tenant-{tenant}"), "premium").await;
    }
    app.stock_numbers(NUMBERS.try_into().unwrap()).await;
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let at = if client % 2 == 0 { app.http } else { second.http };
        let tenant = app.tenant(&format!("tenant-{}", client % TENANTS)).at(at);
        let count = [1, 2, 5, 10, 20][client % 5];
        clients.spawn(drain(tenant, app.superuser().await, count));
    }
    let drained = clients.join_all().await;
    let took = started.elapsed();
    let numbers: Vec<&String> = drained.iter().flat_map(|drained| &drained.numbers).collect();
    assert_eq!(numbers.len(), NUMBERS);
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), NUMBERS, "each number once");
    let mut all: Vec<Duration> = drained.iter().flat_map(|drained| drained.took.clone()).collect();
    all.sort();
    eprintln!(
        "{NUMBERS} numbers in {took:?}, {} requests, p95 {:?}, longest {:?}",
        all.len(),
        all[all.len() * 95 / 100],
        all[all.len() - 1]
    );
    for address in [app.http, second.http] {
        let metrics = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
        let retries = metrics.lines().find(|line| line.starts_with("numbering_allocation_retries_total"));
        eprintln!("{}", retries.unwrap());
    }
    let mut reserved = 0;
    for tenant in 0..TENANTS {
        reserved += app.reservations_of(&format!("tenant-{tenant}")).await;
    }
    assert_eq!(usize::try_from(reserved).unwrap(), NUMBERS);
    books::balance(&app).await;
    second.stop().await;
    app.stop_serving().await;
}

#[tokio::test]
async fn all_or_nothing_says_how_many_there_were_and_leaves_nothing_behind_and_partial_takes_what_there_is() {
    let app = TestApp::start().await;
    let a = app.on_plan("tenant-a", "premium").await;
    app.stock_numbers(5).await;
    let problem = a.post(RESERVE, &any(6)).await.problem(409, "NOT_AVAILABLE");
    assert_eq!(problem["available"], 5);
    assert_eq!(app.reservations_of("tenant-a").await, 0);
    let journal = "SELECT count(*) FROM numbering.journal WHERE subject_kind = 'number'";
    assert_eq!(app.superuser().await.query_one(journal, &[]).await.unwrap().get::<_, i64>(0), 0);

    let answer =
        a.post(RESERVE, &json!({ "identifierClass": "MSISDN", "count": 6, "partial": true })).await.expect(200);
    let numbers = identifiers(&answer);
    assert_eq!(numbers.len(), 5);
    assert!(numbers.is_sorted());
    for item in answer["items"].as_array().unwrap() {
        assert_eq!(
            (&item["state"], &item["tenantId"], &item["version"]),
            (&json!("RESERVED"), &json!("tenant-a"), &json!(1))
        );
        assert!(item["expiresAt"].is_string() && item["reservationId"].is_string(), "{item}");
    }
    let claims: BTreeSet<&str> =
        answer["items"].as_array().unwrap().iter().map(|item| item["reservationId"].as_str().unwrap()).collect();
    assert_eq!(claims.len(), 5, "each its own claim");
    // None at all is a refusal, with partial too.
    let none = a.post(RESERVE, &json!({ "identifierClass": "MSISDN", "count": 1, "partial": true })).await;
    assert_eq!(none.problem(409, "NOT_AVAILABLE")["available"], 0);
    books::balance(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn the_quota_of_reservations_holds_to_the_number() {
    let app = TestApp::start().await;
    let a = app.on_plan("tenant-a", "starter").await;
    let quotas = json!({ "RESERVATIONS": 7 });
    app.admin().put("/v1/admin/numbering/tenants/tenant-a/quotas", &quotas).await.expect(200);
    let numbers = app.stock_numbers(30).await;
    let problem = a.post(RESERVE, &any(8)).await.problem(403, "RESERVATION_QUOTA");
    assert_eq!((&problem["quota"], &problem["current"]), (&json!(7), &json!(0)));
    assert_eq!(app.reservations_of("tenant-a").await, 0);
    // The state of numbers comes before quotas.
    assert_eq!(a.post(RESERVE, &any(31)).await.problem(409, "NOT_AVAILABLE")["available"], 30);
    assert_eq!(identifiers(&a.post(RESERVE, &any(3)).await.expect(200)).len(), 3);
    let partial = json!({ "identifierClass": "MSISDN", "count": 8, "partial": true });
    assert_eq!(identifiers(&a.post(RESERVE, &partial).await.expect(200)).len(), 4);
    let problem = a.post(RESERVE, &partial).await.problem(403, "RESERVATION_QUOTA");
    assert_eq!((&problem["quota"], &problem["current"]), (&json!(7), &json!(7)));

    // Of a list, those that the quota has room for, in the order asked.
    let b = app.on_plan("tenant-b", "starter").await;
    app.admin().put("/v1/admin/numbering/tenants/tenant-b/quotas", &json!({ "RESERVATIONS": 2 })).await.expect(200);
    let free = "SELECT identifier FROM numbering.numbers WHERE state = 'AVAILABLE' ORDER BY identifier DESC LIMIT 3";
    let free: Vec<String> =
        app.superuser().await.query(free, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let answer = b.post(RESERVE, &json!({ "identifiers": free })).await.expect(200);
    let statuses: Vec<&Value> = answer["items"].as_array().unwrap().iter().map(|item| &item["status"]).collect();
    assert_eq!(statuses, [200, 200, 403]);
    let refused = &answer["items"][2]["problem"];
    assert_eq!((&refused["code"], &refused["current"]), (&json!("RESERVATION_QUOTA"), &json!(2)));
    assert_eq!(numbers.len(), 30);
    books::balance(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn what_has_run_out_neither_counts_against_the_quota_nor_is_kept_from_others() {
    let app = TestApp::start_with(&[("NUMBERING_POLICY__RESERVATION_TTL", "1s")]).await;
    let (a, b) = (app.on_plan("tenant-a", "starter").await, app.on_plan("tenant-b", "starter").await);
    app.stock_numbers(10).await;
    // Nobody sweeps meanwhile.
    app.keep_job_from_running("release_expired").await;
    for client in [&a, &b, &a] {
        let answer = client.post(RESERVE, &any(10)).await.expect(200);
        let lapses = answer["items"][0]["expiresAt"].as_str().unwrap().parse().unwrap();
        assert_eq!(identifiers(&answer).len(), 10);
        app.until_database_time(lapses).await;
    }
    app.let_job_run("release_expired").await;
    until("all are released", async || app.reservations_of("tenant-a").await == 0).await;
    books::balance(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn only_what_matches_and_what_the_tenant_may_take_is_reserved() {
    let app = TestApp::start().await;
    let a = app.on_plan("tenant-a", "premium").await;
    app.execute(
        "INSERT INTO numbering.numbers (identifier, identifier_class, shown, operator_id, vanity_eligible, valid_from, bars)
         SELECT n, 'MSISDN', n, operator, eligible, valid_from, bars::jsonb
         FROM (VALUES
            ('+93700000001', 'awcc', false, NULL::timestamptz, '[]'),
            ('+93700000002', 'awcc', true, NULL, '[]'),
            ('+93700000077', 'awcc', false, NULL, '[]'),
            ('+93790000001', 'roshan', false, NULL, '[]'),
            ('+93790000077', 'roshan', true, NULL, '[]'),
            ('+93790000100', 'roshan', false, clock_timestamp() + interval '1 day', '[]'),
            ('+93790000101', 'roshan', false, NULL, '[{\"tenant\": \"tenant-a\", \"until\": \"2100-01-01T00:00:00Z\"}]')
         ) AS v (n, operator, eligible, valid_from, bars);
         INSERT INTO numbering.numbers (identifier, identifier_class, shown)
         VALUES ('119', 'SHORT_CODE', '119'), ('4041', 'SHORT_CODE', '4041'), ('BANK-1', 'ALPHA', 'Bank-1');",
    )
    .await;
    let all_of = async |client: &Client, criteria: Value| {
        let mut body = json!({ "identifierClass": "MSISDN", "count": 100, "partial": true });
        body.as_object_mut().unwrap().extend(criteria.as_object().unwrap().clone());
        let answer = client.post(RESERVE, &body).await;
        if answer.status != 200 {
            return vec![answer.json()["code"].as_str().unwrap().to_owned()];
        }
        let numbers = identifiers(&answer.json());
        for number in &numbers {
            client.act(&number.replace(' ', "%20"), "release").await.expect(200);
        }
        numbers
    };
    for (criteria, found) in [
        (json!({ "operatorId": "awcc" }), vec!["+93700000001", "+93700000002", "+93700000077"]),
        (json!({ "operatorId": "awcc", "vanity": true }), vec!["+93700000002"]),
        (json!({ "vanity": true }), vec!["+93700000002", "+93790000077"]),
        (json!({ "prefix": "9379" }), vec!["+93790000001", "+93790000077"]),
        (json!({ "pattern": "*77" }), vec!["+93700000077", "+93790000077"]),
        (json!({ "pattern": "+9370*7?", "prefix": "+9370" }), vec!["+93700000077"]),
        (json!({ "operatorId": "nobody" }), vec!["NOT_AVAILABLE"]),
        (json!({ "identifierClass": "SHORT_CODE" }), vec!["4041"]),
        (json!({ "identifierClass": "SHORT_CODE", "operatorId": "awcc" }), vec!["NOT_AVAILABLE"]),
        (json!({ "identifierClass": "ALPHA", "pattern": "bank*" }), vec!["Bank-1"]),
    ] {
        assert_eq!(all_of(&a, criteria.clone()).await, found, "{criteria}");
    }
    // What is not eligible for vanity goes first.
    let one = a.post(RESERVE, &json!({ "identifierClass": "MSISDN", "operatorId": "roshan", "count": 1 })).await;
    assert_eq!(identifiers(&one.expect(200)), ["+93790000001"]);
    // Another tenant is not barred.
    let b = app.on_plan("tenant-b", "premium").await;
    assert_eq!(all_of(&b, json!({ "pattern": "*101" })).await, ["+93790000101"]);

    let allowlist = json!({ "plan": "premium", "status": "ACTIVE", "operatorAllowlist": ["roshan"] });
    app.admin().put("/v1/admin/numbering/tenants/tenant-b", &allowlist).await.expect(200);
    assert_eq!(all_of(&b, json!({})).await, ["+93790000077", "+93790000101"]);
    assert_eq!(all_of(&b, json!({ "operatorId": "awcc" })).await, ["OPERATOR_NOT_ALLOWED"]);
    assert_eq!(all_of(&b, json!({ "identifierClass": "ALPHA" })).await, ["Bank-1"]);
    let suspended = json!({ "plan": "premium", "status": "SUSPENDED", "operatorAllowlist": null });
    app.admin().put("/v1/admin/numbering/tenants/tenant-b", &suspended).await.expect(200);
    assert_eq!(all_of(&b, json!({ "prefix": "+9399" })).await, ["TENANT_SUSPENDED"]);
    app.stop().await;
}

#[tokio::test]
async fn each_of_a_list_is_answered_as_it_would_be_by_itself_in_the_order_asked() {
    let app = TestApp::start().await;
    let (a, b) = (app.on_plan("tenant-a", "premium").await, app.on_plan("tenant-b", "premium").await);
    let numbers = app.stock_numbers(5).await;
    app.stock(json!([{ "identifier": "BANK-1" }])).await;
    b.act(&numbers[1], "reserve").await.expect(200);
    a.act(&numbers[2], "reserve").await.expect(200);
    let lease = json!({ "tenantId": "tenant-b", "term": "1m" });
    app.admin().post(&format!("/v1/numbers/{}/lease", numbers[3]), &lease).await.expect(201);
    app.admin().recall(&numbers[3], "ABUSE", Some("T-1")).await.expect(200);
    let asked = json!([
        numbers[4],
        numbers[1],
        "bank-1",
        numbers[2],
        "not an identifier!",
        "+93709999999",
        numbers[4],
        "119",
        numbers[3],
        "BANK-1"
    ]);
    let answer = a.post(RESERVE, &json!({ "identifiers": asked })).await;
    let request_id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
    let items = answer.expect(200)["items"].as_array().unwrap().clone();
    let told: Vec<(String, i64, String)> = items
        .iter()
        .map(|item| {
            let outcome = item["number"]["state"].as_str().or(item["problem"]["code"].as_str()).unwrap();
            (item["identifier"].as_str().unwrap().to_owned(), item["status"].as_i64().unwrap(), outcome.to_owned())
        })
        .collect();
    let expected = [
        (numbers[4].as_str(), 200, "RESERVED"),
        (&numbers[1], 409, "NOT_AVAILABLE"),
        ("bank-1", 200, "RESERVED"),
        (&numbers[2], 409, "NOT_AVAILABLE"),
        ("not an identifier!", 422, "INVALID_IDENTIFIER"),
        ("+93709999999", 404, "NOT_REGISTERED"),
        (&numbers[4], 409, "NOT_AVAILABLE"),
        ("119", 422, "INVALID_IDENTIFIER"),
        (&numbers[3], 409, "QUARANTINE_ACTIVE"),
        ("BANK-1", 409, "NOT_AVAILABLE"),
    ];
    let told: Vec<(&str, i64, &str)> = told.iter().map(|(a, b, c)| (a.as_str(), *b, c.as_str())).collect();
    assert_eq!(told, expected);
    assert_eq!(items[6]["problem"]["state"], "RESERVED");
    assert_eq!(items[1]["problem"]["requestId"], request_id.as_str());
    assert_eq!(items[0]["number"]["tenantId"], "tenant-a");
    // One commit.
    let transactions = "SELECT count(DISTINCT xid), count(*) FROM numbering.journal WHERE request_id = $1";
    let row = app.superuser().await.query_one(transactions, &[&request_id]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 2));
    books::balance(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn a_request_is_of_one_of_the_two_forms_and_within_its_limits() {
    let app = TestApp::start().await;
    let a = app.tenant("tenant-a");
    let too_many: Vec<String> = (0..101).map(|n| format!("+93{}", 700_000_000 + n)).collect();
    for (body, pointer) in [
        (json!({}), ""),
        (json!({ "identifierClass": "MSISDN" }), ""),
        (json!({ "count": 1 }), ""),
        (json!({ "identifierClass": "MSISDN", "count": 1, "identifiers": ["+93700000000"] }), ""),
        (json!({ "identifiers": ["+93700000000"], "partial": true }), ""),
        (json!({ "identifiers": [] }), "/identifiers"),
        (json!({ "identifiers": too_many }), "/identifiers"),
        (json!({ "identifiers": [1] }), "/identifiers/0"),
        (json!({ "identifierClass": "MSISDN", "count": 0 }), "/count"),
        (json!({ "identifierClass": "MSISDN", "count": 101 }), "/count"),
        (json!({ "identifierClass": "FAX", "count": 1 }), "/identifierClass"),
        (json!({ "identifierClass": "MSISDN", "count": 1, "prefix": "93%" }), "/prefix"),
        (json!({ "identifierClass": "MSISDN", "count": 1, "operatorId": "" }), "/operatorId"),
        (json!({ "identifierClass": "MSISDN", "count": 1, "tenantId": "tenant-b" }), "/tenantId"),
        (json!({ "identifierClass": "MSISDN", "count": null }), "/count"),
    ] {
        let problem = a.post(RESERVE, &body).await.problem(422, "VALIDATION_FAILED");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }
    let pattern = json!({ "identifierClass": "MSISDN", "count": 1, "pattern": "93%" });
    a.post(RESERVE, &pattern).await.problem(422, "INVALID_PATTERN");
    // The sender ID of that name is still there to be read.
    app.stock(json!([{ "identifier": "Reserve" }])).await;
    a.get("/v1/numbers/Reserve").await.expect(200);
    app.stop().await;
}

async fn keyed(client: &Client, body: &Value, key: &str) -> Answer {
    client.send(Method::POST, RESERVE, Some(body), &[("idempotency-key", key)]).await
}

#[tokio::test]
async fn the_same_key_replays_the_whole_answer_and_reserves_nothing_more() {
    let app = TestApp::start().await;
    let a = app.on_plan("tenant-a", "premium").await;
    let numbers = app.stock_numbers(20).await;
    for (key, body) in [
        ("any", any(3)),
        ("none", any(50)),
        ("list", json!({ "identifiers": [numbers[0], numbers[1], "no identifier!"] })),
        ("list-of-none", json!({ "identifiers": ["no identifier!"] })),
    ] {
        let first = keyed(&a, &body, key).await;
        let reserved = app.reservations_of("tenant-a").await;
        let again = keyed(&a, &body, key).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{key}");
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(app.reservations_of("tenant-a").await, reserved);
        keyed(&a, &any(4), key).await.problem(422, "IDEMPOTENCY_KEY_REUSED");
    }
    books::balance(&app).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_others_have_locked_are_waited_for_and_are_there_when_the_others_let_go() {
    let app = TestApp::start_with(&PATIENT).await;
    let a = app.on_plan("tenant-a", "premium").await;
    app.stock_numbers(10).await;
    let (database, mut other) = (app.superuser().await, app.superuser().await);
    let lock = other.transaction().await.unwrap();
    lock.query("SELECT FROM numbering.numbers FOR UPDATE", &[]).await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'numbering' AND wait_event_type = 'Lock'";
    let request = tokio::spawn(async move { a.post(RESERVE, &any(10)).await });
    until("it waits", async || database.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
    assert!(!request.is_finished());
    lock.rollback().await.unwrap();
    assert_eq!(identifiers(&request.await.unwrap().expect(200)).len(), 10);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_others_have_locked_for_longer_than_one_round_waits_are_had_in_a_later_one() {
    let app = TestApp::start().await;
    let a = app.on_plan("tenant-a", "premium").await;
    app.stock_numbers(10).await;
    let mut other = app.superuser().await;
    let lock = other.transaction().await.unwrap();
    lock.query("SELECT FROM numbering.numbers FOR UPDATE", &[]).await.unwrap();
    let request = tokio::spawn(async move { a.post(RESERVE, &any(10)).await });
    // Two rounds wait for nobody; after the third a lock timeout is over.
    until("a round has waited in vain", async || {
        assert!(!request.is_finished());
        let metrics = reqwest::get(format!("http://{}/metrics", app.http)).await.unwrap().text().await.unwrap();
        metrics.lines().any(|line| line == "numbering_allocation_retries_total 3")
    })
    .await;
    lock.rollback().await.unwrap();
    assert_eq!(identifiers(&request.await.unwrap().expect(200)).len(), 10);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_waits_for_no_number_that_is_not_the_tenant_s_to_take() {
    let app = TestApp::start().await;
    let a = app.on_plan("tenant-a", "premium").await;
    let b = app.on_plan("tenant-b", "premium").await;
    let numbers = app.stock_numbers(3).await;
    b.act(&numbers[1], "reserve").await.expect(200);
    let mut other = app.superuser().await;
    let lock = other.transaction().await.unwrap();
    lock.query("SELECT FROM numbering.numbers WHERE identifier = $1 FOR UPDATE", &[&numbers[1]]).await.unwrap();
    let body = json!({ "identifiers": numbers });
    let answer = a.post(RESERVE, &body).await.expect(200);
    let statuses: Vec<_> = answer["items"].as_array().unwrap().iter().map(|item| item["status"].clone()).collect();
    assert_eq!(statuses, [200, 409, 200]);
    assert_eq!(answer["items"][1]["problem"]["code"], "NOT_AVAILABLE");
    lock.rollback().await.unwrap();
    app.stop().await;
}

#[tokio::test]
async fn a_pool_that_is_99_percent_taken_and_a_rare_pattern_find_what_is_left() {
    let app = TestApp::start_with(&PATIENT).await;
    let a = app.on_plan("tenant-a", "premium").await;
    app.execute(
        "INSERT INTO numbering.numbers (identifier, identifier_class, shown, state, lease_id, deadline, ended_by, version)
         SELECT n, 'MSISDN', n, state, CASE state WHEN 'QUARANTINE' THEN gen_random_uuid() END,
                CASE state WHEN 'QUARANTINE' THEN timestamptz '2100-01-01' END,
                CASE state WHEN 'QUARANTINE' THEN 'RECALL' END, 0
         FROM (SELECT '+93' || 700000000 + i AS n, CASE WHEN i % 100 = 50 THEN 'AVAILABLE' ELSE 'QUARANTINE' END AS state
               FROM generate_series(0, 99999) AS i) AS x;
         INSERT INTO numbering.numbers (identifier, identifier_class, shown)
         SELECT n, 'MSISDN', n FROM (SELECT '+93' || 790000000 + i AS n FROM generate_series(0, 99999) AS i) AS x;",
    )
    .await;
    let mut taken = BTreeSet::new();
    for _ in 0..10 {
        let body = json!({ "identifierClass": "MSISDN", "prefix": "+9370", "count": 100 });
        taken.extend(identifiers(&a.post(RESERVE, &body).await.expect(200)));
    }
    assert_eq!(taken.len(), 1_000, "all that were left");
    let b = app.on_plan("tenant-b", "premium").await;
    let body = json!({ "identifierClass": "MSISDN", "prefix": "+9370", "count": 1 });
    assert_eq!(b.post(RESERVE, &body).await.problem(409, "NOT_AVAILABLE")["available"], 0);
    let body = json!({ "identifierClass": "MSISDN", "pattern": "+93790*9998?", "count": 10 });
    assert_eq!(identifiers(&b.post(RESERVE, &body).await.expect(200)).len(), 10);
    app.stop().await;
}
