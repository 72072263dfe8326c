//! A billing service that stands in for the real one at the other end of real HTTP: it is asked before a lease is renewed,
//! and can be told to approve, to reject, to say nothing, or to break. It runs in the process of `numbering dev` or of a
//! test, on the loopback address.
//!
//! What must stay true: a lease is charged once, however often and over however many starts it is asked about; a charge is
//! on the disk before it is answered; a refusal or a failure charges nothing.

mod charges;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use numbering_domain::{TenantId, Term};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;
use uuid::Uuid;

use super::Home;
use crate::auth::machine_clock;
use crate::http::code::Code;
use crate::http::extract::JsonBody;
use crate::http::problem::{ApiError, Invalid};
use charges::{Charge, Charged, Charges};

/// The largest body, in bytes.
const BODY_MOST_BYTES: usize = 4_096;

/// The longest identifier, in characters.
const IDENTIFIER_MOST_CHARS: usize = 32;

/// How long a client that does not give up is kept without an answer.
const STALL: Duration = Duration::from_mins(5);

/// The reason of every rejection.
const REASON: &str = "PAYMENT_DECLINED";

/// A billing service that listens. Dropping it ends that.
#[derive(Debug)]
pub struct Billing {
    url: String,
    server: JoinSet<()>,
}

impl Billing {
    /// Serves on the port that it had the last time, with the charges of all earlier starts; the mode is `approve`.
    ///
    /// # Errors
    ///
    /// When the port cannot be had or the charges cannot be read.
    pub async fn start(home: &Home) -> anyhow::Result<Self> {
        let app = router(Charges::open(&home.path().join("billing"))?);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, home.port("billing")?));
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("the billing service cannot listen on {address}"))?;
        let mut server = JoinSet::new();
        server.spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("the billing service has ended: {error}");
            }
        });
        Ok(Self { url: format!("http://{address}"), server })
    }

    /// Where it is reached.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Takes no further connection; those that are open end with the process.
    pub async fn stop(mut self) {
        self.server.shutdown().await;
    }
}

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// It charges.
    Approve,
    /// It says no to whom it has not charged yet.
    Reject,
    /// It says nothing.
    Stall,
    /// It answers 500.
    Fail,
}

#[derive(Debug)]
struct Desk {
    mode: Mutex<Mode>,
    charges: Mutex<Charges>,
}

fn router(charges: Charges) -> Router {
    let desk = Desk { mode: Mutex::new(Mode::Approve), charges: Mutex::new(charges) };
    Router::new()
        .route("/v1/renewals/authorize", post(authorize))
        .route("/v1/mode", put(set_mode))
        .route("/v1/charges", get(list_charges))
        .fallback(async || {
            let routes = "POST /v1/renewals/authorize, PUT /v1/mode, GET /v1/charges";
            ApiError::not_found(format!("the development billing service has {routes}"))
        })
        .method_not_allowed_fallback(async || ApiError::new(Code::MethodNotAllowed, "the method is not allowed here"))
        .with_state(Arc::new(desk))
}

/// A lease that is to be renewed, and what for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Renewal {
    tenant_id: String,
    lease_id: Uuid,
    identifier: String,
    term: String,
    amount: String,
    currency: String,
}

impl Renewal {
    fn faults(&self) -> Vec<Invalid> {
        let short_terms = true;
        let length = self.identifier.chars().count();
        let rules = [
            ("/tenantId", TenantId::parse(&self.tenant_id).map(drop).map_err(|invalid| invalid.to_string())),
            (
                "/identifier",
                holds(
                    (1..=IDENTIFIER_MOST_CHARS).contains(&length) && !self.identifier.chars().any(char::is_control),
                    "must be an identifier",
                ),
            ),
            ("/term", Term::parse(&self.term, short_terms).map(drop).map_err(|invalid| invalid.to_string())),
            ("/amount", holds(is_amount(&self.amount), "must be a decimal number as a string, such as \"2.50\"")),
            (
                "/currency",
                holds(
                    self.currency.len() == 3 && self.currency.bytes().all(|letter| letter.is_ascii_uppercase()),
                    "must be a code of ISO 4217, such as USD",
                ),
            ),
        ];
        let faults = rules.into_iter().filter_map(|(pointer, rule)| Some((pointer, rule.err()?)));
        faults.map(|(pointer, detail)| Invalid { pointer: pointer.to_owned(), detail }).collect()
    }

