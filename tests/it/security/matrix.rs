//! Every operation of the OpenAPI document × every role × every defect of a token.

use std::collections::{BTreeSet, HashMap};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::defects::{DEFECTS, Forger};
use super::permissions::{ROLES, Role, Row, Verdict, rows};
use super::requests::{Payload, Request, Subject, World, prepare};
use super::traces::Traces;
use crate::support::{Answer, TestApp};

/// How many requests are under way at a time.
const AT_ONCE: usize = 16;

/// The operations of the document that need a token.
fn documented() -> BTreeSet<String> {
    let document = serde_json::to_value(numbering::http::openapi()).unwrap();
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation.get("security").is_some() {
                operations.insert(format!("{} {path}", method.to_uppercase()));
            } else {
                assert!(["/healthz", "/readyz", "/metrics"].contains(&path.as_str()), "{path} is open to all");
            }
        }
    }
    operations
}

/// One request, and what is wrong with its answer.
struct Case {
    name: String,
    request: Request,
    authorization: Option<String>,
    secrets: Vec<String>,
    check: fn(&Answer) -> bool,
    expected: &'static str,
}

impl Case {
    async fn fault(self, world: &World) -> Option<String> {
        let answer = world.send(&self.request, self.authorization.as_deref(), &[]).await;
        let Self { name, secrets, check, expected, .. } = self;
        if !check(&answer) {
            return Some(format!("{name}: {expected}, got {} {}", answer.status, answer.text));
        }
        let told = secrets.iter().find(|secret| answer.text.contains(secret.as_str()))?;
        Some(format!("{name}: tells {told} in {}", answer.text))
    }
}

/// Sends them all; panics with every fault.
async fn hold_against(world: &World, cases: Vec<Case>) -> usize {
    let count = cases.len();
    let faults: Vec<String> = stream::iter(cases)
        .map(|case| case.fault(world))
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
    count
}

fn is_problem(answer: &Answer, status: u16, code: &str) -> bool {
    answer.status.as_u16() == status
        && answer.headers["content-type"] == "application/problem+json"
        && answer.json()["code"] == code
}

fn unauthenticated(answer: &Answer) -> bool {
    let challenge = answer.headers.get("www-authenticate").is_some_and(|value| value.as_bytes().starts_with(b"Bearer"));
    challenge && is_problem(answer, 401, "UNAUTHENTICATED")
}

fn forbidden(answer: &Answer) -> bool {
    is_problem(answer, 403, "FORBIDDEN")
}

/// The request with more wrong about it than its caller.
fn malformed(mut request: Request) -> Request {
    if request.method != "GET" && request.method != "DELETE" {
        request.payload = Payload::Text("{\"unknown\": ".to_owned());
    }
    request.path = request.path.split('?').next().unwrap().to_owned() + "?unknown=1&unknown=2";
    request
}

fn defective(world: &World, rows: &[Row], subjects: &HashMap<&str, Subject>, forger: &Forger<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    for row in rows {
        let subject = &subjects[row.state];
        let mut refuse = |role: Role, defect: &str, authorization: Option<String>| {
            cases.push(Case {
                name: format!("{} by {} with a token that is {defect}", row.operation(), role.name),
                request: world.request(row, subject, role),
                authorization,
                secrets: subject.secrets.clone(),
                check: unauthenticated,
                expected: "401 UNAUTHENTICATED with a challenge",
            });
        };
        refuse(ROLES[1], "missing", None);
        for role in ROLES {
            let claims = role.claims();
            for (defect, forge) in DEFECTS {
                refuse(role, defect, Some(forge(forger, &claims)));
            }
        }
    }
    cases
}

fn without_permission(
    world: &World,
    rows: &[Row],
    subjects: &HashMap<&str, Subject>,
    token: impl Fn(Role) -> String,
) -> Vec<Case> {
    let mut cases = Vec::new();
    for row in rows {
        let subject = &subjects[row.state];
        for (role, _) in row.verdicts().filter(|(_, verdict)| *verdict == Verdict::Forbidden) {
            let good = world.request(row, subject, role);
            for (kind, request) in [("good", good.clone()), ("malformed", malformed(good))] {
                cases.push(Case {
                    name: format!("a {kind} {} by {}", row.operation(), role.name),
                    request,
                    authorization: Some(token(role)),
                    secrets: subject.secrets.clone(),
                    check: forbidden,
                    expected: "403 FORBIDDEN",
                });
            }
        }
    }
    cases
}

