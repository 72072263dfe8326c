//! Who is on duty: what Alertmanager is told, and what it tells, at the other end of real HTTP.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::until;

/// A server that keeps what is posted to it, at `/api/v2/alerts` and `/page`.
pub(crate) struct Receiver {
    address: SocketAddr,
    kept: Arc<Kept>,
}

struct Kept {
    bodies: Mutex<Vec<Value>>,
    answer: Mutex<fn(&Value) -> StatusCode>,
    takes: Mutex<Duration>,
}

impl Receiver {
    /// It takes whatever comes.
    pub(crate) async fn start() -> Self {
        // The HTTP client of the tests takes the process's provider; another test may have set it.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let kept = Arc::new(Kept {
            bodies: Mutex::default(),
            answer: Mutex::new(|_| StatusCode::OK),
            takes: Mutex::default(),
        });
        let app = Router::new()
            .route("/api/v2/alerts", post(receive))
            .route("/page", post(receive))
            .with_state(Arc::clone(&kept));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, kept }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How it answers from now on.
    pub(crate) fn answers(&self, answer: fn(&Value) -> StatusCode) {
        *self.kept.answer.lock().unwrap() = answer;
    }

    /// How long it takes to answer from now on.
    pub(crate) fn takes(&self, length: Duration) {
        *self.kept.takes.lock().unwrap() = length;
    }

    /// What was posted, taken or not.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.kept.bodies.lock().unwrap().clone()
    }

    /// The alerts of what was posted, taken or not, in their order.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        self.bodies().iter().flat_map(|body| body.as_array().unwrap().clone()).collect()
    }

    /// Forgets what was posted.
    pub(crate) fn forget(&self) {
        self.kept.bodies.lock().unwrap().clear();
    }
}

async fn receive(State(kept): State<Arc<Kept>>, body: String) -> StatusCode {
    let body: Value = serde_json::from_str(&body).unwrap();
    let status = (kept.answer.lock().unwrap())(&body);
    kept.bodies.lock().unwrap().push(body);
    let length = *kept.takes.lock().unwrap();
    tokio::time::sleep(length).await;
    status
}

/// Alertmanager itself, which pages for SEV1. It ends with the test.
pub(crate) struct Alertmanager {
    url: String,
    http: reqwest::Client,
    _process: Child,
    _directory: TempDir,
}

impl Alertmanager {
    /// On a free port, with `pager` as the one on duty.
    pub(crate) async fn start(pager: &Receiver) -> Self {
        let directory = TempDir::new().unwrap();
        let config = directory.path().join("alertmanager.yml");
        let routes = format!(
            "route:\n  receiver: nobody\n  group_by: [alertname, alertId]\n  routes:\n  - receiver: pager\n    \
             matchers: [severity=\"SEV1\"]\n    group_wait: 100ms\n    group_interval: 1s\nreceivers:\n- name: nobody\n- \
             name: pager\n  webhook_configs:\n  - url: {}/page\n",
            pager.url()
        );
        std::fs::write(&config, routes).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(program())
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let this = Self {
            url: format!("http://127.0.0.1:{port}"),
            http: reqwest::Client::new(),
            _process: process,
            _directory: directory,
        };
        until("Alertmanager is ready", async || {
            let ready = this.http.get(format!("{}/-/ready", this.url)).send().await;
            ready.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        this
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The names of the alerts that it has as firing.
    pub(crate) async fn firing(&self) -> Vec<String> {
        let url = format!("{}/api/v2/alerts?active=true", self.url);
        let alerts: Vec<Value> = self.http.get(url).send().await.unwrap().json().await.unwrap();
        let mut names: Vec<String> =
            alerts.iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

/// Where `script/test` puts it, or the machine has it.
fn program() -> String {
    let unpacked = concat!(env!("CARGO_MANIFEST_DIR"), "/target/alertmanager/bin/prometheus-alertmanager");
    if Path::new(unpacked).exists() { unpacked } else { "prometheus-alertmanager" }.to_owned()
}
