//! Who calls on one connection. A client asks with the same token thousands of times a second.
//!
//! What must stay true: a token is compared whole with the one that was verified, and holds only while its time and its keys do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};
use tonic::Status;

use super::calls::try_again;
use crate::auth::{Permission, Refusal, Verified, Verifier};

/// When to come again where the key set cannot be read.
const KEYS_PAUSE: Duration = Duration::from_secs(1);

/// One connection's caller.
pub(super) struct Session {
    verifier: Arc<Verifier>,
    last: Mutex<Option<(HeaderValue, Verified)>>,
}

impl Session {
    pub(super) const fn new(verifier: Arc<Verifier>) -> Self {
        Self { verifier, last: Mutex::new(None) }
    }

    /// Whether whoever calls with these headers may validate leases: `leases.validate`, and nothing less.
    pub(super) async fn authorize(&self, headers: &HeaderMap) -> Result<(), Status> {
        if self.is_known(headers) {
            return Ok(());
        }
        let credentials = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let verified = self.verifier.verify_bearer(credentials).await.map_err(unauthenticated)?;
        if !verified.caller().may(Permission::LeasesValidate) {
            return Err(Status::permission_denied(format!("this needs the permission {}", Permission::LeasesValidate)));
        }
        if let Some(value) = headers.get(AUTHORIZATION) {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((value.clone(), verified));
        }
        Ok(())
    }

    /// The same one credential as the last time, which holds still.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|(known, verified)| known == value && self.verifier.still_holds(verified))
    }
}

fn unauthenticated(refusal: Refusal) -> Status {
    match refusal {
        Refusal::KeysUnavailable => try_again(&refusal, KEYS_PAUSE),
        refusal => Status::unauthenticated(refusal.to_string()),
    }
}
