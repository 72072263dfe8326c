//! Forged, stolen, bent and broken tokens (hazard: one algorithm a key, `kid` by exact lookup). Each must be refused, and
//! for the right reason, so that no forgery is refused by accident.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::KeyPair as _;
use serde_json::{Value, json};

use super::super::testing::{FOREIGN, KEYS, NOW, b64, claims, signed_as, token, verifier};
use super::super::{Refusal, Verifier};

/// The `Authorization` values of one forgery, with what it must be refused for.
struct Forgery {
    name: String,
    values: Vec<Vec<u8>>,
    expected: Refusal,
}

#[derive(Default)]
struct Forgeries(Vec<Forgery>);

impl Forgeries {
    fn token(&mut self, expected: Refusal, name: impl Into<String>, token: impl AsRef<[u8]>) {
        let value = [b"Bearer ", token.as_ref()].concat();
        self.0.push(Forgery { name: name.into(), values: vec![value], expected });
    }

    fn header(&mut self, expected: Refusal, name: impl Into<String>, value: impl AsRef<[u8]>) {
        self.0.push(Forgery { name: name.into(), values: vec![value.as_ref().to_vec()], expected });
    }

    /// A token of this header, properly signed with the Ed25519 key.
    fn jose(&mut self, expected: Refusal, header: &str) {
        let token = signed_as(&KEYS, "EdDSA", header.as_bytes(), good_claims().as_bytes());
        self.token(expected, format!("header {header}"), token);
    }

