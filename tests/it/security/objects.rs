//! One tenant's objects against another: by identifier, by id, by cursor, by idempotency key.

use reqwest::Method;
use serde_json::{Value, json};

use super::requests::{Subject, prepare};
use super::traces::Traces;
use crate::support::{Answer, Client, TestApp};

const STATES: [&str; 6] = ["AVAILABLE", "RESERVED", "HELD", "LEASED", "SUSPENDED", "QUARANTINE"];

/// Every member of a number but those that only its holder and admins see.
const SHOWN_TO_ALL: [&str; 8] =
    ["identifier", "identifierClass", "state", "blockId", "vanityEligible", "priceTier", "version", "availableAt"];

async fn of_every_state(app: &TestApp) -> Vec<(&'static str, Subject)> {
    let numbers = app.stock_numbers(i64::try_from(STATES.len()).unwrap()).await;
    let mut subjects = Vec::new();
    for (state, number) in STATES.into_iter().zip(numbers) {
        subjects.push((state, prepare(app, &number, state).await));
    }
    subjects
}

#[track_caller]
fn tells_nothing(answer: &Answer, subject: &Subject) {
    for secret in &subject.secrets {
        assert!(!answer.text.contains(secret.as_str()), "{secret} of {}: {}", subject.number, answer.text);
    }
}

/// Both answers are the same but for the request's id.
#[track_caller]
fn same(one: &Answer, other: &Answer) {
    let body = |answer: &Answer| {
        let mut body = answer.json();
        body.as_object_mut().unwrap().remove("requestId");
        (answer.status, body)
    };
    assert_eq!(body(one), body(other));
}

