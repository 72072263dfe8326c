//! The price list by an admin's hand: what a lease costs, by class, tier, plan and operator, and from when until when.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use numbering_domain::{IdentifierClass, OperatorId, Price, price};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::history::moment;
use crate::http::AppState;
use crate::http::code::Code;
use crate::http::command::{Command, answer};
use crate::http::documented::problem_responses;
use crate::http::extract::{JsonBody, PathValue, QueryParameters};
use crate::http::guard::{Authorized, NumberingAdmin};
use crate::http::paging::{DEFAULT_LIMIT, Paging};
use crate::http::problem::{ApiError, Invalid};
use crate::http::request::RequestId;
use crate::http::shapes::Page;
use crate::operations::blocks::reject::{is_a_day, parse_valid_from};
use crate::store::commit::Origin;
use crate::store::idempotency::Answer;
use crate::store::prices::{ListedPrice, NewPrice, PriceAdded, PriceEnded, PriceFilter, PricePlace, PricedFor};

/// The times that one amount may pay for.
pub(crate) const PER: [&str; 2] = ["month", "year"];
/// The most characters of a tier's name.
const TIER_MOST_CHARS: usize = 32;
/// The most digits of an amount before the point, and behind it.
const AMOUNT_DIGITS: (usize, usize) = (8, 4);

/// What to list; filters combine.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct PricesQuery {
    /// Only `MSISDN`, `SHORT_CODE` or `ALPHA`.
    #[param(example = "MSISDN")]
    pub identifier_class: Option<String>,
    /// Only this tier.
    #[param(example = "standard")]
    pub price_tier: Option<String>,
    /// Only prices for this plan.
    #[param(example = "premium")]
    pub plan: Option<String>,
    /// Only prices for this operator's numbers.
    #[param(example = "awcc")]
    pub operator_id: Option<String>,
    /// Only prices that hold at this moment (RFC 3339).
    #[param(format = DateTime)]
    pub at: Option<String>,
    /// 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The cursor of the page, from `nextPage`.
    pub page: Option<String>,
}

/// A price on the list. Of those that hold at a moment the one for the tenant's plan and the number's operator counts, else the one
/// for the plan, else the one for the operator, else the one for all.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedPriceBody {
    /// Which.
    pub price_id: Uuid,
    /// `MSISDN`, `SHORT_CODE` or `ALPHA`.
    pub identifier_class: String,
    /// The tier; `vanity` is the one of vanity leases, whatever the number's is.
    #[schema(example = "standard")]
    pub price_tier: String,
    /// For tenants on this plan; null for all.
    #[schema(required)]
    pub plan: Option<String>,
    /// For numbers of this operator; null for all.
    #[schema(required)]
    pub operator_id: Option<String>,
    /// Decimal amount, as a string.
    #[schema(example = "2.50")]
    pub amount: String,
    /// ISO 4217 code.
    #[schema(example = "USD")]
    pub currency: String,
    /// The time that one amount pays for: `month` or `year`.
    #[schema(example = "month")]
    pub per: String,
    /// From when it holds.
    #[schema(value_type = String, format = DateTime)]
    pub valid_from: Timestamp,
    /// When it holds no longer; null for no end.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub valid_until: Option<Timestamp>,
}

impl From<&ListedPrice> for ListedPriceBody {
    fn from(listed: &ListedPrice) -> Self {
        let PricedFor { class, tier, plan, operator } = &listed.priced_for;
        Self {
            price_id: listed.price_id,
            identifier_class: class.to_string(),
            price_tier: tier.clone(),
            plan: plan.clone(),
            operator_id: operator.as_ref().map(OperatorId::to_string),
            amount: price::written(listed.price.amount),
            currency: listed.price.currency.clone(),
            per: listed.price.per.clone(),
            valid_from: listed.valid_from,
            valid_until: listed.valid_until,
        }
    }
}

/// A price to add.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AddPrice {
    /// `MSISDN`, `SHORT_CODE` or `ALPHA`.
    #[schema(example = "MSISDN")]
    pub identifier_class: String,
    /// The tier, 1 to 32 characters of `a-z 0-9 _ -`. The first general price of a tier makes it one that numbers may have.
    #[schema(example = "standard")]
    pub price_tier: String,
    /// For tenants on this plan; for all where absent.
    #[schema(example = "premium")]
    pub plan: Option<String>,
    /// For mobile numbers of this operator; for all where absent.
    pub operator_id: Option<String>,
    /// Decimal amount, as a string: not negative, 8 digits before the point and 4 behind it at most.
    #[schema(example = "2.25")]
    pub amount: String,
    /// ISO 4217 code.
    #[schema(example = "USD")]
    pub currency: String,
    /// The time that one amount pays for: `month` or `year`.
    #[schema(example = "month")]
    pub per: String,
    /// From when it holds, an RFC 3339 date (UTC) or time that is not over; now where absent, and from now for today's date.
    pub valid_from: Option<String>,
    /// When it holds no longer, an RFC 3339 date or time; no end where absent.
    pub valid_until: Option<String>,
    /// The price whose place it takes: it ends where this one begins, in the same commit.
    pub replaces: Option<Uuid>,
}

