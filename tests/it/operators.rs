//! Operators, their prefixes and their keys.

use reqwest::Method;
use serde_json::json;

use crate::support::TestApp;
use crate::support::blocks::Signer;

const AWCC: &str = "/v1/admin/numbering/operators/awcc";

#[tokio::test]
async fn an_operator_is_made_read_and_changed() {
    let app = TestApp::start().await;
    let admin = app.admin();
    admin.get(AWCC).await.problem(404, "NOT_FOUND");
    let made = admin.put(AWCC, &json!({ "name": "AWCC", "prefixes": ["+9371", "+9370"] })).await.expect(200);
    let expected = json!({ "operatorId": "awcc", "name": "AWCC", "prefixes": ["+9370", "+9371"], "keys": [] });
    assert_eq!((&made, admin.get(AWCC).await.expect(200)), (&expected, expected.clone()));
    let changed = admin.put(AWCC, &json!({ "name": "Afghan Wireless", "prefixes": ["+93701"] })).await.expect(200);
    assert_eq!((&changed["name"], &changed["prefixes"]), (&json!("Afghan Wireless"), &json!(["+93701"])));
    let audit = app.compliance().get("/v1/admin/numbering/audit?type=numbering.operator.updated").await.expect(200);
    assert_eq!(audit["items"].as_array().unwrap().len(), 2);
    app.stop().await;
}

#[tokio::test]
async fn an_operator_s_faults_are_named_one_by_one() {
    let app = TestApp::start().await;
    let admin = app.admin();
    admin
        .put("/v1/admin/numbering/operators/roshan", &json!({ "name": "Roshan", "prefixes": ["+9372"] }))
        .await
        .expect(200);
    for (body, pointer) in [
        (json!({ "name": "", "prefixes": [] }), "/name"),
        (json!({ "name": "A", "prefixes": ["+9370", "9371"] }), "/prefixes/1"),
        (json!({ "name": "A", "prefixes": ["+4470"] }), "/prefixes/0"),
        (json!({ "name": "A", "prefixes": ["+937012345678"] }), "/prefixes/0"),
        (json!({ "name": "A", "prefixes": ["+93۷"] }), "/prefixes/0"),
        (json!({ "name": "A", "prefixes": ["+9370", "+9370"] }), "/prefixes/1"),
        (json!({ "name": "A", "prefixes": ["+9370", "+9372"] }), "/prefixes/1"),
        (json!({ "name": "A" }), "/prefixes"),
        (json!({ "name": "A", "prefixes": [], "colour": "red" }), "/colour"),
    ] {
        let problem = admin.put(AWCC, &body).await.problem(422, "VALIDATION_FAILED");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    admin.get(AWCC).await.problem(404, "NOT_FOUND");
    app.tenant("tenant-a").get(AWCC).await.problem(403, "FORBIDDEN");
    app.stop().await;
}

#[tokio::test]
async fn a_key_is_added_once_and_revoked_for_good() {
    let app = TestApp::start().await;
    let admin = app.admin();
    app.operator("awcc", &["+9370"]).await;
    let keys = format!("{AWCC}/keys");
    let pem = Signer::new().public_pem();
    let key =
        json!({ "keyId": "second", "publicKey": pem, "validFrom": "2026-01-01", "validUntil": "2099-01-01T00:00:00Z" });
    let added = admin.post(&keys, &key).await.expect(201);
    assert_eq!((&added["algorithm"], &added["validFrom"]), (&json!("ED25519"), &json!("2026-01-01T00:00:00Z")));
    assert_eq!(admin.post(&keys, &key).await.expect(201), added, "the same again changes nothing");
    let replayed = [("idempotency-key", "k-1")];
    let first = admin.send(Method::POST, &keys, Some(&key), &replayed).await.expect(201);
    let again = admin.send(Method::POST, &keys, Some(&key), &replayed).await;
    assert_eq!((again.expect(201), again.headers["idempotent-replayed"].to_str().unwrap()), (first, "true"));

    let other = Signer::new().public_pem();
    for (body, pointer) in [
        (json!({ "keyId": "second", "publicKey": other }), "/keyId"),
        (json!({ "keyId": "a b", "publicKey": other }), "/keyId"),
        (json!({ "keyId": "third", "publicKey": "not a key" }), "/publicKey"),
        (json!({ "keyId": "third", "algorithm": "RSA_PSS", "publicKey": other }), "/publicKey"),
        (json!({ "keyId": "third", "algorithm": "HS256", "publicKey": other }), "/algorithm"),
        (json!({ "keyId": "third", "publicKey": other, "validFrom": "soon" }), "/validFrom"),
        (json!({ "keyId": "third", "publicKey": other, "validUntil": "2020-01-01" }), "/validUntil"),
        (
            json!({ "keyId": "third", "publicKey": other, "validFrom": "2030-01-01", "validUntil": "2030-01-01" }),
            "/validUntil",
        ),
    ] {
        let problem = admin.post(&keys, &body).await.problem(422, "VALIDATION_FAILED");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    admin.post("/v1/admin/numbering/operators/nobody/keys", &key).await.problem(404, "NOT_FOUND");

    let second = format!("{keys}/second");
    for _ in 0..2 {
        assert_eq!(admin.send(Method::DELETE, &second, None, &[]).await.status.as_u16(), 204);
    }
    let shown = admin.get(AWCC).await.expect(200)["keys"][1].clone();
    assert!(shown["keyId"] == "second" && shown["revokedAt"].is_string(), "{shown}");
    admin.post(&keys, &key).await.problem(422, "VALIDATION_FAILED");
    admin.send(Method::DELETE, &format!("{keys}/nothing"), None, &[]).await.problem(404, "NOT_FOUND");
    for (entry, count) in [("key_added", 2), ("key_revoked", 1)] {
        let path = format!("/v1/admin/numbering/audit?type=numbering.operator.{entry}");
        let audit = app.compliance().get(&path).await.expect(200);
        assert_eq!(audit["items"].as_array().unwrap().len(), count, "{entry}");
    }
    app.stop().await;
}
