//! The one mapping from what happened to a number to the `data` of its event (contract, section 5).
//!
//! What must stay true: `data` always bears `identifier` and `version`, so that consumers can order by number; and it
//! tells the step itself, not the moment of publishing, so that the journal's copy is the event's.

use jiff::Timestamp;
use numbering_domain::event::ReleaseReason;
use numbering_domain::transition::Step;
use numbering_domain::{ChargeId, Event, Lease, Number, Price, TicketId};
use serde_json::{Map, Value, json};

/// The `data` of the event of one step of a transition. `number` is the number that the transition leaves; only what no
/// step changes is read from it.
#[must_use]
pub fn data(step: &Step, number: &Number) -> Value {
    let mut data = Map::new();
    let mut set = |name: &str, value: Value| data.insert(name.to_owned(), value);
    set("identifier", json!(number.shown));
    set("identifierClass", json!(number.identifier.class().as_str()));
    set("version", json!(step.version));
    set("state", json!(step.state.as_str()));
    if let Some(operator) = &number.operator {
        set("operatorId", json!(operator.as_str()));
    }
    data.extend(members(&step.event));
    Value::Object(data)
}

/// What an event of this type tells besides.
fn members(event: &Event) -> Map<String, Value> {
    let members = match event {
        Event::ReservationHeld { kind, reservation_id, tenant, expires_at } => json!({
            "kind": kind.as_str(),
            "reservationId": reservation_id.to_string(),
            "tenantId": tenant.as_str(),
            "expiresAt": time(*expires_at),
        }),
        Event::ReservationReleased { kind, reservation_id, tenant, reason } => {
            let (cause, ticket) = match reason {
                ReleaseReason::TtlExpired | ReleaseReason::TenantRelease => (None, None),
                ReleaseReason::TenantSuspended(ticket) => (Some("TENANT_SUSPENDED"), ticket.as_ref()),
            };
            json!({
                "kind": kind.as_str(),
                "reservationId": reservation_id.to_string(),
                "tenantId": tenant.as_str(),
                "reason": reason.as_str(),
                "cause": cause,
                "ticketId": ticket.map(TicketId::as_str),
            })
        }
        Event::LeaseCreated(lease) => lease_members(lease, None),
        Event::LeaseRenewed { lease, charge_id } => lease_members(lease, Some(charge_id)),
        Event::LeaseRenewalOverQuota { lease_id, tenant, quota, current } => json!({
            "leaseId": lease_id.to_string(),
            "tenantId": tenant.as_str(),
            "quota": quota,
            "current": current,
        }),
        Event::LeaseRenewalFailed { lease_id, tenant, reason, effective_until, retry_at } => json!({
            "leaseId": lease_id.to_string(),
            "tenantId": tenant.as_str(),
            "reason": reason.as_str(),
            "effectiveUntil": time(*effective_until),
            "retryAt": retry_at.map(time),
        }),
        Event::LeaseGraceReminder { lease_id, tenant, effective_until, grace_until } => json!({
            "leaseId": lease_id.to_string(),
            "tenantId": tenant.as_str(),
            "effectiveUntil": time(*effective_until),
            "graceUntil": time(*grace_until),
        }),
        Event::LeaseUpdated { lease_id, tenant, auto_renew, locked } => json!({
            "leaseId": lease_id.to_string(),
            "tenantId": tenant.as_str(),
            "autoRenew": auto_renew,
            "locked": locked,
        }),
        Event::LeaseSuspended { lease_id, tenant } | Event::LeaseReinstated { lease_id, tenant } => json!({
            "leaseId": lease_id.to_string(),
            "tenantId": tenant.as_str(),
        }),
        Event::LeaseRecalled { lease_id, tenant, reason, ticket, stated_actor, available_at } => json!({
            "leaseId": lease_id.to_string(),
            "tenantId": tenant.as_str(),
            "reason": reason,
            "ticketId": ticket.as_ref().map(TicketId::as_str),
            "actorId": stated_actor,
            "availableAt": time(*available_at),
        }),
        Event::LeaseExpired { lease_id, tenant, ended_at } => json!({
            "leaseId": lease_id.to_string(),
            "tenantId": tenant.as_str(),
            "endedAt": time(*ended_at),
        }),
        Event::IdentifierQuarantined { available_at, lease_id } => json!({
            "leaseId": lease_id.to_string(),
            "availableAt": time(*available_at),
        }),
        Event::IdentifierReleased => json!({}),
        Event::QuarantineOverridden { justification, available_at } => json!({
            "justification": justification,
            "availableAt": time(*available_at),
        }),
    };
    present(members)
}

fn lease_members(lease: &Lease, charge_id: Option<&ChargeId>) -> Value {
    json!({
        "leaseId": lease.lease_id.to_string(),
        "priorLeaseId": lease.prior_lease_id.map(|prior| prior.to_string()),
        "tenantId": lease.tenant.as_str(),
        "effectiveFrom": time(lease.effective_from),
        "effectiveUntil": time(lease.effective_until),
        "term": lease.term.to_string(),
        "autoRenew": lease.auto_renew,
        "vanity": lease.vanity,
        "price": price(&lease.price),
        "chargeId": charge_id.map(ChargeId::as_str),
    })
}

/// Money as a decimal string, never a float.
fn price(price: &Price) -> Value {
    json!({ "amount": price.amount.to_string(), "currency": price.currency, "per": price.per })
}

/// RFC 3339 in UTC, to the microsecond that PostgreSQL keeps.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// The members that there are: an optional one without a value is left out.
fn present(members: Value) -> Map<String, Value> {
    match members {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_microseconds() {
        for (at, written) in [
            ("2026-04-20T08:00:00Z", "2026-04-20T08:00:00.000000Z"),
            ("2026-04-20T12:30:00.0000015+04:30", "2026-04-20T08:00:00.000001Z"),
        ] {
            assert_eq!(time(at.parse().unwrap()), written);
        }
    }
}
