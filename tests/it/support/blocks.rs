//! Signed blocks of numbers, as an operator sends them.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::multipart::{Form, Part};
use serde_json::json;

use super::{Answer, Client, TestApp};

pub(crate) const IMPORT: &str = "/v1/admin/numbering/blocks/import";

/// An operator's key.
pub(crate) struct Signer {
    key: Ed25519KeyPair,
}

impl Signer {
    pub(crate) fn new() -> Self {
        Self { key: Ed25519KeyPair::generate().unwrap() }
    }

    pub(crate) fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.key.public_key().as_der().unwrap();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
    }

    /// The detached signature of a file.
    pub(crate) fn sign(&self, operator: &str, file: &[u8]) -> String {
        let sha256 = hex::encode(digest(&SHA256, file));
        STANDARD.encode(self.key.sign(format!("numbering-block-v1\n{operator}\n{sha256}\n").as_bytes()))
    }

    /// The form of an import of this file.
    pub(crate) fn form(&self, operator: &str, file: &str) -> Form {
        form(operator, &self.sign(operator, file.as_bytes()), file)
    }
}

pub(crate) fn form(operator: &str, signature: &str, file: &str) -> Form {
    Form::new()
        .text("operatorId", operator.to_owned())
        .text("signature", signature.to_owned())
        .part("csvFile", csv(file))
}

pub(crate) fn csv(file: &str) -> Part {
    Part::bytes(file.as_bytes().to_vec()).file_name("block.csv").mime_str("text/csv").unwrap()
}

/// A file with `count` numbers from +93700000000 on.
pub(crate) fn numbers(count: u32) -> String {
    let rows = (0..count).map(|n| format!("+93{}\n", 700_000_000 + n));
    std::iter::once("msisdn\n".to_owned()).chain(rows).collect()
}

impl TestApp {
    /// An operator with these prefixes, and a key `first` that is valid now.
    pub(crate) async fn operator(&self, operator: &str, prefixes: &[&str]) -> Signer {
        let admin = self.admin();
        let path = format!("/v1/admin/numbering/operators/{operator}");
        admin.put(&path, &json!({ "name": operator, "prefixes": prefixes })).await.expect(200);
        let signer = Signer::new();
        let key = json!({ "keyId": "first", "algorithm": "ED25519", "publicKey": signer.public_pem() });
        admin.post(&format!("{path}/keys"), &key).await.expect(201);
        signer
    }
}

impl Client {
    pub(crate) async fn import(&self, form: Form) -> Answer {
        self.upload(IMPORT, form, &[]).await
    }
}
