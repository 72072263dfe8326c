//! What a request may not say, and that whatever is refused leaves nothing behind.

use reqwest::Method;
use serde_json::{Value, json};

use super::permissions::{ROLES, Role, Row, rows};
use super::requests::{Payload, Request, Subject, World, prepare};
use super::traces::Traces;
use crate::support::TestApp;

#[tokio::test]
async fn a_body_speaks_for_nobody_but_the_caller() {
    let app = TestApp::start().await;
    let numbers = app.stock_numbers(3).await;
    let (a, b, admin) = (app.tenant("tenant-a"), app.tenant("tenant-b"), app.admin());
    b.get("/v1/quota").await.expect(200);
    let held = prepare(&app, &numbers[0], "HELD").await;
    let leased = prepare(&app, &numbers[1], "LEASED").await;
    let database = app.superuser().await;
    let before = Traces::of(&database).await;

    let lease = |subject: &Subject| format!("/v1/numbers/{}/lease", subject.number);
    let recall = |subject: &Subject| format!("/v1/numbers/{}/recall", subject.number);
    for tenant in ["tenant-b", "TENANT-A", "tenant-a ", "", "nobody", "*", "tenant-a\u{0}"] {
        let answer = a.post(&lease(&held), &json!({ "tenantId": tenant, "term": "1m" })).await;
        assert!([403, 422].contains(&answer.status.as_u16()), "{tenant:?}: {answer:?}");
    }
    a.post(&lease(&held), &json!({ "tenantId": "tenant-b", "term": "1m" })).await.problem(403, "FORBIDDEN");
    b.post(&lease(&held), &json!({ "tenantId": "tenant-a", "term": "1m" })).await.problem(403, "FORBIDDEN");
    for actor in ["ops", "tenant-b-portal", "numbering", "tenant-a-portal "] {
        let body = json!({ "reason": "TENANT_INITIATED", "actorId": actor });
        let problem = a.post(&recall(&leased), &body).await.problem(403, "FORBIDDEN");
        assert_eq!(problem["permission"], "numbering.admin", "{actor}");
    }
    for reason in ["REGULATOR_ORDER", "ABUSE", "TENANT_SUSPENDED"] {
        let body = json!({ "reason": reason, "ticketId": "T-1" });
        a.post(&recall(&leased), &body).await.problem(403, "FORBIDDEN");
    }
    assert_eq!(Traces::of(&database).await, before);

    // A system's statement of who acted, by an admin's token, is kept beside the token's own; a tenant may name itself.
    let body = json!({ "reason": "ABUSE", "ticketId": "T-1", "actorId": "abuse-desk:zahra" });
    admin.post(&recall(&leased), &body).await.expect(200);
    let journal = "SELECT actor, data ->> 'actorId' FROM numbering.journal WHERE type = 'numbering.lease.recalled'";
    let row = database.query_one(journal, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), ("ops", "abuse-desk:zahra"));
    a.post(&lease(&held), &json!({ "tenantId": "tenant-a", "term": "1m" })).await.expect(201);
    let body = json!({ "reason": "TENANT_INITIATED", "actorId": "tenant-a-portal" });
    a.post(&recall(&held), &body).await.expect(200);
    app.stop().await;
}

/// Bodies that no operation takes.
fn bad_bodies(good: &Value) -> Vec<(&'static str, Payload)> {
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        Payload::Json(body)
    };
    let text = good.to_string();
    let doubled = format!("{},{}", &text[..text.len() - 1], &text[1..]);
    let mut bodies = vec![
        ("a member nobody knows", with("unknown", json!(1))),
        ("the tenant slipped in", with("tenant_id", json!("tenant-b"))),
        ("the state slipped in", with("state", json!("AVAILABLE"))),
        ("the version slipped in", with("version", json!(0))),
        ("a prototype", with("__proto__", json!({}))),
        ("null", Payload::Json(Value::Null)),
        ("a list", Payload::Json(json!([good]))),
        ("a text", Payload::Json(json!("{}"))),
        ("a number", Payload::Text("1e999".to_owned())),
        ("no JSON", Payload::Text("{".to_owned())),
        ("two bodies", Payload::Text(format!("{text}{text}"))),
        ("a member twice", Payload::Text(doubled)),
        ("depth without end", Payload::Text("[".repeat(50_000))),
        ("another encoding", Payload::Text("{\u{feff}}".to_owned())),
        ("too much", Payload::Text(format!("{}{text}", " ".repeat(3 << 20)))),
    ];
    for (member, value) in good.as_object().unwrap() {
        bodies.push(("a member of another type", with(member, if value.is_object() { json!(1) } else { json!({}) })));
        // Another's tenant is 403, whatever it looks like; that has a test of its own.
        if value.is_string() && member != "tenantId" {
            bodies.push(("NUL in a text", with(member, json!("a\u{0}b"))));
            bodies.push(("a text without end", with(member, json!("x".repeat(60_000)))));
        }
    }
    bodies
}

/// Paths that name nothing, or not what they seem to.
fn bad_paths(row: &Row) -> Vec<String> {
    let values = [
        "%00",
        "%FF%FE",
        "..%2F..%2Fetc%2Fpasswd",
        "'%20OR%20'1'='1",
        "%DB%B9%DB%B3%DB%B7%DB%B0",
        "%2B93700000000%0A",
        "%2B9370000000000000000000",
        "119",
        "%25",
        &"9".repeat(4_000),
    ];
    let Some((before, rest)) = row.path.split_once('{') else { return Vec::new() };
    let (name, after) = rest.split_once('}').unwrap();
    let after = after.replace("{keyId}", "second");
    // A tenant or operator that a PUT names is made: these names are as good as any.
    let makes = row.method == "PUT" && ["tenantId", "operatorId"].contains(&name);
    let reads = |value: &&str| !makes || (*value != "119" && !value.starts_with("999"));
    values.iter().filter(|value| reads(value)).map(|value| format!("{before}{value}{after}")).collect()
}

