//! The gRPC interface (US-NUM-002, contract section 4): who may ask, what is answered, and what is limited.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use numbering_proto::v1::lease_validation_client::LeaseValidationClient;
use numbering_proto::v1::validate_lease_response::Reason;
use numbering_proto::v1::{ValidateLeaseRequest, ValidateLeaseResponse, ValidateLeasesRequest, ValidateLeasesResponse};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::TestApp;

async fn channel(app: &TestApp) -> Channel {
    Endpoint::from_shared(format!("http://{}", app.grpc)).unwrap().connect().await.unwrap()
}

fn pair(identifier: &str, tenant: &str) -> ValidateLeaseRequest {
    ValidateLeaseRequest { identifier: identifier.to_owned(), tenant_id: tenant.to_owned() }
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn validator(app: &TestApp) -> String {
    app.issuer.token("sms-orchestrator", None, &["leases.validate"])
}

async fn ask_many(app: &TestApp, items: Vec<ValidateLeaseRequest>) -> Result<Vec<Reason>, Status> {
    let request = with_token(ValidateLeasesRequest { items }, &validator(app));
    let answered = LeaseValidationClient::new(channel(app).await).validate_leases(request).await?;
    Ok(answered.into_inner().items.iter().map(ValidateLeaseResponse::reason).collect())
}

#[tokio::test]
async fn a_valid_lease_is_answered_with_its_id_and_end_and_a_refused_one_without() {
    let app = TestApp::start().await;
    let number = &app.stock_numbers(1).await[0];
    let tenant = app.tenant("tenant-a");
    tenant.act(number, "reserve").await.expect(200);
    assert_eq!(app.validate(number, "tenant-a").await.reason(), Reason::NotLeased);
    let lease = tenant.lease(number, "6m").await.expect(201);

    for _ in 0..2 {
        let valid = app.validate(number, "tenant-a").await;
        assert!(valid.valid && valid.reason() == Reason::Unspecified, "{valid:?}");
        assert_eq!(valid.lease_id, lease["leaseId"].as_str().unwrap());
        let until = valid.effective_until.unwrap();
        let until = jiff::Timestamp::new(until.seconds, until.nanos).unwrap();
        assert_eq!(json!(until), lease["effectiveUntil"]);

        let refused = app.validate(number, "tenant-b").await;
        assert!(!refused.valid && refused.reason() == Reason::WrongTenant, "{refused:?}");
        assert!(refused.lease_id.is_empty() && refused.effective_until.is_none(), "{refused:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn each_step_of_a_number_s_life_is_seen_by_the_next_validation() {
    let app = TestApp::start().await;
    let number = &app.stock_numbers(1).await[0];
    let (tenant, admin) = (app.tenant("tenant-a"), app.admin());
    let reason = async || app.validate(number, "tenant-a").await.reason();
    let by_admin = async |action: &str| admin.post(&format!("/v1/admin/numbers/{number}/{action}"), &json!({})).await;

    assert_eq!(reason().await, Reason::NotLeased);
    tenant.act(number, "reserve").await.expect(200);
    tenant.act(number, "release").await.expect(200);
    assert_eq!(reason().await, Reason::NotLeased);
    tenant.act(number, "reserve").await.expect(200);
    tenant.lease(number, "6m").await.expect(201);
    assert_eq!(reason().await, Reason::Unspecified);
    by_admin("suspend").await.expect(200);
    assert_eq!(reason().await, Reason::LeaseSuspended);
    by_admin("reinstate").await.expect(200);
    assert_eq!(reason().await, Reason::Unspecified);
    tenant.recall(number, "TENANT_INITIATED", None).await.expect(200);
    assert_eq!(reason().await, Reason::LeaseRecalled);
    app.stop().await;
}

#[tokio::test]
async fn only_the_service_permission_may_ask() {
    let app = TestApp::start().await;
    let mut client = LeaseValidationClient::new(channel(&app).await);
    let all_others =
        ["numbers.read", "numbers.write", "numbers.lease.bypass", "numbering.admin", "numbering.compliance"];
    let powerful = app.issuer.token("somebody", Some("tenant-a"), &all_others);
    let refused = client.validate_lease(with_token(pair("+93700000000", "tenant-a"), &powerful)).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::PermissionDenied, "this needs the permission leases.validate")
    );
    let refused = client.validate_leases(with_token(ValidateLeasesRequest { items: Vec::new() }, &powerful)).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);

    let good = validator(&app);
    let forged = format!("{}x", &good[..good.len() - 1]);
    for token in ["", "x", &good[..good.len() - 4], &forged] {
        let refused = client.validate_lease(with_token(pair("+93700000000", "tenant-a"), token)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token:?}: {refused:?}");
    }
    let refused = client.validate_lease(Request::new(pair("+93700000000", "tenant-a"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut twice = with_token(pair("+93700000000", "tenant-a"), &good);
    twice.metadata_mut().append("authorization", format!("Bearer {good}").parse().unwrap());
    assert_eq!(client.validate_lease(twice).await.unwrap_err().code(), Code::Unauthenticated);
    client.validate_lease(with_token(pair("+93700000000", "tenant-a"), &good)).await.unwrap();
    app.stop().await;
}

#[tokio::test]
async fn a_thousand_pairs_are_answered_in_order_and_one_more_is_refused() {
    let app = TestApp::start().await;
    let numbers = app.stock_numbers(2).await;
    let tenant = app.tenant("tenant-a");
    tenant.act(&numbers[0], "reserve").await.expect(200);
    tenant.lease(&numbers[0], "6m").await.expect(201);
    let kinds = [
        (pair(&numbers[0], "tenant-a"), Reason::Unspecified),
        (pair("+93799999999", "tenant-a"), Reason::NotRegistered),
        (pair(&numbers[0], "tenant-b"), Reason::WrongTenant),
        (pair("", ""), Reason::InvalidIdentifier),
        (pair(&numbers[1], "tenant-a"), Reason::NotLeased),
    ];
    let (mut items, expected): (Vec<_>, Vec<_>) = kinds.into_iter().cycle().take(1_000).unzip();
    assert_eq!(ask_many(&app, items.clone()).await.unwrap(), expected);
    assert_eq!(ask_many(&app, Vec::new()).await.unwrap(), Vec::new());
    items.push(pair("", ""));
    assert_eq!(ask_many(&app, items).await.unwrap_err().code(), Code::InvalidArgument);
    app.stop().await;
}

/// A request of a client that knows more than this service, or writes what is no text.
#[derive(Clone, PartialEq, prost::Message)]
struct Other {
    #[prost(bytes = "vec", tag = "1")]
    identifier: Vec<u8>,
    #[prost(string, tag = "2")]
    tenant_id: String,
    #[prost(string, tag = "9")]
    purpose: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Others {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Other>,
}

/// The answer of either method to one pair, with a header or without.
async fn ask_otherwise(
    app: &TestApp,
    many: bool,
    asked: &Other,
    header: Option<&'static str>,
) -> Result<Reason, Status> {
    async fn call<Q, A>(
        app: &TestApp,
        path: &'static str,
        message: Q,
        header: Option<&'static str>,
    ) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut client = tonic::client::Grpc::new(channel(app).await);
        client.ready().await.unwrap();
        let mut request = with_token(message, &validator(app));
        if let Some(encoding) = header {
            request.metadata_mut().insert("grpc-encoding", encoding.parse().unwrap());
        }
        let codec = tonic_prost::ProstCodec::default();
        Ok(client.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
    }
    if many {
        let asked = Others { items: vec![asked.clone()] };
        let answers: ValidateLeasesResponse =
            call(app, "/numbering.v1.LeaseValidation/ValidateLeases", asked, header).await?;
        assert_eq!(answers.items.len(), 1);
        return Ok(answers.items[0].reason());
    }
    let answer: ValidateLeaseResponse =
        call(app, "/numbering.v1.LeaseValidation/ValidateLease", asked.clone(), header).await?;
    Ok(answer.reason())
}

#[tokio::test]
async fn what_is_not_plain_is_read_as_well_and_what_is_broken_is_refused() {
    let app = TestApp::start().await;
    let asked = |identifier: &[u8], purpose: &str| Other {
        identifier: identifier.to_vec(),
        tenant_id: "tenant-a".to_owned(),
        purpose: purpose.to_owned(),
    };
    for many in [false, true] {
        let ask = async |asked: &Other, header| ask_otherwise(&app, many, asked, header).await;
        let known = asked(b"+93700000000", "");
        assert_eq!(ask(&known, None).await.unwrap(), Reason::NotRegistered);
        assert_eq!(ask(&known, Some("identity")).await.unwrap(), Reason::NotRegistered);
        assert_eq!(ask(&asked(b"+93700000000", "a bulletin"), None).await.unwrap(), Reason::NotRegistered);
        for (broken, header, code) in [
            (asked(b"+9370000000\xff", ""), None, Code::Internal),
            (asked(&vec![b'x'; 300_000], ""), None, Code::OutOfRange),
            (known, Some("deflate"), Code::Unimplemented),
        ] {
            let refused = ask(&broken, header).await.unwrap_err();
            assert_eq!(refused.code(), code, "{refused:?}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn messages_and_calls_have_limits() {
    let app = TestApp::start_with(&[("NUMBERING_GRPC__MAX_CONCURRENT_REQUESTS", "1")]).await;
    let mut client = LeaseValidationClient::new(channel(&app).await);
    let large = with_token(pair(&"x".repeat(300_000), "tenant-a"), &validator(&app));
    let refused = client.validate_lease(large).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");

    let calls = (0..200).map(|n| {
        let (mut client, token) = (client.clone(), validator(&app));
        async move { client.validate_lease(with_token(pair(&format!("+93700{n:06}"), "t"), &token)).await }
    });
    let answers = futures_util::future::join_all(calls).await;
    let refused: Vec<&Status> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(!refused.is_empty() && refused.len() < answers.len(), "{} of {}", refused.len(), answers.len());
    for status in refused {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.metadata().contains_key("grpc-retry-pushback-ms"), "{status:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn connections_have_limits_in_number_and_in_patience() {
    let app = TestApp::start_with(&[("NUMBERING_GRPC__MAX_CONNECTIONS", "2")]).await;
    let (mut first, mut second) = (connect(app.grpc).await, connect(app.grpc).await);
    let opened_at = Instant::now();
    let mut third = connect(app.grpc).await;
    timeout(Duration::from_secs(5), closed_by_server(&mut third)).await.expect("beyond the limit it is closed at once");
    for held in [&mut first, &mut second] {
        held.write_all(b"P").await.unwrap();
        assert!(timeout(Duration::from_millis(300), closed_by_server(held)).await.is_err(), "within it, it is not");
    }
    timeout(Duration::from_secs(20), closed_by_server(&mut first)).await.expect("a preface that never ends is cut off");
    assert!(opened_at.elapsed() > Duration::from_secs(9));
    app.validate("+93700000000", "tenant-a").await;
    app.stop().await;
}

#[tokio::test]
async fn a_call_ends_in_time_while_postgresql_does_not_answer() {
    for (longest, code) in [("300ms", Code::DeadlineExceeded), ("3s", Code::Unavailable)] {
        let app = TestApp::start_with(&[("NUMBERING_GRPC__REQUEST_TIMEOUT", longest)]).await;
        let mut superuser = app.superuser().await;
        let lock = superuser.transaction().await.unwrap();
        lock.batch_execute("LOCK TABLE numbering.numbers IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let asked_at = Instant::now();
        let refused = app.try_validate("+93700000000", "tenant-a").await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
        assert!(asked_at.elapsed() < Duration::from_secs(2), "{:?}", asked_at.elapsed());
        lock.rollback().await.unwrap();
        assert_eq!(app.validate("+93700000000", "tenant-a").await.reason(), Reason::NotRegistered);
        app.stop().await;
    }
}

/// A client that leaves its deadlines to the server: the message as it is on the wire, all of it ASCII.
struct Plain {
    requests: hyper::client::conn::http2::SendRequest<String>,
    token: String,
}

impl Plain {
    async fn connect(app: &TestApp, token: String) -> Self {
        let stream = TokioIo::new(connect(app.grpc).await);
        let (requests, connection) =
            hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        Self { requests, token }
    }

    /// The status of `ValidateLease` with no time left, in the head of its answer.
    async fn ask_too_late(&self) -> Code {
        let (identifier, tenant) = ("+93700000000", "tenant-a");
        let message = format!("\n\u{c}{identifier}\u{12}\u{8}{tenant}");
        let length = char::from(u8::try_from(message.len()).unwrap());
        let request = hyper::Request::post("http://localhost/numbering.v1.LeaseValidation/ValidateLease")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {}", self.token))
            .header("grpc-timeout", "0n")
            .body(format!("\0\0\0\0{length}{message}"))
            .unwrap();
        let answer = self.requests.clone().send_request(request).await.unwrap();
        Code::from_bytes(answer.headers().get("grpc-status").expect("it is refused").as_bytes())
    }
}

#[tokio::test]
async fn a_call_that_has_no_time_left_does_no_work_and_many_on_one_connection_do_not_end_it() {
    let app = TestApp::start().await;
    let client = Plain::connect(&app, validator(&app)).await;
    let late = futures_util::future::join_all((0..500).map(|_| client.ask_too_late())).await;
    assert!(late.iter().all(|code| *code == Code::DeadlineExceeded), "{late:?}");
    let text = reqwest::get(format!("http://{}/metrics", app.http)).await.unwrap().text().await.unwrap();
    let counted = r#"numbering_grpc_calls_total{method="ValidateLease",code="DEADLINE_EXCEEDED"} 500"#;
    assert!(text.contains(counted), "{text}");
    assert!(!text.contains("numbering_validations_total{"), "{text}");
    app.stop().await;
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

async fn closed_by_server(stream: &mut TcpStream) {
    let mut bytes = [0; 1024];
    while !matches!(stream.read(&mut bytes).await, Ok(0) | Err(_)) {}
}

#[tokio::test]
async fn health_follows_readiness_and_a_stop_loses_no_call_under_way() {
    let app = TestApp::start_with(&[("NUMBERING_HTTP__UNREADY_GRACE", "500ms")]).await;
    let mut health = HealthClient::new(channel(&app).await);
    let asked = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let mut watched = health.watch(asked("")).await.unwrap().into_inner();
    let until = async |watched: &mut Streaming<HealthCheckResponse>, status: ServingStatus| {
        let told = async { while watched.next().await.unwrap().unwrap().status() != status {} };
        timeout(Duration::from_secs(5), told).await.unwrap();
    };
    until(&mut watched, ServingStatus::Serving).await;
    let status = health.check(asked("numbering.v1.LeaseValidation")).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::Serving);

    let (client, token) = (LeaseValidationClient::new(channel(&app).await), validator(&app));
    let asking = tokio::spawn(async move {
        let mut answered = 0;
        loop {
            let call = with_token(pair("+93700000000", "tenant-a"), &token);
            match client.clone().validate_lease(call).await {
                Ok(_) => answered += 1,
                // The connection was refused: the listener is gone, and what was under way before was answered.
                Err(status) => return (answered, status),
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stopping = tokio::spawn(app.stop());
    until(&mut watched, ServingStatus::NotServing).await;
    let (answered, last) = asking.await.unwrap();
    assert!(answered > 5, "it answers until the grace is over: {answered}");
    assert_eq!(last.code(), Code::Unavailable, "{last:?}");
    drop((health, watched));
    timeout(Duration::from_secs(15), stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn reflection_describes_the_interface() {
    let app = TestApp::start().await;
    let asked = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let requests = vec![
        asked(MessageRequest::ListServices(String::new())),
        asked(MessageRequest::FileContainingSymbol("numbering.v1.LeaseValidation.ValidateLease".into())),
        asked(MessageRequest::FileByFilename("google/protobuf/timestamp.proto".into())),
    ];
    let mut client = ServerReflectionClient::new(channel(&app).await);
    let mut answers = client.server_reflection_info(futures_util::stream::iter(requests)).await.unwrap().into_inner();
    let mut next = async || answers.next().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = next().await else { panic!("no list of services") };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["numbering.v1.LeaseValidation", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(names.iter().any(|listed| listed == name), "{names:?}");
    }
    for _ in 0..2 {
        assert!(matches!(next().await, MessageResponse::FileDescriptorResponse(_)));
    }
    app.stop().await;
}

#[tokio::test]
async fn grpc_is_served_over_tls_where_a_certificate_is_configured() {
    let tls = TempDir::new().unwrap();
    let (certificate, key) = (tls.path().join("cert.pem"), tls.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem =
        |label: &str, der: &[u8]| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
    std::fs::write(&certificate, pem("CERTIFICATE", made.cert.der())).unwrap();
    std::fs::write(&key, pem("PRIVATE KEY", &made.signing_key.serialize_der())).unwrap();
    let app = TestApp::start_with(&[
        ("NUMBERING_GRPC__TLS_CERT", certificate.to_str().unwrap()),
        ("NUMBERING_GRPC__TLS_KEY", key.to_str().unwrap()),
    ])
    .await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let address = app.grpc;
    let channel = Endpoint::from_static("http://localhost")
        .connect_with_connector(tower::service_fn(move |_| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
                std::io::Result::Ok(TokioIo::new(stream))
            }
        }))
        .await
        .unwrap();
    let request = with_token(pair("+93700000000", "tenant-a"), &validator(&app));
    let answer = LeaseValidationClient::new(channel).validate_lease(request).await.unwrap().into_inner();
    assert_eq!(answer.reason(), Reason::NotRegistered);
    app.stop().await;
}
