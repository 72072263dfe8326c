mod forgeries;

use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::testing::{FOREIGN, KEYS, NOW, claims, clock, signed_as, token, verifier, verifier_of};
use super::*;

async fn verify(verifier: &Verifier, token: &str) -> Result<Arc<Caller>, Refusal> {
    verifier.authenticate([format!("Bearer {token}").as_bytes()]).await
}

#[tokio::test]
async fn a_good_token_names_its_caller() {
    let verifier = verifier().await;
    let token = token(&claims(Some("tenant-a"), &["numbers.read", "numbers.write", "other.service"]));
    for _ in 0..2 {
        let caller = verify(&verifier, &token).await.unwrap();
        assert_eq!(caller.sub, "alice");
        assert_eq!(caller.tenant.as_ref().unwrap().as_str(), "tenant-a");
        assert!(caller.may(Permission::NumbersRead) && caller.may(Permission::NumbersWrite));
        assert!(!caller.may(Permission::NumberingAdmin));
    }
}

#[tokio::test]
async fn each_key_verifies_with_its_own_algorithm() {
    let verifier = verifier().await;
    let claims = claims(None, &[]).to_string();
    for (algorithm, kid) in [("EdDSA", "ed"), ("ES256", "ec"), ("RS256", "rsa")] {
        let header = json!({ "alg": algorithm, "kid": kid, "typ": "at+jwt", "x5t": "ignored" }).to_string();
        let token = signed_as(&KEYS, algorithm, header.as_bytes(), claims.as_bytes());
        assert!(verify(&verifier, &token).await.is_ok(), "{algorithm}");
    }
}

#[tokio::test]
async fn the_audience_may_be_one_of_many_and_times_may_be_fractions() {
    let verifier = verifier().await;
    let mut claims = claims(None, &[]);
    claims["aud"] = json!(["other", "numbering"]);
    claims["exp"] = json!(1_800_000_000.5);
    claims["nbf"] = json!(NOW + 30);
    claims["tenant_id"] = Value::Null;
    assert_eq!(verify(&verifier, &token(&claims)).await.unwrap().tenant, None);
}

#[tokio::test]
async fn leeway_is_honoured_to_the_second() {
    let verifier = verifier().await;
    let with = |claim: &str, at: i64| {
        let mut claims = claims(None, &[]);
        claims[claim] = at.into();
        token(&claims)
    };
    for (claim, at, expected) in [
        ("exp", NOW - 29, Ok(())),
        ("exp", NOW - 30, Err(Refusal::Expired)),
        ("nbf", NOW + 30, Ok(())),
        ("nbf", NOW + 31, Err(Refusal::NotYetValid)),
    ] {
        assert_eq!(verify(&verifier, &with(claim, at)).await.map(|_| ()), expected, "{claim} {at}");
    }
}

static ADVANCING: AtomicI64 = AtomicI64::new(NOW);

fn advancing_clock() -> Timestamp {
    Timestamp::from_second(ADVANCING.load(Ordering::SeqCst)).unwrap()
}

#[tokio::test]
async fn a_remembered_token_still_expires() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), KEYS.jwks().to_string()).unwrap();
    let verifier = verifier_of(file.path().to_str().unwrap(), advancing_clock);
    let token = token(&claims(None, &[]));
    assert!(verify(&verifier, &token).await.is_ok());
    ADVANCING.store(NOW + 630, Ordering::SeqCst);
    assert_eq!(verify(&verifier, &token).await, Err(Refusal::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_no_longer_verifies_and_a_failed_reading_changes_nothing() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let verifier = verifier_of(&path, clock);
    let token = token(&claims(None, &[]));
    assert_eq!(verify(&verifier, &token).await, Err(Refusal::KeysUnavailable), "no key set was ever read");

    std::fs::write(&path, KEYS.jwks().to_string()).unwrap();
    assert_eq!(verify(&verifier, &token).await, Err(Refusal::KeysUnavailable), "it was read less than 10 s ago");
    tokio::time::advance(UNKNOWN_KEY_PAUSE).await;
    assert!(verify(&verifier, &token).await.is_ok(), "an unknown key has the set read");

    for broken in ["{", "{\"keys\":[]}", "[]"] {
        std::fs::write(&path, broken).unwrap();
        assert!(verifier.refresh_keys().await.is_err());
        assert!(verify(&verifier, &token).await.is_ok(), "the last good set stays in force");
    }
    std::fs::write(&path, FOREIGN.jwks().to_string()).unwrap();
    verifier.refresh_keys().await.unwrap();
    assert_eq!(verify(&verifier, &token).await, Err(Refusal::Signature), "remembered, but its key is gone");
}

#[tokio::test]
async fn keys_are_fetched_over_http_without_following_redirects() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/jwks", listener.local_addr().unwrap());
    let serve = tokio::spawn(async move {
        let document = KEYS.jwks().to_string();
        let answers = [
            "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
            format!("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\nconnection: close\r\n\r\n{}", " ".repeat(300_000)),
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{document}", document.len()),
        ];
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let verifier = verifier_of(&address, clock);
    assert!(verifier.refresh_keys().await.is_err());
    assert!(matches!(verifier.refresh_keys().await, Err(JwksFault::TooLarge)));
    assert_eq!(verifier.refresh_keys().await.unwrap(), 3);
    serve.await.unwrap();
}

#[tokio::test]
async fn unusable_keys_of_a_shared_set_are_passed_over() {
    let good = KEYS.jwks()["keys"].as_array().unwrap().clone();
    let with = |n: usize, member: &str, value: Value| {
        let mut key = good[n].clone();
        key[member] = value;
        key["kid"] = format!("bad-{n}-{member}").into();
        key
    };
    let keys = json!({ "keys": [
        with(0, "use", "enc".into()),
        with(0, "key_ops", json!(["sign"])),
        with(0, "alg", "ES256".into()),
        with(0, "alg", "HS256".into()),
        with(0, "crv", "X25519".into()),
        with(0, "d", "c2VjcmV0".into()),
        with(1, "crv", "P-384".into()),
        with(1, "alg", "ES384".into()),
        with(2, "alg", "PS256".into()),
        with(2, "alg", "EdDSA".into()),
        with(2, "n", "AQAB".into()),
        { "kty": "oct", "kid": "oct", "alg": "HS256", "k": "c2VjcmV0" },
        { "kty": "OKP", "crv": "Ed25519", "x": good[0]["x"] },
        good[1], good[2], good[2], good[0], 7,
    ] });
    let accepted = super::testing::auth("-").algorithms;
    let set = jwks::KeySet::parse(keys.to_string().as_bytes(), &accepted).unwrap();
    assert_eq!(set.len(), 2, "{set:?}");
    assert!(set.get("ed").is_some() && set.get("ec").is_some() && set.get("rsa").is_none(), "a kid twice is no key");
}

#[tokio::test]
async fn refusals_are_counted_by_reason() {
    let verifier = verifier().await;
    assert_eq!(verifier.authenticate([]).await, Err(Refusal::Missing));
    assert!(verifier.metrics.encode().contains(r#"numbering_auth_refusals_total{reason="missing"} 1"#));
}
