//! The JSON shapes of the contract (section 3): numbers, leases, prices, lists.
//!
//! What must stay true: who holds a number is shown to the holder and to admins only.

use jiff::Timestamp;
use numbering_domain::lease::LeaseState;
use numbering_domain::{Lease, LeaseId, Number, OperatorId, Price, State, TenantId, price};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Caller, Permission};
use crate::store::leases::LeaseRecord;

/// What one unit of time costs.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceBody {
    /// Decimal amount, as a string.
    #[schema(example = "2.50")]
    pub amount: String,
    /// ISO 4217 code.
    #[schema(example = "USD")]
    pub currency: String,
    /// The time that one amount pays for.
    #[schema(example = "month")]
    pub per: String,
}

impl From<&Price> for PriceBody {
    fn from(price: &Price) -> Self {
        Self { amount: price::written(price.amount), currency: price.currency.clone(), per: price.per.clone() }
    }
}

/// A number in the inventory.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NumberBody {
    /// As registered.
    #[schema(example = "+93701234567")]
    pub identifier: String,
    /// `MSISDN`, `SHORT_CODE` or `ALPHA`.
    #[schema(example = "MSISDN")]
    pub identifier_class: String,
    /// Where it is in its life.
    #[schema(example = "RESERVED")]
    pub state: String,
    /// The operator it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<String>,
    /// The block that it came in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_id: Option<Uuid>,
    /// Whether it may be leased as vanity.
    pub vanity_eligible: bool,
    /// Which price it has.
    pub price_tier: String,
    /// Before then it is not offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub valid_from: Option<Timestamp>,
    /// One more with each thing that happens to it.
    pub version: i64,
    /// The claim, to its holder and to admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<Uuid>,
    /// The lease in force, to its holder and to admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<Uuid>,
    /// The holder, to itself and to admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// When the claim runs out, to its holder and to admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When the lease's term ends, to its holder and to admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub effective_until: Option<Timestamp>,
    /// When the quarantine is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub available_at: Option<Timestamp>,
}

impl NumberBody {
    /// The number as `caller` may see it.
    #[must_use]
    pub fn shown_to(caller: &Caller, number: &Number) -> Self {
        let holder = number.state.holder();
        let may_see = caller.may(Permission::NumberingAdmin) || (holder.is_some() && holder == caller.tenant.as_ref());
        let mut body = Self {
            identifier: number.shown.to_string(),
            identifier_class: number.identifier.class().to_string(),
            state: number.state.name().as_str().to_owned(),
            operator_id: number.operator.as_ref().map(OperatorId::to_string),
            block_id: number.block.map(|block| block.0),
            vanity_eligible: number.vanity_eligible,
            price_tier: number.price_tier.clone(),
            valid_from: number.valid_from,
            version: number.version,
            reservation_id: None,
            lease_id: None,
            tenant_id: None,
            expires_at: None,
            effective_until: None,
            available_at: None,
        };
        if let State::Quarantine(rest) = &number.state {
            body.available_at = Some(rest.available_at);
        }
        if may_see {
            body.show_holder(&number.state);
        }
        body
    }

    fn show_holder(&mut self, state: &State) {
        self.tenant_id = state.holder().map(TenantId::to_string);
        match state {
            State::Available | State::Quarantine(_) => {}
            State::Reserved(claim) | State::Held(claim) => {
                self.reservation_id = Some(claim.reservation_id.0);
                self.expires_at = Some(claim.expires_at);
            }
            State::Leased(lease) | State::Suspended(lease) => {
                self.lease_id = Some(lease.lease_id.0);
                self.effective_until = Some(lease.effective_until);
            }
        }
    }
}

/// A tenant's right to send from a number for one term.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaseBody {
    /// This term's id.
    pub lease_id: Uuid,
    /// The term before this one, where this is a renewal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prior_lease_id: Option<Uuid>,
    /// The number, as registered.
    #[schema(example = "+93701234567")]
    pub identifier: String,
    /// `MSISDN`, `SHORT_CODE` or `ALPHA`.
    pub identifier_class: String,
    /// Who holds it.
    pub tenant_id: String,
    /// `LEASED`, `SUSPENDED`, `RECALLED`, `EXPIRED` or `RENEWED`.
    #[schema(example = "LEASED")]
    pub state: String,
    /// When the term starts.
    #[schema(value_type = String, format = DateTime)]
    pub effective_from: Timestamp,
    /// When the term ends.
    #[schema(value_type = String, format = DateTime)]
    pub effective_until: Timestamp,
    /// For how long it was asked.
    #[schema(example = "6m")]
    pub term: String,
    /// Whether it is to be renewed.
    pub auto_renew: bool,
    /// Whether it is a vanity lease.
    pub vanity: bool,
    /// Whether the tenant's own recall is refused.
    pub locked: bool,
    /// What was agreed.
    pub price: PriceBody,
    /// When the number is free again, in the answer to a recall.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub available_at: Option<Timestamp>,
}

impl LeaseBody {
    /// A lease of `number` that stands like this.
    #[must_use]
    pub fn of(number: &Number, lease: &Lease, state: LeaseState) -> Self {
        Self::with(&number.shown, number.identifier.class().as_str(), lease, state)
    }

    fn with(shown: &str, class: &str, lease: &Lease, state: LeaseState) -> Self {
        Self {
            lease_id: lease.lease_id.0,
            prior_lease_id: lease.prior_lease_id.map(|LeaseId(id)| id),
            identifier: shown.to_owned(),
            identifier_class: class.to_owned(),
            tenant_id: lease.tenant.to_string(),
            state: state.as_str().to_owned(),
            effective_from: lease.effective_from,
            effective_until: lease.effective_until,
            term: lease.term.to_string(),
            auto_renew: lease.auto_renew,
            vanity: lease.vanity,
            locked: lease.locked,
            price: PriceBody::from(&lease.price),
            available_at: None,
        }
    }
}

impl From<&LeaseRecord> for LeaseBody {
    fn from(record: &LeaseRecord) -> Self {
        Self::with(&record.shown, record.identifier.class().as_str(), &record.lease, record.state)
    }
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items, in the list's stable order.
    pub items: Vec<T>,
    /// The cursor of the next page; null on the last.
    #[schema(required)]
    pub next_page: Option<String>,
}
