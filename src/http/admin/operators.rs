//! Operators, their prefixes, and the keys that they sign blocks with.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use numbering_domain::{NumberingPlan, OperatorId, SigningKeyId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::command::{Command, answer};
use crate::http::extract::{JsonBody, PathValue};
use crate::http::guard::{Authorized, NumberingAdmin};
use crate::http::problem::{ApiError, Invalid};
use crate::http::request::RequestId;
use crate::operations::blocks::reject::parse_valid_from;
use crate::operations::signature::{SignatureAlgorithm, VerifyingKey};
use crate::store::commit::Origin;
use crate::store::idempotency::Answer;
use crate::store::operators::{KEYS_MOST, KeyAdded, NewSigningKey, Operator, SigningKey};

const NAME_MOST_CHARS: usize = 200;
const PREFIXES_MOST: usize = 1_000;

/// An operator.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperatorBody {
    /// Its id.
    #[schema(example = "awcc")]
    pub operator_id: String,
    /// What people call it.
    pub name: String,
    /// The prefixes it owns; the longest that matches a number decides.
    #[schema(example = json!(["+9370", "+9371"]))]
    pub prefixes: Vec<String>,
    /// Its keys, the oldest first.
    pub keys: Vec<KeyBody>,
}

/// A key that an operator signs blocks with.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyBody {
    /// Its id.
    pub key_id: String,
    /// `ED25519`, `ECDSA_P256` or `RSA_PSS`.
    #[schema(example = "ED25519")]
    pub algorithm: String,
    /// PEM.
    pub public_key: String,
    /// From when it counts.
    #[schema(value_type = String, format = DateTime)]
    pub valid_from: Timestamp,
    /// Until when it counts; null for ever.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub valid_until: Option<Timestamp>,
    /// When it was revoked; null where it was not.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub revoked_at: Option<Timestamp>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<&SigningKey> for KeyBody {
    fn from(key: &SigningKey) -> Self {
        Self {
            key_id: key.key.to_string(),
            algorithm: key.algorithm.to_string(),
            public_key: key.public_key.clone(),
            valid_from: key.valid_from,
            valid_until: key.valid_until,
            revoked_at: key.revoked_at,
            created_at: key.created_at,
        }
    }
}

impl From<Operator> for OperatorBody {
    fn from(operator: Operator) -> Self {
        Self {
            operator_id: operator.operator.to_string(),
            name: operator.name,
            prefixes: operator.prefixes,
            keys: operator.keys.iter().map(KeyBody::from).collect(),
        }
    }
}

/// What is set of an operator.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PutOperator {
    /// 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200, example = "AWCC")]
    pub name: String,
    /// All the prefixes it owns, at most 1,000.
    #[schema(max_items = 1000, example = json!(["+9370", "+9371"]))]
    pub prefixes: Vec<String>,
}

/// A key to add.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AddKey {
    /// Its id, unique for the operator.
    #[schema(example = "awcc-2026")]
    pub key_id: String,
    /// `ED25519` (the default), `ECDSA_P256` or `RSA_PSS`.
    #[schema(example = "ED25519")]
    pub algorithm: Option<String>,
    /// One PEM block of the kind `PUBLIC KEY`.
    pub public_key: String,
    /// From when it counts, an RFC 3339 date or time; now where absent.
    pub valid_from: Option<String>,
    /// Until when it counts, an RFC 3339 date or time; for ever where absent.
    pub valid_until: Option<String>,
}

fn operator_in_path(id: &str) -> Result<OperatorId, ApiError> {
    OperatorId::parse(id).map_err(|_| no_operator())
}

fn no_operator() -> ApiError {
    ApiError::not_found("there is no such operator")
}

