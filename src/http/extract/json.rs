//! JSON bodies: strict about type, size and shape.
//!
//! What must stay true: what is no JSON is 400, what is JSON of another shape is 422 with the place of the mistake; and a
//! body that is accepted has no NUL in any of its texts, as PostgreSQL cannot store one.

use aws_lc_rs::digest;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use futures_util::StreamExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::http::AppState;
use crate::http::code::Code;
use crate::http::problem::{ApiError, Invalid};

/// The body of a request, read into `T`. Use `#[serde(deny_unknown_fields, rename_all = "camelCase")]` on it.
#[derive(Clone, Debug)]
pub struct JsonBody<T> {
    /// What the body says.
    pub value: T,
    /// SHA-256 of the body's bytes, for `Idempotency-Key`: another body is another request.
    pub sha256: [u8; 32],
}

/// Like [`JsonBody`], where no body at all means the default: actions that need no input.
#[derive(Clone, Debug)]
pub struct OptionalJsonBody<T> {
    /// What the body says, or the default.
    pub value: T,
    /// SHA-256 of the body's bytes.
    pub sha256: [u8; 32],
}

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        Self::read_up_to(request, state.config.http.body_limit_bytes).await
    }
}

impl<T: DeserializeOwned> JsonBody<T> {
    /// The body of an endpoint with a limit of its own, in bytes.
    pub async fn read_up_to(request: Request, limit: usize) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        check_media_type(&parts.headers)?;
        let bytes = read(&parts.headers, body, limit).await?;
        Ok(Self { value: parse(&bytes)?, sha256: sha256(&bytes) })
    }
}

impl<T: DeserializeOwned + Default> FromRequest<AppState> for OptionalJsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, state.config.http.body_limit_bytes).await?;
        let sha256 = sha256(&bytes);
        if bytes.is_empty() {
            return Ok(Self { value: T::default(), sha256 });
        }
        check_media_type(&parts.headers)?;
        Ok(Self { value: parse(&bytes)?, sha256 })
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let unsupported = |detail: &str| Err(ApiError::new(Code::UnsupportedMediaType, detail));
    if headers.contains_key(CONTENT_ENCODING) {
        return unsupported("bodies are taken as they are, without Content-Encoding");
    }
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return unsupported("the body must be JSON: send Content-Type: application/json");
    };
    let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let utf8 = parts
        .all(|parameter| parameter.strip_prefix("charset=").is_none_or(|charset| charset.trim_matches('"') == "utf-8"));
    if essence == "application/json" && utf8 {
        Ok(())
    } else {
        unsupported("the body must be JSON in UTF-8: send Content-Type: application/json")
    }
}

async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let too_large = || ApiError::new(Code::PayloadTooLarge, format!("the body may have {limit} bytes at most"));
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0));
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ApiError::malformed("the body broke off"))?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.is_empty() {
        return Err(ApiError::malformed("a JSON body is needed, and there is none"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize::<_, T>(&mut deserializer);
    let whole = match &parsed {
        Ok(_) => deserializer.end(),
        // The mistake of shape may stand before one of syntax, and syntax comes first.
        Err(_) => serde_json::from_slice::<IgnoredAny>(bytes).map(drop),
    };
    if let Err(error) = whole {
        return Err(ApiError::malformed(format!("the body is not JSON: {error}")));
    }
    // Serde would take a list for an object, its members by position.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        let errors = vec![Invalid { pointer: String::new(), detail: "must be an object".to_owned() }];
        return Err(ApiError::invalid(errors));
    }
    match parsed {
        Ok(value) => refuse_nul(bytes).map(|()| value),
        Err(error) if error.inner().classify() == Category::Data => {
            Err(ApiError::invalid(vec![invalid(error.path(), &error.inner().to_string())]))
        }
        Err(error) => Err(ApiError::malformed(format!("the body is not JSON: {}", error.inner()))),
    }
}

/// The place and the words of a mistake of shape.
fn invalid(path: &Path, message: &str) -> Invalid {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => push(&mut pointer, &index.to_string()),
            Segment::Map { key } => push(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    // serde_json appends the line and column, which a pointer says better.
    let detail = message.rsplit_once(" at line ").map_or(message, |(detail, _)| detail);
    if let Some(field) = detail.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        push(&mut pointer, field);
        return Invalid { pointer, detail: "is missing".to_owned() };
    }
    if let Some((field, known)) = detail.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        if !pointer.ends_with(&escaped(field)) {
            push(&mut pointer, field);
        }
        return Invalid { pointer, detail: format!("is not known here{known}") };
    }
    if let Some(field) = detail.strip_prefix("duplicate field `").and_then(|rest| rest.strip_suffix('`')) {
        push(&mut pointer, field);
        return Invalid { pointer, detail: "is given twice".to_owned() };
    }
    Invalid { pointer, detail: detail.to_owned() }
}

