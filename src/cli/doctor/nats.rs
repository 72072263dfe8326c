//! NATS: reachable, with JetStream. While it is away events wait in the outbox, so nothing here is more than a warning.

use async_nats::Client;
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::timeout;

use super::{Findings, PATIENCE};
use crate::config::Nats;
use crate::events::jetstream::credentials;

const SUBJECT: &str = "NATS";
const WAITING: &str = "until then events wait in the outbox";

pub(super) async fn examine(settings: &Nats, findings: &mut Findings) {
    let options = credentials(settings.url.as_str()).max_reconnects(1).connection_timeout(PATIENCE);
    let client = match timeout(PATIENCE, options.connect(settings.url.as_str())).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => {
            let hint = format!("see that it runs and that nats.url is right; {WAITING}");
            return findings.warn(SUBJECT, format!("does not let the service in: {error}"), hint);
        }
        Err(_) => {
            let hint = format!("see that it runs and that nats.url is right; {WAITING}");
            return findings.warn(SUBJECT, format!("does not answer within {} s", PATIENCE.as_secs()), hint);
        }
    };
    let version = client.server_info().version;
    findings.ok(SUBJECT, format!("answers, version {version}"));
    jetstream(&client, findings).await;
}

/// Asks JetStream about this account. (The client library's own call does not read the answer of servers before 2.10.)
async fn jetstream(client: &Client, findings: &mut Findings) {
    let about_account = client.request("$JS.API.INFO", Bytes::new());
    let answer = match timeout(PATIENCE, about_account).await {
        Ok(Ok(message)) => serde_json::from_slice(&message.payload).map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    let fault = match answer {
        Ok(Account { error: None, streams }) => {
            return findings.ok("JetStream", format!("is on, with {streams} streams"));
        }
        Ok(Account { error: Some(error), .. }) => error.description,
        Err(fault) => fault,
    };
    let hint = format!("switch it on (`jetstream {{ store_dir: … }}`) for this account; {WAITING}");
    findings.warn("JetStream", format!("is not to be had: {fault}"), hint);
}

/// What JetStream says about an account.
#[derive(Deserialize)]
struct Account {
    #[serde(default)]
    streams: u64,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    description: String,
}
