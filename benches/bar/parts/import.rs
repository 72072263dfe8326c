//! An operator's signed file over REST (US-NUM-001), beside `psql` that copies it and inserts it, unchecked.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use numbering::operations::signature::{FileSha256, signed_message};
use numbering_domain::OperatorId;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::figures::{Figure, Quantity, median};
use crate::load::as_f64;
use crate::process::{forget_peak, memory_bytes, until_calm};
use crate::rest::Rest;
use crate::seed;
use crate::stand::{Site, Stand};
use crate::tools::psql;

/// Rows of the file.
const ROWS: u64 = 1_000_000;
const OPERATOR: &str = "awcc";
const MEBIBYTE: f64 = 1_048_576.0;

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let rows = ROWS / stand.sizes.divisor;
    let file = stand.directory.join("block.csv");
    let mut text = String::from("msisdn\n");
    for row in 0..rows {
        writeln!(text, "+93{}", seed::INVENTORY_FROM + row)?;
    }
    fs::write(&file, &text)?;
    let (mut service, mut copied, mut grown) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..stand.sizes.rounds.min(2) {
        let imported = by_rest(stand, &text, rows).await?;
        service.push(as_f64(rows) / imported.seconds);
        grown.push(imported.grown_bytes);
        copied.push(as_f64(rows) / by_psql(&stand.site().await?, &file).await?);
    }
    let (service, copied) = (Quantity::per_second(median(service)), Quantity::per_second(median(copied)));
    let grown = Quantity::bytes(grown.into_iter().fold(0.0, f64::max));
    Ok(vec![
        Figure::told("rows", service).beside(copied, "psql").times_at_least(0.8),
        Figure::at_most("memory above idle", grown, Quantity::bytes(256.0 * MEBIBYTE)),
    ])
}

struct Imported {
    seconds: f64,
    grown_bytes: f64,
}

/// The whole import into a fresh inventory, from the request's first byte to the answer.
async fn by_rest(stand: &mut Stand, text: &str, rows: u64) -> anyhow::Result<Imported> {
    let site = stand.site().await?;
    let replica = stand.replica(&site, &[]).await?;
    let token = stand.issuer.admin()?;
    let key = operator(&mut Rest::connect(replica.http, &token).await?).await?;
    let mut sha256 = FileSha256([0; 32]);
    sha256.0.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    let signature = STANDARD.encode(key.sign(signed_message(&OperatorId::parse(OPERATOR)?, sha256).as_bytes()));
    let csv = Part::bytes(text.as_bytes().to_vec()).file_name("block.csv").mime_str("text/csv")?;
    let form = Form::new().text("operatorId", OPERATOR).text("signature", signature).part("csvFile", csv);
    let url = format!("http://{}/v1/admin/numbering/blocks/import", replica.http);

    until_calm(replica.pid()?, Duration::from_secs(10)).await?;
    site.superuser().await?.batch_execute("CHECKPOINT").await?;
    let (idle, _) = memory_bytes(replica.pid()?)?;
    forget_peak(replica.pid()?)?;
    let began = Instant::now();
    let answer = reqwest::Client::new().post(url).bearer_auth(token).multipart(form).send().await?;
    let (status, body) = (answer.status(), answer.text().await?);
    let seconds = began.elapsed().as_secs_f64();
    anyhow::ensure!(status.is_success(), "the import answered {status}: {body}");
    let summary: Value = serde_json::from_str(&body)?;
    anyhow::ensure!(summary["inserted"] == rows, "not all rows were inserted: {summary}");
    let (_, peak) = memory_bytes(replica.pid()?)?;
    replica.stop().await;
    Ok(Imported { seconds, grown_bytes: peak - idle })
}

/// Makes the operator known, with a key that it signs with.
async fn operator(admin: &mut Rest) -> anyhow::Result<Ed25519KeyPair> {
    let key = Ed25519KeyPair::generate().context("no key for the operator can be made")?;
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().context("the operator's key cannot be encoded")?;
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()));
    let path = format!("/v1/admin/numbering/operators/{OPERATOR}");
    admin.give(Method::PUT, &path, &json!({ "name": "AWCC", "prefixes": ["+9370", "+9371"] })).await?;
    let known = json!({ "keyId": "bench", "algorithm": "ED25519", "publicKey": pem });
    admin.give(Method::POST, &format!("{path}/keys"), &known).await?;
    Ok(key)
}

/// The same rows into the same table with the same indexes, as one would by hand. In seconds.
async fn by_psql(site: &Site, file: &Path) -> anyhow::Result<f64> {
    site.superuser().await?.batch_execute("CHECKPOINT").await?;
    let commands = [
        "CREATE TEMPORARY TABLE staging (msisdn text)".to_owned(),
        format!("\\copy staging FROM '{}' WITH (FORMAT csv, HEADER true)", file.display()),
        include_str!("import.sql").to_owned(),
    ];
    let began = Instant::now();
    psql(site.superuser_url(), &commands).await?;
    Ok(began.elapsed().as_secs_f64())
}