fn bad_requests(row: &Row, good: &Request) -> Vec<(String, Request)> {
    let path = good.path.split('?').next().unwrap();
    let mut bad = Vec::new();
    match &good.payload {
        Payload::Json(body) => {
            for (what, payload) in bad_bodies(body) {
                bad.push((what.to_owned(), Request { payload, ..good.clone() }));
            }
        }
        Payload::Nothing if row.method == "POST" => {
            for (what, payload) in bad_bodies(&json!({})) {
                bad.push((what.to_owned(), Request { payload, ..good.clone() }));
            }
        }
        Payload::Import => {
            bad.push((
                "JSON where a form is due".to_owned(),
                Request { payload: Payload::Json(json!({})), ..good.clone() },
            ));
        }
        Payload::Nothing | Payload::Text(_) => {}
    }
    for path in bad_paths(row) {
        bad.push((format!("the path {}", &path[..path.len().min(100)]), Request { path, ..good.clone() }));
    }
    if row.method == "GET" {
        for query in
            ["limit=0", "limit=201", "limit=-1", "limit=1e3", "limit=1&limit=1", "page=x", "unknown=1", "%00=1"]
        {
            // Those that take no query do not look at one.
            if row.path != "/v1/quota" && !is_single(row) {
                bad.push((query.to_owned(), Request { path: format!("{path}?{query}"), ..good.clone() }));
            }
        }
    }
    bad
}

/// Whether the operation gives one thing, not a list.
fn is_single(row: &Row) -> bool {
    row.path.ends_with('}')
}

/// The first role that may do this.
fn allowed(row: &Row) -> Role {
    let mut roles = row.verdicts().filter(|(_, verdict)| *verdict == super::permissions::Verdict::Allowed);
    roles.next().map_or(ROLES[4], |(role, _)| role)
}

#[tokio::test]
async fn bad_input_is_a_4xx_with_a_problem_and_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let world = World::new(&app).await;
    let mut numbers = app.stock_numbers(64).await.into_iter();
    let mut prepared = Vec::new();
    for row in rows() {
        let subject = prepare(&app, &numbers.next().unwrap(), row.state).await;
        prepared.push((row, subject));
    }
    app.tenant("tenant-a").get("/v1/quota").await.expect(200);
    let database = app.superuser().await;
    let before = Traces::of(&database).await;
    let mut faults = Vec::new();
    let mut count = 0;
    for (row, subject) in &prepared {
        let role = allowed(row);
        let token = format!("Bearer {}", app.issuer.sign(&role.claims()));
        for (what, request) in bad_requests(row, &world.request(row, subject, role)) {
            count += 1;
            let answer = world.send(&request, Some(&token), &[]).await;
            let is_problem =
                answer.headers.get("content-type").is_some_and(|value| value == "application/problem+json");
            if !(answer.status.is_client_error() && is_problem && answer.status != 401 && answer.status != 403) {
                faults.push(format!("{} with {what}: {} {}", row.operation(), answer.status, answer.text));
            }
        }
    }
    assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
    assert!(count > 300, "{count}");
    assert_eq!(Traces::of(&database).await, before, "what is refused leaves nothing behind");
    app.stop().await;
}

/// `%` and `_` are letters like any other, and no pattern takes long.
#[tokio::test]
async fn a_search_finds_what_it_says_and_not_what_sql_would_make_of_it() {
    let app = TestApp::start().await;
    let b = app.tenant("tenant-b");
    app.stock(json!([{ "identifier": "A_B" }, { "identifier": "AXB" }, { "identifier": "A B" }])).await;
    let found = async |query: &str| {
        let answer = b.get(&format!("/v1/numbers/available?identifierClass=ALPHA&{query}")).await.expect(200);
        let items = answer["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["identifier"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("prefix=A_").await, ["A_B"]);
    assert_eq!(found("prefix=a%5F").await, ["A_B"]);
    for prefix in ["%25", "A%25", "%5C", "A%27", "A%3B--"] {
        let path = format!("/v1/numbers/available?identifierClass=ALPHA&prefix={prefix}");
        b.get(&path).await.problem(400, "MALFORMED_REQUEST");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_does_nothing() {
    let app = TestApp::start().await;
    let number = &app.stock_numbers(1).await[0];
    let database = app.superuser().await;
    let a = app.tenant("tenant-a");
    a.get("/v1/quota").await.expect(200);
    let before = Traces::of(&database).await;
    for (method, path) in [
        (Method::GET, format!("/v1/numbers/{number}/reserve")),
        (Method::PUT, format!("/v1/numbers/{number}")),
        (Method::DELETE, format!("/v1/numbers/{number}")),
        (Method::DELETE, "/v1/leases/019cf5a8-0000-7000-8000-000000000000".to_owned()),
        (Method::POST, "/v1/quota".to_owned()),
    ] {
        let override_to = [("x-http-method-override", "POST"), ("x-http-method", "POST")];
        a.send(method, &path, None, &override_to).await.problem(405, "METHOD_NOT_ALLOWED");
    }
    assert_eq!(Traces::of(&database).await, before);
    app.stop().await;
}
