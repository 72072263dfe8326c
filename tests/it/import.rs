//! US-NUM-001: a signed block of an operator's comes into the inventory.

use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::blocks::{IMPORT, Signer, csv, form, numbers};

#[tokio::test]
async fn a_signed_block_comes_in_and_is_counted_published_and_audited() {
    let app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370", "+9371"]).await;
    let admin = app.admin();
    let file = "msisdn,vanity,priceTier\r\n+93700000001,true,gold\r\n+93700000002,,\r\n+93700000001,,\r\nbad,,\r\n";
    let imported = admin.import(signer.form("awcc", file)).await.expect(200);
    for (member, value) in [
        ("inserted", json!(2)),
        ("duplicates", json!(1)),
        ("invalid", json!(1)),
        ("operatorId", json!("awcc")),
        ("keyId", json!("first")),
    ] {
        assert_eq!(imported[member], value, "{member} in {imported}");
    }
    let block = imported["blockId"].as_str().unwrap();

    let number = admin.get("/v1/numbers/+93700000001").await.expect(200);
    for (member, value) in [
        ("state", json!("AVAILABLE")),
        ("blockId", json!(block)),
        ("operatorId", json!("awcc")),
        ("vanityEligible", json!(true)),
        ("priceTier", json!("gold")),
        ("version", json!(0)),
    ] {
        assert_eq!(number[member], value, "{member} in {number}");
    }

    let event = &app.events(1).await[0];
    assert_eq!(event.subject, "numbering.block.imported");
    assert_eq!(event.event["subject"], block);
    assert_eq!(event.event["data"]["count"], 2);
    assert_eq!(event.event["data"]["operatorId"], "awcc");

    let audit = app.compliance().get("/v1/admin/numbering/audit?type=numbering.block.imported").await.expect(200);
    assert_eq!(audit["items"][0]["subject"], block);
    assert_eq!(audit["items"][0]["actor"], "ops");

    let listed = admin.get("/v1/admin/numbering/blocks").await.expect(200);
    assert_eq!(listed["items"][0]["blockId"], block);
    let read = admin.get(&format!("/v1/admin/numbering/blocks/{block}")).await.expect(200);
    assert_eq!((&read["inserted"], &read["importedBy"]), (&json!(2), &json!("ops")));
    app.stop().await;
}

#[tokio::test]
async fn the_same_file_again_is_all_duplicates() {
    let app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370"]).await;
    let admin = app.admin();
    let file = numbers(1_000);
    let counts =
        |answer: &Value| [&answer["inserted"], &answer["duplicates"], &answer["invalid"]].map(|n| n.as_i64().unwrap());
    let first = admin.import(signer.form("awcc", &file)).await.expect(200);
    let again = admin.import(signer.form("awcc", &file)).await.expect(200);
    assert_eq!((counts(&first), counts(&again)), ([1_000, 0, 0], [0, 1_000, 0]));
    assert_ne!(first["blockId"], again["blockId"]);
    app.stop().await;
}

