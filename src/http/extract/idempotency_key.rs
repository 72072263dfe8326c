//! The header `Idempotency-Key` (contract, section 3).

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;

use crate::http::problem::ApiError;

const NAME: HeaderName = HeaderName::from_static("idempotency-key");
const MOST_BYTES: usize = 255;

/// The request's idempotency key, if it has one: `[A-Za-z0-9_:-]{1,255}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(NAME).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_:-".contains(b);
        match value.to_str() {
            Ok(key)
                if values.next().is_none()
                    && (1..=MOST_BYTES).contains(&key.len())
                    && key.as_bytes().iter().all(plain) =>
            {
                Ok(Self(Some(key.to_owned())))
            }
            _ => Err(ApiError::malformed(
                "Idempotency-Key must be given once, as 1 to 255 characters of A-Z a-z 0-9 _ : -",
            )
            .with("header", "Idempotency-Key")),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn key_of(values: &[&[u8]]) -> Result<Option<String>, u16> {
        let mut request = Request::builder();
        for value in values {
            request = request.header(NAME, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let key = IdempotencyKey::from_request_parts(&mut parts, &()).await;
        key.map(|key| key.0).map_err(|problem| problem.status().as_u16())
    }

    #[tokio::test]
    async fn a_key_is_plain_and_bounded() {
        assert_eq!(key_of(&[]).await, Ok(None));
        assert_eq!(key_of(&[b"order_7:retry-2"]).await, Ok(Some("order_7:retry-2".into())));
        assert!(key_of(&["k".repeat(255).as_bytes()]).await.is_ok());
        for bad in [&b""[..], b"a b", b"a.b", b"a/b", b"\xc3\xa9", "k".repeat(256).as_bytes()] {
            assert_eq!(key_of(&[bad]).await, Err(400), "{bad:?}");
        }
        assert_eq!(key_of(&[b"a", b"a"]).await, Err(400));
    }
}
