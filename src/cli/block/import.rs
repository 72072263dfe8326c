//! `numbering block import`: a signed block to the service over REST, streamed, with a progress bar.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::digest;
use futures_util::{Stream, stream};
use indicatif::{ProgressBar, ProgressStyle};
use numbering_domain::{OperatorId, SigningKeyId};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, StatusCode};
use serde_json::Value;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::sign;
use crate::cli::signing_key::SigningKey;
use crate::cli::{print_out, read};
use crate::devstack::Advised;
use crate::operations::signature::FileSha256;

/// How much of the file is read, and sent, at once, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;
/// How long the service may take to accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What `block import` can be told.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The operator that the block comes from
    #[arg(long, value_name = "OPERATOR", value_parser = OperatorId::parse)]
    operator: OperatorId,
    #[command(flatten)]
    proof: Proof,
    /// The id of the operator's key; any of its valid keys where absent
    #[arg(long, value_name = "ID", value_parser = SigningKeyId::parse)]
    key_id: Option<SigningKeyId>,
    /// Only say what the import would do
    #[arg(long)]
    dry_run: bool,
    /// Where the service is (of several, separated by commas, the first)
    #[arg(long, value_name = "URL", env = "NUMBERING_HTTP_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A token with the permission numbering.admin
    #[arg(long, value_name = "TOKEN", env = "ADMIN_TOKEN", hide_env_values = true)]
    token: String,
    /// The block's file
    #[arg(value_name = "CSV")]
    csv: PathBuf,
}

/// That the operator vouches for the file.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Proof {
    /// The signature that came with the file, base64
    #[arg(long, value_name = "BASE64")]
    signature: Option<String>,
    /// The operator's private key to sign with now (PKCS #8 PEM)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let signature = match (&args.proof.signature, &args.proof.key) {
        (Some(signature), _) => signature.clone(),
        (None, Some(key)) => signed(args, key).await?,
        (None, None) => anyhow::bail!("neither a signature nor a key was given"),
    };
    let answer = send(args, signature).await?;
    eprintln!("{}", told(&answer));
    print_out(&format!("{answer:#}\n"))
}

async fn signed(args: &Args, key: &Path) -> anyhow::Result<String> {
    let key = SigningKey::from_pem(&String::from_utf8_lossy(&read(key)?))?;
    let mut file = open(&args.csv).await?;
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk).await.with_context(|| format!("cannot read {}", args.csv.display()))? {
            0 => break,
            length => hash.update(&chunk[..length]),
        }
    }
    let mut sha256 = FileSha256([0; 32]);
    sha256.0.copy_from_slice(hash.finish().as_ref());
    sign::signature_of(&key, &args.operator, sha256)
}

async fn open(csv: &Path) -> anyhow::Result<File> {
    File::open(csv).await.with_context(|| format!("cannot read {}", csv.display()))
}

/// Sends the form; the answer of an import that was made, or would be.
async fn send(args: &Args, signature: String) -> anyhow::Result<Value> {
    let file = open(&args.csv).await?;
    let length = file.metadata().await.with_context(|| format!("cannot read {}", args.csv.display()))?.len();
    let progress = progress(length)?;
    let content = Body::wrap_stream(chunks(file, progress.clone()));
    let mut form = Form::new().text("operatorId", args.operator.to_string()).text("signature", signature);
    if let Some(key) = &args.key_id {
        form = form.text("keyId", key.to_string());
    }
    let form =
        form.part("csvFile", Part::stream_with_length(content, length).file_name("block.csv").mime_str("text/csv")?);
    let base = args.url.split(',').next().unwrap_or_default().trim_end_matches('/');
    let url = format!("{base}/v1/admin/numbering/blocks/import?dryRun={}", args.dry_run);
    let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).build()?;
    let answer = client.post(&url).bearer_auth(&args.token).multipart(form).send().await;
    progress.finish_and_clear();
    let answer = answer.map_err(|error| {
        let hint = "is the service running? --url, or NUMBERING_HTTP_URL, says where";
        anyhow::Error::new(error.without_url()).context(Advised::new(format!("{base} does not answer"), hint))
    })?;
    let status = answer.status();
    let text = answer.text().await.context("the service's answer broke off")?;
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    if status == StatusCode::OK { Ok(body) } else { Err(refused(status, &body)) }
}

