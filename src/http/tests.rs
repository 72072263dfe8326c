use std::fmt::Write as _;
use std::time::Duration;

use axum::body::to_bytes;
use axum::http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::extract::{IdempotencyKey, JsonBody, OptionalJsonBody, PathIdentifier, PathValue, QueryParameters};
use super::guard::{Authorized, NumberingAdmin, NumbersWrite};
use super::request::{RequestId, X_REQUEST_ID};
use super::*;
use crate::auth::testing::{claims, token, verifier};
use crate::cache::Cache;
use crate::store::StoreSettings;

async fn state() -> AppState {
    state_with(&[]).await
}

async fn state_with(settings: &[(&str, &str)]) -> AppState {
    let required = [
        ("NUMBERING_DATABASE__URL", "postgres://n@localhost/n"),
        ("NUMBERING_REDIS__URL", "redis://localhost/0"),
        ("NUMBERING_REDIS__TIMERS_URL", "redis://localhost/1"),
        ("NUMBERING_NATS__URL", "nats://localhost"),
        ("NUMBERING_AUTH__ISSUER", "i"),
        ("NUMBERING_AUTH__AUDIENCE", "a"),
        ("NUMBERING_AUTH__JWKS", "/j"),
        ("NUMBERING_SECURITY__CURSOR_KEY", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
    ];
    let config = Config::load(None, required.iter().chain(settings).copied()).unwrap();
    let metrics = Arc::new(Metrics::default());
    // Nothing in these tests reaches a server: connections are opened when they are first needed.
    let patience = Duration::from_millis(10);
    let store = Store::new(&StoreSettings {
        url: config.database.url.as_str().to_owned(),
        pool_size: 1,
        acquire_timeout: patience,
        connect_timeout: patience,
        lock_timeout: patience,
        statement_timeout: patience,
    })
    .unwrap();
    let cache = Cache::new(&config.redis, &config.cache, &metrics).unwrap();
    let committed = Arc::new(Notify::new());
    let plan = Arc::new(config.numbering_plan());
    let imports = crate::app::import_settings(&config);
    AppState {
        blocks: Blocks::new(
            store.clone(),
            Arc::clone(cache.trust()),
            Arc::clone(&plan),
            imports,
            Arc::clone(&metrics),
            Arc::clone(&committed),
            TaskTracker::new(),
        ),
        quotas: Quotas::new(store.clone(), cache.limits().clone(), "starter"),
        numbers: Numbers::new(
            store.clone(),
            cache.clone(),
            config.policy(),
            "starter",
            Arc::clone(&committed),
            Arc::clone(&metrics),
            TaskTracker::new(),
        ),
        cursors: Cursors::new(config.security.cursor_key.bytes()),
        capacity: crate::app::capacity(&config, &store, &committed),
        store,
        committed,
        wakes: crate::jobs::Wakes::default(),
        limits: crate::app::limits(&config, &cache),
        plan,
        config: Arc::new(config),
        verifier: Arc::new(verifier().await),
        metrics,
        readiness: Arc::default(),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    words: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: Option<u16>,
}

async fn act(
    Authorized { caller, .. }: Authorized<NumbersWrite>,
    IdempotencyKey(key): IdempotencyKey,
    PathIdentifier(number): PathIdentifier,
    RequestId(id): RequestId,
    _: OptionalJsonBody<Nothing>,
) -> axum::Json<Value> {
    crate::telemetry::StoreUse::record(Duration::from_millis(1));
    axum::Json(json!({ "by": caller.sub, "key": key, "on": number.identifier.key(), "id": id }))
}

async fn say(_: Authorized<NumberingAdmin>, body: JsonBody<Words>) -> axum::Json<Value> {
    axum::Json(json!({ "words": body.value.words, "sha256": hex::encode(body.sha256) }))
}

async fn look(QueryParameters(Limit { limit }): QueryParameters<Limit>) -> axum::Json<Option<u16>> {
    axum::Json(limit)
}

async fn lease(PathValue(id): PathValue<uuid::Uuid>) -> String {
    id.to_string()
}

async fn fail() -> ApiError {
    panic!("on purpose")
}

async fn stall() -> &'static str {
    tokio::time::sleep(Duration::from_hours(1)).await;
    "late"
}

fn app(state: &AppState) -> Router {
    use axum::routing::{get, post};
    let routes = Router::new()
        .route("/v1/numbers/{identifier}/act", post(act))
        .route("/v1/words", post(say))
        .route("/v1/look", get(look))
        .route("/v1/leases/{lease_id}", get(lease))
        .route("/v1/fail", get(fail))
        .route("/v1/stall", get(stall))
        .layer(middleware::from_fn_with_state(state.clone(), within_time))
        .merge(docs::routes(&openapi()));
    finished(routes.merge(with_document(health::routes()).0), state.clone())
}

fn writer() -> String {
    format!("Bearer {}", token(&claims(Some("tenant-a"), &["numbers.write"])))
}

fn admin() -> String {
    format!("Bearer {}", token(&claims(None, &["numbering.admin"])))
}

struct Answer {
    status: u16,
    headers: axum::http::HeaderMap,
    body: Value,
    text: String,
}

async fn send(app: &Router, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    let body = serde_json::from_str(&text).unwrap_or_default();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body, text }
}

