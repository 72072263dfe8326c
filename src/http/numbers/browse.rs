//! A tenant browses what it may take (US-NUM-014).

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use numbering_domain::{IdentifierClass, OperatorId, Pattern};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::AppState;
use crate::http::code::Code;
use crate::http::documented::problem_responses;
use crate::http::extract::QueryParameters;
use crate::http::guard::NumbersReadOrAdmin;
use crate::http::paging::{DEFAULT_LIMIT, Paging};
use crate::http::problem::ApiError;
use crate::http::rate::Browsing;
use crate::http::shapes::{Page, PriceBody};
use crate::store::browse::{BrowseFilter, ClassSearch, Customer, Offered};

/// The longest prefix, in characters: the longest identifier.
const PREFIX_MOST_CHARS: usize = 16;

/// What to look for; filters combine.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct BrowseQuery {
    /// Only `MSISDN`, `SHORT_CODE` or `ALPHA`.
    #[param(example = "MSISDN")]
    pub identifier_class: Option<String>,
    /// Only this operator's.
    #[param(example = "awcc")]
    pub operator_id: Option<String>,
    /// Only identifiers that start like this; for MSISDNs with or without `+`.
    #[param(example = "9370")]
    pub prefix: Option<String>,
    /// Only those that are, or are not, eligible for a vanity lease.
    pub vanity: Option<bool>,
    /// Only those that it finds: `*` stands for any run of characters, `?` for one. A page of a search that finds little may
    /// have fewer items than `limit`, or none, and still a `nextPage`.
    #[param(example = "*777")]
    pub pattern: Option<String>,
    /// 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The cursor of the page, from `nextPage`.
    pub page: Option<String>,
}

/// A number on offer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfferedBody {
    /// As registered.
    #[schema(example = "+93701234567")]
    pub identifier: String,
    /// `MSISDN`, `SHORT_CODE` or `ALPHA`.
    pub identifier_class: String,
    /// The operator it comes from; null for short codes and alphanumeric sender IDs.
    #[schema(required)]
    pub operator_id: Option<String>,
    /// Whether it may be leased as vanity.
    pub vanity_eligible: bool,
    /// What one unit of time costs the caller's tenant now; an admin without one is shown the price for all plans.
    pub price: PriceBody,
}

impl From<Offered> for OfferedBody {
    fn from(offered: Offered) -> Self {
        Self {
            identifier: offered.shown,
            identifier_class: offered.class.to_string(),
            operator_id: offered.operator.as_ref().map(OperatorId::to_string),
            vanity_eligible: offered.vanity_eligible,
            price: PriceBody::from(&offered.price),
        }
    }
}

problem_responses! {
    /// Refusals of a list.
    BrowseProblems = [InvalidCursor, InvalidPattern, RateLimited];
}

/// The available pool, by identifier. The order is stable under concurrent changes.
#[utoipa::path(
    get,
    path = "/v1/numbers/available",
    tag = "numbers",
    params(BrowseQuery),
    responses((status = 200, description = "A page of numbers on offer", body = Page<OfferedBody>), BrowseProblems),
)]
pub async fn browse(
    State(state): State<AppState>,
    browsing: Browsing<NumbersReadOrAdmin>,
    QueryParameters(query): QueryParameters<BrowseQuery>,
) -> Result<(HeaderMap, Json<Page<OfferedBody>>), ApiError> {
    let tenant = browsing.caller.tenant.as_ref();
    let filter = filter(&query)?;
    let vanity = query.vanity.map_or("", |vanity| if vanity { "true" } else { "false" });
    let bound_to = [
        tenant.map_or("", |tenant| tenant.as_str()),
        "available",
        query.identifier_class.as_deref().unwrap_or_default(),
        filter.operator.as_ref().map_or("", OperatorId::as_str),
        query.prefix.as_deref().unwrap_or_default(),
        vanity,
        query.pattern.as_deref().unwrap_or_default(),
    ];
    let paging = Paging::of(&state.cursors, &bound_to, query.page.as_deref(), query.limit, DEFAULT_LIMIT)?;
    let after = paging.last.as_deref().unwrap_or_default();
    let never: Vec<String> = state.plan.never_leasable.iter().cloned().collect();
    let customer = Customer { tenant, default_plan: &state.config.policy.default_plan };
    let browsed = state.store.browse(&filter, customer, &never, after, paging.limit()).await?;
    let page = paging.page_until(browsed.offered, browsed.resume_after.as_deref()).map(OfferedBody::from);
    Ok((browsing.headers, Json(page)))
}