fn push(pointer: &mut String, segment: &str) {
    pointer.push('/');
    pointer.push_str(&escaped(segment));
}

fn escaped(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

fn refuse_nul(bytes: &[u8]) -> Result<(), ApiError> {
    // A bare NUL is no JSON, so it can only be written as an escape.
    if !bytes.windows(6).any(|window| window == b"\\u0000") {
        return Ok(());
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| ApiError::malformed(error.to_string()))?;
    let mut found = Vec::new();
    find_nul(&value, &mut String::new(), &mut found);
    if found.is_empty() { Ok(()) } else { Err(ApiError::invalid(found)) }
}

fn find_nul(value: &Value, pointer: &mut String, found: &mut Vec<Invalid>) {
    let length = pointer.len();
    let nul =
        |pointer: &str| Invalid { pointer: pointer.to_owned(), detail: "must not hold the character NUL".to_owned() };
    match value {
        Value::String(text) if text.contains('\0') => found.push(nul(pointer)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                push(pointer, &index.to_string());
                find_nul(item, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                push(pointer, name);
                if name.contains('\0') {
                    found.push(nul(pointer));
                }
                find_nul(member, pointer, found);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Lease {
        tenant_id: String,
        auto_renew: bool,
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Item {
        #[serde(rename = "a/b~c")]
        odd: Option<u8>,
    }

    fn refused(body: &str) -> (u16, Value) {
        let problem = parse::<Lease>(body.as_bytes()).unwrap_err();
        (problem.status().as_u16(), problem.to_json()["errors"].clone())
    }

    #[test]
    fn what_is_no_json_is_400() {
        for body in [
            "",
            " ",
            "{",
            "{\"tenantId\":}",
            "{'tenantId':1}",
            "{\"tenantId\":\"a\",\"autoRenew\":true} x",
            "{\"tenantId\":\"a\",\"autoRenew\":true}{}",
            "{\"tenantId\":7,",
            "{\"tenantId\":\"\u{0}\"}",
            "NaN",
            &"[".repeat(200),
        ] {
            assert_eq!(refused(body).0, 400, "{body:?}");
        }
        assert_eq!(parse::<Lease>(b"\xff\xfe{}").unwrap_err().status().as_u16(), 400);
        assert_eq!(parse::<Lease>(b"{\"tenantId\":\"\xff\",\"autoRenew\":true}").unwrap_err().status().as_u16(), 400);
    }

    #[test]
    fn what_is_json_of_another_shape_is_422_with_its_place() {
        for (body, pointer, detail) in [
            (r"{}", "/tenantId", "is missing"),
            (r#"{"tenantId":"a"}"#, "/autoRenew", "is missing"),
            (r#"{"tenantId":7,"autoRenew":true}"#, "/tenantId", "invalid type: integer `7`, expected a string"),
            (r#"{"tenantId":"a","autoRenew":"yes"}"#, "/autoRenew", "invalid type: string \"yes\", expected a boolean"),
            (
                r#"{"tenantId":"a","autoRenew":true,"holder":"b"}"#,
                "/holder",
                "is not known here, expected one of `tenantId`, `autoRenew`, `items`",
            ),
            (r#"{"tenantId":"a","tenantId":"b","autoRenew":true}"#, "/tenantId", "is given twice"),
            (
                r#"{"tenantId":"a","autoRenew":true,"items":[{},{"a/b~c":300}]}"#,
                "/items/1/a~1b~0c",
                "invalid value: integer `300`, expected u8",
            ),
            (r#"["a",true,[]]"#, "", "must be an object"),
            (r"null", "", "must be an object"),
        ] {
            let (status, errors) = refused(body);
            assert_eq!(
                (status, &errors[0]["pointer"], &errors[0]["detail"]),
                (422, &pointer.into(), &detail.into()),
                "{body}"
            );
        }
    }

    #[test]
    fn nul_is_refused_wherever_it_hides() {
        let (status, errors) = refused(r#"{"tenantId":"a\u0000b","autoRenew":true}"#);
        assert_eq!((status, &errors[0]["pointer"]), (422, &"/tenantId".into()));
        assert!(
            parse::<Lease>(br#"{"tenantId":"a\\u0000b","autoRenew":true}"#).is_ok(),
            "an escaped backslash is no NUL"
        );
    }

    #[test]
    fn only_json_in_utf8_is_taken() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, value.parse().unwrap());
            }
            check_media_type(&headers).is_ok()
        };
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(of(&[good]), "{good}");
        }
        for bad in [
            "text/plain",
            "application/jsonx",
            "application/json; charset=utf-16",
            "",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!of(&[bad]), "{bad}");
        }
        assert!(!of(&[]) && !of(&["application/json", "application/json"]));
    }
}