    fn charge(self) -> Charge {
        Charge {
            id: Uuid::now_v7(),
            lease_id: self.lease_id,
            tenant_id: self.tenant_id,
            identifier: self.identifier,
            term: self.term,
            amount: self.amount,
            currency: self.currency,
            at: machine_clock(),
        }
    }
}

fn holds(rule: bool, detail: &str) -> Result<(), String> {
    if rule { Ok(()) } else { Err(detail.to_owned()) }
}

/// Decimal digits, with at most one point between them: no sign, no exponent.
fn is_amount(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let bare_point = text.starts_with('.') || text.ends_with('.');
    plain && !bare_point && Decimal::from_str_exact(text).is_ok()
}

fn check_key(headers: &HeaderMap, lease_id: Uuid) -> Result<(), ApiError> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(ApiError::malformed("one Idempotency-Key is needed: the leaseId"));
    };
    if key.to_str().is_ok_and(|key| Uuid::parse_str(key) == Ok(lease_id)) {
        Ok(())
    } else {
        Err(ApiError::malformed(format!("the Idempotency-Key must be the leaseId, {lease_id}")))
    }
}

async fn authorize(State(desk): State<Arc<Desk>>, request: Request) -> Result<Json<Value>, ApiError> {
    let headers = request.headers().clone();
    let renewal: Renewal = JsonBody::read_up_to(request, BODY_MOST_BYTES).await?.value;
    let faults = renewal.faults();
    if !faults.is_empty() {
        return Err(ApiError::invalid(faults));
    }
    check_key(&headers, renewal.lease_id)?;
    let mode = *desk.mode.lock().unwrap_or_else(PoisonError::into_inner);
    match mode {
        Mode::Approve | Mode::Reject => {}
        Mode::Stall => {
            sleep(STALL).await;
            return Err(ApiError::new(Code::Unavailable, "the billing service stalls: its mode is `stall`"));
        }
        Mode::Fail => return Err(ApiError::new(Code::Internal, "the billing service fails: its mode is `fail`")),
    }
    // On a thread of its own: it waits for the disk, and goes on when the client does not.
    let charging = spawn_blocking(move || {
        let mut charges = desk.charges.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = renewal.charge();
        if mode == Mode::Approve { charges.charge(wanted).map(Some) } else { Ok(charges.find(&wanted)) }
    });
    let charged = charging
        .await
        .map_err(ApiError::internal)?
        .map_err(|error| ApiError::new(Code::Internal, format!("the charge cannot be written down: {error}")))?;
    match charged {
        Some(Charged::Paid(charge_id)) => Ok(Json(json!({"approved": true, "chargeId": charge_id}))),
        Some(Charged::Differently) => {
            let detail = "this Idempotency-Key was used for another request, and that one was charged";
            Err(ApiError::new(Code::IdempotencyKeyReused, detail))
        }
        None => Ok(Json(json!({"approved": false, "reason": REASON}))),
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeBody {
    mode: Mode,
}

async fn set_mode(State(desk): State<Arc<Desk>>, request: Request) -> Result<Json<ModeBody>, ApiError> {
    let body: ModeBody = JsonBody::read_up_to(request, BODY_MOST_BYTES).await?.value;
    *desk.mode.lock().unwrap_or_else(PoisonError::into_inner) = body.mode;
    Ok(Json(body))
}

async fn list_charges(State(desk): State<Arc<Desk>>) -> Json<Value> {
    let charges = desk.charges.lock().unwrap_or_else(PoisonError::into_inner);
    let shown = |charge: &Charge| {
        json!({
            "leaseId": charge.lease_id,
            "tenantId": charge.tenant_id,
            "identifier": charge.identifier,
            "amount": charge.amount,
            "at": charge.at,
        })
    };
    Json(json!({ "items": charges.iter().map(shown).collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests;
