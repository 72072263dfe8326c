//! Tokens with one thing wrong, whoever they claim to speak for.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::tokens::{Issuer, KEY_ID};

/// The issuer of good tokens, and a forger's own key.
pub(super) struct Forger<'a> {
    issuer: &'a Issuer,
    own: EncodingKey,
}

/// What a defect makes of the claims: the value of `Authorization`.
type Forge = fn(&Forger<'_>, &Value) -> String;

/// Every defect but the missing token.
pub(super) const DEFECTS: [(&str, Forge); 18] = [
    ("garbage", |_, _| "Bearer not.a.token".to_owned()),
    ("another scheme", |forger, claims| format!("Basic {}", forger.issuer.sign(claims))),
    ("no scheme", |forger, claims| forger.issuer.sign(claims)),
    ("two tokens in one", |forger, claims| {
        let token = forger.issuer.sign(claims);
        format!("Bearer {token}, Bearer {token}")
    }),
    ("another's key", |forger, claims| bearer(&forger.sign(Some(KEY_ID), claims))),
    ("the right key under an unknown name", |forger, claims| bearer(&forger.issuer.sign_under("other-key", claims))),
    ("another's key under an unknown name", |forger, claims| bearer(&forger.sign(Some("other-key"), claims))),
    ("no name of a key", |forger, claims| bearer(&forger.sign(None, claims))),
    ("expired", |forger, claims| forger.with(claims, "exp", &json!(1_700_000_000))),
    ("no expiry", |forger, claims| forger.without(claims, "exp")),
    ("not valid yet", |forger, claims| forger.with(claims, "nbf", &json!(4_102_444_700_u64))),
    ("for another audience", |forger, claims| forger.with(claims, "aud", &json!("billing"))),
    ("of another issuer", |forger, claims| forger.with(claims, "iss", &json!("https://other.test"))),
    ("nobody's", |forger, claims| forger.without(claims, "sub")),
    ("algorithm none, no signature", |_, claims| bearer(&unsigned(claims, ""))),
    ("algorithm none, some signature", |_, claims| bearer(&unsigned(claims, "c2lnbmVk"))),
    ("HS256 with the public key", |forger, claims| {
        let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::HS256) };
        let secret = EncodingKey::from_secret(&forger.issuer.public_key);
        bearer(&jsonwebtoken::encode(&header, claims, &secret).unwrap())
    }),
    ("claims changed after signing", |forger, claims| {
        let token = forger.issuer.sign(&json!({ "sub": "x" }));
        let (header, rest) = token.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        bearer(&format!("{header}.{}.{signature}", part(claims)))
    }),
];

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn unsigned(claims: &Value, signature: &str) -> String {
    let header = json!({ "alg": "none", "typ": "JWT", "kid": KEY_ID });
    format!("{}.{}.{signature}", part(&header), part(claims))
}

impl<'a> Forger<'a> {
    pub(super) fn new(issuer: &'a Issuer) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        Self { issuer, own: EncodingKey::from_ed_der(der.as_ref()) }
    }

    fn sign(&self, key_id: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: key_id.map(str::to_owned), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &self.own).unwrap()
    }

    fn with(&self, claims: &Value, name: &str, value: &Value) -> String {
        let mut claims = claims.clone();
        claims[name] = value.clone();
        bearer(&self.issuer.sign(&claims))
    }

    fn without(&self, claims: &Value, name: &str) -> String {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        bearer(&self.issuer.sign(&claims))
    }
}