#[tokio::test]
async fn who_holds_a_number_is_shown_to_the_holder_and_to_admins_only() {
    let app = TestApp::start().await;
    let (a, b) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    let untied = app.client(app.issuer.token("portal", None, &["numbers.read"]));
    for (state, subject) in of_every_state(&app).await {
        let path = format!("/v1/numbers/{}", subject.number);
        let held = ["RESERVED", "HELD", "LEASED", "SUSPENDED"].contains(&state);
        for client in [&a, &app.admin()] {
            let shown = client.get(&path).await.expect(200);
            assert_eq!(shown["tenantId"].as_str(), held.then_some("tenant-a"), "{shown}");
        }
        for client in [&b, &untied] {
            let answer = client.get(&path).await;
            let shown = answer.expect(200);
            assert_eq!(shown["state"], state);
            for member in shown.as_object().unwrap().keys() {
                assert!(SHOWN_TO_ALL.contains(&member.as_str()), "{member} in {shown}");
            }
            tells_nothing(&answer, &subject);
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn another_tenant_can_change_nothing_by_identifier_and_learns_nothing_from_the_refusal() {
    let app = TestApp::start().await;
    let b = app.tenant("tenant-b");
    b.get("/v1/quota").await.expect(200);
    let subjects = of_every_state(&app).await;
    let database = app.superuser().await;
    let before = Traces::of(&database).await;
    for (state, subject) in subjects.iter().filter(|(state, _)| *state != "AVAILABLE") {
        let plain = subject.number.clone();
        let encoded = plain.replace('+', "%2B").replace('7', "%37");
        for number in [plain, encoded] {
            let mut answers = Vec::new();
            for action in ["reserve", "hold", "release"] {
                answers.push((action, b.act(&number, action).await));
            }
            answers.push(("lease", b.lease(&number, "1m").await));
            answers.push(("recall", b.recall(&number, "TENANT_INITIATED", None).await));
            let history = format!("/v1/admin/numbers/{number}/history");
            answers.push(("history", b.get(&history).await));
            for (action, answer) in answers {
                let status = answer.status.as_u16();
                assert!([403, 409].contains(&status), "{action} of {state}: {answer:?}");
                if status == 409 {
                    assert_eq!(answer.json()["state"], *state, "{action}: {answer:?}");
                }
                tells_nothing(&answer, subject);
            }
        }
    }
    assert_eq!(Traces::of(&database).await, before);
    app.stop().await;
}

#[tokio::test]
async fn another_tenants_lease_does_not_exist_by_its_id() {
    let app = TestApp::start().await;
    let b = app.tenant("tenant-b");
    b.get("/v1/quota").await.expect(200);
    let subjects = of_every_state(&app).await;
    let database = app.superuser().await;
    let before = Traces::of(&database).await;
    let nowhere = "/v1/leases/019cf5a8-0000-7000-8000-00000000ffff";
    let patch = json!({ "autoRenew": true });
    let patched = async |client: &Client, path: &str| client.send(Method::PATCH, path, Some(&patch), &[]).await;
    for (_, subject) in subjects {
        let own_path = format!("/v1/leases/{}", subject.lease_id);
        for path in [own_path.clone(), own_path.to_uppercase().replace("/V1/LEASES/", "/v1/leases/")] {
            let read = b.get(&path).await;
            read.problem(404, "NOT_FOUND");
            same(&read, &b.get(nowhere).await);
            same(&patched(&b, &path).await, &patched(&b, nowhere).await);
            tells_nothing(&read, &subject);
        }
    }
    assert_eq!(Traces::of(&database).await, before);
    app.stop().await;
}

#[tokio::test]
async fn the_lists_of_a_tenant_have_its_own_and_nothing_else() {
    let app = TestApp::start().await;
    let (a, b) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    let subjects = of_every_state(&app).await;
    for list in ["/v1/numbers", "/v1/leases", "/v1/numbers?state=LEASED"] {
        assert!(!a.get(list).await.expect(200)["items"].as_array().unwrap().is_empty(), "{list}");
        let answer = b.get(list).await;
        assert_eq!(answer.expect(200), json!({ "items": [], "nextPage": null }), "{list}");
    }
    let quota = b.get("/v1/quota").await;
    assert_eq!(quota.expect(200)["tenantId"], "tenant-b");
    assert!(quota.json()["quotas"].as_object().unwrap().values().all(|class| class["current"] == 0), "{quota:?}");
    let offered = b.get("/v1/numbers/available?identifierClass=MSISDN").await.expect(200);
    let offered: Vec<&Value> = offered["items"].as_array().unwrap().iter().map(|item| &item["identifier"]).collect();
    let free: Vec<&String> =
        subjects.iter().filter(|(state, _)| *state == "AVAILABLE").map(|(_, subject)| &subject.number).collect();
    assert_eq!(offered, free);
    for filter in ["tenantId=tenant-a", "tenant=tenant-a", "holder=tenant-a"] {
        for list in ["/v1/numbers", "/v1/leases", "/v1/quota"] {
            let answer = b.get(&format!("{list}?{filter}")).await;
            assert!(!answer.text.contains("tenant-a") || answer.status == 400, "{list}?{filter}: {answer:?}");
        }
    }
    app.stop().await;
}

/// A tenant with numbers on more than one page of each list.
async fn with_many(app: &TestApp, tenant: &Client, numbers: &[String]) {
    for number in numbers {
        tenant.act(number, "reserve").await.expect(200);
        tenant.lease(number, "1m").await.expect(201);
    }
    drop(app.events(1).await);
}

#[tokio::test]
async fn a_cursor_serves_its_tenant_its_list_and_its_filters_only() {
    let app = TestApp::start().await;
    let (a, b, admin) = (app.tenant("tenant-a"), app.tenant("tenant-b"), app.admin());
    let numbers = app.stock_numbers(12).await;
    with_many(&app, &a, &numbers[..3]).await;
    with_many(&app, &b, &numbers[3..6]).await;
    let lists = [
        "/v1/numbers?limit=1",
        "/v1/numbers?limit=1&state=LEASED",
        "/v1/leases?limit=1",
        "/v1/numbers/available?limit=1&identifierClass=MSISDN",
        "/v1/numbers/available?limit=1&identifierClass=MSISDN&vanity=false",
        "/v1/numbers/available?limit=1&identifierClass=MSISDN&prefix=%2B9370",
    ];
    let mut cursors = Vec::new();
    for list in lists {
        let page = a.get(list).await.expect(200);
        let cursor = page["nextPage"].as_str().unwrap_or_else(|| panic!("{list}: {page}")).to_owned();
        assert!(!cursor.contains("tenant"), "{cursor}");
        cursors.push(cursor);
    }
    for (made_for, cursor) in cursors.iter().enumerate() {
        for (at, list) in lists.iter().enumerate() {
            let next = a.get(&format!("{list}&page={cursor}")).await;
            if at == made_for {
                assert_ne!(next.expect(200)["items"], a.get(list).await.expect(200)["items"], "{list}");
            } else {
                next.problem(400, "INVALID_CURSOR");
            }
            b.get(&format!("{list}&page={cursor}")).await.problem(400, "INVALID_CURSOR");
        }
        admin.get(&format!("/v1/leases?limit=1&page={cursor}")).await.problem(400, "INVALID_CURSOR");
    }
    for forged in ["", "AAAA", "KzkzNzAwMDAwMDAw", "%2B93700000003", &"A".repeat(600)] {
        a.get(&format!("/v1/numbers?limit=1&page={forged}")).await.problem(400, "INVALID_CURSOR");
    }
    app.stop().await;
}

#[tokio::test]
async fn an_idempotency_key_of_one_tenant_means_nothing_to_another() {
    let app = TestApp::start().await;
    let (a, b) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    let number = &app.stock_numbers(1).await[0];
    let path = format!("/v1/numbers/{number}/reserve");
    let key = [("idempotency-key", "shared-key")];
    let reserved = a.send(Method::POST, &path, None, &key).await;
    let reservation = reserved.expect(200)["reservationId"].as_str().unwrap().to_owned();
    for body in [None, Some(json!({}))] {
        let answer = b.send(Method::POST, &path, body.as_ref(), &key).await;
        assert!(
            !answer.text.contains(&reservation) && !answer.headers.contains_key("idempotent-replayed"),
            "{answer:?}"
        );
        if body.is_none() {
            assert_eq!(answer.problem(409, "NOT_AVAILABLE")["state"], "RESERVED");
        } else {
            answer.problem(422, "IDEMPOTENCY_KEY_REUSED");
        }
    }
    let again = a.send(Method::POST, &path, None, &key).await;
    assert_eq!((again.text, again.headers["idempotent-replayed"].to_str().unwrap()), (reserved.text, "true"));
    app.stop().await;
}

/// What an admin did of a tenant's name is not replayed to the tenant's portal: it may tell of other tenants.
#[tokio::test]
async fn an_admins_answer_is_not_replayed_to_a_tenant_of_the_same_name() {
    let app = TestApp::start().await;
    let subject = prepare(&app, &app.stock_numbers(1).await[0], "LEASED").await;
    let desk = ["numbering.admin", "numbers.read", "numbers.write"];
    let desk = app.client(app.issuer.token("desk", Some("tenant-b"), &desk));
    let path = format!("/v1/numbers/{}/recall", subject.number);
    let body = json!({ "reason": "TENANT_INITIATED" });
    let key = [("idempotency-key", "one-key")];
    desk.send(Method::POST, &path, Some(&body), &key).await.expect(200);
    let answer = app.tenant("tenant-b").send(Method::POST, &path, Some(&body), &key).await;
    assert_ne!(answer.status, 200, "{answer:?}");
    tells_nothing(&answer, &subject);
    app.stop().await;
}

/// The role that serves may add to the journal and read it, and nothing else: what happened stays as it was written.
#[tokio::test]
async fn the_journal_can_only_be_added_to() {
    let app = TestApp::start().await;
    prepare(&app, &app.stock_numbers(1).await[0], "LEASED").await;
    let url = app.stack.databases().app_url(&app.part.database);
    let (service, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for forbidden in [
        "UPDATE numbering.journal SET actor = 'x'",
        "DELETE FROM numbering.journal",
        "TRUNCATE numbering.journal",
        "DELETE FROM numbering.lease_history",
        "UPDATE numbering.lease_history SET term = '1d'",
        "ALTER TABLE numbering.journal DISABLE TRIGGER ALL",
        "DROP TABLE numbering.outbox",
        "CREATE TABLE numbering.mine ()",
        "SET ROLE postgres",
    ] {
        let refused = service.batch_execute(forbidden).await.unwrap_err();
        let code = refused.code().unwrap().code();
        assert_eq!(code, "42501", "{forbidden}: {refused:?}");
    }
    app.stop().await;
}
