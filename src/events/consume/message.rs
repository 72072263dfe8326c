//! An event as it comes in: `CloudEvents` 1.0, structured, in JSON.
//!
//! What must stay true: what is taken up is whole and of known shape. Members that are not known here, of the envelope or of
//! `data`, are ignored, because a sender may add some; what is missing or malformed is refused, and no try again would mend it.

use numbering_domain::{TenantId, TicketId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::operations::told::{IncomingEvent, News};
use crate::store::inbox::EventKey;

/// `compliance.tenant.suspended` {tenantId, ticketId}.
pub const TENANT_SUSPENDED: &str = "compliance.tenant.suspended";
/// `compliance.tenant.reinstated` {tenantId}.
pub const TENANT_REINSTATED: &str = "compliance.tenant.reinstated";
/// `billing.plan.changed` {tenantId, plan}.
pub const PLAN_CHANGED: &str = "billing.plan.changed";

/// Every type that is taken up; others on these streams are for other services.
pub const CONSUMED_TYPES: [&str; 3] = [TENANT_SUSPENDED, TENANT_REINSTATED, PLAN_CHANGED];

/// The longest id of an event, and its longest source, in bytes.
const LONGEST: usize = 512;

/// Why a message is no event that can be taken up.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is no JSON, or lacks a member, or has one of another kind.
    #[error("it is no CloudEvent in structured JSON: {0}")]
    Envelope(serde_json::Error),
    /// A member of the envelope is not as it must be.
    #[error("its {member} {must}")]
    Member {
        /// Which.
        member: &'static str,
        /// What it must be.
        must: String,
    },
    /// Its data lacks a member, or has one of another kind.
    #[error("its data is not as its type says: {0}")]
    Data(serde_json::Error),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default)]
    datacontenttype: Option<String>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Suspended {
    tenant_id: String,
    ticket_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reinstated {
    tenant_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlanChanged {
    tenant_id: String,
    plan: String,
}

/// Whether messages on this subject are for this service.
pub(super) fn is_consumed(subject: &str) -> bool {
    CONSUMED_TYPES.contains(&subject)
}

/// A type as metrics name it: of those that are not for this service there may be any number.
pub(super) fn known(event_type: &str) -> &'static str {
    CONSUMED_TYPES.into_iter().find(|consumed| *consumed == event_type).unwrap_or("other")
}

/// Reads a message on a subject that is for this service.
pub(in crate::events) fn parse(subject: &str, payload: &[u8]) -> Result<IncomingEvent, Malformed> {
    let envelope: Envelope<'_> = serde_json::from_slice(payload).map_err(Malformed::Envelope)?;
    let data = envelope.check(subject)?;
    let news = match subject {
        TENANT_SUSPENDED => {
            let Suspended { tenant_id, ticket_id } = read(data)?;
            News::TenantSuspended { tenant: tenant(&tenant_id)?, ticket: ticket(&ticket_id)? }
        }
        TENANT_REINSTATED => News::TenantReinstated { tenant: tenant(&read::<Reinstated>(data)?.tenant_id)? },
        PLAN_CHANGED => {
            let PlanChanged { tenant_id, plan } = read(data)?;
            if plan.is_empty() || !is_plain(&plan) {
                return Err(wrong("data.plan", "must be the name of a plan"));
            }
            News::PlanChanged { tenant: tenant(&tenant_id)?, plan }
        }
        _ => return Err(wrong("type", "must be one that this service takes up")),
    };
    let Envelope { id, source, event_type, .. } = envelope;
    Ok(IncomingEvent { key: EventKey { source, id, event_type }, news })
}

impl<'a> Envelope<'a> {
    /// Its data, where the rest is as it must be.
    fn check(&self, subject: &str) -> Result<&'a RawValue, Malformed> {
        if self.specversion != "1.0" {
            return Err(wrong("specversion", "must be 1.0"));
        }
        if self.event_type != subject {
            return Err(wrong("type", &format!("must be its subject, {subject}")));
        }
        for (member, value) in [("id", &self.id), ("source", &self.source)] {
            if !(1..=LONGEST).contains(&value.len()) || !is_plain(value) {
                return Err(wrong(member, &format!("must be 1 to {LONGEST} bytes without control characters")));
            }
        }
        if self.datacontenttype.as_deref().is_some_and(|media_type| !is_json(media_type)) {
            return Err(wrong("datacontenttype", "must be JSON's"));
        }
        self.data.ok_or_else(|| wrong("data", "must be there"))
    }
}