    /// A token of these claims, properly signed.
    fn claims(&mut self, expected: Refusal, claims: &str) {
        let token = signed_as(&KEYS, "EdDSA", br#"{"alg":"EdDSA","kid":"ed"}"#, claims.as_bytes());
        self.token(expected, format!("claims {claims}"), token);
    }

    fn claim(&mut self, expected: Refusal, name: &str, value: Value) {
        let mut bent = claims(Some("tenant-a"), &["numbers.read"]);
        bent[name] = value;
        self.claims(expected, &bent.to_string());
    }
}

fn good_claims() -> String {
    claims(Some("tenant-a"), &["numbers.read", "numbering.admin"]).to_string()
}

fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

/// The same keys under every algorithm there is, and the key's public bytes as a shared secret.
fn confused_algorithms(forgeries: &mut Forgeries) {
    let names = [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        " none",
        "HS256",
        "HS384",
        "HS512",
        "hs256",
        "ES256",
        "ES256K",
        "ES384",
        "ES512",
        "RS256",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
        "EdDSA",
        "eddsa",
        "EDDSA",
        "Ed25519",
        "Ed448",
        "dir",
        "A128KW",
        "RSA-OAEP",
        "ECDH-ES",
        "EdDSA ",
        "EdDSA\u{0}",
        "RS256,EdDSA",
    ];
    for (kid, own) in [("ed", "EdDSA"), ("ec", "ES256"), ("rsa", "RS256")] {
        for name in names.into_iter().filter(|name| *name != own) {
            let header = json!({ "alg": name, "kid": kid }).to_string();
            let signed = signed_as(&KEYS, own, header.as_bytes(), good_claims().as_bytes());
            forgeries.token(Refusal::Algorithm, format!("{kid} said to be {name:?}"), &signed);
        }
        let header = json!({ "alg": own, "kid": kid }).to_string();
        let signed = signed_as(&FOREIGN, own, header.as_bytes(), good_claims().as_bytes());
        forgeries.token(Refusal::Signature, format!("{kid} signed by somebody else"), &signed);
    }
    for (kid, other, algorithm) in [
        ("ed", "ES256", "EdDSA"),
        ("ec", "EdDSA", "ES256"),
        ("ec", "RS256", "ES256"),
        ("rsa", "RS384", "RS256"),
        ("rsa", "PS256", "RS256"),
    ] {
        let header = json!({ "alg": algorithm, "kid": kid }).to_string();
        let signed = signed_as(&KEYS, other, header.as_bytes(), good_claims().as_bytes());
        forgeries.token(Refusal::Signature, format!("{kid} as {algorithm} but signed as {other}"), &signed);
    }
    let jwk_x = b64(KEYS.ed.public_key());
    let rsa_n = KEYS.rsa.public_key().modulus().big_endian_without_leading_zero().to_vec();
    let document = KEYS.jwks().to_string();
    let secrets: [(&str, &[u8]); 5] = [
        ("ed", KEYS.ed.public_key().as_ref()),
        ("ed", jwk_x.as_bytes()),
        ("rsa", &rsa_n),
        ("rsa", KEYS.rsa.public_key().as_ref()),
        ("ec", document.as_bytes()),
    ];
    for (kid, secret) in secrets {
        for (name, algorithm) in
            [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
        {
            let header = json!({ "alg": name, "kid": kid }).to_string();
            let message = format!("{}.{}", b64(header), b64(good_claims()));
            let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
            forgeries.token(
                Refusal::Algorithm,
                format!("public key of {kid} as {name} secret"),
                format!("{message}.{}", b64(tag)),
            );
        }
    }
}

fn kid_tricks(forgeries: &mut Forgeries) {
    for kid in [
        "",
        "ED",
        "Ed",
        " ed",
        "ed ",
        "ed\u{0}",
        "ed\n",
        "ec\u{200b}",
        "еd",
        "../../dev/null",
        "/dev/null",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1/k",
        "ed' OR '1'='1",
        "ed'; DROP TABLE keys--",
        "| id",
        "$(id)",
        "*",
        "e*",
        "ed,ec",
        "0",
        "null",
        "__proto__",
        "kid",
    ] {
        forgeries.jose(Refusal::UnknownKey, &json!({ "alg": "EdDSA", "kid": kid }).to_string());
    }
    forgeries.jose(Refusal::UnknownKey, &json!({ "alg": "EdDSA", "kid": "k".repeat(257) }).to_string());
    forgeries.jose(Refusal::UnknownKey, r#"{"alg":"EdDSA"}"#);
    for kid in ["null", "7", "true", r#"["ed"]"#, r#"{"ed":1}"#] {
        forgeries.jose(Refusal::Malformed, &format!(r#"{{"alg":"EdDSA","kid":{kid}}}"#));
    }
    for (kid, own) in [("ec", "ES256"), ("rsa", "RS256")] {
        forgeries.jose(Refusal::Signature, &json!({ "alg": own, "kid": kid }).to_string());
    }
}

fn header_injection(forgeries: &mut Forgeries) {
    let foreign_key = FOREIGN.jwks()["keys"][0].clone();
    for (member, value) in [
        ("jku", json!("https://evil.example/jwks")),
        ("jku", Value::Null),
        ("x5u", json!("https://evil.example/cert")),
        ("x5u", json!("")),
        ("jwk", foreign_key),
        ("jwk", Value::Null),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(["b64"])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
    ] {
        for (keys, kid) in [(&*KEYS, "ed"), (&*FOREIGN, "ed"), (&*FOREIGN, "evil")] {
            let mut header = json!({ "alg": "EdDSA", "kid": kid });
            header[member] = value.clone();
            let header = header.to_string();
            let signed = signed_as(keys, "EdDSA", header.as_bytes(), good_claims().as_bytes());
            forgeries.token(Refusal::HeaderMember, format!("header {header}"), &signed);
        }
    }
    for header in [
        r#"{"alg":"none","alg":"EdDSA","kid":"ed"}"#,
        r#"{"alg":"EdDSA","kid":"evil","kid":"ed"}"#,
        r#"{"alg":"EdDSA","kid":"ed","typ":"JWT","typ":"JWT"}"#,
        r#"{"alg":null,"kid":"ed"}"#,
        r#"{"alg":["EdDSA"],"kid":"ed"}"#,
        r#"{"alg":"EdDSA","kid":"ed","typ":"JOSE"}"#,
        r#"{"alg":"EdDSA","kid":"ed","typ":"logout+jwt"}"#,
        r#"{"alg":"EdDSA","kid":"ed","typ":""}"#,
        r#"{"alg":"EdDSA","kid":"ed","typ":7}"#,
        r#"{"alg":"EdDSA","kid":"ed"} {}"#,
        r#"{"alg":"EdDSA","kid":"ed""#,
        r#"["EdDSA","ed"]"#,
        r#""EdDSA""#,
        "null",
        "",
        "\u{feff}{\"alg\":\"EdDSA\",\"kid\":\"ed\"}",
    ] {
        forgeries.jose(Refusal::Malformed, header);
    }
    forgeries.jose(Refusal::Algorithm, r#"{"kid":"ed"}"#);
    forgeries.jose(Refusal::Algorithm, r#"{"ALG":"EdDSA","kid":"ed"}"#);
}

fn bent_claims(forgeries: &mut Forgeries) {
    for issuer in [
        "",
        "https://issuer.example/",
        "HTTPS://issuer.example",
        "https://issuer.example.evil",
        "http://issuer.example",
        "https://issuer.exampl\u{435}",
        " https://issuer.example",
        "https://issuer.example\u{0}",
    ] {
        forgeries.claim(Refusal::Issuer, "iss", issuer.into());
    }
    for audience in [
        json!(""),
        json!("Numbering"),
        json!("numbering "),
        json!("numbering,other"),
        json!([]),
        json!(["other"]),
        json!(["numb", "ering"]),
    ] {
        forgeries.claim(Refusal::Audience, "aud", audience);
    }
    for exp in [0, 1, NOW - 3_600, NOW - 31, NOW - 30] {
        forgeries.claim(Refusal::Expired, "exp", exp.into());
    }
    for nbf in [NOW + 31, NOW + 86_400, 253_402_300_799] {
        forgeries.claim(Refusal::NotYetValid, "nbf", nbf.into());
    }
    let wrong_times = [json!("1900000000"), json!(-1), json!(1e300), json!(true), json!([NOW]), json!({}), Value::Null];
    for claim in ["exp", "nbf"] {
        for time in &wrong_times {
            forgeries.claim(Refusal::Claims, claim, time.clone());
        }
    }
    let long = "s".repeat(256);
    for sub in [json!(""), json!(7), json!(["alice"]), json!("al\nice"), json!("al\u{0}ice"), json!(long), Value::Null]
    {
        forgeries.claim(Refusal::Claims, "sub", sub);
    }
    for tenant in [
        json!(""),
        json!("tenant a"),
        json!("tenant-a\n"),
        json!("ténant"),
        json!("tenant/../b"),
        json!("t".repeat(65)),
        json!(7),
        json!(["tenant-a"]),
        json!("tenant-a' OR 1=1"),
        json!("*"),
        json!("tenant\u{2010}a"),
        json!(true),
    ] {
        forgeries.claim(Refusal::Claims, "tenant_id", tenant);
    }
    for permissions in [
        json!("numbering.admin"),
        json!([["numbering.admin"]]),
        json!({ "numbering.admin": true }),
        json!([7]),
        Value::Null,
    ] {
        forgeries.claim(Refusal::Claims, "permissions", permissions);
    }
    forgeries.claim(Refusal::Claims, "permissions", json!(vec!["p"; 257]));
    forgeries.claim(Refusal::Claims, "iss", json!(["https://issuer.example"]));
    forgeries.claim(Refusal::Claims, "aud", json!({ "numbering": true }));
    for missing in ["iss", "aud", "exp", "sub"] {
        let mut bent = claims(None, &[]);
        bent.as_object_mut().unwrap().remove(missing);
        forgeries.claims(Refusal::Claims, &bent.to_string());
    }
    let good = good_claims();
    for twice in
        [r#""tenant_id":"tenant-b""#, r#""exp":9999999999"#, r#""permissions":[]"#, r#""iss":"https://issuer.example""#]
    {
        forgeries.claims(Refusal::Claims, &format!("{},{twice}}}", good.trim_end_matches('}')));
    }
    for broken in ["", "{}", "[]", "null", "\"\"", "{", &good[1..], &format!("{good}{good}")] {
        forgeries.claims(Refusal::Claims, broken);
    }
}

fn broken_forms(forgeries: &mut Forgeries) {
    let good = token(&claims(Some("tenant-a"), &["numbers.read"]));
    let [header, payload, signature] = parts(&good);
    let other_payload = b64(claims(Some("tenant-b"), &["numbering.admin"]).to_string());
    forgeries.token(
        Refusal::Signature,
        "other claims under the signature",
        format!("{header}.{other_payload}.{signature}"),
    );
    let other_header = b64(r#"{"alg":"EdDSA","kid":"ed"}"#);
    forgeries.token(
        Refusal::Signature,
        "other header over the signature",
        format!("{other_header}.{payload}.{signature}"),
    );
    for (name, token) in [
        ("stripped signature", format!("{header}.{payload}.")),
        ("stripped signature and dot", format!("{header}.{payload}")),
        ("only a header", header.to_owned()),
        ("only dots", "..".to_owned()),
        ("one dot", ".".to_owned()),
        ("no header", format!(".{payload}.{signature}")),
        ("no claims twice dotted", format!("{header}..{payload}.{signature}")),
        ("a fourth part", format!("{good}.{signature}")),
        ("a JWE", format!("{header}.{payload}.{signature}.{payload}.{signature}")),
        ("a leading dot", format!(".{good}")),
        ("a trailing dot", format!("{good}.")),
        ("nested", b64(&good)),
    ] {
        forgeries.token(Refusal::Malformed, name, token);
    }
    for (name, bytes) in [
        ("zeroes", vec![0; 64]),
        ("ones", vec![255; 64]),
        ("short", vec![1; 63]),
        ("long", vec![1; 65]),
        ("one", vec![0]),
    ] {
        forgeries.token(
            Refusal::Signature,
            format!("signature of {name}"),
            format!("{header}.{payload}.{}", b64(bytes)),
        );
    }
    let raw = KEYS.sign("EdDSA", &format!("{header}.{payload}"));
    for at in 0..raw.len() {
        let mut bent = raw.clone();
        bent[at] ^= 1;
        forgeries.token(
            Refusal::Signature,
            format!("signature byte {at} bent"),
            format!("{header}.{payload}.{}", b64(bent)),
        );
    }
    for cut in 1..signature.len() {
        let token = format!("{header}.{payload}.{}", &signature[..cut]);
        // A cut may fall on no whole byte; it is refused either way, only earlier.
        let whole =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &signature[..cut]).is_ok();
        forgeries.token(if whole { Refusal::Signature } else { Refusal::Malformed }, format!("cut at {cut}"), token);
    }
    // 64 bytes end in two spare bits: another letter there decodes to the same bytes in lax decoders.
    let lax = format!("{}{}", &signature[..85], char::from(signature.as_bytes()[85] + 1));
    forgeries.token(Refusal::Malformed, "spare bits set", format!("{header}.{payload}.{lax}"));
    forgeries.token(Refusal::TooLarge, "too large", format!("{header}.{}.{signature}", "A".repeat(8_000)));
}

fn broken_headers(forgeries: &mut Forgeries) {
    let good = token(&claims(Some("tenant-a"), &["numbers.read"]));
    for value in [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        good.clone(),
        format!("Basic {good}"),
        format!("Token {good}"),
        format!("Bearer: {good}"),
        format!("Bearer  {good}"),
        format!("Bearer\t{good}"),
        format!(" Bearer {good}"),
        format!("Bearer {good} "),
        format!("Bearer {good}, Bearer {good}"),
        format!("Bearer {good}="),
        format!("Bearer \"{good}\""),
        format!("Bearer {}", good.replace('.', "\u{ff0e}")),
        format!("Bearer {}", good.replace('.', "%2E")),
        format!("Bearer {good}\u{200b}"),
        format!("Веarer {good}"),
        format!("BearerBearer {good}"),
        format!("Bearer Bearer {good}"),
    ] {
        let expected = Refusal::NotBearer;
        forgeries.header(expected, format!("Authorization {value:?}"), value);
    }
    forgeries.header(Refusal::NotBearer, "not UTF-8", [b"Bearer ", good.as_bytes(), b"\xff"].concat());
    let value = format!("Bearer {good}").into_bytes();
    forgeries.0.push(Forgery {
        name: "two good ones".into(),
        values: vec![value.clone(), value],
        expected: Refusal::NotBearer,
    });
}

async fn check(verifier: &Verifier, forgery: &Forgery) -> Result<(), String> {
    match verifier.authenticate(forgery.values.iter().map(Vec::as_slice)).await {
        Err(refusal) if refusal == forgery.expected => Ok(()),
        other => Err(format!("{}: expected {:?}, got {other:?}", forgery.name, forgery.expected)),
    }
}

#[tokio::test]
async fn every_forgery_is_refused_for_its_own_reason() {
    let mut forgeries = Forgeries::default();
    confused_algorithms(&mut forgeries);
    kid_tricks(&mut forgeries);
    header_injection(&mut forgeries);
    bent_claims(&mut forgeries);
    broken_forms(&mut forgeries);
    broken_headers(&mut forgeries);

    let verifier = verifier().await;
    let good = format!("Bearer {}", token(&claims(Some("tenant-a"), &["numbers.read"])));
    assert!(verifier.authenticate([good.as_bytes()]).await.is_ok(), "the unbent token holds");
    let mut wrong = Vec::new();
    let mut by_reason: BTreeMap<&str, usize> = BTreeMap::new();
    for forgery in &forgeries.0 {
        *by_reason.entry(forgery.expected.label()).or_default() += 1;
        wrong.extend(check(&verifier, forgery).await.err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(forgeries.0.len() >= 400, "{} forgeries: {by_reason:?}", forgeries.0.len());
}
