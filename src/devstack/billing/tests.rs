use std::fs;
use std::io::Write as _;
use std::path::Path;

use axum::body::{Body, to_bytes};
use tempfile::TempDir;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::*;

const LEASE: &str = "01a205cd-c65a-70a5-9ba9-b47f354503dc";
const OTHER_LEASE: &str = "01a205cd-c65a-70a5-9ba9-b47f354503dd";

fn billing(directory: &Path) -> Router {
    router(Charges::open(directory).unwrap())
}

fn renewal(lease_id: &str) -> Value {
    json!({
        "tenantId": "tenant-a", "leaseId": lease_id, "identifier": "+93705000000", "term": "6m", "amount": "15.00",
        "currency": "USD",
    })
}

async fn send(app: &Router, method: &str, path: &str, keys: &[&str], body: &str) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    let response = app.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn ask(app: &Router, key: &str, body: &Value) -> (u16, Value) {
    send(app, "POST", "/v1/renewals/authorize", &[key], &body.to_string()).await
}

async fn mode(app: &Router, mode: &str) {
    let body = json!({ "mode": mode });
    assert_eq!(send(app, "PUT", "/v1/mode", &[], &body.to_string()).await, (200, body));
}

async fn charges(app: &Router) -> Vec<Value> {
    let (status, body) = send(app, "GET", "/v1/charges", &[], "").await;
    assert_eq!(status, 200);
    body["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_lease_is_charged_once_over_every_start() {
    let directory = TempDir::new().unwrap();
    let app = billing(directory.path());
    let (status, first) = ask(&app, LEASE, &renewal(LEASE)).await;
    assert_eq!((status, &first["approved"]), (200, &true.into()));
    assert!(first["chargeId"].is_string());
    assert_eq!(ask(&app, LEASE, &renewal(LEASE)).await, (200, first.clone()));
    let (_, other) = ask(&app, OTHER_LEASE, &renewal(OTHER_LEASE)).await;
    assert_ne!(other["chargeId"], first["chargeId"]);
    let made = charges(&app).await;
    assert_eq!(made.len(), 2);
    let expected = json!({
        "leaseId": LEASE, "tenantId": "tenant-a", "identifier": "+93705000000", "amount": "15.00", "at": made[0]["at"],
    });
    assert_eq!(made[0], expected);
    assert!(made[0]["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());

    drop(app);
    let app = billing(directory.path());
    assert_eq!(charges(&app).await, made);
    assert_eq!(ask(&app, LEASE, &renewal(LEASE)).await, (200, first));
    assert_eq!(charges(&app).await, made);
}

#[tokio::test]
async fn the_same_lease_asked_about_many_times_at_once_is_charged_once() {
    let directory = TempDir::new().unwrap();
    let app = billing(directory.path());
    let body = renewal(LEASE);
    let answers = futures_util::future::join_all((0..16).map(|_| ask(&app, LEASE, &body))).await;
    assert!(answers.iter().all(|answer| answer.0 == 200 && answer == &answers[0]), "{answers:?}");
    assert_eq!(charges(&app).await.len(), 1);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_422() {
    let directory = TempDir::new().unwrap();
    let app = billing(directory.path());
    ask(&app, LEASE, &renewal(LEASE)).await;
    for (member, value) in [
        ("tenantId", "tenant-b"),
        ("identifier", "+93705000001"),
        ("term", "1y"),
        ("amount", "16.00"),
        ("currency", "AFN"),
    ] {
        let mut body = renewal(LEASE);
        body[member] = value.into();
        for name in ["approve", "reject"] {
            mode(&app, name).await;
            let (status, problem) = ask(&app, LEASE, &body).await;
            assert_eq!((status, &problem["code"]), (422, &"IDEMPOTENCY_KEY_REUSED".into()), "{member} {name}");
        }
    }
    assert_eq!(charges(&app).await.len(), 1);
}

#[tokio::test]
async fn it_rejects_and_fails_without_a_charge_and_keeps_what_it_charged() {
    let directory = TempDir::new().unwrap();
    let app = billing(directory.path());
    mode(&app, "reject").await;
    let rejected = (200, json!({"approved": false, "reason": REASON}));
    assert_eq!(ask(&app, LEASE, &renewal(LEASE)).await, rejected);
    mode(&app, "fail").await;
    assert_eq!(ask(&app, LEASE, &renewal(LEASE)).await.0, 500);
    assert!(charges(&app).await.is_empty());

    mode(&app, "approve").await;
    let approved = ask(&app, LEASE, &renewal(LEASE)).await;
    mode(&app, "reject").await;
    assert_eq!(ask(&app, LEASE, &renewal(LEASE)).await, approved, "it is paid");
    assert_eq!(ask(&app, OTHER_LEASE, &renewal(OTHER_LEASE)).await, rejected);
}

#[tokio::test(start_paused = true)]
async fn it_stalls_until_the_client_gives_up_but_not_for_ever() {
    let directory = TempDir::new().unwrap();
    let app = billing(directory.path());
    mode(&app, "stall").await;
    let body = renewal(LEASE);
    assert!(timeout(STALL.checked_sub(Duration::from_secs(1)).unwrap(), ask(&app, LEASE, &body)).await.is_err());
    assert_eq!(ask(&app, LEASE, &body).await.0, 503);
    assert!(charges(&app).await.is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let directory = TempDir::new().unwrap();
    let app = billing(directory.path());
    for (member, value) in [
        ("tenantId", json!("")),
        ("leaseId", json!("lease-1")),
        ("identifier", json!("")),
        ("term", json!("6")),
        ("amount", json!(15.0)),
        ("amount", json!("-15.00")),
        ("amount", json!("15.")),
        ("amount", json!("1e3")),
        ("currency", json!("usd")),
        ("colour", json!("blue")),
    ] {
        let mut body = renewal(LEASE);
        body[member] = value;
        let (status, problem) = ask(&app, LEASE, &body).await;
        let pointer = format!("/{member}");
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &pointer.into()), "{body}");
    }
    let text = renewal(LEASE).to_string();
    for keys in [&[][..], &[OTHER_LEASE], &["order-1"], &[LEASE, LEASE]] {
        let (status, problem) = send(&app, "POST", "/v1/renewals/authorize", keys, &text).await;
        assert_eq!(status, 400, "{keys:?}");
        assert!(problem["detail"].as_str().unwrap().contains("leaseId"), "{problem}");
    }
    assert_eq!(send(&app, "POST", "/v1/renewals/authorize", &[LEASE], "{").await.0, 400);
    assert_eq!(send(&app, "PUT", "/v1/mode", &[], r#"{"mode":"sleep"}"#).await.0, 422);
    assert_eq!(send(&app, "GET", "/v1/mode", &[], "").await.0, 405);
    assert_eq!(send(&app, "GET", "/v1/refunds", &[], "").await.0, 404);
    assert!(charges(&app).await.is_empty());
}

#[tokio::test]
async fn a_line_cut_short_was_no_charge_and_one_that_is_none_is_told() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("charges.jsonl");
    ask(&billing(directory.path()), LEASE, &renewal(LEASE)).await;
    let append = |bytes: &[u8]| fs::File::options().append(true).open(&file).unwrap().write_all(bytes).unwrap();
    append(b"{\"identifier\":\"caf\xc3");
    let app = billing(directory.path());
    assert_eq!(charges(&app).await.len(), 1);
    assert_eq!(ask(&app, OTHER_LEASE, &renewal(OTHER_LEASE)).await.0, 200);
    assert_eq!(charges(&billing(directory.path())).await, charges(&app).await);

    append(b"{}\n");
    let error = Charges::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("line 3"), "{error}");
}

#[tokio::test]
async fn it_comes_back_at_the_same_place_and_stops_when_told() {
    let directory = TempDir::new().unwrap();
    let home = Home::open(directory.path()).unwrap();
    let first = Billing::start(&home).await.unwrap();
    let url = first.url().to_owned();
    first.stop().await;
    let address = url.strip_prefix("http://").unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    let second = Billing::start(&home).await.unwrap();
    assert_eq!(second.url(), url);
    assert!(tokio::net::TcpStream::connect(address).await.is_ok());
}
