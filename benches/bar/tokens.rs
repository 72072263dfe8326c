//! The issuer of the tokens that the callers bear, with a key of its own.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

pub(crate) const ISSUER: &str = "numbering-bench";
pub(crate) const AUDIENCE: &str = "numbering";
const KEY_ID: &str = "bench";
/// 2100: no token runs out during a measurement.
const EXPIRY: u64 = 4_102_444_800;

/// Signs tokens; its key set is in a file.
#[derive(Debug)]
pub(crate) struct Issuer {
    key: EncodingKey,
    pub(crate) jwks: PathBuf,
}

impl Issuer {
    pub(crate) fn new(directory: &Path) -> anyhow::Result<Self> {
        let pair = Ed25519KeyPair::generate().context("no key for tokens can be made")?;
        let der: Pkcs8V1Der<'_> = pair.as_der().context("the key for tokens cannot be encoded")?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KEY_ID, "x": x});
        let jwks = directory.join("jwks.json");
        std::fs::write(&jwks, json!({ "keys": [key] }).to_string()).context("the key set cannot be written")?;
        Ok(Self { key: EncodingKey::from_ed_der(der.as_ref()), jwks })
    }

    /// The SMS path's token.
    pub(crate) fn validator(&self) -> anyhow::Result<String> {
        self.token("sms-orchestrator", None, &["leases.validate"])
    }

    /// The operations desk's.
    pub(crate) fn admin(&self) -> anyhow::Result<String> {
        let permissions = ["numbering.admin", "numbers.read", "numbers.write", "numbers.lease.bypass"];
        self.token("operations", None, &permissions)
    }

    /// A tenant's portal's.
    pub(crate) fn tenant(&self, tenant: &str) -> anyhow::Result<String> {
        self.token(&format!("{tenant}-portal"), Some(tenant), &["numbers.read", "numbers.write"])
    }

    fn token(&self, sub: &str, tenant: Option<&str>, permissions: &[&str]) -> anyhow::Result<String> {
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "exp": EXPIRY, "sub": sub, "permissions": permissions,
        });
        if let Some(tenant) = tenant {
            claims["tenant_id"] = tenant.into();
        }
        let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, &self.key).context("a token cannot be signed")
    }
}
