//! How the OpenAPI document tells of problems: which codes each operation can answer with.
//!
//! What must stay true: an operation lists its own codes, with `problem_responses!`; what follows from its place (tokens,
//! bodies, identifiers, idempotency) is added here, so that no endpoint can forget it.

mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Content, OpenApi, Ref, RefOr, Required, Response, extensions::Extensions};

use super::code::Code;
use super::problem::PROBLEM_JSON;

const SCHEME: &str = "bearer";
const CODES: &str = "x-problem-codes";
const RELEASE: &str = "/v1/numbers/{identifier}/release";

/// Declares the problems of an operation, to stand in its `responses(…)`:
///
/// ```ignore
/// problem_responses! {
///     /// Refusals of a reservation.
///     ReserveProblems = [NotAvailable, ReservationQuota];
/// }
/// ```
macro_rules! problem_responses {
    ($($(#[$doc:meta])* $name:ident = [$($code:ident),+ $(,)?];)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::response::Response>,
            > {
                $crate::http::documented::responses([$($crate::http::code::Code::$code),+])
            }
        }
    )*};
}
pub(crate) use problem_responses;

/// Responses for these codes, one for each status.
pub(crate) fn responses(codes: impl IntoIterator<Item = Code>) -> BTreeMap<String, RefOr<Response>> {
    responses_at("", codes)
}

fn responses_at(path: &str, codes: impl IntoIterator<Item = Code>) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<String, BTreeSet<Code>> = BTreeMap::new();
    for code in codes {
        // The one code with two statuses (US-NUM-009).
        let status = match code {
            Code::HeldByOtherTenant if path == RELEASE => 403,
            code => code.status_number(),
        };
        by_status.entry(status.to_string()).or_default().insert(code);
    }
    by_status.into_iter().map(|(status, codes)| (status, RefOr::T(response(&codes)))).collect()
}

fn response(codes: &BTreeSet<Code>) -> Response {
    let lines = codes.iter().map(|code| format!("- [`{}`]({}): {}.", code.as_str(), code.path(), code.title()));
    let mut response = Response::new(lines.collect::<Vec<_>>().join("\n"));
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    response.content.insert(PROBLEM_JSON.to_owned(), content.into());
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    response.extensions = Some(Extensions::from_iter([(CODES, json!(names))]));
    response
}

/// Completes the document once every operation is in it.
pub(super) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_with(Components::new);
    words::say_of_bodies(components);
    components.schemas.insert("Problem".to_owned(), problem_schema());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
    let bearer = bearer.description(Some("A JWT of the configured issuer, with `sub`, `tenant_id` and `permissions`."));
    components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer.build()));
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter {
                    words::say_of_parameter(path, parameter);
                }
            }
            complete_operation(path, method, operation);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", item.get.as_mut()),
        ("put", item.put.as_mut()),
        ("post", item.post.as_mut()),
        ("delete", item.delete.as_mut()),
        ("patch", item.patch.as_mut()),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation?)))
}

fn complete_operation(path: &str, method: &str, operation: &mut Operation) {
    if !path.starts_with("/v1/") {
        return;
    }
    operation.security = Some(vec![SecurityRequirement::new(SCHEME, Vec::<String>::new())]);
    let mut codes =
        vec![Code::MalformedRequest, Code::Unauthenticated, Code::Forbidden, Code::Internal, Code::Unavailable];
    if path.contains("/{identifier}") {
        codes.extend([Code::InvalidIdentifier, Code::NotRegistered]);
    } else if path.contains('{') {
        codes.push(Code::NotFound);
    }
    // An action that needs no input may still be sent some.
    if operation.request_body.is_some() || method == "post" {
        codes.extend([Code::PayloadTooLarge, Code::UnsupportedMediaType, Code::ValidationFailed]);
    }
    if method == "post" {
        codes.extend([Code::IdempotencyInFlight, Code::IdempotencyKeyReused]);
        let key = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("The same key and body again replays the first answer, for 24 hours."))
            .schema(Some(schema(json!({ "type": "string", "pattern": "^[A-Za-z0-9_:-]{1,255}$" }))));
        operation.parameters.get_or_insert_default().push(key.build().into());
    }
    codes.extend(take_codes(operation));
    operation.responses.responses.extend(responses_at(path, codes));
}

/// The codes that the operation itself declares, its responses for them taken out.
fn take_codes(operation: &mut Operation) -> Vec<Code> {
    let mut codes = Vec::new();
    operation.responses.responses.retain(|_, response| {
        let RefOr::T(response) = response else { return true };
        let named = response.extensions.as_ref().and_then(|extensions| extensions.get(CODES)?.as_array());
        codes.extend(named.into_iter().flatten().filter_map(|name| Code::parse(name.as_str()?)));
        named.is_none()
    });
    codes
}

fn schema(json: Value) -> RefOr<Schema> {
    // The literal is ours; were it no schema, the document would say "anything" there, and the test of it fail.
    RefOr::T(serde_json::from_value(json).unwrap_or_default())
}

fn problem_schema() -> RefOr<Schema> {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    schema(json!({
        "type": "object",
        "description": "RFC 9457. Members beyond these depend on the code; see its page.",
        "required": ["type", "title", "status", "detail", "code", "requestId"],
        "properties": {
            "type": { "type": "string", "description": "Path of the code's page on this service." },
            "title": { "type": "string", "description": "What it is, the same at every occurrence." },
            "status": { "type": "integer", "format": "int32", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "What happened this time." },
            "code": { "type": "string", "enum": codes, "description": "What to switch on." },
            "requestId": { "type": "string", "description": "Also in the header `X-Request-Id`, and in the logs." },
            "state": { "type": "string", "description": "The number's current state; on every 409 about a number.",
                "enum": ["AVAILABLE", "RESERVED", "HELD", "LEASED", "SUSPENDED", "RECALLED", "QUARANTINE"] },
            "availableAt": { "type": "string", "format": "date-time" },
            "validFrom": { "type": "string", "format": "date-time" },
            "permission": { "type": "string" },
            "operatorId": { "type": "string" },
            "available": { "type": "integer", "format": "int64", "minimum": 0,
                "description": "How many match, where fewer do than are wanted." },
            "quota": { "type": "integer", "format": "int32" },
            "current": { "type": "integer", "format": "int32" },
            "currentCount": { "type": "integer", "format": "int32" },
            "identifierClass": { "type": "string", "enum": ["MSISDN", "SHORT_CODE", "ALPHA"] },
            "parameter": { "type": "string" },
            "header": { "type": "string" },
            "line": { "type": "integer", "format": "int64" },
            "errors": { "type": "array", "items": { "type": "object", "required": ["pointer", "detail"], "properties": {
                "pointer": { "type": "string", "description": "JSON Pointer (RFC 6901) into the body." },
                "detail": { "type": "string" },
            } } },
        },
    }))
}
