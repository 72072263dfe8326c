//! A tenant reserves several numbers at once: any that match, or each of a list.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use numbering_domain::{IdentifierClass, InvalidIdentifier, OperatorId, Pattern, RegisteredIdentifier, TenantId};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use utoipa::openapi::schema::{OneOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::browse::canonical_prefix;
use crate::auth::Caller;
use crate::http::AppState;
use crate::http::code::Code;
use crate::http::command::{Command, answer};
use crate::http::documented::problem_responses;
use crate::http::extract::JsonBody;
use crate::http::guard::NumbersWrite;
use crate::http::problem::{ApiError, Invalid};
use crate::http::rate::take_turn;
use crate::http::shapes::NumberBody;
use crate::operations::numbers::allocate::{
    AllocationError, AnyNumbers, NamedNumbers, Outcome, RenderAny, RenderNamed, SearchTime,
};
use crate::store::browse::{BrowseFilter, ClassSearch};

/// The most numbers of one request.
const MOST: usize = 100;
/// When to come again where as many searches run as may.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// Any numbers that match; filters combine.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReserveAnyRequest {
    /// `MSISDN`, `SHORT_CODE` or `ALPHA`.
    #[schema(example = "MSISDN")]
    pub identifier_class: String,
    /// Only this operator's.
    #[schema(example = "awcc", nullable = false)]
    pub operator_id: Option<String>,
    /// Only identifiers that start like this; for MSISDNs with or without `+`.
    #[schema(example = "9370", nullable = false)]
    pub prefix: Option<String>,
    /// Only identifiers that match: `*` is any run of characters, `?` any one.
    #[schema(example = "9370*77", nullable = false)]
    pub pattern: Option<String>,
    /// Only those that are, or are not, eligible for a vanity lease. Left out, those that are not are taken first.
    #[schema(nullable = false)]
    pub vanity: Option<bool>,
    /// How many: 1 to 100.
    #[schema(minimum = 1, maximum = 100, example = 10)]
    pub count: u32,
    /// Whether fewer will do, where fewer match or the quota allows fewer. Without it, all are reserved or none.
    #[schema(nullable = false)]
    pub partial: Option<bool>,
}

/// Each of these numbers, by itself.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReserveNamedRequest {
    /// 1 to 100 identifiers, of any class.
    #[schema(min_items = 1, max_items = 100, example = json!(["+93701234567", "4455"]))]
    pub identifiers: Vec<String>,
}

/// Either any numbers that match, or each of a list.
#[derive(Clone, Debug)]
pub enum ReserveManyRequest {
    /// Any that match.
    Any(ReserveAnyRequest),
    /// Each of these.
    Named(ReserveNamedRequest),
}

impl PartialSchema for ReserveManyRequest {
    fn schema() -> RefOr<Schema> {
        let forms = ["ReserveAnyRequest", "ReserveNamedRequest"].map(Ref::from_schema_name);
        RefOr::T(forms.into_iter().fold(OneOfBuilder::new(), OneOfBuilder::item).build().into())
    }
}

impl ToSchema for ReserveManyRequest {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("ReserveAnyRequest".to_owned(), ReserveAnyRequest::schema()));
        schemas.push(("ReserveNamedRequest".to_owned(), ReserveNamedRequest::schema()));
    }
}

/// The members of both forms.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Members {
    #[serde(default, deserialize_with = "given")]
    identifier_class: Option<String>,
    #[serde(default, deserialize_with = "given")]
    operator_id: Option<String>,
    #[serde(default, deserialize_with = "given")]
    prefix: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pattern: Option<String>,
    #[serde(default, deserialize_with = "given")]
    vanity: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    count: Option<u32>,
    #[serde(default, deserialize_with = "given")]
    partial: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    identifiers: Option<Vec<String>>,
}

/// A member that is there has a value: `null` is not the same as left out.
fn given<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for ReserveManyRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Members::deserialize(deserializer)?;
        let Members { identifier_class, operator_id, prefix, pattern, vanity, count, partial, identifiers } = members;
        let by_criteria = operator_id.is_some() || prefix.is_some() || pattern.is_some() || vanity.is_some();
        let by_criteria = by_criteria || identifier_class.is_some() || count.is_some() || partial.is_some();
        match (identifiers, identifier_class, count) {
            (Some(_), _, _) if by_criteria => Err(D::Error::custom("identifiers stands alone, without criteria")),
            (Some(identifiers), _, _) => Ok(Self::Named(ReserveNamedRequest { identifiers })),
            (None, Some(identifier_class), Some(count)) => Ok(Self::Any(ReserveAnyRequest {
                identifier_class,
                operator_id,
                prefix,
                pattern,
                vanity,
                count,
                partial,
            })),
            (None, _, _) => Err(D::Error::custom("needs identifierClass and count, or identifiers")),
        }
    }
}