fn filter(query: &BrowseQuery) -> Result<BrowseFilter, ApiError> {
    let refused = |parameter: &str, detail: &str| ApiError::malformed(detail).with("parameter", parameter);
    let class = |text| {
        let none = || refused("identifierClass", "identifierClass must be MSISDN, SHORT_CODE or ALPHA");
        IdentifierClass::parse(text).ok_or_else(none)
    };
    let class = query.identifier_class.as_deref().map(class).transpose()?;
    let operator = query
        .operator_id
        .as_deref()
        .map(OperatorId::parse)
        .transpose()
        .map_err(|invalid| refused("operatorId", &format!("operatorId {invalid}")))?;
    let (prefix, pattern) = (meant(query.prefix.as_deref()), meant(query.pattern.as_deref()));
    let wanted = class.map_or(IdentifierClass::ALL.to_vec(), |class| vec![class]);
    let mut classes = Vec::with_capacity(wanted.len());
    // What no identifier of a class can begin with or look like finds nothing in it; where that is so of all, it is a slip.
    let mut fault = None;
    for class in wanted {
        match search(class, prefix.as_deref(), pattern.as_deref()) {
            Ok(search) => classes.push(search),
            Err(refusal) => fault = Some(refusal),
        }
    }
    match fault {
        Some(refusal) if classes.is_empty() => Err(refusal),
        _ => Ok(BrowseFilter { classes, operator, vanity: query.vanity }),
    }
}

/// In a query string `+` reads as a space, so a space at the beginning stands for it here.
fn meant(text: Option<&str>) -> Option<String> {
    text.map(|text| text.strip_prefix(' ').map_or_else(|| text.to_owned(), |rest| format!("+{rest}")))
}

fn search(class: IdentifierClass, prefix: Option<&str>, pattern: Option<&str>) -> Result<ClassSearch, ApiError> {
    let prefix = canonical_prefix(class, prefix.unwrap_or_default()).ok_or_else(|| {
        let detail = "prefix must be the beginning of an identifier of this class";
        ApiError::malformed(detail).with("parameter", "prefix")
    })?;
    let pattern = pattern.map(|text| {
        Pattern::parse(text, class)
            .map_err(|invalid| ApiError::new(Code::InvalidPattern, invalid.to_string()).with("parameter", "pattern"))
    });
    Ok(ClassSearch { class, prefix, pattern: pattern.transpose()? })
}

/// The prefix as canonical keys of this class begin.
pub(super) fn canonical_prefix(class: IdentifierClass, prefix: &str) -> Option<String> {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let fits = prefix.len() <= PREFIX_MOST_CHARS;
    match class {
        _ if prefix.is_empty() => Some(String::new()),
        IdentifierClass::Msisdn => {
            let national = prefix.strip_prefix('+').unwrap_or(prefix);
            (fits && digits(national)).then(|| format!("+{national}"))
        }
        IdentifierClass::ShortCode => (fits && digits(prefix)).then(|| prefix.to_owned()),
        IdentifierClass::Alpha => {
            let plain = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b" -_&+".contains(&b));
            (fits && plain).then(|| prefix.to_ascii_uppercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_canonical_or_refused() {
        for (class, prefix, canonical) in [
            (IdentifierClass::Msisdn, "9370", Some("+9370")),
            (IdentifierClass::Msisdn, "+9370", Some("+9370")),
            (IdentifierClass::Msisdn, "93%", None),
            (IdentifierClass::Msisdn, "۹۳", None),
            (IdentifierClass::ShortCode, "12", Some("12")),
            (IdentifierClass::ShortCode, "1_", None),
            (IdentifierClass::Alpha, "bank", Some("BANK")),
            (IdentifierClass::Alpha, "b%", None),
            (IdentifierClass::Alpha, "", Some("")),
        ] {
            assert_eq!(canonical_prefix(class, prefix).as_deref(), canonical, "{prefix:?}");
        }
    }
}