#[tokio::test]
async fn every_operation_answers_every_role_and_every_defective_token_as_the_table_says() {
    let app = TestApp::start().await;
    let rows = rows();
    let listed: BTreeSet<String> = rows.iter().map(Row::operation).collect();
    assert_eq!(listed, documented(), "every operation of the document stands in the table of permissions.rs");

    let world = World::new(&app).await;
    let mut numbers = app.stock_numbers(400).await.into_iter();
    let mut subjects = HashMap::new();
    for state in ["AVAILABLE", "RESERVED", "HELD", "LEASED", "SUSPENDED", "QUARANTINE"] {
        subjects.insert(state, prepare(&app, &numbers.next().unwrap(), state).await);
    }
    let database = app.superuser().await;
    let before = Traces::of(&database).await;

    let forger = Forger::new(&app.issuer);
    let token = |role: Role| format!("Bearer {}", app.issuer.sign(&role.claims()));
    let mut cases = hold_against(&world, defective(&world, &rows, &subjects, &forger)).await;
    cases += hold_against(&world, without_permission(&world, &rows, &subjects, token)).await;
    assert_eq!(Traces::of(&database).await, before, "whoever may not, leaves nothing behind");

    for row in &rows {
        for (role, verdict) in row.verdicts().filter(|(_, verdict)| *verdict != Verdict::Forbidden) {
            let subject = prepare(&app, &numbers.next().unwrap(), row.state).await;
            let answer = world.send(&world.request(row, &subject, role), Some(&token(role)), &[]).await;
            let name = format!("{} by {}: {answer:?}", row.operation(), role.name);
            match verdict {
                Verdict::Allowed => assert_eq!(answer.status.as_u16(), row.success, "{name}"),
                Verdict::Forbidden | Verdict::TenantRequired => assert!(forbidden(&answer), "{name}"),
                Verdict::Refused(code) => {
                    assert!(answer.status.is_client_error() && answer.json()["code"] == code, "{name}");
                }
            }
            if !role.sees_all_of_a() {
                for secret in &subject.secrets {
                    assert!(!answer.text.contains(secret.as_str()), "{secret} in {name}");
                }
            }
            cases += 1;
        }
    }
    assert!(cases >= 2_000, "{cases}");

    let metrics = reqwest::get(format!("http://{}/metrics", app.http)).await.unwrap().text().await.unwrap();
    // Values are sums of times, whose digits may be anything's.
    let metrics: String =
        metrics.lines().map(|line| line.rsplit_once(' ').map_or(line, |(labels, _value)| labels)).collect();
    for secret in subjects.values().flat_map(|subject| subject.secrets.iter().chain([&subject.number])) {
        assert!(!metrics.contains(secret.trim_start_matches('+')), "{secret} in the metrics");
    }
    app.stop().await;
}

#[tokio::test]
async fn whoever_sends_two_credentials_is_nobody() {
    let app = TestApp::start().await;
    let world = World::new(&app).await;
    let token = |role: Role| format!("Bearer {}", app.issuer.sign(&role.claims()));
    let (reader, admin) = (token(ROLES[0]), token(ROLES[4]));
    let request = Request { method: "GET", path: "/v1/quota".to_owned(), payload: Payload::Nothing };
    world.send(&request, Some(&reader), &[]).await.expect(200);
    for second in [&reader, &admin] {
        let answer = world.send(&request, Some(&reader), &[("authorization", second)]).await;
        assert!(unauthenticated(&answer), "{answer:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_is_open_to_all_tells_nothing_of_anyone() {
    let app = TestApp::start().await;
    let number = &app.stock_numbers(1).await[0];
    let subject = prepare(&app, number, "LEASED").await;
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/errors"] {
        let answer = Answer::read(reqwest::get(format!("http://{}{path}", app.http)).await.unwrap()).await;
        assert_eq!(answer.status, 200, "{path}");
        let secrets = [&subject.lease_id, number];
        assert!(!secrets.into_iter().any(|secret| answer.text.contains(secret.as_str())), "{path}");
    }
    let document: Value = serde_json::to_value(numbering::http::openapi()).unwrap();
    assert!(document["paths"].as_object().unwrap().len() > 20);
    app.stop().await;
}
