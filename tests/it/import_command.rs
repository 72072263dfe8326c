//! `numbering block sign` and `numbering block import`, as an operator and the desk use them.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::blocks::numbers;

fn numbering(app: &TestApp, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_numbering"))
        .args(arguments)
        .env("NUMBERING_HTTP_URL", format!("http://{}", app.http))
        .env("ADMIN_TOKEN", app.issuer.token("ops", None, &["numbering.admin"]))
        .output()
        .unwrap()
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_signed_and_imported_from_the_command_line() {
    let app = TestApp::start().await;
    app.operator("awcc", &["+9370"]).await;
    let directory = tempfile::tempdir().unwrap();
    let (key, file) = (directory.path().join("awcc.pem"), directory.path().join("block.csv"));
    std::fs::write(&file, numbers(1_000)).unwrap();
    printed(&numbering(&app, &["keys", "generate", "--algorithm", "p256", "--out", text(&key)]));
    let public = std::fs::read_to_string(directory.path().join("awcc.pem.pub")).unwrap();
    let added = json!({ "keyId": "p256", "algorithm": "ECDSA_P256", "publicKey": public });
    app.admin().post("/v1/admin/numbering/operators/awcc/keys", &added).await.expect(201);

    let signature =
        printed(&numbering(&app, &["block", "sign", "--operator", "awcc", "--key", text(&key), text(&file)]));
    let import = ["block", "import", "--operator", "awcc"];
    let dry = [&import[..], &["--signature", signature.trim(), "--dry-run", text(&file)]].concat();
    let answer: Value = serde_json::from_str(&printed(&numbering(&app, &dry))).unwrap();
    assert_eq!((&answer["inserted"], &answer["dryRun"]), (&json!(1_000), &json!(true)));
    let signed_now = [&import[..], &["--key", text(&key), "--key-id", "p256", text(&file)]].concat();
    let output = numbering(&app, &signed_now);
    let answer: Value = serde_json::from_str(&printed(&output)).unwrap();
    assert_eq!((&answer["inserted"], &answer["keyId"]), (&json!(1_000), &json!("p256")));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1000 inserted, 0 duplicates, 0 invalid"));

    std::fs::write(&file, numbers(1_001)).unwrap();
    let refused = numbering(&app, &[&import[..], &["--signature", signature.trim(), text(&file)]].concat());
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("SIGNATURE_INVALID") && told.contains("hint: "), "{told}");
    app.stop().await;
}
