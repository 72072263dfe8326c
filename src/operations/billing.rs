//! Billing, asked over HTTP before a lease is renewed (contract, section 5).
//!
//! What must stay true: only a plain decision is a decision, and everything else is an outage, which is never a rejection;
//! the key is the lease, so that however often billing is asked about a lease, it is charged once; an answer is bounded in
//! time and size, and no redirect is followed.

use std::fmt;
use std::time::Duration;

use numbering_domain::{ChargeId, LeaseId, TenantId, Term, price};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::remote;
use crate::config;
use crate::telemetry::{BillingAnswered, Metrics};

/// The largest answer, in bytes.
const ANSWER_MOST_BYTES: usize = 16_384;
/// The longest reason that is kept, in characters.
const REASON_MOST_CHARS: usize = 200;

/// The settings describe no billing service that can be asked.
#[derive(Debug, thiserror::Error)]
pub enum BillingError {
    /// `billing.url` is no address.
    #[error("billing.url is no address that can be asked")]
    Address,
    /// `billing.token` cannot stand in a header.
    #[error("billing.token cannot stand in a header")]
    Token,
    /// The client could not be made.
    #[error("billing cannot be asked: {0}")]
    Client(#[from] reqwest::Error),
}

/// What a lease's next term is to be paid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Who pays.
    pub tenant: TenantId,
    /// The lease that is renewed, and the key of the charge.
    pub lease_id: LeaseId,
    /// The number, as registered.
    pub shown: Box<str>,
    /// For how long.
    pub term: Term,
    /// What the whole term costs.
    pub amount: Decimal,
    /// ISO 4217 code.
    pub currency: String,
}

/// The body of the request, as the contract has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    tenant_id: &'a str,
    lease_id: String,
    identifier: &'a str,
    term: String,
    amount: String,
    currency: &'a str,
}

/// What billing says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is paid.
    Approved(ChargeId),
    /// It will not be paid.
    Rejected {
        /// Why, in billing's words.
        reason: String,
    },
    /// There is no decision. The lease may have been charged all the same.
    Unavailable(Outage),
}

impl Answer {
    const fn label(&self) -> &'static str {
        match self {
            Self::Approved(_) => "approved",
            Self::Rejected { .. } => "rejected",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// Why there is no decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// No answer was to be had.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// No whole answer came in time.
    #[error("it did not answer within {0:?}")]
    Late(Duration),
    /// It answered that it does not work, or does not let this service in.
    #[error("it answered {0}")]
    Failed(StatusCode),
    /// It answered, but would not hear of this one request.
    #[error("it refused the request with {0}")]
    Refused(StatusCode),
    /// It said what is no decision.
    #[error("its answer is no decision: {0}")]
    Nonsense(&'static str),
}

impl Outage {
    /// Whether billing works, and it is this one request that it would not answer: then others may fare better.
    #[must_use]
    pub const fn is_of_one_request(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Unreachable(_) | Self::Late(_) | Self::Failed(_) | Self::Nonsense(_) => false,
        }
    }

    /// What a status without a decision says. The statuses below 500 that are named are about who asks, where or how
    /// often, so that every other request would meet the same.
    fn of_status(status: StatusCode) -> Self {
        let of_all = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::MISDIRECTED_REQUEST,
            StatusCode::TOO_EARLY,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        if status.is_client_error() && !of_all.contains(&status) { Self::Refused(status) } else { Self::Failed(status) }
    }
}

/// The billing service. Cheap to clone.
#[derive(Clone)]
pub struct Billing {
    client: Client,
    authorize: Url,
    bearer: Option<HeaderValue>,
    timeout: Duration,
}

impl fmt::Debug for Billing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Billing").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Billing {
    /// The service that the settings describe; `None` where they name none.
    ///
    /// # Errors
    /// [`BillingError`] where it cannot be asked.
    pub fn new(settings: &config::Billing) -> Result<Option<Self>, BillingError> {
        let Some(url) = &settings.url else { return Ok(None) };
        let mut authorize: Url = url.as_str().parse().map_err(|_| BillingError::Address)?;
        authorize.path_segments_mut().map_err(|()| BillingError::Address)?.pop_if_empty().extend([
            "v1",
            "renewals",
            "authorize",
        ]);
        let bearer = remote::bearer(settings.token.as_ref()).map_err(|_| BillingError::Token)?;
        let timeout = settings.timeout.duration();
        Ok(Some(Self { client: remote::client(&authorize, timeout)?, authorize, bearer, timeout }))
    }

