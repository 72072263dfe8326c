//! `Idempotency-Key`: the same key and body has one effect and one answer (contract, section 3).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::blocks::{IMPORT, Signer, numbers};
use crate::support::{Answer, Client, TestApp};

const INVENTORY: &str = "/v1/admin/numbering/inventory";
const KEYS: &str = "/v1/admin/numbering/operators/awcc/keys";
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is sent with a key.
#[derive(Clone)]
enum Sent {
    Nothing,
    Json(Value),
    Block { signature: String, file: String },
}

/// A request that takes a key.
#[derive(Clone)]
struct Keyed {
    client: Client,
    method: Method,
    path: String,
    sent: Sent,
}

impl Keyed {
    fn post(client: &Client, path: impl Into<String>, sent: Sent) -> Self {
        Self { client: client.clone(), method: Method::POST, path: path.into(), sent }
    }

    fn act(client: &Client, number: &str, action: &str) -> Self {
        Self::post(client, format!("/v1/numbers/{number}/{action}"), Sent::Nothing)
    }

    fn json(client: &Client, path: impl Into<String>, body: Value) -> Self {
        Self::post(client, path, Sent::Json(body))
    }

    fn lease(client: &Client, number: &str) -> Self {
        Self::json(client, format!("/v1/numbers/{number}/lease"), json!({ "term": "1m" }))
    }

    fn recall(client: &Client, number: &str) -> Self {
        Self::json(client, format!("/v1/numbers/{number}/recall"), json!({ "reason": "TENANT_INITIATED" }))
    }

    fn import(client: &Client, signer: &Signer, file: &str) -> Self {
        let signature = signer.sign("awcc", file.as_bytes());
        Self::post(client, IMPORT, Sent::Block { signature, file: file.to_owned() })
    }

    async fn with(&self, key: &str) -> Answer {
        let header = [("idempotency-key", key)];
        match &self.sent {
            Sent::Nothing => self.client.send(self.method.clone(), &self.path, None, &header).await,
            Sent::Json(body) => self.client.send(self.method.clone(), &self.path, Some(body), &header).await,
            // Each form has a boundary of its own, and is the same request all the same.
            Sent::Block { signature, file } => {
                let form = crate::support::blocks::form("awcc", signature, file);
                self.client.upload(&self.path, form, &header).await
            }
        }
    }

    /// In the background, until the answer is wanted.
    fn begun(&self, key: &'static str) -> tokio::task::JoinHandle<Answer> {
        let this = self.clone();
        tokio::spawn(async move { this.with(key).await })
    }
}

