//! Billing: whether it answers. While it is away leases are renewed later, so nothing here is more than a warning.

use std::time::Duration;

use reqwest::StatusCode;

use super::{Findings, PATIENCE};
use crate::config;
use crate::operations::billing::Billing;

const SUBJECT: &str = "billing";
const WAITING: &str = "until then no lease is renewed";

pub(super) async fn examine(settings: &config::Billing, findings: &mut Findings) {
    let billing = match Billing::new(settings) {
        Ok(Some(billing)) => billing,
        Ok(None) => {
            let hint = "set billing.url where leases are to be renewed";
            return findings.warn(SUBJECT, "is not set: no lease is renewed", hint);
        }
        Err(error) => return findings.fail(SUBJECT, error.to_string(), "config.default.toml documents every setting"),
    };
    let within = settings.timeout.duration().min(PATIENCE);
    match tokio::time::timeout(within, billing.probe()).await {
        Ok(Ok(status)) => judge(status, findings),
        Ok(Err(outage)) => {
            let hint = format!("see that it runs and that billing.url is right; {WAITING}");
            findings.warn(SUBJECT, outage.to_string(), hint);
        }
        Err(_) => findings.warn(SUBJECT, late(within), format!("see that it runs; {WAITING}")),
    }
}

fn late(within: Duration) -> String {
    format!("does not answer within {within:?}")
}

/// What the status says of billing, to a request that asks for nothing. That the method is not allowed is as it should be.
fn judge(status: StatusCode, findings: &mut Findings) {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let hint = format!("see that billing.token is right; {WAITING}");
            findings.warn(SUBJECT, format!("answers at billing.url, but lets the service not in: {status}"), hint);
        }
        status if status.is_server_error() => {
            findings.warn(SUBJECT, format!("answers at billing.url with {status}"), format!("see its log; {WAITING}"));
        }
        _ => findings.ok(SUBJECT, "answers at billing.url"),
    }
}
