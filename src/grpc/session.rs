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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use jiff::Timestamp;
    use tonic::Code;

    use super::*;
    use crate::auth::testing::{FOREIGN, KEYS, NOW, claims, token, verifier_of};

    static TIME: AtomicI64 = AtomicI64::new(NOW);

    fn clock() -> Timestamp {
        Timestamp::from_second(TIME.load(Ordering::Relaxed)).unwrap()
    }

    fn headers(tokens: &[&str]) -> HeaderMap {
        tokens.iter().map(|token| (AUTHORIZATION, format!("Bearer {token}").parse().unwrap())).collect()
    }

    #[tokio::test]
    async fn a_caller_is_known_by_the_same_one_token_while_its_keys_and_its_time_last() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let keys = async |verifier: &Verifier, keys: serde_json::Value| {
            std::fs::write(file.path(), keys.to_string()).unwrap();
            verifier.refresh_keys().await.unwrap();
        };
        let verifier = Arc::new(verifier_of(file.path().to_str().unwrap(), clock));
        keys(&verifier, KEYS.jwks()).await;
        let session = Session::new(Arc::clone(&verifier));
        let refusal =
            async |tokens: &[&str]| session.authorize(&headers(tokens)).await.err().map(|status| status.code());
        let good = token(&claims(None, &["leases.validate"]));
        let weak = token(&claims(None, &["numbers.read"]));

        assert!(!session.is_known(&headers(&[&good])));
        assert_eq!(refusal(&[&good]).await, None);
        assert!(session.is_known(&headers(&[&good])));
        for (tokens, code) in [
            (&[good.as_str(), good.as_str()] as &[&str], Code::Unauthenticated),
            (&[&good, &weak], Code::Unauthenticated),
            (&[], Code::Unauthenticated),
            (&[&good[..good.len() - 1]], Code::Unauthenticated),
            (&[&weak], Code::PermissionDenied),
        ] {
            assert_eq!(refusal(tokens).await, Some(code), "{tokens:?}");
            assert_eq!(refusal(&[&good]).await, None, "and who was refused has not become somebody else");
        }

        keys(&verifier, FOREIGN.jwks()).await;
        assert_eq!(refusal(&[&good]).await, Some(Code::Unauthenticated), "the keys were changed");
        keys(&verifier, KEYS.jwks()).await;
        assert_eq!(refusal(&[&good]).await, None);
        TIME.store(NOW + 600 + 29, Ordering::Relaxed);
        assert_eq!(refusal(&[&good]).await, None);
        TIME.store(NOW + 600 + 30, Ordering::Relaxed);
        assert_eq!(refusal(&[&good]).await, Some(Code::Unauthenticated), "its time is over");
    }
}