fn replayed(answer: &Answer) -> bool {
    answer.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

/// The two answers are one, byte for byte, and the second says that it was given before.
#[track_caller]
fn is_replay(first: &Answer, second: &Answer) {
    assert!(!replayed(first), "{first:?}");
    assert!(replayed(second), "{second:?}");
    assert_eq!((second.status, &second.text), (first.status, &first.text));
    assert_eq!(second.headers["content-type"], first.headers["content-type"]);
}

async fn journal(database: &tokio_postgres::Client) -> i64 {
    database.query_one("SELECT count(*) FROM numbering.journal", &[]).await.unwrap().get(0)
}

/// Waits until the database's answer to `sql` is true.
async fn until(database: &tokio_postgres::Client, sql: &str) {
    let wait = async {
        while !database.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {sql}"));
}

/// Whether a statement of the service waits for a lock.
const WAITS: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                     AND application_name = 'numbering' AND wait_event_type = 'Lock')";

#[tokio::test]
async fn the_same_key_and_body_replays_a_success_byte_for_byte() {
    let app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370"]).await;
    let (a, admin) = (app.tenant("tenant-a"), app.admin());
    let number = &app.stock_numbers(1).await[0];
    let admins = |action: &str| format!("/v1/admin/numbers/{number}/{action}");
    let key_body = json!({ "keyId": "second", "publicKey": Signer::new().public_pem() });
    let file = "msisdn\n+93701111111\n+93702222222\n+9370\n";
    let database = app.superuser().await;
    let steps = [
        (200, Keyed::act(&a, number, "reserve")),
        (200, Keyed::act(&a, number, "hold")),
        (200, Keyed::act(&a, number, "release")),
        (200, Keyed::act(&a, number, "reserve")),
        (201, Keyed::lease(&a, number)),
        (200, Keyed::json(&admin, admins("suspend"), json!({}))),
        (200, Keyed::json(&admin, admins("reinstate"), json!({}))),
        (200, Keyed::recall(&a, number)),
        (200, Keyed::json(&admin, admins("quarantine/release"), json!({ "justification": "by mistake" }))),
        (201, Keyed::json(&admin, KEYS, key_body)),
        (200, Keyed::json(&admin, INVENTORY, json!({ "items": [{ "identifier": "4455" }, { "identifier": "!" }] }))),
        (200, Keyed::import(&admin, &signer, file)),
    ];
    for (at, (status, step)) in steps.into_iter().enumerate() {
        let key = format!("step:{at}");
        let before = journal(&database).await;
        let first = step.with(&key).await;
        first.expect(status);
        let effect = journal(&database).await;
        assert!(effect > before, "{}", step.path);
        for _ in 0..2 {
            is_replay(&first, &step.with(&key).await);
        }
        assert_eq!(journal(&database).await, effect, "{} had one effect", step.path);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_change_of_a_lease_takes_a_key_as_well() {
    let app = TestApp::start().await;
    let a = app.tenant("tenant-a");
    let number = &app.stock_numbers(1).await[0];
    a.act(number, "reserve").await.expect(200);
    let lease = a.lease(number, "1m").await.expect(201);
    let path = format!("/v1/leases/{}", lease["leaseId"].as_str().unwrap());
    let change = |auto_renew: bool| Keyed {
        method: Method::PATCH,
        ..Keyed::json(&a, path.clone(), json!({ "autoRenew": auto_renew }))
    };
    let first = change(true).with("patch").await;
    assert_eq!(first.expect(200)["autoRenew"], true);
    assert_eq!(change(false).with("another").await.expect(200)["autoRenew"], false);
    is_replay(&first, &change(true).with("patch").await);
    assert_eq!(a.get(&path).await.expect(200)["autoRenew"], false, "a replay has no effect");
    app.stop().await;
}

#[tokio::test]
async fn a_refusal_is_replayed_too_although_it_would_no_longer_be_one() {
    let app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370"]).await;
    let (a, b, admin) = (app.tenant("tenant-a"), app.tenant("tenant-b"), app.admin());
    let numbers = app.stock_numbers(2).await;
    b.act(&numbers[0], "reserve").await.expect(200);
    let mut forged = Keyed::import(&admin, &signer, "msisdn\n+93701111111\n");
    if let Sent::Block { file, .. } = &mut forged.sent {
        file.push_str("+93702222222\n");
    }
    let refused = [
        (409, "NOT_AVAILABLE", Keyed::act(&a, &numbers[0], "reserve")),
        (403, "HELD_BY_OTHER_TENANT", Keyed::act(&a, &numbers[0], "release")),
        (403, "BYPASS_REQUIRED", Keyed::lease(&a, &numbers[1])),
        (409, "NOT_LEASED", Keyed::recall(&a, &numbers[1])),
        (404, "NOT_REGISTERED", Keyed::act(&a, "+93799999999", "reserve")),
        (422, "SIGNATURE_INVALID", forged),
        (422, "CSV_INVALID", Keyed::import(&admin, &signer, "number\n+93701111111\n")),
        (
            404,
            "NOT_FOUND",
            Keyed::json(
                &admin,
                KEYS.replace("awcc", "nobody"),
                json!({ "keyId": "k", "publicKey": signer.public_pem() }),
            ),
        ),
    ];
    let mut first = Vec::new();
    for (at, (status, code, request)) in refused.iter().enumerate() {
        let answer = request.with(&format!("refused-{at}")).await;
        answer.problem(*status, code);
        first.push(answer);
    }
    b.act(&numbers[0], "release").await.expect(200);
    for (at, ((_, _, request), first)) in refused.iter().zip(&first).enumerate() {
        is_replay(first, &request.with(&format!("refused-{at}")).await);
    }
    // A new key is a new attempt.
    refused[0].2.with("new").await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn another_body_under_the_same_key_is_422() {
    let app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370"]).await;
    let (a, admin) = (app.tenant("tenant-a"), app.admin());
    let number = &app.stock_numbers(1).await[0];
    let path = |action: &str| format!("/v1/numbers/{number}/{action}");
    let lease = |term: &str| Keyed::json(&a, path("lease"), json!({ "term": term }));
    let stock = |code: &str| Keyed::json(&admin, INVENTORY, json!({ "items": [{ "identifier": code }] }));
    let dry = Keyed { path: format!("{IMPORT}?dryRun=true"), ..Keyed::import(&admin, &signer, "msisdn\n+93701\n") };
    for (first, others) in [
        (Keyed::act(&a, number, "reserve"), vec![Keyed::json(&a, path("reserve"), json!({}))]),
        (lease("1m"), vec![lease("2m")]),
        (stock("4455"), vec![stock("4456")]),
        (
            Keyed::import(&admin, &signer, "msisdn\n+93701\n"),
            vec![Keyed::import(&admin, &signer, "msisdn\n+93702\n"), dry],
        ),
    ] {
        let answer = first.with("one-key").await;
        assert!(answer.status.is_success(), "{answer:?}");
        for other in others {
            let refused = other.with("one-key").await;
            refused.problem(422, "IDEMPOTENCY_KEY_REUSED");
            assert!(!replayed(&refused));
        }
        is_replay(&answer, &first.with("one-key").await);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_key_is_scoped_to_tenant_method_and_path() {
    let app = TestApp::start().await;
    let (a, b) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    let colleague = app.client(app.issuer.token("colleague", Some("tenant-a"), &["numbers.write"]));
    let numbers = app.stock_numbers(3).await;
    let first = Keyed::act(&a, &numbers[0], "reserve").with("k").await;
    first.expect(200);
    for other in [
        Keyed::act(&a, &numbers[1], "reserve"),
        Keyed::act(&a, &numbers[0], "hold"),
        Keyed::act(&b, &numbers[2], "reserve"),
    ] {
        let answer = other.with("k").await;
        answer.expect(200);
        assert!(!replayed(&answer), "{}", other.path);
    }
    assert!(!replayed(&Keyed::act(&b, &numbers[0], "reserve").with("k").await));
    is_replay(&first, &Keyed::act(&colleague, &numbers[0], "reserve").with("k").await);
    app.stop().await;
}

#[tokio::test]
async fn a_key_that_is_none_is_400_and_does_nothing() {
    let app = TestApp::start().await;
    let a = app.tenant("tenant-a");
    let number = &app.stock_numbers(1).await[0];
    for key in ["", "a b", "a.b", "{}", &"k".repeat(256)] {
        let problem = Keyed::act(&a, number, "reserve").with(key).await.problem(400, "MALFORMED_REQUEST");
        assert_eq!(problem["header"], "Idempotency-Key");
    }
    assert_eq!(a.get(&format!("/v1/numbers/{number}")).await.expect(200)["state"], "AVAILABLE");
    Keyed::act(&a, number, "reserve").with(&"k".repeat(255)).await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn while_the_first_is_running_the_same_is_409_at_once() {
    let app =
        TestApp::start_with(&[("NUMBERING_DATABASE__LOCK_TIMEOUT", "15s"), ("NUMBERING_IDEMPOTENCY__CLAIM", "100ms")])
            .await;
    let a = app.tenant("tenant-a");
    let number = &app.stock_numbers(1).await[0];
    let database = app.superuser().await;
    let mut other = app.superuser().await;
    let locked = other.transaction().await.unwrap();
    locked.query("SELECT FROM numbering.numbers FOR UPDATE", &[]).await.unwrap();

    let request = Keyed::act(&a, number, "reserve");
    let first = request.begun("slow");
    until(&database, WAITS).await;
    // However long ago its claim ought to have ended: it holds it while it commits.
    until(&database, "SELECT clock_timestamp() > max(claimed_until) FROM numbering.idempotency_keys").await;
    for _ in 0..3 {
        // At once: neither does it wait for the lock, nor does it keep a connection from others.
        let second = timeout(Duration::from_secs(5), request.with("slow")).await.expect("an answer at once");
        second.problem(409, "IDEMPOTENCY_IN_FLIGHT");
        let reused = Keyed::json(&a, request.path.clone(), json!({})).with("slow").await;
        reused.problem(422, "IDEMPOTENCY_KEY_REUSED");
    }
    assert!(!first.is_finished());
    locked.rollback().await.unwrap();
    let first = first.await.unwrap();
    first.expect(200);
    is_replay(&first, &request.with("slow").await);
    assert_eq!(journal(&database).await, 1);
    app.stop().await;
}

#[tokio::test]
async fn after_a_failure_the_same_key_may_be_tried_again() {
    let app =
        TestApp::start_with(&[("NUMBERING_DATABASE__LOCK_TIMEOUT", "200ms"), ("NUMBERING_IMPORT__TIMEOUT", "500ms")])
            .await;
    let signer = app.operator("awcc", &["+9370"]).await;
    let (a, admin) = (app.tenant("tenant-a"), app.admin());
    let number = &app.stock_numbers(1).await[0];
    a.get("/v1/quota").await.expect(200);
    let database = app.superuser().await;
    let mut other = app.superuser().await;
    let new_key = json!({ "keyId": "second", "publicKey": signer.public_pem() });
    let code_in_the_way = "INSERT INTO numbering.numbers (identifier, identifier_class, shown)
                           VALUES ('4455', 'SHORT_CODE', '4455')";
    let number_in_the_way = "INSERT INTO numbering.numbers (identifier, identifier_class, shown)
                             VALUES ('+93701234567', 'MSISDN', '+93701234567')";
    for (lock, request) in [
        ("SELECT FROM numbering.numbers FOR UPDATE", Keyed::act(&a, number, "reserve")),
        ("SELECT FROM numbering.tenants FOR UPDATE", Keyed::lease(&a, number)),
        ("SELECT FROM numbering.numbers FOR UPDATE", Keyed::recall(&a, number)),
        ("SELECT FROM numbering.operators FOR UPDATE", Keyed::json(&admin, KEYS, new_key)),
        (code_in_the_way, Keyed::json(&admin, INVENTORY, json!({ "items": [{ "identifier": "4455" }] }))),
        (number_in_the_way, Keyed::import(&admin, &signer, "msisdn\n+93701234567\n")),
    ] {
        let before = journal(&database).await;
        let locked = other.transaction().await.unwrap();
        locked.query(lock, &[]).await.unwrap();
        let failed = request.with("again").await;
        failed.problem(503, "UNAVAILABLE");
        assert!(failed.headers.contains_key("retry-after") && !replayed(&failed), "{failed:?}");
        locked.rollback().await.unwrap();
        assert_eq!(journal(&database).await, before, "{}: a failure has no effect", request.path);
        let mut first = request.with("again").await;
        // An import that is given up may need a moment to end.
        while first.status == 409 {
            first.problem(409, "IDEMPOTENCY_IN_FLIGHT");
            first = request.with("again").await;
        }
        assert!(first.status.is_success(), "{}: {first:?}", request.path);
        assert!(journal(&database).await > before);
        is_replay(&first, &request.with("again").await);
    }
    app.stop().await;
}

#[tokio::test]
async fn of_50_identical_requests_one_has_an_effect_on_two_replicas() {
    // Few connections, and patience for them: what is shown here is not how long fifty handshakes take.
    let settings = [("NUMBERING_DATABASE__POOL_SIZE", "4"), ("NUMBERING_DATABASE__ACQUIRE_TIMEOUT", "20s")];
    let app = TestApp::start_with(&settings).await;
    let replica = app.replica(&settings).await;
    let signer = app.operator("awcc", &["+9370"]).await;
    let (a, admin) = (app.tenant("tenant-a"), app.admin());
    let number = &app.stock_numbers(1).await[0];
    let database = app.superuser().await;
    let new_key = json!({ "keyId": "second", "publicKey": signer.public_pem() });
    let file: String = numbers(200).replace("+937000", "+937011");
    for (entries, request) in [
        (1, Keyed::act(&a, number, "reserve")),
        (1, Keyed::act(&a, number, "hold")),
        (1, Keyed::lease(&a, number)),
        (2, Keyed::recall(&a, number)),
        (1, Keyed::json(&admin, KEYS, new_key)),
        (1, Keyed::json(&admin, INVENTORY, json!({ "items": [{ "identifier": "4455" }] }))),
        (1, Keyed::import(&admin, &signer, &file)),
    ] {
        let before = journal(&database).await;
        let mut all = tokio::task::JoinSet::new();
        for at in 0..50 {
            let mut request = request.clone();
            if at % 2 == 1 {
                request.client = request.client.at(replica.http);
            }
            all.spawn(async move { request.with("at-once").await });
        }
        let answers = all.join_all().await;
        let (first, others): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status.is_success() && !replayed(answer));
        let [first] = first[..] else { panic!("{}: {} had an effect: {answers:?}", request.path, first.len()) };
        for other in others {
            if replayed(other) {
                is_replay(first, other);
            } else if other.status != 503 {
                other.problem(409, "IDEMPOTENCY_IN_FLIGHT");
            } else {
                // Imports are few at a time, and say so before they look at the key.
                assert_eq!(request.path, IMPORT, "{other:?}");
            }
        }
        assert_eq!(journal(&database).await - before, entries, "{}", request.path);
        is_replay(first, &request.with("at-once").await);
    }
    replica.stop().await;
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_hung_up_gets_the_first_answer() {
    let app = TestApp::start_with(&[("NUMBERING_DATABASE__LOCK_TIMEOUT", "15s")]).await;
    let a = app.tenant("tenant-a");
    let number = &app.stock_numbers(1).await[0];
    let database = app.superuser().await;
    let mut other = app.superuser().await;
    let locked = other.transaction().await.unwrap();
    locked.query("SELECT FROM numbering.numbers FOR UPDATE", &[]).await.unwrap();
    let request = Keyed::act(&a, number, "reserve");
    let first = request.begun("hung-up");
    until(&database, WAITS).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    locked.rollback().await.unwrap();
    until(&database, "SELECT EXISTS (SELECT FROM numbering.idempotency_keys WHERE status = 200)").await;
    let second = request.with("hung-up").await;
    assert_eq!(second.expect(200)["state"], "RESERVED");
    assert!(replayed(&second));
    assert_eq!(journal(&database).await, 1);
    app.stop().await;
}

#[tokio::test]
async fn a_claim_whose_owner_died_lapses_to_the_same_request_only() {
    let app = TestApp::start().await;
    let a = app.tenant("tenant-a");
    let number = &app.stock_numbers(1).await[0];
    let database = app.superuser().await;
    let request = Keyed::act(&a, number, "reserve");
    // As an owner leaves it that was killed: claimed, and never answered.
    request.with("orphan").await.expect(200);
    a.act(number, "release").await.expect(200);
    let left = "UPDATE numbering.idempotency_keys SET status = NULL, body = NULL, claimed_until = clock_timestamp() + $1::text::interval";
    database.execute(left, &[&"1 minute"]).await.unwrap();
    request.with("orphan").await.problem(409, "IDEMPOTENCY_IN_FLIGHT");
    database.execute(left, &[&"-1 second"]).await.unwrap();
    Keyed::json(&a, request.path.clone(), json!({})).with("orphan").await.problem(422, "IDEMPOTENCY_KEY_REUSED");
    let taken_over = request.with("orphan").await;
    taken_over.expect(200);
    is_replay(&taken_over, &request.with("orphan").await);
    app.stop().await;
}

#[tokio::test]
async fn a_key_is_free_again_after_its_time() {
    let app = TestApp::start().await;
    let a = app.tenant("tenant-a");
    let number = &app.stock_numbers(1).await[0];
    let database = app.superuser().await;
    let request = Keyed::act(&a, number, "reserve");
    let first = request.with("old").await;
    let aged = "UPDATE numbering.idempotency_keys SET created_at = clock_timestamp() - $1::text::interval";
    database.execute(aged, &[&"23 hours 59 minutes"]).await.unwrap();
    is_replay(&first, &request.with("old").await);
    database.execute(aged, &[&"24 hours 1 second"]).await.unwrap();
    let anew = Keyed::json(&a, request.path.clone(), json!({})).with("old").await;
    anew.problem(409, "NOT_AVAILABLE");
    assert!(!replayed(&anew));
    app.stop().await;
}