fn progress(length: u64) -> anyhow::Result<ProgressBar> {
    let style = "{msg} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} to go";
    let bar = ProgressBar::new(length).with_style(ProgressStyle::with_template(style)?.progress_chars("=> "));
    bar.set_message("sending");
    Ok(bar)
}

/// The file's bytes, counted as they are taken; after the last the service is at work.
fn chunks(file: File, progress: ProgressBar) -> impl Stream<Item = std::io::Result<Vec<u8>>> + Send {
    stream::unfold((file, progress), async |(mut file, progress)| {
        let mut chunk = vec![0; CHUNK_BYTES];
        match file.read(&mut chunk).await {
            Ok(0) => {
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                    progress.set_style(style);
                }
                progress.set_message("the service is importing");
                progress.enable_steady_tick(Duration::from_millis(100));
                None
            }
            Ok(length) => {
                chunk.truncate(length);
                progress.inc(length as u64);
                Some((Ok(chunk), (file, progress)))
            }
            Err(error) => Some((Err(error), (file, progress))),
        }
    })
}

/// One line of what came of it.
fn told(answer: &Value) -> String {
    let count = |member: &str| answer[member].as_i64().unwrap_or_default();
    let counts =
        format!("{} inserted, {} duplicates, {} invalid", count("inserted"), count("duplicates"), count("invalid"));
    match answer["blockId"].as_str() {
        Some(block) if count("invalid") > 0 => {
            format!("block {block}: {counts}; the invalid rows are at /v1/admin/numbering/blocks/{block}/rejects")
        }
        Some(block) => format!("block {block}: {counts}"),
        None => format!("would be {counts}"),
    }
}

/// A problem in plain words, with what to do about it where that is known.
fn refused(status: StatusCode, problem: &Value) -> anyhow::Error {
    let code = problem["code"].as_str().unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("no detail");
    let line = problem["line"].as_u64().map_or_else(String::new, |line| format!("line {line}: "));
    let what = format!("the service refused the import ({} {code}): {line}{detail}", status.as_u16());
    let hint = match code {
        "SIGNATURE_INVALID" => {
            "sign this very file for this very operator, with a key that the service knows and that is valid now"
        }
        "UNKNOWN_OPERATOR" => "PUT /v1/admin/numbering/operators/{operatorId} makes an operator",
        "UNAUTHENTICATED" | "FORBIDDEN" => {
            "give a token with --token or ADMIN_TOKEN; for a development installation `numbering token --sub ops \
             --permission numbering.admin` makes one"
        }
        "CSV_INVALID" => "the file is UTF-8 CSV with a header: msisdn, and where wanted validFrom, vanity, priceTier",
        "UNAVAILABLE" => {
            "try again: an import comes in whole or not at all, and what is in already counts as duplicate"
        }
        _ => return anyhow::Error::msg(what),
    };
    Advised::new(what, hint).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_came_of_it_is_one_line() {
        let mut answer = json!({ "blockId": "b-1", "inserted": 2, "duplicates": 1, "invalid": 0 });
        assert_eq!(told(&answer), "block b-1: 2 inserted, 1 duplicates, 0 invalid");
        answer["blockId"] = Value::Null;
        assert_eq!(told(&answer), "would be 2 inserted, 1 duplicates, 0 invalid");
    }

    #[test]
    fn a_refusal_says_where_and_what_to_do() {
        let problem = json!({ "code": "CSV_INVALID", "detail": "not UTF-8", "line": 7 });
        let error = refused(StatusCode::UNPROCESSABLE_ENTITY, &problem);
        assert_eq!(error.to_string(), "the service refused the import (422 CSV_INVALID): line 7: not UTF-8");
        assert!(error.downcast_ref::<Advised>().is_some());
    }
}
