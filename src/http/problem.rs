//! Every refusal and failure as one shape: RFC 9457 `application/problem+json`.
//!
//! What must stay true: a problem's status and title come from the table in [`super::code`]; a failure of the service is
//! logged once, here, at the edge, and its cause is never shown to the caller.

use std::fmt;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use numbering_domain::{IdentifierClass, InvalidIdentifier, Rejection};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::code::Code;
use super::request::RequestRecord;
use crate::auth::{Permission, Refusal};
use crate::store::StoreError;

/// The media type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// When to come again after a failure that is expected to pass.
const RETRY_SECONDS: u64 = 1;

/// The longest detail; what a caller sent may be part of it.
const DETAIL_MOST_CHARS: usize = 500;

/// Something wrong with one place of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invalid {
    /// Where, as a JSON Pointer (RFC 6901); empty for the body itself.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

/// An answer that is a problem. Handlers return it as their error.
#[derive(Debug)]
pub struct ApiError(Box<Problem>);

#[derive(Debug)]
struct Problem {
    code: Code,
    status: StatusCode,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl ApiError {
    /// A problem of this code; `detail` says what happened this time, in plain words, for the caller to read.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(DETAIL_MOST_CHARS) {
            detail.truncate(end);
            detail.push('…');
        }
        let (members, headers) = (Map::new(), Vec::new());
        Self(Box::new(Problem { code, status: code.status(), detail, members, headers, cause: None }))
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    /// With `Retry-After`, in whole seconds rounded up.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    fn status_is(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// 400: the request cannot be understood.
    #[must_use]
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Code::MalformedRequest, detail)
    }

    /// 404: there is no such thing, or not for this caller.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// 403: none of these permissions is the caller's.
    #[must_use]
    pub fn forbidden(permission: Permission) -> Self {
        Self::new(Code::Forbidden, format!("this needs the permission {permission}"))
            .with("permission", permission.as_str())
    }

    /// 422: the body does not have the right shape.
    #[must_use]
    pub fn invalid(errors: Vec<Invalid>) -> Self {
        let detail = errors.first().map_or_else(String::new, |first| {
            let place = if first.pointer.is_empty() { "the body" } else { &first.pointer };
            format!("{place}: {}", first.detail)
        });
        let errors: Vec<Value> = errors
            .into_iter()
            .map(|Invalid { pointer, detail }| json!({ "pointer": pointer, "detail": detail }))
            .collect();
        Self::new(Code::ValidationFailed, detail).with("errors", errors)
    }

    /// 500: a mistake of the service. The cause is logged, not shown.
    #[must_use]
    pub fn internal(cause: impl fmt::Display) -> Self {
        let mut error =
            Self::new(Code::Internal, "the request could not be completed because of a mistake in the service");
        error.0.cause = Some(cause.to_string());
        error
    }

    /// 503: something the service rests on is away or too busy. The cause is logged, not shown.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>, cause: impl fmt::Display) -> Self {
        let mut error = Self::new(Code::Unavailable, detail).retry_after(Duration::from_secs(RETRY_SECONDS));
        error.0.cause = Some(cause.to_string());
        error
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The status; the table's, but for `HELD_BY_OTHER_TENANT` on a release.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The problem as JSON, with the id of the request under way. Also what one item of a bulk answer holds as `problem`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self.body()).unwrap_or_default()
    }

    /// The body of the answer, to the byte: what is kept to be replayed.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(&self.body()).unwrap_or_default()
    }

    fn body(&self) -> Body<'_> {
        let problem = &*self.0;
        Body {
            r#type: problem.code.path(),
            title: problem.code.title(),
            status: problem.status.as_u16(),
            detail: &problem.detail,
            code: problem.code.as_str(),
            request_id: RequestRecord::current().map(|record| record.id().to_owned()),
            members: &problem.members,
        }
    }

    fn log(&self) {
        let Some(cause) = &self.0.cause else { return };
        let record = RequestRecord::current();
        let request_id = record.as_ref().map_or("", |record| record.id());
        let code = self.0.code.as_str();
        if self.0.code == Code::Internal {
            tracing::error!(request_id, code, cause, "a request failed");
        } else {
            tracing::warn!(request_id, code, cause, "a request could not be answered");
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let body = self.to_text();
        let Problem { code, status, headers, .. } = *self.0;
        let mut response = (status, body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response.headers_mut().extend(headers);
        response.extensions_mut().insert(code);
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        if refusal == Refusal::KeysUnavailable {
            return Self::unavailable(refusal.to_string(), "no key set has been read yet");
        }
        let challenge = if refusal == Refusal::Missing { "Bearer" } else { "Bearer error=\"invalid_token\"" };
        Self::new(Code::Unauthenticated, refusal.to_string())
            .header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_unavailable() {
            Self::unavailable("the database cannot answer at the moment; try again", error)
        } else {
            Self::internal(error)
        }
    }
}

impl From<InvalidIdentifier> for ApiError {
    fn from(invalid: InvalidIdentifier) -> Self {
        Rejection::from(invalid).into()
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let Some(code) = Code::parse(rejection.code()) else {
            return Self::internal(format!("the code {} is not in the table", rejection.code()));
        };
        let problem = Self::new(code, rejection.to_string());
        let problem = match rejection.state() {
            Some(state) => problem.with("state", state.as_str()),
            None => problem,
        };
        match rejection {
            Rejection::Forbidden { permission } => problem.with("permission", permission),
            Rejection::OperatorNotAllowed { operator } => problem.with("operatorId", operator.as_str()),
            Rejection::QuarantineActive { available_at, .. } => problem.with("availableAt", available_at.to_string()),
            Rejection::NotYetValid { valid_from, .. } => problem.with("validFrom", valid_from.to_string()),
            Rejection::LeaseLocked { .. } => problem.with("reason", "LEASE_LOCKED"),
            Rejection::ReservationCeiling { .. } => problem.with("reason", "RESERVATION_CEILING"),
            Rejection::ReleaseByOtherTenant { .. } => problem.status_is(StatusCode::FORBIDDEN),
            Rejection::QuotaExceeded { class, quota, current } => quota_members(problem, quota, current, Some(class)),
            Rejection::ReservationQuota { quota, current } | Rejection::HoldQuota { quota, current } => {
                quota_members(problem, quota, current, None)
            }
            Rejection::TenantRequired
            | Rejection::InvalidIdentifier(_)
            | Rejection::TicketRequired
            | Rejection::InvalidTerm(_)
            | Rejection::InvalidVanityTerm
            | Rejection::JustificationRequired
            | Rejection::NotRegistered
            | Rejection::TenantSuspended
            | Rejection::NotVanityEligible
            | Rejection::NotAvailable { .. }
            | Rejection::ReservedByOtherTenant { .. }
            | Rejection::HeldByOtherTenant { .. }
            | Rejection::AlreadyLeased { .. }
            | Rejection::UseRecallForLeases { .. }
            | Rejection::NotLeased { .. }
            | Rejection::NotLeaseHolder { .. }
            | Rejection::InvalidState { .. }
            | Rejection::BypassRequired { .. } => problem,
        }
    }
}

/// The stories name the count both `current` (US-NUM-011) and `currentCount` (US-NUM-003).
fn quota_members(problem: ApiError, quota: i32, current: i32, class: Option<IdentifierClass>) -> ApiError {
    let problem = problem.with("quota", quota).with("current", current);
    match class {
        Some(class) => problem.with("currentCount", current).with("identifierClass", class.as_str()),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_bear_the_members_of_both_stories() {
        let problem = ApiError::from(Rejection::QuotaExceeded { class: IdentifierClass::Msisdn, quota: 5, current: 5 });
        assert_eq!(
            problem.to_json(),
            json!({
                "type": "/docs/errors/QUOTA_EXCEEDED", "title": "The quota of leases is reached", "status": 403,
                "detail": "the quota of 5 leased MSISDN identifiers is reached", "code": "QUOTA_EXCEEDED",
                "quota": 5, "current": 5, "currentCount": 5, "identifierClass": "MSISDN",
            })
        );
    }

    #[test]
    fn a_conflict_bears_the_state_and_a_release_of_anothers_is_403() {
        use numbering_domain::StateName;
        let state = StateName::Held;
        let conflict = ApiError::from(Rejection::HeldByOtherTenant { state });
        let release = ApiError::from(Rejection::ReleaseByOtherTenant { state });
        assert_eq!((conflict.status().as_u16(), release.status().as_u16()), (409, 403));
        for problem in [conflict, release] {
            let json = problem.to_json();
            assert_eq!((&json["code"], &json["state"]), (&"HELD_BY_OTHER_TENANT".into(), &"HELD".into()));
            assert_eq!(json["status"], problem.status().as_u16());
        }
        let available_at = "2027-02-20T10:00:00Z".parse().unwrap();
        let resting = Rejection::QuarantineActive { state: StateName::Quarantine, available_at };
        assert_eq!(ApiError::from(resting).to_json()["availableAt"], "2027-02-20T10:00:00Z");
    }

    #[test]
    fn the_cause_of_a_failure_is_not_shown() {
        let response = ApiError::unavailable("come again", "password authentication failed for user n").into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert!(!ApiError::internal("secret").to_json().to_string().contains("secret"));
    }

    #[test]
    fn details_are_bounded() {
        let long = ApiError::malformed("é".repeat(10_000)).to_json();
        assert_eq!(long["detail"].as_str().unwrap().chars().count(), DETAIL_MOST_CHARS + 1);
    }
}
