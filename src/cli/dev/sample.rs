//! The sample data of a development installation, brought in the way anybody would: over REST, blocks signed.
//!
//! It is loaded once, on the first start. A first start that was cut short is taken up again, so every step may find its
//! work done already.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::identity::{Claims, Issuer};
use super::operators::{self, Operator};
use crate::auth::Permission;
use crate::cli::block::sign::signature;
use crate::cli::keys;
use crate::cli::signing_key::{KeyAlgorithm, SigningKey};
use crate::config::Period;
use crate::devstack::{files, secrets};

/// The numbers of one operator's block.
const BLOCK_SIZE: usize = 1_000;

/// The id of the key that the sample blocks are signed with.
const KEY_ID: &str = "dev-1";

/// The tenants, each with its plan.
const TENANTS: [(&str, &str); 3] = [("tenant-a", "premium"), ("tenant-b", "starter"), ("tenant-c", "business")];

/// Loads the sample data into the service at `url`, unless an earlier start did.
pub(super) async fn load(directory: &Path, url: &str, issuer: &Issuer) -> anyhow::Result<()> {
    let marker = directory.join("sample-data-is-loaded");
    if marker.exists() {
        return Ok(());
    }
    eprintln!("loading the sample data");
    let permissions = [Permission::NumberingAdmin.as_str()];
    let claims = Claims { sub: "dev-sample-data", tenant: None, permissions: &permissions };
    let token = issuer.token(&claims, Period::from_mins(10))?;
    let service = Service { client: Client::new(), url: url.to_owned(), token };
    for operator in operators::afghan()? {
        let load = load_operator(&service, directory, &operator).await;
        load.with_context(|| format!("the sample data of {} could not be loaded", operator.name))?;
    }
    let added = service.post("inventory", &inventory()).await.context("the sample inventory could not be loaded")?;
    anyhow::ensure!(added["invalid"] == 0, "the service found invalid items in the sample inventory: {added}");
    for (tenant, plan) in TENANTS {
        let standing = json!({"plan": plan, "status": "ACTIVE", "operatorAllowlist": null});
        let put = service.put(&format!("tenants/{tenant}"), &standing).await;
        put.with_context(|| format!("the sample tenant {tenant} could not be set up"))?;
    }
    files::replace(&marker, b"", 0o644)
}

/// The file of an operator's private key; its public key is beside it.
fn operator_key_file(directory: &Path, operator: &str) -> PathBuf {
    directory.join("keys/operators").join(format!("{operator}.pem"))
}

async fn load_operator(service: &Service, directory: &Path, operator: &Operator) -> anyhow::Result<()> {
    let file = operator_key_file(directory, &operator.id);
    let pem = secrets::keep(&file, || SigningKey::generate(KeyAlgorithm::Ed25519)?.private_pem())?;
    let key = SigningKey::from_pem(&pem)?;
    keys::write_pair(&key, &file)?;

    let described = json!({"name": operator.name, "prefixes": operator.prefixes});
    service.put(&format!("operators/{}", operator.id), &described).await?;
    let known = json!({"keyId": KEY_ID, "algorithm": key.algorithm(), "publicKey": key.public_pem()?});
    service.post_unless_there(&format!("operators/{}/keys", operator.id), &known).await?;
    let csv = operator.block(BLOCK_SIZE);
    let form = Form::new()
        .text("operatorId", operator.id.clone())
        .text("keyId", KEY_ID)
        .text("signature", signature(&key, &operator.id, csv.as_bytes())?)
        .part("csvFile", Part::text(csv).file_name(format!("{}.csv", operator.id)).mime_str("text/csv")?);
    let imported = service.import(form).await?;
    anyhow::ensure!(imported["invalid"] == 0, "the service found invalid rows in the sample block: {imported}");
    Ok(())
}

/// Short codes and alpha IDs, some of them for brands that want a vanity lease.
fn inventory() -> Value {
    let short_codes = ["2020", "2121", "3030", "4141", "5252", "60606", "70123", "81234"];
    let vanity_short_codes = ["777", "4040", "5050", "123456"];
    let alphas = ["MyShop", "City News", "TAXI-24", "Weather", "BANK & CO", "BANK ALERT", "School Info"];
    let item = |identifier: &str, vanity: bool| {
        json!({
            "identifier": identifier,
            "vanityEligible": vanity,
            "priceTier": if vanity { "vanity" } else { "standard" },
        })
    };
    let ordinary = short_codes.iter().chain(&alphas).map(|identifier| item(identifier, false));
    let items: Vec<Value> = ordinary.chain(vanity_short_codes.iter().map(|code| item(code, true))).collect();
    json!({ "items": items })
}

/// The service's administration over REST.
struct Service {
    client: Client,
    url: String,
    token: String,
}

impl Service {
    fn request(&self, method: Method, route: &str) -> RequestBuilder {
        let url = format!("{}/v1/admin/numbering/{route}", self.url);
        self.client.request(method, url).bearer_auth(&self.token)
    }

    async fn put(&self, route: &str, body: &Value) -> anyhow::Result<Value> {
        accepted(self.request(Method::PUT, route).json(body), &[]).await
    }

    async fn post(&self, route: &str, body: &Value) -> anyhow::Result<Value> {
        accepted(self.request(Method::POST, route).json(body), &[]).await
    }

    /// Like [`Service::post`]; that it exists is what was wanted.
    async fn post_unless_there(&self, route: &str, body: &Value) -> anyhow::Result<Value> {
        accepted(self.request(Method::POST, route).json(body), &[StatusCode::CONFLICT]).await
    }

    async fn import(&self, form: Form) -> anyhow::Result<Value> {
        accepted(self.request(Method::POST, "blocks/import").multipart(form), &[]).await
    }
}

/// Sends the request; the answer's body, if it is a success or one of the statuses that are as good.
async fn accepted(request: RequestBuilder, as_good: &[StatusCode]) -> anyhow::Result<Value> {
    let answer = request.send().await.context("the service does not answer")?;
    let (status, path) = (answer.status(), answer.url().path().to_owned());
    let body = answer.text().await.context("the service's answer broke off")?;
    anyhow::ensure!(status.is_success() || as_good.contains(&status), "{path} answered {status}: {body}");
    Ok(serde_json::from_str(&body).unwrap_or_default())
}