/// The numbers that were reserved.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReservedBody {
    /// In the order of identifiers.
    pub items: Vec<NumberBody>,
}

/// What became of each number of the list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReservedEachBody {
    /// In the order asked.
    pub items: Vec<ReservedItem>,
}

/// What became of one number of the list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReservedItem {
    /// As it was asked.
    pub identifier: String,
    /// The HTTP status that it would have had by itself.
    pub status: u16,
    /// The number as it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub number: Option<NumberBody>,
    /// Why it was not reserved: the problem that it would have had by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, nullable = false)]
    pub problem: Option<Value>,
}

/// The answer to either form.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ReserveManyBody {
    /// To criteria.
    Any(ReservedBody),
    /// To a list.
    Named(ReservedEachBody),
}

problem_responses! {
    /// Refusals of a reservation by criteria. By a list, each item bears its own.
    ReserveManyProblems = [TenantSuspended, OperatorNotAllowed, NotAvailable, ReservationQuota, InvalidPattern, RateLimited];
}

/// Reserves several numbers at once, in one commit: any that match, all or nothing unless `partial`; or each of a list, by
/// itself.
///
/// By criteria, a tenant may ask 600 times a minute (`RATE_LIMITED`), and a search that is not done in time is `UNAVAILABLE`: then
/// nothing is said of how many match. A longer prefix makes it shorter.
#[utoipa::path(
    post,
    path = "/v1/numbers/reserve",
    tag = "numbers",
    request_body = ReserveManyRequest,
    responses((status = 200, description = "The numbers reserved, or what became of each", body = ReserveManyBody), ReserveManyProblems),
)]
pub async fn reserve_many(
    State(state): State<AppState>,
    command: Command<NumbersWrite>,
    body: JsonBody<ReserveManyRequest>,
) -> Result<Response, ApiError> {
    match body.value {
        ReserveManyRequest::Any(request) => reserve_any(&state, command, &body.sha256, &request).await,
        ReserveManyRequest::Named(request) => reserve_named(&state, command, &body.sha256, request).await,
    }
}

async fn reserve_any(
    state: &AppState,
    command: Command<NumbersWrite>,
    sha256: &[u8; 32],
    request: &ReserveAnyRequest,
) -> Result<Response, ApiError> {
    let wanted = AnyNumbers {
        tenant: command.tenant()?,
        filter: filter(request)?,
        never_leasable: state.plan.never_leasable.iter().cloned().collect(),
        count: within_limits(request.count as usize, "/count")?,
        partial: request.partial.unwrap_or(false),
        origin: command.origin(),
    };
    let caller = Arc::clone(&command.caller);
    let render: RenderAny = Arc::new(move |done| {
        let mut numbers: Vec<_> = done.iter().map(|transition| &transition.after).collect();
        numbers.sort_by(|one, other| one.identifier.key().cmp(other.identifier.key()));
        let items = numbers.into_iter().map(|number| NumberBody::shown_to(&caller, number)).collect();
        answer(StatusCode::OK, &ReserveManyBody::Any(ReservedBody { items }))
    });
    let headers = take_turn(state, &state.limits.allocate, &command.caller).await?;
    let mut response = command
        .once(state, sha256, async |claim| {
            let search = search(state, &wanted.tenant).await?;
            Ok(state.numbers.reserve_any(wanted.clone(), search, claim, Arc::clone(&render)).await?)
        })
        .await?;
    response.headers_mut().extend(headers);
    Ok(response)
}

/// A place among the searches, in time.
async fn search(state: &AppState, tenant: &TenantId) -> Result<SearchTime, ApiError> {
    let config = &state.config;
    let limit = config.allocate.timeout.duration().min(config.http.request_timeout.duration());
    let begun = Instant::now();
    let place = state.limits.searches.take_by(tenant.as_str(), begun + limit / 2).await.ok_or_else(|| {
        let detail = "as many searches run as may at a time; try again when one is done";
        ApiError::new(Code::Unavailable, detail).retry_after(BUSY_RETRY)
    })?;
    Ok(SearchTime { place, limit, over: begun + limit })
}