#[tokio::test]
async fn each_reject_is_kept_with_its_line_value_and_reason() {
    let app = TestApp::start().await;
    let signer = app.operator("afghan_telecom", &["+93744"]).await;
    app.operator("etisalat", &["+9374"]).await;
    let admin = app.admin();
    let file = "msisdn,validFrom,vanity,priceTier\n\
        +93744000001,,,\n\
        +93745000001,,,\n\
        +93700000001,,,\n\
        0744000001,,,\n\
        +93744000002,soon,,\n\
        \n\
        +93744000003,,yes,\n\
        +93744000004,,,bronze\n\
        =1+1,,,\n";
    let expected = [
        (3, "+93745000001", "WRONG_OPERATOR"),
        (4, "+93700000001", "WRONG_OPERATOR"),
        (5, "0744000001", "INVALID_IDENTIFIER"),
        (6, "soon", "INVALID_VALID_FROM"),
        (8, "yes", "INVALID_VANITY"),
        (9, "bronze", "UNKNOWN_PRICE_TIER"),
        (10, "=1+1", "INVALID_IDENTIFIER"),
    ];
    let rejects: Vec<Value> =
        expected.iter().map(|(line, value, why)| json!({ "line": line, "value": value, "reason": why })).collect();

    let dry =
        admin.upload(&format!("{IMPORT}?dryRun=true"), signer.form("afghan_telecom", file), &[]).await.expect(200);
    assert_eq!(
        (&dry["blockId"], &dry["inserted"], &dry["invalid"], &dry["dryRun"]),
        (&Value::Null, &json!(1), &json!(7), &json!(true))
    );
    assert_eq!(dry["rejects"], json!(rejects));
    assert_eq!(
        admin.get("/v1/admin/numbering/blocks").await.expect(200)["items"],
        json!([]),
        "a dry run leaves nothing"
    );
    admin.get("/v1/numbers/+93744000001").await.problem(404, "NOT_REGISTERED");

    let imported = admin.import(signer.form("afghan_telecom", file)).await.expect(200);
    assert_eq!((&imported["inserted"], &imported["invalid"]), (&json!(1), &json!(7)));
    let path = format!("/v1/admin/numbering/blocks/{}/rejects", imported["blockId"].as_str().unwrap());
    assert_eq!(admin.get(&path).await.expect(200), json!({ "items": rejects, "nextPage": null }));
    let first = admin.get(&format!("{path}?limit=5")).await.expect(200);
    let cursor = first["nextPage"].as_str().unwrap();
    let second = admin.get(&format!("{path}?limit=5&page={cursor}")).await.expect(200);
    assert_eq!(second, json!({ "items": &rejects[5..], "nextPage": null }));

    let csv = admin.send(reqwest::Method::GET, &path, None, &[("accept", "text/csv")]).await;
    assert!(csv.headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    assert!(csv.text.starts_with("line,value,reason\n3,'+93745000001,WRONG_OPERATOR\n"), "{}", csv.text);
    assert!(csv.text.ends_with("10,'=1+1,INVALID_IDENTIFIER\n"), "{}", csv.text);
    app.stop().await;
}

#[tokio::test]
async fn a_number_of_a_future_valid_from_is_not_available_before_that_date() {
    let app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370"]).await;
    let file = "msisdn,validFrom\n+93700000001,2100-01-01\n+93700000002,2020-01-01\n+93700000003,\n";
    app.admin().import(signer.form("awcc", file)).await.expect(200);
    let number = app.admin().get("/v1/numbers/+93700000001").await.expect(200);
    assert_eq!(number["validFrom"], "2100-01-01T00:00:00Z");
    let tenant = app.tenant("tenant-a");
    let available = tenant.get("/v1/numbers/available?identifierClass=MSISDN").await.expect(200);
    let shown: Vec<&str> =
        available["items"].as_array().unwrap().iter().map(|item| item["identifier"].as_str().unwrap()).collect();
    assert_eq!(shown, ["+93700000002", "+93700000003"]);
    tenant.act("+93700000001", "reserve").await.problem(409, "NOT_AVAILABLE");
    tenant.act("+93700000002", "reserve").await.expect(200);
    app.stop().await;
}

/// A form that names the key.
fn with_key(signer: &Signer, operator: &str, key: &str, file: &str) -> Form {
    signer.form(operator, file).text("keyId", key.to_owned())
}

#[tokio::test]
async fn an_invalid_signature_is_422_audited_and_published_and_nothing_comes_in() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let awcc = app.operator("awcc", &["+9370"]).await;
    let roshan = app.operator("roshan", &["+9372"]).await;
    let keys = "/v1/admin/numbering/operators/awcc/keys";
    let [revoked, future, past] = [Signer::new(), Signer::new(), Signer::new()];
    for (id, signer, from, until) in [
        ("revoked", &revoked, "2020-01-01", None),
        ("future", &future, "2100-01-01", None),
        ("past", &past, "2020-01-01", Some("2021-01-01")),
    ] {
        let mut key =
            json!({ "keyId": id, "algorithm": "ED25519", "publicKey": signer.public_pem(), "validFrom": from });
        if let Some(until) = until {
            key["validUntil"] = json!(until);
        }
        admin.post(keys, &key).await.expect(201);
    }
    let gone = admin.send(reqwest::Method::DELETE, &format!("{keys}/revoked"), None, &[]).await;
    assert_eq!(gone.status.as_u16(), 204);

    let file = numbers(3);
    let good = awcc.sign("awcc", file.as_bytes());
    let forgeries = [
        ("another operator's key", roshan.form("awcc", &file)),
        ("signed for another operator", form("awcc", &awcc.sign("roshan", file.as_bytes()), &file)),
        ("an altered file", form("awcc", &good, &numbers(4))),
        ("a revoked key", revoked.form("awcc", &file)),
        ("a revoked key, named", with_key(&revoked, "awcc", "revoked", &file)),
        ("a key not yet valid", future.form("awcc", &file)),
        ("a key not yet valid, named", with_key(&future, "awcc", "future", &file)),
        ("a key no longer valid", past.form("awcc", &file)),
        ("another key named", with_key(&awcc, "awcc", "past", &file)),
        ("an unknown key named", with_key(&awcc, "awcc", "second", &file)),
        ("no signature", form("awcc", "", &file)),
        ("no base64", form("awcc", "!!!", &file)),
        ("a truncated signature", form("awcc", &good[..40], &file)),
        ("no CSV at all, and no valid signature", form("awcc", &good, "\u{1}")),
    ];
    let count = forgeries.len();
    for (why, forged) in forgeries {
        let problem = admin.import(forged).await;
        assert_eq!(problem.problem(422, "SIGNATURE_INVALID")["operatorId"], "awcc", "{why}");
    }
    let dry = admin.upload(&format!("{IMPORT}?dryRun=true"), roshan.form("awcc", &file), &[]).await;
    dry.problem(422, "SIGNATURE_INVALID");

    admin.get("/v1/numbers/+93700000000").await.problem(404, "NOT_REGISTERED");
    let path = "/v1/admin/numbering/audit?type=numbering.block.import_rejected&limit=200";
    let audit = app.compliance().get(path).await.expect(200);
    let entries = audit["items"].as_array().unwrap();
    assert_eq!(entries.len(), count + 1);
    assert!(entries.iter().all(|entry| entry["subject"] == "awcc" && entry["data"]["reason"] == "SIGNATURE_INVALID"));
    let events = app.events(count + 1).await;
    assert!(events.iter().all(|event| event.subject == "numbering.block.import_rejected"));

    // The same file, well signed, named or not.
    admin.import(with_key(&awcc, "awcc", "first", &file)).await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn what_is_no_import_file_is_422_with_its_line_and_nothing_comes_in() {
    let app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370"]).await;
    let admin = app.admin();
    let late = format!("{}+93701000000,\n", numbers(5_000));
    for (file, line) in [
        ("", 1),
        ("msisdn,colour\n", 1),
        ("validFrom\n2026-01-01\n", 1),
        ("msisdn\n+93700000001\n\"+93700000002\n", 3),
        ("msisdn,vanity\n+93700000001,true\n+93700000002\n", 3),
        (late.as_str(), 5_002),
    ] {
        let problem = admin.import(signer.form("awcc", file)).await.problem(422, "CSV_INVALID");
        assert_eq!(problem["line"], line, "{problem}");
    }
    let endless = format!("msisdn\n{}\n", "7".repeat(100_000));
    assert_eq!(admin.import(signer.form("awcc", &endless)).await.problem(422, "CSV_INVALID")["line"], 2);
    let count: i64 =
        app.superuser().await.query_one("SELECT count(*) FROM numbering.numbers", &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
    app.stop().await;
}

#[tokio::test]
async fn a_form_that_is_not_an_import_s_is_refused_with_what_is_wrong() {
    let app = TestApp::start_with(&[("NUMBERING_IMPORT__MAX_FILE_BYTES", "1000")]).await;
    let signer = app.operator("awcc", &["+9370"]).await;
    let admin = app.admin();
    let file = "msisdn\n+93700000001\n";
    let signature = signer.sign("awcc", file.as_bytes());
    for (wrong, pointer) in [
        (Form::new().text("signature", signature.clone()).part("csvFile", csv(file)), "/operatorId"),
        (Form::new().text("operatorId", "awcc").part("csvFile", csv(file)), "/signature"),
        (Form::new().text("operatorId", "awcc").text("signature", signature.clone()), "/csvFile"),
        (signer.form("awcc", file).text("operatorId", "awcc"), "/operatorId"),
        (signer.form("awcc", file).part("csvFile", csv(file)), "/csvFile"),
        (signer.form("awcc", file).text("colour", "red"), "/colour"),
        (signer.form("a/b", file), "/operatorId"),
        (signer.form("awcc", file).text("keyId", "a b"), "/keyId"),
        (signer.form("awcc", file).text("keyId", "k".repeat(10_000)), "/keyId"),
    ] {
        let problem = admin.import(wrong).await.problem(422, "VALIDATION_FAILED");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    admin.import(signer.form("nobody", file)).await.problem(422, "UNKNOWN_OPERATOR");
    admin.import(signer.form("awcc", &numbers(500))).await.problem(413, "PAYLOAD_TOO_LARGE");
    let encoded = admin.upload(IMPORT, signer.form("awcc", file), &[("content-encoding", "gzip")]).await;
    encoded.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    admin.post(IMPORT, &json!({})).await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    let endless = format!("--x\r\nContent-Disposition: form-data; name=\"{}", "n".repeat(4 * 1024 * 1024));
    let headers = [("content-type", "multipart/form-data; boundary=x")];
    let answer = app.admin().raw(IMPORT, endless, &headers).await;
    assert!(answer.status.is_client_error(), "{}", answer.text);
    app.tenant("tenant-a").import(signer.form("awcc", file)).await.problem(403, "FORBIDDEN");
    // Any order of the fields.
    let reversed = Form::new().part("csvFile", csv(file)).text("signature", signature).text("operatorId", "awcc");
    admin.import(reversed).await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn an_idempotency_key_replays_the_import() {
    let app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370"]).await;
    let admin = app.admin();
    let key = [("idempotency-key", "block-1")];
    let first = admin.upload(IMPORT, signer.form("awcc", &numbers(10)), &key).await;
    let again = admin.upload(IMPORT, signer.form("awcc", &numbers(10)), &key).await;
    assert_eq!(first.expect(200), again.expect(200));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.json()["inserted"], 10);
    admin.upload(IMPORT, signer.form("awcc", &numbers(11)), &key).await.problem(422, "IDEMPOTENCY_KEY_REUSED");
    let dry = format!("{IMPORT}?dryRun=true");
    admin.upload(&dry, signer.form("awcc", &numbers(10)), &key).await.problem(422, "IDEMPOTENCY_KEY_REUSED");
    let key = [("idempotency-key", "dry-1")];
    let first = admin.upload(&dry, signer.form("awcc", &numbers(20)), &key).await.expect(200);
    assert_eq!((&first["inserted"], &first["duplicates"]), (&json!(10), &json!(10)));
    let again = admin.upload(&dry, signer.form("awcc", &numbers(20)), &key).await;
    assert_eq!((again.expect(200), again.headers["idempotent-replayed"].to_str().unwrap()), (first, "true"));
    let blocks = admin.get("/v1/admin/numbering/blocks").await.expect(200);
    assert_eq!(blocks["items"].as_array().unwrap().len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn imports_of_the_same_numbers_at_once_neither_deadlock_nor_double() {
    let app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370"]).await;
    let file = numbers(20_000);
    let (header, rows) = file.split_once('\n').unwrap();
    let mut backwards: Vec<&str> = rows.lines().collect();
    backwards.reverse();
    let backwards = format!("{header}\n{}\n", backwards.join("\n"));
    let client = app.admin();
    let (one, two, three) = tokio::join!(
        client.import(signer.form("awcc", &file)),
        client.import(signer.form("awcc", &backwards)),
        client.import(signer.form("awcc", &file)),
    );
    let answers = [one.expect(200), two.expect(200), three.expect(200)];
    let sum = |member: &str| answers.iter().map(|answer| answer[member].as_i64().unwrap()).sum::<i64>();
    assert_eq!((sum("inserted"), sum("duplicates")), (20_000, 40_000));
    app.stop().await;
}