problem_responses! {
    /// Refusals of a list.
    PricesProblems = [InvalidCursor];
    /// Refusals of a price.
    AddPriceProblems = [UnknownOperator];
    /// Refusals of an end.
    EndPriceProblems = [InvalidState];
}

/// The price list, with what held before and what is to come.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/prices",
    tag = "admin",
    params(PricesQuery),
    responses((status = 200, description = "A page of the price list", body = Page<ListedPriceBody>), PricesProblems),
)]
pub async fn list_prices(
    State(state): State<AppState>,
    _authorized: Authorized<NumberingAdmin>,
    QueryParameters(query): QueryParameters<PricesQuery>,
) -> Result<Json<Page<ListedPriceBody>>, ApiError> {
    let filter = filter(&query)?;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let filters = [&query.identifier_class, &query.price_tier, &query.plan, &query.operator_id, &query.at].map(text);
    let mut bound_to = vec!["", "prices"];
    bound_to.extend(filters.iter().map(String::as_str));
    let paging = Paging::of(&state.cursors, &bound_to, query.page.as_deref(), query.limit, DEFAULT_LIMIT)?;
    let after: Option<PricePlace> = paging.last.as_deref().and_then(|last| serde_json::from_str(last).ok());
    let prices = state.store.prices(&filter, after.as_ref(), paging.rows_to_read()).await?;
    let page = paging.page(prices, |listed| serde_json::to_string(&listed.place()).unwrap_or_default());
    Ok(Json(page.map(|listed| ListedPriceBody::from(&listed))))
}

fn filter(query: &PricesQuery) -> Result<PriceFilter, ApiError> {
    let refused = |parameter: &str, detail: String| ApiError::malformed(detail).with("parameter", parameter);
    let class = query.identifier_class.as_deref().map(|text| {
        let none = || refused("identifierClass", "identifierClass must be MSISDN, SHORT_CODE or ALPHA".to_owned());
        IdentifierClass::parse(text).ok_or_else(none)
    });
    let operator = query
        .operator_id
        .as_deref()
        .map(|text| OperatorId::parse(text).map_err(|invalid| refused("operatorId", format!("operatorId {invalid}"))));
    Ok(PriceFilter {
        class: class.transpose()?,
        tier: query.price_tier.clone(),
        plan: query.plan.clone(),
        operator: operator.transpose()?,
        at: query.at.as_deref().map(|at| moment("at", at)).transpose()?,
    })
}

/// Adds a price, now or from a moment to come. Leases that stand keep theirs; a renewal takes what the list says then.
///
/// Of two prices for the same class, tier, plan and operator one holds at a time: name in `replaces` the one whose place this takes.
/// A tier that has a general price, for every plan and operator, has one from then on.
#[utoipa::path(
    post,
    path = "/v1/admin/numbering/prices",
    tag = "admin",
    request_body = AddPrice,
    responses((status = 201, description = "The price", body = ListedPriceBody), AddPriceProblems),
)]
pub async fn add_price(
    State(state): State<AppState>,
    command: Command<NumberingAdmin>,
    body: JsonBody<AddPrice>,
) -> Result<Response, ApiError> {
    let new = body.value.price()?;
    let origin = command.origin();
    command
        .once(&state, &body.sha256, async |claim| {
            let kept = claim.as_ref().map(|claim| (claim, &added_answer as _));
            match state.store.add_price(&new, &origin, kept).await? {
                PriceAdded::Stands(price) => Ok(added_answer(&price)),
                refused => Err(not_added(&new, &refused)),
            }
        })
        .await
}

fn added_answer(price: &ListedPrice) -> Answer {
    answer(StatusCode::CREATED, &ListedPriceBody::from(price))
}

fn invalid(pointer: &str, detail: impl Into<String>) -> Invalid {
    Invalid { pointer: pointer.to_owned(), detail: detail.into() }
}

fn not_added(new: &NewPrice, refused: &PriceAdded) -> ApiError {
    let at = |pointer: &str, detail: &str| ApiError::invalid(vec![invalid(pointer, detail)]);
    match refused {
        PriceAdded::UnknownOperator => {
            let operator = new.priced_for.operator.as_ref().map_or("", OperatorId::as_str);
            ApiError::new(Code::UnknownOperator, format!("no operator has the id {operator}"))
                .with("operatorId", operator)
        }
        PriceAdded::UnknownPlan => at("/plan", "there is no such plan"),
        PriceAdded::BeginsInThePast => at("/validFrom", "is over: what has held stays on the list as it was"),
        PriceAdded::NeverHolds => at("/validUntil", "must be later than validFrom"),
        PriceAdded::NoGeneralPrice => {
            at("/priceTier", "has no general price when this one begins: add one first, for every plan and operator")
        }
        PriceAdded::ReplacesNothing => at(
            "/replaces",
            "must be a price for the same class, tier, plan and operator that holds when this one begins",
        ),
        PriceAdded::LeavesNone { from } => {
            let detail =
                format!("leaves the tier without a general price from {from} on: add the one that follows first");
            at("/validUntil", &detail)
        }
        PriceAdded::Stands(_) | PriceAdded::Overlaps => at(
            "/validFrom",
            "another price for the same class, tier, plan and operator holds at some of this time: end it, or name it in \
             replaces",
        ),
    }
}