/// Sends it and checks that the answer is a whole problem of that code.
async fn refused(app: &Router, method: Method, path: &str, headers: &[(&str, &str)], body: &str, code: Code) -> Answer {
    let answer = send(app, method, path, headers, body).await;
    assert_eq!(answer.body["code"], code.as_str(), "{path}: {}", answer.text);
    assert_eq!(answer.status, code.status_number());
    assert_eq!(answer.headers[CONTENT_TYPE], problem::PROBLEM_JSON);
    assert_eq!(answer.body["type"], format!("/docs/errors/{}", code.as_str()));
    assert_eq!(answer.body["requestId"], answer.headers[X_REQUEST_ID].to_str().unwrap());
    for member in ["title", "status", "detail"] {
        assert!(!answer.body[member].is_null(), "{member} is missing");
    }
    answer
}

const ACT: &str = "/v1/numbers/%2B93701234567/act";
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_request_goes_through_with_its_id() {
    let app = app(&state().await);
    let headers = [("authorization", &*writer()), ("x-request-id", "abc-1"), ("idempotency-key", "k:1")];
    let answer = send(&app, Method::POST, ACT, &headers, "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.body, json!({ "by": "alice", "key": "k:1", "on": "+93701234567", "id": "abc-1" }));
    assert_eq!(answer.headers[X_REQUEST_ID], "abc-1");
    for name in ["x-content-type-options", "content-security-policy", "x-frame-options", "referrer-policy"] {
        assert!(answer.headers.contains_key(name), "{name}");
    }
    assert_eq!(answer.headers["cache-control"], "no-store");
    let with_object = [("authorization", &*writer()), JSON];
    assert_eq!(send(&app, Method::POST, "/v1/numbers/MyBank/act", &with_object, "{}").await.body["on"], "MYBANK");
}

#[tokio::test]
async fn authentication_comes_before_permission_and_permission_before_input() {
    let app = app(&state().await);
    let missing = refused(&app, Method::POST, "/v1/numbers/!/act", &[], "{", Code::Unauthenticated).await;
    assert_eq!(missing.headers[WWW_AUTHENTICATE], "Bearer");
    let wrong = [("authorization", "Bearer a.b.c")];
    let wrong = refused(&app, Method::POST, ACT, &wrong, "", Code::Unauthenticated).await;
    assert_eq!(wrong.headers[WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
    let admin = admin();
    let denied =
        refused(&app, Method::POST, "/v1/numbers/!/act", &[("authorization", &admin)], "{", Code::Forbidden).await;
    assert_eq!(denied.body["permission"], "numbers.write");
    let writer = writer();
    let with = |more| [("authorization", &*writer), more];
    let bad_key = with(("idempotency-key", "a b"));
    refused(&app, Method::POST, "/v1/numbers/!/act", &bad_key, "", Code::MalformedRequest).await;
    for identifier in ["!", "%2B9370", "12", "119", "%FF%FE", "%DB%B1%DB%B2%DB%B3", "%2093701234567"] {
        let path = format!("/v1/numbers/{identifier}/act");
        refused(&app, Method::POST, &path, &with(JSON), "", Code::InvalidIdentifier).await;
    }
    refused(&app, Method::POST, ACT, &with(("content-type", "text/plain")), "{}", Code::UnsupportedMediaType).await;
    refused(&app, Method::POST, ACT, &with(JSON), "{", Code::MalformedRequest).await;
    refused(&app, Method::POST, ACT, &with(JSON), "{\"a\":1}", Code::ValidationFailed).await;
}

#[tokio::test]
async fn bodies_are_bounded_whether_announced_or_not() {
    let app = app(&state_with(&[("NUMBERING_HTTP__BODY_LIMIT_BYTES", "40")]).await);
    let admin = admin();
    let headers = [("authorization", &*admin), JSON];
    let fits = r#"{"words":["0123456789","0123456789"]}"#;
    let answer = send(&app, Method::POST, "/v1/words", &headers, fits).await;
    assert_eq!((answer.status, fits.len()), (200, 37), "{}", answer.text);
    let large = format!("{fits}    ");
    refused(&app, Method::POST, "/v1/words", &headers, &large, Code::PayloadTooLarge).await;
    let announced = [("authorization", &*admin), JSON, ("content-length", "41")];
    refused(&app, Method::POST, "/v1/words", &announced, "{}", Code::PayloadTooLarge).await;
    let gzip = [("authorization", &*admin), JSON, ("content-encoding", "gzip")];
    refused(&app, Method::POST, "/v1/words", &gzip, fits, Code::UnsupportedMediaType).await;
    refused(&app, Method::POST, "/v1/words", &headers, "", Code::MalformedRequest).await;
}

#[tokio::test]
async fn what_no_route_takes_is_a_problem_too() {
    let app = app(&state().await);
    refused(&app, Method::GET, "/v2/nothing", &[], "", Code::NotFound).await;
    refused(&app, Method::GET, "/v1/leases/not-a-uuid", &[], "", Code::NotFound).await;
    refused(&app, Method::GET, "/docs/errors/NO_SUCH_CODE", &[], "", Code::NotFound).await;
    let answer = refused(&app, Method::DELETE, "/v1/look", &[], "", Code::MethodNotAllowed).await;
    assert_eq!(answer.headers[ALLOW], "GET,HEAD");
    let answer = refused(&app, Method::GET, "/v1/look?limit=1&limit=2", &[], "", Code::MalformedRequest).await;
    assert_eq!(answer.body["parameter"], "limit");
    assert_eq!(send(&app, Method::GET, "/v1/look?limit=7", &[], "").await.text, "7");
}

#[tokio::test]
async fn a_panic_is_a_500_and_says_nothing_of_itself() {
    let app = app(&state().await);
    let answer = refused(&app, Method::GET, "/v1/fail", &[], "", Code::Internal).await;
    assert!(!answer.text.contains("on purpose"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_a_503() {
    let app = app(&state().await);
    let answer = refused(&app, Method::GET, "/v1/stall", &[], "", Code::Unavailable).await;
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn readiness_follows_the_database_and_the_stop() {
    let state = state().await;
    let app = app(&state);
    refused(&app, Method::GET, "/readyz", &[], "", Code::Unavailable).await;
    state.readiness.database_answers(true);
    assert_eq!(send(&app, Method::GET, "/readyz", &[], "").await.status, 200);
    state.readiness.stopping();
    refused(&app, Method::GET, "/readyz", &[], "", Code::Unavailable).await;
    assert_eq!(send(&app, Method::GET, "/healthz", &[], "").await.body, json!({ "status": "ok" }));
}

#[tokio::test]
async fn requests_are_counted_by_template_and_never_by_path() {
    let app = app(&state().await);
    let writer = writer();
    send(&app, Method::POST, ACT, &[("authorization", &writer)], "").await;
    send(&app, Method::GET, "/v1/secret-path", &[], "").await;
    let unknown = Method::from_bytes(b"BREW").unwrap();
    send(&app, unknown, "/v1/look", &[], "").await;
    let metrics = send(&app, Method::GET, "/metrics", &[], "").await.text;
    for expected in [
        r#"numbering_http_requests_total{method="POST",route="/v1/numbers/{identifier}/act",status="200"} 1"#,
        r#"numbering_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"numbering_http_requests_total{method="OTHER",route="/v1/look",status="405"} 1"#,
    ] {
        assert!(metrics.contains(expected), "{metrics}");
    }
    assert!(!metrics.contains("93701234567") && !metrics.contains("secret-path"));
}

#[tokio::test]
async fn a_request_whose_client_hangs_up_is_counted_too() {
    let state = state().await;
    let app = app(&state);
    let request = Request::builder().uri("/v1/stall").body(Body::empty()).unwrap();
    let hung_up = tokio::time::timeout(Duration::from_millis(50), app.oneshot(request)).await;
    assert!(hung_up.is_err(), "it stalls");
    let counted = state.metrics.encode();
    for line in [
        r#"numbering_http_requests_total{method="GET",route="/v1/stall",status="499"} 1"#,
        r#"numbering_http_request_duration_seconds_count{method="GET",route="/v1/stall"} 1"#,
    ] {
        assert!(counted.lines().any(|counted| counted == line), "{line}\n{counted}");
    }
}

#[tokio::test]
async fn the_pages_are_whole_and_load_nothing_from_elsewhere() {
    let app = app(&state().await);
    for path in ["/docs", "/docs/errors", "/docs/errors/QUOTA_EXCEEDED"] {
        let page = send(&app, Method::GET, path, &[], "").await;
        assert_eq!((page.status, page.headers[CONTENT_TYPE].to_str().unwrap()), (200, "text/html; charset=utf-8"));
        assert!(
            page.text.ends_with("</html>\n") && !page.text.contains("<script") && !page.text.contains("src="),
            "{path}"
        );
        assert!(page.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    }
    assert_eq!(
        send(&app, Method::GET, "/docs/style.css", &[], "").await.headers[CONTENT_TYPE],
        "text/css; charset=utf-8"
    );
    let reference = send(&app, Method::GET, "/docs", &[], "").await.text;
    for (path, item) in serde_json::to_value(openapi()).unwrap()["paths"].as_object().unwrap() {
        assert!(
            reference.matches(&format!("<code>{path}</code></h3>")).count() == item.as_object().unwrap().len(),
            "{path}"
        );
    }
    let document = send(&app, Method::GET, "/openapi.json", &[], "").await.body;
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn every_code_is_unique_documented_and_in_the_openapi_document() {
    let document = serde_json::to_value(openapi()).unwrap();
    let listed = document.pointer("/components/schemas/Problem/properties/code/enum").unwrap().as_array().unwrap();
    assert_eq!(listed.len(), Code::ALL.len());
    let mut table = String::new();
    for code in Code::ALL {
        let name = code.as_str();
        assert_eq!(Code::ALL.iter().filter(|other| other.as_str() == name).count(), 1, "{name} twice");
        assert!(listed.contains(&name.into()), "{name} is not in the OpenAPI document");
        let page = code.page();
        let heading = format!("# {name}\n\n**{} · {}.**", code.status_number(), code.title());
        assert!(page.starts_with(&heading), "the page of {name} does not start with {heading:?}");
        for section in ["## When it happens", "## What to do", "## Example"] {
            assert!(page.contains(section), "the page of {name} lacks {section}");
        }
        let example = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let example: Value = serde_json::from_str(example).unwrap();
        assert_eq!((&example["code"], &example["type"]), (&name.into(), &code.path().into()));
        assert_eq!((&example["status"], &example["title"]), (&code.status_number().into(), &code.title().into()));
        assert_eq!(code.status(), StatusCode::from_u16(code.status_number()).unwrap());
        writeln!(table, "{} {name}: {}", code.status_number(), code.title()).unwrap();
    }
    insta::assert_snapshot!("problem_codes", table);
}

#[test]
fn every_page_belongs_to_a_code() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(Code::parse(name.trim_end_matches(".md")).is_some(), "{name}");
    }
}

#[test]
fn every_operation_of_v1_tells_of_the_problems_of_its_place() {
    let document = serde_json::to_value(openapi()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{method} {path}");
            if path.starts_with("/v1/") {
                assert_eq!(operation["security"], json!([{ "bearer": [] }]), "{method} {path}");
                for status in ["400", "401", "403", "500", "503"] {
                    assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
                }
            }
        }
    }
}

#[test]
fn every_reference_in_the_document_resolves() {
    fn check(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
                    assert!(target.is_some(), "{reference} is nowhere");
                }
                members.values().for_each(|member| check(member, document));
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, document)),
            _ => {}
        }
    }
    let document = serde_json::to_value(openapi()).unwrap();
    check(&document, &document);
}

#[tokio::test]
async fn every_documented_operation_is_served_and_asks_for_a_token() {
    let state = state().await;
    let app = router(state);
    for (path, item) in serde_json::to_value(openapi()).unwrap()["paths"].as_object().unwrap() {
        let is_v1 = path.starts_with("/v1/");
        let concrete = path.replace("{identifier}", "4455").replace(['{', '}'], "");
        for method in item.as_object().unwrap().keys().filter(|_| is_v1) {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
            refused(&app, method, &concrete, &[], "", Code::Unauthenticated).await;
        }
    }
}

#[test]
fn an_operations_own_codes_and_those_of_its_place_stand_together() {
    use utoipa::openapi::path::{OperationBuilder, PathItem};
    documented::problem_responses! {
        /// For this test.
        Own = [NotAvailable, ReservationQuota];
    }
    let own = OperationBuilder::new()
        .responses(utoipa::openapi::ResponsesBuilder::new().responses_from_into_responses::<Own>().build());
    let mut document = openapi();
    let path = "/v1/numbers/{identifier}/reserve".to_owned();
    document.paths.paths.insert(path, PathItem::new(utoipa::openapi::HttpMethod::Post, own));
    documented::complete(&mut document);
    let document = serde_json::to_value(document).unwrap();
    let operation = &document["paths"]["/v1/numbers/{identifier}/reserve"]["post"];
    let codes = |status: &str| operation["responses"][status]["x-problem-codes"].clone();
    assert_eq!(codes("409"), json!(["NOT_AVAILABLE", "IDEMPOTENCY_IN_FLIGHT"]));
    assert_eq!(codes("403"), json!(["FORBIDDEN", "RESERVATION_QUOTA"]));
    assert_eq!(codes("404"), json!(["NOT_REGISTERED"]));
    assert_eq!(codes("422"), json!(["INVALID_IDENTIFIER", "VALIDATION_FAILED", "IDEMPOTENCY_KEY_REUSED"]));
    let release = &document["paths"]["/v1/numbers/{identifier}/release"]["post"]["responses"];
    assert!(release["403"]["x-problem-codes"].as_array().unwrap().contains(&"HELD_BY_OTHER_TENANT".into()));
    assert!(!release["409"]["x-problem-codes"].as_array().unwrap().contains(&"HELD_BY_OTHER_TENANT".into()));
    assert_eq!(operation["parameters"][0]["name"], "Idempotency-Key");
}

struct Served {
    address: std::net::SocketAddr,
    state: AppState,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn served(settings: &[(&str, &str)]) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, state, stop) = (listener.local_addr().unwrap(), state_with(settings).await, CancellationToken::new());
    let serving = tokio::spawn(serve(listener, state.clone(), stop.clone()));
    Served { address, state, stop, serving }
}

async fn until_closed(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

#[tokio::test]
async fn the_listener_serves_and_stops_within_its_drain() {
    let served = served(&[("NUMBERING_HTTP__DRAIN", "300ms")]).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(until_closed(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));

    let mut half_sent = TcpStream::connect(served.address).await.unwrap();
    half_sent.write_all(b"GET /healthz HTTP/1.1\r\nhost").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    served.stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), served.serving).await.unwrap().unwrap().unwrap();
    assert_eq!(served.state.readiness.obstacle(), Some("the service is stopping"));
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn a_silent_or_dripping_client_is_cut_off() {
    let served = served(&[("NUMBERING_HTTP__HEADER_READ_TIMEOUT", "200ms")]).await;
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    assert_eq!(until_closed(&mut silent).await, "");
    let mut dripping = TcpStream::connect(served.address).await.unwrap();
    dripping.write_all(b"GET / HTTP/1.1\r\nx-a").await.unwrap();
    assert!(!until_closed(&mut dripping).await.starts_with("HTTP/1.1 2"));
    let mut large = TcpStream::connect(served.address).await.unwrap();
    large.write_all(format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(20_000)).as_bytes()).await.unwrap();
    assert!(until_closed(&mut large).await.starts_with("HTTP/1.1 431 "));
    served.stop.cancel();
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off() {
    let settings = [("NUMBERING_HTTP__REQUEST_TIMEOUT", "1s"), ("NUMBERING_HTTP__HEADER_READ_TIMEOUT", "1h")];
    let served = served(&settings).await;
    let mut greedy = TcpStream::connect(served.address).await.unwrap();
    let asking = async { while greedy.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n").await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("the connection ends");
    let closed = async {
        while served.state.metrics.http_connections.get() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("its place is free");
    served.stop.cancel();
}

#[tokio::test]
async fn connections_are_capped() {
    let served = served(&[("NUMBERING_HTTP__MAX_CONNECTIONS", "1")]).await;
    let first = TcpStream::connect(served.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut second = TcpStream::connect(served.address).await.unwrap();
    second.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(200), second.readable()).await;
    assert!(waited.is_err(), "the second was served beside the first");
    drop(first);
    assert!(until_closed(&mut second).await.starts_with("HTTP/1.1 200 OK\r\n"));
    served.stop.cancel();
}
