//! Redis: reachable, and willing to tell of keys that expire. It is a helper, so nothing here is more than a warning.

use redis::{Client, RedisError};
use tokio::time::timeout;

use super::{Findings, PATIENCE};
use crate::cache::expiries::NOTICES;
use crate::config::{Redis, ServerUrl};

const SUBJECT: &str = "Redis";

pub(super) async fn examine(settings: &Redis, findings: &mut Findings) {
    for (name, url) in [("redis.url", &settings.url), ("redis.timers_url", &settings.timers_url)] {
        match within_patience(ping(url)).await {
            Ok(()) => findings.ok(SUBJECT, format!("answers at {name}")),
            Err(fault) => {
                let hint = format!("see that it runs and that {name} is right; until then PostgreSQL answers alone");
                findings.warn(SUBJECT, format!("does not answer at {name}: {fault}"), hint);
                return;
            }
        }
    }
    match within_patience(may_set_notices(&settings.timers_url)).await {
        Ok(()) => findings.ok(SUBJECT, "lets the service switch on notices of expired keys"),
        Err(fault) => {
            let found = format!("does not let the service switch on notices of expired keys: {fault}");
            let hint = format!("set `{NOTICES} Ex` in its configuration; until then the sweep releases reservations");
            findings.warn(SUBJECT, found, hint);
        }
    }
}

async fn within_patience(check: impl Future<Output = Result<(), RedisError>>) -> Result<(), String> {
    let late = |_| format!("no answer within {} s", PATIENCE.as_secs());
    timeout(PATIENCE, check).await.map_err(late)?.map_err(|error| error.to_string())
}

async fn ping(url: &ServerUrl) -> Result<(), RedisError> {
    let mut connection = Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
    redis::cmd("PING").exec_async(&mut connection).await
}

/// Sets the notices to what they are already: that tells whether they may be set, and changes nothing.
async fn may_set_notices(url: &ServerUrl) -> Result<(), RedisError> {
    let mut connection = Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
    let current: Vec<String> = redis::cmd("CONFIG").arg("GET").arg(NOTICES).query_async(&mut connection).await?;
    let value = current.get(1).map_or("", String::as_str);
    redis::cmd("CONFIG").arg("SET").arg(NOTICES).arg(value).exec_async(&mut connection).await
}
