//! What a name of the contract means wherever it stands in the OpenAPI document: the words that it may be, or their shape.
//!
//! What must stay true: whatever is said here of a request, every handler that takes it checks; `script/fuzz` holds both
//! against each other.

use numbering_domain::lease::LeaseState;
use numbering_domain::{IdentifierClass, RecallReason, StateName, TenantStatus};
use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ArrayItems, Object, Schema, SchemaType, Type};
use utoipa::openapi::{Components, RefOr};

use crate::http::admin::alerts::ALERT_STATES;
use crate::http::admin::prices::PER;
use crate::operations::signature::SignatureAlgorithm;
use crate::store::alerts::Severity;
use crate::store::cascades::CascadeState;
use crate::store::jobs::{Outcome, Trigger};

/// An id of a tenant, operator or key.
const ID: &str = "^[A-Za-z0-9_.:-]{1,64}$";
/// An identifier of any class and plan; which numbers there are, the plan says.
const IDENTIFIER: &str = "^([+][0-9]{7,15}|[0-9]{3,6}|[A-Za-z0-9_&-][A-Za-z0-9 _&+-]{1,9}[A-Za-z0-9_&+-])$";
const PREFIX: &str = "^[+][0-9]{1,15}$";
const TERM: &str = "^[1-9][0-9]{0,4}[smhdy]$";
const CURSOR: &str = "^[A-Za-z0-9_-]{22,512}$";
const AMOUNT: &str = "^[0-9]+[.][0-9]{2,4}$";
/// An amount to be listed, and the name of a tier.
const NEW_AMOUNT: &str = "^[0-9]{1,8}([.][0-9]{1,4})?$";
const NEW_TIER: &str = "^[a-z0-9_-]{1,32}$";
const CURRENCY: &str = "^[A-Z]{3}$";
const SHA_256: &str = "^[0-9a-f]{64}$";