async fn reserve_named(
    state: &AppState,
    command: Command<NumbersWrite>,
    sha256: &[u8; 32],
    request: ReserveNamedRequest,
) -> Result<Response, ApiError> {
    let tenant = command.tenant()?;
    within_limits(request.identifiers.len(), "/identifiers")?;
    let asked: Vec<Asked> = request
        .identifiers
        .into_iter()
        .map(|text| {
            let parsed = state.plan.parse(&text);
            Asked { text, parsed }
        })
        .collect();
    let wanted = NamedNumbers {
        tenant,
        identifiers: asked
            .iter()
            .filter_map(|asked| Some(asked.parsed.as_ref().ok()?.identifier.key().to_owned()))
            .collect(),
        origin: command.origin(),
    };
    let (caller, request_id) = (Arc::clone(&command.caller), wanted.origin.request_id.clone());
    let render: RenderNamed = Arc::new(move |outcomes| {
        let mut outcomes = outcomes.iter();
        let items = asked.iter().map(|asked| item(asked, &mut outcomes, &caller, &request_id)).collect();
        answer(StatusCode::OK, &ReserveManyBody::Named(ReservedEachBody { items }))
    });
    command
        .once(state, sha256, async |claim| {
            Ok(state.numbers.reserve_named(wanted.clone(), claim, Arc::clone(&render)).await?)
        })
        .await
}

/// One identifier of the list.
struct Asked {
    text: String,
    parsed: Result<RegisteredIdentifier, InvalidIdentifier>,
}

/// The next outcome is this one's, unless it is no identifier.
fn item<'a>(
    asked: &Asked,
    outcomes: &mut impl Iterator<Item = &'a Outcome>,
    caller: &Caller,
    request_id: &str,
) -> ReservedItem {
    let refused = |problem: ApiError| {
        let status = problem.status().as_u16();
        let problem = problem.with("requestId", request_id).to_json();
        ReservedItem { identifier: asked.text.clone(), status, number: None, problem: Some(problem) }
    };
    let outcome = match &asked.parsed {
        Err(invalid) => return refused(ApiError::from(*invalid)),
        Ok(_) => outcomes.next(),
    };
    match outcome {
        Some(Ok(number)) => {
            let number = NumberBody::shown_to(caller, number);
            ReservedItem { identifier: asked.text.clone(), status: 200, number: Some(number), problem: None }
        }
        Some(Err(rejection)) => refused(rejection.clone().into()),
        None => refused(ApiError::internal("an identifier of the list has no outcome")),
    }
}

fn invalid(pointer: &str, detail: impl Into<String>) -> ApiError {
    ApiError::invalid(vec![Invalid { pointer: pointer.to_owned(), detail: detail.into() }])
}

fn within_limits(count: usize, pointer: &str) -> Result<usize, ApiError> {
    if (1..=MOST).contains(&count) { Ok(count) } else { Err(invalid(pointer, format!("must be 1 to {MOST}"))) }
}

fn filter(request: &ReserveAnyRequest) -> Result<BrowseFilter, ApiError> {
    let class = IdentifierClass::parse(&request.identifier_class)
        .ok_or_else(|| invalid("/identifierClass", "must be MSISDN, SHORT_CODE or ALPHA"))?;
    let operator = request.operator_id.as_deref().map(OperatorId::parse).transpose();
    let operator = operator.map_err(|fault| invalid("/operatorId", fault.to_string()))?;
    let prefix = canonical_prefix(class, request.prefix.as_deref().unwrap_or_default())
        .ok_or_else(|| invalid("/prefix", "must be the beginning of an identifier of this class"))?;
    let pattern = request.pattern.as_deref().map(|text| Pattern::parse(text, class)).transpose();
    let pattern = pattern.map_err(|fault| ApiError::new(Code::InvalidPattern, fault.to_string()))?;
    Ok(BrowseFilter { classes: vec![ClassSearch { class, prefix, pattern }], operator, vanity: request.vanity })
}

impl From<AllocationError> for ApiError {
    fn from(error: AllocationError) -> Self {
        let detail = error.to_string();
        match error {
            AllocationError::TooFew { available, .. } => {
                Self::new(Code::NotAvailable, detail).with("available", available)
            }
            AllocationError::TookTooLong { .. } => Self::unavailable(
                "the search took too long, and says nothing of how many match: try again, or with a longer prefix",
                detail,
            ),
            AllocationError::Order(error) => error.into(),
        }
    }
}
