//! An issuer of tokens for tests: real keys of three kinds, and tokens as crooked as a test wants them.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Clock, Verifier};
use crate::config::{Auth, Period, TokenAlgorithm};
use crate::telemetry::Metrics;

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "numbering";

/// What [`clock`] shows.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn clock() -> jiff::Timestamp {
    jiff::Timestamp::from_second(NOW).unwrap()
}

pub(crate) struct Keys {
    pub(crate) ed: Ed25519KeyPair,
    pub(crate) ec: EcdsaKeyPair,
    pub(crate) rsa: RsaKeyPair,
}

/// The issuer's keys.
pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(Keys::generate);

/// Somebody else's.
pub(crate) static FOREIGN: LazyLock<Keys> = LazyLock::new(Keys::generate);

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Keys {
    fn generate() -> Self {
        Self {
            ed: Ed25519KeyPair::generate().unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            rsa: RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap(),
        }
    }

    pub(crate) fn sign(&self, algorithm: &str, message: &str) -> Vec<u8> {
        let rsa = |encoding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
            signature
        };
        match algorithm {
            "ES256" => self.ec.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "RS384" => rsa(&RSA_PKCS1_SHA384),
            "PS256" => rsa(&RSA_PSS_SHA256),
            _ => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
        }
    }

    pub(crate) fn jwks(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        let (n, e) = (self.rsa.public_key().modulus(), self.rsa.public_key().exponent());
        json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "EdDSA", "use": "sig", "x": b64(self.ed.public_key()) },
            { "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "x": b64(&point[1..33]), "y": b64(&point[33..]) },
            { "kty": "RSA", "kid": "rsa", "alg": "RS256",
              "n": b64(n.big_endian_without_leading_zero()), "e": b64(e.big_endian_without_leading_zero()) },
        ] })
    }
}

/// Claims that hold, for a tenant with these permissions.
pub(crate) fn claims(tenant: Option<&str>, permissions: &[&str]) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 600, "sub": "alice", "permissions": permissions,
    });
    if let Some(tenant) = tenant {
        claims["tenant_id"] = tenant.into();
    }
    claims
}

/// A token of any header and claims, signed as `algorithm` says, whatever the header says.
pub(crate) fn signed_as(keys: &Keys, algorithm: &str, header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", b64(header), b64(claims));
    let signature = keys.sign(algorithm, &message);
    format!("{message}.{}", b64(signature))
}

/// A token that holds, with the Ed25519 key.
pub(crate) fn token(claims: &Value) -> String {
    signed_as(&KEYS, "EdDSA", br#"{"alg":"EdDSA","kid":"ed","typ":"JWT"}"#, claims.to_string().as_bytes())
}

pub(crate) fn auth(jwks: &str) -> Auth {
    Auth {
        issuer: ISSUER.into(),
        audience: AUDIENCE.into(),
        jwks: jwks.into(),
        algorithms: vec![TokenAlgorithm::EdDsa, TokenAlgorithm::Es256, TokenAlgorithm::Rs256],
        leeway: Period::from_secs(30),
        refresh: Period::from_mins(5),
    }
}

pub(crate) fn verifier_of(jwks: &str, clock: Clock) -> Verifier {
    Verifier::new(&auth(jwks), Arc::new(Metrics::default()), clock).unwrap()
}

/// A verifier with the keys of [`KEYS`], at [`NOW`].
pub(crate) async fn verifier() -> Verifier {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), KEYS.jwks().to_string()).unwrap();
    let verifier = verifier_of(file.path().to_str().unwrap(), clock);
    assert_eq!(verifier.refresh_keys().await.unwrap(), 3);
    verifier
}