impl AddPrice {
    /// The price, or everything that is wrong with it.
    fn price(&self) -> Result<NewPrice, ApiError> {
        let mut errors = Vec::new();
        let class = IdentifierClass::parse(&self.identifier_class);
        if class.is_none() {
            errors.push(invalid("/identifierClass", "must be MSISDN, SHORT_CODE or ALPHA"));
        }
        if !is_tier(&self.price_tier) {
            let detail = format!("must have 1 to {TIER_MOST_CHARS} characters of a-z 0-9 _ -");
            errors.push(invalid("/priceTier", detail));
        }
        let operator = self.operator_id.as_deref().map(OperatorId::parse).transpose().unwrap_or_else(|error| {
            errors.push(invalid("/operatorId", error.to_string()));
            None
        });
        if operator.is_some() && class.is_some_and(|class| class != IdentifierClass::Msisdn) {
            errors.push(invalid("/operatorId", "only mobile numbers come from an operator"));
        }
        let amount = amount(&self.amount);
        if amount.is_none() {
            let (before, behind) = AMOUNT_DIGITS;
            let detail = format!("must be digits, {before} at most, and {behind} at most behind a point, such as 2.50");
            errors.push(invalid("/amount", detail));
        }
        if !(self.currency.len() == 3 && self.currency.bytes().all(|byte| byte.is_ascii_uppercase())) {
            errors.push(invalid("/currency", "must be an ISO 4217 code, such as USD"));
        }
        if !PER.contains(&self.per.as_str()) {
            errors.push(invalid("/per", format!("must be one of {}", PER.join(", "))));
        }
        let mut moment = |pointer: &str, text: Option<&String>| {
            let moment = text.map(|text| parse_valid_from(text).ok_or(()));
            moment.transpose().unwrap_or_else(|()| {
                errors.push(invalid(pointer, "must be a date or a time in RFC 3339"));
                None
            })
        };
        let valid_from = moment("/validFrom", self.valid_from.as_ref());
        let valid_until = moment("/validUntil", self.valid_until.as_ref());
        match (class, amount) {
            (Some(class), Some(amount)) if errors.is_empty() => Ok(NewPrice {
                priced_for: PricedFor { class, tier: self.price_tier.clone(), plan: self.plan.clone(), operator },
                price: Price { amount, currency: self.currency.clone(), per: self.per.clone() },
                valid_from,
                from_a_day: self.valid_from.as_deref().is_some_and(is_a_day),
                valid_until,
                replaces: self.replaces,
            }),
            _ => Err(ApiError::invalid(errors)),
        }
    }
}

fn is_tier(name: &str) -> bool {
    (1..=TIER_MOST_CHARS).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
}

/// An amount as the list can keep it.
fn amount(text: &str) -> Option<Decimal> {
    let digits = |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let kept = digits(whole, AMOUNT_DIGITS.0) && digits(fraction, AMOUNT_DIGITS.1);
    kept.then(|| text.parse().ok()).flatten()
}

/// Ends a price. One that holds is over from now on and stays on the list; one that is to come is removed, and the general price
/// before it goes on instead. The general price that holds ends only when another takes its place (`replaces`).
#[utoipa::path(
    delete,
    path = "/v1/admin/numbering/prices/{priceId}",
    tag = "admin",
    params(("priceId" = Uuid, Path, description = "The price")),
    responses((status = 204, description = "It holds no longer"), EndPriceProblems),
)]
pub async fn end_price(
    State(state): State<AppState>,
    authorized: Authorized<NumberingAdmin>,
    RequestId(request_id): RequestId,
    PathValue(price_id): PathValue<Uuid>,
) -> Result<StatusCode, ApiError> {
    let origin = Origin { actor: authorized.caller.sub.clone(), request_id };
    match state.store.end_price(price_id, &origin).await? {
        PriceEnded::Over => Ok(StatusCode::NO_CONTENT),
        PriceEnded::Unknown => Err(ApiError::not_found("there is no such price")),
        PriceEnded::General => {
            let detail = "a tier is never without a general price: add the one that takes its place, with replaces";
            Err(ApiError::new(Code::InvalidState, detail).with("state", "IN_FORCE").with("reason", "GENERAL_PRICE"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_what_the_list_can_keep() {
        for text in ["0", "2.5", "00002.50", "99999999.9999", "0.0001"] {
            assert_eq!(amount(text), text.parse().ok(), "{text}");
        }
        for text in ["", ".5", "5.", "-1", "+1", "1e3", "1,5", "100000000", "1.00001", "۱", " 1", "1.2.3"] {
            assert_eq!(amount(text), None, "{text}");
        }
    }
}
