//! One replica of the service in a development installation: a child process `numbering serve` with a file of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use super::identity;
use crate::devstack::{Billing, Home, Launch, Readiness, Server, Stack, files, reachable, secrets};

/// Connections to PostgreSQL for all replicas together; the rest is for people and tools.
const CONNECTIONS: usize = 160;

/// The settings that `dev` decides. From the environment they would point the development service at other servers.
const DECIDED: [&str; 12] = [
    "NUMBERING_HTTP__LISTEN",
    "NUMBERING_GRPC__LISTEN",
    "NUMBERING_DATABASE__URL",
    "NUMBERING_DATABASE__MIGRATE_URL",
    "NUMBERING_REDIS__URL",
    "NUMBERING_REDIS__TIMERS_URL",
    "NUMBERING_NATS__URL",
    "NUMBERING_AUTH__ISSUER",
    "NUMBERING_AUTH__AUDIENCE",
    "NUMBERING_AUTH__JWKS",
    "NUMBERING_BILLING__URL",
    "NUMBERING_INSTANCE__NAME",
];

/// Where one replica serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// REST.
    pub(super) http: SocketAddr,
    /// gRPC.
    pub(super) grpc: SocketAddr,
}

impl Place {
    /// Where REST is reached from this machine.
    pub(super) fn http_url(self) -> String {
        format!("http://{}", reachable(self.http))
    }

    /// Where gRPC is reached from this machine.
    pub(super) fn grpc_address(self) -> String {
        reachable(self.grpc).to_string()
    }
}

/// The `number`th of `count` replicas, not started yet; its configuration is written to `DIR/replica-N.toml`.
pub(super) fn prepare(
    stack: &Stack,
    billing: &Billing,
    place: Place,
    number: usize,
    count: usize,
) -> anyhow::Result<Server> {
    let home: &Arc<Home> = stack.home();
    let name = format!("replica-{number}");
    let file = home.path().join(format!("{name}.toml"));
    let settings = settings(stack, billing, place, &name, (CONNECTIONS / count).min(16))?;
    // It holds passwords.
    files::replace(&file, toml::to_string(&settings)?.as_bytes(), 0o600)?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let arguments = ["serve".into(), "--config".into(), file.into()];
    let mut launch = Launch::new(program, arguments.into(), Readiness::Http);
    launch.environment = environment();
    Server::new(home, &name, place.http, place.http_url(), launch)
}

/// This process's environment, so that `NUMBERING_POLICY__RESERVATION_TTL=2s numbering dev` works.
fn environment() -> Vec<(OsString, OsString)> {
    let inherited = std::env::vars_os().filter(|(name, _)| DECIDED.iter().all(|decided| name != decided));
    // What it says goes to a file, not to a terminal.
    inherited.chain([("NO_COLOR".into(), "1".into())]).collect()
}

type Section = BTreeMap<&'static str, Setting>;

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Setting {
    Text(String),
    Count(usize),
}

fn settings(
    stack: &Stack,
    billing: &Billing,
    place: Place,
    name: &str,
    pool_size: usize,
) -> anyhow::Result<BTreeMap<&'static str, Section>> {
    let directory = stack.home().path();
    let databases = stack.databases();
    let text = |text: &str| Setting::Text(text.to_owned());
    let path = |path: &Path| Setting::Text(path.display().to_string());
    let cursor_key = secrets::keep(&directory.join("secrets/cursor-key"), secrets::random_hex)?;
    let redis = stack.redis.url();
    Ok(BTreeMap::from([
        ("http", Section::from([("listen", text(&place.http.to_string()))])),
        ("grpc", Section::from([("listen", text(&place.grpc.to_string()))])),
        (
            "database",
            Section::from([
                ("url", text(&databases.app_url("numbering"))),
                ("migrate_url", text(&databases.owner_url("numbering"))),
                ("pool_size", Setting::Count(pool_size)),
            ]),
        ),
        // The timers have an index of their own: beside many other keys their expiry is noticed late. It is the one that
        // people land in who look for `num:reserve:…`.
        ("redis", Section::from([("timers_url", text(&format!("{redis}/0"))), ("url", text(&format!("{redis}/1")))])),
        ("nats", Section::from([("url", text(stack.nats.url()))])),
        ("billing", Section::from([("url", text(billing.url()))])),
        (
            "auth",
            Section::from([
                ("issuer", text(identity::ISSUER)),
                ("audience", text(identity::AUDIENCE)),
                ("jwks", path(&identity::jwks_file(directory))),
            ]),
        ),
        ("security", Section::from([("cursor_key", text(&cursor_key))])),
        ("instance", Section::from([("name", text(name))])),
        ("log", Section::from([("format", text("text"))])),
    ]))
}