/// An operator with its prefixes and keys.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/operators/{operatorId}",
    tag = "admin",
    params(("operatorId" = String, Path, description = "The operator")),
    responses((status = 200, description = "The operator", body = OperatorBody)),
)]
pub async fn read_operator(
    State(state): State<AppState>,
    _authorized: Authorized<NumberingAdmin>,
    PathValue(id): PathValue<String>,
) -> Result<Json<OperatorBody>, ApiError> {
    let operator = state.store.operator(&operator_in_path(&id)?).await?.ok_or_else(no_operator)?;
    Ok(Json(operator.into()))
}

/// Makes an operator, or sets its name and prefixes.
#[utoipa::path(
    put,
    path = "/v1/admin/numbering/operators/{operatorId}",
    tag = "admin",
    params(("operatorId" = String, Path, description = "The operator")),
    request_body = PutOperator,
    responses((status = 200, description = "The operator as it is now", body = OperatorBody)),
)]
pub async fn put_operator(
    State(state): State<AppState>,
    authorized: Authorized<NumberingAdmin>,
    RequestId(request_id): RequestId,
    PathValue(id): PathValue<String>,
    body: JsonBody<PutOperator>,
) -> Result<Json<OperatorBody>, ApiError> {
    let operator = operator_in_path(&id)?;
    let PutOperator { name, prefixes } = body.value;
    check(&state.plan, &name, &prefixes)?;
    let origin = Origin { actor: authorized.caller.sub.clone(), request_id };
    let taken = state.store.put_operator(&operator, &name, &prefixes, &origin).await?;
    if !taken.is_empty() {
        let errors = prefixes.iter().enumerate().filter(|(_, prefix)| taken.contains(prefix));
        let errors = errors.map(|(index, _)| invalid(format!("/prefixes/{index}"), "belongs to another operator"));
        return Err(ApiError::invalid(errors.collect()));
    }
    let operator = state.store.operator(&operator).await?.ok_or_else(no_operator)?;
    Ok(Json(operator.into()))
}

fn invalid(pointer: String, detail: impl Into<String>) -> Invalid {
    Invalid { pointer, detail: detail.into() }
}

