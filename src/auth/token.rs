//! A JWT taken apart and checked, step by step, before any of its claims is believed.
//!
//! What must stay true: the key is chosen by `kid` alone and fixes the algorithm; nothing in the token can choose either.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use numbering_domain::TenantId;
use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};

use super::jwks::KeySet;
use super::refusal::Refusal;
use super::{Caller, Permissions};
use crate::config::TokenAlgorithm;

/// The largest token, in bytes: a header line of 8 KiB holds it.
const TOKEN_MOST_BYTES: usize = 8_000;
const KID_MOST_BYTES: usize = 256;
const SUB_MOST_BYTES: usize = 255;
const PERMISSIONS_MOST: usize = 256;

/// The year 9999: no token lives longer.
const LATEST_SECONDS: f64 = 253_402_300_799.0;

/// Header members that would let the token say how it is to be checked, or change what its bytes mean.
const REFUSED_HEADER_MEMBERS: [&str; 8] = ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"];

/// What tokens are checked against.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) leeway_seconds: i64,
}

/// A token whose signature and claims hold.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) caller: Caller,
    /// Seconds since the epoch until which it may be used, leeway included.
    pub(super) until: i64,
}

/// A token in its parts, nothing of it believed yet.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    algorithm: TokenAlgorithm,
    pub(super) kid: String,
    signed: &'a str,
    claims: Vec<u8>,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > TOKEN_MOST_BYTES {
            return Err(Refusal::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        if signature.is_empty() {
            return Err(Refusal::Malformed);
        }
        // Strict: no padding, no stray bits, no other alphabet; a fourth part fails here, as `.` is no base64.
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Malformed);
        part(signature)?;
        let claims = part(claims)?;
        let header: Header = serde_json::from_slice(&part(header)?).map_err(|_| Refusal::Malformed)?;
        if header.has_refused_member {
            return Err(Refusal::HeaderMember);
        }
        let typ = header.typ.as_deref().unwrap_or("JWT");
        let typ = typ.get(.."application/".len()).map_or(typ, |prefix| {
            if prefix.eq_ignore_ascii_case("application/") { &typ["application/".len()..] } else { typ }
        });
        if !typ.eq_ignore_ascii_case("JWT") && !typ.eq_ignore_ascii_case("at+jwt") {
            return Err(Refusal::Malformed);
        }
        let algorithm = header.alg.as_deref().and_then(TokenAlgorithm::parse).ok_or(Refusal::Algorithm)?;
        let kid = header.kid.filter(|kid| kid.len() <= KID_MOST_BYTES).ok_or(Refusal::UnknownKey)?;
        Ok(Self { algorithm, kid, signed, claims, signature })
    }

    /// Checks signature and claims against the keys in force.
    pub(super) fn check(&self, keys: &KeySet, expected: &Expected, now: i64) -> Result<Checked, Refusal> {
        let key = keys.get(&self.kid).ok_or(Refusal::UnknownKey)?;
        if key.algorithm != self.algorithm {
            return Err(Refusal::Algorithm);
        }
        if !key.verifies(self.signed.as_bytes(), self.signature) {
            return Err(Refusal::Signature);
        }
        let claims: Claims = serde_json::from_slice(&self.claims).map_err(|_| Refusal::Claims)?;
        claims.check(expected, now)
    }
}

/// The members of the header that matter. Any of the refused ones counts, whatever its value; so does a member twice.
#[derive(Debug, Default)]
struct Header {
    alg: Option<String>,
    kid: Option<String>,
    typ: Option<String>,
    has_refused_member: bool,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JOSE header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        let mut seen = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "alg" => header.alg = Some(members.next_value()?),
                "kid" => header.kid = Some(members.next_value()?),
                "typ" => header.typ = Some(members.next_value()?),
                other => {
                    header.has_refused_member |= REFUSED_HEADER_MEMBERS.contains(&other);
                    members.next_value::<IgnoredAny>()?;
                }
            }
            if !seen.insert(name) {
                return Err(de::Error::custom("a member twice"));
            }
        }
        Ok(header)
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: f64,
    #[serde(default, deserialize_with = "not_null")]
    nbf: Option<f64>,
    sub: String,
    #[serde(default)]
    tenant_id: Option<String>,
    #[serde(default)]
    permissions: Vec<String>,
}

fn not_null<'de, D: de::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[expect(clippy::cast_possible_truncation, reason = "bounded by the check before it")]
fn whole_seconds(seconds: f64) -> Result<i64, Refusal> {
    if (0.0..=LATEST_SECONDS).contains(&seconds) { Ok(seconds as i64) } else { Err(Refusal::Claims) }
}

impl Claims {
    fn check(self, expected: &Expected, now: i64) -> Result<Checked, Refusal> {
        if self.iss != expected.issuer {
            return Err(Refusal::Issuer);
        }
        let for_us = match &self.aud {
            Audience::One(audience) => *audience == expected.audience,
            Audience::Many(audiences) => audiences.contains(&expected.audience),
        };
        if !for_us {
            return Err(Refusal::Audience);
        }
        let until = whole_seconds(self.exp)? + expected.leeway_seconds;
        if now >= until {
            return Err(Refusal::Expired);
        }
        let from = self.nbf.map(whole_seconds).transpose()?;
        if from.is_some_and(|from| now + expected.leeway_seconds < from) {
            return Err(Refusal::NotYetValid);
        }
        let plain_sub =
            !self.sub.is_empty() && self.sub.len() <= SUB_MOST_BYTES && !self.sub.contains(char::is_control);
        if !plain_sub || self.permissions.len() > PERMISSIONS_MOST {
            return Err(Refusal::Claims);
        }
        let tenant = self.tenant_id.map(|id| TenantId::parse(&id)).transpose().map_err(|_| Refusal::Claims)?;
        let permissions = Permissions::from_names(self.permissions.iter().map(String::as_str));
        Ok(Checked { caller: Caller { sub: self.sub, tenant, permissions }, until })
    }
}
