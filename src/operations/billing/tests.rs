use std::net::SocketAddr;

use axum::Router;
use axum::body::Body as Payload;
use axum::http::{HeaderMap, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;
use crate::config::{Period, Secret, ServerUrl};
use crate::devstack::{self, Home};

const TIMEOUT: Period = Period::from_millis(300);

fn client(url: &str) -> Billing {
    let settings = config::Billing { url: Some(ServerUrl::new(url)), token: None, timeout: TIMEOUT, in_flight: 1 };
    Billing::new(&settings).unwrap().unwrap()
}

fn renewal() -> Renewal {
    Renewal {
        tenant: TenantId::parse("tenant-a").unwrap(),
        lease_id: LeaseId(Uuid::now_v7()),
        shown: "City News".into(),
        term: Term::parse("6m", false).unwrap(),
        amount: "15.5".parse().unwrap(),
        currency: "USD".to_owned(),
    }
}

async fn asked(billing: &Billing, renewal: &Renewal) -> Answer {
    billing.authorize(renewal, &Metrics::default()).await
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// What is made of an answer with this status and body.
async fn made_of(status: u16, body: &'static str) -> Answer {
    let answer = async move || Response::builder().status(status).body(Payload::from(body)).unwrap();
    let address = serve(Router::new().route("/v1/renewals/authorize", post(answer))).await;
    asked(&client(&format!("http://{address}")), &renewal()).await
}

/// The stand-in, and a way to tell it how to answer.
async fn stand_in(directory: &TempDir) -> devstack::Billing {
    devstack::Billing::start(&Home::open(directory.path()).unwrap()).await.unwrap()
}

async fn told(billing: &devstack::Billing, mode: &str) {
    let url = format!("{}/v1/mode", billing.url());
    let told = reqwest::Client::new().put(url).json(&json!({ "mode": mode })).send().await.unwrap();
    assert_eq!(told.status(), 200);
}

async fn charges(billing: &devstack::Billing) -> Vec<Value> {
    let url = format!("{}/v1/charges", billing.url());
    let listed: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    listed["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_stand_in_approves_rejects_stalls_and_fails_and_charges_once() {
    let directory = TempDir::new().unwrap();
    let stand_in = stand_in(&directory).await;
    let (billing, renewal) = (client(stand_in.url()), renewal());

    told(&stand_in, "reject").await;
    assert_eq!(asked(&billing, &renewal).await, Answer::Rejected { reason: "PAYMENT_DECLINED".to_owned() });
    told(&stand_in, "stall").await;
    assert_eq!(asked(&billing, &renewal).await, Answer::Unavailable(Outage::Late(TIMEOUT.duration())));
    told(&stand_in, "fail").await;
    assert_eq!(asked(&billing, &renewal).await, Answer::Unavailable(Outage::Failed(StatusCode::INTERNAL_SERVER_ERROR)));
    assert!(charges(&stand_in).await.is_empty());

    told(&stand_in, "approve").await;
    let first = asked(&billing, &renewal).await;
    assert!(matches!(first, Answer::Approved(_)), "{first:?}");
    assert_eq!(asked(&billing, &renewal).await, first);
    let made = charges(&stand_in).await;
    assert_eq!(made.len(), 1);
    let paid = (&made[0]["leaseId"], &made[0]["identifier"], &made[0]["amount"]);
    assert_eq!(paid, (&json!(renewal.lease_id.to_string()), &json!("City News"), &json!("15.50")));

    let other_words = Renewal { amount: "16".parse().unwrap(), ..renewal };
    let refused = asked(&billing, &other_words).await;
    assert_eq!(refused, Answer::Unavailable(Outage::Refused(StatusCode::UNPROCESSABLE_ENTITY)));
    stand_in.stop().await;
    let unreachable = asked(&billing, &other_words).await;
    assert!(matches!(unreachable, Answer::Unavailable(Outage::Unreachable(_) | Outage::Late(_))), "{unreachable:?}");
}

#[tokio::test]
async fn only_a_plain_decision_is_one() {
    let charge = ChargeId::parse("ch/1 #2").unwrap();
    assert_eq!(made_of(200, r#"{"approved":true,"chargeId":"ch/1 #2","more":1}"#).await, Answer::Approved(charge));
    let rejected = Answer::Rejected { reason: "NO_FUNDS".to_owned() };
    for status in [200, 402, 409] {
        assert_eq!(made_of(status, r#"{"approved":false,"reason":"NO_FUNDS"}"#).await, rejected, "{status}");
    }
    for nonsense in [
        "",
        "yes",
        "null",
        "{}",
        r#"{"approved":"true","chargeId":"1"}"#,
        r#"{"approved":true}"#,
        r#"{"approved":true,"chargeId":""}"#,
        r#"{"approved":true,"chargeId":7}"#,
        r#"{"approved":false}"#,
        r#"[{"approved":true,"chargeId":"1"}]"#,
    ] {
        let answer = made_of(200, nonsense).await;
        assert!(matches!(answer, Answer::Unavailable(Outage::Nonsense(_))), "{nonsense}: {answer:?}");
    }
}

#[tokio::test]
async fn an_error_is_an_outage_and_tells_whether_it_is_of_one_request_alone() {
    for (status, of_one) in [
        (400, true),
        (409, true),
        (413, true),
        (422, true),
        (301, false),
        (401, false),
        (403, false),
        (404, false),
        (408, false),
        (429, false),
        (500, false),
        (503, false),
    ] {
        for body in [r#"{"approved":true,"chargeId":"1"}"#, "{}"] {
            let Answer::Unavailable(outage) = made_of(status, body).await else { panic!("{status}") };
            assert_eq!(outage.is_of_one_request(), of_one, "{status}: {outage}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_end_in_size_or_time_is_given_up_and_no_redirect_followed() {
    let endless = async || {
        let spaces = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1_024]));
        Response::new(Payload::from_stream(spaces))
    };
    let address = serve(Router::new().route("/v1/renewals/authorize", post(endless))).await;
    let answer = asked(&client(&format!("http://{address}")), &renewal()).await;
    assert_eq!(answer, Answer::Unavailable(Outage::Nonsense("it is too large")));

    let never_ending =
        async || Response::new(Payload::from_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>()));
    let address = serve(Router::new().route("/v1/renewals/authorize", post(never_ending))).await;
    let answer = asked(&client(&format!("http://{address}")), &renewal()).await;
    assert_eq!(answer, Answer::Unavailable(Outage::Late(TIMEOUT.duration())));

    let elsewhere =
        async || Response::builder().status(307).header("location", "/elsewhere").body(Payload::empty()).unwrap();
    let approve = async || r#"{"approved":true,"chargeId":"1"}"#;
    let app = Router::new().route("/v1/renewals/authorize", post(elsewhere)).route("/elsewhere", post(approve));
    let answer = asked(&client(&format!("http://{}", serve(app).await)), &renewal()).await;
    assert_eq!(answer, Answer::Unavailable(Outage::Failed(StatusCode::TEMPORARY_REDIRECT)));
}

#[tokio::test]
async fn the_token_goes_along_and_the_path_of_the_url_is_kept() {
    let echo = async |headers: HeaderMap| {
        let shown = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("none").to_owned();
        let reason = format!("{} {}", shown("authorization"), shown("idempotency-key"));
        axum::Json(json!({ "approved": false, "reason": reason }))
    };
    let app = Router::new().route("/billing/v1/renewals/authorize", post(echo).merge(get(async || "")));
    let url = format!("http://{}/billing/", serve(app).await);
    let settings = config::Billing {
        url: Some(ServerUrl::new(url)),
        token: Some(Secret::new("s3cret")),
        timeout: TIMEOUT,
        in_flight: 1,
    };
    let billing = Billing::new(&settings).unwrap().unwrap();
    let renewal = renewal();
    let reason = format!("Bearer s3cret {}", renewal.lease_id);
    assert_eq!(asked(&billing, &renewal).await, Answer::Rejected { reason });
    assert_eq!(billing.probe().await, Ok(StatusCode::OK));
    assert!(!format!("{settings:?} {billing:?}").contains("s3cret"));
}