fn wrong(member: &'static str, must: &str) -> Malformed {
    Malformed::Member { member, must: must.to_owned() }
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

fn read<T: DeserializeOwned>(data: &RawValue) -> Result<T, Malformed> {
    serde_json::from_str(data.get()).map_err(Malformed::Data)
}

fn tenant(id: &str) -> Result<TenantId, Malformed> {
    TenantId::parse(id).map_err(|error| wrong("data.tenantId", &error.to_string()))
}

fn ticket(id: &str) -> Result<TicketId, Malformed> {
    TicketId::parse(id).map_err(|error| wrong("data.ticketId", &error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is done to a good event.
    type Change = fn(&mut Value);

    fn event(event_type: &str, data: &Value) -> Value {
        json!({ "specversion": "1.0", "id": "e-1", "source": "/compliance", "type": event_type, "data": data })
    }

    fn suspended() -> Value {
        event(TENANT_SUSPENDED, &json!({ "tenantId": "tenant-a", "ticketId": "AML-7" }))
    }

    fn read_of(subject: &str, event: &Value) -> Result<IncomingEvent, Malformed> {
        parse(subject, event.to_string().as_bytes())
    }

    #[test]
    fn each_type_is_read_and_members_that_are_not_known_are_ignored() {
        let tenant = TenantId::parse("tenant-a").unwrap();
        let mut more = suspended();
        more["data"]["caseOfficer"] = json!("somebody");
        more["traceparent"] = json!("00-1-2-3");
        more["datacontenttype"] = json!("application/json; charset=utf-8");
        more["subject"] = json!("tenant-a");
        for told in [suspended(), more] {
            let read = read_of(TENANT_SUSPENDED, &told).unwrap();
            let ticket = TicketId::parse("AML-7").unwrap();
            assert_eq!(read.news, News::TenantSuspended { tenant: tenant.clone(), ticket });
            assert_eq!((read.key.source.as_str(), read.key.id.as_str()), ("/compliance", "e-1"));
        }
        let read = read_of(TENANT_REINSTATED, &event(TENANT_REINSTATED, &json!({ "tenantId": "tenant-a" }))).unwrap();
        assert_eq!(read.news, News::TenantReinstated { tenant: tenant.clone() });
        let told = event(PLAN_CHANGED, &json!({ "tenantId": "tenant-a", "plan": "premium" }));
        let plan = "premium".to_owned();
        assert_eq!(read_of(PLAN_CHANGED, &told).unwrap().news, News::PlanChanged { tenant, plan });
    }

    #[test]
    fn what_is_missing_or_malformed_is_refused() {
        let changes: [(&str, Change); 16] = [
            ("another version", |event| event["specversion"] = json!("0.3")),
            ("no id", |event| drop(event.as_object_mut().unwrap().remove("id"))),
            ("an empty id", |event| event["id"] = json!("")),
            ("an id with a NUL", |event| event["id"] = json!("a\0b")),
            ("an endless id", |event| event["id"] = json!("x".repeat(513))),
            ("no source", |event| drop(event.as_object_mut().unwrap().remove("source"))),
            ("another type", |event| event["type"] = json!(TENANT_REINSTATED)),
            ("data that is no JSON", |event| event["datacontenttype"] = json!("application/xml")),
            ("no data", |event| drop(event.as_object_mut().unwrap().remove("data"))),
            ("data that is null", |event| event["data"] = json!(null)),
            ("data that is a list", |event| event["data"] = json!([])),
            ("no tenant", |event| drop(event["data"].as_object_mut().unwrap().remove("tenantId"))),
            ("a tenant that is a number", |event| event["data"]["tenantId"] = json!(7)),
            ("a tenant with a space", |event| event["data"]["tenantId"] = json!("a b")),
            ("no ticket", |event| drop(event["data"].as_object_mut().unwrap().remove("ticketId"))),
            ("an empty ticket", |event| event["data"]["ticketId"] = json!("")),
        ];
        for (what, change) in changes {
            let mut bad = suspended();
            change(&mut bad);
            assert!(read_of(TENANT_SUSPENDED, &bad).is_err(), "{what}");
        }
        for payload in ["", "{", "[]", "null", "\"x\"", "{\"specversion\":\"1.0\",\"specversion\":\"1.0\"}"] {
            assert!(parse(TENANT_SUSPENDED, payload.as_bytes()).is_err(), "{payload}");
        }
        assert!(parse(TENANT_SUSPENDED, b"\xff\xfe").is_err());
        let no_plan = event(PLAN_CHANGED, &json!({ "tenantId": "tenant-a", "plan": "" }));
        assert!(read_of(PLAN_CHANGED, &no_plan).is_err());
    }
}