enum Meaning {
    OneOf(Vec<&'static str>),
    Shape(&'static str),
}

/// What a member of a body means.
fn of_member(schema: &str, name: &str) -> Option<Meaning> {
    let number_states = || StateName::ALL.map(StateName::as_str).to_vec();
    let lease_states = || {
        use LeaseState::{Expired, Leased, Recalled, Renewed, Suspended};
        [Leased, Suspended, Recalled, Expired, Renewed].map(LeaseState::as_str).to_vec()
    };
    Some(match (schema, name) {
        (_, "identifierClass") => Meaning::OneOf(IdentifierClass::ALL.map(IdentifierClass::as_str).to_vec()),
        (_, "tenantId" | "operatorId" | "keyId" | "operatorAllowlist") => Meaning::Shape(ID),
        (_, "prefixes") => Meaning::Shape(PREFIX),
        (_, "term") => Meaning::Shape(TERM),
        (_, "fileSha256") => Meaning::Shape(SHA_256),
        (_, "nextPage") => Meaning::Shape(CURSOR),
        (_, "algorithm") => Meaning::OneOf(SignatureAlgorithm::ALL.map(SignatureAlgorithm::as_str).to_vec()),
        ("AddPrice", "amount") => Meaning::Shape(NEW_AMOUNT),
        ("AddPrice", "priceTier") => Meaning::Shape(NEW_TIER),
        (_, "per") => Meaning::OneOf(PER.to_vec()),
        (_, "amount") => Meaning::Shape(AMOUNT),
        (_, "currency") => Meaning::Shape(CURRENCY),
        ("NumberBody" | "LeaseBody" | "OfferedBody" | "OverriddenBody" | "StandingAt", "identifier") => {
            Meaning::Shape(IDENTIFIER)
        }
        ("NumberBody" | "StandingAt", "state") => Meaning::OneOf(number_states()),
        ("LeaseBody", "state") => Meaning::OneOf(lease_states()),
        ("TenantBody" | "TenantRequest", "status") => {
            Meaning::OneOf([TenantStatus::Active, TenantStatus::Suspended].map(TenantStatus::as_str).to_vec())
        }
        ("CascadeBody", "state") => Meaning::OneOf(CascadeState::ALL.map(CascadeState::as_str).to_vec()),
        ("AlertBody", "severity") => Meaning::OneOf(Severity::ALL.map(Severity::as_str).to_vec()),
        ("JobRunBody", "outcome") => {
            Meaning::OneOf([Outcome::Done, Outcome::Failed, Outcome::Interrupted].map(Outcome::as_str).to_vec())
        }
        ("JobRunBody", "trigger") => {
            Meaning::OneOf([Trigger::Schedule, Trigger::Deadline, Trigger::Request].map(Trigger::as_str).to_vec())
        }
        ("RecallRequest", "reason") => Meaning::OneOf(RecallReason::WORDS.to_vec()),
        _ => return None,
    })
}

/// What a parameter means.
fn of_parameter(path: &str, place: &ParameterIn, name: &str) -> Option<Meaning> {
    Some(match (place, name) {
        (ParameterIn::Path, "identifier") => Meaning::Shape(IDENTIFIER),
        (ParameterIn::Path, "tenantId" | "operatorId" | "keyId") | (ParameterIn::Query, "operatorId") => {
            Meaning::Shape(ID)
        }
        (ParameterIn::Query, "page") => Meaning::Shape(CURSOR),
        (ParameterIn::Query, "identifierClass") => {
            Meaning::OneOf(IdentifierClass::ALL.map(IdentifierClass::as_str).to_vec())
        }
        (ParameterIn::Query, "state") if ["/v1/numbers", "/v1/exports/numbers"].contains(&path) => {
            use StateName::{Held, Leased, Reserved, Suspended};
            Meaning::OneOf([Reserved, Held, Leased, Suspended].map(StateName::as_str).to_vec())
        }
        (ParameterIn::Query, "state") if path == "/v1/admin/numbering/alerts" => Meaning::OneOf(ALERT_STATES.to_vec()),
        _ => return None,
    })
}

pub(super) fn say_of_bodies(components: &mut Components) {
    for (name, schema) in &mut components.schemas {
        if let RefOr::T(schema) = schema {
            // A change of nothing is a slip.
            if let Schema::Object(object) = schema
                && name == "LeasePatch"
            {
                object.min_properties = Some(1);
            }
            // A page has the schema of its items in itself.
            say_of_members(name.strip_prefix("Page_").unwrap_or(name), schema);
        }
    }
}

fn say_of_members(schema: &str, within: &mut Schema) {
    let parts = match within {
        Schema::Object(object) => {
            for (name, member) in &mut object.properties {
                let RefOr::T(member) = member else { continue };
                match of_member(schema, name) {
                    Some(meaning) => say(member, &meaning),
                    None => say_of_members(schema, member),
                }
            }
            return;
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items
                && let RefOr::T(items) = items.as_mut()
            {
                say_of_members(schema, items);
            }
            return;
        }
        Schema::OneOf(one_of) => &mut one_of.items,
        Schema::AllOf(all_of) => &mut all_of.items,
        Schema::AnyOf(any_of) => &mut any_of.items,
        _ => return,
    };
    for part in parts {
        if let RefOr::T(part) = part {
            say_of_members(schema, part);
        }
    }
}

pub(super) fn say_of_parameter(path: &str, parameter: &mut Parameter) {
    let meaning = of_parameter(path, &parameter.parameter_in, &parameter.name);
    if let (Some(meaning), Some(RefOr::T(schema))) = (meaning, parameter.schema.as_mut()) {
        say(schema, &meaning);
    }
}

/// Says it of a text, or of the texts of a list.
fn say(schema: &mut Schema, meaning: &Meaning) {
    match schema {
        Schema::Object(text) => say_of_text(text, meaning),
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items
                && let RefOr::T(items) = items.as_mut()
            {
                say(items, meaning);
            }
        }
        _ => {}
    }
}

fn say_of_text(text: &mut Object, meaning: &Meaning) {
    match meaning {
        Meaning::Shape(pattern) => text.pattern = Some((*pattern).to_owned()),
        Meaning::OneOf(words) => {
            let nullable = matches!(&text.schema_type, SchemaType::Array(types) if types.contains(&Type::Null));
            let words = words.iter().map(|word| Value::from(*word));
            text.enum_values = Some(words.chain(nullable.then_some(Value::Null)).collect());
        }
    }
}
