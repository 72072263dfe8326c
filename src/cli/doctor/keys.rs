//! The key set that tokens are checked against: readable, with a usable key.

use std::sync::Arc;

use super::Findings;
use crate::auth::{JwksFault, Verifier, machine_clock};
use crate::config::Auth;
use crate::telemetry::Metrics;

const SUBJECT: &str = "token keys";

pub(super) async fn examine(auth: &Auth, findings: &mut Findings) {
    match read(auth).await {
        Ok(1) => findings.ok(SUBJECT, format!("1 usable key at {}", auth.jwks)),
        Ok(count) => findings.ok(SUBJECT, format!("{count} usable keys at {}", auth.jwks)),
        Err(fault) => {
            let hint = match fault {
                JwksFault::File { .. } => "see that auth.jwks names the file, and that the service's user may read it",
                JwksFault::Fetch(_) => "see that auth.jwks is the issuer's address, and reachable from here",
                JwksFault::NoUsableKey => "publish a signing key of one of auth.algorithms, with a kid, or widen these",
                JwksFault::TooLarge | JwksFault::Malformed(_) => "auth.jwks must lead to a JSON Web Key Set",
            };
            findings.fail(SUBJECT, format!("no token can be checked: {fault}"), hint);
        }
    }
}

async fn read(auth: &Auth) -> Result<usize, JwksFault> {
    Verifier::new(auth, Arc::new(Metrics::default()), machine_clock)?.refresh_keys().await
}
