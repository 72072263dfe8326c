//! The issuer of a test's tokens, with a key of its own.

use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const AUDIENCE: &str = "numbering";
const KEY_ID: &str = "test-key";

/// Signs tokens; its key set is in a file.
pub(crate) struct Issuer {
    key: EncodingKey,
    pub(crate) jwks: PathBuf,
}

impl Issuer {
    pub(crate) fn new(directory: &Path) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let set = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KEY_ID, "x": x},
        ]});
        let jwks = directory.join("jwks.json");
        std::fs::write(&jwks, set.to_string()).unwrap();
        Self { key: EncodingKey::from_ed_der(der.as_ref()), jwks }
    }

    /// A good token of these claims beside issuer, audience and expiry.
    pub(crate) fn token(&self, sub: &str, tenant: Option<&str>, permissions: &[&str]) -> String {
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "exp": 4_102_444_800_u64, "sub": sub, "permissions": permissions,
        });
        if let Some(tenant) = tenant {
            claims["tenant_id"] = tenant.into();
        }
        self.sign(&claims)
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}
