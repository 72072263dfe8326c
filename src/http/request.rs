//! What is known of the request under way: its id, who makes it, and what it costs. The log line is written from it.
//!
//! What must stay true: identifiers are masked in here already, so that nothing downstream can log one.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use numbering_domain::{Identifier, IdentifierClass};
use uuid::Uuid;

use crate::auth::Caller;
use crate::telemetry::StoreUse;

/// The header that carries the request's id, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const REQUEST_ID_MOST_BYTES: usize = 128;

tokio::task_local! {
    static CURRENT: Arc<RequestRecord>;
}

/// What is known of one request.
#[derive(Debug)]
pub struct RequestRecord {
    id: String,
    store_use: Arc<StoreUse>,
    caller: OnceLock<Arc<Caller>>,
    identifier: OnceLock<String>,
}

impl RequestRecord {
    /// A record with the client's request id, where it is a sane one, or a new id.
    pub(super) fn new(headers: &HeaderMap) -> Arc<Self> {
        let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| sane(id));
        Arc::new(Self {
            id: given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned),
            store_use: Arc::default(),
            caller: OnceLock::new(),
            identifier: OnceLock::new(),
        })
    }

    /// The record of the request that this task serves.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Serves the request, so that [`RequestRecord::current`] and the store find this record.
    pub(super) async fn serving<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        let counted = Arc::clone(&self.store_use).counting(work);
        CURRENT.scope(self, counted).await
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn store_use(&self) -> &StoreUse {
        &self.store_use
    }

    pub(super) fn is_from(&self, caller: Arc<Caller>) {
        // Set once: a request has one caller.
        let _ = self.caller.set(caller);
    }

    pub(super) fn caller(&self) -> Option<&Caller> {
        self.caller.get().map(Arc::as_ref)
    }

    pub(super) fn is_about(&self, identifier: &Identifier) {
        let _ = self.identifier.set(masked(identifier));
    }

    /// The identifier in the path, masked.
    pub(super) fn identifier(&self) -> Option<&str> {
        self.identifier.get().map(String::as_str)
    }
}

fn sane(id: &str) -> bool {
    (1..=REQUEST_ID_MOST_BYTES).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

/// The identifier for logs: enough to tell the network of a mobile number, not the subscriber.
fn masked(identifier: &Identifier) -> String {
    let shown = match identifier.class() {
        IdentifierClass::Msisdn => 5,
        IdentifierClass::ShortCode | IdentifierClass::Alpha => 1,
    };
    identifier.key().char_indices().map(|(at, c)| if at < shown { c } else { '*' }).collect()
}

/// The id of the request, for the journal and for calls to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let record = parts.extensions.get::<Arc<RequestRecord>>().cloned();
        let record = record.unwrap_or_else(|| RequestRecord::new(&parts.headers));
        Ok(Self(record.id.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_request_id_is_kept_and_another_replaced() {
        let id_for = |given: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, given.parse().unwrap());
            RequestRecord::new(&headers).id().to_owned()
        };
        assert_eq!(id_for("req-1.2:3_4"), "req-1.2:3_4");
        for given in ["", "a b", "a\"b", "{\"a\":1}", &"x".repeat(129)] {
            let made: Uuid = id_for(given).parse().unwrap();
            assert_eq!(made.get_version_num(), 7);
        }
    }

    #[test]
    fn identifiers_are_masked() {
        for (class, key, shown) in [
            (IdentifierClass::Msisdn, "+93701234567", "+9370*******"),
            (IdentifierClass::ShortCode, "4455", "4***"),
            (IdentifierClass::Alpha, "MYBANK", "M*****"),
        ] {
            assert_eq!(masked(&Identifier::from_canonical(class, key)), shown);
        }
    }
}
