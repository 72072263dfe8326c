//! A good request of every operation, so that nothing but its caller can be wrong with it.

use reqwest::multipart::Form;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::permissions::{Role, Row};
use crate::support::blocks::{Signer, form};
use crate::support::{Answer, TestApp};

pub(super) const OPERATOR: &str = "awcc";
/// Added by one line of the table, revoked by the next.
const KEY: &str = "second";

/// What there is to act on, `tenant-a`'s.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) number: String,
    /// The lease, or any UUID where the number has none.
    pub(super) lease_id: String,
    /// What only `tenant-a` and admins may learn.
    pub(super) secrets: Vec<String>,
}

/// The world that requests are made in: an operator with a signed file, and a block of its.
pub(super) struct World {
    address: String,
    http: Client,
    signer: Signer,
    block_id: String,
    /// One that waits to be confirmed.
    cascade_id: String,
    /// One that may be ended.
    price_id: String,
}

#[derive(Clone, Debug)]
pub(super) enum Payload {
    Nothing,
    Json(Value),
    /// Whatever this is, as `application/json`.
    Text(String),
    Import,
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) payload: Payload,
}

const FILE: &str = "msisdn\n+93790000001\n+93790000002\n+93701\n";

impl World {
    pub(super) async fn new(app: &TestApp) -> Self {
        let signer = app.operator(OPERATOR, &["+9379"]).await;
        let imported = app.admin().import(signer.form(OPERATOR, FILE)).await.expect(200);
        let block_id = imported["blockId"].as_str().unwrap().to_owned();
        let plan = json!({ "plan": "premium" });
        for tenant in ["tenant-a", "tenant-b"] {
            app.admin().put(&format!("/v1/admin/numbering/tenants/{tenant}"), &plan).await.expect(200);
        }
        let cascade_id = app.cascade_that_waits("tenant-of-cascade").await;
        let price = json!({
            "identifierClass": "ALPHA", "priceTier": "gold", "plan": "business", "amount": "19", "currency": "USD",
            "per": "month",
        });
        let price = app.admin().post("/v1/admin/numbering/prices", &price).await.expect(201);
        let price_id = price["priceId"].as_str().unwrap().to_owned();
        Self { address: format!("http://{}", app.http), http: Client::new(), signer, block_id, cascade_id, price_id }
    }

    /// A good request of this operation, by this role. Whoever adds an operation says here what that is.
    pub(super) fn request(&self, row: &Row, subject: &Subject, role: Role) -> Request {
        let path = row
            .path
            .replace("{identifier}", &subject.number)
            .replace("{leaseId}", &subject.lease_id)
            .replace("{operatorId}", OPERATOR)
            .replace("{keyId}", KEY)
            .replace("{cascadeId}", &self.cascade_id)
            .replace("{priceId}", &self.price_id)
            .replace("{job}", "end_quarantine")
            .replace("{blockId}", &self.block_id);
        let (path, payload) = match row.operation().as_str() {
            "GET /v1/numbers/available" => (format!("{path}?identifierClass=MSISDN&limit=5"), Payload::Nothing),
            "GET /v1/admin/numbering/alerts" | "GET /v1/admin/numbering/audit" | "GET /v1/admin/numbering/prices" => {
                (format!("{path}?limit=5"), Payload::Nothing)
            }
            "GET /v1/admin/numbering/tenants/{tenantId}" => (path.replace("{tenantId}", "tenant-a"), Payload::Nothing),
            "PUT /v1/admin/numbering/tenants/{tenantId}" => {
                (path.replace("{tenantId}", "tenant-of-matrix"), Payload::Json(json!({ "plan": "starter" })))
            }
            "PUT /v1/admin/numbering/tenants/{tenantId}/quotas" => {
                (path.replace("{tenantId}", "tenant-of-matrix"), Payload::Json(json!({ "HOLDS": 3 })))
            }
            "PUT /v1/admin/numbering/operators/{operatorId}" => {
                (path, Payload::Json(json!({ "name": "AWCC", "prefixes": ["+9379"] })))
            }
            "POST /v1/admin/numbering/operators/{operatorId}/keys" => {
                (path, Payload::Json(json!({ "keyId": KEY, "publicKey": self.signer.public_pem() })))
            }
            "POST /v1/admin/numbering/prices" => (
                path,
                Payload::Json(json!({
                    "identifierClass": "ALPHA", "priceTier": "matrix", "amount": "1", "currency": "USD", "per": "year",
                })),
            ),
            "POST /v1/admin/numbering/inventory" => {
                (path, Payload::Json(json!({ "items": [{ "identifier": "7777" }] })))
            }
            "POST /v1/admin/numbering/blocks/import" => (path, Payload::Import),
            "POST /v1/numbers/reserve" => {
                (path, Payload::Json(json!({ "identifierClass": "MSISDN", "count": 1, "prefix": "+9379" })))
            }
            "POST /v1/numbers/{identifier}/lease" => {
                let tenant = role.tenant.unwrap_or("tenant-a");
                (path, Payload::Json(json!({ "tenantId": tenant, "term": "1m", "autoRenew": false })))
            }
            "POST /v1/numbers/{identifier}/recall" => (path, Payload::Json(json!({ "reason": "TENANT_INITIATED" }))),
            "PATCH /v1/leases/{leaseId}" => (path, Payload::Json(json!({ "autoRenew": true }))),
            "POST /v1/admin/numbers/{identifier}/quarantine/release" => {
                (path, Payload::Json(json!({ "justification": "for the matrix" })))
            }
            "GET /v1/numbers"
            | "GET /v1/numbers/{identifier}"
            | "POST /v1/numbers/{identifier}/reserve"
            | "POST /v1/numbers/{identifier}/extend"
            | "POST /v1/numbers/{identifier}/hold"
            | "POST /v1/numbers/{identifier}/release"
            | "GET /v1/leases"
            | "GET /v1/leases/{leaseId}"
            | "GET /v1/quota"
            | "GET /v1/exports/numbers"
            | "GET /v1/exports/leases"
            | "GET /v1/admin/numbering/exports/audit"
            | "POST /v1/admin/numbers/{identifier}/suspend"
            | "POST /v1/admin/numbers/{identifier}/reinstate"
            | "GET /v1/admin/numbers/{identifier}/history"
            | "GET /v1/admin/numbering/reports/quarantine-overrides"
            | "GET /v1/admin/numbering/pools/capacity"
            | "GET /v1/admin/numbering/operators/{operatorId}"
            | "DELETE /v1/admin/numbering/operators/{operatorId}/keys/{keyId}"
            | "DELETE /v1/admin/numbering/prices/{priceId}"
            | "GET /v1/admin/numbering/cascades"
            | "POST /v1/admin/numbering/cascades/{cascadeId}/confirm"
            | "GET /v1/admin/numbering/jobs"
            | "POST /v1/admin/numbering/jobs/{job}/run"
            | "GET /v1/admin/numbering/blocks"
            | "GET /v1/admin/numbering/blocks/{blockId}"
            | "GET /v1/admin/numbering/blocks/{blockId}/rejects" => (path, Payload::Nothing),
            other => panic!("{other}: say here what a good request of it is"),
        };
        assert!(!path.contains('{'), "{path}");
        Request { method: row.method, path, payload }
    }