fn check(plan: &NumberingPlan, name: &str, prefixes: &[String]) -> Result<(), ApiError> {
    let mut errors = Vec::new();
    if !(1..=NAME_MOST_CHARS).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        let detail = format!("must have 1 to {NAME_MOST_CHARS} characters, none of them a control character");
        errors.push(invalid("/name".to_owned(), detail));
    }
    if prefixes.len() > PREFIXES_MOST {
        errors.push(invalid("/prefixes".to_owned(), format!("may have {PREFIXES_MOST} items at most")));
        return Err(ApiError::invalid(errors));
    }
    let mut seen = HashSet::new();
    for (index, prefix) in prefixes.iter().enumerate() {
        let pointer = format!("/prefixes/{index}");
        if !is_prefix(plan, prefix) {
            let detail =
                format!("must be the beginning of a mobile number of the plan, such as +{}70", plan.country_code);
            errors.push(invalid(pointer, detail));
        } else if !seen.insert(prefix) {
            errors.push(invalid(pointer, "is given twice"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(errors)) }
}

/// Whether numbers of the plan can begin so.
fn is_prefix(plan: &NumberingPlan, prefix: &str) -> bool {
    let national = prefix.strip_prefix('+').and_then(|digits| digits.strip_prefix(plan.country_code.as_str()));
    national
        .is_some_and(|digits| digits.len() <= plan.national_digits && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Adds a key that the operator signs blocks with. The same key again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/admin/numbering/operators/{operatorId}/keys",
    tag = "admin",
    params(("operatorId" = String, Path, description = "The operator")),
    request_body = AddKey,
    responses((status = 201, description = "The key", body = KeyBody)),
)]
pub async fn add_key(
    State(state): State<AppState>,
    command: Command<NumberingAdmin>,
    PathValue(id): PathValue<String>,
    body: JsonBody<AddKey>,
) -> Result<Response, ApiError> {
    let operator = operator_in_path(&id)?;
    let new = new_key(&body.value)?;
    let origin = command.origin();
    command
        .once(&state, &body.sha256, async |claim| {
            let kept = claim.as_ref().map(|claim| (claim, &key_answer as _));
            match state.store.add_signing_key(&operator, &new, &origin, kept).await? {
                KeyAdded::Stands(key) => Ok(key_answer(&key)),
                refused => Err(not_added(&refused)),
            }
        })
        .await
}

fn key_answer(key: &SigningKey) -> Answer {
    answer(StatusCode::CREATED, &KeyBody::from(key))
}

fn not_added(refused: &KeyAdded) -> ApiError {
    let at = |pointer: &str, detail: String| ApiError::invalid(vec![invalid(pointer.to_owned(), detail)]);
    match refused {
        KeyAdded::UnknownOperator => no_operator(),
        KeyAdded::NeverValid => at("/validUntil", "must be later than validFrom".to_owned()),
        KeyAdded::TooMany => at("/keyId", format!("the operator has {KEYS_MOST} keys already")),
        KeyAdded::Stands(_) | KeyAdded::Differs => {
            at("/keyId", "is the id of another key, or of a revoked one; choose a new id".to_owned())
        }
    }
}

fn new_key(body: &AddKey) -> Result<NewSigningKey, ApiError> {
    let mut errors = Vec::new();
    let key =
        SigningKeyId::parse(&body.key_id).map_err(|error| errors.push(invalid("/keyId".into(), error.to_string())));
    let algorithm = body.algorithm.as_deref().unwrap_or(SignatureAlgorithm::Ed25519.as_str());
    let public_key = match SignatureAlgorithm::parse(algorithm) {
        None => {
            let known = SignatureAlgorithm::ALL.map(SignatureAlgorithm::as_str).join(", ");
            errors.push(invalid("/algorithm".into(), format!("must be one of {known}")));
            None
        }
        Some(algorithm) => match VerifyingKey::from_pem(algorithm, &body.public_key) {
            Ok(key) => Some((algorithm, key.to_pem())),
            Err(error) => {
                errors.push(invalid("/publicKey".into(), error.to_string()));
                None
            }
        },
    };
    let mut moment = |name: &str, text: Option<&String>| {
        let moment = text.map(|text| parse_valid_from(text).ok_or(()));
        moment.transpose().map_err(|()| {
            errors.push(invalid(format!("/{name}"), "must be a date or a time in RFC 3339"));
        })
    };
    let valid_from = moment("validFrom", body.valid_from.as_ref());
    let valid_until = moment("validUntil", body.valid_until.as_ref());
    match (key, public_key, valid_from, valid_until) {
        (Ok(key), Some((algorithm, public_key)), Ok(valid_from), Ok(valid_until)) => {
            Ok(NewSigningKey { key, algorithm, public_key, valid_from, valid_until })
        }
        _ => Err(ApiError::invalid(errors)),
    }
}

/// Revokes a key: from now on nothing that it signed comes in. To revoke it again changes nothing.
#[utoipa::path(
    delete,
    path = "/v1/admin/numbering/operators/{operatorId}/keys/{keyId}",
    tag = "admin",
    params(
        ("operatorId" = String, Path, description = "The operator"),
        ("keyId" = String, Path, description = "The key"),
    ),
    responses((status = 204, description = "It is revoked")),
)]
pub async fn revoke_key(
    State(state): State<AppState>,
    authorized: Authorized<NumberingAdmin>,
    RequestId(request_id): RequestId,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
) -> Result<StatusCode, ApiError> {
    let no_key = || ApiError::not_found("there is no such key");
    let Path((operator, key)) = path.map_err(|_| no_key())?;
    let operator = OperatorId::parse(&operator).map_err(|_| no_key())?;
    let key = SigningKeyId::parse(&key).map_err(|_| no_key())?;
    let origin = Origin { actor: authorized.caller.sub.clone(), request_id };
    if state.store.revoke_signing_key(&operator, &key, &origin).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_key())
    }
}
