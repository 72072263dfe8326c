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
pub(crate) const KEY_ID: &str = "test-key";

/// Signs tokens; its key set is in a file.
pub(crate) struct Issuer {
    key: EncodingKey,
    /// The public key, as its JWK has it before base64.
    pub(crate) public_key: Vec<u8>,
    pub(crate) jwks: PathBuf,
}

impl Issuer {
    pub(crate) fn new(directory: &Path) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public_key = pair.public_key().as_ref().to_vec();
        let x = URL_SAFE_NO_PAD.encode(&public_key);
        let set = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KEY_ID, "x": x},
        ]});
        let jwks = directory.join("jwks.json");
        std::fs::write(&jwks, set.to_string()).unwrap();
        Self { key: EncodingKey::from_ed_der(der.as_ref()), public_key, jwks }
    }

    /// A good token of these claims beside issuer, audience and expiry.
    pub(crate) fn token(&self, sub: &str, tenant: Option<&str>, permissions: &[&str]) -> String {
        self.sign(&claims(sub, tenant, permissions))
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_under(KEY_ID, claims)
    }

    /// Signs with the issuer's key under the name of another.
    pub(crate) fn sign_under(&self, key_id: &str, claims: &Value) -> String {
        let header = Header { kid: Some(key_id.to_owned()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// Claims that hold.
pub(crate) fn claims(sub: &str, tenant: Option<&str>, permissions: &[&str]) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "exp": 4_102_444_800_u64, "sub": sub, "permissions": permissions,
    });
    if let Some(tenant) = tenant {
        claims["tenant_id"] = tenant.into();
    }
    claims
}