    fn form(&self) -> Form {
        form(OPERATOR, &self.signer.sign(OPERATOR, FILE.as_bytes()), FILE)
    }

    /// Sends the request with this value of `Authorization`, and other headers.
    pub(super) async fn send(
        &self,
        request: &Request,
        authorization: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let method = Method::from_bytes(request.method.as_bytes()).unwrap();
        let mut builder = self.http.request(method, format!("{}{}", self.address, request.path));
        for (name, value) in headers.iter().copied().chain(authorization.map(|value| ("authorization", value))) {
            builder = builder.header(name, value);
        }
        builder = match &request.payload {
            Payload::Nothing => builder,
            Payload::Json(body) => builder.json(body),
            Payload::Text(body) => builder.header("content-type", "application/json").body(body.clone()),
            Payload::Import => builder.multipart(self.form()),
        };
        Answer::read(builder.send().await.unwrap()).await
    }
}

/// Brings a number of `tenant-a`'s into this state.
pub(super) async fn prepare(app: &TestApp, number: &str, state: &str) -> Subject {
    let (a, admin) = (app.tenant("tenant-a"), app.admin());
    let lease = async || {
        let path = format!("/v1/numbers/{number}/lease");
        admin.post(&path, &json!({ "tenantId": "tenant-a", "term": "6m" })).await.expect(201)
    };
    let told = match state {
        "AVAILABLE" => json!({}),
        "RESERVED" => a.act(number, "reserve").await.expect(200),
        "HELD" => {
            a.act(number, "reserve").await.expect(200);
            a.act(number, "hold").await.expect(200)
        }
        "LEASED" => lease().await,
        "SUSPENDED" => {
            let lease = lease().await;
            admin.post(&format!("/v1/admin/numbers/{number}/suspend"), &json!({})).await.expect(200);
            lease
        }
        "QUARANTINE" => {
            lease().await;
            admin.recall(number, "REGULATOR_ORDER", Some("ATRA-SECRET-1")).await.expect(200)
        }
        other => panic!("no number is {other}"),
    };
    let member = |name: &str| told[name].as_str().map(str::to_owned);
    let ids = ["reservationId", "leaseId", "expiresAt", "effectiveUntil"].into_iter().filter_map(member);
    let secrets = ids.chain(["tenant-a".to_owned(), "ATRA-SECRET".to_owned()]).collect();
    let lease_id = member("leaseId").unwrap_or_else(|| "019cf5a8-0000-7000-8000-000000000000".to_owned());
    Subject { number: number.to_owned(), lease_id, secrets }
}
