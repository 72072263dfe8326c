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

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::config::{Period, ServerUrl};
    use crate::devstack::{self, Home};

    async fn said(url: Option<&str>) -> String {
        let url = url.map(ServerUrl::new);
        let settings = config::Billing { url, token: None, timeout: Period::from_secs(2), in_flight: 1 };
        let mut findings = Findings::default();
        examine(&settings, &mut findings).await;
        assert!(findings.is_sound(), "without billing the service works");
        findings.to_string()
    }

    #[tokio::test]
    async fn it_says_whether_billing_is_set_and_answers() {
        let directory = TempDir::new().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let address = format!("http://127.0.0.1:{}", home.port("billing").unwrap());
        assert!(said(None).await.starts_with("warn  billing        is not set: no lease is renewed\n"));
        let away = said(Some(&address)).await;
        assert!(away.starts_with("warn  billing        it cannot be reached: "), "{away}");
        let billing = devstack::Billing::start(&home).await.unwrap();
        assert!(said(Some(billing.url())).await.starts_with("ok    billing        answers at billing.url\n"));
    }

    #[test]
    fn a_token_that_is_refused_and_a_billing_that_fails_are_told_apart() {
        for (status, found) in [(401, "lets the service not in"), (403, "lets the service not in"), (503, "with 503")] {
            let mut findings = Findings::default();
            judge(StatusCode::from_u16(status).unwrap(), &mut findings);
            assert!(findings.to_string().starts_with("warn") && findings.to_string().contains(found), "{findings}");
        }
    }
}