    /// Asks whether a lease is to be renewed, which charges it if so. Asked again about the same lease in the same words,
    /// billing answers with the same charge.
    pub async fn authorize(&self, renewal: &Renewal, metrics: &Metrics) -> Answer {
        let asked_at = Instant::now();
        let answer = self.ask(renewal).await.unwrap_or_else(Answer::Unavailable);
        let answered = BillingAnswered { answer: answer.label() };
        metrics.billing_seconds.get_or_create(&answered).observe(asked_at.elapsed().as_secs_f64());
        answer
    }

    async fn ask(&self, renewal: &Renewal) -> Result<Answer, Outage> {
        let lease_id = renewal.lease_id.to_string();
        let mut request = self.client.post(self.authorize.clone()).header("idempotency-key", &lease_id).json(&Body {
            tenant_id: renewal.tenant.as_str(),
            lease_id,
            identifier: &renewal.shown,
            term: renewal.term.to_string(),
            amount: price::written(renewal.amount),
            currency: &renewal.currency,
        });
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        let mut response = request.send().await.map_err(|error| self.outage(&error))?;
        let status = response.status();
        if !status.is_success() && !status.is_client_error() {
            return Err(Outage::Failed(status));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.outage(&error))? {
            if body.len() + chunk.len() > ANSWER_MOST_BYTES {
                return Err(Outage::Nonsense("it is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        decision(status, &body)
    }

    /// Whether there is a billing service at all: the status that it answers a request with that asks for nothing.
    ///
    /// # Errors
    /// [`Outage`] where it does not answer.
    pub async fn probe(&self) -> Result<StatusCode, Outage> {
        let mut request = self.client.get(self.authorize.clone());
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        request.send().await.map(|response| response.status()).map_err(|error| self.outage(&error))
    }

    fn outage(&self, error: &reqwest::Error) -> Outage {
        if error.is_timeout() {
            return Outage::Late(self.timeout);
        }
        // The innermost cause says it; the outer ones repeat the address, which may hold a password.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Outage::Unreachable(cause.to_string())
    }
}

/// What an answer decides. A refusal may come with a status of the client's fault; an approval may not.
fn decision(status: StatusCode, body: &[u8]) -> Result<Answer, Outage> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Decision {
        approved: bool,
        charge_id: Option<String>,
        reason: Option<String>,
    }
    let Ok(decision) = serde_json::from_slice::<Decision>(body) else {
        return Err(if status.is_success() {
            Outage::Nonsense("it is no JSON object with `approved`")
        } else {
            Outage::of_status(status)
        });
    };
    match decision {
        Decision { approved: true, .. } if !status.is_success() => Err(Outage::of_status(status)),
        Decision { approved: true, charge_id: Some(charge_id), .. } => {
            let charge_id = ChargeId::parse(&charge_id).map_err(|_| Outage::Nonsense("its `chargeId` is no id"))?;
            Ok(Answer::Approved(charge_id))
        }
        Decision { approved: true, charge_id: None, .. } => Err(Outage::Nonsense("it approves without `chargeId`")),
        Decision { approved: false, reason: Some(reason), .. } => {
            Ok(Answer::Rejected { reason: reason.chars().take(REASON_MOST_CHARS).collect() })
        }
        Decision { approved: false, reason: None, .. } => Err(Outage::Nonsense("it rejects without `reason`")),
    }
}

#[cfg(test)]
mod tests;
