//! Alertmanager: whether it answers. While it is away alerts are stored and told later, so nothing here is more than a warning.

use super::{Findings, PATIENCE};
use crate::config;
use crate::operations::alertmanager::Alertmanager;

const SUBJECT: &str = "Alertmanager";
const WAITING: &str = "until then the service itself pages nobody";

pub(super) async fn examine(settings: &config::Alertmanager, findings: &mut Findings) {
    let alertmanager = match Alertmanager::new(settings) {
        Ok(Some(alertmanager)) => alertmanager,
        Ok(None) => {
            let hint = "set alertmanager.url where somebody is to be paged; Prometheus may page by its own rules";
            return findings.warn(SUBJECT, "is not set: the service itself pages nobody", hint);
        }
        Err(error) => return findings.fail(SUBJECT, error.to_string(), "config.default.toml documents every setting"),
    };
    let within = settings.timeout.duration().min(PATIENCE);
    match tokio::time::timeout(within, alertmanager.probe()).await {
        Ok(Ok(())) => findings.ok(SUBJECT, "answers at alertmanager.url, and is ready"),
        Ok(Err(error)) => {
            let hint = format!("see that it runs and that alertmanager.url and .token are right; {WAITING}");
            findings.warn(SUBJECT, error.to_string(), hint);
        }
        Err(_) => {
            let hint = format!("see that it runs; {WAITING}");
            findings.warn(SUBJECT, format!("does not answer within {within:?}"), hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::{Period, ServerUrl};

    async fn said(url: Option<&str>) -> String {
        let (timeout, repeat_every) = (Period::from_secs(2), Period::from_secs(30));
        let settings = config::Alertmanager { url: url.map(ServerUrl::new), token: None, timeout, repeat_every };
        let mut findings = Findings::default();
        examine(&settings, &mut findings).await;
        assert!(findings.is_sound(), "without Alertmanager the service works");
        findings.to_string()
    }

    /// Where something answers at `/-/ready` with this status.
    async fn answering(status: StatusCode) -> String {
        let app = Router::new().route("/-/ready", get(move || async move { status }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    #[tokio::test]
    async fn it_says_whether_alertmanager_is_set_and_ready() {
        assert!(said(None).await.starts_with("warn  Alertmanager   is not set"));
        let ready = answering(StatusCode::OK).await;
        assert!(said(Some(&ready)).await.starts_with("ok    Alertmanager   answers at alertmanager.url"));
        let starting = answering(StatusCode::SERVICE_UNAVAILABLE).await;
        assert!(said(Some(&starting)).await.starts_with("warn  Alertmanager   it answered 503"));
        let away = said(Some("http://127.0.0.1:1")).await;
        assert!(away.starts_with("warn  Alertmanager   it cannot be reached: "), "{away}");
    }
}
